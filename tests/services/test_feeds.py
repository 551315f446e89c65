"""The three steps of a stream, on a store that the test holds in its hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from invengine.errors import ShuttingDown
from invengine.services.feeds import Acknowledgement, FeedStream
from invengine.v1.stock_service_pb2 import StreamMovementsRequest

pytestmark = pytest.mark.asyncio


async def endless() -> AsyncIterator[StreamMovementsRequest]:
    await asyncio.Future()
    yield StreamMovementsRequest()


async def unheard(_: Acknowledgement) -> None:
    raise AssertionError("there is nothing to acknowledge")


@pytest.mark.parametrize("turns", range(4))
async def test_a_stream_ends_whenever_it_is_asked_to(turns: int) -> None:
    """Also in the turn in which it begins, before any of its steps ran."""
    feeds: Any = SimpleNamespace(streams=set())
    stream = FeedStream(feeds)
    serving = asyncio.create_task(stream.serve(endless(), unheard))
    if turns == 0:
        asyncio.get_running_loop().call_soon(stream.stop)
    for _ in range(turns):
        await asyncio.sleep(0)
    stream.stop()
    async with asyncio.timeout(30):
        with pytest.raises(ShuttingDown):
            await serving
    assert feeds.streams == set()


async def test_a_caller_that_is_gone_ends_all_steps() -> None:
    feeds: Any = SimpleNamespace(streams=set())
    serving = asyncio.create_task(FeedStream(feeds).serve(endless(), unheard))
    await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert feeds.streams == set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
