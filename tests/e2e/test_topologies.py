"""A whole engine on a Cluster and on Sentinels: its primary dies in the middle of calls."""

from __future__ import annotations

import asyncio

import pytest

from invengine.store import keys
from invengine.v1 import admin_service_pb2, availability_service_pb2
from tests.redis_clusters import RedisCluster, SentinelSet
from tests.rpc.engines import Stubs, create, engine, refused

pytestmark = pytest.mark.asyncio

# One partition, so that a basket and its request are one step on a Cluster too.
SETTINGS = {"partitions": 1, "durability": "replicated", "replica_seconds": 0.2, "store_retry_seconds": 20}


async def reserved(stubs: Stubs, first: int, count: int) -> None:
    """Reservations of one unit each, several at a time."""
    calls = [stubs.reservations.CreateReservation(create(f"r{n}")) for n in range(first, first + count)]
    await asyncio.gather(*calls)


async def all_is_well(stubs: Stubs, units: int) -> None:
    """Store, replica and the check agree on what is reserved."""
    assert (await stubs.position("LAMP"))[:2] == (1000, units)
    response = await stubs.availability.GetAvailability(
        availability_service_pb2.GetAvailabilityRequest(
            sku="LAMP", channel="web", consistency={"fully_consistent": True}
        )
    )
    assert response.available == 1000 - units
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
    assert report.reservations_checked == units
    assert not report.violations


async def test_an_engine_on_a_cluster_outlives_a_primary(valkey_cluster: RedisCluster) -> None:
    async with engine(valkey_cluster.url, **SETTINGS) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 1000)
        await reserved(stubs, 0, 20)
        primary = await asyncio.to_thread(valkey_cluster.primary_of, keys.log(0))
        (successor,) = await asyncio.to_thread(valkey_cluster.replicas_of, primary)
        valkey_cluster.kill(primary)
        during = asyncio.create_task(reserved(stubs, 20, 20))
        await asyncio.to_thread(valkey_cluster.wait_promoted, successor)
        await asyncio.to_thread(valkey_cluster.restart, primary)  # until then there is no replica to acknowledge
        await during
        await reserved(stubs, 40, 20)
        await all_is_well(stubs, 60)


async def test_an_engine_on_sentinels_outlives_a_master(valkey_sentinels: SentinelSet) -> None:
    async with engine(valkey_sentinels.url, **SETTINGS) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 1000)
        await reserved(stubs, 0, 20)
        master = valkey_sentinels.master()
        valkey_sentinels.kill(master)
        await reserved(stubs, 20, 20)
        await all_is_well(stubs, 40)
        assert valkey_sentinels.master() is not master


async def test_too_few_replicas_are_told_as_an_unknown_outcome(redis_url: str) -> None:
    """A Redis without replicas can make a store only without waiting for them; then nothing is acknowledged."""
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
    settings = SETTINGS | {"store_retry_seconds": 0.1, "replica_seconds": 0.02}
    async with engine(redis_url, **settings) as (_, stubs):
        refusal = await refused(stubs.receive("LAMP", 1))
        assert refusal.reason == "OUTCOME_UNKNOWN"
        assert "0 of 1 replicas" in refusal.message
