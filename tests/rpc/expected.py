"""What the tests of receipts, promises and ring-fences share: days from today, receipts, numbers of a position."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from invengine.v1 import common_pb2, incoming_service_pb2, promise_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs

FRESH = common_pb2.Consistency(fully_consistent=True)


def in_days(days: int) -> common_pb2.Date:
    """The UTC day so many days from now; far enough from midnight either way when it is not 0 or 1."""
    day = datetime.now(UTC).date() + timedelta(days=days)
    return common_pb2.Date(year=day.year, month=day.month, day=day.day)


def as_day(wire: common_pb2.Date) -> date | None:
    """The day of a message, None where it is not set."""
    return date(wire.year, wire.month, wire.day) if wire.year else None


class Schedule:
    """Receipts of one SKU at one location, by the verbs of IncomingService."""

    def __init__(self, stubs: Stubs, sku: str = "LAMP", location: str = "DC") -> None:
        self._stubs = stubs
        self.sku, self.location = sku, location
        self._place = {"sku": sku, "location": location, "source": "erp"}
        self._number = 0

    def _request(self, receipt_id: str, given: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        name = f"{self._place['sku']} {self._place['location']} {receipt_id} {self._number}"
        named = {"receipt_id": receipt_id, "request_id": name}
        return self._place | named | given

    async def set(
        self, receipt_id: str, quantity: int, days: int, **more: Any
    ) -> incoming_service_pb2.SetIncomingResponse:
        """So many units in so many days."""
        given = {"quantity": quantity, "expected_date": in_days(days), **more}
        request = incoming_service_pb2.SetIncomingRequest(**self._request(receipt_id, given))
        return await self._stubs.incoming.SetIncoming(request)

    async def slip(self, receipt_id: str, days: int, **more: Any) -> incoming_service_pb2.SlipIncomingResponse:
        """Another day."""
        given = {"expected_date": in_days(days), **more}
        request = incoming_service_pb2.SlipIncomingRequest(**self._request(receipt_id, given))
        return await self._stubs.incoming.SlipIncoming(request)

    async def cancel(self, receipt_id: str, **more: Any) -> incoming_service_pb2.CancelIncomingResponse:
        """Nothing more of it."""
        request = incoming_service_pb2.CancelIncomingRequest(**self._request(receipt_id, more))
        return await self._stubs.incoming.CancelIncoming(request)

    async def receive(
        self, receipt_id: str, quantity: int, **more: Any
    ) -> incoming_service_pb2.ReceiveIncomingResponse:
        """Units of it arrived."""
        request = incoming_service_pb2.ReceiveIncomingRequest(
            **self._request(receipt_id, {"quantity": quantity, **more})
        )
        return await self._stubs.incoming.ReceiveIncoming(request)

    async def position(self) -> stock_service_pb2.Position:
        """The position."""
        request = stock_service_pb2.GetPositionRequest(
            sku=self._place["sku"], location=self._place["location"], consistency=FRESH
        )
        return (await self._stubs.stock.GetPosition(request)).position

    async def numbers(self) -> tuple[int, int, int]:
        """on_hand, reserved, backordered."""
        position = await self.position()
        return position.on_hand, position.reserved, position.backordered


async def broken_promises(stubs: Stubs, **which: Any) -> list[incoming_service_pb2.BrokenPromise]:
    """The list of broken promises."""
    request = promise_service_pb2.ListBrokenPromisesRequest(**which)
    return list((await stubs.promises.ListBrokenPromises(request)).broken_promises)


def rests_on(line: pb.ReservationLine) -> list[tuple[str, int]]:
    """What the open units of a line rest on: a receipt, `backorder` or a location, and how many units do."""
    found = []
    for allocation in line.allocations:
        what = allocation.receipt_id or ("backorder" if allocation.backordered else allocation.location)
        found.append((what, allocation.quantity - allocation.fulfilled - allocation.released))
    return [(what, units) for what, units in found if units]


async def rests_now(stubs: Stubs, reservation_id: str) -> list[tuple[str, int]]:
    """The same of all lines of a reservation as it is now."""
    request = pb.GetReservationRequest(reservation_id=reservation_id, channel="web")
    reservation = (await stubs.reservations.GetReservation(request)).reservation
    return [one for line in reservation.lines for one in rests_on(line)]


def yesterday() -> Timestamp:
    """An instant a day ago."""
    made = Timestamp()
    made.FromDatetime(datetime.now(UTC) - timedelta(days=1))
    return made
