"""Snapshots through the API: the client's side of tests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import timestamp_pb2

from invengine.v1 import reservation_service_pb2, stock_service_pb2
from tests.rpc.engines import Stubs, create

MINUTE = 60_000
Request = stock_service_pb2.ApplySnapshotRequest
Answer = stock_service_pb2.ApplySnapshotResponse


def now_ms() -> int:
    """This machine's clock, which is that of Redis too."""
    return time.time_ns() // 1_000_000


def instant(milliseconds: int) -> timestamp_pb2.Timestamp:
    """An instant as the API says it."""
    return timestamp_pb2.Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def parts(as_of_ms: int, rows: Iterable[tuple[Any, ...]], per_message: int = 2, **header: Any) -> Iterator[Request]:
    """The messages of a snapshot of DC; rows are SKU, quantity and perhaps a state."""
    made = [
        stock_service_pb2.SnapshotRow(sku=sku, quantity=quantity, state=state[0] if state else "")
        for sku, quantity, *state in rows
    ]
    first = Request(**{"source": "erp", "snapshot_id": "s1", "location": "DC", "as_of": instant(as_of_ms), **header})
    first.rows.extend(made[:per_message])
    yield first
    for start in range(per_message, len(made), per_message):
        yield Request(rows=made[start : start + per_message])


async def snapshot(stubs: Stubs, as_of_ms: int, rows: Iterable[tuple[Any, ...]], **header: Any) -> Answer:
    """Applies a snapshot of DC."""
    answer: Answer = await stubs.stock.ApplySnapshot(parts(as_of_ms, rows, **header))
    return answer


async def order(stubs: Stubs, order_ref: str, sku: str = "LAMP", quantity: int = 2, **more: Any) -> str:
    """A confirmed reservation of an order at DC; its id."""
    line = {"location": "DC", **more.pop("line", {})}
    made = await stubs.reservations.CreateReservation(
        create(f"make {order_ref} {sku} {quantity}", sku, quantity, order_ref=order_ref, line=line, **more)
    )
    await change(stubs, "Confirm", made.reservation.reservation_id)
    return str(made.reservation.reservation_id)


async def change(stubs: Stubs, verb: str, reservation_id: str, **more: Any) -> Any:
    """Confirms, fulfils or releases a reservation."""
    request = getattr(reservation_service_pb2, f"{verb}ReservationRequest")
    call = getattr(stubs.reservations, f"{verb}Reservation")
    return await call(
        request(request_id=f"{verb} {reservation_id}", reservation_id=reservation_id, channel="web", **more)
    )


async def state_of(stubs: Stubs, reservation_id: str) -> str:
    """The state of a reservation, as a word."""
    found = await stubs.reservations.GetReservation(
        reservation_service_pb2.GetReservationRequest(reservation_id=reservation_id, channel="web")
    )
    name = reservation_service_pb2.Reservation.State.Name(found.reservation.state)
    return name.removeprefix("STATE_")


async def move(stubs: Stubs, sku: str, quantity: int, at_ms: int, kind: str = "RECEIPT", **more: Any) -> Any:
    """One movement, at DC unless said; its outcome."""
    movement = stock_service_pb2.Movement(
        source="wms",
        event_id=more.pop("event_id", f"{kind} {sku} {quantity} {at_ms} {more.get('location')}"),
        occurred_at=instant(at_ms),
        kind=stock_service_pb2.Movement.Kind.Value(f"KIND_{kind}"),
        sku=sku,
        location=more.pop("location", "DC"),
        quantity=quantity,
        reason="test",
        **more,
    )
    response = await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))
    return response.outcomes[0]


async def units(stubs: Stubs, sku: str, location: str = "DC") -> tuple[int, int]:
    """on_hand and reserved, by Redis."""
    request = stock_service_pb2.GetPositionRequest(sku=sku, location=location)
    request.consistency.fully_consistent = True
    position = (await stubs.stock.GetPosition(request)).position
    return position.on_hand, position.reserved


async def states(stubs: Stubs, sku: str, location: str = "DC") -> dict[str, int]:
    """Units in states, by Redis."""
    request = stock_service_pb2.GetPositionRequest(sku=sku, location=location)
    request.consistency.fully_consistent = True
    position = (await stubs.stock.GetPosition(request)).position
    return {one.state: one.quantity for one in position.states}


async def violations(stubs: Stubs) -> list[Any]:
    """What `check --replay` finds."""
    from invengine.v1 import admin_service_pb2

    answer = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    return list(answer.violations)
