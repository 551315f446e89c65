"""Scans of a server that is started again in the middle: the cursors of the one before mean nothing to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis.asyncio

from invengine.store import reads, snapshot
from invengine.store.redis_store import RedisStore
from tests.redis_servers import KINDS, RunningRedis
from tests.store.making import line, movement, request

pytestmark = pytest.mark.asyncio

SKUS = [f"SKU{n}" for n in range(1500)]


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_missed(
    start_redis: Callable[..., RunningRedis], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Hash seeds are made at every start, so another order of keys and of fields follows."""
    monkeypatch.setattr(snapshot, "SCAN_COUNT", 20)
    monkeypatch.setattr(reads, "SCAN_COUNT", 20)
    server = start_redis(kind)
    async with redis.asyncio.from_url(server.url) as client:
        store = await RedisStore.open(client, partitions=1)
        now_ms = await store.now_ms()
        await store.post_movements([movement("RECEIPT", 1, now_ms, sku=sku) for sku in SKUS])
        await store.reserve([request(line(1, sku=sku), reservation_id=f"R{sku}") for sku in SKUS])

        async def start_again() -> None:
            server.kill()
            server.launch()
            await store.now_ms()  # another call makes the connection on which the scan would go on

        positions: list[str] = []
        async for chunk in store.snapshot_positions():
            if not positions:
                await start_again()
            positions += [sku for sku, _ in chunk]
        assert set(positions) == set(SKUS)
        records: list[str] = []
        async for page in store.live_records(0):
            if not records:
                await start_again()
            records += [name for name, _ in page]
        assert set(records) == {f"R{sku}" for sku in SKUS}
