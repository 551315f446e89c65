"""Short ways to say movements, requests and changes in tests."""

from __future__ import annotations

import itertools

from invengine.domain.incoming import IncomingChange, IncomingKind
from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    LineRequest,
    LineUnits,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.stock import Movement, MovementKind

_counter = itertools.count(1)


def movement(kind: str, quantity: int, at: int, sku: str = "LAMP", location: str = "AMS1", **more) -> Movement:
    """A movement of its own event unless `event_id` says otherwise."""
    event_id = more.pop("event_id", None) or f"event {next(_counter)}"
    return Movement("erp", event_id, at, MovementKind(kind), sku, location, quantity, **more)


def line(quantity: int, *candidates: str | Candidate, sku: str = "LAMP", line_id: str = "1", **more) -> LineRequest:
    """A line over candidates without safety stock, AMS1 unless said otherwise."""
    places = tuple(c if isinstance(c, Candidate) else Candidate(c) for c in candidates or ("AMS1",))
    return LineRequest(line_id, sku, quantity, places, **more)


def request(*lines: LineRequest | int, reservation_id: str = "", **more) -> ReserveRequest:
    """A request of its own to hold lines (numbers are units of LAMP at AMS1) for a minute."""
    n = next(_counter)
    defaults = {"request_id": f"request {n}", "fingerprint": "A", "channel": "web", "time_to_live_seconds": 60}
    said = tuple(line(each) if isinstance(each, int) else each for each in lines)
    return ReserveRequest(reservation_id=reservation_id or f"reservation {n}", lines=said, **(defaults | more))


def change(reservation_id: str, *lines: LineUnits, **more) -> ReservationChange:
    """A change of a reservation, a request of its own."""
    defaults = {"request_id": f"request {next(_counter)}", "fingerprint": "A", "channel": "till"}
    return ReservationChange(reservation_id=reservation_id, lines=lines, **(defaults | more))


def incoming(kind: str, quantity: int = 0, day: int = 0, receipt_id: str = "PO1", **more) -> IncomingChange:
    """A change of a receipt of LAMP at AMS1, an event of its own."""
    defaults = {"source": "erp", "request_id": f"event {next(_counter)}", "sku": "LAMP", "location": "AMS1"}
    named = {"kind": IncomingKind(kind), "receipt_id": receipt_id, "quantity": quantity, "expected_day": day}
    return IncomingChange(**(defaults | named | more))


def transfer(*lines: tuple[str, int], day: int, transfer_id: str = "T1", **more) -> ReserveRequest:
    """A transfer of (SKU, units) from AMS1 to BER1, a request of its own; `start` and `end` are other places."""
    start, end = more.pop("start", "AMS1"), more.pop("end", "BER1")
    asked = [
        LineRequest(
            str(n), sku, units, (Candidate(start),), Fulfilment.TRANSFER, Destination(location=end), expected_day=day
        )
        for n, (sku, units) in enumerate(lines, 1)
    ]
    defaults = {"channel": "planner", "time_to_live_seconds": 0, "is_transfer": True}
    return request(*asked, reservation_id=transfer_id, **(defaults | more))
