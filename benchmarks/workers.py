"""How many more calls do two workers answer than one, on two cores that the load generator has to share?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from benchmarks import engine, h2load
from benchmarks.figures import Figure, in_turn, ratio, say
from benchmarks.processes import children, cpu_seconds
from invengine.v1 import availability_service_pb2 as messages
from invengine.v1 import availability_service_pb2_grpc as services

METHOD = "/invengine.v1.AvailabilityService/GetAvailability"
SKUS, LOCATIONS, UNITS = 1_000, 10, 1_000
CONNECTIONS, STREAMS, CALLS = 32, 4, 9_600


def answers(address: str, request: messages.GetAvailabilityRequest) -> list[messages.GetAvailabilityResponse]:
    """Of as many connections as a run has, so of every worker; each once the network is in force there."""
    found = []
    for _ in range(CONNECTIONS):
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = services.AvailabilityServiceStub(channel)
            while True:
                try:
                    found.append(stub.GetAvailability(request))
                    break
                except grpc.RpcError:
                    time.sleep(0.05)  # another worker took it in; this one looks every second
    return found


@contextlib.contextmanager
def filled(workers: int) -> Iterator[tuple[str, list[int]]]:
    """A server with stock; its address, and the processes whose work is counted (that of Redis is none)."""
    with engine.process(workers=workers) as (address, pid):
        engine.fill(address, SKUS, LOCATIONS, UNITS)
        names = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children(pid)}
        yield address, [pid, *(child for child, name in names.items() if b"invengine.workers" in name)]


def run(*, quick: bool) -> list[Figure]:
    """Unary GetAvailability of one SKU with 10 positions, 32 connections, 128 calls in flight."""
    if not h2load.AVAILABLE:
        print("  " + h2load.MISSING)
        return []
    request = messages.GetAvailabilityRequest(sku=engine.sku(SKUS // 2), channel=engine.CHANNEL)
    with filled(2) as (two, of_two), filled(1) as (one, of_one):
        for address in (two, one):
            for answer in answers(address, request):
                if answer.available != LOCATIONS * UNITS - 1 or len(answer.positions) != LOCATIONS:
                    raise RuntimeError(f"wrong answer: {answer}")
        answer.ClearField("staleness")  # its size varies
        body, least = request.SerializeToString(), answer.ByteSize()
        cpu: dict[str, list[float]] = {one: [], two: []}

        def load(address: str, pids: list[int]) -> float:
            before = sum(map(cpu_seconds, pids))
            rate = h2load.requests_per_second(
                address, METHOD, body, least, count=CALLS, clients=CONNECTIONS, streams=STREAMS
            )
            cpu[address].append((sum(map(cpu_seconds, pids)) - before) / CALLS)
            return rate

        rates = in_turn(lambda: load(two, of_two), lambda: load(one, of_one), rounds=5 if quick else 11)
    calls, work = ratio(*rates), ratio(cpu[two][1:], cpu[one][1:])
    say(
        "unary GetAvailability, requests/s: 2 workers / 1 worker",
        "1.6: two cores, of which h2load takes a fifth, and one worker has some more connections than the other",
        str(calls),
    )
    say("server CPU of a call: 2 workers / 1 worker", "1.05: they share nothing but the caches", str(work))
    setup = "1 SKU at 10 locations, 32 connections, 128 calls in flight, h2load on the same 2 cores"
    return [
        Figure("unary GetAvailability: 2 workers / 1 worker", calls.median, "x", "higher", 1.3, setup),
        Figure("server CPU of a call: 2 workers / 1 worker", work.median, "x", "lower", 1.25, setup),
    ]
