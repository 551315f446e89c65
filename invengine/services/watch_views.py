"""Views: what many subscribers see the same way, worked out once for all of them.

A view has the newest value of every SKU that it watches, and when that last became another one: `changed_at`, a number
that rises with every look. What a subscriber has to be told follows from the number up to which it was told, so a slow
one costs nothing, and is told the newest state, however much it missed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import INDEX, KIT_PARTS, KIT_UNITS, KNOWN, RANK, UNKNOWN_SKU
from invengine.services.kit_availability import KitAvailability, level_of
from invengine.services.selection import NOTHING_RULED, RuledSkus, select
from invengine.services.watch_cells import Cells
from invengine.services.watch_wire import change_field

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.watch_names import Slots, WatchedNames

SLOTS_A_STEP: Final = 10_000
SLOTS_A_STEP_BY_LOCATION: Final = 1_000
"""How many SKUs are worked out at once: a few milliseconds, then others have their turn."""

TIMED_MS: Final = 10_000
"""How often it is looked whether counts got too old to offer everything."""

CHANGES_A_MESSAGE: Final = 1_000
_ENCODED_MAX: Final = 10_000
_LOOKS_MAX: Final = 256
_PIECES_MAX: Final = 64
_OUT, _LOW, _IN_STOCK = 1, 2, 3
LEVELS: Final = 4  # a code is status * LEVELS + level; 0 stands for what was never told

Codes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int32]
Kits = dict[int, tuple[int, list[tuple[int, int]]]]

PieceKey = tuple[bytes, int, int, int]
"""Digest of the question, the counts after and up to which its queue tells, and where in the queue the piece begins:
alike for subscribers that have the same queue.
"""
Piece = tuple[bytes, int, int]
"""Changes as fields of a message, how many, and where in the queue the next piece begins."""


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
        self, question: ViewQuestion, names: WatchedNames, replica: Replica, clock: StoreClock, network: Network
    ) -> None:
        self.question = question
        self.names = names
        self.count = 0
        self.count_told = 0  # of these, those that were told to whoever waited
        self._replica = replica
        self._clock = clock
        self._answers = KitAvailability(replica)
        self._available: Slots = np.zeros(16, np.int64)
        self._codes: Codes = np.zeros(16, np.uint8)
        self.changed_at: Slots = np.zeros(16, np.int64)
        self._cells = Cells() if question.by_location else None
        self._encoded: dict[int, bytes] = {}
        self._pieces: dict[PieceKey, Piece] = {}
        self._all_after: dict[int, Slots] = {}
        self._looks: list[tuple[int, float]] = []
        self.ask(network)

    def ask(self, network: Network) -> None:
        """Asks the network anew. UnknownChannel, UnknownLocation, UnknownGroup, GroupNotUsable."""
        question, replica = self.question, self._replica
        names = network.threshold_skus()
        self._selection = select(
            network,
            replica.locations,
            replica.channels,
            question.channel,
            locations=question.locations,
            group=question.group,
            fulfilment=question.fulfilment,
            ruled=RuledSkus(names) if names else NOTHING_RULED,
        )
        index = self._selection.block[: len(replica.locations), INDEX]
        usable = np.flatnonzero(index >= 0)
        self._places = np.empty(usable.size, np.int64)  # the number of each usable location
        self._places[index[usable]] = usable
        self._ranks = self._selection.block[self._places, RANK]
        self.kits: set[int] = set()  # slots of kits: they change with their components
        self._timed_at = self._clock.now_ms()

    @property
    def is_timed(self) -> bool:
        """Whether values change as counts get old, without any change of stock."""
        return self._selection.is_timed

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to look whether counts got too old."""
        return self.is_timed and abs(now_ms - self._timed_at) >= TIMED_MS

    def grow_older(self, now_ms: int) -> Slots:
        """All slots, to be worked out for this moment."""
        self._timed_at = now_ms
        return np.arange(len(self.names))

    def steps(self, slots: Slots) -> Iterator[None]:
        """Works out the values of these slots, step by step: others may have their turn between two."""
        self._make_room()
        step = SLOTS_A_STEP_BY_LOCATION if self._cells is not None else SLOTS_A_STEP
        for first in range(0, slots.size, step):
            self._update(slots[first : first + step])
            yield

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
        self.kits = {new for new, old in enumerate(kept.tolist()) if old in self.kits}

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

    def _update(self, slots: Slots) -> None:
        numbers, columns = self.names.numbers[slots], self.names.columns
        now_ms = self._clock.now_ms()
        arrays = columns.positions, columns.skus, columns.fences, self._selection.at(now_ms)
        kits = self._kits_among(slots, numbers, now_ms)
        status, totals = np.empty(slots.size, np.uint8), np.empty(slots.size, np.int64)
        if not (self.question.is_all or self.question.by_location):
            kernels.available_totals(numbers, *arrays, status, totals)
            self._know_expected(slots, status)
            _put_kits(kits, status, totals)
            self._take_totals(slots, status, totals)
            return
        room = int(kernels.rows_at_most(numbers, columns.skus))
        row_counts, index = np.empty(slots.size, np.int32), np.empty(room, np.int32)
        available = np.empty(room, np.int64)
        rows = int(kernels.available_rows(numbers, *arrays, status, totals, row_counts, index, available))
        if not self.question.is_all:
            self._know_expected(slots, status)
        _put_kits(kits, status, totals)
        if self.question.by_location:
            self._take_rows(slots, status, (row_counts, index[:rows], available[:rows]), kits)
        else:
            row_counts[[i for i, (_, its) in kits.items() if its]] = 1
            there = (row_counts > 0) | (self._codes[slots] != 0)
            self._take_totals(slots[there], status[there], totals[there])

    def _take_totals(self, slots: Slots, status: Codes, totals: Slots) -> None:
        codes = (status * LEVELS + self._levels(slots, totals)).astype(np.uint8)
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

    def _take_rows(self, slots: Slots, status: Codes, found: tuple[Counts, Counts, Slots], kits: Kits) -> None:
        """`found`: how many rows each slot has, then of each row its place among the usable ones and its units."""
        row_counts, index, available = found
        assert self._cells is not None
        count: int = self.count + 1
        changed: list[int] = []
        rows = list(zip(index.tolist(), available.tolist(), strict=True))
        at = 0
        for i, (slot, known, its_rows) in enumerate(
            zip(slots.tolist(), status.tolist(), row_counts.tolist(), strict=True)
        ):
            its = kits[i][1] if i in kits else rows[at : at + its_rows]
            at += its_rows
            cells = self._levelled(slot, its)
            if self._cells.take(slot, known * LEVELS, cells, count, is_all=self.question.is_all):
                changed.append(slot)
        if changed:
            self._count_on()
            self.changed_at[changed] = count

    def _levelled(self, slot: int, rows: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """Number of the location, units and level of each (place among the usable ones, units)."""
        thresholds = self._selection.thresholds
        if self._selection.ruled.names:
            thresholds = self._selection.thresholds_of(self.names.names[slot].decode())
        counts = 0 if self.question.levels_only else 1
        places, ranks = self._places, self._ranks
        return [
            (int(places[index]), counts * units, level_of(units, int(thresholds[1 + ranks[index]])))
            for index, units in rows
        ]

    def _kits_among(self, slots: Slots, numbers: Slots, now_ms: int) -> Kits:
        """The kits among the slots, by their place there: kits in all, and by place among the usable locations."""
        kits = self._selection.network.kits
        if not kits:
            return {}
        found: Kits = {}
        with_stock = self._replica.kits_with_stock
        for i, (slot, number) in enumerate(zip(slots.tolist(), numbers.tolist(), strict=True)):
            if number >= 0 and number not in with_stock:
                continue
            kit = kits.get(self.names.names[slot].decode())
            if kit is not None:
                self.kits.add(slot)
                total, units = self._answers.units(kit, self._selection, now_ms)
                there = np.flatnonzero(units[:, KIT_PARTS] > 0)
                found[i] = total, list(zip(there.tolist(), units[there, KIT_UNITS].tolist(), strict=True))
        return found

    def _count_on(self) -> None:
        self.count += 1
        self._pieces.clear()
        self._all_after.clear()

    def _levels(self, slots: Slots, totals: Slots) -> Slots:
        selection, names = self._selection, self.names.names
        thresholds = np.full(slots.size, selection.thresholds[0])
        if selection.ruled.names:
            for i, slot in enumerate(slots.tolist()):
                thresholds[i] = selection.thresholds_of(names[slot].decode())[0]
        return np.where(totals == 0, _OUT, np.where(totals > thresholds, _IN_STOCK, _LOW))

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


def _put_kits(kits: Kits, status: Codes, totals: Slots) -> None:
    """Kits are known, and what there is of them is what their components make."""
    for place, (total, _) in kits.items():
        status[place], totals[place] = KNOWN, total
