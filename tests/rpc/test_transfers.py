"""Transfers through the API: every step with its numbers, what is refused, what is answered twice."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from invengine.v1 import availability_service_pb2, incoming_service_pb2, promise_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as reservation_pb
from invengine.v1 import transfer_service_pb2 as pb
from tests.conftest import RunningRedis
from tests.rpc.engines import Stubs, create, engine, refused
from tests.rpc.expected import FRESH, as_day, in_days

pytestmark = pytest.mark.asyncio


class Moves:
    """Transfers from DC to LON by the verbs of TransferService."""

    def __init__(self, stubs: Stubs) -> None:
        self.stubs = stubs
        self._count = 0

    def _who(self, more: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        return {"request_id": f"r{self._count}", "source": "planner", **more}

    async def create(self, transfer_id: str = "T1", units: dict[str, int] | None = None, **more: Any) -> Any:
        lines = [
            pb.TransferLineRequest(sku=sku, quantity=quantity)
            for sku, quantity in (units or {"LAMP": 4, "SOFA": 2}).items()
        ]
        given = {
            "transfer_id": transfer_id,
            "from_location": "DC",
            "to_location": "LON",
            "lines": lines,
            "expected_date": in_days(3),
        }
        return await self.stubs.transfers.CreateTransfer(pb.CreateTransferRequest(**self._who(given | more)))

    async def ship(self, units: dict[str, int] | None = None, transfer_id: str = "T1", **more: Any) -> Any:
        lines = [pb.TransferLineUnits(line_id=name, quantity=n) for name, n in (units or {}).items()]
        given = {"transfer_id": transfer_id, "lines": lines}
        return await self.stubs.transfers.ShipTransfer(pb.ShipTransferRequest(**self._who(given | more)))

    async def receive(self, units: dict[str, int] | None = None, transfer_id: str = "T1", **more: Any) -> Any:
        arrivals = [pb.TransferArrival(sku=sku, quantity=n) for sku, n in (units or {}).items()]
        given = {"transfer_id": transfer_id, "arrivals": arrivals}
        return await self.stubs.transfers.ReceiveTransfer(pb.ReceiveTransferRequest(**self._who(given | more)))

    async def cancel(self, transfer_id: str = "T1", **more: Any) -> Any:
        request = pb.CancelTransferRequest(**self._who({"transfer_id": transfer_id} | more))
        return await self.stubs.transfers.CancelTransfer(request)

    async def get(self, transfer_id: str = "T1") -> pb.Transfer:
        answer = await self.stubs.transfers.GetTransfer(pb.GetTransferRequest(transfer_id=transfer_id))
        return answer.transfer

    async def list(self, **more: Any) -> list[str]:
        found, token = [], ""
        while True:
            request = pb.ListTransfersRequest(page_size=2, page_token=token, **more)
            answer = await self.stubs.transfers.ListTransfers(request)
            found += [transfer.transfer_id for transfer in answer.transfers]
            token = answer.next_page_token
            if not token:
                return found


def units(transfer: pb.Transfer) -> list[tuple[int, int, int, int]]:
    """Per line what is planned, shipped, cancelled, in transit."""
    return [(line.planned, line.shipped, line.cancelled, line.in_transit) for line in transfer.lines]


async def stocked(stubs: Stubs) -> Moves:
    await stubs.apply_network()
    for sku in ("LAMP", "SOFA"):
        await stubs.receive(sku, 10)
    return Moves(stubs)


async def position(stubs: Stubs, location: str, sku: str = "LAMP") -> stock_service_pb2.Position:
    request = stock_service_pb2.GetPositionRequest(sku=sku, location=location, consistency=FRESH)
    return (await stubs.stock.GetPosition(request)).position


async def test_a_transfer_is_made_shipped_and_received(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        made = await moves.create(reason="christmas windows", reference="TO-7")
        assert (made.transfer.state, units(made.transfer)) == (pb.Transfer.STATE_PLANNED, [(4, 0, 0, 0), (2, 0, 0, 0)])
        there = made.transfer
        assert (there.from_location, there.to_location, there.source) == ("DC", "LON", "planner")
        assert (there.reason, there.reference) == ("christmas windows", "TO-7")
        assert (await position(stubs, "DC")).reserved == 4

        sent = await moves.ship({"1": 3})
        assert (sent.transfer.state, units(sent.transfer)) == (
            pb.Transfer.STATE_PARTLY_SHIPPED,
            [(1, 3, 0, 3), (2, 0, 0, 0)],
        )
        dc, lon = await position(stubs, "DC"), await position(stubs, "LON")
        assert (dc.on_hand, dc.reserved) == (7, 1)
        (receipt,) = lon.incoming
        assert (receipt.receipt_id, receipt.quantity, receipt.from_location) == ("T1", 3, "DC")
        assert as_day(receipt.expected_date) == as_day(receipt.effective_date) == as_day(in_days(3))
        await moves.ship()
        assert (await moves.get()).state == pb.Transfer.STATE_IN_TRANSIT

        arrived = await moves.receive()
        assert (arrived.transfer.state, units(arrived.transfer)) == (
            pb.Transfer.STATE_CLOSED,
            [(0, 4, 0, 0), (0, 2, 0, 0)],
        )
        assert (await position(stubs, "LON")).on_hand == 4
        assert (await refused(moves.receive())).reason == "TRANSFER_CLOSED"
        assert (await refused(moves.ship())).reason == "TRANSFER_CLOSED"
        assert (await refused(moves.cancel())).reason == "TRANSFER_CLOSED"
        found = await stubs.reservations.GetReservation(
            reservation_pb.GetReservationRequest(reservation_id="T1", channel="web")
        )
        assert found.reservation.state == reservation_pb.Reservation.STATE_FULFILLED


async def test_units_on_the_way_are_offered_promised_and_served(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        await moves.create()
        await moves.ship({"1": 4})
        asked = availability_service_pb2.GetAvailabilityRequest(
            sku="LAMP", channel="web", locations=["LON"], consistency=FRESH
        )
        answer = await stubs.availability.GetAvailability(asked)
        assert (answer.available, answer.next_receipt.quantity) == (0, 4)
        line = {"location": "LON", "allow_backorder": True}
        await stubs.reservations.CreateReservation(create("R", quantity=3, line=line, reservation_id="R"))
        shown = (await moves.get()).lines[0]
        assert (shown.in_transit, shown.pegged) == (4, 3)
        await moves.receive({"LAMP": 4})
        lon = await position(stubs, "LON")
        assert (lon.on_hand, lon.reserved) == (4, 3)


async def test_lost_units_are_written_off_and_told_who_waits_for_them(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        await moves.create()
        await moves.ship()
        line = {"location": "LON", "allow_backorder": True}
        await stubs.reservations.CreateReservation(create("R", quantity=4, line=line, reservation_id="R"))
        assert (await refused(moves.receive(closes=True))).fields == ["reason"]
        answer = await moves.receive({"LAMP": 3}, closes=True, reason="fell off")
        assert (answer.transfer.state, units(answer.transfer)) == (
            pb.Transfer.STATE_CLOSED,
            [(0, 4, 0, 0), (0, 2, 0, 0)],
        )
        assert [(one.reservation_id, one.quantity) for one in answer.broken_promises] == [("R", 1)]
        listed = await stubs.promises.ListBrokenPromises(promise_service_pb2.ListBrokenPromisesRequest(sku="LAMP"))
        assert [one.receipt_id for one in listed.broken_promises] == ["T1"]
        request = stock_service_pb2.ListMovementsRequest(sku="SOFA", location="LON")
        ledger = (await stubs.stock.ListMovements(request)).entries
        told = [(e.kind, e.on_hand_after - e.on_hand_before, e.actor, e.reason, e.reference) for e in ledger]
        assert told == [
            ("ADJUSTMENT", -2, "planner", "fell off", "T1"),
            ("RECEIVE", 2, "planner", "", "T1"),
        ]


async def test_what_has_not_left_goes_back(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        await moves.create()
        await moves.ship({"1": 1})
        answer = await moves.cancel()
        assert (answer.transfer.state, units(answer.transfer)) == (
            pb.Transfer.STATE_IN_TRANSIT,
            [(0, 1, 3, 1), (0, 0, 2, 0)],
        )
        assert (await moves.receive()).transfer.state == pb.Transfer.STATE_CLOSED
        await moves.create("T2")
        assert (await moves.cancel("T2")).transfer.state == pb.Transfer.STATE_CANCELLED
        dc = await position(stubs, "DC")
        assert (dc.on_hand, dc.reserved) == (9, 0)


async def test_every_write_is_answered_as_the_first_time(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        for _ in range(2):
            made = await moves.create("", request_id="one")
        assert made.replayed
        name = made.transfer.transfer_id
        for _ in range(2):
            sent = await moves.ship({"1": 2}, name, request_id="two")
        assert (sent.replayed, units(sent.transfer)[0]) == (True, (2, 2, 0, 2))
        for _ in range(2):
            arrived = await moves.receive({"LAMP": 2}, name, request_id="three")
        assert (arrived.replayed, (await position(stubs, "LON")).on_hand) == (True, 2)
        for _ in range(2):
            back = await moves.cancel(name, request_id="four")
        assert (back.replayed, back.transfer.state) == (True, pb.Transfer.STATE_CLOSED)
        assert (await refused(moves.ship({"1": 1}, name, request_id="two"))).reason == "REQUEST_MISMATCH"


async def test_a_shipment_with_a_later_day_breaks_promises(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        await moves.create()
        await moves.ship({"1": 2})
        line = {"location": "LON", "allow_backorder": True}
        await stubs.reservations.CreateReservation(create("R", quantity=2, line=line, reservation_id="R"))
        answer = await moves.ship({"1": 2}, expected_date=in_days(8), request_id="again")
        assert [(one.reservation_id, one.receipt_id) for one in answer.broken_promises] == [("R", "T1")]
        assert as_day(answer.transfer.lines[0].expected_date) == as_day(in_days(8))
        assert as_day(answer.transfer.lines[1].expected_date) == as_day(in_days(3))
        repeated = await moves.ship({"1": 2}, expected_date=in_days(8), request_id="again")
        assert (repeated.replayed, units(repeated.transfer)[0]) == (True, (0, 4, 0, 4))


async def test_transfers_are_listed_by_side_and_state(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        for name in ("T3", "T1", "T2"):
            await moves.create(name, {"LAMP": 1})
        await moves.create("T4", {"LAMP": 1}, to_location="ABROAD")
        await moves.ship(transfer_id="T2")
        assert await moves.list() == ["T1", "T2", "T3", "T4"]
        assert await moves.list(location="LON") == ["T1", "T2", "T3"]
        assert await moves.list(location="LON", direction=pb.ListTransfersRequest.DIRECTION_OUT) == []
        assert await moves.list(location="DC", direction=pb.ListTransfersRequest.DIRECTION_OUT) == [
            "T1",
            "T2",
            "T3",
            "T4",
        ]
        assert await moves.list(state=pb.Transfer.STATE_IN_TRANSIT) == ["T2"]
        other = pb.ListTransfersRequest(direction=pb.ListTransfersRequest.DIRECTION_IN)
        assert (await refused(stubs.transfers.ListTransfers(other))).fields == ["direction"]


async def test_a_transfer_that_was_received_as_a_receipt_is_tidied(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (running, stubs):
        moves = await stocked(stubs)
        await moves.create("T1", {"LAMP": 4})
        await moves.ship()
        request = incoming_service_pb2.ReceiveIncomingRequest(
            request_id="x", source="wms", receipt_id="T1", sku="LAMP", location="LON", quantity=4
        )
        await stubs.incoming.ReceiveIncoming(request)
        assert (await moves.get()).state == pb.Transfer.STATE_CLOSED
        assert (await running.store.states())["CONFIRMED"] == 1
        closed = [await running.transfers.tidy(partition) for partition in range(running.store.partitions)]
        assert sum(closed) == 1
        assert (await running.store.states())["CONFIRMED"] == 0


@pytest.mark.parametrize(
    ("more", "reason", "fields"),
    [
        ({"from_location": ""}, "INVALID_ARGUMENT", ["from_location"]),
        ({"from_location": "MOON"}, "UNKNOWN_LOCATION", []),
        ({"to_location": "MOON"}, "UNKNOWN_LOCATION", []),
        ({"to_location": "DC"}, "INVALID_ARGUMENT", ["to_location"]),
        ({"expected_date": None}, "INVALID_ARGUMENT", ["expected_date"]),
        ({"lines": []}, "INVALID_ARGUMENT", ["lines"]),
        ({"lines": [{"sku": "LAMP", "quantity": 0}]}, "INVALID_ARGUMENT", ["lines[0].quantity"]),
        ({"lines": [{"sku": "LAMP", "quantity": -5}]}, "INVALID_ARGUMENT", ["lines[0].quantity"]),
        ({"lines": [{"sku": "LAMP", "quantity": 1}] * 2}, "INVALID_ARGUMENT", ["lines[1].sku"]),
        ({"lines": [{"sku": "NEW", "quantity": 1}]}, "UNKNOWN_SKU", []),
        ({"lines": [{"sku": "LAMP", "quantity": 11}]}, "INSUFFICIENT_STOCK", []),
        ({"source": ""}, "INVALID_ARGUMENT", ["source"]),
        ({"transfer_id": "R"}, "TRANSFER_EXISTS", []),
    ],
)
async def test_a_transfer_that_cannot_be_is_refused(
    redis_server: RunningRedis, more: dict[str, Any], reason: str, fields: list[str]
) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        await stubs.reservations.CreateReservation(create("R", reservation_id="R"))
        refusal = await refused(moves.create(**more))
        assert (refusal.reason, refusal.fields) == (reason, fields)
        assert (await position(stubs, "DC")).reserved == 1


async def test_what_is_no_transfer_and_what_is_no_part_of_it_is_refused(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with engine(redis_server.url) as (_, stubs):
        moves = await stocked(stubs)
        await stubs.reservations.CreateReservation(create("R", reservation_id="R"))
        for call in (moves.get("R"), moves.ship(None, "R"), moves.receive(None, "R"), moves.cancel("nobody")):
            refusal = await refused(call)
            assert (refusal.reason, refusal.code) == ("TRANSFER_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        await moves.create()
        assert (await refused(moves.ship({"1": 5}))).reason == "QUANTITY_EXCEEDS_OPEN"
        assert (await refused(moves.ship({"7": 1}))).reason == "LINE_NOT_FOUND"
        assert (await refused(moves.receive({"RUG": 1}))).fields == ["arrivals[0].sku"]
        assert (await refused(moves.receive({"LAMP": 1}))).reason == "RECEIPT_NOT_FOUND"
        await moves.ship({"1": 4})
        half = await refused(moves.receive({"LAMP": 4, "SOFA": 2}))
        assert (half.reason, half.metadata["sku"]) == ("RECEIPT_NOT_FOUND", "SOFA")
        assert units(await moves.get())[0] == (0, 4, 0, 4)
        release = reservation_pb.ReleaseReservationRequest(request_id="x", reservation_id="T1", channel="web")
        assert (await refused(stubs.reservations.ReleaseReservation(release))).reason == "OF_TRANSFER"
