"""The replica beside a Cluster: equal to it after slots have moved and a primary has died, all under load."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from invengine.domain.orders import ReservationChange
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import ReservationNotFound, StoreUnavailable
from invengine.replica.clock import StoreClock
from invengine.replica.follower import Follower
from invengine.replica.replica import Replica
from invengine.store import keys
from invengine.store.cluster import Cluster
from invengine.store.opening import open_topology
from invengine.store.records import StoreSettings, Unreadable
from invengine.store.redis_store import LogTrimmed, RedisStore
from tests.redis_clusters import RedisCluster, wait_until
from tests.store.cancelling import cancelled
from tests.store.colocated import Names

pytestmark = pytest.mark.asyncio

PARTITIONS = 12
OPENING = 1_000_000


class Traders:
    """Writers of all partitions, one each; what they count is what the store must have, if nothing was lost."""

    def __init__(self, store: RedisStore, seed: int, *, may_be_torn: bool) -> None:
        self._may_be_torn = may_be_torn  # half of a reservation that was lost cannot be changed any more
        self._store, self._names = store, Names(PARTITIONS, f"t{seed}-")
        self._random = random.Random(seed)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.skus = [self._names.of(n) for n in range(PARTITIONS)]
        self.reserved = dict.fromkeys(self.skus, 0)
        self.done = self.not_found = 0

    async def start(self) -> None:
        now_ms = await self._store.now_ms()
        for sku in self.skus:
            await self._store.post_movements([self._names.movement("RECEIPT", OPENING, now_ms, sku)])
        self._tasks = [asyncio.create_task(self._trade(sku)) for sku in self.skus]

    async def more(self, count: int) -> None:
        """Until so many more calls were answered."""
        wanted = self.done + count
        async with asyncio.timeout(30):
            while self.done < wanted:
                self._ended()
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        await cancelled(self._tasks)

    def _ended(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    async def _trade(self, sku: str) -> None:
        partition = partition_of(sku, PARTITIONS)
        while not self._stop.is_set():
            units = self._random.randrange(1, 9)
            wanted = self._names.request(units, sku)
            (outcome,) = (await self._store.reserve([wanted])).outcomes
            assert isinstance(outcome, ReservationAnswer), outcome
            self.reserved[sku] += units
            self.done += 1
            if self._random.random() < 0.3:
                request_id = self._names.of(partition, "web\t")
                change = ReservationChange(request_id, "f", wanted.reservation_id, "web")
                try:
                    (outcome,) = (await self._store.release([change])).outcomes
                except (StoreUnavailable, Unreadable):
                    if not self._may_be_torn:
                        raise
                    continue
                if isinstance(outcome, ReservationNotFound):  # a failover took it
                    self.not_found += 1
                    continue
                assert isinstance(outcome, ReservationAnswer), outcome
                self.reserved[sku] -= units
                self.done += 1


@asynccontextmanager
async def trading(
    cluster: RedisCluster, seed: int, *, may_be_torn: bool = False
) -> AsyncIterator[tuple[RedisStore, Cluster, Traders, Replica, list[str]]]:
    """A store, traders that write to it, a replica that follows it, and why that was loaded anew."""
    topology = open_topology(cluster.url)
    assert isinstance(topology, Cluster)
    store = await RedisStore.open(topology, partitions=PARTITIONS, settings=StoreSettings(retry_seconds=20.0))
    replica, reloads = Replica(store.partitions, store.store_id), list[str]()
    follower = Follower(
        replica,
        store,
        StoreClock(),
        trimmed=LogTrimmed,
        disruptions=lambda: topology.disruptions,
        block_ms=20,
        on_reload=reloads.append,
    )
    traders = Traders(store, seed, may_be_torn=may_be_torn)
    await traders.start()
    await follower.load()  # beside the writes
    following = asyncio.create_task(follower.run())
    try:
        yield store, topology, traders, replica, reloads
    finally:
        await traders.cancel()
        follower.stop()
        await following
        await topology.aclose()


async def assert_equal(store: RedisStore, replica: Replica, skus: list[str]) -> None:
    """Every position, and every hold."""
    await replica.wait_for(list(enumerate(await store.revisions())), 20)
    found = {row[:2]: row[2:] for row in replica.columns.all_positions()}
    stored = {
        (sku, location): (position.on_hand, position.reserved, position.revision)
        for sku in skus
        for location, position in (await store.positions(sku)).items()
    }
    assert stored == {key: (row[0], row[1], row[3]) for key, row in found.items()}
    holds = [row async for chunk in store.snapshot_holds() for entry in chunk for row in entry.rows.splitlines()]
    assert replica.columns.hold_count == len(holds)


async def test_slots_that_move_under_load_lose_nothing(redis_cluster: RedisCluster) -> None:
    """Half of the partitions go to another primary, key by key, while all are written to."""
    async with trading(redis_cluster, 1) as (store, topology, traders, replica, reloads):
        await traders.more(50)
        for n in range(0, PARTITIONS, 2):
            source = await asyncio.to_thread(redis_cluster.primary_of, keys.log(n))
            others = [member for member in redis_cluster.primaries() if member is not source]
            slot = topology.slot_of(keys.log(n))
            await asyncio.to_thread(redis_cluster.begin_move, source, others[n % 2], slot)
            while await asyncio.to_thread(redis_cluster.move_keys, source, others[n % 2], slot, 3):
                await traders.more(5)  # those of other slots go on
                await store.positions(traders.skus[n])
            await asyncio.to_thread(redis_cluster.finish_move, source, others[n % 2], slot)
        await traders.more(100)
        await traders.stop()
        for sku, units in traders.reserved.items():
            position = await store.position(sku, "AMS1")
            assert position is not None
            assert (position.on_hand, position.reserved) == (OPENING, units)
        assert traders.not_found == 0
        assert topology.redirections["MOVED"] > 0
        assert topology.redirections["ASK"] > 0
        await assert_equal(store, replica, traders.skus)
        assert reloads == []


async def test_slots_that_move_at_once_never_hold_writes_up(valkey_cluster: RedisCluster) -> None:
    """CLUSTER MIGRATESLOTS of Valkey 9: there is no moment at which keys are in two places."""
    async with trading(valkey_cluster, 2) as (store, topology, traders, replica, reloads):
        await traders.more(50)
        for n in range(0, PARTITIONS, 2):
            slot = topology.slot_of(keys.log(n))
            source = await asyncio.to_thread(valkey_cluster.primary_of, keys.log(n))
            target = next(member for member in valkey_cluster.primaries() if member is not source)
            source.do("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", valkey_cluster.id_of(target))
            await asyncio.to_thread(wait_until, lambda s=slot, t=target: s in valkey_cluster.slots_of(t), "it moved")
        await traders.more(100)
        await traders.stop()
        for sku, units in traders.reserved.items():
            position = await store.position(sku, "AMS1")
            assert position is not None
            assert (position.on_hand, position.reserved) == (OPENING, units)
        assert traders.not_found == 0
        assert topology.redirections["MOVED"] > 0
        assert topology.redirections["ASK"] == 0
        await assert_equal(store, replica, traders.skus)
        assert reloads == []


async def test_after_a_failover_that_lost_writes_the_replica_has_what_the_store_has(
    redis_cluster: RedisCluster,
) -> None:
    async with trading(redis_cluster, 3, may_be_torn=True) as (store, topology, traders, replica, reloads):
        await traders.more(50)
        primary = await asyncio.to_thread(redis_cluster.primary_of, keys.log(0))
        (successor,) = await asyncio.to_thread(redis_cluster.replicas_of, primary)
        lost = [n for n in range(PARTITIONS) if topology.owner(keys.log(n)).name == primary.address]
        await asyncio.to_thread(redis_cluster.cut_replica_link, primary)
        await traders.more(50)
        await replica.wait_for(list(enumerate(await store.revisions())), 20)  # it has what will be lost
        redis_cluster.kill(primary)
        await asyncio.to_thread(redis_cluster.wait_promoted, successor)
        await asyncio.to_thread(redis_cluster.restart, primary)
        await asyncio.to_thread(redis_cluster.wait_ok)
        await traders.more(100)
        await traders.stop()
        await assert_equal(store, replica, traders.skus)
        assert len(reloads) >= 1
        missing = 0
        for sku, units in traders.reserved.items():
            position = await store.position(sku, "AMS1")
            assert position is not None
            if partition_of(sku, PARTITIONS) in lost:
                missing += units - position.reserved
            else:
                assert position.reserved == units
        assert missing != 0
