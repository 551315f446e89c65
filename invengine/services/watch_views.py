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
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import INDEX, KNOWN, RANK, UNKNOWN_SKU
from invengine.services.selection import RuledSkus, select
from invengine.services.watch_cells import Cells
from invengine.services.watch_wire import change_field

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica
    from invengine.services.watch_names import Slots, WatchedNames

SLOTS_A_STEP: Final = 10_000
SLOTS_A_STEP_BY_LOCATION: Final = 1_000
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

    def __init__(self, question: ViewQuestion, names: WatchedNames, replica: Replica, network: Network) -> None:
        self.question = question
        self.names = names
        self.count = 0
        self.count_told = 0  # of these, those that were told to whoever waited
        self._replica = replica
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
        self._selection = select(
            network,
            replica.locations,
            replica.channels,
            question.channel,
            locations=question.locations,
            group=question.group,
            fulfilment=question.fulfilment,
            ruled=RuledSkus(network.threshold_skus()),
        )
        index = self._selection.block[:, INDEX]
        usable = np.flatnonzero(index >= 0)
        self._places = np.empty(usable.size, np.int64)  # the number of each usable location
        self._places[index[usable]] = usable
        self._ranks = self._selection.block[:, RANK]  # by number of the location

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
        arrays = columns.positions, columns.skus, columns.fences, self._selection.at(columns.second * 1000)
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
        if self.question.by_location:
            self._take_rows(slots, status, row_counts, self._places[index[:rows]], available[:rows])
        else:
            there = (row_counts > 0) | (self._codes[slots] != 0)
            self._take_totals(slots[there], status[there], totals[there])

    def _take_totals(self, slots: Slots, status: Codes, totals: Slots) -> None:
        thresholds = np.full(slots.size, self._selection.thresholds[0])
        for i, of_sku in self._ruled(slots):
            thresholds[i] = of_sku[0]
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

    def _take_rows(
        self, slots: Slots, status: Codes, row_counts: npt.NDArray[np.int32], places: Slots, available: Slots
    ) -> None:
        assert self._cells is not None
        count: int = self.count + 1
        changed: list[int] = []
        ranks = self._ranks[places]
        thresholds, ends = self._selection.thresholds[1 + ranks], np.cumsum(row_counts)
        for i, of_sku in self._ruled(slots):
            its_rows = slice(ends[i] - row_counts[i], ends[i])
            thresholds[its_rows] = of_sku[1 + ranks[its_rows]]
        levels = _levels(available, thresholds).tolist()
        units = [0] * len(levels) if self.question.levels_only else available.tolist()
        rows = list(zip(places.tolist(), units, levels, strict=True))
        at = 0
        for slot, known, its_rows in zip(slots.tolist(), status.tolist(), row_counts.tolist(), strict=True):
            its = rows[at : at + its_rows]
            at += its_rows
            if self._cells.take(slot, known * LEVELS, its, count, is_all=self.question.is_all):
                changed.append(slot)
        if changed:
            self._count_on()
            self.changed_at[changed] = count

    def _count_on(self) -> None:
        self.count += 1
        self._pieces.clear()
        self._all_after.clear()

    def _ruled(self, slots: Slots) -> Iterator[tuple[int, Slots]]:
        """Those of the slots whose SKU a rule for low stock names: place among the slots, its thresholds."""
        places = self._selection.ruled.places
        for i, slot in enumerate(slots.tolist()) if places else ():
            name = self.names.names[slot].decode()
            if name in places:
                yield i, self._selection.thresholds_of(name)

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


def _levels(available: Slots, thresholds: Slots) -> Slots:
    low = np.where(available > thresholds, _IN_STOCK, _LOW)
    return np.where(available == 0, _OUT, low)
