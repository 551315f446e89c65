"""A replica that says what a test wants it to say, for what is decided from one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from invengine.domain.incoming import SECONDS_OF_DAY, Receipt
from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, POSITION_COLUMNS, RESERVED
from invengine.services.shelf import Shelf

NOW_DAY = 20_000
NOW_MS = NOW_DAY * SECONDS_OF_DAY * 1000 + 12_345


class Rows:
    """Rows as a numpy array hands them out."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._rows = rows

    def tolist(self) -> list[list[int]]:
        return self._rows


class _Incoming:
    """Receipts and backorders, as a replica hands them out."""

    def __init__(self, receipts: dict[str, list[Receipt]], backordered: dict[tuple[str, str], int]) -> None:
        self._receipts, self._backordered = receipts, backordered

    def __contains__(self, sku: str) -> bool:
        return sku in self._receipts or any(sku == name for name, _ in self._backordered)

    def receipts(self, sku: str) -> list[Receipt]:
        return list(self._receipts.get(sku, ()))

    def backordered(self, sku: str, location: str) -> int:
        return self._backordered.get((sku, location), 0)


class FakeReplica:
    """Positions, receipts and backorders by SKU and location; `replica` where a Replica is wanted."""

    def __init__(self) -> None:
        self.partitions = 1
        self.stopping: tuple[str, ...] = ()
        self._skus: dict[str, list[list[int]]] = {}
        self._fences: dict[tuple[int, int], dict[str, int]] = {}
        self._backordered: dict[tuple[str, str], int] = {}
        self._receipts: dict[str, list[Receipt]] = {}
        self.locations = SimpleNamespace(names=[])
        self.columns = SimpleNamespace(find_sku=self._find, rows=self._rows, ring_fences=self._ring_fences)
        self.incoming = _Incoming(self._receipts, self._backordered)

    def position(
        self,
        sku: str,
        location: str,
        on_hand: int,
        reserved: int = 0,
        expired: int = 0,
        fences: dict[str, int] | None = None,
    ) -> None:
        """One position; `expired` of the reserved units are over by the clock."""
        if location not in self.locations.names:
            self.locations.names.append(location)
        row = [0] * POSITION_COLUMNS
        row[LOCATION], row[ON_HAND] = self.locations.names.index(location), on_hand
        row[RESERVED], row[EXPIRED] = reserved, expired
        rows = self._skus.setdefault(sku, [])
        self._fences[list(self._skus).index(sku), row[LOCATION]] = fences or {}
        row.append(list(self._skus).index(sku))
        rows.append(row)

    def receipt(self, sku: str, location: str, receipt_id: str, days: int, quantity: int, pegged: int = 0) -> None:
        """A receipt that is expected so many days from today."""
        self._receipts.setdefault(sku, []).append(
            Receipt(sku, location, receipt_id, NOW_DAY + days, quantity, pegged, 1)
        )

    def backorder(self, sku: str, location: str, units: int) -> None:
        """Units that are backordered already."""
        self._backordered[sku, location] = units

    def advance(self, now_ms: int) -> None:
        assert now_ms == NOW_MS

    @property
    def replica(self) -> Any:
        return self

    def shelf(self, channel: str = "web", *, borrows: bool = True) -> Shelf:
        """What the channel could take."""
        return Shelf(self.replica, NOW_MS, channel, borrows=borrows)

    def _find(self, sku: str) -> int:
        return list(self._skus).index(sku) if sku in self._skus else -1

    def _rows(self, number: int) -> Rows:
        return Rows(list(self._skus.values())[number])

    def _ring_fences(self, row: list[int]) -> list[tuple[str, int, int]]:
        return [(channel, units, 0) for channel, units in self._fences[row[-1], row[LOCATION]].items()]
