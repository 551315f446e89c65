"""A store of a million positions: is an answer slower, how soon does it serve again, what does it take in Redis?"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
from redis.asyncio import Redis

from benchmarks import engine, memory_replica
from benchmarks.figures import Figure, compare, say
from invengine.services.availability import Availability
from invengine.store.embedded import EmbeddedRedis
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

SMALL, LARGE, LOCATIONS, UNITS = 1_000, 100_000, 10, 100  # SKUs: 10,000 and 1,000,000 positions
QUESTIONS = 3_000


def questions(skus: int) -> list[bytes]:
    """Requests for random SKUs, so that a large store is a cold one."""
    chosen = np.random.default_rng(11).integers(0, skus, QUESTIONS)
    return [
        messages.GetAvailabilityRequest(sku=engine.sku(int(n)), channel=engine.CHANNEL).SerializeToString()
        for n in chosen
    ]


def service_p50(service: Availability, asked: list[bytes]) -> float:
    """Median seconds of the service call alone."""

    async def ask() -> float:
        seconds = []
        for request in asked:
            began = time.perf_counter()
            await service.get_bytes(request)
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)

    return asyncio.run(ask())


def grpc_p50(stub: services.AvailabilityServiceStub, skus: int) -> float:
    """Median seconds of a call over gRPC, one at a time."""
    seconds = []
    for request in questions(skus):
        message = messages.GetAvailabilityRequest.FromString(request)
        began = time.perf_counter()
        answer = stub.GetAvailability(message)
        seconds.append(time.perf_counter() - began)
        if answer.available != LOCATIONS * UNITS - 1:
            raise RuntimeError(f"wrong answer: {answer}")
    return statistics.median(seconds)


def answers(folder: Path, rounds: int) -> list[Figure]:
    """Random SKUs at 1,000,000 and at 10,000 positions; the large store stays in `folder`."""
    _, small = memory_replica.availability(SMALL, LOCATIONS, UNITS)
    _, large = memory_replica.availability(LARGE, LOCATIONS, UNITS)
    ask_small, ask_large = questions(SMALL), questions(LARGE)
    alone = compare(lambda: service_p50(large, ask_large), lambda: service_p50(small, ask_small), rounds)
    say("service call alone, p50 at 1M / at 10k positions", "1.3: a few cache misses more", str(alone))
    with engine.engine() as small_address, engine.engine(folder) as large_address:
        engine.fill(small_address, SMALL, LOCATIONS, UNITS)
        engine.fill(large_address, LARGE, LOCATIONS, UNITS)
        with grpc.insecure_channel(small_address) as one, grpc.insecure_channel(large_address) as other:
            small_stub, large_stub = services.AvailabilityServiceStub(one), services.AvailabilityServiceStub(other)
            over = compare(lambda: grpc_p50(large_stub, LARGE), lambda: grpc_p50(small_stub, SMALL), rounds)
    say("over gRPC, p50 at 1M / at 10k positions", "1.02: a call costs 100 times the look-up", str(over))
    setup = "GetAvailability of random SKUs, 10 locations each, one at a time"
    return [
        Figure("p50 at 1M / at 10k positions, over gRPC", over.median, "x", "lower", 1.1, setup),
        Figure("p50 at 1M / at 10k positions, service call alone", alone.median, "x", "lower", 3, setup),
    ]


def start_seconds(folder: Path) -> float:
    """From the start of `invengine serve` until health says SERVING; what it then answers is checked."""
    began = time.perf_counter()
    with engine.engine(folder) as address:
        seconds = time.perf_counter() - began
        with grpc.insecure_channel(address) as channel:
            grpc_p50(services.AvailabilityServiceStub(channel), LARGE)
    return seconds


def redis_seconds(folder: Path) -> float:
    """From the start of the same Redis on the same data until it answers."""

    async def start() -> float:
        embedded = EmbeddedRedis(folder)
        began = time.perf_counter()
        await embedded.start()
        seconds = time.perf_counter() - began
        await embedded.stop()
        return seconds

    return asyncio.run(start())


async def redis_bytes(folder: Path) -> float:
    """Bytes of stock per position: used_memory with and without the stock keys. Empties the store."""
    embedded = EmbeddedRedis(folder, durability="everysec")
    url = await embedded.start()
    try:
        async with Redis.from_url(url) as client:
            stock = [key async for key in client.scan_iter(match="{p*}:stock:*", count=5_000)]
            if len(stock) != LARGE:
                raise RuntimeError(f"{len(stock)} SKUs, not {LARGE}")
            before = (await client.info("memory"))["used_memory"]
            for first in range(0, len(stock), 5_000):
                await client.delete(*stock[first : first + 5_000])
            return float(before - (await client.info("memory"))["used_memory"]) / (LARGE * LOCATIONS)
    finally:
        await embedded.stop()


def run(*, quick: bool) -> list[Figure]:
    """1,000,000 positions: 100,000 SKUs at 10 locations."""
    rounds = 5 if quick else 9
    with tempfile.TemporaryDirectory(prefix="invengine-bench-") as name:
        folder = Path(name)
        figures = answers(folder, rounds)
        started = compare(lambda: start_seconds(folder), lambda: redis_seconds(folder), rounds)
        say("start at 1M positions: SERVING / Redis alone", "2.5: Python and kernels 2 s, rows 1.5 s", str(started))
        position = asyncio.run(redis_bytes(folder))
        say("Redis bytes per position", "30: a text of 15 characters in a listpack", f"{position:.1f}")
    return [
        *figures,
        Figure(
            "start at 1M positions: SERVING / Redis reading its own data",
            started.median,
            "x",
            "lower",
            3,
            f"from `invengine serve` to SERVING, {started.a:.1f} s, kernels compiled before; the same files",
        ),
        Figure(
            "Redis memory per position at 1M", position, "bytes", "lower", 64, "10 locations a SKU, 12-character SKUs"
        ),
    ]
