"""What all adapters need: units from the numbers of a case, calls, and the refusal that a call must meet."""

from __future__ import annotations

from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

from invengine.v1 import availability_service_pb2, common_pb2, reservation_service_pb2, stock_service_pb2
from tests.rpc.engines import Stubs, refused

FRESH = common_pb2.Consistency(fully_consistent=True)


def units(number: Any, decimals: int = 0) -> int:
    """A number of a case in units: 5.5 with one decimal is 55."""
    scaled = Decimal(str(number)).scaleb(decimals)
    assert scaled == int(scaled), f"{number} has more than {decimals} decimals"
    return int(scaled)


async def answer(call: Awaitable[Any], word: str = "") -> Any:
    """The answer of a call, or None where it must be refused with `word`."""
    if not word:
        return await call
    assert (await refused(call)).reason == word
    return None


async def available(stubs: Stubs, sku: str, channel: str, **more: Any) -> int:
    """What a channel can take now."""
    request = availability_service_pb2.GetAvailabilityRequest(sku=sku, channel=channel, consistency=FRESH, **more)
    response = await stubs.availability.GetAvailability(request)
    assert response.available == sum(position.available for position in response.positions)
    return response.available


async def reserve(stubs: Stubs, order: str, channel: str, lines: list[dict[str, Any]], **more: Any) -> Any:
    """Reserve for an order; its id names the request and the reservation."""
    request = reservation_service_pb2.CreateReservationRequest(
        request_id=order, reservation_id=order, channel=channel, lines=lines, **more
    )
    return await stubs.reservations.CreateReservation(request)


async def move(
    stubs: Stubs, event_id: str, kind: str, quantity: int, sku: str, location: str, channel: str = ""
) -> Any:
    """The outcome of one movement."""
    movement = stock_service_pb2.Movement(
        source="case",
        event_id=event_id,
        kind=stock_service_pb2.Movement.Kind.Value(f"KIND_{kind}"),
        sku=sku,
        location=location,
        quantity=quantity,
        reason="case" if kind == "ADJUSTMENT" else "",
        channel=channel,
    )
    response = await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))
    (outcome,) = response.outcomes
    return outcome


def rests_on(reservation: Any) -> list[tuple[str, str, str, int]]:
    """What the open units of a reservation rest on: (SKU, location, `shelf` or `backorder` or a receipt, units)."""
    found = []
    for line in reservation.lines:
        for allocation in line.allocations:
            what = allocation.receipt_id or ("backorder" if allocation.backordered else "shelf")
            left = allocation.quantity - allocation.fulfilled - allocation.released
            found.append((line.sku, allocation.location, what, left))
    return [one for one in found if one[-1]]
