"""The store on a Redis Cluster: calls find their nodes, whatever moves or dies under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from invengine import errors
from invengine.domain.orders import ReservationState
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store import keys
from invengine.store.cluster import Cluster
from invengine.store.opening import open_topology
from invengine.store.records import Replication, StoreSettings
from invengine.store.redis_store import RedisStore
from invengine.store.topology import StoreUnsuitable
from tests.redis_clusters import Member, RedisCluster
from tests.redis_servers import RunningRedis
from tests.store.colocated import Names

pytestmark = pytest.mark.asyncio

PARTITIONS = 12
RETRIES = StoreSettings(retry_seconds=20.0)


@asynccontextmanager
async def opened(url: str, settings: StoreSettings = RETRIES) -> AsyncIterator[tuple[RedisStore, Cluster]]:
    """A store on the Cluster at `url`."""
    topology = open_topology(url)
    try:
        store = await RedisStore.open(topology, partitions=PARTITIONS, settings=settings)
        assert isinstance(topology, Cluster)
        yield store, topology
    finally:
        await topology.aclose()


def slot_of(cluster: RedisCluster, partition: int) -> int:
    return int(cluster.members[0].do("CLUSTER", "KEYSLOT", keys.log(partition)))


async def test_partitions_are_spread_and_every_one_works(redis_cluster: RedisCluster) -> None:
    """Writes, reads, listings, snapshots, the log: each reaches the node of its partition."""
    async with opened(redis_cluster.url) as (store, topology):
        assert not topology.is_whole
        assert len({topology.owner(keys.log(n)).name for n in range(PARTITIONS)}) == 3
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        skus = [names.of(partition) for partition in range(PARTITIONS)]
        for sku in skus:
            (moved,) = (await store.post_movements([names.movement("RECEIPT", 9, now_ms, sku)])).outcomes
            assert moved.on_hand == 9
            wanted = names.request(4, sku)
            for replayed in (False, True):
                (outcome,) = (await store.reserve([wanted])).outcomes
                assert isinstance(outcome, ReservationAnswer)
                assert outcome.replayed == replayed
            reservation = await store.reservation(wanted.reservation_id)
            assert reservation is not None
            assert reservation.state is ReservationState.HELD
        assert await store.revisions() == [3] * PARTITIONS  # a receipt, a piece, its head
        assert len(await store.read_log([0] * PARTITIONS, 0)) == 3 * PARTITIONS == await store.log_length()
        assert [entry.revision for entry in await store.read_log([2] * PARTITIONS, 50)] == [3] * PARTITIONS
        assert await store.read_log([3] * PARTITIONS, 20) == []
        listed, _ = await store.list_reservations(limit=100)
        assert len(listed) == PARTITIONS == (await store.states())["HELD"]
        seen = {sku async for chunk in store.snapshot_positions() for sku, _ in chunk}
        assert seen == set(skus)
        assert await store.apply_network("nothing: yet", None) == 1
        assert await store.apply_network("nothing: yet", None) == 1
        assert await store.apply_transit("nothing learnt", 0) == 1
        assert await store.transit() == ("nothing learnt", 1)
        for partition in range(PARTITIONS):
            assert await store.expire_due(partition)
            await store.forget_old(partition)
        assert topology.redirections == {}


async def test_a_second_server_finds_the_same_store(redis_cluster: RedisCluster) -> None:
    async with opened(redis_cluster.url) as (one, _), opened(redis_cluster.url) as (two, _):
        assert one.store_id == two.store_id


async def test_a_redis_url_is_refused_where_a_cluster_is(redis_cluster: RedisCluster) -> None:
    topology = open_topology(f"redis://{redis_cluster.members[0].address}")
    with pytest.raises(StoreUnsuitable, match=r"is a node of a Cluster: its url must begin with redis\+cluster://"):
        await RedisStore.open(topology)
    await topology.aclose()


async def test_a_cluster_url_is_refused_where_none_is(redis_server: RunningRedis) -> None:
    with redis_server.client() as client:
        client.config_set("bind", "127.0.0.1")
        client.config_set("port", "0")
    topology = open_topology("redis+cluster://127.0.0.1:1")
    with pytest.raises(errors.StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await RedisStore.open(topology, settings=StoreSettings(retry_seconds=0.05))
    await topology.aclose()


async def test_a_cluster_node_that_evicts_is_refused(redis_cluster: RedisCluster) -> None:
    """Every primary is looked at, not the first alone."""
    last = redis_cluster.primaries()[-1]
    last.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        topology = open_topology(redis_cluster.url)
        with pytest.raises(StoreUnsuitable, match="set it to noeviction"):
            await RedisStore.open(topology)
        await topology.aclose()
    finally:
        last.do("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_moved_slot_is_followed(redis_cluster: RedisCluster) -> None:
    async with opened(redis_cluster.url) as (store, topology):
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        sku = names.of(0)
        await store.post_movements([names.movement("RECEIPT", 9, now_ms, sku)])
        source = redis_cluster.primary_of(keys.log(0))
        target = next(member for member in redis_cluster.primaries() if member is not source)
        disruptions = topology.disruptions
        redis_cluster.migrate_slots(source, target, [slot_of(redis_cluster, 0)])
        assert (await store.position(sku, "AMS1")).on_hand == 9
        assert topology.redirections["MOVED"] == 1
        assert topology.disruptions > disruptions
        (outcome,) = (await store.reserve([names.request(4, sku)])).outcomes
        assert isinstance(outcome, ReservationAnswer)
        assert topology.owner(keys.log(0)).name == target.address
        assert topology.redirections["MOVED"] == 1


async def test_half_moved_partition_is_read_and_not_written(redis_cluster: RedisCluster) -> None:
    """While keys of a slot are at two nodes, reads find each of them and writes wait; then they are done, once."""
    async with (
        opened(redis_cluster.url, StoreSettings(retry_seconds=0.1)) as (impatient, _),
        opened(redis_cluster.url) as (store, topology),
    ):
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        here, there = names.of(0), names.of(0)
        for sku in (here, there):
            await store.post_movements([names.movement("RECEIPT", 9, now_ms, sku)])
        source, slot = redis_cluster.primary_of(keys.log(0)), slot_of(redis_cluster, 0)
        target = next(member for member in redis_cluster.primaries() if member is not source)
        before = await store.log_length()
        for moved in ([keys.stock(0, there)], [keys.log(0), keys.revision(0)], [keys.stock(0, here)]):
            redis_cluster.begin_move(source, target, slot)
            redis_cluster.move_named(source, target, moved)
            for sku in (here, there):
                assert (await store.position(sku, "AMS1")).on_hand == 9
                with pytest.raises(errors.StoreUnavailable):
                    await impatient.reserve([names.request(1, sku)])
                with pytest.raises(errors.StoreUnavailable):
                    await impatient.post_movements([names.movement("RECEIPT", 1, now_ms, sku)])
            assert await store.log_length() == before
        assert topology.redirections["ASK"] > 0
        waiting = [asyncio.create_task(store.reserve([names.request(4, sku)])) for sku in (here, there)]
        await asyncio.wait(waiting, timeout=0.2)
        assert not any(task.done() for task in waiting)
        await asyncio.to_thread(redis_cluster.finish_move, source, target, slot)
        for task in waiting:
            assert isinstance((await task).outcomes[0], ReservationAnswer)
        for sku in (here, there):
            assert (await store.position(sku, "AMS1")).reserved == 4


async def test_a_new_primary_gets_the_library_when_it_is_first_called(redis_cluster: RedisCluster) -> None:
    async with opened(redis_cluster.url) as (store, topology):
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        sku = names.of(0)
        await store.post_movements([names.movement("RECEIPT", 9, now_ms, sku)])
        with redis_cluster.one_more_primary() as newcomer:
            source = redis_cluster.primary_of(keys.log(0))
            redis_cluster.migrate_slots(source, newcomer, [slot_of(redis_cluster, 0)])
            assert newcomer.do("FUNCTION", "LIST") == []
            (outcome,) = (await store.reserve([names.request(4, sku)])).outcomes
            assert isinstance(outcome, ReservationAnswer)
            assert len(newcomer.do("FUNCTION", "LIST")) == 1
            assert topology.owner(keys.log(0)).name == newcomer.address


async def test_a_snapshot_misses_no_position_of_a_slot_that_is_moving(redis_cluster: RedisCluster) -> None:
    """Keys go from a node that is scanned later to one that was scanned before; the newcomer has no slot at all yet."""
    async with opened(redis_cluster.url) as (store, topology):
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        skus = {names.of(0) for _ in range(300)}
        await store.post_movements([names.movement("RECEIPT", 1, now_ms, sku) for sku in sorted(skus)])
        slot = slot_of(redis_cluster, 0)

        async def seen_while(source: Member, target: Member) -> set[str]:
            """Half of the keys are moved before, the rest during the snapshot, after its first chunk."""
            redis_cluster.begin_move(source, target, slot)
            redis_cluster.move_keys(source, target, slot, 150)
            found: set[str] = set()
            async for chunk in store.snapshot_positions():
                found |= {sku for sku, _ in chunk}
                redis_cluster.move_keys(source, target, slot, 200)
            redis_cluster.finish_move(source, target, slot)
            return found

        for step in range(4):
            nodes, _ = await topology.layout()
            source = redis_cluster.primary_of(keys.log(0))
            ordered = [member for node in nodes for member in redis_cluster.primaries() if member.address == node.name]
            target = ordered[0] if ordered[0] is not source else ordered[-1]
            assert await seen_while(source, target) == skus, step
        with redis_cluster.one_more_primary() as newcomer:
            assert await seen_while(redis_cluster.primary_of(keys.log(0)), newcomer) == skus


async def test_a_scan_begins_anew_behind_a_new_connection(valkey_cluster: RedisCluster) -> None:
    """A cursor of a server that was started again would skip keys."""
    async with opened(valkey_cluster.url) as (store, _):
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        skus = {names.of(partition) for partition in range(PARTITIONS) for _ in range(20)}
        for sku in skus:
            await store.post_movements([names.movement("RECEIPT", 1, now_ms, sku)])
        primary, chunks, found = valkey_cluster.primaries()[0], 0, set[str]()
        async for chunk in store.snapshot_positions():
            if not chunks:
                primary.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            chunks += 1
            found |= {sku for sku, _ in chunk}
        assert found == skus


async def test_without_enough_replicas_a_write_is_unknown_and_settles_later(redis_cluster: RedisCluster) -> None:
    """The effect is there at once; but nobody is told so before a replica has it, not even in a repeat."""
    settings = StoreSettings(retry_seconds=0.3, replication=Replication(1, 0.1))
    async with opened(redis_cluster.url, settings) as (store, _):
        names, now_ms = Names(PARTITIONS), await store.now_ms()
        sku = names.of(0)
        await store.post_movements([names.movement("RECEIPT", 9, now_ms, sku)])
        primary = redis_cluster.primary_of(keys.log(0))
        redis_cluster.cut_replica_link(primary)
        wanted = names.request(4, sku)
        for _ in range(2):
            with pytest.raises(errors.OutcomeUnknown, match="0 of 1 replicas"):
                await store.reserve([wanted])
        async with opened(redis_cluster.url, settings) as (other, _):  # new connections, which have written nothing
            with pytest.raises(errors.OutcomeUnknown, match="0 of 1 replicas"):
                await other.reserve([wanted])
        assert (await store.position(sku, "AMS1")).reserved == 4
        await store.expire_due(0)  # nobody was promised what a sweep does
        redis_cluster.heal_replica_link(primary)
        await asyncio.to_thread(redis_cluster.wait_ok)
        (outcome,) = (await store.reserve([wanted])).outcomes
        assert isinstance(outcome, ReservationAnswer)
        assert (await store.position(sku, "AMS1")).reserved == 4  # taken once
