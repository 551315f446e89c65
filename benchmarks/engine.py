"""A real engine to measure: `invengine serve` as its own process, with a network and stock of a given size."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc

from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import (
    availability_service_pb2_grpc,
    network_service_pb2,
    network_service_pb2_grpc,
    stock_service_pb2,
    stock_service_pb2_grpc,
)

CHANNEL = "web"
START_SECONDS_MAX = 60


def sku(number: int) -> str:
    """The name of a generated SKU: 12 characters, as retailers' numbers look."""
    return f"SKU-{number:08d}"


def location(number: int) -> str:
    """The name of a generated location."""
    return f"L{number:03d}"


def network_document(locations: int) -> str:
    """One channel that sees `locations` locations; one rule of safety stock, so that rules are on the measured path."""
    names = [location(number) for number in range(locations)]
    places = "\n".join(f"  {name}: {{kind: store, fulfilments: [ship, pickup]}}" for name in names)
    members = ", ".join(names)
    return (
        f"locations:\n{places}\ngroups:\n  all: [{members}]\n"
        f"channels:\n  {CHANNEL}: {{groups: [all]}}\nsafety_stock:\n  - {{location: {names[0]}, units: 1}}\n"
    )


@contextlib.contextmanager
def engine(data_dir: Path | None = None) -> Iterator[str]:
    """Run a server on a free port and yield its address; it is stopped, and must exit 0, at the end."""
    with process(data_dir) as (address, _):
        yield address


@contextlib.contextmanager
def process(data_dir: Path | None = None, workers: int = 1) -> Iterator[tuple[str, int]]:
    """As `engine`; yields the process id too, to look at what the server costs. All of its workers serve."""
    with contextlib.ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="invengine-bench-")))
        address, pages = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
        command = [sys.executable, "-m", "invengine", "serve", "--listen", address, "--data-dir", str(folder)]
        command += ["--metrics-listen", pages, "--workers", str(workers)]
        with (folder / "server.log").open("ab") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        try:
            wait_until_serving(address, server)
            while workers > 1 and _health(pages).count(" SERVING") < workers:
                time.sleep(0.02)
            yield address, server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            if server.wait(timeout=60):
                raise RuntimeError((folder / "server.log").read_text()[-4000:])


def wait_until_serving(address: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the health service answers SERVING."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    deadline = time.monotonic() + START_SECONDS_MAX
    with grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 20)]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline and process.poll() is None:
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass  # not listening yet
            time.sleep(0.01)
    raise RuntimeError(f"the server at {address} did not come up")


def fill(address: str, skus: int, locations: int, units: int = 1_000) -> None:
    """Apply the network and receive `units` of every SKU at every location."""
    with grpc.insecure_channel(address) as channel:
        network_service_pb2_grpc.NetworkServiceStub(channel).ApplyNetwork(
            network_service_pb2.ApplyNetworkRequest(request_id="network", document=network_document(locations))
        )
        stock = stock_service_pb2_grpc.StockServiceStub(channel)
        names = [location(number) for number in range(locations)]
        skus_a_call = max(1, 5_000 // locations)
        for first in range(0, skus, skus_a_call):
            request = stock_service_pb2.PostMovementsRequest(request_id=f"fill-{first}")
            for number in range(first, min(first + skus_a_call, skus)):
                name = sku(number)
                for place in names:
                    request.movements.add(
                        source="fill",
                        kind=stock_service_pb2.Movement.KIND_RECEIPT,
                        sku=name,
                        location=place,
                        quantity=units,
                    )
            answer = stock.PostMovements(request)
            applied = stock_service_pb2.PostMovementsResponse.Outcome.RESULT_APPLIED
            if any(outcome.result != applied for outcome in answer.outcomes):
                raise RuntimeError(f"filling failed: {answer.outcomes[0]}")


def by_handle(
    stub: availability_service_pb2_grpc.AvailabilityServiceStub, request: pb.BatchGetAvailabilityRequest
) -> pb.BatchGetAvailabilityRequest:
    """The same question by the handles of its SKUs, all of which have one."""
    asked = pb.BatchGetAvailabilityRequest(want_handles=True)
    asked.MergeFrom(request)
    told = stub.BatchGetAvailability(asked)
    found = pb.BatchGetAvailabilityRequest(handles=told.handles, handle_epoch=told.handle_epoch)
    found.MergeFrom(request)
    found.ClearField("skus")
    return found


def _health(pages: str) -> str:
    """What is said of each worker."""
    with urllib.request.urlopen(f"http://{pages}/healthz", timeout=10) as answer:
        return str(answer.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
