"""How many times cheaper is a small query on a stream than as a unary call, and how near is that to an empty stream?"""

from __future__ import annotations

import grpc

from benchmarks import engine, h2load
from benchmarks.figures import Figure, in_turn, ratio, say
from benchmarks.unary_against_empty import empty_server
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

SKUS, LOCATIONS, UNITS = 1_000, 10, 1_000
STREAM = "/invengine.v1.AvailabilityService/StreamAvailability"
UNARY = "/invengine.v1.AvailabilityService/GetAvailability"
ANSWER_BYTES = 10  # as much as the answer to one query
QUERIES_A_STREAM, A_MESSAGE = 500, 20


def run(*, quick: bool) -> list[Figure]:
    """64 streams of 500 queries each, one or 20 in a message, against 64 unary calls in flight, the same SKUs."""
    if not h2load.AVAILABLE:
        print("  " + h2load.MISSING)
        return []
    with engine.engine() as address, empty_server(ANSWER_BYTES) as empty:
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
            packed = _packed(queries)
            found = [answer for message in stub.StreamAvailability(iter(packed)) for answer in message.answers]
            if [(a.query_id, a.available) for a in found] != [(a.query_id, a.available) for a in answers]:
                raise RuntimeError(f"wrong answers: {found[:3]}")
            request = messages.GetAvailabilityRequest(sku=engine.sku(7), channel=engine.CHANNEL)
            unary = stub.GetAvailability(request)
        unary.ClearField("staleness")
        body = [query.SerializeToString() for query in queries]
        least = [answer.ByteSize() for answer in answers]
        many = [message.SerializeToString() for message in packed]
        single, packed_rate, nothing, unary_rate = in_turn(
            lambda: h2load.messages_per_second(address, STREAM, body, least),
            lambda: A_MESSAGE * h2load.messages_per_second(address, STREAM, many, [0] * len(many)),
            lambda: h2load.messages_per_second(empty, STREAM, body, [ANSWER_BYTES] * len(body)),
            lambda: h2load.requests_per_second(address, UNARY, request.SerializeToString(), unary.ByteSize()),
            rounds=5 if quick else 11,
        )
    one, twenty, limit = ratio(single, unary_rate), ratio(packed_rate, unary_rate), ratio(single, nothing)
    say("small queries on a stream / unary calls, queries/s", "6: 30 us a message beside 200 us a call", str(one))
    say(f"the same, {A_MESSAGE} queries a message", "60: 30 us a message, a microsecond a query", str(twenty))
    say("the same / an empty stream, messages/s", "0.7: 10 us beside 30", str(limit))
    setup = "64 streams against 64 unary calls in flight, 10 locations a SKU, h2load"
    of_empty = "one query a message; a handler that answers each message with the same bytes, 64 streams, h2load"
    return [
        Figure("stream of small availability queries / unary", one.median, "x", "higher", 6, setup),
        Figure(f"stream, {A_MESSAGE} queries a message / unary", twenty.median, "x", "higher", 6, setup),
        Figure("stream of small availability queries / empty stream", limit.median, "x", "higher", 0.8, of_empty),
    ]


def _packed(queries: list[messages.StreamAvailabilityRequest]) -> list[messages.StreamAvailabilityRequest]:
    """The queries, A_MESSAGE of them in each message."""
    each = [messages.AvailabilityQuery(query_id=q.query_id, sku=q.sku, channel=q.channel) for q in queries]
    return [
        messages.StreamAvailabilityRequest(queries=each[at : at + A_MESSAGE]) for at in range(0, len(each), A_MESSAGE)
    ]
