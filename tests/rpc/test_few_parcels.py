"""`max_parcels` through a real server and a real Redis: choices hold, also when stock moves and when it is repeated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from invengine.services import reserving
from invengine.v1 import common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, create, refused

pytestmark = pytest.mark.asyncio

NETWORK = """\
locations:
  A: {kind: warehouse, priority: 10}
  B: {kind: store, priority: 20, fulfilments: [ship, pickup]}
  C: {kind: store, priority: 30, fulfilments: [ship, pickup]}
groups: {all: [A, B, C]}
channels:
  web: {groups: [all]}
"""
BEST_EFFORT = pb.CreateReservationRequest.POLICY_BEST_EFFORT


async def open_shop(stubs: Stubs) -> None:
    """LAMP 3, 2, 5 and CHAIR 0, 2, 1 at A, B, C."""
    await stubs.apply_network(NETWORK, "three places")
    for sku, units in (("LAMP", (3, 2, 5)), ("CHAIR", (0, 2, 1))):
        for location, quantity in zip("ABC", units, strict=True):
            if quantity:
                await stubs.receive(sku, quantity, location)


def basket(name: str, parcels: int, *lines: tuple[str, int], **more: Any) -> pb.CreateReservationRequest:
    return pb.CreateReservationRequest(
        request_id=name,
        reservation_id=name,
        channel="web",
        lines=[{"sku": sku, "quantity": quantity, "allow_split": True} for sku, quantity in lines],
        max_parcels=parcels,
        **more,
    )


async def places(stubs: Stubs, request: pb.CreateReservationRequest) -> list[list[tuple[str, int]]]:
    made = (await stubs.reservations.CreateReservation(request)).reservation
    return [[(a.location, a.quantity) for a in line.allocations] for line in made.lines]


async def test_all_comes_from_one_place_where_it_may(stubs: Stubs) -> None:
    await open_shop(stubs)
    assert await places(stubs, basket("one", 1, ("LAMP", 2), ("CHAIR", 1))) == [[("B", 2)], [("B", 1)]]
    assert await places(stubs, basket("two", 2, ("LAMP", 8))) == [[("A", 3), ("C", 5)]]


async def test_a_refusal_says_how_many_would_do_and_takes_nothing(stubs: Stubs) -> None:
    await open_shop(stubs)
    why = await refused(stubs.reservations.CreateReservation(basket("many", 1, ("LAMP", 9))))
    assert (why.reason, why.metadata) == ("TOO_MANY_PARCELS", {"parcels_max": "1", "parcels": "3"})
    short = await refused(stubs.reservations.CreateReservation(basket("short", 1, ("LAMP", 11))))
    assert (short.reason, short.metadata["available"]) == ("INSUFFICIENT_STOCK", "10")
    unknown = await refused(stubs.reservations.CreateReservation(basket("unknown", 1, ("SOFA", 1))))
    assert unknown.reason == "UNKNOWN_SKU"
    assert [(await stubs.position("LAMP", place))[1] for place in "ABC"] == [0, 0, 0]


async def test_a_request_is_repeated_from_memory_whatever_the_stock_is_now(stubs: Stubs) -> None:
    await open_shop(stubs)
    request = basket("once", 1, ("LAMP", 5))
    first = await stubs.reservations.CreateReservation(request)
    await stubs.reservations.CreateReservation(create("rest", quantity=3, line={"location": "A"}))
    again = await stubs.reservations.CreateReservation(request)
    assert (again.replayed, again.reservation) == (True, first.reservation)
    other = basket("once", 2, ("LAMP", 5))
    assert (await refused(stubs.reservations.CreateReservation(other))).reason == "REQUEST_MISMATCH"
    taken = basket("new", 1, ("LAMP", 99))
    taken.reservation_id = "once"
    assert (await refused(stubs.reservations.CreateReservation(taken))).reason == "RESERVATION_EXISTS"


async def test_best_effort_gets_what_so_few_places_have(stubs: Stubs) -> None:
    await open_shop(stubs)
    request = basket("best", 1, ("LAMP", 9), ("CHAIR", 2), policy=BEST_EFFORT)
    made = (await stubs.reservations.CreateReservation(request)).reservation
    assert [[(a.location, a.quantity) for a in line.allocations] for line in made.lines] == [[("C", 5)], [("C", 1)]]
    assert [line.short_quantity for line in made.lines] == [4, 1]


async def test_what_is_picked_up_is_no_parcel(stubs: Stubs) -> None:
    await open_shop(stubs)
    request = basket("mixed", 1, ("LAMP", 4))
    request.lines.add(sku="CHAIR", quantity=1, location="B", fulfilment=common_pb2.FULFILMENT_PICKUP)
    assert await places(stubs, request) == [[("C", 4)], [("B", 1)]]


async def test_in_a_batch_each_item_is_decided_in_its_turn(stubs: Stubs) -> None:
    await open_shop(stubs)
    requests = [
        create("plain", quantity=5, line={"location": "C"}),
        basket("few", 1, ("LAMP", 4)),
        basket("few too", 1, ("LAMP", 3)),
        create("bad", quantity=0),
        create("plain", quantity=5, line={"location": "C"}),
    ]
    answer = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=requests))
    reasons = [common_pb2.ErrorReason.Name(o.refusal.reason).removeprefix("ERROR_REASON_") for o in answer.outcomes]
    assert reasons == ["UNSPECIFIED", "TOO_MANY_PARCELS", "UNSPECIFIED", "INVALID_ARGUMENT", "UNSPECIFIED"]
    assert [outcome.replayed for outcome in answer.outcomes] == [False, False, False, False, True]
    (line,) = answer.outcomes[2].reservation.lines
    assert [(a.location, a.quantity) for a in line.allocations] == [("A", 3)]
    assert answer.outcomes[3].refusal.metadata["field"] == "requests[3].lines[0].quantity"


def outdated(choices: list[Any], times: int) -> Any:
    """A choice of few parcels that saw 3 LAMP at B, where there are 2, so many times; after that it sees right."""
    choose = reserving.choose

    def chosen(request: Any, *more: Any) -> Any:
        choices.append(request)
        if len(choices) > times:
            return choose(request, *more)
        (line,) = request.lines
        there = tuple(candidate for candidate in line.candidates if candidate.location == "B")
        return replace(request, lines=(replace(line, candidates=there),))

    return chosen


async def test_when_stock_moved_before_it_was_taken_the_choice_is_made_again(
    stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(stubs)
    choices: list[Any] = []
    monkeypatch.setattr(reserving, "choose", outdated(choices, 2))
    assert await places(stubs, basket("late", 1, ("LAMP", 3))) == [[("A", 3)]]
    assert len(choices) == 3


async def test_choices_are_made_again_a_few_times_only(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_shop(stubs)
    choices: list[Any] = []
    monkeypatch.setattr(reserving, "choose", outdated(choices, 99))
    why = await refused(stubs.reservations.CreateReservation(basket("late", 1, ("LAMP", 3))))
    assert (why.reason, len(choices)) == ("INSUFFICIENT_STOCK", reserving.CHOICES_MAX)


async def test_of_many_at_once_none_gets_more_parcels_than_allowed_and_nothing_is_sold_twice(stubs: Stubs) -> None:
    await open_shop(stubs)
    requests = [basket(f"r{number}", 1, ("LAMP", 2)) for number in range(12)]
    answers = await asyncio.gather(
        *(stubs.reservations.CreateReservation(request) for request in requests), return_exceptions=True
    )
    made = [answer.reservation for answer in answers if isinstance(answer, pb.CreateReservationResponse)]
    assert len(made) == 4  # one of A, one of B, two of C; what is left is one each at A and C
    assert all(len(line.allocations) == 1 for reservation in made for line in reservation.lines)
    assert sorted([(await stubs.position("LAMP", place))[1] for place in "ABC"]) == [2, 2, 4]
