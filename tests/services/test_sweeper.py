"""The sweeper on a real store: holds whose time is over are tidied, by whichever server, once."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration

from invengine.bootstrap import Running
from invengine.domain.capacity import capacity_day, capacity_sku
from invengine.domain.partitions import partition_of
from invengine.services.sweeper import Sweeper
from invengine.v1 import admin_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, create, engine, refused
from tests.store.making import change, request
from tests.store.slots import slot_line

pytestmark = pytest.mark.asyncio

SECOND = Duration(seconds=1)


async def over(running: Running, stubs: Stubs, count: int) -> None:
    """So many holds of LAMP, and the moment at which the time of all is over."""
    requests = [create(f"r{n}", time_to_live=SECOND) for n in range(count)]
    for start in range(0, count, 1000):
        response = await stubs.reservations.BatchCreateReservations(
            pb.BatchCreateReservationsRequest(requests=requests[start : start + 1000])
        )
    last = max(outcome.reservation.expire_time.seconds for outcome in response.outcomes)
    while await running.store.now_ms() < last * 1000:
        await asyncio.sleep(0.05)


async def test_what_is_over_is_expired_and_counted_once(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs), engine(redis_url) as (other, _):
        await stubs.apply_network()
        await stubs.receive("LAMP", 1500)
        await over(running, stubs, 1200)
        # at once, before any sweep: what is over does not count
        assert (await stubs.position("LAMP"))[:2] == (1500, 0)
        await stubs.reservations.CreateReservation(create("all", quantity=1500))
        async with asyncio.timeout(20):
            while (await running.store.states())["EXPIRED"] != 1200:
                await asyncio.sleep(0.05)
        swept = [
            engine.metrics.registry.get_sample_value("invengine_reservations_expired_total") or 0
            for engine in (running, other)
        ]
        assert sum(swept) <= 1200
        stored = await running.store.position("LAMP", "DC")
        assert stored is not None
        assert (stored.on_hand, stored.reserved) == (1500, 1500)


async def test_one_sweep_expires_all_that_is_due_and_tells_the_replica(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 600)
        sweeper = Sweeper(running.store, running.replica, running.metrics)
        home = partition_of("LAMP", running.store.partitions)
        assert await sweeper.sweep(home) == 0
        made = await stubs.reservations.CreateReservation(create("kept"))
        await over(running, stubs, 500)
        await sweeper.sweep(home)
        assert await sweeper.sweep(home) == 0
        states = await running.store.states()
        assert (states["EXPIRED"], states["HELD"]) == (500, 1)
        assert running.replica.applied == await running.store.revisions()
        request = pb.ReleaseReservationRequest(
            request_id="late", reservation_id=await some_id(stubs, "r7"), channel="web"
        )
        why = await refused(stubs.reservations.ReleaseReservation(request))
        assert why.reason in ("RESERVATION_EXPIRED", "RESERVATION_CLOSED")
        kept = pb.GetReservationRequest(reservation_id=made.reservation.reservation_id, channel="web")
        assert (await stubs.reservations.GetReservation(kept)).reservation.state == 1


async def some_id(stubs: Stubs, request_id: str) -> str:
    """The id of a reservation made before, by its request."""
    again = await stubs.reservations.CreateReservation(create(request_id, time_to_live=SECOND))
    assert again.replayed
    return str(again.reservation.reservation_id)


async def test_days_of_slots_that_are_over_are_forgotten_everywhere(redis_url: str) -> None:
    """By the store and by every replica, but for those on which something is held; the log replays to the same."""
    async with engine(redis_url) as (running, stubs), engine(redis_url) as (other, _):
        await stubs.apply_network()
        today = await running.store.now_ms() // 86_400_000
        days = [today - 30, today - 8, today - 7, today, today + 30]
        for n, day in enumerate(days):
            name = f"r{n}"
            asked = request(slot_line({day: 2}, str(n)), reservation_id=name, time_to_live_seconds=600)
            running.replica.apply((await running.store.reserve([asked])).entries)
            if day != today - 30:
                running.replica.apply((await running.store.release([change(name)])).entries)
        sku = capacity_sku("AMS1", "SHIP")
        sweeper = Sweeper(running.store, running.replica, running.metrics)
        for partition in range(running.store.partitions):
            await sweeper.forget(partition)
        left = {capacity_day(day) for day in days if day != today - 8}
        assert set(await running.store.positions(sku)) == left
        assert set(running.replica.slots.rows(sku)) == left
        await other.replica.wait_for(list(enumerate(await running.store.revisions())), 5.0)
        assert other.replica.slots.all() == running.replica.slots.all()
        report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
        assert list(report.violations) == []
