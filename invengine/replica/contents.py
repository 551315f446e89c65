"""What is in the arrays of the replica: how many, and which positions and ring-fences, as Python sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from invengine.kernels.layout import (
    EXPIRED,
    FENCE_CHANNEL,
    FENCE_NEXT,
    FENCE_OVER,
    FENCE_UNITS,
    FENCES,
    FIRST_ROW,
    HOLD_COUNT,
    LOCATION,
    ON_HAND,
    PARTITION,
    POSITION_COUNT,
    RESERVED,
    REVISION,
    ROW_COUNT,
    ROWS,
    SKU_COUNT,
)
from invengine.replica.index import Channels, Locations, NameIndex

Block = npt.NDArray[np.int64]


class Contents:
    """Reads positions, ring-fences and SKUs in arrays; layout.py says what their columns are."""

    locations: Locations
    channels: Channels
    positions: Block
    fences: Block
    skus: Block
    index: NameIndex
    counters: Block

    @property
    def sku_count(self) -> int:
        """How many SKUs are known."""
        return int(self.counters[SKU_COUNT])

    @property
    def position_count(self) -> int:
        """How many positions are known."""
        return int(self.counters[POSITION_COUNT])

    @property
    def hold_count(self) -> int:
        """How many legs of holds are live or over and not swept."""
        return int(self.counters[HOLD_COUNT])

    def find_sku(self, sku: str) -> int:
        """The number of a SKU, or -1."""
        return self.index.find(sku.encode())

    def names_in(self, partition: int, first: int, end: int) -> list[str]:
        """The SKUs of a partition whose slots in the index are from `first` to before `end`. Slots stay until the index
        is made wider, which makes it another array.
        """
        slots = self.index.slots[first:end]
        tails = slots[slots[:, 3] != 0, 3]
        numbers = (tails & np.uint64(0xFFFFFFFF)).astype(np.int64) - 1
        wanted = self.skus[numbers, PARTITION] == partition
        return self.index.names_at(np.flatnonzero(slots[:, 3] != 0)[wanted] + first)

    def rows(self, sku: int) -> Block:
        """The positions of a SKU, int64 [n, 8]: a view, good until the next change."""
        first = int(self.skus[sku, FIRST_ROW])
        return self.positions[first : first + int(self.skus[sku, ROWS])]

    def rows_of(self, skus: Sequence[str]) -> tuple[Block, npt.NDArray[np.int64]]:
        """The positions of many SKUs, int64 [n, 8], a copy; and of each the place of its SKU among these."""
        numbers = np.array([self.find_sku(sku) for sku in skus], np.int64)
        places = np.flatnonzero(numbers >= 0)
        its = self.skus[numbers[places]]
        first, count = its[:, FIRST_ROW], its[:, ROWS]
        before = np.cumsum(count) - count
        rows = np.repeat(first - before, count) + np.arange(int(count.sum()))
        return self.positions[rows], np.repeat(places, count)

    def skus_at(self, location: int) -> Iterator[str]:
        """SKUs that have a position at a location now. Looks at every position: for work, not for questions."""
        rows = np.flatnonzero(self.positions[: int(self.counters[ROW_COUNT]), LOCATION] == location)
        return (name.decode() for name in self.index.names(self.sku_count, self.in_use(rows)[1]))

    def in_use(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Those of `rows` that are no holes, and the numbers of their SKUs."""
        skus = self.skus[: self.sku_count]
        used = np.flatnonzero(skus[:, ROWS])
        order = used[np.argsort(skus[used, FIRST_ROW])]
        first = skus[order, FIRST_ROW]
        place = np.searchsorted(first, rows, side="right") - 1
        rows, place = rows[place >= 0], place[place >= 0]
        is_used = rows < first[place] + skus[order[place], ROWS]
        return rows[is_used], order[place[is_used]]

    def all_positions(self) -> Iterator[tuple[str, str, int, int, int, int]]:
        """Every (sku, location, on_hand, reserved, expired, revision), for checks against the store."""
        for number, name in enumerate(self.index.names(self.sku_count)):
            sku = name.decode()
            for row in self.rows(number)[:, [LOCATION, ON_HAND, RESERVED, EXPIRED, REVISION]].tolist():
                yield (sku, self.locations.names[row[0]], row[1], row[2], row[3], row[4])

    def ring_fences(self, row: Sequence[int]) -> list[tuple[str, int, int]]:
        """Ring-fences of one of the `rows`, by channel: (channel, units as stored, units of holds that are over)."""
        found = []
        line = int(row[FENCES]) - 1
        while line >= 0:
            fence = self.fences[line].tolist()
            if fence[FENCE_UNITS] or fence[FENCE_OVER]:
                found.append((self.channels.names[fence[FENCE_CHANNEL]], fence[FENCE_UNITS], fence[FENCE_OVER]))
            line = fence[FENCE_NEXT] - 1
        return sorted(found)

    def all_ring_fences(self) -> Iterator[tuple[str, str, str, int, int]]:
        """Every (sku, location, channel, units as stored, units of holds that are over), for checks."""
        for number, name in enumerate(self.index.names(self.sku_count)):
            for row in self.rows(number).tolist():
                for fence in self.ring_fences(row):
                    yield (name.decode(), self.locations.names[row[LOCATION]], *fence)
