"""Two servers on a Redis Cluster under mixed load, while a server is killed, slots move and a master dies unreplicated.

In `replicated` mode nothing acknowledged is lost, nothing is oversold, and nothing is held for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import pytest

from invengine.domain.partitions import partition_of
from invengine.store import keys
from tests.e2e.cluster_load.journal import Journal, audit, holds_are_over
from tests.e2e.cluster_load.trading import Trader
from tests.redis_clusters import Member, RedisCluster
from tests.rpc.engines import Stubs, client

PARTITIONS = 24
SKUS = [f"SKU-{n}" for n in range(36)]
PLACES = ("DC", "LON")
OPENING = 12
TRADERS = 16
LINK_CUT_SECONDS = 0.3
SEED = 11


class ServerProcess:
    """`invengine serve` on the Cluster, in `replicated` mode."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.redis_url = folder, redis_url
        self.address = f"unix:{folder / 'engine.sock'}"
        self.start()

    def start(self) -> None:
        environment = {
            **os.environ,
            "INVENGINE_REDIS_URL": self.redis_url,
            "INVENGINE_DURABILITY": os.environ.get("DUR", "replicated"),
            "INVENGINE_PARTITIONS": str(PARTITIONS),
            "INVENGINE_LOG_ENTRIES_MAX": "1000000",
            "INVENGINE_STORE_RETRY_SECONDS": "3",
        }
        command = [sys.executable, "-m", "invengine", "serve", "--listen", self.address, "--metrics-listen", ""]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(timeout=30)

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()


@pytest.fixture
def start_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[RedisCluster], ServerProcess]]:
    servers: list[ServerProcess] = []

    def start(cluster: RedisCluster) -> ServerProcess:
        servers.append(ServerProcess(tmp_path_factory.mktemp("e2e"), cluster.url))
        return servers[-1]

    yield start
    for server in servers:
        server.stop(signal.SIGKILL)


async def answering(stubs: Stubs, server: ServerProcess) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await stubs.apply_network()
                return
            except Exception:
                assert server.process.poll() is None, server.log
                await asyncio.sleep(0.05)


def skus_at(cluster: RedisCluster, member: Member) -> set[str]:
    """The SKUs whose partitions a node serves."""
    slots = cluster.slots_of(member)
    served = {n for n in range(PARTITIONS) if int(member.do("CLUSTER", "KEYSLOT", keys.log(n))) in slots}
    return {sku for sku in SKUS if partition_of(sku, PARTITIONS) in served}


def half_of_the_partitions(cluster: RedisCluster, source: Member, target: Member) -> None:
    """Move every second slot that has partitions, key by key, while others write to them."""
    slots = cluster.slots_of(source)
    busy = sorted({int(source.do("CLUSTER", "KEYSLOT", keys.log(n))) for n in range(PARTITIONS)} & slots)
    cluster.migrate_slots(source, target, busy[::2])


@pytest.mark.parametrize(
    ("redis_cluster", "seconds"),
    [
        pytest.param("valkey", 10, id="valkey-10s"),
        pytest.param("redis", 10, id="redis-10s", marks=pytest.mark.soak),
        pytest.param("valkey", 60, id="valkey-60s", marks=pytest.mark.soak),
        pytest.param("redis", 60, id="redis-60s", marks=pytest.mark.soak),
    ],
    indirect=["redis_cluster"],
)
@pytest.mark.asyncio
async def test_nothing_acknowledged_is_lost_and_nothing_is_oversold(
    redis_cluster: RedisCluster,
    start_on: Callable[[RedisCluster], ServerProcess],
    seconds: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    servers = [start_on(redis_cluster) for _ in range(2)]
    journal, stop = Journal(), asyncio.Event()
    async with AsyncExitStack() as stack:
        stubs = [await stack.enter_async_context(client(server.address)) for server in servers]
        for one, server in zip(stubs, servers, strict=True):
            await answering(one, server)
        opening = {(sku, place): OPENING for sku in SKUS for place in PLACES}
        for sku, place in opening:
            await stubs[0].receive(sku, OPENING, place)
        traders = [Trader(f"t{n}", stubs, journal, SKUS, SEED) for n in range(TRADERS)]
        load = asyncio.gather(*(trader.trade(stop) for trader in traders))
        began = monotonic()

        async def until(share: float) -> None:
            await asyncio.wait({load}, timeout=max(0.0, began + share * seconds - monotonic()))

        await until(0.15)
        killed_at = monotonic()
        servers[0].stop(signal.SIGKILL)
        await until(0.3)
        servers[0].start()
        source, target, doomed = redis_cluster.primaries()
        await asyncio.to_thread(half_of_the_partitions, redis_cluster, source, target)
        moved_at = monotonic()
        await until(0.6)
        (replica,) = redis_cluster.replicas_of(doomed)
        skus = skus_at(redis_cluster, doomed)
        await asyncio.to_thread(redis_cluster.cut_replica_link, doomed)
        cut_at = monotonic()
        await asyncio.sleep(LINK_CUT_SECONDS)  # what is written now is on no replica
        redis_cluster.kill(doomed)
        dead_at = monotonic()
        await asyncio.to_thread(redis_cluster.wait_promoted, replica)
        redis_cluster.restart(
            doomed
        )  # so that the new master has a replica again, without which nothing is acknowledged
        await until(1.0)
        stop.set()
        await load
        back_at = journal.first_accepted(dead_at, skus)
        refused = journal.away_between(cut_at, back_at)
        with capsys.disabled():
            print(
                f"\n{redis_cluster.kind}, {seconds} s, seed {SEED}: {len(journal.accepted)} writes of "
                f"{len(journal.told)} reservations acknowledged, refused for good {dict(journal.refusals)}\n"
                f"  server killed after {killed_at - began:.1f} s; slots moved after {moved_at - began:.1f} s; master "
                f"without replica killed after {dead_at - began:.1f} s\n"
                f"  failover: {back_at - dead_at:.2f} s until the next acknowledged write there; requests refused from "
                f"the cut until then: {sum(refused.values())} {dict(refused)}; in all {len(journal.away)}"
            )
        for one, server in zip(stubs, servers, strict=True):
            await answering(one, server)
        await holds_are_over(stubs[1])
        await audit(stubs[0], journal, opening)
    assert journal.accepted
    assert journal.away  # somebody noticed
    assert {"INSUFFICIENT_STOCK"} <= set(journal.refusals)
    for server in servers:
        assert server.stop() == 0, server.log
