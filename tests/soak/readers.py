"""Callers that ask, one that watches, one that feeds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

from invengine.client import Client, Movement
from invengine.errors import InventoryError
from invengine.v1 import availability_service_pb2, promise_service_pb2, reservation_service_pb2, stock_service_pb2
from tests.faults.shop import SHIP_TO
from tests.rpc.engines import Stubs
from tests.soak.journal import Journal
from tests.soak.shoppers import ORDERS, PLACES, Caller, Refused

FED = [f"FED-{n}" for n in range(20)]


class Reader(Caller):
    """Questions of every kind; what comes back must make sense."""

    async def one(self) -> None:
        asked = self.random.choice((self._one, self._one, self._many, self._stream, self._promise, self._list))
        try:
            await asked()
        except Refused:
            return
        await asyncio.sleep(0.005)

    def _check(self, holds: bool, what: object) -> None:
        if not holds:
            self.journal.wrong.append(f"an answer makes no sense: {what}")

    async def _one(self) -> None:
        request = availability_service_pb2.GetAvailabilityRequest(
            sku=self.random.choice(ORDERS),
            channel=self.random.choice(["web", "app"]),
            consistency=self.random.choice([{"minimize_latency": True}, {"fully_consistent": True}]),
        )
        answer = await self.ask("GetAvailability", lambda stubs: stubs.availability.GetAvailability, request)
        self._check(answer.available >= 0, answer)

    async def _many(self) -> None:
        request = availability_service_pb2.BatchGetAvailabilityRequest(skus=ORDERS, channel="web", totals_only=True)
        await self.ask("BatchGetAvailability", lambda stubs: stubs.availability.BatchGetAvailability, request)

    async def _stream(self) -> None:
        requests = [
            availability_service_pb2.StreamAvailabilityRequest(query_id=n, sku=sku, channel="web")
            for n, sku in enumerate(ORDERS)
        ]

        def streamed(stubs: Stubs) -> Any:
            async def talk(_: Any, timeout: float) -> list[Any]:
                return [
                    answer async for answer in stubs.availability.StreamAvailability(iter(requests), timeout=timeout)
                ]

            return talk

        answers = await self.ask("StreamAvailability", streamed, requests)
        self._check([answer.query_id for answer in answers] == list(range(len(ORDERS))), answers)

    async def _promise(self) -> None:
        lines = [{"line_id": "1", "sku": self.random.choice(ORDERS), "quantity": 1}]
        request = promise_service_pb2.GetPromiseRequest(channel="web", lines=lines, destination=SHIP_TO)
        await self.ask("GetPromise", lambda stubs: stubs.promises.GetPromise, request)

    async def _list(self) -> None:
        request = reservation_service_pb2.ListReservationsRequest(channel="web", page_size=20)
        await self.ask("ListReservations", lambda stubs: stubs.reservations.ListReservations, request)


class Watcher:
    """Keeps what a watch told last, through every outage; may be told to stop reading for a while."""

    def __init__(self, address: str) -> None:
        self._client = Client(address, channel="web", retry_seconds=120)
        self.available: dict[str, int] = {}
        self.messages = 0
        self._reads = asyncio.Event()
        self._reads.set()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for message in self._client.watch(ORDERS, outage_seconds=600, silence_seconds=10):
            if message.begins_anew:
                self.available.clear()
            self.available |= {change.sku: change.available for change in message.changes}
            self.messages += 1
            await self._reads.wait()

    async def slow(self, seconds: float) -> None:
        """Does not read for so long."""
        self._reads.clear()
        await asyncio.sleep(seconds)
        self._reads.set()

    async def close(self) -> None:
        """Ends it; a fault of the watch is raised."""
        if self._task.done():
            self._task.result()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.close()


class Feeder:
    """One feed of receipts and sales, which nobody else touches."""

    def __init__(self, address: str, journal: Journal, name: str, seconds_between: float) -> None:
        self._client = Client(address, channel="web")
        self._journal, self._name, self._seconds = journal, name, seconds_between
        self._stop: asyncio.Event | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is time to stop and all is acknowledged."""
        self._stop = stop
        result = stock_service_pb2.PostMovementsResponse.Outcome.Result
        try:
            async for ack in self._client.feed(self._movements(), name=self._name, patience_seconds=150):
                for (_, movement), outcome in zip(ack.items, ack.outcomes, strict=True):
                    self._journal.count("feed", result.Name(outcome.result).removeprefix("RESULT_"))
                    if outcome.result in (1, 2):
                        sign = -1 if movement.kind == Movement.KIND_SALE else 1
                        self._journal.fed[movement.sku, movement.location] += sign * movement.quantity
                self._journal.acknowledged += len(ack.items)
        except InventoryError as error:
            self._journal.wrong.append(f"the feed ended: {error!r}")
        await self._client.close()

    async def _movements(self) -> AsyncIterator[Movement]:
        assert self._stop is not None
        for number in itertools.count():
            if self._stop.is_set():
                return
            place = FED[number % len(FED)], PLACES[number % 2]
            kind = Movement.KIND_RECEIPT if number < 2 * len(FED) or number % 3 else Movement.KIND_SALE
            yield Movement(
                source="wms",
                event_id=f"{self._name}/{number}",
                kind=kind,
                sku=place[0],
                location=place[1],
                quantity=1 if kind == Movement.KIND_SALE else 2,
            )
            if number % 50 == 49:
                await asyncio.sleep(self._seconds)


def servers_of(addresses: Sequence[str]) -> str:
    """Several servers as one address of a client."""
    return "ipv4:" + ",".join(addresses)
