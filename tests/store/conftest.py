"""Stores for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.redis_servers import RunningRedis
from tests.store.worlds import World, opened


@pytest_asyncio.fixture
async def world(redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A new store with a clock that the test moves, once on each kind of server."""
    redis_server.forget()
    async with opened(redis_server.url, monkeypatch) as world:
        yield world


@pytest_asyncio.fixture
async def open_world(redis_server: RunningRedis) -> AsyncIterator[Callable[..., Any]]:
    """Opens a new store with other settings or constants: `await open_world(EXPIRE_MAX="3")`."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> World:
            redis_server.forget()
            patch = pytest.MonkeyPatch()
            return await stack.enter_async_context(opened(redis_server.url, patch, **options))

        yield open_one
