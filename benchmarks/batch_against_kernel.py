"""How much of the bare kernel's speed is left of a batch of totals over gRPC?"""

from __future__ import annotations

import time

import grpc
import numpy as np

from benchmarks import engine, h2load, memory_replica
from benchmarks.figures import Figure, in_turn, ratio, say
from invengine import kernels
from invengine.services.selection import select
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

SKUS, LOCATIONS, UNITS, BATCH = 10_000, 10, 1_000, 1_000
METHOD = "/invengine.v1.AvailabilityService/BatchGetAvailability"


def run(*, quick: bool) -> list[Figure]:
    """Totals of 1,000 SKUs, by name and by handle, 16 calls in flight, against `available_totals` on arrays."""
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
            stub = services.AvailabilityServiceStub(channel)
            answer, by_handle = stub.BatchGetAvailability(request), engine.by_handle(stub, request)
            same = stub.BatchGetAvailability(by_handle)
        kernel()
        for found in (answer, same):
            if list(found.available) != totals.tolist() or set(found.available) != {LOCATIONS * UNITS - 1}:
                raise RuntimeError("the answers differ")
        answer.ClearField("staleness")
        least = answer.ByteSize()

        def ask(message: messages.BatchGetAvailabilityRequest) -> float:
            body = message.SerializeToString()
            return BATCH * h2load.requests_per_second(address, METHOD, body, least, count=3_000, clients=4, streams=4)

        named, handled, bare = in_turn(lambda: ask(request), lambda: ask(by_handle), kernel, rounds=5 if quick else 11)
    by_name, limit = ratio(named, bare), ratio(handled, bare)
    say("totals of 1,000 SKUs over gRPC / bare kernel, SKUs/s", "0.15: 200 us of call, 60 us of look-up", str(by_name))
    say("the same by handle", "0.25: 200 us of call, no look-up", str(limit))
    setup = "1,000 SKUs by {} x 10 locations, 16 calls in flight, h2load"
    return [
        Figure(f"{name} / bare kernel", found.median, "x", "higher", goal, setup.format(how))
        for name, found, goal, how in (
            ("batch of totals by handle over gRPC", limit, 0.3, "handle"),
            ("batch of totals over gRPC", by_name, 0.15, "string"),
        )
    ]
