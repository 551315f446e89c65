"""Units that are reserved and not there. Days are days since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invengine.domain.orders import Fulfilment

Place = tuple[str, str]
"""SKU and location."""


@dataclass(frozen=True, slots=True)
class UncoveredLine:
    """A line with units at a position that are not there.

    `quantity`      units that it has reserved there; `uncovered` of them are not there
    `units_per_kit` of the component in one kit; 1 where it is part of none
    `expires_at`    in seconds, 0 where it does not expire
    `cover_day`     by which receipts that are promised to nobody have brought all of them, 0 for never
    `promised_day`  on which the line was promised to be there, 0 where it was promised no day
    """

    reservation_id: str
    line_id: str
    asked_line_id: str
    asked_sku: str
    units_per_kit: int
    quantity: int
    uncovered: int
    channel: str
    customer_ref: str
    order_ref: str
    fulfilment: Fulfilment
    created_at_ms: int
    expires_at: int
    cover_day: int = 0
    promised_day: int = 0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A position with more reserved than is on hand; `lines` are those that are not covered, the newest first."""

    sku: str
    location: str
    on_hand: int
    reserved: int
    lines: tuple[UncoveredLine, ...]

    @property
    def place(self) -> Place:
        """SKU and location."""
        return self.sku, self.location

    @property
    def units(self) -> int:
        """Units reserved beyond on_hand."""
        return self.reserved - self.on_hand
