"""How much of the bare kernel's speed is left of a batch of totals over gRPC?"""

from __future__ import annotations

import time

import grpc
import numpy as np

from benchmarks import engine, h2load, memory_replica
from benchmarks.figures import Figure, compare, say
from invengine import kernels
from invengine.services.selection import select
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

SKUS, LOCATIONS, UNITS, BATCH = 10_000, 10, 1_000, 1_000
METHOD = "/invengine.v1.AvailabilityService/BatchGetAvailability"


def run(*, quick: bool) -> list[Figure]:
    """Totals of 1,000 SKUs, by SKU string, 16 calls in flight, against `available_totals` on arrays in memory."""
    if not h2load.AVAILABLE:
        print("  " + h2load.MISSING)
        return []
    chosen = np.random.default_rng(7).permutation(SKUS)[:BATCH]
    replica, _ = memory_replica.availability(SKUS, LOCATIONS, UNITS)
    columns = replica.columns
    numbers = np.array([columns.find_sku(engine.sku(int(n))) for n in chosen], np.int64)
    network = memory_replica.Network.parse(engine.network_document(LOCATIONS), 1)
    selection = select(network, replica.locations, replica.channels, engine.CHANNEL).block
    status, totals = np.empty(BATCH, np.uint8), np.empty(BATCH, np.int64)

    def kernel() -> float:
        calls = 2_000
        began = time.perf_counter()
        for _ in range(calls):
            kernels.available_totals(
                numbers, columns.positions, columns.skus, columns.fences, selection, status, totals
            )
        return calls * BATCH / (time.perf_counter() - began)

    with engine.engine() as address:
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        request = messages.BatchGetAvailabilityRequest(
            skus=[engine.sku(int(n)) for n in chosen], channel=engine.CHANNEL, totals_only=True
        )
        with grpc.insecure_channel(address) as channel:
            answer = services.AvailabilityServiceStub(channel).BatchGetAvailability(request)
        kernel()
        if list(answer.available) != totals.tolist() or set(answer.available) != {LOCATIONS * UNITS - 1}:
            raise RuntimeError("the answers differ")
        answer.ClearField("staleness")
        body, least = request.SerializeToString(), answer.ByteSize()
        ratio = compare(
            lambda: BATCH * h2load.requests_per_second(address, METHOD, body, least, count=3_000, clients=4, streams=4),
            kernel,
            rounds=5 if quick else 11,
        )
    say("totals of 1,000 SKUs over gRPC / bare kernel, SKUs/s", "0.15: 200 us of call, 60 us of look-up", str(ratio))
    setup = "1,000 SKUs by string x 10 locations, 16 calls in flight, h2load"
    return [Figure("batch of totals over gRPC / bare kernel", ratio.median, "x", "higher", 0.3, setup)]
