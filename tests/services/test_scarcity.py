"""Prices of scarce stock on a real store: demand out of its log, stock and receipts out of the replica."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from invengine.bootstrap import Running
from invengine.domain.days import calendar_day
from invengine.domain.network import Network
from invengine.services.scarcity import PRICE_SECONDS, Scarcity
from invengine.v1 import common_pb2, incoming_service_pb2, plan_pb2, profile_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, create, engine

pytestmark = pytest.mark.asyncio

DAY_MS = 86_400_000
NETWORK = """\
currency: EUR
locations:
  AMS: {country: NL, postal_code: 1011 AB, latitude: 52.37, longitude: 4.9}
  DUS: {country: DE, postal_code: 40210, latitude: 51.22, longitude: 6.78}
  VIE: {country: AT, postal_code: 1010, latitude: 48.21, longitude: 16.37}
groups: {all: [AMS, DUS, VIE]}
channels: {web: {groups: [all]}}
"""
PLACES = ("AMS", "DUS", "VIE")


def scarcity_of(running: Running, document: str = NETWORK, **given: Any) -> Scarcity:
    networks: Any = SimpleNamespace(current=Network.parse(document))
    return Scarcity(running.store, running.replica, networks, **given)


async def sell(stubs: Stubs, count: int, sku: str = "LAMP", location: str = "AMS", kind: str = "SALE") -> None:
    """So many sales of a unit at a till."""
    movement = {
        "source": "till",
        "kind": stock_service_pb2.Movement.Kind.Value(f"KIND_{kind}"),
        "sku": sku,
        "location": location,
        "quantity": 1,
    }
    movements = [stock_service_pb2.Movement(event_id=f"{kind} {sku} {location} {n}", **movement) for n in range(count)]
    await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=movements))


async def opened(stubs: Stubs, **units: int) -> None:
    await stubs.apply_network(NETWORK)
    for location, count in units.items():
        await stubs.receive("LAMP", count, location)


async def now(running: Running) -> int:
    running.replica.advance(await running.store.now_ms())
    return await running.store.now_ms()


async def test_the_last_units_where_demand_is_have_a_price_and_plenty_has_none(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=42, DUS=100_000)
        scarcity = scarcity_of(running)
        assert scarcity.prices(["LAMP"], PLACES, await now(running)).tolist() == [[0, 0, 0]]
        await sell(stubs, 40)
        await scarcity.look()
        at = await now(running)
        few, many, _ = scarcity.prices(["LAMP"], PLACES, at)[0].tolist()
        assert few > 1_000
        assert many == 0
        assert scarcity.prices(["LAMP", "NONE"], ["NOWHERE", "AMS"], at).tolist() == [[0, few], [0, 0]]
        assert scarcity.prices([], PLACES, at).shape == (0, 3)


async def test_returns_and_adjustments_are_no_demand(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=5)
        await sell(stubs, 4, kind="RETURN")
        scarcity = scarcity_of(running)
        await scarcity.look()
        assert (scarcity.demand.lines, len(scarcity.demand)) == (0, 0)


async def test_a_hold_is_demand_once_it_is_confirmed_and_at_home_where_it_goes(redis_url: str) -> None:
    """It was served by AMS, the only one that had it; Vienna is nearest to where it goes."""
    async with engine(redis_url) as (running, stubs):
        document = NETWORK + "postal_positions: [{country: AT, latitude: 48.2, longitude: 16.3}]\n"
        await stubs.apply_network(document)
        await stubs.receive("LAMP", 50, "AMS")
        scarcity = scarcity_of(running, document)
        line = {
            "fulfilment": common_pb2.FULFILMENT_SHIP,
            "destination": common_pb2.Destination(country="AT", postal_code="1020"),
        }
        made = await stubs.reservations.CreateReservation(create("one", quantity=3, line=line))
        await scarcity.look()
        assert scarcity.demand.lines == 0
        confirm = pb.ConfirmReservationRequest(
            request_id="confirm", reservation_id=made.reservation.reservation_id, channel="web"
        )
        await stubs.reservations.ConfirmReservation(confirm)
        await scarcity.look()
        assert scarcity.demand.lines == 1
        columns = scarcity.demand.columns_of(PLACES)
        forecast = scarcity.demand.rates.forecast(scarcity.demand.numbers_of(["LAMP"]), await now(running))
        by_place = forecast.rate[0, columns].tolist()
        assert by_place[0] == by_place[1] == 0 < by_place[2]
        fulfil = pb.FulfilReservationRequest(
            request_id="fulfil", reservation_id=made.reservation.reservation_id, channel="web"
        )
        await stubs.reservations.FulfilReservation(fulfil)
        await scarcity.look()
        assert scarcity.demand.lines == 1


async def test_a_receipt_that_comes_soon_lowers_the_price(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=21, DUS=100_000)
        await sell(stubs, 20)
        scarcity = scarcity_of(running, horizon_days=60)
        await scarcity.look()
        at = await now(running)
        (before,) = scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist()
        day = at // DAY_MS
        await set_receipt(stubs, day)
        await running.replica.wait_for(list(enumerate(await running.store.revisions())), 5.0)
        assert scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist() == [before]  # kept for a while
        (after,) = scarcity.prices(["LAMP"], ["AMS"], at + PRICE_SECONDS * 1000)[0].tolist()
        assert 0 <= after <= before


async def set_receipt(stubs: Stubs, day: int) -> None:
    due = calendar_day(day)
    change = incoming_service_pb2.SetIncomingRequest(
        request_id="receipt",
        source="erp",
        sku="LAMP",
        location="AMS",
        receipt_id="PO-1",
        expected_date=common_pb2.Date(year=due.year, month=due.month, day=due.day),
        quantity=5,
    )
    await stubs.incoming.SetIncoming(change)


async def test_prices_follow_stock_at_once(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=41, DUS=100_000)
        await sell(stubs, 40)
        scarcity = scarcity_of(running)
        await scarcity.look()
        at = await now(running)
        (before,) = scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist()
        await stubs.receive("LAMP", 100_000, "AMS", "more")
        assert scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist() == [0]
        assert before > 0


async def test_a_log_that_lost_its_beginning_is_read_from_what_is_left(redis_url: str) -> None:
    async with engine(redis_url, log_entries_max=1000) as (running, stubs):
        await opened(stubs, AMS=100)
        await sell(stubs, 3)
        revisions = await running.store.revisions()
        partition, newest = max(enumerate(revisions), key=lambda pair: pair[1])
        redis = Redis.from_url(redis_url)
        try:
            await redis.xtrim(f"{{p{partition}}}:log", minid=f"{newest}-0", approximate=False)
        finally:
            await redis.aclose()
        scarcity = scarcity_of(running)
        await scarcity.look()
        await sell(stubs, 2, sku="CHAIR", kind="RECEIPT")
        await scarcity.look()
        assert scarcity.demand.lines <= 3
        await sell(stubs, 2)  # repeats: nothing new
        before = scarcity.demand.lines
        await scarcity.look()
        assert scarcity.demand.lines == before


async def test_when_memory_is_full_the_skus_that_are_wanted_least_go(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network(NETWORK)
        for sku, count in (("A", 6), ("B", 5), ("C", 4), ("D", 1)):
            await stubs.receive(sku, 10, "AMS")
            await sell(stubs, count, sku=sku)
        scarcity = scarcity_of(running, memory_bytes=1)  # room for four
        await scarcity.look()
        assert len(scarcity.demand) == 4
        await stubs.receive("E", 10, "AMS")
        await sell(stubs, 3, sku="E")
        await scarcity.look()
        numbers = scarcity.demand.numbers_of(["A", "B", "C", "D", "E"]).tolist()
        assert numbers[3] == -1
        assert -1 not in numbers[:3]
        assert numbers[4] >= 0


async def test_a_sixteenth_of_the_stock_moves_no_price(redis_url: str) -> None:
    """Of 41 units two: the price stays; with twelve fewer it has risen."""
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=81, DUS=100_000)
        await sell(stubs, 40)
        scarcity = scarcity_of(running, horizon_days=1)
        await scarcity.look()
        at = await now(running)
        (before,) = scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist()
        await stubs.reservations.CreateReservation(create("two", quantity=2, line={"location": "AMS"}))
        assert scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist() == [before]
        await stubs.reservations.CreateReservation(create("ten", quantity=10, line={"location": "AMS"}))
        (after,) = scarcity.prices(["LAMP"], ["AMS"], at)[0].tolist()
        assert after > before > 0


async def test_a_location_that_is_switched_off_serves_nobody(redis_url: str) -> None:
    """Düsseldorf has plenty, but is closed: what Amsterdam has is worth more."""
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=60, DUS=100_000, VIE=100_000)
        await sell(stubs, 30)
        await sell(stubs, 10, location="DUS")
        scarcity = scarcity_of(running)
        closed = scarcity_of(running, NETWORK.replace("DUS: {", "DUS: {enabled: false, "))
        await scarcity.look()
        await closed.look()
        at = await now(running)
        (before,), (after,) = (one.prices(["LAMP"], ["AMS"], at)[0].tolist() for one in (scarcity, closed))
        assert after > before


async def test_a_server_reads_demand_by_itself(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await opened(stubs, AMS=10)
        await sell(stubs, 4)
        registry = running.metrics.registry
        async with asyncio.timeout(20):
            while registry.get_sample_value("invengine_demand_lines_total") != 4:
                await asyncio.sleep(0.05)
        assert registry.get_sample_value("invengine_demand_skus") == 1


async def test_a_profile_that_minds_scarce_stock_spares_the_store_that_will_need_it(redis_url: str) -> None:
    """It goes to Amsterdam, where two units are left for some forty orders to come; Düsseldorf is 180 km off."""
    document = NETWORK + "postal_positions: [{country: NL, latitude: 52.37, longitude: 4.9}]\n"
    profile = "name: {}\ncosts: {{kilometre: 0.001}}\nweights: {{opportunity: {}}}\n"
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network(document)
        await stubs.receive("LAMP", 42, "AMS")
        await stubs.receive("LAMP", 100_000, "DUS")
        await sell(stubs, 40)
        for name, percent in (("myopic", 0), ("sparing", 100)):
            asked = profile_pb2.PutProfileRequest(request_id=name, document=profile.format(name, percent))
            await stubs.allocation.PutProfile(asked)
        async with asyncio.timeout(20):
            while running.metrics.registry.get_sample_value("invengine_demand_lines_total") != 40:
                await asyncio.sleep(0.05)
        destination = common_pb2.Destination(country="NL", postal_code="1011")
        line = pb.ReservationLineRequest(
            sku="LAMP", quantity=1, fulfilment=common_pb2.FULFILMENT_SHIP, destination=destination
        )
        fully = common_pb2.Consistency(fully_consistent=True)
        served = {}
        for name in ("myopic", "sparing"):
            request = plan_pb2.PlanBasketRequest(lines=[line], channel="web", profile=name, consistency=fully)
            answer = await stubs.allocation.PlanBasket(request)
            served[name] = answer.plan.lines[0].units[0].location
        assert served == {"myopic": "AMS", "sparing": "DUS"}
