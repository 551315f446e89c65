"""Incoming receipts and backorders as the change log has them: few beside the positions, so plain objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from invengine.domain.incoming import Receipt
from invengine.domain.stock import UNITS_MAX
from invengine.replica.rows import RowMalformed, columns_of, number_in

_COLUMNS: Final = 11  # of an I row, what stands behind its last TAB among them; one more where a transfer brings it
_DAYS_MAX: Final = 2_932_896  # the last day of the year 9999

Key = tuple[str, str]
"""Location and receipt_id; without a receipt_id: what is backordered there."""


class Incoming:
    """Open receipts and backordered units. A row that is older than what is known changes nothing."""

    def __init__(self) -> None:
        self._by_sku: dict[str, dict[Key, Receipt]] = {}
        self.compiled: dict[str, object] = {}  # by SKU, whatever a reader made of what is here; gone when that changes
        self.changed: set[str] | None = None  # SKUs whose rows were applied, while somebody wants to know

    def __bool__(self) -> bool:
        return bool(self._by_sku)

    def __contains__(self, sku: str) -> bool:
        """Whether anything of the SKU is expected or backordered."""
        return sku in self._by_sku

    def receipts(self, sku: str) -> list[Receipt]:
        """The open receipts of a SKU by day, then location and reference."""
        return _in_order(self._by_sku.get(sku, {}))

    def open_receipts(self, sku: str) -> list[Receipt]:
        """The open receipts of a SKU, in no order."""
        kept = self._by_sku.get(sku)
        return [receipt for receipt in kept.values() if receipt.receipt_id] if kept else []

    def all(self) -> list[Receipt]:
        """Every open receipt by day, then SKU, location and reference."""
        found = [receipt for kept in self._by_sku.values() for receipt in kept.values() if receipt.receipt_id]
        return sorted(found, key=lambda receipt: (receipt.expected_day, receipt.sku, *_place(receipt)))

    def backordered(self, sku: str, location: str) -> int:
        """Units promised at the position that no receipt is known for."""
        kept = self._by_sku.get(sku)
        found = kept.get((location, "")) if kept else None
        return found.pegged if found else 0

    def all_backordered(self) -> dict[tuple[str, str], int]:
        """Backordered units by (SKU, location), where there are any."""
        return {
            (sku, location): receipt.pegged
            for sku, kept in self._by_sku.items()
            for (location, receipt_id), receipt in kept.items()
            if not receipt_id
        }

    def load(self, receipts: Iterable[Receipt]) -> None:
        """Takes in what the store has; a backorder is a receipt without a receipt_id whose `pegged` are its units."""
        for receipt in receipts:
            self._keep(receipt)

    def apply(self, revision: int, row: bytes) -> None:
        """Takes in an I row, without its line feed, of an entry of this revision. RowMalformed."""
        has_from = row.count(b"\t") == _COLUMNS
        columns = columns_of(row, "I", _COLUMNS + has_from)
        _, sku, location, receipt_id, day, quantity, pegged, *_ = columns
        from_location = columns[-2] if has_from else ""
        if not sku or not location:
            raise RowMalformed
        if self.changed is not None:
            self.changed.add(sku)
        self._keep(
            Receipt(
                sku,
                location,
                receipt_id,
                number_in(day, _DAYS_MAX),
                number_in(quantity, UNITS_MAX),
                number_in(pegged, UNITS_MAX),
                revision,
                from_location,
            )
        )

    def _keep(self, receipt: Receipt) -> None:
        self.compiled.pop(receipt.sku, None)
        kept = self._by_sku.setdefault(receipt.sku, {})
        key = _place(receipt)
        if key not in kept or kept[key].revision <= receipt.revision:
            if receipt.quantity or receipt.pegged:
                kept[key] = receipt
            else:
                kept.pop(key, None)
        if not kept:
            del self._by_sku[receipt.sku]


def _place(receipt: Receipt) -> Key:
    return receipt.location, receipt.receipt_id


def _in_order(kept: Mapping[Key, Receipt]) -> list[Receipt]:
    found = [receipt for receipt in kept.values() if receipt.receipt_id]
    found.sort(key=lambda receipt: (receipt.expected_day, *_place(receipt)))
    return found
