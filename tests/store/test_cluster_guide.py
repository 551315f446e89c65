"""What docs/cluster.md says to do, done to real servers."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import invengine
from invengine.domain.partitions import partition_of
from invengine.store import keys
from invengine.store.backup import make_backup
from invengine.store.opening import open_topology
from invengine.store.redis_store import RedisStore
from invengine.v1 import admin_service_pb2
from tests.redis_clusters import SLOTS, RedisCluster
from tests.rpc.engines import create, engine
from tests.store.making import movement, request
from tests.store.test_backup import place

__all__ = ["place"]

pytestmark = pytest.mark.asyncio

GUIDE = (Path(invengine.__file__).parents[1] / "docs" / "cluster.md").read_text()


def settings_under(heading: str) -> list[str]:
    """The lines of the first block of settings of a section."""
    section = GUIDE.partition(f"## {heading}\n")[2]
    return re.findall(r"^ {4}(.+)$", section.partition("\n\n- ")[0], flags=re.MULTILINE)


async def test_the_settings_are_ones_that_a_server_takes(valkey_cluster: RedisCluster) -> None:
    (node, *_) = valkey_cluster.members
    told = settings_under("Settings of every server") + settings_under("Creating a Cluster")
    assert len(told) == 17
    for line in told:
        name, _, value = line.partition(" ")
        found = node.do("CONFIG", "GET", name)
        assert name in {key.decode() if isinstance(key, bytes) else key for key in found}, line
        if name not in ("cluster-enabled", "cluster-config-file"):  # of the start only
            before = next(iter(found.values()))
            assert node.do("CONFIG", "SET", name, value.strip('"')) in (True, b"OK", "OK"), line
            node.do("CONFIG", "SET", name, before)


async def test_a_planned_failover_loses_nothing_and_fails_no_call(valkey_cluster: RedisCluster) -> None:
    topology = open_topology(valkey_cluster.url)
    try:
        store = await RedisStore.open(topology, partitions=8)
        await store.post_movements([movement("RECEIPT", 10_000, await store.now_ms())])
        primary = valkey_cluster.primary_of(keys.log(partition_of("LAMP", 8)))
        (replica,) = valkey_cluster.replicas_of(primary)
        done = asyncio.Event()

        async def shop() -> int:
            count = 0
            while not done.is_set():
                (outcome,) = (await store.reserve([request(1)])).outcomes
                assert outcome.reservation.lines[0].short_quantity == 0
                count += 1
            return count

        shopping = asyncio.create_task(shop())
        await asyncio.to_thread(replica.do, "CLUSTER", "FAILOVER")
        await asyncio.to_thread(valkey_cluster.wait_promoted, replica)
        await store.reserve([request(1)])
        done.set()
        sold = await shopping
        found = await store.position("LAMP", "AMS1")
        assert found is not None
        assert found.reserved == sold + 1
    finally:
        await topology.aclose()
    await asyncio.to_thread(valkey_cluster.wait_ok)


async def test_a_cluster_is_restored_from_its_parts(valkey_cluster: RedisCluster, place: Path) -> None:
    async with engine(valkey_cluster.url, partitions=16) as (_, stubs):
        await stubs.apply_network()
        for n in range(20):
            await stubs.receive(f"S{n}", 10)
            await stubs.reservations.CreateReservation(create(f"r{n}", sku=f"S{n}"))
    topology = open_topology(valkey_cluster.url)
    try:
        manifest = await make_backup(topology, place / "b")
    finally:
        await topology.aclose()

    restored = RedisCluster.__new__(RedisCluster)
    restored.__dict__.update(vars(_empty("valkey")))
    try:
        for number, part in enumerate(manifest.parts):
            member = restored._cluster_member(f"n{number}")
            log = member.folder / "appendonlydir"
            log.mkdir(parents=True)
            (log / "appendonly.aof.1.base.rdb").write_bytes((place / "b" / part.file).read_bytes())
            (log / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
            member.spawn()
            member.wait_up()
            has = restored.slots_of(member)
            words = [words.partition("-") for words in part.slots.split()]
            lacks = {n for first, _, last in words for n in range(int(first), int(last or first) + 1)} - has
            assert has, "it takes the slots that it finds keys of"
            member.do("CLUSTER", "ADDSLOTS", *sorted(lacks))
            member.do("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for member in restored.members[1:]:
            restored._meet(member)
        await asyncio.to_thread(restored._wait_known, len(manifest.parts))
        await asyncio.to_thread(restored.wait_ok)
        assert sum(len(restored.slots_of(member)) for member in restored.members) == SLOTS
        async with engine(restored.url) as (_, stubs):
            report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
            assert not report.violations, report
            assert report.reservations_checked == 20
            assert (await stubs.position("S7"))[:2] == (10, 1)
    finally:
        restored.stop()


def _empty(kind: str) -> RedisCluster:
    """A group of no members yet."""
    from tests.redis_clusters import _Group

    group: RedisCluster = _Group(kind)  # type: ignore[assignment]
    return group
