"""The replica beside a real Redis: equal to it once it has caught up, whatever was written and whenever holds ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from invengine.domain.orders import Candidate, LineRequest, ReservationAnswer, ReservationChange, ReserveRequest
from invengine.domain.stock import Movement, MovementKind
from invengine.replica import follower as follower_module
from invengine.replica.clock import StoreClock
from invengine.replica.follower import Follower
from invengine.replica.replica import Replica
from invengine.store.redis_store import LogTrimmed, RedisStore, Written
from tests.redis_servers import RunningRedis
from tests.store.worlds import World, opened

pytestmark = pytest.mark.asyncio

SKUS = [f"SKU-{n}" for n in range(6)] + ["A-SKU-THAT-IS-LONGER-THAN-AN-INLINE-KEY"]
LOCATIONS = [f"L{n}" for n in range(4)]


class Writer:
    """Random writes of one server, applied to its own replica as they are answered."""

    def __init__(self, world: World, replica: Replica, seed: int) -> None:
        self._world, self._store, self._replica = world, world.store, replica
        self._random = random.Random(seed)
        self._name, self._count = f"w{seed}", 0
        self._made: list[str] = []

    def _next(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    async def step(self) -> None:
        kind = self._random.choice(("move", "move", "reserve", "reserve", "change", "change", "expire", "clock"))
        if kind == "clock":
            await self._world.clock.advance(self._random.choice((100, 2000)))
        elif kind == "expire":
            written, _ = await self._store.expire_due(self._random.randrange(self._store.partitions))
            self._replica.apply(written.entries)
        else:
            written = await getattr(self, f"_{kind}")()
            self._replica.apply(written.entries)

    async def _move(self) -> Written[object]:
        pick = self._random
        movements = [
            Movement(
                self._name,
                self._next(),
                self._world.clock.now_ms,
                pick.choice((MovementKind.RECEIPT, MovementKind.SALE, MovementKind.COUNT)),
                pick.choice(SKUS),
                pick.choice(LOCATIONS),
                pick.randrange(1, 9),
            )
            for _ in range(pick.randrange(1, 5))
        ]
        return await self._store.post_movements(movements)

    async def _reserve(self) -> Written[object]:
        pick = self._random
        lines = tuple(
            LineRequest(
                f"l{n}", pick.choice(SKUS), pick.randrange(1, 4), tuple(map(Candidate, LOCATIONS)), allow_split=True
            )
            for n in range(pick.randrange(1, 4))
        )
        request = ReserveRequest(self._next(), "f", self._next(), "web", lines, pick.randrange(1, 6), best_effort=True)
        written = await self._store.reserve([request])
        self._made += [o.reservation.reservation_id for o in written.outcomes if isinstance(o, ReservationAnswer)]
        return written

    async def _change(self) -> Written[object]:
        if not self._made:
            return await self._move()
        verb = self._random.choice((self._store.confirm, self._store.extend, self._store.release, self._store.fulfil))
        change = ReservationChange(self._next(), "f", self._random.choice(self._made), "web", time_to_live_seconds=4)
        return await verb([change])


@asynccontextmanager
async def following(store: RedisStore) -> AsyncIterator[Replica]:
    """A replica of the store that follows it, and is never loaded anew."""
    replica, clock, reloads = Replica(store.partitions, store.store_id), StoreClock(), list[str]()
    follower = Follower(replica, store, clock, trimmed=LogTrimmed, block_ms=10, on_reload=reloads.append)
    await follower.load()
    task = asyncio.create_task(follower.run())
    try:
        yield replica
    finally:
        follower.stop()
        await task
    assert reloads == []


async def assert_equal(world: World, *replicas: Replica) -> None:
    """Every position as Redis has it; expired units are those of its holds that are over."""
    store = world.store
    revisions = list(enumerate(await store.revisions()))
    stored = {
        (sku, location): (position.on_hand, position.reserved, position.revision)
        for sku in SKUS
        for location, position in (await store.positions(sku)).items()
    }
    holds, expired = 0, dict.fromkeys(stored, 0)
    async for chunk in store.snapshot_holds():
        for entry in chunk:
            for line in entry.rows.decode().splitlines():
                _, _, sku, location, units, expires_at, _ = line.split("\t")
                holds += 1
                expired[sku, location] += int(units) * (int(expires_at) * 1000 <= world.clock.now_ms)
    for replica in replicas:
        await replica.wait_for(revisions, 10)
        replica.advance(world.clock.now_ms)
        found = {row[:2]: row[2:] for row in replica.columns.all_positions()}
        assert stored == {key: (row[0], row[1], row[3]) for key, row in found.items()}
        assert expired == {key: row[2] for key, row in found.items()}
        assert holds == replica.columns.hold_count


@pytest.mark.parametrize("seed", range(3))
async def test_replicas_equal_redis_after_random_writes(
    redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two servers write at once, each with its replica; a third joins in the middle, loading beside the writes."""
    redis_server.empty()
    monkeypatch.setattr(
        follower_module, "VERIFY_SECONDS", 0.005
    )  # own writes are compared with the log again and again
    async with (
        opened(redis_server.url, monkeypatch) as world,
        following(world.store) as one,
        following(world.store) as two,
    ):
        first, second = Writer(world, one, seed), Writer(world, two, seed + 100)

        async def write(writer: Writer, steps: int) -> None:
            for _ in range(steps):
                await writer.step()

        await asyncio.gather(write(first, 60), write(second, 60))
        await assert_equal(world, one, two)
        writing = asyncio.gather(write(first, 60), write(second, 60))
        async with following(world.store) as three:
            await writing
            await assert_equal(world, one, two, three)
            await world.clock.advance(60_000)
            await assert_equal(world, one, two, three)


async def test_a_trimmed_stream_is_survived(redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_server.empty()
    async with opened(redis_server.url, monkeypatch) as world:
        writer = Writer(world, Replica(world.store.partitions, world.store.store_id), 7)
        replica, reloads = Replica(world.store.partitions, world.store.store_id), list[str]()
        follower = Follower(
            replica, world.store, StoreClock(), trimmed=LogTrimmed, block_ms=10, on_reload=reloads.append
        )
        await follower.load()
        for _ in range(40):
            await writer.step()
        for partition in range(world.store.partitions):
            await world.client.xtrim(f"{{p{partition}}}:log", maxlen=1, approximate=False)
        task = asyncio.create_task(follower.run())
        await assert_equal(world, replica)
        follower.stop()
        await task
    assert reloads == ["LogTrimmed"]
