"""The check of what is promised, on a real store: finds each kind of damage, and nothing else, also while all moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.domain.incoming import IncomingChange, IncomingKind
from invengine.domain.orders import Future
from invengine.domain.partitions import partition_of
from invengine.services.integrity_promises import PromisesCheck
from invengine.services.integrity_report import Place
from invengine.services.integrity_units import open_units
from invengine.store import keys
from invengine.store.redis_store import RedisStore
from tests.services.promises import make_promises
from tests.store.making import change, line, request

pytestmark = pytest.mark.asyncio

PARTITIONS = 4
HOME = partition_of("SOFA", PARTITIONS)
INCOMING = keys.incoming(HOME, "SOFA")
PLACE = ("SOFA", "AMS1")

Violation = tuple[str, str, str, int, int]


async def found(store: RedisStore) -> list[Violation]:
    """What one check says, without the sentences."""
    violations: list[Violation] = []

    def violate(invariant: str, place: Place, what: str, expected: int = 0, actual: int = 0, /) -> None:
        assert what
        violations.append((invariant, *place, expected, actual))

    assert await PromisesCheck(store, violate).run(await open_units(store)) == 0
    return violations


@pytest_asyncio.fixture
async def world(redis_url: str) -> AsyncIterator[tuple[RedisStore, Redis]]:
    async with Redis.from_url(redis_url) as client, Redis.from_url(redis_url) as redis:
        store = await RedisStore.open(client, partitions=PARTITIONS)
        await make_promises(store)
        yield store, redis


async def set_numbers(redis: Redis, name: str, change_one: Callable[[list[str]], None]) -> None:
    numbers = (await redis.hget(INCOMING, name)).decode().split(",")
    change_one(numbers)
    await redis.hset(INCOMING, name, ",".join(numbers))


async def more_pegged(redis: Redis) -> None:
    await set_numbers(redis, "AMS1\tPO 1", lambda numbers: numbers.__setitem__(slice(1, 3), ["9", "6"]))


async def too_little_expected(redis: Redis) -> None:
    await set_numbers(redis, "AMS1\tPO 1", lambda numbers: numbers.__setitem__(1, "4"))


async def lost_receipt(redis: Redis) -> None:
    assert await redis.hdel(INCOMING, "AMS1\tPO 1")


async def fewer_backordered(redis: Redis) -> None:
    await set_numbers(redis, "AMS1\t", lambda numbers: numbers.__setitem__(2, "1"))


async def more_waiting(redis: Redis) -> None:
    assert await redis.hincrby(keys.waiting(HOME), "SOFA", 1) == 3


async def nobody_waiting(redis: Redis) -> None:
    assert await redis.hdel(keys.waiting(HOME), "SOFA")


async def waiting_of_another(redis: Redis) -> None:
    await redis.hset(keys.waiting(partition_of("LAMP", PARTITIONS)), "LAMP", 4)


async def lost_reservation(redis: Redis) -> None:
    assert await redis.hdel(keys.reservations(partition_of("pegged", PARTITIONS)), "pegged")


async def foreign_broken(redis: Redis) -> None:
    row = f"{HOME}\tpegged\t1\tSOFA\tAMS1\tPO 1\tSLIPPED\t20000\t1"
    await redis.hset(keys.broken(HOME), "65537000", row)


async def unreadable_broken(redis: Redis) -> None:
    await redis.hset(keys.broken(HOME), "65537000", "SLIPPED")


async def unreadable_receipt(redis: Redis) -> None:
    await redis.hset(INCOMING, "AMS1\tPO 9", "tomorrow,1,0,1")


UNITS = ("PROMISED_IS_OPEN_UNITS", *PLACE)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (more_pegged, {(*UNITS, 5, 6)}),
        (too_little_expected, {(*UNITS, 4, 5)}),
        (lost_receipt, {(*UNITS, 5, 0)}),
        (fewer_backordered, {(*UNITS, 2, 1), ("PROMISED_IS_OPEN_UNITS", "SOFA", "", 1, 2)}),
        (more_waiting, {("PROMISED_IS_OPEN_UNITS", "SOFA", "", 2, 3)}),
        (nobody_waiting, {("PROMISED_IS_OPEN_UNITS", "SOFA", "", 2, 0)}),
        (waiting_of_another, {("PROMISED_IS_OPEN_UNITS", "LAMP", "", 0, 4)}),
        (lost_reservation, {(*UNITS, 2, 5), ("BROKEN_PROMISE_IS_OPEN", *PLACE, 0, 0)}),
        (foreign_broken, {("BROKEN_PROMISE_IS_OPEN", *PLACE, 0, 0)}),
        (unreadable_broken, {("READABLE", "", "", 0, 0)}),
        (unreadable_receipt, {("READABLE", *PLACE, 0, 0)}),
    ],
)
async def test_each_damage_is_found_and_nothing_else(
    world: tuple[RedisStore, Redis], damage: Callable[[Redis], Awaitable[None]], expected: set[Violation]
) -> None:
    store, redis = world
    assert await found(store) == []
    await damage(redis)
    assert set(await found(store)) == expected


async def test_nothing_is_found_while_everything_moves(world: tuple[RedisStore, Redis]) -> None:
    store, _ = world
    done = asyncio.Event()

    async def trade(name: str) -> int:
        rounds = 0
        while not done.is_set():
            rounds += 1
            reservation = f"{name} {rounds}"
            await store.reserve([request(line(3, sku="SOFA", future=Future(0, 50)), reservation_id=reservation)])
            arrives = IncomingChange(name, f"{rounds}", IncomingKind.SET, "SOFA", "AMS1", name, rounds % 7 + 1, 20_000)
            await store.change_incoming([arrives])
            if rounds % 3:
                await store.release([change(reservation)])
            gone = IncomingChange(name, f"{rounds} x", IncomingKind.CANCEL, "SOFA", "AMS1", name)
            await store.change_incoming([gone])
        return rounds

    traders = [asyncio.create_task(trade(f"t{n}")) for n in range(4)]
    violations: list[Violation] = []

    def violate(invariant: str, place: Place, what: str, expected: int = 0, actual: int = 0, /) -> None:
        violations.append((invariant, *place, expected, actual))

    for _ in range(5):
        await PromisesCheck(store, violate).run(await open_units(store))
    done.set()
    assert sum(await asyncio.gather(*traders)) > 20
    assert violations == []
    assert await found(store) == []
