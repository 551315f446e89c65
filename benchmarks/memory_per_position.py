"""What does a position cost in memory, in the server and in Redis?"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from pathlib import Path

from redis.asyncio import Redis

from benchmarks import engine, memory_replica
from benchmarks.figures import Figure, say
from invengine import kernels
from invengine.domain.stock import Movement, MovementKind
from invengine.replica.replica import Replica
from invengine.store.embedded import EmbeddedRedis
from invengine.store.redis_store import RedisStore

SKUS, LOCATIONS, UNITS = 100_000, 10, 100


def resident_bytes() -> int:
    """Memory of this process, in bytes, by the kernel's account."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def server_bytes() -> float:
    """Resident bytes per position that a filled replica adds."""
    kernels.warm_up()
    memory_replica.fill(Replica(memory_replica.PARTITIONS, bytes(8)), 2_000, LOCATIONS, UNITS)  # touches what is shared
    before = resident_bytes()
    replica = Replica(memory_replica.PARTITIONS, bytes(8))
    memory_replica.fill(replica, SKUS, LOCATIONS, UNITS)
    used = resident_bytes() - before
    if replica.columns.position_count != SKUS * LOCATIONS:
        raise RuntimeError(f"{replica.columns.position_count} positions, not {SKUS * LOCATIONS}")
    return used / (SKUS * LOCATIONS)


async def redis_bytes(skus: int) -> float:
    """Bytes of stock per position in the embedded Redis: used_memory with and without the stock keys."""
    with tempfile.TemporaryDirectory(prefix="invengine-bench-") as folder:
        embedded = EmbeddedRedis(Path(folder), durability="everysec")
        url = await embedded.start()
        try:
            async with Redis.from_url(url) as client:
                store = await RedisStore.open(client)
                places = [engine.location(number) for number in range(LOCATIONS)]
                for first in range(0, skus, 200):
                    await store.post_movements(
                        [
                            Movement("fill", f"{n}/{place}", 1, MovementKind.RECEIPT, engine.sku(n), place, UNITS)
                            for n in range(first, first + 200)
                            for place in places
                        ]
                    )
                stock = [key async for key in client.scan_iter(match="{p*}:stock:*", count=5_000)]
                if len(stock) != skus:
                    raise RuntimeError(f"{len(stock)} SKUs, not {skus}")
                before = (await client.info("memory"))["used_memory"]
                for first in range(0, len(stock), 5_000):
                    await client.delete(*stock[first : first + 5_000])
                return float(before - (await client.info("memory"))["used_memory"]) / (skus * LOCATIONS)
        finally:
            await embedded.stop()


def run(*, quick: bool) -> list[Figure]:
    """1,000,000 positions, 10 locations a SKU."""
    server = server_bytes()
    say("server bytes per position", "78: 64 of columns, the SKU's share of index and name", f"{server:.1f}")
    skus = SKUS // 5 if quick else SKUS
    redis = asyncio.run(redis_bytes(skus))
    say("Redis bytes per position", "30: a text of 15 characters in a listpack", f"{redis:.1f}")
    setup = "10 locations a SKU, 12-character SKUs"
    return [
        Figure("server memory per position at 1M", server, "bytes", "lower", 96, setup),
        Figure(f"Redis memory per position at {skus * LOCATIONS:,}", redis, "bytes", "lower", 64, setup),
    ]
