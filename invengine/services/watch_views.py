"""Views: what many subscribers see the same way, worked out once for all of them.

A view has the newest value of every SKU that it watches, and when that last became another one: `changed_at`, a number
that rises with every look. What a subscriber has to be told follows from the number up to which it was told, so a slow
one costs nothing, and is told the newest state, however much it missed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import INDEX, KIT_PARTS, KIT_UNITS, KNOWN, RANK, UNKNOWN_SKU
from invengine.services.kit_availability import KitAvailability
from invengine.services.selection import select
from invengine.services.watch_cells import Cells
from invengine.services.watch_times import RuleTimes
from invengine.services.watch_wire import change_field

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica
    from invengine.services.selection import RuledSkus
    from invengine.services.watch_names import WatchedNames
    from invengine.services.watch_network import Slots

SLOTS_A_STEP: Final = 10_000
SLOTS_A_STEP_BY_LOCATION: Final = 1_000
KITS_A_STEP: Final = 100
"""How many SKUs are worked out at once: a few milliseconds, then others have their turn."""

CHANGES_A_MESSAGE: Final = 1_000
_ENCODED_MAX: Final = 10_000
_LOOKS_MAX: Final = 256
_PIECES_MAX: Final = 64
_OUT, _LOW, _IN_STOCK = 1, 2, 3
LEVELS: Final = 4  # a code is status * LEVELS + level; 0 stands for what was never told

Codes = npt.NDArray[np.uint8]

PieceKey = tuple[bytes, int, int, int]
"""Digest of the question, the counts after and up to which its queue tells, and where in the queue the piece begins:
alike for subscribers that have the same queue.
"""
Piece = tuple[bytes, int, int]
"""Changes as fields of a message, how many, and where in the queue the next piece begins."""


class _Rows(NamedTuple):
    """What some SKUs have at the usable locations, those of one behind those of another."""

    sizes: npt.NDArray[np.int32]  # how many rows each SKU has
    places: npt.NDArray[np.int32]  # of each row: which of the usable locations
    available: Slots


@dataclass(frozen=True, slots=True)
class ViewQuestion:
    """What subscribers of one view have in common."""

    channel: str
    locations: tuple[str, ...]
    group: str
    fulfilment: Fulfilment
    by_location: bool
    levels_only: bool
    is_all: bool  # every SKU, instead of those that are named


class View:
    """One question over the SKUs of `names`. `count` is how many of its looks found something."""

    def __init__(
        self, question: ViewQuestion, names: WatchedNames, replica: Replica, network: Network, ruled: RuledSkus
    ) -> None:
        self.question = question
        self.names = names
        self.count = 0
        self.count_told = 0  # of these, those that were told to whoever waited
        self._replica = replica
        self._kits = KitAvailability(replica)
        self._available: Slots = np.zeros(16, np.int64)
        self._codes: Codes = np.zeros(16, np.uint8)
        self.changed_at: Slots = np.zeros(16, np.int64)
        self._cells = Cells() if question.by_location else None
        self._encoded: dict[int, bytes] = {}
        self._pieces: dict[PieceKey, Piece] = {}
        self._all_after: dict[int, Slots] = {}
        self._looks: list[tuple[int, float]] = []
        self.ask(network, ruled)

    def ask(self, network: Network, ruled: RuledSkus) -> None:
        """Asks the network anew; `ruled` are the SKUs that its rules for low stock name. All has to be worked out.

        UnknownChannel, UnknownLocation, UnknownGroup, GroupNotUsable.
        """
        question, replica = self.question, self._replica
        self._selection = select(
            network,
            replica.locations,
            replica.channels,
            question.channel,
            locations=question.locations,
            group=question.group,
            fulfilment=question.fulfilment,
            ruled=ruled,
        )
        index = self._selection.block[:, INDEX]
        usable = np.flatnonzero(index >= 0)
        self._places = np.empty(usable.size, np.int64)  # the number of each usable location
        self._places[index[usable]] = usable
        self._of_threshold = 1 + self._selection.block[self._places, RANK]  # where the thresholds of each stand
        self._times = RuleTimes()

    def steps(self, slots: Slots, now_ms: int) -> Iterator[None]:
        """Works out the values that these slots have at this moment, step by step: others may have their turn between
        two.
        """
        self._make_room()
        kits = self.names.in_network.kits_among(slots)
        plain, kits = (np.delete(slots, kits), slots[kits]) if kits.size else (slots, kits)
        step = SLOTS_A_STEP_BY_LOCATION if self._cells is not None else SLOTS_A_STEP
        for first in range(0, plain.size, step):
            self._update(plain[first : first + step], now_ms)
            yield
        for first in range(0, kits.size, KITS_A_STEP):
            self._update_kits(kits[first : first + KITS_A_STEP], now_ms)
            yield

    def is_due(self, now_ms: int) -> bool:
        """Whether time alone may have changed values, so that `begun` is to be asked which."""
        return self._selection.is_timed and self._times.is_due(now_ms)

    def begun(self, now_ms: int) -> Iterator[Slots]:
        """The slots that time alone may have changed since they were worked out, step by step; some may come twice."""
        after, until = self._times.begin(now_ms)
        numbers = self.names.numbers
        for first in range(0, numbers.size, SLOTS_A_STEP):
            yield first + np.flatnonzero(self._rules_begun(numbers[first : first + SLOTS_A_STEP], now_ms, after, until))
        components, kits = self.names.in_network.pairs(self.names.columns)
        for first in range(0, kits.size, SLOTS_A_STEP):
            begun = self._rules_begun(components[first : first + SLOTS_A_STEP], now_ms, after, until)
            yield np.unique(kits[first : first + SLOTS_A_STEP][begun])

    def begun_since(self, numbers: Slots, after: int, now_ms: int) -> npt.NDArray[np.bool_]:
        """Which of these SKUs time alone may have changed after a moment."""
        if not self._selection.is_timed:
            return np.zeros(numbers.size, np.bool_)
        return self._rules_begun(numbers, now_ms, after, now_ms)

    def never_told(self, slots: Slots) -> Slots:
        """Those of the slots that were not worked out yet."""
        self._make_room()
        never: Slots = slots[self.changed_at[slots] == 0]
        return never

    def keep(self, kept: Slots) -> None:
        """Only these slots stay, as slots 0, 1, 2..."""
        self._available, self._codes = self._available[kept], self._codes[kept]
        self.changed_at = self.changed_at[kept]
        self._encoded.clear()
        self._pieces.clear()
        if self._cells is not None:
            self._cells.keep(kept.tolist())

    def told_after(self, count: int, slots: Slots | None) -> Slots:
        """Those of the slots (None: of all) whose value became another one after the look of this count."""
        if slots is None:
            found = self._all_after.get(count)
            if found is None:
                found = self._all_after[count] = np.flatnonzero(self.changed_at[: len(self.names)] > count)
            return found
        out = np.empty(slots.size, np.int64)
        return out[: kernels.newer_slots(slots, self.changed_at, count, out)].copy()

    def piece(self, queue: Slots, at: int, after: int, key: PieceKey | None) -> Piece:
        """The newest values of a message's worth of slots of the queue, from place `at` on.

        By location those of each SKU that became other ones after the look of the count `after`. What has a key is
        encoded once for all who ask for the same.
        """
        piece = self._pieces.get(key) if key is not None else None
        if piece is None:
            piece = self._encode_totals(queue, at) if self._cells is None else self._encode_rows(queue, at, after)
            if key is not None:
                if len(self._pieces) >= _PIECES_MAX:
                    self._pieces.clear()
                self._pieces[key] = piece
        return piece

    def looked(self, count_before: int, since: float) -> None:
        """Notes that a look at changes, of this moment and later, is done."""
        if self.count > count_before:
            self._looks.append((self.count, since))
            del self._looks[:-_LOOKS_MAX]

    def since(self, count: int) -> float:
        """The moment of the oldest change after the look of this count, of the looks that are remembered."""
        if not self._looks:
            return monotonic()
        return self._looks[min(bisect_right(self._looks, (count, inf)), len(self._looks) - 1)][1]

    def _update(self, slots: Slots, now_ms: int) -> None:
        numbers, columns = self.names.numbers[slots], self.names.columns
        self._note_time(numbers, now_ms)
        arrays = columns.positions, columns.skus, columns.fences, self._selection.at(now_ms)
        status, totals = np.empty(slots.size, np.uint8), np.empty(slots.size, np.int64)
        if not (self.question.is_all or self.question.by_location):
            kernels.available_totals(numbers, *arrays, status, totals)
            self._know_expected(slots, status)
            self._take_totals(slots, status, totals)
            return
        room = int(kernels.rows_at_most(numbers, columns.skus))
        row_counts, index = np.empty(slots.size, np.int32), np.empty(room, np.int32)
        available = np.empty(room, np.int64)
        rows = int(kernels.available_rows(numbers, *arrays, status, totals, row_counts, index, available))
        if not self.question.is_all:
            self._know_expected(slots, status)
        self._take(slots, status, totals, _Rows(row_counts, index[:rows], available[:rows]))

    def _update_kits(self, slots: Slots, now_ms: int) -> None:
        """As `_update` for kits, which are known; they have a row where some component of them has one."""
        kits = [self.names.in_network.kits[slot] for slot in slots.tolist()]
        if self._selection.is_timed:
            find = self.names.columns.find_sku
            self._note_time(np.array([find(part.sku) for kit in kits for part in kit], np.int64), now_ms)
        found = [self._kits.units(kit, self._selection, now_ms) for kit in kits]
        there = [np.flatnonzero(rows[:, KIT_PARTS]) for _, rows in found]
        status, totals = np.full(slots.size, KNOWN, np.uint8), np.array([total for total, _ in found], np.int64)
        counts = np.array([index.size for index in there], np.int32)
        available = np.concatenate([rows[index, KIT_UNITS] for (_, rows), index in zip(found, there, strict=True)])
        self._take(slots, status, totals, _Rows(counts, np.concatenate(there).astype(np.int32), available))

    def _note_time(self, numbers: Slots, now_ms: int) -> None:
        if self._selection.is_timed:
            self._rules_begun(numbers, now_ms, now_ms, now_ms)

    def _rules_begun(self, numbers: Slots, now_ms: int, after: int, until: int) -> npt.NDArray[np.bool_]:
        """Of which of these SKUs a rule for confidence began to hold between two moments; notes what is coming."""
        columns, begun = self.names.columns, np.empty(numbers.size, np.uint8)
        block = self._selection.at(now_ms)
        coming = kernels.rules_begun(numbers, columns.positions, columns.skus, block, after, until, begun)
        self._times.worked_out(now_ms, int(coming))
        return begun.astype(np.bool_)

    def _take(self, slots: Slots, status: Codes, totals: Slots, rows: _Rows) -> None:
        if self.question.by_location:
            self._take_rows(slots, status, rows)
        elif self.question.is_all:
            there = (rows.sizes > 0) | (self._codes[slots] != 0)
            self._take_totals(slots[there], status[there], totals[there])
        else:
            self._take_totals(slots, status, totals)

    def _take_totals(self, slots: Slots, status: Codes, totals: Slots) -> None:
        thresholds: Slots | np.int64 = self._selection.thresholds[0]
        ruled = self.names.in_network.ruled_among(slots)
        if ruled.size:
            thresholds = np.full(slots.size, thresholds)
            thresholds[ruled] = [self._thresholds_of(slot)[0] for slot in slots[ruled].tolist()]
        codes = (status * LEVELS + _levels(totals, thresholds)).astype(np.uint8)
        if self.question.levels_only:
            totals = np.zeros_like(totals)
        is_new = (codes != self._codes[slots]) | (totals != self._available[slots])
        if is_new.any():
            changed = slots[is_new]
            self._count_on()
            self._available[changed] = totals[is_new]
            self._codes[changed] = codes[is_new]
            self.changed_at[changed] = self.count
            for slot in changed.tolist() if self._encoded else ():
                self._encoded.pop(slot, None)

    def _take_rows(self, slots: Slots, status: Codes, rows: _Rows) -> None:
        assert self._cells is not None
        count: int = self.count + 1
        changed: list[int] = []
        levels = _levels(rows.available, self._row_thresholds(slots, rows)).tolist()
        units = [0] * len(levels) if self.question.levels_only else rows.available.tolist()
        cells = list(zip(self._places[rows.places].tolist(), units, levels, strict=True))
        at = 0
        for slot, known, its_rows in zip(slots.tolist(), status.tolist(), rows.sizes.tolist(), strict=True):
            its = cells[at : at + its_rows]
            at += its_rows
            if self._cells.take(slot, known * LEVELS, its, count, is_all=self.question.is_all):
                changed.append(slot)
        if changed:
            self._count_on()
            self.changed_at[changed] = count

    def _row_thresholds(self, slots: Slots, rows: _Rows) -> Slots:
        """Most units that are LOW, of each row."""
        places = self._of_threshold[rows.places]
        thresholds: Slots = self._selection.thresholds[places]
        ruled = self.names.in_network.ruled_among(slots).tolist()
        if ruled:
            ends = np.cumsum(rows.sizes, dtype=np.int64)
            for i in ruled:
                its = slice(ends[i] - rows.sizes[i], ends[i])
                thresholds[its] = self._thresholds_of(int(slots[i]))[places[its]]
        return thresholds

    def _thresholds_of(self, slot: int) -> Slots:
        return self._selection.thresholds_of(self.names.names[slot].decode())

    def _count_on(self) -> None:
        self.count += 1
        self._pieces.clear()
        self._all_after.clear()

    def _know_expected(self, slots: Slots, status: Codes) -> None:
        """A SKU without a position is known where units of it are expected or backordered."""
        incoming = self._replica.incoming
        if incoming:
            for place in np.flatnonzero(status == UNKNOWN_SKU).tolist():
                if self.names.names[slots[place]].decode() in incoming:
                    status[place] = KNOWN

    def _encode_totals(self, queue: Slots, at: int) -> Piece:
        end = min(at + CHANGES_A_MESSAGE, queue.size)
        known = self._encoded
        return b"".join([known.get(slot) or self._encode(slot) for slot in queue[at:end].tolist()]), end - at, end

    def _encode_rows(self, queue: Slots, at: int, after: int) -> Piece:
        parts: list[bytes] = []
        while at < queue.size and len(parts) < CHANGES_A_MESSAGE:
            parts += self._encode_cells(int(queue[at]), after)
            at += 1
        return b"".join(parts), len(parts), at

    def _encode(self, slot: int) -> bytes:
        status, level = divmod(int(self._codes[slot]), LEVELS)
        change = change_field(self.names.names[slot], b"", int(self._available[slot]), level, status)
        if len(self._encoded) >= _ENCODED_MAX:
            self._encoded.clear()
        self._encoded[slot] = change
        return change

    def _encode_cells(self, slot: int, after: int) -> Iterator[bytes]:
        assert self._cells is not None
        name, places = self.names.names[slot], self._replica.locations.names
        for place, available, code in self._cells.told_after(slot, after):
            status, level = divmod(code, LEVELS)
            yield change_field(name, places[place].encode() if place >= 0 else b"", available, level, status)

    def _make_room(self) -> None:
        wanted = len(self.names)
        if wanted > self.changed_at.size:
            more = max(wanted, 2 * self.changed_at.size) - self.changed_at.size
            self._available = np.concatenate((self._available, np.zeros(more, np.int64)))
            self._codes = np.concatenate((self._codes, np.zeros(more, np.uint8)))
            self.changed_at = np.concatenate((self.changed_at, np.zeros(more, np.int64)))


def _levels(available: Slots, thresholds: Slots | np.int64) -> Slots:
    return np.where(available == 0, _OUT, np.where(available > thresholds, _IN_STOCK, _LOW))
