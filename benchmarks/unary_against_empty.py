"""How close does unary GetAvailability come to an empty handler on the same stack?"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import grpc

from benchmarks import engine, h2load
from benchmarks.figures import Figure, compare, say
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

METHOD = "/invengine.v1.AvailabilityService/GetAvailability"
SKUS, LOCATIONS, UNITS = 1_000, 10, 1_000


@contextlib.contextmanager
def empty_server(answer_bytes: int = 0) -> Iterator[str]:
    """Run the empty server, whose answers have so many bytes, and yield its address."""
    command = [sys.executable, "-m", "benchmarks.empty_server", f"--answer-bytes={answer_bytes}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def run(*, quick: bool) -> list[Figure]:
    """One SKU with 10 positions, 64 requests in flight, against a handler that answers an empty message."""
    if not h2load.AVAILABLE:
        print("  " + h2load.MISSING)
        return []
    with engine.engine() as address, empty_server() as empty:
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        request = messages.GetAvailabilityRequest(sku=engine.sku(SKUS // 2), channel=engine.CHANNEL)
        with grpc.insecure_channel(address) as channel:
            answer = services.AvailabilityServiceStub(channel).GetAvailability(request)
        if answer.available != LOCATIONS * UNITS - 1 or len(answer.positions) != LOCATIONS:
            raise RuntimeError(f"wrong answer: {answer}")
        answer.ClearField("staleness")  # its size varies
        body, least = request.SerializeToString(), answer.ByteSize()
        ratio = compare(
            lambda: h2load.requests_per_second(address, METHOD, body, least),
            lambda: h2load.requests_per_second(empty, METHOD, body, 0),
            rounds=5 if quick else 11,
        )
    say(
        "unary GetAvailability / empty handler, requests/s",
        "0.85: some 25 us of own work beside the 200 us of an empty call",
        str(ratio),
    )
    setup = "1 SKU at 10 locations, 64 in flight, h2load"
    return [Figure("unary GetAvailability / empty gRPC handler", ratio.median, "x", "higher", 0.85, setup)]
