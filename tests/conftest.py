"""Fixtures of the whole suite: compiled kernels, real Redis and Valkey servers."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import pytest
from hypothesis import settings

from invengine.compiling import in_company
from tests import redis_servers
from tests.redis_clusters import RedisCluster, SentinelSet
from tests.redis_servers import RunningRedis

# Whoever runs the suite in the background may ignore Ctrl-C; the commands that it starts must not inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Time never decides a test: the machine may be busy.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# Compiled before the first test, so that none of them pays for it.
with in_company():
    from invengine import kernels

    kernels.warm_up()


SLOW = ("e2e", "workers", "linearizability", "faults", "feeds")
"""Folders whose tests wait for other processes."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each worker modules that wait to begin with: left to the end, they keep one worker only."""
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    lots: list[list[pytest.Item]] = [[] for _ in range(workers)]  # the runner gives each worker as many tests, in order
    for n, path in enumerate(sorted((path for path in modules if path.parent.name in SLOW), key=str)):
        lots[n % workers] += modules.pop(path)
    for tests in modules.values():
        min(lots, key=len).extend(tests)
    items[:] = [item for lot in lots for item in lot]


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection of garbage needs to look at it again."""
    gc.collect()
    gc.freeze()


StartedT = TypeVar("StartedT")


def started(kind: str, **config: str) -> RunningRedis:
    """A new server."""
    return installed(lambda: redis_servers.start(kind, **config))


def installed(start: Callable[[], StartedT]) -> StartedT:
    """What `start` starts; where the wheel with the server is missing, a skip at home and a failure in CI."""
    try:
        return start()
    except redis_servers.ServerNotInstalled as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def redis_of_kind() -> Iterator[Callable[[str], RunningRedis]]:
    """The session's server of a kind, started when first asked for."""
    servers: dict[str, RunningRedis] = {}

    def of_kind(kind: str) -> RunningRedis:
        if kind not in servers:
            servers[kind] = started(kind)
        return servers[kind]

    yield of_kind
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="session", params=redis_servers.KINDS)
def redis_server(request: pytest.FixtureRequest, redis_of_kind: Callable[[str], RunningRedis]) -> RunningRedis:
    """A server that the whole session shares, once Valkey and once Redis; `.empty()` makes it empty."""
    return redis_of_kind(request.param)


@pytest.fixture
def redis_url(redis_of_kind: Callable[[str], RunningRedis]) -> str:
    """The url of the session's Valkey, empty."""
    server = redis_of_kind("valkey")
    server.forget()
    return server.url


GroupT = TypeVar("GroupT", RedisCluster, SentinelSet)


class _Groups(Generic[GroupT]):
    """The session's clusters, one of each kind of server, started when first asked for."""

    def __init__(self, make: type[GroupT]) -> None:
        self._make = make
        self._of_kind: dict[str, GroupT] = {}

    def of_kind(self, kind: str) -> GroupT:
        """All its servers up and empty."""
        if kind not in self._of_kind:
            self._of_kind[kind] = installed(lambda: self._make(kind))
        group = self._of_kind[kind]
        if isinstance(group, RedisCluster):
            group.restore()
        elif not group.is_whole:  # Sentinels come to rest in steps of 10 s; a new set is quicker
            group.stop()
            group = self._of_kind[kind] = self._make(kind)
        group.empty()
        return group

    def stop(self) -> None:
        for group in self._of_kind.values():
            group.stop()


@pytest.fixture(scope="session")
def redis_clusters() -> Iterator[_Groups[RedisCluster]]:
    """The session's Clusters."""
    groups = _Groups(RedisCluster)
    yield groups
    groups.stop()


@pytest.fixture(scope="session")
def sentinel_sets() -> Iterator[_Groups[SentinelSet]]:
    """The session's Sentinel sets."""
    groups = _Groups(SentinelSet)
    yield groups
    groups.stop()


@pytest.fixture(params=redis_servers.KINDS)
def redis_cluster(request: pytest.FixtureRequest, redis_clusters: _Groups[RedisCluster]) -> RedisCluster:
    """A Cluster of 3 primaries with a replica each, well and empty; once of Valkey and once of Redis."""
    return redis_clusters.of_kind(request.param)


@pytest.fixture
def valkey_cluster(redis_clusters: _Groups[RedisCluster]) -> RedisCluster:
    """The same, of Valkey only."""
    return redis_clusters.of_kind("valkey")


@pytest.fixture(params=redis_servers.KINDS)
def sentinel_set(request: pytest.FixtureRequest, sentinel_sets: _Groups[SentinelSet]) -> SentinelSet:
    """A master with 2 replicas and 3 Sentinels, well and empty; once of Valkey and once of Redis."""
    return sentinel_sets.of_kind(request.param)


@pytest.fixture
def valkey_sentinels(sentinel_sets: _Groups[SentinelSet]) -> SentinelSet:
    """The same, of Valkey only."""
    return sentinel_sets.of_kind("valkey")


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RunningRedis]]:
    """Starts servers of this test's own: `start_redis("redis", maxmemory="10mb")`; they end with the test."""
    servers: list[RunningRedis] = []

    def start(kind: str = "valkey", **config: str) -> RunningRedis:
        servers.append(started(kind, **config))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
