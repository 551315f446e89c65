"""How many times cheaper is a small query on a stream than as a unary call?"""

from __future__ import annotations

import grpc

from benchmarks import engine, h2load
from benchmarks.figures import Figure, compare, say
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

SKUS, LOCATIONS, UNITS = 1_000, 10, 1_000
STREAM = "/invengine.v1.AvailabilityService/StreamAvailability"
UNARY = "/invengine.v1.AvailabilityService/GetAvailability"
QUERIES_A_STREAM = 500


def run(*, quick: bool) -> list[Figure]:
    """64 streams of 500 queries each, against 64 unary calls in flight, the same SKUs."""
    if not h2load.AVAILABLE:
        print("  " + h2load.MISSING)
        return []
    with engine.engine() as address:
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        queries = [
            messages.StreamAvailabilityRequest(query_id=n + 1, sku=engine.sku(n), channel=engine.CHANNEL)
            for n in range(QUERIES_A_STREAM)
        ]
        with grpc.insecure_channel(address) as channel:
            stub = services.AvailabilityServiceStub(channel)
            answers = list(stub.StreamAvailability(iter(queries)))
            if [(a.query_id, a.available) for a in answers] != [(q.query_id, LOCATIONS * UNITS - 1) for q in queries]:
                raise RuntimeError(f"wrong answers: {answers[:3]}")
            request = messages.GetAvailabilityRequest(sku=engine.sku(7), channel=engine.CHANNEL)
            unary = stub.GetAvailability(request)
        unary.ClearField("staleness")
        body = [query.SerializeToString() for query in queries]
        least = [answer.ByteSize() for answer in answers]
        ratio = compare(
            lambda: h2load.messages_per_second(address, STREAM, body, least),
            lambda: h2load.requests_per_second(address, UNARY, request.SerializeToString(), unary.ByteSize()),
            rounds=5 if quick else 11,
        )
    say("small queries on a stream / unary calls, queries/s", "6: 30 us a message beside 200 us a call", str(ratio))
    setup = "64 streams against 64 unary calls in flight, 10 locations a SKU, h2load"
    return [Figure("stream of small availability queries / unary", ratio.median, "x", "higher", 6, setup)]
