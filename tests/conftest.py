"""Fixtures of the whole suite: compiled kernels, real Redis and Valkey servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from invengine import kernels
from tests import redis_servers
from tests.redis_servers import RunningRedis

# Time never decides a test: the machine may be busy.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# Compiled before the first test, so that none of them pays for it.
kernels.warm_up()


def started(kind: str, **config: str) -> RunningRedis:
    """A new server; where its wheel is missing, a skip at home and a failure in CI."""
    try:
        return redis_servers.start(kind, **config)
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
    server.empty()
    return server.url


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
