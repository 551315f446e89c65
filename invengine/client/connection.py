"""A connection to the engine: one wire, calls that are repeated while the server is away."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc
import grpc.aio

from invengine.client.handles import Handles
from invengine.client.refusals import error_from_call
from invengine.client.securing import Tls, open_wire
from invengine.errors import OutcomeUnknown, Overloaded, RateLimited, Unavailable
from invengine.v1 import (
    admin_service_pb2_grpc,
    allocation_service_pb2_grpc,
    availability_service_pb2_grpc,
    incoming_service_pb2_grpc,
    network_service_pb2_grpc,
    promise_service_pb2_grpc,
    reservation_service_pb2_grpc,
    return_service_pb2_grpc,
    stock_service_pb2_grpc,
    transfer_service_pb2_grpc,
)

T = TypeVar("T")

DEFAULT_SERVER: Final = "127.0.0.1:50051"
_PASSING: Final = (Unavailable, Overloaded, OutcomeUnknown, RateLimited)  # the same call may succeed in a moment
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # 10,000 SKUs with all their locations
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),  # after an outage: look again soon, gRPC's own first wait is a second
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),  # each client a connection: only these are spread over a server's workers
)


def new_request_id() -> str:
    """A fresh name for one write."""
    return uuid.uuid4().hex


class Connection:
    """What all calls share: the wire, the patience, and who asks.

    `token` says who calls where the server wants to know (`<id>.<secret>`); `tls` encrypts. TokenInClear where a token
    is to go unencrypted to another machine and `token_in_clear` does not allow that.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        channel: str = "",
        timeout_seconds: float = 10.0,
        retry_seconds: float = 5.0,
        token: str = "",
        tls: Tls | bool | None = None,
        token_in_clear: bool = False,
    ) -> None:
        self.server = server
        self.channel = channel
        self.timeout_seconds = timeout_seconds
        self.retry_seconds = retry_seconds
        self.is_signed = bool(token) or (isinstance(tls, Tls) and bool(tls.certificate))
        """Whether calls say who makes them."""
        self._wire = open_wire(server, _OPTIONS, token=token, tls=tls, token_in_clear=token_in_clear)
        self._handles = Handles()
        self._availability = availability_service_pb2_grpc.AvailabilityServiceStub(self._wire)
        self._reservations = reservation_service_pb2_grpc.ReservationServiceStub(self._wire)
        self._stock = stock_service_pb2_grpc.StockServiceStub(self._wire)
        self._incoming = incoming_service_pb2_grpc.IncomingServiceStub(self._wire)
        self._promises = promise_service_pb2_grpc.PromiseServiceStub(self._wire)
        self._returns = return_service_pb2_grpc.ReturnServiceStub(self._wire)
        self._network = network_service_pb2_grpc.NetworkServiceStub(self._wire)
        self._allocation = allocation_service_pb2_grpc.AllocationServiceStub(self._wire)
        self._admin = admin_service_pb2_grpc.AdminServiceStub(self._wire)
        self._transfers = transfer_service_pb2_grpc.TransferServiceStub(self._wire)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    async def _call(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        """One call, repeated while the server is away, full or leaves the outcome open, within the time it has."""
        clock = asyncio.get_running_loop().time
        given_up_at = clock() + self.timeout_seconds
        repeated_until = min(given_up_at, clock() + self.retry_seconds)
        pause = 0.05
        while True:
            try:
                return await method(request, timeout=max(0.001, given_up_at - clock()))
            except grpc.aio.AioRpcError as failure:
                error = error_from_call(failure, self.server, writes=hasattr(request, "request_id"))
                if isinstance(error, RateLimited):
                    pause = max(pause, 2 * error.retry_after_seconds)
                if not isinstance(error, _PASSING) or clock() + pause > repeated_until:
                    raise error from None
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                if clock() + pause > repeated_until:  # gRPC says so too where a server ended the call
                    raise OutcomeUnknown("the server ended the call") from None
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads callers, guards nothing
            pause = min(2 * pause, 1.0)
