"""Transfers: stock on its way between locations, told from the reservation that one is and from what is on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from invengine.domain.incoming import Receipt
from invengine.domain.orders import Fulfilment, Reservation, ReservationLine


class TransferState(StrEnum):
    """PLANNED -> PARTLY_SHIPPED -> IN_TRANSIT -> CLOSED; or CANCELLED before anything left."""

    PLANNED = "PLANNED"
    PARTLY_SHIPPED = "PARTLY_SHIPPED"
    IN_TRANSIT = "IN_TRANSIT"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class TransferLine:
    """Units of one SKU: `planned` have not left, `shipped` have, `in_transit` of these are on the way, `cancelled`
    never left. `expected_day` is that of what is on the way, else of what will leave.
    """

    line_id: str
    sku: str
    quantity: int
    planned: int
    shipped: int
    cancelled: int
    in_transit: int
    pegged: int
    expected_day: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer as it is."""

    transfer_id: str
    from_location: str
    to_location: str
    lines: tuple[TransferLine, ...]
    source: str
    reason: str
    reference: str
    created_at_ms: int
    revision: int
    is_live: bool
    """Whether its record still is."""

    @property
    def state(self) -> TransferState:
        """What became of it, by its units."""
        is_planned = any(line.planned for line in self.lines)
        if not any(line.shipped for line in self.lines):
            return TransferState.PLANNED if is_planned else TransferState.CANCELLED
        if is_planned:
            return TransferState.PARTLY_SHIPPED
        return TransferState.IN_TRANSIT if any(line.in_transit for line in self.lines) else TransferState.CLOSED

    @property
    def is_over(self) -> bool:
        """Whether nothing of it can happen any more."""
        return self.state in (TransferState.CLOSED, TransferState.CANCELLED)


def is_transfer(reservation: Reservation) -> bool:
    """Whether a reservation is a transfer: then all its lines are."""
    return reservation.lines[0].fulfilment is Fulfilment.TRANSFER


def places_of(reservation: Reservation) -> list[tuple[str, str]]:
    """SKU and destination of each line of a transfer."""
    return [(line.sku, line.destination.location) for line in reservation.lines]


def transfer_of(reservation: Reservation, receipts: Mapping[tuple[str, str], Receipt], *, is_live: bool) -> Transfer:
    """The transfer that a reservation is; `receipts` are those under its id, by SKU and location."""
    first = reservation.lines[0]
    return Transfer(
        reservation.reservation_id,
        first.allocations[0].location,
        first.destination.location,
        tuple(_line_of(line, receipts.get((line.sku, line.destination.location))) for line in reservation.lines),
        reservation.channel,
        reservation.cart_ref,
        reservation.order_ref,
        reservation.created_at_ms,
        reservation.revision,
        is_live,
    )


def _line_of(line: ReservationLine, receipt: Receipt | None) -> TransferLine:
    of_it = receipt if receipt is not None and receipt.from_location == line.allocations[0].location else None
    return TransferLine(
        line.line_id,
        line.sku,
        line.quantity,
        sum(allocation.open for allocation in line.allocations),
        sum(allocation.fulfilled for allocation in line.allocations),
        sum(allocation.released for allocation in line.allocations),
        of_it.quantity if of_it else 0,
        of_it.pegged if of_it else 0,
        of_it.expected_day if of_it else line.expected_day,
    )
