"""A server whose Redis has its clock set: what it tells the functions, and what it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from invengine import bootstrap
from tests.rpc.engines import settings_for

pytestmark = pytest.mark.asyncio

HOUR_MS = 3_600_000


async def times_told(client: Redis) -> AsyncIterator[int]:
    """The last argument of each call of a function; the sweeper alone makes sixteen a second."""
    async with client.monitor() as monitor:
        async for seen in monitor.listen():
            if seen["command"].startswith("FCALL "):
                yield int(seen["command"].rsplit(" ", 1)[1])


async def now_ms(client: Redis) -> int:
    seconds, micros = await client.time()
    return int(seconds) * 1000 + int(micros) // 1000


@pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS])
async def test_functions_are_told_the_time_before_a_step_of_redis(
    redis_url: str, step_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Redis.from_url(redis_url) as client, bootstrap.running(settings_for(redis_url)) as running:
        told = times_told(client)
        assert abs(await anext(told) - await now_ms(client)) < 60_000

        async def set_clock() -> int:
            return await now_ms(client) + step_ms

        monkeypatch.setattr(running.store, "now_ms", set_clock)
        value = running.metrics.registry.get_sample_value
        assert value("invengine_store_clock_steps_total") == 0
        while (said := await anext(told)) > 0:  # until the follower has asked for the time
            assert abs(said - await now_ms(client)) < 60_000
        assert abs(-said - await now_ms(client)) < 60_000
        assert value("invengine_store_clock_steps_total") == 1
        assert abs(value("invengine_store_clock_ahead_seconds") - step_ms / 1000) < 60
        await told.aclose()
