"""An engine with a network, per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.rpc.engines import Stubs, engine


@pytest_asyncio.fixture
async def stubs(redis_url: str) -> AsyncIterator[Stubs]:
    """Clients of an engine that has a network and no stock."""
    async with engine(redis_url) as (_, clients):
        await clients.apply_network()
        yield clients
