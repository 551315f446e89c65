"""How many questions and reservations a second one client gets answered: a taste, not a benchmark."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter
from typing import Final

from invengine.cli.sample_data import Basket, Retailer
from invengine.client import Client, Line
from invengine.domain.orders import Fulfilment
from invengine.v1 import common_pb2
from invengine.v1.availability_service_pb2 import AvailabilityStatus
from invengine.v1.reservation_service_pb2 import CreateReservationRequest

_CALLS_AT_ONCE: Final = 32
_BATCH_SKUS: Final = 1_000
_BATCH_RESERVATIONS: Final = 100
_FULFILMENTS: Final = {
    Fulfilment.SHIP: common_pb2.FULFILMENT_SHIP,
    Fulfilment.PICKUP: common_pb2.FULFILMENT_PICKUP,
}


@dataclass(frozen=True)
class Rate:
    """Something counted over some time."""

    name: str
    what: str
    per_second: float


async def measure(client: Client, retailer: Retailer, seconds: float) -> list[Rate]:
    """Ask in each way for `seconds`."""
    skus = cycle(line.sku for basket in islice(retailer.baskets(), 5_000) for line in basket.lines)

    async def one() -> int:
        await client.get_availability(next(skus), channel="web")
        return 1

    async def many() -> int:
        answer = await client.batch_get_availability(list(islice(skus, _BATCH_SKUS)), channel="web")
        return len(answer.location_index)

    baskets = retailer.baskets()

    async def reserve() -> int:
        requests = [_request(client, basket) for basket in islice(baskets, _BATCH_RESERVATIONS)]
        answer = await client.reserve_many(requests)
        return sum(outcome.HasField("reservation") for outcome in answer.outcomes)

    return [
        Rate("unary", "availability of one SKU, a call each", await _rate(one, _CALLS_AT_ONCE, seconds)),
        Rate("stream", "availability of one SKU, streamed", await _streamed(client, skus, seconds)),
        Rate("batch", "positions, 1,000 SKUs a call", await _rate(many, 2, seconds)),
        Rate("reservations", "durable reservations, 100 baskets a call", await _rate(reserve, 4, seconds)),
    ]


async def _rate(call: Callable[[], Awaitable[int]], at_once: int, seconds: float) -> float:
    """What `call` counts, a second, with `at_once` of them under way."""
    started = perf_counter()
    done = 0

    async def go_on() -> None:
        nonlocal done
        while perf_counter() - started < seconds:
            counted = await call()  # before the sum is read: others add to it meanwhile
            done += counted

    await asyncio.gather(*(go_on() for _ in range(at_once)))
    return done / (perf_counter() - started)


async def _streamed(client: Client, skus: Iterator[str], seconds: float) -> float:
    started = perf_counter()

    def until_the_time_is_over() -> Iterator[str]:
        while perf_counter() - started < seconds:
            yield next(skus)

    known = 0
    async for answer in client.stream_availability(until_the_time_is_over(), channel="web"):
        known += answer.status == AvailabilityStatus.AVAILABILITY_STATUS_KNOWN
    return known / (perf_counter() - started)


def _request(client: Client, basket: Basket) -> CreateReservationRequest:
    lines = [
        Line(sku=line.sku, quantity=line.quantity, location=line.location, fulfilment=_FULFILMENTS[line.fulfilment])
        for line in basket.lines
    ]
    return client.create_request(lines, channel=basket.channel)
