"""Where the time of a reservation over gRPC goes: the run's own CPU figures, and the server's steps one by one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import uvloop
from redis.asyncio import Redis

from benchmarks import engine
from benchmarks.reserving import Run, RunningEngine
from invengine.domain.network import Network
from invengine.kernels.reservations import CREATED_MS
from invengine.rpc.reservation_bytes import plain_response
from invengine.services.plain_requests import PlainBatch, PlainRequests
from invengine.services.plain_reserving import PlainMade
from invengine.services.reservation_ids import ReservationIds
from invengine.settings import Settings
from invengine.store.redis_store import RedisStore

T = TypeVar("T")
U = TypeVar("U")


class NoProfiles:
    """Of an engine without profiles."""

    def active(self, _: str) -> None:
        """None for any channel."""


def steps(running: RunningEngine, requests: Sequence[bytes], locations: int) -> tuple[list[tuple[str, float]], int]:
    """CPU microseconds per reservation of the server's steps, on batches that are new; how many were reserved by it.

    Each step is called as the server calls it, in this process and with nothing beside it; the store's step really
    reserves, in the engine's own Redis.
    """
    network = Network.parse(engine.network_document(locations), 1)
    partitions = Settings.load().partitions
    usual = PlainRequests(partitions, ReservationIds(partitions, near_stock=True), NoProfiles(), requests_max=1_000)
    found: list[tuple[str, float]] = []

    def step(name: str, work: Callable[[T], U], items: Sequence[T]) -> list[U]:
        began = time.process_time()
        made = [work(item) for item in items]
        found.append((name, time.process_time() - began))
        return made

    def read(request: bytes) -> PlainBatch:
        batch = usual.read(request, network)
        if batch is None:
            raise RuntimeError("not a batch of usual requests")
        return batch

    step("", read, requests)  # a first time that does not count
    batches = step("read, check, resolve, pack", read, requests)

    async def reserve() -> tuple[list[PlainMade], float]:
        async with Redis.from_url(f"unix://{running.redis.connection_pool.connection_kwargs['path']}") as client:
            store = await RedisStore.open(client)
            began = time.process_time()
            written = [await store.reserve_plain([batch.reservations]) for batch in batches]
            seconds = time.process_time() - began
        done = [outcome for w in written for outcome in w.outcomes]
        return [PlainMade(batch, one.taken, {}, {}) for batch, one in zip(batches, done, strict=True)], seconds

    made, seconds = uvloop.run(reserve())
    found.append(("exchange, read the store's answer", seconds))
    step("write the answer", lambda one: plain_response(one, "token"), made)
    reserved = sum(int((one.taken[:, CREATED_MS] > 0).sum()) for one in made)
    return [(name, 1e6 * spent / reserved) for name, spent in found[1:]], reserved


def explain(runs: Sequence[Run], parts: Sequence[tuple[str, float]]) -> str:
    """A table of microseconds per reservation, medians over runs: the wall, and the CPU of each process."""

    def median(of: Callable[[Run], float]) -> float:
        return statistics.median(1e6 * of(run) / (run.accepted + run.refused) for run in runs)

    packing = median(lambda run: run.packing_seconds)
    server = median(lambda run: run.server_cpu_seconds)
    functions, loop = median(lambda run: run.redis.functions), median(lambda run: run.redis.loop)
    wall = median(lambda run: run.seconds)
    known = sum(spent for _, spent in parts)
    lines = [
        ("wall clock", wall),
        ("client CPU", median(lambda run: run.client_cpu_seconds)),
        ("  of it packing requests", packing),
        ("server CPU", server),
        *((f"  of it {name}", spent) for name, spent in parts),
        ("  the rest: gRPC, event loop, replica, follower", server - known),
        ("Redis CPU", median(lambda run: run.redis.cpu)),
        ("Redis busy, by its own clock", loop),
        ("  of it in functions (Lua and its commands)", functions),
        ("  the rest: log to disk and fsync, sockets", loop - functions),
        ("Redis waiting for calls", max(0.0, wall - loop)),
    ]
    return "\n".join(f"      {name:<50}{spent:8.1f}" for name, spent in lines)
