"""Reserving over gRPC: callers that pack, send and later check, and what the engine's processes did meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop
from redis import Redis

from benchmarks import engine, processes
from invengine.client.refusals import error_from_call
from invengine.errors import InsufficientStock
from invengine.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    availability_service_pb2,
    availability_service_pb2_grpc,
    common_pb2,
)
from invengine.v1 import reservation_service_pb2 as messages

SERVICE = "/invengine.v1.ReservationService/"
BATCH, UNARY = SERVICE + "BatchCreateReservations", SERVICE + "CreateReservation"
Unit = tuple[str, str]
"""SKU and location of one unit to reserve."""


@dataclass(frozen=True)
class Run:
    """What the callers saw, and the CPU that they and the engine used meanwhile."""

    seconds: float
    accepted: int
    refused: int
    packing_seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    redis: RedisTimes

    @property
    def per_second(self) -> float:
        """Reservations made a second."""
        return self.accepted / self.seconds


@dataclass(frozen=True)
class RedisTimes:
    """Seconds since Redis began, or between two looks: its CPU, in functions, in the rest of its loop (AOF, fsync)."""

    cpu: float
    functions: float
    loop: float

    def since(self, earlier: RedisTimes) -> RedisTimes:
        """What was added."""
        return RedisTimes(self.cpu - earlier.cpu, self.functions - earlier.functions, self.loop - earlier.loop)


class RunningEngine:
    """The processes of an engine: the server and the Redis that it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        for process in processes.children(pid):
            socket = re.search(r"/\S+redis\.sock", Path(f"/proc/{process}/cmdline").read_text().replace("\0", " "))
            if socket:
                self.redis_pid, self.redis = process, Redis(unix_socket_path=socket[0])
                return
        raise RuntimeError(f"process {pid} has no embedded Redis")

    def times(self) -> tuple[float, RedisTimes]:
        """CPU seconds of the server so far, and what Redis did."""
        info = self.redis.info("everything")
        functions = float(info.get("cmdstat_fcall", {}).get("usec", 0)) / 1e6
        loop = float(info["eventloop_duration_sum"]) / 1e6
        return processes.cpu_seconds(self.pid), RedisTimes(processes.cpu_seconds(self.redis_pid), functions, loop)


class Callers:
    """So many callers, each with one call at a time; request ids are never used again.

    `batch` reservations a call, each for one unit; 1 sends each as an unary call of its own.
    """

    def __init__(self, address: str, running: RunningEngine, callers: int, batch: int) -> None:
        self._address = address
        self._running = running
        self._callers = callers
        self._batch = batch
        self._name = f"{callers}x{batch}"
        self._numbers: Iterator[int] = itertools.count()

    def reserve(self, units: Iterable[Unit]) -> Run:
        """All of them; answers are checked after the clock has stopped, as pgbench and h2load do not look at theirs."""
        return uvloop.run(self._reserve(iter(units)))

    def request(self, units: Sequence[Unit]) -> bytes:
        """The message that asks for one unit each."""
        made = messages.BatchCreateReservationsRequest()
        for sku, location in units:
            request = made.requests.add(request_id=f"{self._name}-{next(self._numbers)}", channel=engine.CHANNEL)
            request.lines.add(sku=sku, location=location, quantity=1)
        return made.SerializeToString() if self._batch > 1 else made.requests[0].SerializeToString()

    async def _reserve(self, units: Iterator[Unit]) -> Run:
        answers: list[bytes] = []
        refusals: list[grpc.aio.AioRpcError] = []
        packing = 0.0
        async with grpc.aio.insecure_channel(self._address) as channel:
            call = channel.unary_unary(BATCH if self._batch > 1 else UNARY)
            await channel.channel_ready()

            async def caller() -> None:
                nonlocal packing
                while True:
                    began = time.perf_counter()
                    wanted = list(itertools.islice(units, self._batch))
                    if not wanted:
                        return
                    request = self.request(wanted)
                    packing += time.perf_counter() - began
                    try:
                        answers.append(await call(request))
                    except grpc.aio.AioRpcError as failure:
                        refusals.append(failure)

            server, redis = self._running.times()
            cpu, began = time.process_time(), time.perf_counter()
            await asyncio.gather(*[caller() for _ in range(self._callers)])
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            server_after, redis_after = self._running.times()
        for failure in refusals:
            if not isinstance(error_from_call(failure, self._address, writes=True), InsufficientStock):
                raise failure
        accepted, refused = _counted(answers, self._batch > 1)
        refused += len(refusals)
        return Run(seconds, accepted, refused, packing, cpu, server_after - server, redis_after.since(redis))


def _counted(answers: list[bytes], is_batch: bool) -> tuple[int, int]:
    """How many reservations were made, of one unit each, and how many refused for want of stock; all else raises."""
    accepted = refused = 0
    for answer in answers:
        if is_batch:
            outcomes = list(messages.BatchCreateReservationsResponse.FromString(answer).outcomes)
        else:
            made = messages.CreateReservationResponse.FromString(answer)
            outcomes = [
                messages.BatchCreateReservationsResponse.Outcome(reservation=made.reservation, replayed=made.replayed)
            ]
        for outcome in outcomes:
            taken = [place.quantity for line in outcome.reservation.lines for place in line.allocations]
            if taken == [1] and not outcome.replayed:
                accepted += 1
            elif outcome.refusal.reason == common_pb2.ERROR_REASON_INSUFFICIENT_STOCK:
                refused += 1
            else:
                raise RuntimeError(f"neither made nor refused for want of stock: {outcome}")
    return accepted, refused


def check_engine(address: str, skus: Sequence[str], sellable_at_first: int, reserved: int) -> None:
    """Raise unless exactly `reserved` units less can be sold of the SKUs than at first, and the store adds up."""
    question = availability_service_pb2.BatchGetAvailabilityRequest(
        skus=skus,
        channel=engine.CHANNEL,
        totals_only=True,
        consistency=common_pb2.Consistency(fully_consistent=True),
    )
    with grpc.insecure_channel(address) as channel:
        answer = availability_service_pb2_grpc.AvailabilityServiceStub(channel).BatchGetAvailability(question)
        report = admin_service_pb2_grpc.AdminServiceStub(channel).CheckIntegrity(
            admin_service_pb2.CheckIntegrityRequest(), timeout=120
        )
    found = (sellable_at_first - sum(answer.available), report.reservations_checked, report.violations_count)
    if found != (reserved, reserved, 0):
        raise RuntimeError(f"reserved units, reservations, violations: {found}, not {(reserved, reserved, 0)}")
