"""Kits through a real server and a real Redis: answered, reserved and changed as one, taken as their components."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.store.records import Atomicity
from invengine.store.redis_store import RedisStore
from invengine.v1 import availability_service_pb2 as availability_pb
from invengine.v1 import common_pb2, incoming_service_pb2, return_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.cases.adapters.calls import move
from tests.rpc.engines import Stubs, engine, refused

pytestmark = pytest.mark.asyncio

NETWORK = """\
locations:
  A: {kind: warehouse, priority: 10}
  B: {kind: store, priority: 20, fulfilments: [ship, pickup]}
groups: {all: [A, B]}
channels:
  web: {groups: [all], low_stock_threshold: 1}
  till: {groups: [all]}
kits:
  SET: {SOFA: 1, CUSHION: 4}
  PAIR: {CUSHION: 2}
"""
FRESH = common_pb2.Consistency(fully_consistent=True)
BEST_EFFORT = pb.CreateReservationRequest.POLICY_BEST_EFFORT


@pytest_asyncio.fixture(params=list(Atomicity), ids=str)
async def stubs(
    request: pytest.FixtureRequest, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stubs]:
    """Clients of an engine; also of one whose calls see one partition each, as on a Cluster."""
    opened, stores = RedisStore.open, []

    async def open_so(*arguments: Any, **more: Any) -> RedisStore:
        stores.append(await opened(*arguments, **more, atomicity=request.param))
        return stores[-1]

    monkeypatch.setattr(RedisStore, "open", open_so)
    async with engine(redis_url) as (_, clients):
        assert [store.is_whole for store in stores] == [request.param is Atomicity.WHOLE]
        yield clients


async def open_shop(stubs: Stubs, *, sofas: tuple[int, int] = (3, 5), cushions: tuple[int, int] = (9, 20)) -> None:
    await stubs.apply_network(NETWORK, "kits")
    for sku, units in (("SOFA", sofas), ("CUSHION", cushions)):
        for location, quantity in zip("AB", units, strict=True):
            if quantity:
                await stubs.receive(sku, quantity, location)


def basket(name: str, *lines: dict[str, Any], **more: Any) -> pb.CreateReservationRequest:
    return pb.CreateReservationRequest(
        request_id=name, reservation_id=name, lines=list(lines), **{"channel": "web", **more}
    )


def kit(quantity: int, sku: str = "SET", **more: Any) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity, **more}


def told(reservation: pb.Reservation) -> dict[str, dict[str, tuple[int, int, int]]]:
    """By line the units at each location: taken, fulfilled, given back."""
    return {
        line.line_id: {a.location: (a.quantity, a.fulfilled, a.released) for a in line.allocations}
        for line in reservation.lines
    }


async def make(stubs: Stubs, request: pb.CreateReservationRequest) -> pb.Reservation:
    return (await stubs.reservations.CreateReservation(request)).reservation


async def available(stubs: Stubs, sku: str = "SET", **more: Any) -> availability_pb.GetAvailabilityResponse:
    request = availability_pb.GetAvailabilityRequest(**{"sku": sku, "channel": "web", "consistency": FRESH, **more})
    return await stubs.availability.GetAvailability(request)


async def reserved(stubs: Stubs) -> list[int]:
    """Units reserved of SOFA and CUSHION at A and B."""
    found = []
    for sku in ("SOFA", "CUSHION"):
        answer = await available(stubs, sku)
        at = {position.location: position.reserved for position in answer.positions}
        found += [at.get(place, 0) for place in "AB"]
    return found


async def test_a_kit_is_answered_from_the_component_there_is_least_of(stubs: Stubs) -> None:
    await open_shop(stubs)
    answer = await available(stubs)
    assert [(p.location, p.available, p.on_hand, p.limiting_component) for p in answer.positions] == [
        ("A", 2, 2, "CUSHION"),
        ("B", 5, 5, "SOFA"),
    ]
    assert (answer.available, answer.level) == (7, availability_pb.LEVEL_IN_STOCK)
    assert [(c.sku, c.units, c.available) for c in answer.components] == [("SOFA", 1, 8), ("CUSHION", 4, 29)]
    batch = await stubs.availability.BatchGetAvailability(
        availability_pb.BatchGetAvailabilityRequest(skus=["SOFA", "SET", "NONE", "PAIR"], channel="web")
    )
    assert list(batch.available) == [8, 7, 0, 14]
    assert list(batch.status) == [1, 1, 2, 1]
    assert list(batch.row_counts) == [2, 2, 0, 2]
    assert list(batch.location_available) == [3, 5, 2, 5, 4, 10]
    assert [batch.locations[i] for i in batch.location_index] == ["A", "B"] * 3
    assert list(batch.level) == [3, 3, 1, 3]

    async def queries() -> Any:
        yield availability_pb.StreamAvailabilityRequest(query_id=1, sku="SET", channel="web")

    (answered,) = [response async for response in stubs.availability.StreamAvailability(queries())]
    assert (answered.available, answered.status) == (7, availability_pb.AVAILABILITY_STATUS_KNOWN)


async def test_a_kit_is_taken_as_its_components_at_one_location(stubs: Stubs) -> None:
    await open_shop(stubs)
    made = await make(stubs, basket("r", kit(3)))
    assert told(made) == {"1/SOFA": {"B": (3, 0, 0)}, "1/CUSHION": {"B": (12, 0, 0)}}
    assert [(line.kit_line_id, line.kit_sku, line.units_per_kit, line.quantity) for line in made.lines] == [
        ("1", "SET", 1, 3),
        ("1", "SET", 4, 12),
    ]
    assert await reserved(stubs) == [0, 3, 0, 12]
    assert (await available(stubs)).available == 4
    assert (await available(stubs, ignore_reservation_id="r")).available == 7


async def test_kits_of_a_line_come_from_several_locations_where_it_may_be_split(stubs: Stubs) -> None:
    await open_shop(stubs)
    short = await refused(stubs.reservations.CreateReservation(basket("whole", kit(6))))
    assert short.reason == "INSUFFICIENT_STOCK"
    (line,) = short.refusal.short_lines
    assert (line.line_id, line.sku, line.wanted, line.available, line.component) == ("1", "SET", 6, 5, "SOFA")
    made = await make(stubs, basket("split", kit(6, allow_split=True)))
    assert told(made) == {"1/SOFA": {"A": (2, 0, 0), "B": (4, 0, 0)}, "1/CUSHION": {"A": (8, 0, 0), "B": (16, 0, 0)}}


async def test_shared_components_are_taken_once(stubs: Stubs) -> None:
    """Two kits and the component alone in one basket: 9 cushions at A are 1 set, 2 pairs and 1 cushion."""
    await open_shop(stubs, cushions=(9, 0))
    lines = kit(1), kit(2, "PAIR"), kit(1, "CUSHION", line_id="3")
    assert told(await make(stubs, basket("all", *lines))) == {
        "1/SOFA": {"A": (1, 0, 0)},
        "1/CUSHION": {"A": (4, 0, 0)},
        "2/CUSHION": {"A": (4, 0, 0)},
        "3": {"A": (1, 0, 0)},
    }
    short = await refused(stubs.reservations.CreateReservation(basket("more", kit(1, "PAIR"))))
    assert [(s.wanted, s.available, s.component) for s in short.refusal.short_lines] == [(1, 0, "CUSHION")]
    assert await reserved(stubs) == [1, 0, 9, 0]


async def test_best_effort_takes_whole_kits_and_says_what_is_short(stubs: Stubs) -> None:
    await open_shop(stubs, cushions=(11, 0))
    lines = kit(2), kit(4, "PAIR"), kit(1, "CUSHION")
    made = await make(stubs, basket("r", *lines, policy=BEST_EFFORT))
    assert told(made) == {
        "1/SOFA": {"A": (2, 0, 0)},
        "1/CUSHION": {"A": (8, 0, 0)},
        "2/CUSHION": {"A": (2, 0, 0)},
        "3": {"A": (1, 0, 0)},
    }
    assert [(line.line_id, line.quantity, line.short_quantity) for line in made.lines] == [
        ("1/SOFA", 2, 0),
        ("1/CUSHION", 8, 0),
        ("2/CUSHION", 8, 6),
        ("3", 1, 0),
    ]
    nothing = await refused(stubs.reservations.CreateReservation(basket("n", kit(1, "PAIR"), policy=BEST_EFFORT)))
    assert nothing.reason == "INSUFFICIENT_STOCK"


async def test_a_kit_cannot_wait_and_its_line_must_be_countable(stubs: Stubs) -> None:
    await open_shop(stubs)
    waits = await refused(stubs.reservations.CreateReservation(basket("w", kit(1, allow_backorder=True))))
    assert (waits.reason, waits.fields) == ("INVALID_ARGUMENT", ["lines[0].allow_backorder"])
    vast = await refused(stubs.reservations.CreateReservation(basket("v", kit(2**52))))
    assert (vast.reason, vast.fields) == ("INVALID_ARGUMENT", ["lines[0].quantity"])
    many = await refused(stubs.reservations.CreateReservation(basket("m", *[kit(1)] * 101)))
    assert (many.reason, many.fields) == ("INVALID_ARGUMENT", ["lines"])


async def test_kits_of_a_batch_are_made_in_its_order(stubs: Stubs) -> None:
    await open_shop(stubs)
    requests = [
        basket("a", kit(5)),
        basket("b", kit(1, "SOFA", location="B")),
        basket("c", kit(1, allow_backorder=True)),
    ]
    made = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=requests))
    first, second, third = made.outcomes
    assert told(first.reservation)["1/SOFA"] == {"B": (5, 0, 0)}
    assert second.refusal.reason == common_pb2.ERROR_REASON_INSUFFICIENT_STOCK
    assert third.refusal.metadata["field"] == "requests[2].lines[0].allow_backorder"


async def test_a_request_is_answered_as_before_though_the_kit_is_another_now(stubs: Stubs) -> None:
    await open_shop(stubs)
    request = basket("once", kit(2))
    first = await make(stubs, request)
    for number, kits in enumerate(("SET: {SOFA: 2}", "OTHER: {SOFA: 2}")):
        await stubs.apply_network(NETWORK.partition("kits:")[0] + f"kits: {{{kits}}}\n", f"changed {number}")
        again = await stubs.reservations.CreateReservation(request)
        assert (again.replayed, again.reservation) == (True, first)
    await stubs.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(request_id="x", reservation_id="once", channel="web", lines=[{"line_id": "1"}])
    )
    assert await reserved(stubs) == [0, 0, 0, 0]


async def test_kits_are_released_and_fulfilled_whole_by_the_line_that_asked_for_them(stubs: Stubs) -> None:
    await open_shop(stubs)
    await make(stubs, basket("r", kit(6, allow_split=True), kit(1, "SOFA")))

    def change(number: int, *lines: dict[str, Any]) -> dict[str, Any]:
        return {"request_id": f"c{number}", "reservation_id": "r", "channel": "till", "lines": list(lines)}

    released = await stubs.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(**change(1, {"line_id": "1", "quantity": 1}))
    )
    assert told(released.reservation)["1/CUSHION"] == {"A": (8, 0, 4), "B": (16, 0, 0)}
    held = await refused(
        stubs.reservations.FulfilReservation(pb.FulfilReservationRequest(**change(2, {"line_id": "1"})))
    )
    assert held.reason == "RESERVATION_NOT_CONFIRMED"
    await stubs.reservations.ConfirmReservation(
        pb.ConfirmReservationRequest(request_id="ok", reservation_id="r", channel="web")
    )
    left = await stubs.reservations.FulfilReservation(
        pb.FulfilReservationRequest(**change(3, {"line_id": "1", "location": "B", "quantity": 3}, {"line_id": "2"}))
    )
    assert told(left.reservation) == {
        "1/SOFA": {"A": (2, 0, 1), "B": (4, 3, 0)},
        "1/CUSHION": {"A": (8, 0, 4), "B": (16, 12, 0)},
        "2": {"A": (1, 1, 0)},
    }
    over = await refused(
        stubs.reservations.ReleaseReservation(
            pb.ReleaseReservationRequest(**change(4, {"line_id": "1", "quantity": 3}))
        )
    )
    assert (over.reason, over.metadata["wanted"], over.metadata["open"]) == ("QUANTITY_EXCEEDS_OPEN", "3", "2")
    below = await refused(amend(stubs, 1, {"line_id": "1", "quantity": 1}))  # of the 5 kits 3 have left
    assert (below.reason, below.metadata["wanted"], below.metadata["open"]) == ("QUANTITY_EXCEEDS_OPEN", "4", "2")
    stale = await refused(amend(stubs, 2, {"line_id": "1", "quantity": 4}, expected_revision=1))
    assert stale.reason == "REVISION_MISMATCH"
    torn = await refused(
        stubs.reservations.ReleaseReservation(pb.ReleaseReservationRequest(**change(5, {"line_id": "1/SOFA"})))
    )
    assert (torn.reason, torn.fields) == ("INVALID_ARGUMENT", ["lines[0].line_id"])
    nowhere = await refused(
        stubs.reservations.ReleaseReservation(pb.ReleaseReservationRequest(**change(6, {"line_id": "7"})))
    )
    assert nowhere.reason == "LINE_NOT_FOUND"
    again = await stubs.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(**change(1, {"line_id": "1", "quantity": 1}))
    )
    assert (again.replayed, again.reservation) == (True, released.reservation)
    done = await stubs.reservations.FulfilReservation(pb.FulfilReservationRequest(**change(7)))
    assert done.reservation.state == pb.Reservation.STATE_FULFILLED
    closed = await refused(amend(stubs, 3, {"line_id": "1", "quantity": 99}))
    assert closed.reason == "RESERVATION_CLOSED"
    assert await reserved(stubs) == [0, 0, 0, 0]


async def test_kits_that_are_not_there_any_more_are_told_in_kits(stubs: Stubs) -> None:
    await open_shop(stubs)
    await make(stubs, basket("r", kit(2, location="A")))
    await stubs.reservations.ConfirmReservation(
        pb.ConfirmReservationRequest(request_id="ok", reservation_id="r", channel="web")
    )
    await move(stubs, "lost", "COUNT", 5, "CUSHION", "A")
    for number, lines in enumerate(((), ({"line_id": "1"},))):
        short = await refused(
            stubs.reservations.FulfilReservation(
                pb.FulfilReservationRequest(
                    request_id=f"f{number}", reservation_id="r", channel="web", lines=list(lines)
                )
            )
        )
        assert short.reason == "INSUFFICIENT_STOCK"
        (line,) = short.refusal.short_lines
        assert (line.line_id, line.sku, line.wanted, line.available, line.component) == ("1", "SET", 2, 1, "CUSHION")


async def amend(stubs: Stubs, number: int, *lines: dict[str, Any], added: tuple[Any, ...] = (), **more: Any) -> Any:
    request = pb.AmendReservationRequest(
        request_id=f"a{number}", reservation_id="r", channel="web", lines=list(lines), added_lines=list(added), **more
    )
    return (await stubs.reservations.AmendReservation(request)).reservation


async def test_a_kit_line_is_amended_in_kits(stubs: Stubs) -> None:
    await open_shop(stubs)
    await make(stubs, basket("r", kit(2, location="A")))
    more = await amend(stubs, 1, {"line_id": "1", "quantity": 5, "allow_split": True})
    assert told(more) == {"1/SOFA": {"A": (2, 0, 0), "B": (3, 0, 0)}, "1/CUSHION": {"A": (8, 0, 0), "B": (12, 0, 0)}}
    assert [line.quantity for line in more.lines] == [5, 20]
    less = await amend(stubs, 2, {"line_id": "1", "quantity": 1})
    assert told(less) == {"1/SOFA": {"A": (1, 0, 0)}, "1/CUSHION": {"A": (4, 0, 0)}}
    added = await amend(stubs, 3, added=(kit(2, "PAIR"), kit(1, "SOFA")))
    assert told(added) | told(less) == told(added)
    assert {name: told(added)[name] for name in ("3/CUSHION", "4")} == {
        "3/CUSHION": {"A": (4, 0, 0)},
        "4": {"A": (1, 0, 0)},
    }
    with_short = await refused(amend(stubs, 4, {"line_id": "1", "quantity": 9}))
    (line,) = with_short.refusal.short_lines
    assert (with_short.reason, line.line_id, line.sku, line.wanted, line.available) == (
        "INSUFFICIENT_STOCK",
        "1",
        "SET",
        8,
        5,
    )
    gone = await amend(stubs, 5, {"line_id": "1", "quantity": 0}, {"line_id": "3", "quantity": 0})
    assert told(gone) == {"1/SOFA": {}, "1/CUSHION": {}, "3/CUSHION": {}, "4": {"A": (1, 0, 0)}}
    waits = await refused(amend(stubs, 6, {"line_id": "1", "quantity": 1, "allow_backorder": True}))
    assert (waits.reason, waits.fields) == ("INVALID_ARGUMENT", ["lines[0].allow_backorder"])
    torn = await refused(amend(stubs, 7, {"line_id": "1/SOFA", "quantity": 1}))
    assert (torn.reason, torn.fields) == ("INVALID_ARGUMENT", ["lines[0].line_id"])
    taken = await refused(amend(stubs, 8, added=(kit(1, "SOFA", line_id="1"),)))
    assert taken.reason == "LINE_EXISTS"
    assert await reserved(stubs) == [1, 0, 0, 0]


async def test_what_one_line_gives_back_another_kit_takes(stubs: Stubs) -> None:
    """All cushions at A are in pairs; a set gets the four that the pairs give back, in one step."""
    await open_shop(stubs, cushions=(8, 0))
    await make(stubs, basket("r", kit(4, "PAIR")))
    after = await amend(stubs, 1, {"line_id": "1", "quantity": 2}, added=(kit(1),))
    assert told(after) == {"1/CUSHION": {"A": (4, 0, 0)}, "2/SOFA": {"A": (1, 0, 0)}, "2/CUSHION": {"A": (4, 0, 0)}}


async def test_a_kit_line_moves_whole(stubs: Stubs) -> None:
    await open_shop(stubs)
    await make(stubs, basket("r", kit(2, location="A"), kit(1, "SOFA", location="A")))

    async def rebind(number: int, *lines: dict[str, Any]) -> Any:
        request = pb.RebindReservationRequest(
            request_id=f"b{number}", reservation_id="r", channel="till", lines=list(lines)
        )
        return (await stubs.reservations.RebindReservation(request)).reservation

    moved = await rebind(1, {"line_id": "1", "location": "B"})
    assert told(moved) == {"1/SOFA": {"B": (2, 0, 0)}, "1/CUSHION": {"B": (8, 0, 0)}, "2": {"A": (1, 0, 0)}}
    back = await rebind(2, {})
    assert told(back) == {"1/SOFA": {"A": (2, 0, 0)}, "1/CUSHION": {"A": (8, 0, 0)}, "2": {"A": (1, 0, 0)}}
    await make(stubs, basket("others", kit(4, location="B")))
    short = await refused(rebind(3, {"line_id": "1", "location": "B"}))
    assert [(s.line_id, s.wanted, s.available, s.component) for s in short.refusal.short_lines] == [("1", 2, 1, "SOFA")]
    handed = await stubs.reservations.HandOverReservation(
        pb.HandOverReservationRequest(request_id="h", reservation_id="r", channel="web", to_channel="till")
    )
    assert told(handed.reservation) == told(back)


async def test_few_parcels_count_for_kits_too(stubs: Stubs) -> None:
    await open_shop(stubs)
    made = await make(stubs, basket("r", kit(3), kit(1, "SOFA"), max_parcels=1))
    assert told(made) == {"1/SOFA": {"B": (3, 0, 0)}, "1/CUSHION": {"B": (12, 0, 0)}, "2": {"B": (1, 0, 0)}}
    many = await refused(stubs.reservations.CreateReservation(basket("m", kit(3, allow_split=True), max_parcels=1)))
    assert (many.reason, many.metadata) == ("TOO_MANY_PARCELS", {"parcels_max": "1", "parcels": "2"})


async def test_the_next_kits_come_when_every_component_is_there(stubs: Stubs) -> None:
    await open_shop(stubs, cushions=(2, 0), sofas=(1, 0))

    async def expect(sku: str, day: int, quantity: int) -> None:
        await stubs.incoming.SetIncoming(
            incoming_service_pb2.SetIncomingRequest(
                request_id=f"{sku} {day}",
                source="erp",
                receipt_id=f"{sku} {day}",
                sku=sku,
                location="A",
                quantity=quantity,
                expected_date=common_pb2.Date(year=2099, month=1, day=day),
            )
        )

    await expect("CUSHION", 5, 1)
    assert not (await available(stubs)).HasField("next_receipt")
    await expect("CUSHION", 9, 20)
    await expect("SOFA", 7, 2)
    answer = await available(stubs)
    assert (answer.next_receipt.date.day, answer.next_receipt.quantity) == (9, 3)
    short = await refused(stubs.reservations.CreateReservation(basket("r", kit(2, location="A"))))
    assert short.refusal.short_lines[0].next_date.day == 9


async def test_stock_of_a_kits_own_counts_for_nothing(stubs: Stubs) -> None:
    await open_shop(stubs)
    await stubs.receive("SET", 50, "A")
    assert (await available(stubs)).available == 7
    await stubs.apply_network(NETWORK.partition("kits:")[0], "no kits")
    assert (await available(stubs)).available == 50
    await stubs.apply_network(NETWORK, "kits again")
    assert (await available(stubs)).available == 7


async def test_sixty_four_clients_of_two_kits_with_one_component_take_what_there_is(stubs: Stubs) -> None:
    """Nothing is sold twice, nothing that is there is refused at the end, and every kit is whole."""
    await open_shop(stubs, sofas=(10, 6), cushions=(41, 30))

    async def one(number: int) -> pb.Reservation | None:
        line = kit(1, "PAIR" if number % 2 else "SET")
        try:
            return await make(stubs, basket(f"r{number}", line))
        except grpc.aio.AioRpcError:
            short = await refused(stubs.reservations.CreateReservation(basket(f"again {number}", line)))
            assert short.reason == "INSUFFICIENT_STOCK"
            return None

    made = [reservation for reservation in await asyncio.gather(*map(one, range(64))) if reservation]
    for reservation in made:
        places = {a.location for line in reservation.lines for a in line.allocations}
        assert len(places) == 1
        assert all(line.allocations[0].quantity == line.units_per_kit for line in reservation.lines)
    sets = sum(reservation.lines[0].kit_sku == "SET" for reservation in made)
    pairs = len(made) - sets
    units = await reserved(stubs)
    assert (units[0] + units[1], units[2] + units[3]) == (sets, 4 * sets + 2 * pairs)
    for wanted, got in (("SET", sets), ("PAIR", pairs)):  # whoever was refused was refused rightly
        assert got == 32 or (await available(stubs, wanted)).available == 0


async def test_a_kit_is_explained_by_its_components(stubs: Stubs) -> None:
    """Its number can be worked out anew from the terms; who holds a component is told with that."""
    await open_shop(stubs)
    await make(stubs, basket("r", kit(1, location="A")))
    await make(stubs, basket("c", kit(3, sku="CUSHION", location="B")))
    request = availability_pb.ExplainAvailabilityRequest(sku="SET", channel="web", consistency=FRESH)
    told = await stubs.availability.ExplainAvailability(request)
    assert (told.available, told.settled, told.complete) == ((await available(stubs)).available, True, True)
    assert [(c.sku, c.units, c.available) for c in told.components] == [("SOFA", 1, 2 + 5), ("CUSHION", 4, 5 + 17)]
    assert {p.location: (p.available, p.on_hand, p.limiting_component) for p in told.positions} == {
        "A": (1, 2, "CUSHION"),
        "B": (4, 5, "CUSHION"),
    }
    for position in told.positions:
        sums = [sum(term.quantity for term in its.position.terms) // its.units for its in position.components]
        assert [its.kits for its in position.components] == sums
        assert min(sums) == position.available == sum(term.quantity for term in position.terms)
        assert {its.position.location for its in position.components} == {position.location}
    holders = {
        (position.location, its.sku): [(held.reservation_id, held.quantity) for held in its.position.reservations]
        for position in told.positions
        for its in position.components
    }
    assert holders == {
        ("A", "SOFA"): [("r", 1)],
        ("A", "CUSHION"): [("r", 4)],
        ("B", "SOFA"): [],
        ("B", "CUSHION"): [("c", 3)],
    }
    request.ignore_reservation_id = "r"
    assert (await stubs.availability.ExplainAvailability(request)).available == 2 + 4


async def test_components_of_a_kit_that_left_come_back(stubs: Stubs) -> None:
    """Twice, so that what came back before is read from the record too; the kit stays the kit that it was."""
    await open_shop(stubs)
    await make(stubs, basket("r", kit(1, location="A"), order_ref="o"))
    head = {"reservation_id": "r", "channel": "web"}
    await stubs.reservations.ConfirmReservation(pb.ConfirmReservationRequest(request_id="ok", **head))
    await stubs.reservations.FulfilReservation(pb.FulfilReservationRequest(request_id="gone", **head))
    for number, units in enumerate((3, 1, 1)):
        line = return_service_pb2.ReturnLineRequest(sku="CUSHION", quantity=units, condition=1)
        call = stubs.returns.ReceiveReturn(
            return_service_pb2.ReceiveReturnRequest(
                request_id=f"back {number}", channel="web", location="B", order_ref="o", lines=[line]
            )
        )
        if number < 2:
            await call
        else:
            assert (await refused(call)).reason == "QUANTITY_EXCEEDS_FULFILLED"
    found = (await stubs.reservations.GetReservation(pb.GetReservationRequest(**head))).reservation
    assert [(one.line_id, one.kit_sku, one.units_per_kit, one.returned) for one in found.lines] == [
        ("1/SOFA", "SET", 1, 0),
        ("1/CUSHION", "SET", 4, 4),
    ]
