"""How much of Redis's own speed is left of a reservation, against a call that does nothing with the same bytes?"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from redis.asyncio import Redis

from benchmarks import engine
from benchmarks.figures import Figure, compare, say
from benchmarks.reserving_parts import NoProfiles
from invengine.domain.network import Network
from invengine.domain.stock import Movement, MovementKind
from invengine.services.plain_requests import PlainRequests
from invengine.services.reservation_ids import ReservationIds
from invengine.store import keys
from invengine.store.embedded import EmbeddedRedis
from invengine.store.plain import PlainReservations
from invengine.store.redis_store import RedisStore
from invengine.v1 import reservation_service_pb2 as messages

SKUS, LOCATIONS, BATCH, CALLS = 10_000, 10, 100, 40
NOOP = """#!lua name=benchmark_noop
redis.register_function('benchmark_noop', function(keys, args) return #args end)
"""


def batch(numbers: itertools.count[int], usual: PlainRequests, network: Network) -> PlainReservations:
    """Single-line requests for one unit each, spread over all SKUs, packed as the server packs what it is sent."""
    message = messages.BatchCreateReservationsRequest()
    for _ in range(BATCH):
        number = next(numbers)
        request = message.requests.add(request_id=f"q{number}", channel=engine.CHANNEL)
        request.lines.add(
            sku=engine.sku(number * 7919 % SKUS), location=engine.location(number % LOCATIONS), quantity=1
        )
    read = usual.read(message.SerializeToString(), network)
    if read is None:
        raise RuntimeError("not a batch of usual requests")
    return read.reservations


async def measure(store: RedisStore, client: Redis, rounds: int) -> tuple[float, str]:
    """The ratio of rates, reservations a second over those that a no-op call would carry."""
    numbers = itertools.count()
    ids = ReservationIds(store.partitions, near_stock=True)
    usual = PlainRequests(store.partitions, ids, NoProfiles(), requests_max=BATCH)
    network = Network.parse(engine.network_document(LOCATIONS), 1)
    await client.function_load(NOOP, replace=True)

    async def reserve() -> float:
        batches = [batch(numbers, usual, network) for _ in range(CALLS)]
        began = time.perf_counter()
        for one in batches:
            (done,) = (await store.reserve_plain([one])).outcomes
            if done.others:
                raise RuntimeError(f"refused: {done.others}")
        return CALLS * BATCH / (time.perf_counter() - began)

    async def noop() -> float:
        packed = [store.plain.packed([batch(itertools.count(n * BATCH), usual, network)]) for n in range(CALLS)]
        began = time.perf_counter()
        for touched, message in packed:
            names = [keys.log(partition) for partition in touched]
            await client.execute_command("FCALL", "benchmark_noop", len(names), *names, message)
        return CALLS * BATCH / (time.perf_counter() - began)

    loop = asyncio.get_running_loop()

    def in_loop(work: Callable[[], Coroutine[None, None, float]]) -> Callable[[], float]:
        return lambda: asyncio.run_coroutine_threadsafe(work(), loop).result()

    ratio = await asyncio.to_thread(compare, in_loop(reserve), in_loop(noop), rounds)
    return ratio.median, str(ratio)


async def main(rounds: int) -> tuple[float, str]:
    """On an embedded Redis that syncs each call to disk, as served."""
    with tempfile.TemporaryDirectory(prefix="invengine-bench-") as folder:
        redis = EmbeddedRedis(Path(folder))
        url = await redis.start()
        try:
            async with Redis.from_url(url) as client:
                store = await RedisStore.open(client)
                for first in range(0, SKUS, 100):
                    await store.post_movements(
                        [
                            Movement("fill", f"{sku}/{place}", 1, MovementKind.RECEIPT, engine.sku(sku), place, 10_000)
                            for sku in range(first, first + 100)
                            for place in map(engine.location, range(LOCATIONS))
                        ]
                    )
                return await measure(store, client, rounds)
        finally:
            await redis.stop()


def run(*, quick: bool) -> list[Figure]:
    """Batches of 100, one in flight, appendfsync always, on the embedded server."""
    value, text = asyncio.run(main(5 if quick else 11))
    say("RedisStore.reserve / no-op FCALL with the same bytes, items/s", "0.06: 11 us of Redis, 2 us of Python", text)
    setup = "batches of 100 single lines, one call in flight, fsync each call"
    return [Figure("reservations: store call / no-op function call", value, "x", "higher", 0.05, setup)]
