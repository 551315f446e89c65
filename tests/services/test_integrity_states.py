"""The check of units that cannot be sold, on a real engine: finds each kind of damage, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.bootstrap import Running
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Unsellable
from invengine.store import keys
from invengine.v1 import admin_service_pb2 as pb
from invengine.v1 import stock_service_pb2
from tests.rpc.engines import Stubs, engine

pytestmark = pytest.mark.asyncio

HOME = partition_of("LAMP", 64)
KEY = keys.unsellable(HOME, "LAMP")
SHELF = "DC\tquarantine"
PLACE = ("LAMP", "DC")


@pytest_asyncio.fixture
async def world(redis_url: str) -> AsyncIterator[tuple[Running, Stubs, Redis]]:
    """10 LAMP at DC, 3 more in quarantine."""
    async with engine(redis_url) as (running, stubs), Redis.from_url(redis_url) as redis:
        await stubs.apply_network()
        await stubs.receive("LAMP", 10)
        receipt = stock_service_pb2.Movement(
            source="wms", kind=1, sku="LAMP", location="DC", quantity=3, state="quarantine"
        )
        await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(request_id="more", movements=[receipt]))
        yield running, stubs, redis


async def found(stubs: Stubs) -> set[tuple[str, str, str, int, int]]:
    response = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest())
    names = pb.IntegrityViolation.Invariant.Name
    return {
        (names(v.invariant).removeprefix("INVARIANT_"), v.sku, v.location, v.expected, v.actual)
        for v in response.violations
    }


async def other_units(running: Running, redis: Redis) -> None:
    _, rest = (await redis.hget(KEY, SHELF)).split(b",", 1)
    await redis.hset(KEY, SHELF, b"4," + rest)


async def lost(running: Running, redis: Redis) -> None:
    assert await redis.delete(KEY)


async def foreign(running: Running, redis: Redis) -> None:
    units, revision, _ = (await redis.hget(KEY, SHELF)).split(b",")
    await redis.hset(KEY, SHELF, b",".join([units, str(int(revision) + 9).encode(), b"0"]))


async def unreadable(running: Running, redis: Redis) -> None:
    await redis.hset(KEY, SHELF, "three,2,0")


async def below_nothing(running: Running, redis: Redis) -> None:
    await redis.hset(KEY, SHELF, "-3,2,0")


async def other_replica(running: Running, redis: Redis) -> None:
    running.replica.unsellable.load([Unsellable(*PLACE, "quarantine", 5, 99)])


async def only_in_the_replica(running: Running, redis: Redis) -> None:
    running.replica.unsellable.load([Unsellable(*PLACE, "damaged", 1, 99)])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (other_units, {("REPLICA_IS_STORE", *PLACE, 4, 3)}),
        (lost, {("REPLICA_IS_STORE", *PLACE, 0, 3)}),
        (foreign, {("POSITION_IS_LOGGED", *PLACE, 11, 2), ("REPLICA_IS_STORE", *PLACE, 3, 3)}),
        (unreadable, {("READABLE", *PLACE, 0, 0)}),
        (below_nothing, {("READABLE", *PLACE, 0, 0)}),
        (other_replica, {("REPLICA_IS_STORE", *PLACE, 3, 5)}),
        (only_in_the_replica, {("REPLICA_IS_STORE", *PLACE, 0, 1)}),
    ],
)
async def test_each_damage_is_found_and_nothing_else(
    world: tuple[Running, Stubs, Redis],
    damage: Callable[[Running, Redis], Awaitable[None]],
    expected: set[tuple[str, str, str, int, int]],
) -> None:
    running, stubs, redis = world
    assert await found(stubs) == set()
    await damage(running, redis)
    assert await found(stubs) == expected
