"""Returns through a real server and a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.v1 import reservation_service_pb2, stock_service_pb2
from invengine.v1 import return_service_pb2 as pb
from tests.rpc.engines import NETWORK, Stubs, create, refused
from tests.rpc.expected import FRESH

pytestmark = pytest.mark.asyncio

SELLABLE, QUARANTINE, DAMAGED = 1, 2, 3
RESTOCK, MOVE, SCRAP = 1, 2, 3
MORE = "  store: {groups: [stores]}\nstates: [inspection]\n"


@pytest_asyncio.fixture
async def sold(stubs: Stubs) -> Stubs:
    """The web sold 5 LAMP from DC for order o-1: reservation A, all fulfilled. 5 are left."""
    await stubs.apply_network(NETWORK + MORE, "with states")
    await stubs.receive("LAMP", 10)
    await fulfilled(stubs, "A", 5)
    return stubs


async def fulfilled(stubs: Stubs, name: str, quantity: int, sku: str = "LAMP", order: str = "o-1") -> None:
    whole = {"reservation_id": name, "channel": "web"}
    await stubs.reservations.CreateReservation(
        create(name, sku, quantity, reservation_id=name, order_ref=order, line={"location": "DC"})
    )
    await stubs.reservations.ConfirmReservation(
        reservation_service_pb2.ConfirmReservationRequest(request_id=f"{name} c", **whole)
    )
    await stubs.reservations.FulfilReservation(
        reservation_service_pb2.FulfilReservationRequest(request_id=f"{name} f", **whole)
    )


def back(request_id: str, quantity: int = 1, condition: int = SELLABLE, **more: Any) -> pb.ReceiveReturnRequest:
    """A return of LAMP at LON, by the stores' tills."""
    line = {"sku": "LAMP", "quantity": quantity, "condition": condition, **more.pop("line", {})}
    given = {"request_id": request_id, "return_id": request_id, "channel": "store", "location": "LON", **more}
    return pb.ReceiveReturnRequest(lines=[pb.ReturnLineRequest(**line)], **given)


async def receive(
    stubs: Stubs, request_id: str, quantity: int = 1, condition: int = SELLABLE, **more: Any
) -> pb.Return:
    answer = await stubs.returns.ReceiveReturn(back(request_id, quantity, condition, **more))
    return getattr(answer, "return")


async def dispose(stubs: Stubs, request_id: str, return_id: str, *lines: pb.DisposalLine) -> pb.Return:
    request = pb.DisposeReturnRequest(request_id=request_id, return_id=return_id, channel="store", lines=lines)
    return getattr(await stubs.returns.DisposeReturn(request), "return")


def to(disposition: int, quantity: int = 0, **more: Any) -> pb.DisposalLine:
    return pb.DisposalLine(**{"line_id": "1", "quantity": quantity, "disposition": disposition, **more})


async def shelf(stubs: Stubs, location: str = "LON") -> tuple[int, dict[str, int]]:
    """Units on hand, and by state those that cannot be sold."""
    request = stock_service_pb2.GetPositionRequest(sku="LAMP", location=location, consistency=FRESH)
    position = (await stubs.stock.GetPosition(request)).position
    return position.on_hand, {one.state: one.quantity for one in position.states}


async def returned(stubs: Stubs, name: str = "A") -> list[int]:
    request = reservation_service_pb2.GetReservationRequest(reservation_id=name, channel="store")
    return [line.returned for line in (await stubs.reservations.GetReservation(request)).reservation.lines]


async def test_what_the_web_sold_comes_back_in_a_store(sold: Stubs) -> None:
    """Never stocked there; the reservation, closed long since, says what came back."""
    made = await receive(sold, "r-1", 2, reservation_id="A")
    assert (made.location, made.channel, made.open, made.lines[0].quantity) == ("LON", "store", False, 2)
    assert [(s.reservation_id, s.line_id, s.quantity) for s in made.lines[0].sources] == [("A", "1", 2)]
    assert await shelf(sold) == (2, {})
    assert await shelf(sold, "DC") == (5, {})
    assert await returned(sold) == [2]
    (entry, *_) = (
        await sold.stock.ListMovements(stock_service_pb2.ListMovementsRequest(sku="LAMP", location="LON"))
    ).entries
    assert (entry.kind, entry.actor, entry.cause, entry.reference) == ("RETURN", "store", "r-1", "A")
    assert (entry.on_hand_before, entry.on_hand_after) == (0, 2)


async def test_no_more_come_back_than_left(sold: Stubs) -> None:
    await receive(sold, "r-1", 3, reservation_id="A")
    why = await refused(sold.returns.ReceiveReturn(back("r-2", 3, reservation_id="A")))
    assert (why.code, why.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "QUANTITY_EXCEEDS_FULFILLED")
    numbers = {name: why.metadata[name] for name in ("reservation_id", "sku", "wanted", "fulfilled", "returned")}
    assert numbers == {"reservation_id": "A", "sku": "LAMP", "wanted": "3", "fulfilled": "5", "returned": "3"}
    assert (await shelf(sold), await returned(sold)) == ((3, {}), [3])
    await receive(sold, "r-2", 2, reservation_id="A")  # judged anew, under the id that was refused
    assert await returned(sold) == [5]


async def test_what_is_not_fulfilled_cannot_come_back(sold: Stubs) -> None:
    await sold.reservations.CreateReservation(create("B", quantity=2, reservation_id="B"))
    why = await refused(sold.returns.ReceiveReturn(back("r-1", reservation_id="B")))
    assert (why.reason, why.metadata["fulfilled"]) == ("QUANTITY_EXCEEDS_FULFILLED", "0")
    why = await refused(sold.returns.ReceiveReturn(back("r-1", reservation_id="A", line={"sku": "SOFA"})))
    assert (why.reason, why.metadata["fulfilled"]) == ("QUANTITY_EXCEEDS_FULFILLED", "0")
    why = await refused(sold.returns.ReceiveReturn(back("r-1", reservation_id="nobody's")))
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND")


async def test_two_returns_race_for_the_last_unit(sold: Stubs) -> None:
    await receive(sold, "r-0", 4, reservation_id="A")

    async def one(number: int) -> str:
        try:
            await receive(sold, f"race {number}", reservation_id="A")
        except grpc.aio.AioRpcError:
            return "refused"
        return "taken"

    assert sorted(await asyncio.gather(*map(one, range(6)))) == ["refused"] * 5 + ["taken"]
    assert (await shelf(sold), await returned(sold)) == ((5, {}), [5])


async def test_an_order_is_all_its_reservations(sold: Stubs) -> None:
    await fulfilled(sold, "B", 3)
    await receive(sold, "r-0", 1, reservation_id="B")
    made = await receive(sold, "r-1", 6, order_ref="o-1")
    assert [(s.reservation_id, s.quantity) for s in made.lines[0].sources] == [("A", 5), ("B", 1)]
    why = await refused(sold.returns.ReceiveReturn(back("r-2", 2, order_ref="o-1")))
    facts = why.metadata
    assert (facts["order_ref"], facts["fulfilled"], facts["returned"]) == ("o-1", "8", "7")
    why = await refused(sold.returns.ReceiveReturn(back("r-2", 1, order_ref="o-9")))
    assert (why.reason, why.metadata["fulfilled"]) == ("QUANTITY_EXCEEDS_FULFILLED", "0")

    async def listed(**which: str) -> list[str]:
        answer = await sold.returns.ListReturns(pb.ListReturnsRequest(channel="web", **which))
        return [one.return_id for one in answer.returns]

    assert await listed(order_ref="o-1") == ["r-1"]
    assert await listed(reservation_id="B") == ["r-0", "r-1"]
    assert await listed(reservation_id="B", order_ref="o-1") == ["r-1"]


async def test_without_a_reference_it_is_taken_as_it_comes(sold: Stubs) -> None:
    made = await receive(sold, "r-1", 500, DAMAGED, line={"sku": "LAMP", "reason": "found at the door"})
    assert (made.open, made.lines[0].state, len(made.lines[0].sources)) == (True, "damaged", 0)
    assert (await shelf(sold), await returned(sold)) == ((0, {"damaged": 500}), [0])


async def test_quarantine_then_restocked_scrapped_and_moved(sold: Stubs) -> None:
    await receive(sold, "r-1", 5, QUARANTINE, reservation_id="A")
    assert await shelf(sold) == (0, {"quarantine": 5})
    after = await dispose(sold, "d-1", "r-1", to(RESTOCK, 2), to(MOVE, 1, to_state="inspection"))
    (line,) = after.lines
    assert (line.restocked, line.moved, line.scrapped, line.open, after.open) == (2, 1, 0, 2, True)
    assert await shelf(sold) == (2, {"quarantine": 2, "inspection": 1})
    why = await refused(dispose(sold, "d-2", "r-1", to(SCRAP, 3)))
    (short,) = why.refusal.short_lines
    assert (why.reason, short.wanted, short.available) == ("INSUFFICIENT_STOCK", 3, 2)
    after = await dispose(sold, "d-2", "r-1", to(SCRAP))
    assert (after.lines[0].scrapped, after.open) == (2, False)
    assert await shelf(sold) == (2, {"inspection": 1})
    assert await returned(sold) == [5]
    found = await sold.returns.GetReturn(pb.GetReturnRequest(return_id="r-1", channel="web"))
    assert getattr(found, "return") == after


async def test_units_that_others_moved_cannot_be_disposed_of(sold: Stubs) -> None:
    await receive(sold, "r-1", 3, QUARANTINE)
    kind = stock_service_pb2.Movement.KIND_STATE_CHANGE
    gone = stock_service_pb2.Movement(
        source="wms", kind=kind, sku="LAMP", location="LON", quantity=2, state="quarantine", to_state="gone"
    )
    await sold.stock.PostMovements(stock_service_pb2.PostMovementsRequest(request_id="m", movements=[gone]))
    why = await refused(dispose(sold, "d-1", "r-1", to(RESTOCK, 2), to(SCRAP, 1)))
    (short,) = why.refusal.short_lines
    assert (short.wanted, short.available, short.location) == (3, 1, "LON")
    assert (await dispose(sold, "d-1", "r-1", to(RESTOCK, 1))).lines[0].open == 2


async def test_a_request_sent_again_is_answered_as_the_first_time(sold: Stubs) -> None:
    first = await sold.returns.ReceiveReturn(back("r-1", 2, QUARANTINE, reservation_id="A"))
    await dispose(sold, "d-1", "r-1", to(RESTOCK, 1))
    again = await sold.returns.ReceiveReturn(back("r-1", 2, QUARANTINE, reservation_id="A"))
    assert (first.replayed, again.replayed) == (False, True)
    assert getattr(again, "return") == getattr(first, "return")
    assert (await shelf(sold), await returned(sold)) == ((1, {"quarantine": 1}), [2])
    request = pb.DisposeReturnRequest(request_id="d-1", return_id="r-1", channel="store", lines=[to(RESTOCK, 1)])
    assert (await sold.returns.DisposeReturn(request)).replayed
    why = await refused(sold.returns.ReceiveReturn(back("r-1", 1, QUARANTINE, reservation_id="A")))
    assert why.reason == "REQUEST_MISMATCH"
    why = await refused(sold.returns.ReceiveReturn(back("r-2", 1, return_id="r-1")))
    assert (why.code, why.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RETURN_EXISTS")
    await sold.apply_network(NETWORK, "without the channel store")
    again = await sold.returns.ReceiveReturn(back("r-1", 2, QUARANTINE, reservation_id="A"))
    assert again.replayed
    why = await refused(sold.returns.ReceiveReturn(back("r-3")))
    assert why.reason == "UNKNOWN_CHANNEL"


async def test_an_id_is_given_where_there_is_none_and_stays(sold: Stubs) -> None:
    first = await receive(sold, "r-1", return_id="")
    assert first.return_id
    assert (await receive(sold, "r-1", return_id="")).return_id == first.return_id


async def test_all_lines_come_back_or_none(sold: Stubs) -> None:
    """Two lines of one SKU share what left of it."""
    lines = [
        pb.ReturnLineRequest(sku="LAMP", quantity=3, condition=SELLABLE),
        pb.ReturnLineRequest(sku="LAMP", quantity=3, condition=DAMAGED),
    ]
    request = back("r-1", reservation_id="A")
    request.ClearField("lines")
    request.lines.extend(lines)
    why = await refused(sold.returns.ReceiveReturn(request))
    assert (why.metadata["line_id"], why.metadata["wanted"], why.metadata["returned"]) == ("2", "3", "3")
    assert await returned(sold) == [0]
    request.lines[1].quantity = 2
    assert (await sold.returns.ReceiveReturn(request)).replayed is False
    assert (await shelf(sold), await returned(sold)) == ((3, {"damaged": 2}), [5])


async def test_units_that_come_back_cover_backorders(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK + MORE + "backorders: [{sku: LAMP, units: 9}]\n", "with backorders")
    await stubs.receive("LAMP", 5)
    await fulfilled(stubs, "A", 5)
    wait = create("B", quantity=3, reservation_id="B", line={"location": "DC", "allow_backorder": True})
    await stubs.reservations.CreateReservation(wait)
    await receive(stubs, "r-1", 2, reservation_id="A", location="DC")
    assert await stubs.position("LAMP") == (2, 2, 6)
    await receive(stubs, "r-2", 2, QUARANTINE, reservation_id="A", location="DC")
    await dispose(stubs, "d-1", "r-2", to(RESTOCK))
    assert (await stubs.position("LAMP"))[:2] == (4, 3)


async def test_what_does_not_exist(sold: Stubs) -> None:
    for call, reason in (
        (back("x", location="nowhere"), "UNKNOWN_LOCATION"),
        (back("x", channel="nobody"), "UNKNOWN_CHANNEL"),
        (back("x", condition=0, line={"state": "lost"}), "UNKNOWN_STATE"),
    ):
        why = await refused(sold.returns.ReceiveReturn(call))
        assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, reason)
    await receive(sold, "r-1", 1, QUARANTINE)
    for line, return_id, reason in (
        (to(RESTOCK), "r-9", "RETURN_NOT_FOUND"),
        (to(RESTOCK, line_id="7"), "r-1", "RETURN_NOT_FOUND"),
        (to(MOVE, to_state="lost"), "r-1", "UNKNOWN_STATE"),
    ):
        why = await refused(dispose(sold, "d", return_id, line))
        assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, reason)
    why = await refused(dispose(sold, "d", "r-1", to(MOVE, to_state="quarantine")))
    assert (why.reason, why.fields) == ("INVALID_ARGUMENT", ["lines[0].to_state"])
    why = await refused(sold.returns.GetReturn(pb.GetReturnRequest(return_id="r-9", channel="web")))
    assert why.reason == "RETURN_NOT_FOUND"


async def test_pages_of_returns(sold: Stubs) -> None:
    made = [f"r-{n}" for n in range(5)]
    for name in made:
        await receive(sold, name, reservation_id="A")
    seen: list[str] = []
    request = pb.ListReturnsRequest(reservation_id="A", channel="web", page_size=2)
    while True:
        page = await sold.returns.ListReturns(request)
        seen += [one.return_id for one in page.returns]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(seen) == made
    assert len(seen) == 5
