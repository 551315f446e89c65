"""Two workers that serve one address."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from invengine.client import Client
from invengine.v1 import common_pb2
from tests.monitoring.programs import promtool
from tests.redis_servers import RunningRedis
from tests.workers.load import Load
from tests.workers.servers import Key, Server, connections, is_running, until

pytestmark = pytest.mark.asyncio

PER_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_gc_collections_total"}


async def clients_by_worker(server: Server) -> dict[int, Client]:
    """A client for each worker: a connection is with whom the kernel gave it to."""
    port = int(server.address.rpartition(":")[2])
    found: dict[int, Client] = {}
    while len(found) < 2:
        before = {number: connections(pid, port) for number, pid in server.serving().items()}
        client = Client(server.address, channel="web")
        await client.get_network()
        (number,) = [n for n, pid in server.serving().items() if connections(pid, port) - before[n]]
        if number in found:
            await client.close()
        else:
            found[number] = client
    return found


async def test_what_one_worker_wrote_is_read_on_the_other_by_its_token(server: Server) -> None:
    clients = await clients_by_worker(server)
    try:
        for n, (writes, reads) in enumerate([(0, 1), (1, 0)] * 5):
            written = await clients[writes].post_movements([Load.receipt(f"fresh {n}", f"FRESH-{n}", 7)])
            fresh = common_pb2.Consistency(at_least_as_fresh=written.consistency_token)
            read = await clients[reads].get_availability(f"FRESH-{n}", consistency=fresh)
            assert read.available == 7
    finally:
        for client in clients.values():
            await client.close()


async def test_the_figures_of_all_workers_are_on_one_page(server: Server) -> None:
    clients = await clients_by_worker(server)
    series: Key = (
        "grpc_server_started_total",
        (("grpc_method", "GetPosition"), ("grpc_service", "invengine.v1.StockService"), ("grpc_type", "unary")),
    )
    try:
        before = server.samples()
        for times, client in zip((3, 4), clients.values(), strict=True):
            await client.post_movements([Load.receipt(f"figures {times}", "FIGURES", 1)])
            for _ in range(times):
                await client.get_position("FIGURES", "DC")
        after = server.samples()
    finally:
        for client in clients.values():
            await client.close()
    assert after[series] - before[series] == 7
    assert (
        after["grpc_server_handling_seconds_count", series[1]]
        - before.get(("grpc_server_handling_seconds_count", series[1]), 0)
        == 7
    )
    assert after["invengine_workers", ()] == 2
    for name in PER_PROCESS:
        workers = {dict(labels)["worker"] for found, labels in after if found == name}
        assert workers == {"0", "1", "supervisor"}
    status, health = server.page("/healthz")
    assert (status, health.splitlines()[0]) == (200, "SERVING")


async def test_the_page_is_what_prometheus_reads(server: Server) -> None:
    checked = promtool("check", "metrics", text=server.page("/metrics")[1])
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_what_redis_and_its_disk_are_like_is_on_it_once(server: Server) -> None:
    """Of the worker that leads, and of the supervisor, whose Redis it is."""
    until(lambda: server.samples()["invengine_redis_up", ()], "no look at Redis", server.log)
    found = server.samples()
    assert found["invengine_redis_primaries", ()] == 1
    assert 0 < found["invengine_data_disk_free_bytes", ()] < found["invengine_data_disk_size_bytes", ()]


async def test_no_other_server_starts_on_their_address(server: Server, tmp_path: Path) -> None:
    """Neither one nor several workers; the loser says so and leaves nothing behind."""
    command = [sys.executable, "-m", "invengine", "serve", "--listen", server.address, "--metrics-listen", ""]
    command += ["--data-dir", str(tmp_path / "other"), "--workers", "2"]
    second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90, check=False)
    assert second.returncode == 1
    assert f"cannot listen on {server.address}: another program is listening there" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("kills", [pytest.param(1, id="1"), pytest.param(15, id="15", marks=pytest.mark.soak)])
async def test_a_worker_that_is_killed_is_not_felt(server: Server, kills: int) -> None:
    """Callers with retries get every answer, what was acknowledged is there once, no counter goes down."""
    await asyncio.to_thread(server.wait)
    async with Load(server.address, f"killed-{kills}") as load:
        for n in range(kills):
            await load.goes_on(20)
            before = await asyncio.to_thread(server.samples)
            victim = server.leader() if n % 2 == 0 else 1 - server.leader()
            pid = server.serving()[victim]
            os.kill(pid, signal.SIGKILL)
            await load.goes_on(50)
            await asyncio.to_thread(until, lambda pid=pid: not is_running(pid), "it lives")
            went_down(before, await asyncio.to_thread(server.samples))
            await asyncio.to_thread(server.wait)
            assert server.serving()[victim] != pid
            after = await asyncio.to_thread(server.samples)
            went_down(before, after)
            assert after["invengine_worker_restarts_total", ()] == before["invengine_worker_restarts_total", ()] + 1
            assert server.leader() >= 0
        await load.goes_on(50)
    await load.check()


def went_down(before: dict[Key, float], after: dict[Key, float]) -> None:
    """AssertionError for counters of the engine that did."""
    ends = ("_total", "_bucket", "_sum", "_count")
    lower = {
        key: (value, after.get(key))
        for key, value in before.items()
        if key[0].endswith(ends) and not key[0].startswith(("process_", "python_")) and after.get(key, -1) < value
    }
    assert lower == {}


async def test_a_store_that_does_not_do_ends_all_with_the_sentence(
    start_redis: Callable[..., RunningRedis], tmp_path: Path
) -> None:
    redis = start_redis(maxmemory_policy="allkeys-lru")
    server = Server(tmp_path, "--redis-url", redis.url)
    status = await asyncio.to_thread(server.process.wait, 90)
    assert (status, server.processes() - {server.process.pid}) == (1, set())
    assert "maxmemory-policy" in server.log.read_text().splitlines()[-1]


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 0)])
async def test_workers_and_redis_end_with_their_supervisor(signum: int, status: int, tmp_path: Path) -> None:
    """However it ends, and while they start, too."""
    server = Server(tmp_path)
    await asyncio.to_thread(until, lambda: len(server.processes()) >= 3, "nothing was started", server.log)
    assert server.end(signum) == status, server.log.read_text()
