"""ExplainAvailability through a real server and a real Redis, alone and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from invengine.v1 import availability_service_pb2, incoming_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.redis_clusters import RedisCluster
from tests.rpc.engines import NETWORK, Stubs, create, engine, refused
from tests.rpc.expected import FRESH

pytestmark = pytest.mark.asyncio

RULES = """\
  app: {groups: [all]}
  alone: {groups: [all], borrow: false}
safety_stock:
  - {sku: LAMP, units: 1}
  - {location: DC, percent: 20}
"""


@pytest_asyncio.fixture(params=["one Redis", "Cluster"])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Stubs]:
    """20 LAMP at DC, 4 of them kept for app; the engine rests on one Redis, or on a Cluster."""
    if request.param == "Cluster":
        cluster: RedisCluster = request.getfixturevalue("valkey_cluster")
        url = cluster.url
    else:
        url = request.getfixturevalue("redis_url")
    async with engine(url) as (_, stubs):
        await stubs.apply_network(NETWORK + RULES)
        await stubs.receive("LAMP", 20, event_id="note 1")
        await fence(stubs, 4)
        yield stubs


async def fence(stubs: Stubs, quantity: int) -> None:
    movement = stock_service_pb2.Movement(
        source="planner",
        kind=stock_service_pb2.Movement.KIND_RING_FENCE,
        sku="LAMP",
        location="DC",
        quantity=quantity,
        channel="app",
    )
    await stubs.stock.PostMovements(
        stock_service_pb2.PostMovementsRequest(request_id=f"fence {quantity}", movements=[movement])
    )


async def explain(stubs: Stubs, **fields: Any) -> availability_service_pb2.ExplainAvailabilityResponse:
    given = {"sku": "LAMP", "channel": "web", "consistency": FRESH, **fields}
    return await stubs.availability.ExplainAvailability(availability_service_pb2.ExplainAvailabilityRequest(**given))


async def available(stubs: Stubs, **fields: Any) -> int:
    given = {"sku": "LAMP", "channel": "web", "consistency": FRESH, **fields}
    request = availability_service_pb2.GetAvailabilityRequest(**given)
    return (await stubs.availability.GetAvailability(request)).available


async def reserve(stubs: Stubs, name: str, quantity: int, channel: str = "web", **more: Any) -> None:
    request = create(name, quantity=quantity, reservation_id=name, channel=channel, **more)
    await stubs.reservations.CreateReservation(request)


async def test_every_term_rule_and_reservation_is_told(shop: Stubs) -> None:
    await reserve(shop, "R1", 3)
    await reserve(shop, "R2", 2, "app")
    await shop.reservations.ConfirmReservation(
        pb.ConfirmReservationRequest(reservation_id="R1", request_id="sure", channel="web")
    )
    await shop.incoming.SetIncoming(
        incoming_service_pb2.SetIncomingRequest(
            source="erp",
            request_id="po",
            receipt_id="PO1",
            sku="LAMP",
            location="DC",
            quantity=9,
            expected_date={"year": 2999, "month": 1, "day": 2},
        )
    )
    told = await explain(shop)
    assert (told.settled, told.complete, told.available) == (True, True, await available(shop))
    (dc,) = told.positions
    assert [(term.name, term.quantity) for term in dc.terms] == [
        ("on_hand", 20),
        ("reserved", -5),
        ("safety_stock", -4),
    ]
    assert [(rule.sku, rule.location, rule.keeps, rule.wins) for rule in dc.safety_rules] == [
        ("LAMP", "", 1, False),
        ("", "DC", 4, True),
    ]
    assert {(r.reservation_id, r.channel, r.state, r.line_id, r.quantity, r.counts) for r in dc.reservations} == {
        ("R1", "web", pb.Reservation.STATE_CONFIRMED, "1", 3, True),
        ("R2", "app", pb.Reservation.STATE_HELD, "1", 2, True),
    }
    holds = {r.reservation_id: r for r in dc.reservations}
    assert (holds["R2"].fenced, holds["R2"].fence_channel) == (2, "app")
    assert [r.HasField("expire_time") for r in (holds["R1"], holds["R2"])] == [False, True]
    assert [(f.channel, f.quantity) for f in dc.ring_fences] == [("app", 2)]
    assert (dc.own_fence, dc.pool, dc.borrows) == (0, 13, True)
    assert [(r.receipt_id, r.quantity) for r in dc.incoming] == [("PO1", 9)]
    assert (dc.last_change.kind, dc.last_change.cause, dc.last_change.sku) == ("RESERVE", "R2", "LAMP")
    assert (dc.last_change.revision, dc.usable) == (dc.revision, True)


async def test_each_channel_has_its_own_sum(shop: Stubs) -> None:
    for channel in ("web", "app", "alone"):
        told = await explain(shop, channel=channel)
        (dc,) = told.positions
        assert sum(term.quantity for term in dc.terms) == told.available == await available(shop, channel=channel)
    assert [(t.name, t.quantity) for t in dc.terms][-1] == ("ring_fences", -16)


async def test_a_reservation_that_is_ignored_is_listed_and_does_not_count(shop: Stubs) -> None:
    await reserve(shop, "R1", 3)
    told = await explain(shop, ignore_reservation_id="R1")
    (dc,) = told.positions
    assert ("ignored_reservation", 3) in [(term.name, term.quantity) for term in dc.terms]
    assert [(r.reservation_id, r.counts) for r in dc.reservations] == [("R1", False)]
    assert told.available == await available(shop, ignore_reservation_id="R1") == 16  # 20 less 20 %
    assert dc.reserved == 3


async def test_a_location_that_cannot_be_used_says_by_which_rule(shop: Stubs) -> None:
    await shop.receive("LAMP", 5, "ABROAD")
    told = await explain(shop, locations=["ABROAD", "OLD"])
    assert [(p.location, p.available, p.usable, p.usable_rule) for p in told.positions] == [
        ("ABROAD", 0, False, "ABROAD is in none of the groups of web (all, stores)"),
        ("OLD", 0, False, "location OLD is switched off in the network file"),
    ]
    assert [(t.name, t.quantity) for t in told.positions[0].terms] == [
        ("on_hand", 5),
        ("reserved", 0),
        ("safety_stock", -1),
        ("location", -4),
    ]


async def test_a_basket_over_several_skus_is_found_at_each(shop: Stubs) -> None:
    await shop.receive("SOFA", 5)
    lines = [
        pb.ReservationLineRequest(line_id=sku, sku=sku, quantity=quantity)
        for sku, quantity in (("LAMP", 2), ("SOFA", 1))
    ]
    await shop.reservations.CreateReservation(
        pb.CreateReservationRequest(request_id="both", reservation_id="BOTH", channel="web", lines=lines)
    )
    for sku, quantity in (("LAMP", 2), ("SOFA", 1)):
        (position,) = (await explain(shop, sku=sku)).positions
        assert [(r.reservation_id, r.line_id, r.quantity) for r in position.reservations] == [("BOTH", sku, quantity)]


async def test_bad_questions_are_refused(shop: Stubs) -> None:
    assert (await refused(explain(shop, sku="NOBODY"))).reason == "UNKNOWN_SKU"
    assert (await refused(explain(shop, channel="nobody"))).reason == "UNKNOWN_CHANNEL"
    assert (await refused(explain(shop, reservations_max=101))).fields == ["reservations_max"]


async def test_units_that_cannot_be_sold_are_told_and_are_no_term(shop: Stubs) -> None:
    before = (await explain(shop)).available
    movement = stock_service_pb2.Movement(
        source="dock",
        kind=stock_service_pb2.Movement.KIND_RECEIPT,
        sku="LAMP",
        location="DC",
        quantity=3,
        state="damaged",
    )
    await shop.stock.PostMovements(stock_service_pb2.PostMovementsRequest(request_id="bad", movements=[movement]))
    told = await explain(shop)
    (dc,) = told.positions
    assert [(one.state, one.quantity) for one in dc.states] == [("damaged", 3)]
    assert [(one.state, one.before, one.after) for one in dc.last_change.states] == [("damaged", 0, 3)]
    assert told.available == before == sum(term.quantity for term in dc.terms)
