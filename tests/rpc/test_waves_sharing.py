"""Who gets what in a wave, why something is missing, and what a request must look like."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from invengine.v1 import common_pb2, incoming_service_pb2, profile_pb2, stock_service_pb2, wave_pb2
from tests.redis_clusters import RedisCluster
from tests.rpc.engines import Stubs, create, engine, refused
from tests.rpc.expected import Schedule
from tests.rpc.waves import commit, line, order, plan, shown, unharmed, units

pytestmark = pytest.mark.asyncio

TWO_CHANNELS = """\
locations:
  DC: {kind: warehouse, priority: 10}
  LON: {kind: store, priority: 20, fulfilments: [ship, pickup]}
  OLD: {kind: store, enabled: false}
groups:
  all: [DC, LON, OLD]
  stores: [LON]
channels:
  web: {groups: [all, stores]}
  till: {groups: [all]}
safety_stock:
  - {channel: web, units: 2}
kits:
  set: {LAMP: 1, RUG: 2}
"""
FAIR = wave_pb2.PlanWaveRequest.MODE_FAIR


async def got(stubs: Stubs, plan_id: str) -> dict[str, int]:
    return {
        one.order_id: sum(part.quantity for of in one.lines for part in of.units) for one in await shown(stubs, plan_id)
    }


async def test_a_lower_class_goes_first_and_then_what_is_worth_more(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 5)
    planned = await plan(
        stubs,
        order("cheap", line("LAMP", 2, unit_worth=10_000)),
        order("dear", line("LAMP", 2, unit_worth=90_000)),
        order("first", line("LAMP", 2, unit_worth=1), priority_class=0),
        order("later", line("LAMP", 5, unit_worth=10**9), priority_class=1),
    )
    assert await got(stubs, planned.plan_id) == {"cheap": 2, "dear": 2, "first": 0, "later": 0}
    assert [(fill.priority_class, fill.planned_quantity) for fill in planned.fills] == [(0, 4), (1, 0)]


async def test_fair_shares_go_by_what_everybody_wants(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 7)
    orders = [order(name, line("LAMP", wanted, allow_partial=True)) for name, wanted in (("a", 2), ("b", 4), ("c", 8))]
    planned = await plan(stubs, *orders, mode=FAIR)
    assert await got(stubs, planned.plan_id) == {"a": 1, "b": 2, "c": 4}


async def test_channels_get_their_minimum_share(stubs: Stubs) -> None:
    await stubs.apply_network(TWO_CHANNELS.replace("units: 2", "units: 0"), "two")
    await stubs.receive("LAMP", 12)
    share = wave_pb2.MinimumShare(channel="till", percent=40)
    planned = await plan(
        stubs,
        order("web", line("LAMP", 10, unit_worth=90_000, allow_partial=True, allow_split=True)),
        order("till", line("LAMP", 10, unit_worth=10_000, allow_partial=True, allow_split=True), channel="till"),
        minimum_shares=[share],
    )
    assert await got(stubs, planned.plan_id) == {"web": 8, "till": 4}
    assert not (await commit(stubs, planned.plan_id)).refused_orders
    await unharmed(stubs)


async def test_safety_stock_and_ring_fences_hold_for_a_wave_and_all_of_it_can_be_had(stubs: Stubs) -> None:
    await stubs.apply_network(TWO_CHANNELS, "two")
    await stubs.receive("LAMP", 10)
    fence = stock_service_pb2.Movement(
        source="tests",
        event_id="fence",
        kind=stock_service_pb2.Movement.KIND_RING_FENCE,
        sku="LAMP",
        location="DC",
        quantity=3,
        channel="till",
    )
    await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[fence]))
    planned = await plan(
        stubs,
        order("web", line("LAMP", 20, allow_partial=True, allow_split=True)),
        order("till", line("LAMP", 20, allow_partial=True, allow_split=True), channel="till"),
    )
    found = await got(stubs, planned.plan_id)
    assert sum(found.values()) == 10
    assert found["till"] >= 3
    answer = await commit(stubs, planned.plan_id)
    assert not answer.refused_orders
    assert (await stubs.position("LAMP"))[1] == 10
    await unharmed(stubs)


async def test_a_line_says_why_it_gets_less(stubs: Stubs) -> None:
    await stubs.apply_network(TWO_CHANNELS, "two")
    await stubs.receive("LAMP", 6)
    await stubs.receive("LAMP", 6, "LON")
    planned = await plan(
        stubs,
        order("together", line("LAMP", 7)),
        order("nowhere", line("LAMP", 1, location="OLD")),
        order("none", line("VASE", 1)),
        order("whole", line("LAMP", 1), line("VASE", 1), all_or_nothing=True),
        order("much", line("LAMP", 50, allow_split=True)),
    )
    why = {
        (one.order_id, of.line_id): wave_pb2.WavePlanLine.Missing.Name(of.missing).removeprefix("MISSING_")
        for one in await shown(stubs, planned.plan_id, show=wave_pb2.GetPlanRequest.SHOW_SHORT)
        for of in one.lines
    }
    assert why == {
        ("together", "1"): "NOT_TOGETHER",
        ("nowhere", "1"): "NO_LOCATION",
        ("none", "1"): "NO_STOCK",
        ("whole", "1"): "ORDER_SHORT",
        ("whole", "2"): "NO_STOCK",
        ("much", "1"): "TAKEN",
    }


async def test_only_stock_of_the_group_is_shared_out(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 6)
    await stubs.receive("LAMP", 2, "LON")
    planned = await plan(stubs, order("o", line("LAMP", 5, allow_partial=True)), group="stores")
    (one,) = await shown(stubs, planned.plan_id)
    assert units(one) == {"1": {"LON": 2}}


async def test_pegged_lines_get_units_before_their_receipt_comes(stubs_of_both: Stubs) -> None:
    stubs = stubs_of_both
    await Schedule(stubs).set("po-1", 10, 9)
    wanted = {"allow_backorder": True, "location": "DC"}
    await stubs.reservations.CreateReservation(create("pegged", "LAMP", 4, line=wanted, order_ref="pegged"))
    await stubs.receive("LAMP", 3)
    planned = await plan(stubs, waiting=wave_pb2.WaitingLines(all=True))
    assert planned.planned_quantity == 3
    await commit(stubs, planned.plan_id)
    listed = await stubs.incoming.ListIncoming(incoming_service_pb2.ListIncomingRequest(sku="LAMP"))
    (receipt,) = listed.receipts
    assert (receipt.quantity, receipt.pegged) == (10, 1)
    assert (await stubs.position("LAMP"))[1] == 3
    await unharmed(stubs)


async def test_a_caller_that_goes_away_ends_the_work_and_nothing_is_left(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 500)
    orders = [order(f"o{number}", line("LAMP", 1)) for number in range(3000)]
    call = stubs.allocation.PlanWave(wave_pb2.PlanWaveRequest(request_id="gone", orders=orders))
    first = await call.read()
    assert first.HasField("progress")
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    planned = await plan(stubs, *orders[:3], request_id="after")
    assert planned.planned_quantity == 3
    assert (await stubs.position("LAMP"))[1] == 0


async def test_a_profile_says_what_costs_and_where_nothing_comes_from(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 5)
    await stubs.receive("LAMP", 5, "LON")
    document = "costs: {parcel: 2.50, unit: 0.10}\nrules: {exclude: [DC]}\n"
    put = profile_pb2.PutProfileRequest(request_id="p", name="stores", document=document, actor="tests")
    await stubs.allocation.PutProfile(put)
    planned = await plan(stubs, order("one", line("LAMP", 2)), order("two", line("LAMP", 1)), profile="stores")
    assert (planned.profile, planned.cost) == ("stores@1", 2 * 25_000 + 3 * 1_000)
    assert [units(one) for one in await shown(stubs, planned.plan_id)] == [{"1": {"LON": 2}}, {"1": {"LON": 1}}]
    activate = profile_pb2.ActivateProfileRequest(request_id="a", channel="web", profile="stores", actor="tests")
    await stubs.allocation.ActivateProfile(activate)
    active = await plan(stubs, order("one", line("LAMP", 2)), request_id="active")
    assert (active.profile, active.cost) == ("stores@1", 25_000 + 2 * 1_000)


async def test_a_plan_is_kept_and_committed_on_a_cluster(valkey_cluster: RedisCluster) -> None:
    async with engine(valkey_cluster.url, partitions=8) as (_, stubs):
        await stubs.apply_network()
        for sku in ("LAMP", "RUG", "VASE"):
            await stubs.receive(sku, 3)
        orders = [order(f"o{number}", line("LAMP", 1), line("RUG", 1), line("VASE", 1)) for number in range(4)]
        planned = await plan(stubs, *orders)
        assert (planned.orders_whole, planned.planned_quantity) == (3, 9)
        answer = await commit(stubs, planned.plan_id)
        assert (answer.plan.committed_orders, answer.plan.refused_lines) == (3, 0)
        assert (await commit(stubs, planned.plan_id, "again")).replayed
        await unharmed(stubs)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"orders": []}, "orders"),
        ({"orders": [order("", line("A", 1))]}, "orders[0].order_id"),
        ({"orders": [order("o", line("A", 1)), order("o", line("A", 1))]}, "orders[1].order_id"),
        ({"orders": [order("o")]}, "orders[0].lines"),
        ({"orders": [order("o", line("A", 0))]}, "orders[0].lines[0].quantity"),
        ({"orders": [order("o", line("A", 1, unit_worth=-1))]}, "orders[0].lines[0].unit_worth"),
        ({"orders": [order("o", line("A", 1, line_id="x"), line("B", 1, line_id="x"))]}, "orders[0].lines[1].line_id"),
        ({"orders": [order("o", line("A", 1), priority_class=100)]}, "orders[0].priority_class"),
        ({"orders": [order("o", line("A", 1, location="DC", group="all"))]}, "orders[0].lines[0].group"),
        ({"orders": [order("o", line("A", 1, fulfilment=2))]}, "orders[0].lines[0].location"),
        (
            {"orders": [order("o", line("A", 1, allow_partial=True), all_or_nothing=True)]},
            "orders[0].lines[0].allow_partial",
        ),
        (
            {"orders": [order("o", line("A", 1, needed_by=common_pb2.Date(year=2030, month=1, day=1)))]},
            "orders[0].lines[0].fulfilment",
        ),
        ({"waiting": wave_pb2.WaitingLines()}, "waiting.all"),
        ({"orders": [order("o", line("set", 1))]}, "orders[0].lines[0].sku"),
        ({"orders": [order("o", line("A", 1))], "keep": duration_pb2.Duration(seconds=90_000)}, "keep"),
        (
            {
                "orders": [order("o", line("A", 1))],
                "minimum_shares": [
                    wave_pb2.MinimumShare(channel="web", percent=60),
                    wave_pb2.MinimumShare(channel="till", percent=41),
                ],
            },
            "minimum_shares[1].percent",
        ),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(stubs: Stubs, content: dict[str, Any], field: str) -> None:
    await stubs.apply_network(TWO_CHANNELS, "two")
    request = wave_pb2.PlanWaveRequest(request_id="bad", **content)
    found = await refused(stubs.allocation.PlanWave(request).read())
    assert (found.reason, found.fields) == ("INVALID_ARGUMENT", [field])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"orders": [order("o", line("A", 1), channel="fax")]}, "UNKNOWN_CHANNEL"),
        ({"orders": [order("o", line("A", 1), channel="closed")]}, "CHANNEL_DISABLED"),
        ({"orders": [order("o", line("A", 1))], "group": "nope"}, "UNKNOWN_GROUP"),
        ({"orders": [order("o", line("A", 1))], "profile": "nope"}, "UNKNOWN_PROFILE"),
        ({"waiting": wave_pb2.WaitingLines(channel="fax")}, "UNKNOWN_CHANNEL"),
    ],
)
async def test_what_the_network_does_not_know_is_refused(stubs: Stubs, content: dict[str, Any], reason: str) -> None:
    request = wave_pb2.PlanWaveRequest(request_id="bad", **content)
    assert (await refused(stubs.allocation.PlanWave(request).read())).reason == reason
