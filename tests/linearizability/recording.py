"""A history: every call that a client made, with its bytes, when it began and when its answer was there."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, NamedTuple

import grpc
from grpc_status import rpc_status

from invengine.v1 import common_pb2

RESERVATIONS = "/invengine.v1.ReservationService/"
STOCK = "/invengine.v1.StockService/"
AVAILABILITY = "/invengine.v1.AvailabilityService/"


class Call(NamedTuple):
    """One call and its answer: the bytes of a response, or those of the Refusal among the details of its status."""

    began: int  # nanoseconds of the machine's monotonic clock, which all processes share
    ended: int
    method: str  # its path without the package and "Service": ReservationService/GetReservation
    request: bytes
    response: bytes | None
    refusal: bytes | None


class Recorder:
    """Calls methods of engines by their path, bytes in and bytes out, and keeps what happened."""

    def __init__(self, channels: list[grpc.aio.Channel]) -> None:
        self._channels = channels
        self._methods: dict[tuple[int, str], Any] = {}
        self.calls: list[Call] = []

    @property
    def engines(self) -> int:
        """How many engines there are to call."""
        return len(self._channels)

    async def call(self, engine: int, path: str, request: bytes) -> tuple[bytes | None, bytes | None]:
        """The response or the refusal. An answer that is neither is an error, and ends the history."""
        method = self._methods.get((engine, path))
        if method is None:
            method = self._methods[engine, path] = self._channels[engine].unary_unary(path)
        response = refusal = None
        began = monotonic_ns()
        try:
            response = await method(request, timeout=60)
        except grpc.aio.AioRpcError as error:
            refusal = _refusal(error)
        self.calls.append(Call(began, monotonic_ns(), path, request, response, refusal))
        return response, refusal


def _refusal(error: grpc.aio.AioRpcError) -> bytes:
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(common_pb2.Refusal.DESCRIPTOR):
            return detail.value
    raise error
