"""Demand, learnt from the change log: from what Redis still has of it, then as it grows."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine import kernels
from invengine.kernels.layout import (
    DEMAND_COLUMNS,
    DEMAND_ENTRY,
    DEMAND_ORDER,
    DEMAND_PLACE_AT,
    DEMAND_SKU_AT,
    DEMAND_TO_AT,
    DEMAND_UNITS,
)
from invengine.services.demand_rates import Columns, DemandRates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.replica.state import Entry
    from invengine.services.scarcity_network import NetworkRegions

MEMORY_BYTES: Final = 64 * 1024 * 1024
SKU_BYTES: Final = 150
"""Of the name of a SKU and its place in a dict, beside its columns."""
LINE_BYTES: Final = 16
"""The shortest line that a customer wanted takes more than that of the log."""


class SeenDemand:
    """Rates by SKU and home, from lines as they are read. Of more SKUs than fit, the ones that are wanted least go."""

    def __init__(self, half_life_days: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._numbers: dict[bytes, int] = {}
        self._free: list[int] = []
        self._columns: dict[str, int] = {}
        self.rates = DemandRates(0, half_life_days)
        self.lines = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def skus(self) -> list[str]:
        """Those of which demand was seen."""
        return [name.decode() for name in self._numbers]

    def copied(self) -> SeenDemand:
        """What is known now, for somebody who goes on without what is learnt from now on."""
        found = SeenDemand(0.0, self._memory_bytes)
        found._numbers, found._free, found._columns = dict(self._numbers), list(self._free), dict(self._columns)
        found.rates, found.lines = deepcopy(self.rates), self.lines
        return found

    def columns_of(self, names: Sequence[str]) -> Columns:
        """The numbers that forecasts have of locations; new ones get theirs."""
        for name in names:
            self._columns.setdefault(name, len(self._columns))
        self.rates.widen(len(self._columns))
        return np.array([self._columns[name] for name in names], np.int64)

    def numbers_of(self, skus: Sequence[str]) -> Columns:
        """The numbers of SKUs, -1 for those that were never wanted."""
        return np.array([self._numbers.get(sku.encode(), -1) for sku in skus], np.int64)

    def take(self, entries: Sequence[Entry], regions: NetworkRegions, columns: Columns) -> None:
        """Takes in entries of the log, in their order; `columns` are those of the network's locations."""
        if not entries:
            return
        self.rates.begin(entries[0].recorded_at_ms)
        buffer = b"".join([entry.rows for entry in entries])
        ends = np.cumsum([len(entry.rows) for entry in entries])
        spans = np.stack((np.concatenate(([0], ends[:-1])), ends), axis=1).astype(np.int64)
        out = np.empty((len(buffer) // LINE_BYTES + 1, DEMAND_COLUMNS), np.int64)
        found = out[: kernels.demand_lines(np.frombuffer(buffer, np.uint8), spans, out)]
        where = self._regions_of(buffer, found, regions)
        known = where >= 0
        found, where = found[known], where[known]
        if not found.size:
            return
        regions.note(where)
        at_ms = np.array([entry.recorded_at_ms for entry in entries], np.int64)[found[:, DEMAND_ENTRY]]
        self.rates.add(
            self._sku_numbers(buffer, found),
            columns[regions.home_of(where)],
            np.ascontiguousarray(found[:, DEMAND_UNITS]),
            at_ms,
            np.unique(found[:, DEMAND_ORDER]).size,
        )
        self.lines += len(found)

    def _regions_of(self, buffer: bytes, found: Columns, regions: NetworkRegions) -> Columns:
        region_of = regions.region_of
        spans = found[:, DEMAND_PLACE_AT : DEMAND_TO_AT + 2].tolist()
        return np.array(
            [region_of(buffer[to : to + to_bytes], buffer[at : at + length]) for at, length, to, to_bytes in spans],
            np.int64,
        )

    def _sku_numbers(self, buffer: bytes, found: Columns) -> Columns:
        names = [buffer[at : at + length] for at, length in found[:, DEMAND_SKU_AT : DEMAND_SKU_AT + 2].tolist()]
        new = {name for name in names if name not in self._numbers}
        if new:
            self._make_room(len(new))
            for name in sorted(new):
                self._numbers[name] = self._free.pop() if self._free else len(self._numbers)
        return np.array([self._numbers[name] for name in names], np.int64)

    def _make_room(self, count: int) -> None:
        """Lets the SKUs that are wanted least go, a quarter of all at a time, when memory is full."""
        room = max(self._memory_bytes // (SKU_BYTES + 16 + 4 * max(len(self._columns), 1)), 4)
        if len(self._numbers) + count <= room or not self._numbers:
            return
        going = min(len(self._numbers), max(len(self._numbers) // 4, len(self._numbers) + count - room))
        numbers = np.array(list(self._numbers.values()), np.int64)
        lines = self.rates.lines_of(numbers)
        gone = numbers[np.argsort(lines, kind="stable")[:going]]
        left = set(gone.tolist())
        self._numbers = {name: number for name, number in self._numbers.items() if number not in left}
        self._free += sorted(left)
        self.rates.forget(gone)
