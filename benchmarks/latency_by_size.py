"""Does an answer take longer when the store is a hundred times larger?"""

from __future__ import annotations

import asyncio
import statistics
import time

import grpc
import numpy as np

from benchmarks import engine, memory_replica
from benchmarks.figures import Figure, compare, say
from invengine.services.availability import Availability
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


def run(*, quick: bool) -> list[Figure]:
    """Random SKUs at 1,000,000 and at 10,000 positions."""
    rounds = 5 if quick else 9
    _, small = memory_replica.availability(SMALL, LOCATIONS, UNITS)
    _, large = memory_replica.availability(LARGE, LOCATIONS, UNITS)
    ask_small, ask_large = questions(SMALL), questions(LARGE)
    alone = compare(lambda: service_p50(large, ask_large), lambda: service_p50(small, ask_small), rounds)
    say("service call alone, p50 at 1M / at 10k positions", "1.3: a few cache misses more", str(alone))
    with engine.engine() as small_address, engine.engine() as large_address:
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
