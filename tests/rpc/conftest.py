"""An engine with a network, per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from invengine.store.redis_store import Atomicity, RedisStore
from tests.rpc.engines import Stubs, engine


@pytest_asyncio.fixture
async def stubs(redis_url: str) -> AsyncIterator[Stubs]:
    """Clients of an engine that has a network and no stock."""
    async with engine(redis_url) as (_, clients):
        await clients.apply_network()
        yield clients


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def stubs_of_both(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Stubs]:
    """The same; once where a call spans the store, once where it sees one partition, as on a Cluster."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with engine(redis_url) as (_, clients):
        await clients.apply_network()
        yield clients
