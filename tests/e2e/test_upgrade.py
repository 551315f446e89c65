"""Servers of two releases on one Redis, under load, while the function library changes and servers are replaced.

A client of the engine sends again what a server that stops did not take (SHUTTING_DOWN, UNAVAILABLE), at another one.
While only the library changes nothing may be sent again: no call fails.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from invengine.store.library import Library
from invengine.v1 import availability_service_pb2
from tests.e2e.cluster_load.journal import Journal, audit, holds_are_over
from tests.e2e.cluster_load.trading import Trader
from tests.redis_clusters import Member, RedisCluster
from tests.redis_servers import RunningRedis
from tests.rpc.engines import Stubs, client
from tests.store.test_upgrading import put
from tests.store.versions import newer

pytestmark = pytest.mark.asyncio

SKUS = [f"SKU-{n}" for n in range(12)]
PLACES = ("DC", "LON")
OPENING = 40
SEED = 12
START_SECONDS = 60


class CalmTrader(Trader):
    """One that thinks between its calls: the machine has other tests to run."""

    async def _answered(self, method: Any, request: Any) -> Any:
        await asyncio.sleep(0.05)
        return await super()._answered(method, request)


class Release:
    """One server process of a release that is so many versions newer than this one."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.redis_url = folder, redis_url
        self.address = f"unix:{folder / 'engine.sock'}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, by: int) -> None:
        environment = {**os.environ, "INVENGINE_REDIS_URL": self.redis_url, "INVENGINE_LOG_ENTRIES_MAX": "1000000"}
        program = ["-m", "tests.e2e.newer_server", str(by)] if by else ["-m", "invengine"]
        listen = ["serve", "--listen", self.address, "--metrics-listen", ""]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, *listen], stdout=log, stderr=log, env=environment
            )

    def stop(self, signum: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(timeout=30)

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()


@pytest.fixture
def release_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Release]]:
    releases: list[Release] = []

    def one(redis_url: str) -> Release:
        releases.append(Release(tmp_path_factory.mktemp("e2e"), redis_url))
        return releases[-1]

    yield one
    for release in releases:
        if release.process is not None:
            release.stop(signal.SIGKILL)


async def answering(stubs: Stubs, release: Release) -> None:
    """Until it has the network."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await stubs.apply_network()
                return
            except Exception:
                assert release.process is not None
                assert release.process.poll() is None, release.log
                await asyncio.sleep(0.05)


async def ask(servers: Sequence[Stubs], stop: asyncio.Event) -> int:
    """Reads, at one server after the other; how many. Nothing is asked again."""
    for count in itertools.count(1):
        for stubs in servers:
            request = availability_service_pb2.GetAvailabilityRequest(sku=SKUS[count % len(SKUS)], channel="web")
            answer = await stubs.availability.GetAvailability(request)
            assert answer.available >= 0
        if stop.is_set():
            return count
        await asyncio.sleep(0.01)
    raise AssertionError


async def replace_again_and_again(redises: Sequence[RunningRedis | Member], seconds: float) -> int:
    """The newer library and the one of this release in turns, on one Redis after the other; how many times."""
    libraries, ends, count = (newer(), Library.packaged()), monotonic() + seconds, 0
    while monotonic() < ends or count % 2 or count < 6:  # ends with this release's, which the newer server replaces
        for redis in redises:
            await asyncio.to_thread(put, redis, libraries[count % 2])
        count += 1
        await asyncio.sleep(0.05)
    return count


async def upgraded(
    redises: Sequence[RunningRedis | Member], releases: list[Release], seconds: float, traders_count: int
) -> None:
    """Two servers of this release and the next one, the library replaced under their load; then, where this is to go
    on for long, the older server is replaced by one of the release after the next, as in a rolling upgrade.
    """
    old, new = releases
    journal, stop, stop_asking = Journal(), asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        stubs = [await stack.enter_async_context(client(release.address)) for release in releases]
        old.start(0)
        await answering(stubs[0], old)
        opening = {(sku, place): OPENING for sku in SKUS for place in PLACES}
        for sku, place in opening:
            await stubs[0].receive(sku, OPENING, place)
        kind = Trader if seconds > 1 else CalmTrader
        traders = [kind(f"t{n}", stubs[:1], journal, SKUS, SEED) for n in range(traders_count)]
        load = asyncio.gather(*(trader.trade(stop) for trader in traders))
        new.start(1)  # joins under load, and brings the newer library
        await answering(stubs[1], new)
        for trader in traders[::2]:
            trader.servers = stubs[::-1]
        reading = asyncio.create_task(ask(stubs, stop_asking))
        replaced = await replace_again_and_again(redises, seconds)
        stop_asking.set()
        reads = await reading
        assert not journal.away, journal.away
        done = len(journal.accepted)
        if seconds > 1:
            for trader in traders:
                trader.servers = stubs
            assert old.stop() == 0, old.log  # SIGTERM: what it had taken is answered
            old.start(2)
            await answering(stubs[0], old)
        stop.set()
        await load
        print(f"{replaced} times replaced; {done} + {len(journal.accepted) - done} writes, {reads} reads")
        await holds_are_over(stubs[1])
        await audit(stubs[1], journal, opening)
    assert not {reason for _, reason in journal.away} & {"INTERNAL", "OUTCOME_UNKNOWN"}, journal.away
    assert done > 5
    for release in releases:
        assert release.stop() == 0, release.log
        assert "Traceback" not in release.log, release.log


async def test_the_library_changes_under_load_and_no_request_fails(
    start_redis: Callable[..., RunningRedis], release_on: Callable[[str], Release]
) -> None:
    server = start_redis("valkey")
    await upgraded([server], [release_on(server.url) for _ in range(2)], seconds=0.6, traders_count=2)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_the_same_for_longer(
    start_redis: Callable[..., RunningRedis], release_on: Callable[[str], Release], kind: str
) -> None:
    server = start_redis(kind)
    await upgraded([server], [release_on(server.url) for _ in range(2)], seconds=30.0, traders_count=8)


@pytest.mark.soak
async def test_the_same_on_a_cluster_whose_primaries_differ_meanwhile(
    redis_cluster: RedisCluster, release_on: Callable[[str], Release]
) -> None:
    redises = redis_cluster.primaries()
    await upgraded(redises, [release_on(redis_cluster.url) for _ in range(2)], seconds=30.0, traders_count=8)
