"""Many who watch a server while another process changes stock: what each is told, how often and how late."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import numpy as np

from benchmarks import engine
from invengine.v1 import availability_service_pb2, availability_service_pb2_grpc, stock_service_pb2
from invengine.v1 import stock_service_pb2_grpc as stock_services

CONNECTIONS = 10
WRITES_A_SECOND = 40
IN_FLIGHT_MAX = 32
QUIET_SECONDS_MAX = 120.0

Sent = dict[str, list[float]]
"""When each unit of a SKU was sent, the first to the last, by the clock that all processes share."""


@dataclass(frozen=True)
class Load:
    """What to try: `watched` SKUs of each subscriber, by chance, out of `skus`."""

    subscribers: int
    skus: int
    watched: int
    changes_a_second: int
    seconds: float
    seed: int = 5

    @property
    def names(self) -> list[str]:
        """The SKUs."""
        return [engine.sku(number) for number in range(self.skus)]


@dataclass
class Told:
    """What came of it. A lag is the time from sending a write until a subscriber has read a value that contains it."""

    messages: int = 0
    changes: list[tuple[str, int, float]] = field(default_factory=list)  # SKU, units, when it was read
    written: int = 0
    seconds: float = 0.0
    catching_up_seconds: float = 0.0
    lags: Sequence[float] = ()

    def lag(self, percent: float) -> float:
        """The lag that so many percent of the changes did not exceed, in seconds."""
        return float(np.percentile(self.lags, percent))

    def __str__(self) -> str:
        written, messages, changes = (n / self.seconds for n in (self.written, self.messages, len(self.changes)))
        return (
            f"{written:,.0f} changes/s written; {messages:,.0f} messages/s with {changes:,.0f} changes/s told; "
            f"lag p50 {self.lag(50) * 1000:.0f} ms, p99 {self.lag(99) * 1000:.0f} ms; "
            f"all right {self.catching_up_seconds:.2f} s after the last write"
        )


class Subscriber:
    """Watches some SKUs, and knows the last units that it was told."""

    def __init__(self, stub: availability_service_pb2_grpc.AvailabilityServiceStub, skus: list[str]) -> None:
        self.known: dict[str, int] = {}
        self.skus = skus
        request = availability_service_pb2.WatchAvailabilityRequest(channel=engine.CHANNEL, skus=skus)
        self._call = stub.WatchAvailability(request)

    async def begin(self) -> None:
        """The first state."""
        is_begun = False
        while not is_begun:
            message = await self._call.read()
            self._take(message)
            is_begun = message.caught_up

    async def read(self, told: Told) -> None:
        """All that comes, for ever."""
        while True:
            message = await self._call.read()
            now = time.perf_counter()
            self._take(message)
            told.messages += 1
            told.changes += [(change.sku, change.available, now) for change in message.changes]

    def is_right(self, sent: Sent) -> bool:
        """Whether it was told what is so."""
        return all(self.known[sku] == len(sent[sku]) for sku in self.skus)

    def cancel(self) -> None:
        """Ends the watch."""
        self._call.cancel()

    def _take(self, message: availability_service_pb2.WatchAvailabilityResponse) -> None:
        for change in message.changes:
            self.known[change.sku] = change.available


async def put_under(address: str, load: Load) -> Told:
    """Tries the load on a server that has the network of `engine.fill` and none of the SKUs yet.

    Returns when every subscriber knows the final state; TimeoutError when that takes too long.
    """
    chance, told = random.Random(load.seed), Told()
    spawning = multiprocessing.get_context("spawn")
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=spawning))
        stubs = []
        for number in range(CONNECTIONS):
            options = [("grpc.use_local_subchannel_pool", 1), ("invengine.number", number)]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            stubs.append(availability_service_pb2_grpc.AvailabilityServiceStub(channel))
        subscribers = [
            Subscriber(stubs[number % CONNECTIONS], chance.sample(load.names, load.watched))
            for number in range(load.subscribers)
        ]
        await asyncio.gather(*[subscriber.begin() for subscriber in subscribers])
        reading = [asyncio.ensure_future(subscriber.read(told)) for subscriber in subscribers]
        try:
            sent, told.seconds = await asyncio.get_running_loop().run_in_executor(pool, write, address, load)
            ended = time.perf_counter()
            await _until_right(subscribers, sent, reading)
            told.catching_up_seconds = time.perf_counter() - ended
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            for subscriber in subscribers:
                subscriber.cancel()
    told.written = sum(map(len, sent.values()))
    told.lags = [read_at - sent[sku][units - 1] for sku, units, read_at in told.changes]
    return told


def write(address: str, load: Load) -> tuple[Sent, float]:
    """Receipts of one unit each, in steady calls, late ones made up for, and how long that took."""
    chance, names = random.Random(load.seed), load.names
    sent: Sent = {name: [] for name in names}
    with grpc.insecure_channel(address) as channel:
        stock = stock_services.StockServiceStub(channel)
        in_flight: deque[Any] = deque()
        begun = due = time.perf_counter()
        while (now := time.perf_counter()) - begun < load.seconds:
            request = stock_service_pb2.PostMovementsRequest(request_id=uuid.uuid4().hex)
            for name in chance.choices(names, k=load.changes_a_second // WRITES_A_SECOND):
                sent[name].append(now)
                request.movements.add(
                    source="load",
                    kind=stock_service_pb2.Movement.KIND_RECEIPT,
                    sku=name,
                    location=engine.location(1),
                    quantity=1,
                )
            in_flight.append(stock.PostMovements.future(request))
            if len(in_flight) > IN_FLIGHT_MAX:
                in_flight.popleft().result()
            due += 1 / WRITES_A_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
        for call in in_flight:
            call.result()
    return sent, time.perf_counter() - begun


async def _until_right(subscribers: list[Subscriber], sent: Sent, reading: list[asyncio.Future[None]]) -> None:
    async with asyncio.timeout(QUIET_SECONDS_MAX):
        for subscriber in subscribers:
            while not subscriber.is_right(sent):
                for task in reading:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)
