"""Feeding over gRPC: streams that send without waiting and check what they were told."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import uvloop

from benchmarks import engine
from benchmarks.reserving import RedisTimes, RunningEngine
from invengine.v1 import stock_service_pb2 as messages

METHOD = "/invengine.v1.StockService/StreamMovements"
APPLIED = messages.PostMovementsResponse.Outcome.RESULT_APPLIED
Change = tuple[str, str, int]
"""SKU, location and units: a receipt, or below 0 a sale."""


@dataclass(frozen=True)
class Run:
    """What the streams saw, and the CPU that they and the engine used meanwhile."""

    seconds: float
    applied: int
    client_cpu_seconds: float
    server_cpu_seconds: float
    redis: RedisTimes

    @property
    def per_second(self) -> float:
        """Movements that were acknowledged a second."""
        return self.applied / self.seconds


def changes(seed: int, skus: int, locations: int) -> Iterator[Change]:
    """Receipts and sales of a few units, at random positions."""
    numbers = random.Random(seed)
    names, places = list(map(engine.sku, range(skus))), list(map(engine.location, range(locations)))
    while True:
        units = numbers.randrange(1, 4)
        yield numbers.choice(names), numbers.choice(places), units if numbers.random() < 0.5 else -units


class Feeders:
    """So many streams, each sending requests of `batch` movements as fast as the server takes them."""

    def __init__(self, address: str, running: RunningEngine, streams: int, batch: int) -> None:
        self._address = address
        self._running = running
        self._streams = streams
        self._batch = batch
        self._numbers = itertools.count()

    def feed(self, feeds: list[list[Change]]) -> Run:
        """One list per stream; packing is part of it, answers are checked after the clock has stopped."""
        return uvloop.run(self._feed(feeds))

    async def _feed(self, feeds: list[list[Change]]) -> Run:
        answers: list[bytes] = []
        async with grpc.aio.insecure_channel(self._address) as channel:
            call = channel.stream_stream(METHOD)
            await channel.channel_ready()

            async def one(number: int, what: list[Change]) -> None:
                stream = call()

                async def send() -> None:
                    await stream.write(messages.StreamMovementsRequest(feed=f"bench-{number}").SerializeToString())
                    for start in range(0, len(what), self._batch):
                        await stream.write(self.request(what[start : start + self._batch]))
                    await stream.done_writing()

                sending = asyncio.create_task(send())
                while (answer := await stream.read()) is not grpc.aio.EOF:
                    answers.append(answer)
                await sending

            server, redis = self._running.times()
            cpu, began = time.process_time(), time.perf_counter()
            await asyncio.gather(*(one(number, what) for number, what in enumerate(feeds)))
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            server_after, redis_after = self._running.times()
        applied = sum(
            outcome.result == APPLIED
            for answer in answers
            for outcome in messages.StreamMovementsResponse.FromString(answer).outcomes
        )
        if applied != sum(map(len, feeds)):
            raise RuntimeError(f"{applied} movements of {sum(map(len, feeds))} were applied")
        return Run(seconds, applied, cpu, server_after - server, redis_after.since(redis))

    def request(self, what: list[Change]) -> bytes:
        """The message that posts these, as events never sent before."""
        request = messages.StreamMovementsRequest()
        number = 0
        for sku, location, units in what:
            number = next(self._numbers)
            kind = messages.Movement.KIND_RECEIPT if units > 0 else messages.Movement.KIND_SALE
            request.movements.add(
                source="wms", event_id=f"event-{number}", kind=kind, sku=sku, location=location, quantity=abs(units)
            )
        request.position = number + 1
        return request.SerializeToString()
