"""Reservations by a sourcing profile, through a real server and a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from prometheus_client import generate_latest

from invengine.bootstrap import Running
from invengine.domain.reservation_answers import PlanTaken
from invengine.services.group_commit import GroupCommit
from invengine.services.planned_reserving import PlannedReserving
from invengine.v1 import common_pb2, plan_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.by_profile import CHEAP, NETWORK, activate, basket, open_shop, places, places_of, put, reserved
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.expected import Schedule

pytestmark = pytest.mark.asyncio

BEST_EFFORT = pb.CreateReservationRequest.POLICY_BEST_EFFORT


async def test_the_profile_that_is_named_decides_where_units_come_from(stubs_of_both: Stubs) -> None:
    """Without one they come by priority, from the location that costs most here."""
    stubs = stubs_of_both
    await open_shop(stubs)
    assert await places(stubs, basket("plain", ("LAMP", 1), profile="")) == [[("A", 1)]]
    assert await places(stubs, basket("cheap", ("LAMP", 1), ("CHAIR", 1))) == [[("B", 1)], [("B", 1)]]
    assert await places(stubs, basket("far", ("LAMP", 1), profile="far")) == [[("C", 1)]]
    assert await places(stubs, basket("near", ("LAMP", 1), profile="near@1")) == [[("A", 1)]]
    assert await places(stubs, basket("one parcel", ("LAMP", 1), ("CHAIR", 4))) == [[("C", 1)], [("C", 4)]]
    assert (await reserved(stubs), await reserved(stubs, "CHAIR")) == ((2, 1, 2), (0, 1, 4))


async def test_what_is_planned_is_what_is_taken(stubs: Stubs) -> None:
    """PlanBasket answers the plan that the reservation gets, as long as nobody is faster."""
    await open_shop(stubs, {"LAMP": (9, 5, 3), "CHAIR": (2, 7, 4)})
    for n, profile in enumerate(("cheap", "near", "", "cheap", "near")):
        lines: list[Any] = [
            {"sku": "LAMP", "quantity": 2 + n % 2, "allow_split": True},
            {"sku": "CHAIR", "quantity": 1 + n % 3, "allow_split": True},
        ]
        if not profile:
            await activate(stubs, "far")
        asked = plan_pb2.PlanBasketRequest(channel="web", lines=lines, profile=profile)
        plan = (await stubs.allocation.PlanBasket(asked)).plan
        units = [[(one.location, one.quantity) for one in line.units] for line in plan.lines]
        assert await places(stubs, basket(f"{n}", *lines, profile=profile)) == units


async def test_a_basket_of_several_parcels_is_taken_as_planned(stubs_of_both: Stubs) -> None:
    """Units of a line that may be split come from where the plan says, not from the first place as far as it goes."""
    stubs = stubs_of_both
    await open_shop(stubs, {"LAMP": (4, 4, 2), "CHAIR": (9, 2, 3)})
    split = {"sku": "LAMP", "quantity": 6, "allow_split": True}
    assert await places(stubs, basket("split", split)) == [[("B", 4), ("C", 2)]]
    chairs = {"sku": "CHAIR", "quantity": 5, "allow_split": True}
    assert await places(stubs, basket("both", chairs, ("LAMP", 1))) == [[("A", 5)], [("A", 1)]]


async def test_the_active_profile_counts_where_none_is_named(stubs: Stubs) -> None:
    """For its channel alone; and in a batch."""
    await open_shop(stubs)
    await activate(stubs, "cheap")
    assert await places(stubs, basket("web", ("LAMP", 1), profile="")) == [[("B", 1)]]
    assert await places(stubs, basket("app", ("LAMP", 1), profile="", channel="app")) == [[("A", 1)]]
    asked = [
        basket("0", ("LAMP", 3), profile=""),
        basket("1", ("LAMP", 3), profile="", channel="app"),
        basket("2", ("LAMP", 3), profile=""),
        basket("3", ("LAMP", 3), profile="no such"),
        basket("4", ("LAMP", 4), profile=""),
    ]
    answer = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=asked))
    made, last = answer.outcomes[:3], answer.outcomes[3:]
    assert [places_of(outcome.reservation) for outcome in made] == [[[("B", 3)]], [[("A", 3)]], [[("C", 3)]]]
    assert [outcome.refusal.reason for outcome in last] == [
        common_pb2.ERROR_REASON_UNKNOWN_PROFILE,
        common_pb2.ERROR_REASON_INSUFFICIENT_STOCK,
    ]
    await activate(stubs, "", request_id="no more")
    assert await places(stubs, basket("after", ("CHAIR", 1), profile="")) == [[("A", 1)]]


async def test_a_batch_is_planned_in_its_order_and_taken_in_few_calls(stubs_of_both: Stubs) -> None:
    """Each sees what those before it are about to take: the first get the best place, who gets nothing is told."""
    stubs = stubs_of_both
    await open_shop(stubs, {"LAMP": (40, 30, 20), "CHAIR": (4, 4, 4)})
    asked = [basket(f"{n}", ("LAMP", 2)) for n in range(50)]
    answer = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=asked))
    made = [places_of(outcome.reservation) for outcome in answer.outcomes if outcome.HasField("reservation")]
    assert made == [[[("B", 2)]]] * 15 + [[[("C", 2)]]] * 10 + [[[("A", 2)]]] * 20
    short = [outcome.refusal.reason for outcome in answer.outcomes[45:]]
    assert short == [common_pb2.ERROR_REASON_INSUFFICIENT_STOCK] * 5
    again = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=asked))
    assert [outcome.reservation for outcome in again.outcomes] == [outcome.reservation for outcome in answer.outcomes]
    assert [outcome.replayed for outcome in again.outcomes] == [True] * 45 + [False] * 5
    mixed = [
        basket("m0", ("CHAIR", 3)),
        basket("m1", ("CHAIR", 2), profile=""),
        basket("m2", {"sku": "CHAIR", "quantity": 9, "allow_split": True}, policy=BEST_EFFORT),
        basket("m0", ("CHAIR", 3)),
        basket("m3", ("SOFA", 1)),
    ]
    answer = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=mixed))
    assert places_of(answer.outcomes[0].reservation) == [[("B", 3)]]
    assert places_of(answer.outcomes[1].reservation) == [[("A", 2)]]
    (best_effort,) = answer.outcomes[2].reservation.lines
    assert sum(a.quantity for a in best_effort.allocations) == 7
    assert (answer.outcomes[3].reservation, answer.outcomes[3].replayed) == (answer.outcomes[0].reservation, True)
    assert answer.outcomes[4].refusal.reason == common_pb2.ERROR_REASON_UNKNOWN_SKU


async def test_refusals_say_what_is_true(stubs_of_both: Stubs) -> None:
    """And take nothing."""
    stubs = stubs_of_both
    await open_shop(stubs)
    create = stubs.reservations.CreateReservation
    short = await refused(create(basket("short", ("LAMP", 5), ("CHAIR", 1))))
    assert (short.code, short.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_STOCK")
    assert (short.metadata["line_id"], short.metadata["wanted"], short.metadata["available"]) == ("1", "5", "4")
    far = await refused(create(basket("split", {"sku": "LAMP", "quantity": 9, "allow_split": True}, profile="far")))
    assert (far.reason, far.metadata["available"]) == ("INSUFFICIENT_STOCK", "8")
    many = await refused(create(basket("many", {"sku": "LAMP", "quantity": 8, "allow_split": True}, profile="far")))
    assert (many.reason, many.metadata) == ("TOO_MANY_PARCELS", {"parcels_max": "1", "parcels": "2"})
    asked = {"sku": "LAMP", "quantity": 8, "allow_split": True}
    many = await refused(create(basket("asked", asked, max_parcels=1)))
    assert (many.reason, many.metadata) == ("TOO_MANY_PARCELS", {"parcels_max": "1", "parcels": "2"})
    assert (await refused(create(basket("sku", ("SOFA", 1))))).reason == "UNKNOWN_SKU"
    unknown = await refused(create(basket("which", ("LAMP", 1), profile="cheap@2")))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROFILE")
    bad = await refused(create(basket("bad", ("LAMP", 1), profile="no\tname")))
    assert (bad.code, bad.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["profile"])
    assert await reserved(stubs) == (0, 0, 0)


async def test_best_effort_gets_what_the_plan_has(stubs: Stubs) -> None:
    await open_shop(stubs)
    wanted = basket("some", {"sku": "LAMP", "quantity": 9, "allow_split": True}, ("CHAIR", 5), policy=BEST_EFFORT)
    made = (await stubs.reservations.CreateReservation(wanted)).reservation
    assert [sum(a.quantity for a in line.allocations) for line in made.lines] == [9, 4]
    assert [(line.quantity, line.short_quantity) for line in made.lines] == [(9, 0), (5, 1)]
    only = basket("rest", ("LAMP", 4), ("CHAIR", 9), policy=BEST_EFFORT, profile="far")
    made = (await stubs.reservations.CreateReservation(only)).reservation
    assert len({a.location for line in made.lines for a in line.allocations}) == 1


async def test_a_repeat_is_answered_like_the_first_whatever_the_profile_says_by_then(stubs: Stubs) -> None:
    """Also when nothing would be there any more, and when no profile has the name any more that it went by."""
    await open_shop(stubs)
    await activate(stubs, "cheap")
    asked = basket("first", ("LAMP", 4), profile="")
    first = (await stubs.reservations.CreateReservation(asked)).reservation
    assert places_of(first) == [[("B", 4)]]
    await activate(stubs, "far")
    again = await stubs.reservations.CreateReservation(asked)
    assert (again.reservation, again.replayed) == (first, True)
    await places(stubs, basket("rest", {"sku": "LAMP", "quantity": 8, "allow_split": True}))
    again = await stubs.reservations.CreateReservation(asked)
    assert (again.reservation, again.replayed) == (first, True)
    await activate(stubs, "", request_id="none")
    again = await stubs.reservations.CreateReservation(asked)
    assert (again.reservation, again.replayed) == (first, True)
    other = await refused(stubs.reservations.CreateReservation(basket("first", ("LAMP", 4))))
    assert other.reason == "REQUEST_MISMATCH"


async def test_a_lost_race_is_answered_by_the_next_plan_and_counted(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units go after the plan is made: the next one is taken in the same call; when both are gone, another is made."""
    source, submit = PlannedReserving._source, GroupCommit.submit
    gone: list[tuple[str, ...]] = [(), ("B",), ("B", "C")]
    plans: list[Any] = []
    calls: list[Any] = []

    def planned(*asked: Any) -> Any:
        plans.append(source(*asked))
        return plans[-1]

    async def beaten(queue: Any, items: Any) -> Any:
        """Somebody else takes all that there is where the plan goes, before the request does."""
        is_planned = getattr(items[0], "alternatives", ())
        for place in gone.pop(0) if gone and is_planned else ():
            await submit(queue, [_of_other(items[0], place)])
        calls.append(items)
        return await submit(queue, items)

    monkeypatch.setattr(PlannedReserving, "_source", planned)
    monkeypatch.setattr(GroupCommit, "submit", beaten)
    async with engine(redis_url) as (running, stubs):
        await open_shop(stubs)
        calls.clear()
        assert counted(running) == dict.fromkeys(PlanTaken, 0)
        assert await places(stubs, basket("0", ("LAMP", 1))) == [[("B", 1)]]
        assert await places(stubs, basket("1", ("LAMP", 1))) == [[("C", 1)]]
        assert (len(plans), len(calls)) == (2, 2)
        assert await places(stubs, basket("2", ("CHAIR", 1))) == [[("A", 1)]]
        assert (len(plans), len(calls)) == (4, 4)
        expected = {PlanTaken.FIRST: 1, PlanTaken.NEXT: 1, PlanTaken.ANOTHER_TRIP: 1}
        assert counted(running) == expected
        again = await stubs.reservations.CreateReservation(basket("2", ("CHAIR", 1)))
        assert again.replayed
        assert counted(running) == expected


def counted(running: Running) -> dict[PlanTaken, int]:
    """Reservations by the plan that they were taken by, as the page of metrics has it."""
    page = generate_latest(running.metrics.registry).decode().splitlines()
    name = "invengine_reservations_by_profile_total"
    values = {line.split()[0]: int(float(line.split()[1])) for line in page if line.startswith(name)}
    return {taken: values[f'{name}{{plan="{taken}"}}'] for taken in PlanTaken}


def _of_other(request: Any, place: str) -> Any:
    """A request for all that is left of the first SKU of another one at a place."""
    line = request.lines[0]
    (candidate,) = [one for lines in (request.lines, *request.alternatives) for one in lines[0].candidates
                    if one.location == place][:1]  # fmt: skip
    ids = {"request_id": f"{request.request_id} {place}", "reservation_id": f"{request.reservation_id} {place}"}
    taken = type(line)(line.line_id, line.sku, 100, (candidate,))
    more = {"lines": (taken,), "time_to_live_seconds": 60, "best_effort": True}
    return type(request)(**ids, fingerprint="", channel="app", **more)


async def test_units_of_which_nobody_knows_a_day_are_backordered_within_the_rules(stubs: Stubs) -> None:
    """No plan has them: they are taken as without a profile, but not from what it excludes."""
    await open_shop(stubs)
    await stubs.apply_network(NETWORK + "backorders: [{sku: LAMP, units: 9}]\n", "backorders")
    wanted = {"sku": "LAMP", "quantity": 6, "allow_backorder": True}
    made = (await stubs.reservations.CreateReservation(basket("later", wanted, profile="far"))).reservation
    assert [(a.location, a.quantity, a.backordered) for a in made.lines[0].allocations] == [
        ("A", 4, False),
        ("A", 2, True),
    ]


async def test_what_comes_is_planned_with_its_day(stubs: Stubs) -> None:
    """One place that has some and gets the rest; pegged by the day that the plan says."""
    await open_shop(stubs, {"LAMP": (0, 2, 0), "CHAIR": (4, 4, 4)})
    await Schedule(stubs, location="B").set("P", 5, 2)
    wanted = {"sku": "LAMP", "quantity": 6, "allow_backorder": True}
    made = (await stubs.reservations.CreateReservation(basket("later", wanted))).reservation
    assert [(a.location, a.quantity, bool(a.receipt_id)) for a in made.lines[0].allocations] == [
        ("B", 2, False),
        ("B", 4, True),
    ]


async def test_nobody_waits_for_a_profile_that_another_server_made_active(redis_url: str) -> None:
    """Two servers: one made it active, the other one goes by it as soon as it heard of it."""
    async with engine(redis_url) as (_, stubs):
        await open_shop(stubs)
        async with engine(redis_url) as (_, others):
            await activate(stubs, "cheap")
            await _until_it_counts(others)


async def _until_it_counts(others: Stubs) -> None:
    async with asyncio.timeout(10):
        for n in range(1000):
            if await places(others, basket(f"{n}", ("LAMP", 1), profile="")) == [[("B", 1)]]:
                return
            await others.reservations.ReleaseReservation(
                pb.ReleaseReservationRequest(request_id=f"back {n}", reservation_id=f"{n}", channel="web")
            )


async def test_every_version_is_its_own(stubs: Stubs) -> None:
    """A new version counts for who names no version; who names one gets it."""
    await open_shop(stubs)
    await put(stubs, "description: not from B\n" + CHEAP + "rules: {exclude: [B]}\n")
    assert await places(stubs, basket("new", ("LAMP", 1))) == [[("C", 1)]]
    assert await places(stubs, basket("old", ("LAMP", 1), profile="cheap@1")) == [[("B", 1)]]
