"""Days read back from the change log: what was there at an instant, and who ordered what since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from invengine.bootstrap import Running
from invengine.domain.network import Network
from invengine.domain.orders import Fulfilment
from invengine.errors import DayNotRecorded
from invengine.services.freshness import catch_up
from invengine.services.recorded_days import DAY_MS, RecordedDays, orders_of
from invengine.services.stock_copies import Scratch, StockCopy
from invengine.store import keys
from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2
from tests.rpc.engines import Stubs, engine

pytestmark = pytest.mark.asyncio

NETWORK = """\
locations:
  DC: {kind: warehouse, priority: 10}
  LON: {kind: store, priority: 20, fulfilments: [ship, pickup]}
groups:
  all: [DC, LON]
channels:
  web: {groups: [all]}
kits:
  SET: {TOP: 1, LEG: 4}
"""
SKUS = ("LAMP", "SOFA", "TOP", "LEG")
PLACES = ("DC", "LON")


class Shop:
    """An engine in which things happen."""

    def __init__(self, running: Running, stubs: Stubs) -> None:
        self.running, self.stubs = running, stubs
        self.store, self.replica = running.store, running.replica
        self.network = Network.parse(NETWORK)
        self.days = RecordedDays(running.store)
        self._number = 0

    async def move(self, kind: str, sku: str, location: str, quantity: int, **more: Any) -> None:
        self._number += 1
        movement = stock_service_pb2.Movement(
            source="tests",
            event_id=f"{self._number}",
            kind=stock_service_pb2.Movement.Kind.Value(f"KIND_{kind}"),
            sku=sku,
            location=location,
            quantity=quantity,
            **more,
        )
        await self.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))

    async def reserve(self, *lines: pb.ReservationLineRequest) -> str:
        self._number += 1
        name = f"r{self._number}"
        request = pb.CreateReservationRequest(
            request_id=name,
            reservation_id=name,
            channel="web",
            lines=lines,
            policy=pb.CreateReservationRequest.POLICY_BEST_EFFORT,
        )
        await self.stubs.reservations.CreateReservation(request)
        return name

    async def copy(self) -> StockCopy:
        """The stock as it is."""
        await catch_up(self.store, self.replica, 5.0)
        return await StockCopy.of(self.replica, SKUS, self.network, await self.store.now_ms())

    async def instant(self) -> int:
        """A moment that nothing else happens in."""
        await asyncio.sleep(0.003)  # the log counts milliseconds
        now = await self.store.now_ms()
        await asyncio.sleep(0.003)
        return now


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """Once where a call spans the store, once where it sees one partition, as on a Cluster."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network(NETWORK)
        yield Shop(running, stubs)


@pytest.mark.parametrize("seed", range(4))
async def test_the_stock_of_an_instant_is_found_again(shop: Shop, seed: int) -> None:
    """Whatever happened before and since: movements, reservations, releases."""
    random = Random(seed)
    made: list[str] = []

    async def something() -> None:
        sku, place = random.choice(SKUS), random.choice(PLACES)
        what = random.randrange(4)
        if what == 0:
            await shop.move("RECEIPT", sku, place, random.randrange(1, 9))
        elif what == 1:
            await shop.move("ADJUSTMENT", sku, place, random.choice((-1, 2)), reason="counted")
        elif what == 2 and made:
            name = made.pop(random.randrange(len(made)))
            request = pb.ReleaseReservationRequest(request_id=f"x{name}", reservation_id=name, channel="web")
            await shop.stubs.reservations.ReleaseReservation(request)
        else:
            line = pb.ReservationLineRequest(sku=sku, quantity=random.randrange(1, 4))
            batch = pb.BatchCreateReservationsRequest(
                requests=[
                    pb.CreateReservationRequest(
                        request_id=f"b{len(made)}-{random.random()}", channel="web", lines=[line]
                    )
                ]
            )
            (outcome,) = (await shop.stubs.reservations.BatchCreateReservations(batch)).outcomes
            if outcome.HasField("reservation"):
                made.append(outcome.reservation.reservation_id)

    for sku in SKUS:
        await shop.move("RECEIPT", sku, "DC", 5)
    for _ in range(15):
        await something()
    was, at = await shop.copy(), await shop.instant()
    for _ in range(15):
        await something()
    found = await shop.days.since(at, at + DAY_MS, strict=False)
    now = await shop.copy()
    await shop.days.go_on(found, list(shop.replica.applied), at, at)
    opening = found.opening(now)
    units = {place: (its.on_hand, its.reserved) for place, its in opening.positions.items()}
    before = {place: (its.on_hand, its.reserved) for place, its in was.positions.items()}
    assert {place: its for place, its in units.items() if place in before} == before
    assert all(its == (0, 0) for place, its in units.items() if place not in before)


async def test_orders_are_found_as_they_were_asked_for(shop: Shop) -> None:
    """Kits whole, lines of several partitions together, in their order; transfers and changes are none."""
    for sku, units in (("LAMP", 5), ("TOP", 2), ("LEG", 8), ("SOFA", 1)):
        await shop.move("RECEIPT", sku, "DC", units)
    await shop.move("RECEIPT", "LAMP", "LON", 5)
    await shop.reserve(pb.ReservationLineRequest(sku="LAMP", quantity=1))
    at = await shop.instant()
    kit = await shop.reserve(
        pb.ReservationLineRequest(line_id="kit", sku="SET", quantity=2),
        pb.ReservationLineRequest(line_id="lamps", sku="LAMP", quantity=7, allow_split=True),
    )
    await asyncio.sleep(0.002)
    collected = await shop.reserve(
        pb.ReservationLineRequest(sku="LAMP", quantity=1, location="LON", fulfilment=2),
        pb.ReservationLineRequest(sku="SOFA", quantity=3),
    )
    await shop.stubs.reservations.ConfirmReservation(
        pb.ConfirmReservationRequest(request_id="confirm", reservation_id=kit, channel="web")
    )
    orders = orders_of(await shop.days.since(at, at + DAY_MS, strict=False))
    assert [order.order_id for order in orders] == [kit, collected]
    first, second = orders
    assert sorted((line.line_id, line.sku, line.quantity, line.allow_split) for line in first.lines) == [
        ("kit", "SET", 2, False),
        ("lamps", "LAMP", 7, True),
    ]
    assert [(line.sku, line.quantity, line.location, line.fulfilment) for line in second.lines] == [
        ("LAMP", 1, "LON", Fulfilment.PICKUP),
        ("SOFA", 3, "", Fulfilment.ANY),
    ]
    assert (first.best_effort, second.best_effort) == (False, True)
    assert orders_of(await shop.days.since(at, at, strict=False)) == []


async def test_a_log_that_begins_later_says_so(shop: Shop, redis_url: str) -> None:
    await shop.move("RECEIPT", "LAMP", "DC", 5)
    await shop.move("RECEIPT", "LAMP", "DC", 5)
    today = await shop.store.now_ms() // DAY_MS
    assert await shop.days.first_day() == 0
    assert (await shop.days.since((today - 400) * DAY_MS, today * DAY_MS)).orders == {}
    async with redis.asyncio.from_url(redis_url) as client:
        for partition in range(shop.store.partitions):
            await client.xtrim(keys.log(partition), maxlen=1, approximate=False)
    assert await shop.days.first_day() == today + 1
    with pytest.raises(DayNotRecorded) as refused:
        await shop.days.since(today * DAY_MS, (today + 1) * DAY_MS)
    assert (refused.value.day, refused.value.first_day) == (today, today + 1)


async def test_a_copy_is_taken_from_without_the_live_stock(shop: Shop) -> None:
    await shop.move("RECEIPT", "LAMP", "DC", 5)
    await shop.move("RING_FENCE", "LAMP", "DC", 2, channel="web")
    copy = await shop.copy()
    one, other = [await Scratch.of(copy, shop.network, await shop.store.now_ms()) for _ in range(2)]
    assert one.take("LAMP", "DC", 4, "web", 5) == 4
    assert one.take("LAMP", "DC", 4, "web", 1) == 1
    one.peg("LAMP", "DC", 2, 0)
    free = [await its.free_at() for its in (one, other, copy)]
    assert free == [{"DC": 0}, {"DC": 5}, {"DC": 5}]
    number = one.replica.columns.find_sku("LAMP")
    (row,) = one.replica.columns.rows(number).tolist()
    assert one.replica.columns.ring_fences(row) == []
    assert one.replica.incoming.backordered("LAMP", "DC") == 2
    assert shop.replica.incoming.backordered("LAMP", "DC") == 0
    assert await shop.stubs.position("LAMP") == (5, 0, 2)
