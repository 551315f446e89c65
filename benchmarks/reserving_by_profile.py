"""What do reservations by a sourcing profile cost beside those by priority, one by one and in batches?"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import grpc
import uvloop

from benchmarks import engine, reserving
from benchmarks.figures import Figure, Ratio, compare, say
from invengine.v1 import (
    allocation_service_pb2_grpc,
    network_service_pb2,
    network_service_pb2_grpc,
    profile_pb2,
)
from invengine.v1 import reservation_service_pb2 as messages

SKUS, LOCATIONS, UNITS = 500, 20, 100_000
LINES, CALLERS, BATCH = 3, 32, 50
PROFILE = "bench"


def network_document() -> str:
    """The network of the other benchmarks, with what its locations cost."""
    document = engine.network_document(LOCATIONS)
    for number in range(LOCATIONS):
        name = engine.location(number)
        costs = f"{{kind: store, priority: {number}, costs: {{parcel: {3 + number * 7 % 5}, unit: 0.{number % 10}}},"
        document = document.replace(f"  {name}: {{kind: store,", f"  {name}: {costs}")
    return "currency: EUR\n" + document


class Caller:
    """Sends baskets of its own, so many at once or in batches of so many."""

    def __init__(self, address: str, batch: int, profile: str) -> None:
        self._address = address
        self._batch = batch
        self._profile = profile
        self._random = random.Random(batch)  # the same baskets by profile and without
        self._numbers = itertools.count()

    def run(self, count: int) -> float:
        """Reservations a second; everything asked for must be made."""
        return uvloop.run(self._run(count))

    async def _run(self, count: int) -> float:
        requests = [self._requests() for _ in range(count // self._batch)]
        waiting = iter(requests)
        made = 0
        async with grpc.aio.insecure_channel(self._address) as channel:
            call = channel.unary_unary(reserving.BATCH)
            await channel.channel_ready()

            async def caller() -> None:
                nonlocal made
                for request in waiting:
                    answer = messages.BatchCreateReservationsResponse.FromString(await call(request))
                    made += sum([outcome.HasField("reservation") for outcome in answer.outcomes])

            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.gather(*[caller() for _ in range(CALLERS if self._batch == 1 else 1)])
            seconds = loop.time() - began
        if made != count:
            raise RuntimeError(f"{made} of {count} reservations were made")
        return count / seconds

    def _requests(self) -> bytes:
        message = messages.BatchCreateReservationsRequest()
        for _ in range(self._batch):
            name = f"{self._profile}-{self._batch}-{next(self._numbers)}"
            request = message.requests.add(request_id=name, channel=engine.CHANNEL, profile=self._profile)
            for number in self._random.sample(range(SKUS), LINES):
                request.lines.add(sku=engine.sku(number), quantity=1)
        return message.SerializeToString()


def run(*, quick: bool) -> list[Figure]:
    """Two figures: reservations a second, by profile against without."""
    rounds, count = (5, 320) if quick else (7, 3_200)
    with engine.engine() as address:
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        with grpc.insecure_channel(address) as channel:
            network_service_pb2_grpc.NetworkServiceStub(channel).ApplyNetwork(
                network_service_pb2.ApplyNetworkRequest(request_id="costs", document=network_document())
            )
            allocation_service_pb2_grpc.AllocationServiceStub(channel).PutProfile(
                profile_pb2.PutProfileRequest(request_id="profile", document=f"name: {PROFILE}\ncosts: {{parcel: 2}}\n")
            )
        found = {batch: _compared(address, batch, count, rounds) for batch in (1, BATCH)}
    setup = f"baskets of {LINES} lines, {LOCATIONS} locations; "
    say(
        "reservations a second by profile against by priority, one by one",
        "0.4: a plan takes about 1 ms of one processor, a call without one 0.7 ms",
        str(found[1]),
    )
    say(
        f"the same in batches of {BATCH}",
        "0.25: all share a call to Redis either way; 0.3 ms of a basket are for all else, and 1 ms for its plan",
        str(found[BATCH]),
    )
    return [
        Figure(
            "reservations by profile against by priority, one by one",
            found[1].median,
            "ratio",
            "higher",
            0.2,
            setup + f"{CALLERS} callers",
        ),
        Figure(
            "reservations by profile against by priority, in batches",
            found[BATCH].median,
            "ratio",
            "higher",
            0.1,
            setup + f"one caller, {BATCH} in a call",
        ),
    ]


def _compared(address: str, batch: int, count: int, rounds: int) -> Ratio:
    def run_by(profile: str) -> Callable[[], float]:
        caller = Caller(address, batch, profile)
        return lambda: caller.run(count // batch * batch)

    return compare(run_by(PROFILE), run_by(""), rounds)
