"""Waves over gRPC: planned, shown, committed."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf import duration_pb2

from invengine.v1 import common_pb2, reservation_service_pb2, wave_pb2
from tests.rpc.engines import Stubs, create, refused
from tests.rpc.waves import commit, line, order, plan, shown, unharmed, units

pytestmark = pytest.mark.asyncio

COMMITTED = wave_pb2.WavePlanOrder.OUTCOME_COMMITTED
IN_PART = wave_pb2.WavePlanOrder.OUTCOME_IN_PART
REFUSED = wave_pb2.WavePlanOrder.OUTCOME_REFUSED
NOTHING = wave_pb2.WavePlanOrder.OUTCOME_NOTHING_PLANNED
HELD, CONFIRMED = 1, 2


async def reservation_of(stubs: Stubs, order_ref: str) -> reservation_service_pb2.Reservation:
    request = reservation_service_pb2.ListReservationsRequest(order_ref=order_ref)
    (found,) = (await stubs.reservations.ListReservations(request)).reservations
    return found


async def test_a_plan_takes_nothing_and_its_commit_takes_exactly_what_it_says(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await stubs.receive("LAMP", 5)
    await stubs.receive("LAMP", 2, "LON")
    await stubs.receive("RUG", 1)
    planned = await plan(
        stubs,
        order("o-1", line("LAMP", 4), line("RUG", 1), customer_ref="ada"),
        order("o-2", line("LAMP", 3, allow_split=True)),
        order("o-3", line("LAMP", 1), line("VASE", 1)),
    )
    assert planned.state == wave_pb2.WavePlan.STATE_PLANNED
    assert (planned.orders, planned.orders_whole, planned.orders_without) == (3, 2, 1)
    assert (planned.lines, planned.quantity, planned.planned_quantity) == (5, 10, 8)
    assert (await stubs.position("LAMP"))[1] == 0
    orders = await shown(stubs, planned.plan_id)
    assert [units(one) for one in orders] == [
        {"1": {"DC": 4}, "2": {"DC": 1}},
        {"1": {"DC": 1, "LON": 2}},
        {"1": {}, "2": {}},
    ]
    missing = [(of.missing_quantity, of.missing) for of in orders[2].lines]
    assert missing == [(1, wave_pb2.WavePlanLine.MISSING_TAKEN), (1, wave_pb2.WavePlanLine.MISSING_NO_STOCK)]

    answer = await commit(stubs, planned.plan_id)
    assert not answer.refused_orders
    assert not answer.replayed
    assert (answer.plan.committed_orders, answer.plan.committed_quantity, answer.plan.refused_lines) == (2, 8, 0)
    assert [one.outcome for one in await shown(stubs, planned.plan_id)] == [COMMITTED, COMMITTED, NOTHING]
    first, second = await reservation_of(stubs, "o-1"), await reservation_of(stubs, "o-2")
    assert (first.state, first.customer_ref, first.HasField("expire_time")) == (CONFIRMED, "ada", False)
    assert [(of.line_id, of.quantity, of.allocations[0].location) for of in first.lines] == [
        ("1", 4, "DC"),
        ("2", 1, "DC"),
    ]
    assert {its.location: its.quantity for its in second.lines[0].allocations} == {"DC": 1, "LON": 2}
    assert [(await stubs.position("LAMP", place))[1] for place in ("DC", "LON")] == [5, 2]
    await unharmed(stubs)


async def test_a_commit_that_is_asked_for_again_answers_what_was_done(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await stubs.receive("LAMP", 5)
    planned = await plan(stubs, order("o-1", line("LAMP", 2)))
    first = await commit(stubs, planned.plan_id)
    for request_id in ("commit", "another"):
        again = await commit(stubs, planned.plan_id, request_id)
        assert again.replayed
        assert again.plan == first.plan
    assert (await stubs.position("LAMP"))[1] == 2
    other = await refused(
        stubs.allocation.CommitPlan(
            wave_pb2.CommitPlanRequest(
                request_id="commit", plan_id=planned.plan_id, target=wave_pb2.CommitPlanRequest.TARGET_HELD
            )
        )
    )
    assert other.reason == "REQUEST_MISMATCH"


async def test_a_plan_that_is_asked_for_again_is_the_one_that_was_made(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 5)
    first = await plan(stubs, order("o-1", line("LAMP", 2)))
    await stubs.receive("LAMP", 5, event_id="more")
    assert await plan(stubs, order("o-1", line("LAMP", 2))) == first
    request = wave_pb2.PlanWaveRequest(request_id="plan", orders=[order("o-1", line("LAMP", 3))])
    assert (await refused(stubs.allocation.PlanWave(request).read())).reason == "REQUEST_MISMATCH"


async def test_held_orders_expire_as_asked(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await stubs.receive("LAMP", 5)
    planned = await plan(stubs, order("o-1", line("LAMP", 2)))
    held = wave_pb2.CommitPlanRequest.TARGET_HELD
    too_long = await refused(
        stubs.allocation.CommitPlan(
            wave_pb2.CommitPlanRequest(
                request_id="c", plan_id=planned.plan_id, target=held, time_to_live=duration_pb2.Duration(seconds=9000)
            )
        )
    )
    assert too_long.reason == "TIME_TO_LIVE_TOO_LONG"
    await commit(stubs, planned.plan_id, target=held, time_to_live=duration_pb2.Duration(seconds=60))
    found = await reservation_of(stubs, "o-1")
    assert (found.state, found.expire_time.seconds - found.create_time.seconds in (60, 61)) == (HELD, True)
    await unharmed(stubs)


async def test_lines_that_cannot_be_had_any_more_are_refused_and_named_and_all_others_committed(
    stubs_of_both: Stubs,
) -> None:
    stubs = stubs_of_both
    await stubs.receive("LAMP", 5)
    await stubs.receive("RUG", 5)
    planned = await plan(
        stubs,
        order("o-1", line("LAMP", 3), line("RUG", 3)),
        order("o-2", line("LAMP", 2), line("RUG", 2), all_or_nothing=True),
    )
    await stubs.reservations.CreateReservation(create("thief", "LAMP", 3))
    answer = await commit(stubs, planned.plan_id)
    first, second = await shown(stubs, planned.plan_id)
    # two lamps are left: too few for the three of the first order, enough for the second
    assert (first.outcome, second.outcome) == (IN_PART, COMMITTED)
    assert [one.order_id for one in answer.refused_orders] == ["o-1"]
    refusal = first.lines[0].refusal
    assert (refusal.reason, refusal.wanted, refusal.available) == (common_pb2.ERROR_REASON_INSUFFICIENT_STOCK, 3, 2)
    assert not first.lines[1].HasField("refusal")
    found = await reservation_of(stubs, "o-1")
    assert [(of.quantity, sum(its.quantity for its in of.allocations)) for of in found.lines] == [(3, 0), (3, 3)]
    assert answer.plan.refused_lines == 1
    await unharmed(stubs)


async def test_an_order_of_all_or_nothing_is_refused_whole(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await stubs.receive("LAMP", 2)
    await stubs.receive("RUG", 5)
    planned = await plan(stubs, order("o-1", line("LAMP", 2), line("RUG", 2), all_or_nothing=True))
    await stubs.reservations.CreateReservation(create("thief", "LAMP", 1))
    answer = await commit(stubs, planned.plan_id)
    (refused_order,) = answer.refused_orders
    assert refused_order.outcome == REFUSED
    assert [(of.refusal.wanted, of.refusal.available) for of in refused_order.lines] == [(2, 1), (2, 2)]
    assert (await stubs.position("RUG"))[1] == 0
    request = reservation_service_pb2.ListReservationsRequest(order_ref="o-1")
    assert not (await stubs.reservations.ListReservations(request)).reservations
    await unharmed(stubs)


async def test_plans_that_are_unknown_or_over_say_so(stubs: Stubs) -> None:
    request = wave_pb2.GetPlanRequest(plan_id="nope")
    assert (await refused(stubs.allocation.GetPlan(request))).reason == "PLAN_NOT_FOUND"
    await stubs.receive("LAMP", 1)
    planned = await plan(stubs, order("o-1", line("LAMP", 1)), keep=duration_pb2.Duration(seconds=1))
    over = wave_pb2.WavePlan.STATE_EXPIRED
    async with asyncio.timeout(20):
        while (await stubs.allocation.GetPlan(wave_pb2.GetPlanRequest(plan_id=planned.plan_id))).plan.state != over:
            await asyncio.sleep(0.05)
    stale = await refused(
        stubs.allocation.CommitPlan(wave_pb2.CommitPlanRequest(request_id="c", plan_id=planned.plan_id))
    )
    assert stale.reason == "PLAN_STALE"
    assert (await stubs.position("LAMP"))[1] == 0


WAITING = """\
locations:
  DC: {kind: warehouse, priority: 10}
  LON: {kind: store, priority: 20, fulfilments: [ship, pickup]}
groups:
  all: [DC, LON]
  stores: [LON]
channels:
  web: {groups: [all, stores], time_to_live: {default: 15m, maximum: 2h}}
  till: {groups: [all]}
backorders:
  - {sku: LAMP, units: 100}
  - {sku: RUG, units: 100}
"""


async def waits(stubs: Stubs, name: str, sku: str, quantity: int, **more: object) -> str:
    """A reservation at DC that takes what is there and waits for the rest; its id."""
    wanted = {"allow_backorder": True, "location": "DC"}
    request = create(name, sku, quantity, line=wanted, order_ref=name, **more)
    return (await stubs.reservations.CreateReservation(request)).reservation.reservation_id


def allocated(found: reservation_service_pb2.Reservation) -> dict[str, int]:
    """Units of the first line by location, with a ? where they are backordered."""
    return {
        its.location + "?" * its.backordered: its.quantity - its.released
        for its in found.lines[0].allocations
        if its.quantity > its.released
    }


async def test_lines_that_wait_get_units_that_are_free_elsewhere(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await stubs.apply_network(WAITING, "waiting")
    await stubs.receive("LAMP", 2)
    await waits(stubs, "older", "LAMP", 5)
    await waits(stubs, "newer", "LAMP", 4)
    await stubs.receive("LAMP", 4, "LON")
    planned = await plan(stubs, waiting=wave_pb2.WaitingLines(all=True))
    assert (planned.orders, planned.quantity, planned.planned_quantity) == (2, 7, 4)
    orders = await shown(stubs, planned.plan_id)
    assert [(one.order_id, one.waiting, units(one)) for one in orders] == [
        ("older", True, {"1": {"LON": 3}}),
        ("newer", True, {"1": {"LON": 1}}),
    ]
    answer = await commit(stubs, planned.plan_id)
    assert (answer.plan.committed_quantity, answer.plan.refused_lines) == (4, 0)
    older, newer = await reservation_of(stubs, "older"), await reservation_of(stubs, "newer")
    assert (allocated(older), allocated(newer)) == ({"DC": 2, "LON": 3}, {"DC?": 3, "LON": 1})
    assert [one.lines[0].quantity for one in (older, newer)] == [5, 4]
    assert (older.state, newer.state) == (HELD, HELD)
    await unharmed(stubs)
    assert (await commit(stubs, planned.plan_id, "again")).replayed


async def test_waiting_lines_are_chosen_by_sku_channel_group_and_place(stubs: Stubs) -> None:
    await stubs.apply_network(WAITING, "waiting")
    for sku in ("LAMP", "RUG"):
        await stubs.receive(sku, 1)
        await waits(stubs, f"web {sku}", sku, 2)
        await stubs.receive(sku, 9, "LON")
    await waits(stubs, "till LAMP", "LAMP", 2, channel="till")

    async def found(number: int, **which: object) -> list[str]:
        planned = await plan(stubs, waiting=wave_pb2.WaitingLines(**which), request_id=f"which {number}")
        return sorted(one.order_id for one in await shown(stubs, planned.plan_id))

    assert await found(1, skus=["RUG"]) == ["web RUG"]
    assert await found(2, channel="till") == ["till LAMP"]
    assert await found(3, group="stores") == []
    assert await found(4, group="all", skus=["LAMP"]) == ["till LAMP", "web LAMP"]
    stays = await plan(stubs, waiting=wave_pb2.WaitingLines(all=True, same_location_only=True), request_id="stays")
    assert (stays.orders, stays.planned_quantity) == (3, 0)


async def test_a_line_that_was_covered_or_released_meanwhile_is_refused_and_the_others_get_theirs(
    stubs_of_both: Stubs,
) -> None:
    stubs = stubs_of_both
    await stubs.apply_network(WAITING, "waiting")
    await stubs.receive("LAMP", 1)
    ids = {name: await waits(stubs, name, "LAMP", 3) for name in ("one", "two", "three")}
    await stubs.receive("LAMP", 9, "LON")
    planned = await plan(stubs, waiting=wave_pb2.WaitingLines(skus=["LAMP"]))
    assert planned.planned_quantity == 8
    await stubs.receive("LAMP", 1, "DC", event_id="covers one")
    await stubs.reservations.ReleaseReservation(
        reservation_service_pb2.ReleaseReservationRequest(request_id="r", reservation_id=ids["two"], channel="web")
    )
    answer = await commit(stubs, planned.plan_id)
    by_name = {one.order_id: one for one in answer.refused_orders}
    assert sorted(by_name) == ["one", "two"]
    first, second = (by_name[name].lines[0].refusal for name in ("one", "two"))
    assert (first.reason, first.wanted, first.available) == (common_pb2.ERROR_REASON_QUANTITY_EXCEEDS_OPEN, 2, 1)
    assert second.reason == common_pb2.ERROR_REASON_RESERVATION_CLOSED
    assert allocated(await reservation_of(stubs, "three")) == {"LON": 3}
    await unharmed(stubs)
