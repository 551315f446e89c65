"""What watchers of one view are told: the newest value of every slot, and when that last became another one.

`changed_at` is a number that rises with every look that found something. What a subscriber has to be told follows from
the number up to which it was told, so a slow one costs nothing, and is told the newest state, however much it missed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.services.watch_cells import Cells
from invengine.services.watch_wire import change_field

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.services.watch_names import WatchedNames
    from invengine.services.watch_network import Slots

CHANGES_A_MESSAGE: Final = 1_000
_ENCODED_MAX: Final = 10_000
_LOOKS_MAX: Final = 256
_PIECES_MAX: Final = 64
LEVELS: Final = 4  # a code is status * LEVELS + level; 0 stands for what was never told

Codes = npt.NDArray[np.uint8]

PieceKey = tuple[bytes, int, int, int]
"""Digest of the question, the counts after and up to which its queue tells, and where in the queue the piece begins:
alike for subscribers that have the same queue.
"""
Piece = tuple[bytes, int, int]
"""Changes as fields of a message, how many, and where in the queue the next piece begins."""


class Values:
    """The values of the SKUs of `names`: one for each, or (`by_location`) one for each of its locations.

    `count` is how many looks found something. With `is_all` a SKU without rows is not told.
    """

    def __init__(self, names: WatchedNames, replica: Replica, *, by_location: bool, is_all: bool) -> None:
        self.count = 0
        self.count_told = 0  # of these, those that were told to whoever waited
        self.changed_at: Slots = np.zeros(16, np.int64)
        self._names = names
        self._replica = replica
        self._is_all = is_all
        self._available: Slots = np.zeros(16, np.int64)
        self._codes: Codes = np.zeros(16, np.uint8)
        self._cells = Cells() if by_location else None
        self._encoded: dict[int, bytes] = {}
        self._pieces: dict[PieceKey, Piece] = {}
        self._all_after: dict[int, Slots] = {}
        self._looks: list[tuple[int, float]] = []

    def make_room(self) -> None:
        """Every slot has a place from now on."""
        wanted = len(self._names)
        if wanted > self.changed_at.size:
            more = max(wanted, 2 * self.changed_at.size) - self.changed_at.size
            self._available = np.concatenate((self._available, np.zeros(more, np.int64)))
            self._codes = np.concatenate((self._codes, np.zeros(more, np.uint8)))
            self.changed_at = np.concatenate((self.changed_at, np.zeros(more, np.int64)))

    def take(self, slots: Slots, available: Slots, codes: Codes) -> None:
        """Takes in what there is of these slots in all."""
        is_new = (codes != self._codes[slots]) | (available != self._available[slots])
        if is_new.any():
            changed = slots[is_new]
            self._count_on()
            self._available[changed] = available[is_new]
            self._codes[changed] = codes[is_new]
            self.changed_at[changed] = self.count
            for slot in changed.tolist() if self._encoded else ():
                self._encoded.pop(slot, None)

    def take_cells(
        self, slots: Slots, status: Codes, sizes: npt.NDArray[np.int32], cells: Sequence[tuple[int, int, int]]
    ) -> None:
        """Takes in what there is of these slots by location: so many cells each (location, units, level)."""
        assert self._cells is not None
        count: int = self.count + 1
        changed: list[int] = []
        at = 0
        for slot, known, size in zip(slots.tolist(), status.tolist(), sizes.tolist(), strict=True):
            its = cells[at : at + size]
            at += size
            if self._cells.take(slot, known * LEVELS, its, count, is_all=self._is_all):
                changed.append(slot)
        if changed:
            self._count_on()
            self.changed_at[changed] = count

    def were_told(self, slots: Slots) -> npt.NDArray[np.bool_]:
        """Which of the slots have a value, where there is one for each."""
        told: npt.NDArray[np.bool_] = self._codes[slots] != 0
        return told

    def never_told(self, slots: Slots) -> Slots:
        """Those of the slots that were not worked out yet."""
        self.make_room()
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
                found = self._all_after[count] = np.flatnonzero(self.changed_at[: len(self._names)] > count)
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

    def _count_on(self) -> None:
        self.count += 1
        self._pieces.clear()
        self._all_after.clear()

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
        change = change_field(self._names.names[slot], b"", int(self._available[slot]), level, status)
        if len(self._encoded) >= _ENCODED_MAX:
            self._encoded.clear()
        self._encoded[slot] = change
        return change

    def _encode_cells(self, slot: int, after: int) -> Iterator[bytes]:
        assert self._cells is not None
        name, places = self._names.names[slot], self._replica.locations.names
        for place, available, code in self._cells.told_after(slot, after):
            status, level = divmod(code, LEVELS)
            yield change_field(name, places[place].encode() if place >= 0 else b"", available, level, status)
