"""The integrity check on a real store: finds each kind of damage, and nothing else, also while everything moves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.bootstrap import Running
from invengine.domain.partitions import partition_of
from invengine.kernels.layout import ON_HAND
from invengine.store import keys
from invengine.v1 import admin_service_pb2 as pb
from invengine.v1 import reservation_service_pb2, stock_service_pb2
from tests.rpc.engines import Stubs, create, engine

pytestmark = pytest.mark.asyncio

HOME = partition_of("LAMP", 64)


@pytest_asyncio.fixture
async def world(redis_url: str) -> AsyncIterator[tuple[Running, Stubs, Redis]]:
    """LAMP at two places, one held and one confirmed reservation, and a few other SKUs."""
    async with engine(redis_url) as (running, stubs), Redis.from_url(redis_url) as redis:
        await stubs.apply_network()
        for location in ("DC", "LON"):
            await stubs.receive("LAMP", 100, location)
        for n in range(20):
            await stubs.receive(f"S{n}", n + 1)
        await stubs.reservations.CreateReservation(create("held", quantity=5, reservation_id="held"))
        await stubs.reservations.CreateReservation(create("firm", quantity=7, reservation_id="firm"))
        await stubs.reservations.ConfirmReservation(
            reservation_service_pb2.ConfirmReservationRequest(request_id="c", reservation_id="firm", channel="web")
        )
        yield running, stubs, redis


async def found(stubs: Stubs, violations_max: int = 0) -> list[tuple[str, str, str, int, int]]:
    response = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest(violations_max=violations_max))
    names = pb.IntegrityViolation.Invariant.Name
    return [
        (names(v.invariant).removeprefix("INVARIANT_"), v.sku, v.location, v.expected, v.actual)
        for v in response.violations
    ]


async def revision(redis: Redis) -> int:
    stored = await redis.hget(keys.stock(HOME, "LAMP"), "DC")
    return int(stored.split(b",")[2])


async def more_reserved(running: Running, redis: Redis) -> None:
    await redis.hset(keys.stock(HOME, "LAMP"), "DC", f"100,13,{await revision(redis)},0")


async def more_on_hand(running: Running, redis: Redis) -> None:
    await redis.hset(keys.stock(HOME, "LAMP"), "DC", f"101,12,{await revision(redis)},0")


async def lost_reservation(running: Running, redis: Redis) -> None:
    await redis.hdel(keys.reservations(partition_of("firm", 64)), "firm")


async def other_replica(running: Running, redis: Redis) -> None:
    columns = running.replica.state.columns
    columns.rows(columns.find_sku("LAMP"))[0, ON_HAND] += 1


async def lost_position(running: Running, redis: Redis) -> None:
    await redis.delete(keys.stock(HOME, "LAMP"))


async def unreadable_position(running: Running, redis: Redis) -> None:
    await redis.hset(keys.stock(HOME, "LAMP"), "DC", "1e3,0,1,0")


async def unreadable_reservation(running: Running, redis: Redis) -> None:
    await redis.hset(keys.reservations(partition_of("held", 64)), "held", "HELD\tweb")


async def negative_fence(running: Running, redis: Redis) -> None:
    await append_to_position(redis, b"\tweb\t-3")


async def fence_without_units(running: Running, redis: Redis) -> None:
    await append_to_position(redis, b"\tweb\t0")


async def fence_told_twice(running: Running, redis: Redis) -> None:
    await append_to_position(redis, b"\tweb\t2\tweb\t2")


async def append_to_position(redis: Redis, fences: bytes) -> None:
    key = keys.stock(HOME, "LAMP")
    await redis.hset(key, "DC", await redis.hget(key, "DC") + fences)


async def more_fenced_than_open(running: Running, redis: Redis) -> None:
    key = keys.reservations(partition_of("held", 64))
    await redis.hset(key, "held", await redis.hget(key, "held") + b"#6 web")


async def test_promises_that_the_replica_has_otherwise_are_found(world: tuple[Running, Stubs, Redis]) -> None:
    """A ring-fence and a receipt that only the store has, as if their rows had been lost on the way."""
    _, stubs, redis = world
    await append_to_position(redis, b"\tweb\t2")
    await redis.hset(keys.incoming(HOME, "LAMP"), "DC\tPO 1", "20000,5,0,1")
    assert [row for row in await found(stubs) if row[0] == "REPLICA_IS_STORE"] == [
        ("REPLICA_IS_STORE", "LAMP", "DC", 0, 0),
        ("REPLICA_IS_STORE", "LAMP", "DC", 0, 0),
    ]


LAMP = ("LAMP", "DC")
FENCE = ("RING_FENCE_IS_POSSIBLE", *LAMP)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (negative_fence, (*FENCE, 1, -3)),
        (fence_without_units, (*FENCE, 1, 0)),
        (fence_told_twice, (*FENCE, 1, 2)),
        (more_fenced_than_open, (*FENCE, 5, 6)),
    ],
)
async def test_an_impossible_ring_fence_is_found(
    world: tuple[Running, Stubs, Redis],
    damage: Callable[[Running, Redis], Awaitable[None]],
    expected: tuple[str, str, str, int, int],
) -> None:
    running, stubs, redis = world
    await damage(running, redis)
    assert [row for row in await found(stubs) if row[0] == FENCE[0]] in ([expected], [expected] * 2)


async def test_a_check_of_what_moves_says_how_much_it_could_not_judge(
    world: tuple[Running, Stubs, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position whose every second reading has another revision is never judged, and told so."""
    running, stubs, redis = world
    await more_reserved(running, redis)
    position, count = running.store.position, itertools.count(1)

    async def moving(sku: str, location: str) -> Any:
        return replace(await position(sku, location), revision=next(count))

    monkeypatch.setattr(running.store, "position", moving)
    response = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest())
    assert (response.not_judged, response.violations_count) == (1, 0)
    monkeypatch.undo()
    response = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest())
    assert response.not_judged == 0
    assert response.violations_count > 0


async def test_only_a_replay_sets_the_gauge_of_the_replay(world: tuple[Running, Stubs, Redis]) -> None:
    running, stubs, redis = world
    sample = running.metrics.registry.get_sample_value
    name = "invengine_integrity_violations"
    await more_on_hand(running, redis)
    for replay, told in ((False, 0), (True, 1), (False, 1)):
        await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest(replay=replay))
        assert sample(name, {"invariant": "LOG_REPLAYS"}) == told
        assert sample(name, {"invariant": "POSITION_IS_LOGGED"}) == 1


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            more_reserved,
            {
                ("RESERVED_IS_OPEN_UNITS", *LAMP, 12, 13),
                ("POSITION_IS_LOGGED", *LAMP, 13, 12),
                ("REPLICA_IS_STORE", *LAMP, 13, 12),
            },
        ),
        (more_on_hand, {("POSITION_IS_LOGGED", *LAMP, 101, 100), ("REPLICA_IS_STORE", *LAMP, 101, 100)}),
        (lost_reservation, {("RESERVED_IS_OPEN_UNITS", *LAMP, 5, 12)}),
        (other_replica, {("REPLICA_IS_STORE", *LAMP, 100, 101)}),
        (
            lost_position,
            {
                ("RESERVED_IS_OPEN_UNITS", *LAMP, 12, 0),
                ("REPLICA_IS_STORE", *LAMP, 0, 100),
                ("REPLICA_IS_STORE", "LAMP", "LON", 0, 100),
            },
        ),
        (unreadable_position, {("READABLE", *LAMP, 0, 0)}),
        (unreadable_reservation, {("READABLE", "", "", 0, 0), ("RESERVED_IS_OPEN_UNITS", *LAMP, 7, 12)}),
    ],
)
async def test_each_damage_is_found_and_nothing_else(
    world: tuple[Running, Stubs, Redis],
    damage: Callable[[Running, Redis], Awaitable[None]],
    expected: set[tuple[str, str, str, int, int]],
) -> None:
    running, stubs, redis = world
    assert await found(stubs) == []
    await damage(running, redis)
    assert set(await found(stubs)) == expected
    registry = running.metrics.registry
    for invariant in {row[0] for row in expected}:
        count = sum(row[0] == invariant for row in expected)
        assert registry.get_sample_value("invengine_integrity_violations", {"invariant": invariant}) == count


async def test_violations_are_counted_beyond_those_that_are_told(world: tuple[Running, Stubs, Redis]) -> None:
    _, stubs, redis = world
    for n in range(20):
        await redis.delete(keys.stock(partition_of(f"S{n}", 64), f"S{n}"))
    response = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest(violations_max=3))
    assert (len(response.violations), response.violations_count) == (3, 20)


async def test_nothing_is_found_while_everything_moves(world: tuple[Running, Stubs, Redis]) -> None:
    _, stubs, _ = world
    done = asyncio.Event()

    async def trade(name: str) -> int:
        rounds = 0
        while not done.is_set():
            rounds += 1
            request_id = f"{name}/{rounds}"
            made = await stubs.reservations.CreateReservation(create(request_id, sku="S15"))
            change = {"reservation_id": made.reservation.reservation_id, "channel": "web"}
            if rounds % 2:
                await stubs.reservations.ReleaseReservation(
                    reservation_service_pb2.ReleaseReservationRequest(request_id=f"{request_id} r", **change)
                )
                continue
            for kind, method in (
                (reservation_service_pb2.ConfirmReservationRequest, stubs.reservations.ConfirmReservation),
                (reservation_service_pb2.FulfilReservationRequest, stubs.reservations.FulfilReservation),
            ):
                await method(kind(request_id=f"{request_id} {kind.__name__}", **change))
            receipt = stock_service_pb2.Movement(source=name, kind=1, sku="S15", location="DC", quantity=1)
            await stubs.stock.PostMovements(
                stock_service_pb2.PostMovementsRequest(request_id=request_id, movements=[receipt])
            )
        return rounds

    traders = [asyncio.create_task(trade(f"t{n}")) for n in range(4)]
    for _ in range(5):
        assert await found(stubs) == []
    done.set()
    assert sum(await asyncio.gather(*traders)) > 20
    response = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest())
    assert (response.positions_checked, response.reservations_checked, response.violations_count) == (22, 2, 0)
