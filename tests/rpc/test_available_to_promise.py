"""What can be promised day by day, through a real server and a real Redis."""

from __future__ import annotations

import random
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2, reservation_service_pb2, stock_service_pb2
from tests.cases.adapters.calls import move
from tests.rpc.engines import NETWORK, Stubs, create, refused
from tests.rpc.expected import FRESH, Schedule, as_day, in_days, rests_on

pytestmark = pytest.mark.asyncio

KITS = "kits: {SET: {SOFA: 1, CUSHION: 4}}\n"
RULES = """\
safety_stock:
  - {location: DC, percent: 10}
  - {sku: S3, units: 4}
  - {sku: S5, location: LON, units: 2}
backorders:
  - {sku: S2, units: 5}
  - {sku: S6, units: 5}
"""
WAITS: dict[str, Any] = {"allow_backorder": True}


@pytest_asyncio.fixture
async def lamps(stubs: Stubs) -> Schedule:
    """5 LAMP at DC and 2 at LON."""
    await stubs.receive("LAMP", 5)
    await stubs.receive("LAMP", 2, "LON")
    return Schedule(stubs)


async def outlook(stubs: Stubs, sku: str = "LAMP", **more: Any) -> pb.GetAvailableToPromiseResponse:
    request = pb.GetAvailableToPromiseRequest(**{"sku": sku, "channel": "web", "consistency": FRESH, **more})
    return await stubs.availability.GetAvailableToPromise(request)


async def availability(stubs: Stubs, sku: str = "LAMP", **more: Any) -> pb.GetAvailabilityResponse:
    request = pb.GetAvailabilityRequest(**{"sku": sku, "channel": "web", "consistency": FRESH, **more})
    return await stubs.availability.GetAvailability(request)


def days(steps: Any) -> list[tuple[int, int]]:
    """(days from the first step, units)."""
    return [((as_day(step.date) - as_day(steps[0].date)).days, step.units) for step in steps]


async def test_each_location_and_the_sum_say_from_when_on_how_many(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 4, 5)
    await lamps.set("po-2", 3, 9)
    await Schedule(stubs, location="LON").set("po-3", 6, 5)
    held = await stubs.reservations.CreateReservation(create("first", quantity=7, line={"location": "DC"} | WAITS))
    assert rests_on(held.reservation.lines[0]) == [("DC", 5), ("po-1", 2)]
    answer = await outlook(stubs)
    assert (answer.available, days(answer.steps)) == (2, [(0, 2), (5, 10), (9, 13)])
    assert [(p.location, p.available, days(p.steps)) for p in answer.positions] == [
        ("DC", 0, [(0, 0), (5, 2), (9, 5)]),
        ("LON", 2, [(0, 2), (5, 8)]),
    ]
    assert as_day(answer.steps[0].date) == as_day(in_days(0))
    assert as_day(answer.last_date) == as_day(in_days(729))
    assert answer.consistency_token == (await availability(stubs)).consistency_token
    assert 0 < answer.staleness.ToMilliseconds() < 60_000
    assert [day.location for day in (await outlook(stubs, group="stores")).positions] == ["LON"]


@pytest.mark.parametrize(
    ("backordered", "lost", "expected"),
    [(0, 0, [(0, 0), (5, 1), (13, 7)]), (2, 0, [(0, 0), (13, 5)]), (0, 4, [(0, 0), (13, 3)])],
)
async def test_what_must_stay_what_is_owed_and_what_is_lost_is_made_up_first(
    stubs: Stubs, backordered: int, lost: int, expected: list[tuple[int, int]]
) -> None:
    """The example of docs/concepts.md."""
    rules = "safety_stock: [{sku: LAMP, units: 5}]\nbackorders: [{sku: LAMP, units: 2}]\n"
    await stubs.apply_network(NETWORK + rules, "with rules")
    await stubs.receive("LAMP", 10)
    await stubs.reservations.CreateReservation(create("five", quantity=5))
    if backordered:
        await stubs.reservations.CreateReservation(create("two", quantity=backordered, line=WAITS))
    schedule = Schedule(stubs)
    await schedule.set("po-1", 4, 5)
    pegged = await stubs.reservations.CreateReservation(create("three", quantity=3, line=WAITS))
    assert rests_on(pegged.reservation.lines[0]) == [("po-1", 3)]
    await schedule.set("po-2", 6, 13)
    if lost:
        await move(stubs, "lost", "ADJUSTMENT", -lost, "LAMP", "DC")
    assert (await schedule.position()).backordered == backordered
    assert days((await outlook(stubs)).steps) == expected


async def test_days_say_how_far_the_answer_goes(stubs: Stubs, lamps: Schedule) -> None:
    """Seven days are today and the six that follow."""
    await lamps.set("po-1", 1, 0)
    await lamps.set("po-2", 1, 6)
    await lamps.set("po-3", 1, 7)
    await lamps.set("po-4", 1, 729)
    week = await outlook(stubs, days=7)
    assert days(week.steps) == [(0, 8), (6, 9)]
    assert (week.available, as_day(week.last_date)) == (7, as_day(in_days(6)))
    assert days((await outlook(stubs, days=8)).steps)[-1] == (7, 10)
    assert days((await outlook(stubs)).steps)[-1] == days((await outlook(stubs, days=730)).steps)[-1] == (729, 11)
    for wrong in (-1, 731):
        why = await refused(outlook(stubs, days=wrong))
        assert (why.reason, why.fields) == ("INVALID_ARGUMENT", ["days"])


async def test_a_location_that_cannot_be_used_promises_nothing_and_says_why(stubs: Stubs, lamps: Schedule) -> None:
    await Schedule(stubs, location="OLD").set("po-1", 4, 5)
    await Schedule(stubs, location="ABROAD").set("po-2", 4, 5)
    named = await outlook(stubs, locations=["ABROAD", "LON", "OLD"])
    assert [(p.location, days(p.steps), list(p.reasons)) for p in named.positions] == [
        ("ABROAD", [], [pb.AVAILABILITY_REASON_NOT_IN_CHANNEL]),
        ("LON", [(0, 2)], []),
        ("OLD", [], [pb.AVAILABILITY_REASON_LOCATION_DISABLED]),
    ]
    assert days(named.steps) == [(0, 2)]
    nothing = await outlook(stubs, locations=["ABROAD"])
    assert (nothing.available, days(nothing.steps)) == (0, [(0, 0)])


async def test_what_is_expected_only_is_known_and_what_never_was_is_not(stubs: Stubs) -> None:
    await Schedule(stubs, "SOFA").set("po-1", 4, 5)
    assert days((await outlook(stubs, "SOFA")).steps) == [(0, 0), (5, 4)]
    why = await refused(outlook(stubs, "NOBODY"))
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_SKU")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sku": ""}, "INVALID_ARGUMENT"),
        ({"channel": ""}, "INVALID_ARGUMENT"),
        ({"channel": "nobody"}, "UNKNOWN_CHANNEL"),
        ({"locations": ["nowhere"]}, "UNKNOWN_LOCATION"),
        ({"group": "nothing"}, "UNKNOWN_GROUP"),
        ({"group": "abroad"}, "GROUP_NOT_USABLE"),
        ({"group": "all", "locations": ["DC"]}, "INVALID_ARGUMENT"),
        ({"fulfilment": 9}, "INVALID_ARGUMENT"),
        ({"consistency": common_pb2.Consistency(at_least_as_fresh="?")}, "INVALID_ARGUMENT"),
    ],
)
async def test_bad_questions_are_refused(stubs: Stubs, lamps: Schedule, fields: dict[str, Any], reason: str) -> None:
    assert (await refused(outlook(stubs, **fields))).reason == reason


async def test_a_kit_can_be_promised_from_the_day_on_which_it_comes_together(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK + KITS, "with kits")
    await stubs.receive("SOFA", 3)
    await stubs.receive("CUSHION", 9)
    cushions, sofas = Schedule(stubs, "CUSHION"), Schedule(stubs, "SOFA")
    await cushions.set("po-1", 2, 2)
    await cushions.set("po-2", 8, 5)
    await sofas.set("po-3", 5, 7)
    await Schedule(stubs, "SOFA", "LON").set("po-4", 5, 7)
    answer = await outlook(stubs, "SET")
    assert (answer.available, days(answer.steps)) == (2, [(0, 2), (5, 3), (7, 4)])
    assert [(p.location, p.available, days(p.steps)) for p in answer.positions] == [
        ("DC", 2, [(0, 2), (5, 3), (7, 4)]),
        ("LON", 0, [(0, 0)]),
    ]
    assert [(part.sku, part.units, part.available) for part in answer.components] == [
        ("SOFA", 1, 3),
        ("CUSHION", 4, 9),
    ]
    now = await availability(stubs, "SET")
    assert as_day(now.next_date) == as_day(now.next_receipt.date) == as_day(in_days(5))


async def test_the_next_date_of_a_kit_is_the_first_step_of_what_can_be_promised(stubs: Stubs) -> None:
    """Where a percentage stays of all that comes, and some of it is pegged to another order."""
    await stubs.apply_network(NETWORK + KITS + "safety_stock: [{location: DC, percent: 50}]\n", "with kits")
    await stubs.receive("SOFA", 4)
    await stubs.receive("CUSHION", 16)
    await Schedule(stubs, "SOFA").set("po-1", 7, 3)
    order = create("pegged", "SOFA", 7, line={"location": "DC"} | WAITS)
    held = await stubs.reservations.CreateReservation(order)
    assert rests_on(held.reservation.lines[0]) == [("DC", 2), ("po-1", 5)]
    await Schedule(stubs, "CUSHION").set("po-2", 8, 5)
    await Schedule(stubs, "SOFA").set("po-3", 4, 9)
    answer = await outlook(stubs, "SET")
    assert days(answer.steps) == [(0, 0), (3, 1), (9, 3)]
    assert (await availability(stubs, "SET")).next_date == answer.steps[1].date


async def test_availability_tells_the_first_day_with_more_than_now(stubs: Stubs) -> None:
    """Not that of the next receipt, where it only makes up what is missing."""
    await stubs.apply_network(NETWORK + "safety_stock: [{sku: LAMP, units: 6}]\n", "with safety stock")
    await stubs.receive("LAMP", 5)
    assert not (await availability(stubs)).HasField("next_date")
    schedule = Schedule(stubs)
    await schedule.set("po-1", 1, 3)
    answer = await availability(stubs)
    assert (as_day(answer.next_receipt.date), answer.HasField("next_date")) == (as_day(in_days(3)), False)
    await schedule.set("po-2", 4, 8)
    answer = await availability(stubs)
    assert (as_day(answer.next_receipt.date), answer.next_receipt.quantity) == (as_day(in_days(3)), 1)
    assert as_day(answer.next_date) == as_day(in_days(8))
    assert days((await outlook(stubs)).steps) == [(0, 0), (8, 4)]
    await stubs.receive("LAMP", 1, event_id="one more")
    assert as_day((await availability(stubs)).next_date) == as_day(in_days(3))
    assert not (await availability(stubs, group="stores")).HasField("next_date")


async def test_the_own_hold_does_not_stand_in_the_way_of_the_next_date(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK + "safety_stock: [{sku: LAMP, units: 3}]\n", "with safety stock")
    await stubs.receive("LAMP", 5)
    await Schedule(stubs).set("po-1", 1, 3)
    await stubs.reservations.CreateReservation(create("mine", quantity=2, reservation_id="mine"))
    await move(stubs, "lost", "ADJUSTMENT", -2, "LAMP", "DC")
    assert not (await availability(stubs)).HasField("next_date")
    own = await availability(stubs, ignore_reservation_id="mine")
    assert (own.available, as_day(own.next_date)) == (0, as_day(in_days(3)))


async def test_beyond_two_years_there_is_a_next_receipt_and_no_next_date(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 1, 731)
    answer = await availability(stubs)
    assert (answer.HasField("next_receipt"), answer.HasField("next_date")) == (True, False)


async def test_what_is_promised_for_a_day_can_be_taken_when_all_that_is_due_by_it_has_come(stubs: Stubs) -> None:
    """And what others were promised of it has left. With percentages, floors, ring-fences, pegs, backorders and losses,
    at random: no promise is broken, none held back.
    """
    await stubs.apply_network(NETWORK + RULES, "with rules")
    chance = random.Random(20_261_122)
    for number in range(8):
        sku = f"S{number}"
        for place, location in enumerate(("DC", "LON")):
            schedule = Schedule(stubs, sku, location)
            receipts = await at_random(stubs, chance, schedule, fenced=bool((number + place) % 2))
            promised = days((await outlook(stubs, sku, locations=[location])).steps)
            assert promised[0] == (0, (await availability(stubs, sku, locations=[location])).available)
            for day, due in sorted(receipts.items()):
                _, reserved, _ = await stubs.position(sku, location)
                for receipt_id, units in due:
                    await schedule.receive(receipt_id, units)
                await leave(stubs, sku, location, reserved)
                there = (await availability(stubs, sku, locations=[location])).available
                expected = [units for begins, units in promised if begins <= day][-1]
                assert there == expected, (sku, location, day, receipts)


async def at_random(
    stubs: Stubs, chance: random.Random, schedule: Schedule, *, fenced: bool
) -> dict[int, list[tuple[str, int]]]:
    """A position with an order that waits, a count since, and receipts: by day (receipt_id, units)."""
    sku, location = schedule.sku, schedule.location
    await stubs.receive(sku, chance.randint(5, 30), location)
    if fenced:
        moved = await move(stubs, f"fence {sku} {location}", "RING_FENCE", 5, sku, location, "closed")
        assert moved.result == stock_service_pb2.PostMovementsResponse.Outcome.RESULT_APPLIED
    receipts: dict[int, list[tuple[str, int]]] = {}
    for place in range(chance.randint(1, 5)):
        day, receipt_id, units = chance.randint(1, 20), f"{sku} {location} {place}", chance.randint(1, 40)
        receipts.setdefault(day, []).append((receipt_id, units))
        await schedule.set(receipt_id, units, day)
    name, line = order_of(sku, location), {"location": location} | WAITS
    request = create(name, sku, chance.randint(1, 60), line=line, reservation_id=name)
    request.policy = request.POLICY_BEST_EFFORT
    await stubs.reservations.CreateReservation(request)
    await stubs.reservations.ConfirmReservation(
        reservation_service_pb2.ConfirmReservationRequest(
            request_id=f"confirm {name}", reservation_id=name, channel="web"
        )
    )
    await move(stubs, f"count {sku} {location}", "COUNT", chance.randint(0, 30), sku, location)
    return receipts


async def leave(stubs: Stubs, sku: str, location: str, reserved_before: int) -> None:
    """The order's units that have arrived are fulfilled, so that no more are reserved than before."""
    _, reserved, revision = await stubs.position(sku, location)
    if reserved > reserved_before:
        line = reservation_service_pb2.LineUnits(line_id="1", quantity=reserved - reserved_before)
        await stubs.reservations.FulfilReservation(
            reservation_service_pb2.FulfilReservationRequest(
                request_id=f"{sku} {location} {revision}",
                reservation_id=order_of(sku, location),
                channel="web",
                lines=[line],
            )
        )


def order_of(sku: str, location: str) -> str:
    return f"order {sku} {location}"
