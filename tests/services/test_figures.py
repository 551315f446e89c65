"""Figures that no call brings along: Redis, the stock, the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from invengine.metrics import Metrics
from invengine.services import figures
from invengine.store.server_facts import StoreFacts, read_facts
from invengine.v1 import stock_service_pb2
from tests.redis_servers import RunningRedis
from tests.rpc.engines import create, engine

INFO = {"used_memory": 50, "maxmemory": 0, "total_system_memory": 200, "connected_slaves": 2, "connected_clients": 3}


def info(**changed: object) -> bytes:
    return "\r\n".join(["# Memory", *(f"{name}:{value}" for name, value in {**INFO, **changed}.items())]).encode()


def test_memory_is_measured_by_the_limit_of_redis_and_without_one_by_the_machine() -> None:
    assert (read_facts(info()).memory, read_facts(info()).memory_limit) == (50, 200)
    assert read_facts(info(maxmemory=100)).memory_limit == 100


@pytest.mark.parametrize("fault", ["aof_last_write_status", "aof_last_bgrewrite_status"])
def test_a_file_that_cannot_be_written_is_told(fault: str) -> None:
    assert read_facts(info(**{fault: "ok"})).aof_is_well
    assert not read_facts(info(**{fault: "err"})).aof_is_well


def test_of_several_primaries_the_worst_counts() -> None:
    """The fullest may refuse stock while all together have room."""
    facts = StoreFacts([read_facts(info(maxmemory=100, connected_slaves=1)), read_facts(info(maxmemory=1000))])
    assert (facts.memory, facts.memory_limit, facts.fullest, facts.fewest_replicas) == (100, 1100, 0.5, 1)
    assert (StoreFacts([]).fullest, StoreFacts([]).fewest_replicas) == (0, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_a_real_server_is_looked_at_and_its_end_is_noticed(
    start_redis: Callable[..., RunningRedis], kind: str
) -> None:
    server = start_redis(kind, maxmemory="100mb")
    async with engine(server.url, store_retry_seconds=0.1) as (running, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 5)
        for name in ("a", "b"):
            await stubs.reservations.CreateReservation(create(name, quantity=2))
        counted = stock_service_pb2.Movement(
            source="tests",
            event_id="count",
            kind=stock_service_pb2.Movement.KIND_COUNT,
            sku="LAMP",
            location="DC",
            quantity=1,
        )
        await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[counted]))
        metrics = running.metrics
        await figures.look_at_store(running.store, metrics)
        figures.look_at_stock(running.replica, metrics)
        redis, stock = metrics.redis, metrics.stock
        assert (redis.up, redis.primaries, redis.memory_limit) == (1, 1, 100 * 2**20)
        assert 0 < redis.fullest < 1
        assert (stock.skus, stock.positions, stock.short_positions, stock.short_units) == (1, 1, 1, 3)
        assert metrics.registry.get_sample_value("invengine_reservations", {"state": "HELD"}) == 2
        server.stop()
        await figures.look_at_store(running.store, metrics)
        assert metrics.registry.get_sample_value("invengine_redis_up") == 0


@pytest.mark.asyncio
async def test_the_room_beside_the_data_is_measured_also_after_the_folder_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "STORE_SECONDS", 0.01)
    metrics, folder = Metrics(CollectorRegistry()), tmp_path / "data"
    watching = asyncio.create_task(figures.watch_disk(folder, metrics))
    while not caplog.records:
        await asyncio.sleep(0)
    assert "cannot be looked at" in caplog.text
    folder.mkdir()
    while not metrics.redis.disk_size:
        await asyncio.sleep(0)
    assert 0 < metrics.redis.disk_free <= metrics.redis.disk_size
    watching.cancel()
