"""Engines in this process on a real Redis, gRPC clients for them, and refusals taken apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from invengine import bootstrap
from invengine.bootstrap import Running
from invengine.client import Tls
from invengine.client.securing import open_wire
from invengine.settings import Settings
from invengine.v1 import (
    admin_service_pb2_grpc,
    allocation_service_pb2_grpc,
    availability_service_pb2_grpc,
    common_pb2,
    incoming_service_pb2_grpc,
    network_service_pb2,
    network_service_pb2_grpc,
    promise_service_pb2_grpc,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
    return_service_pb2_grpc,
    stock_service_pb2,
    stock_service_pb2_grpc,
    transfer_service_pb2_grpc,
)

NETWORK = """\
locations:
  DC: {kind: warehouse, priority: 10}
  LON: {kind: store, priority: 20, fulfilments: [ship, pickup]}
  OLD: {kind: store, enabled: false}
  ABROAD: {kind: warehouse}
groups:
  all: [DC, LON, OLD]
  stores: [LON, OLD]
  abroad: [ABROAD]
channels:
  web: {groups: [all, stores], low_stock_threshold: 2, time_to_live: {default: 15m, maximum: 2h}}
  closed: {groups: [stores], enabled: false}
"""


class Stubs:
    """A client of every service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        self.allocation = allocation_service_pb2_grpc.AllocationServiceStub(channel)
        self.availability = availability_service_pb2_grpc.AvailabilityServiceStub(channel)
        self.incoming = incoming_service_pb2_grpc.IncomingServiceStub(channel)
        self.promises = promise_service_pb2_grpc.PromiseServiceStub(channel)
        self.network = network_service_pb2_grpc.NetworkServiceStub(channel)
        self.reservations = reservation_service_pb2_grpc.ReservationServiceStub(channel)
        self.returns = return_service_pb2_grpc.ReturnServiceStub(channel)
        self.stock = stock_service_pb2_grpc.StockServiceStub(channel)
        self.transfers = transfer_service_pb2_grpc.TransferServiceStub(channel)

    async def apply_network(self, document: str = NETWORK, request_id: str = "network") -> None:
        await self.network.ApplyNetwork(
            network_service_pb2.ApplyNetworkRequest(request_id=request_id, document=document)
        )

    async def receive(self, sku: str, quantity: int, location: str = "DC", event_id: str = "") -> str:
        """Stock in; the consistency token."""
        movement = stock_service_pb2.Movement(
            source="tests",
            event_id=event_id or f"opening {sku} {location}",
            kind=stock_service_pb2.Movement.KIND_RECEIPT,
            sku=sku,
            location=location,
            quantity=quantity,
        )
        response = await self.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))
        assert [outcome.result for outcome in response.outcomes] == [1], response
        return response.consistency_token

    async def position(self, sku: str, location: str = "DC") -> tuple[int, int, int]:
        """on_hand, reserved and revision."""
        response = await self.stock.GetPosition(stock_service_pb2.GetPositionRequest(sku=sku, location=location))
        return response.position.on_hand, response.position.reserved, response.position.revision


def create(request_id: str, sku: str = "LAMP", quantity: int = 1, **more: Any) -> Any:
    """A request for one line."""
    line = reservation_service_pb2.ReservationLineRequest(sku=sku, quantity=quantity, **more.pop("line", {}))
    return reservation_service_pb2.CreateReservationRequest(
        request_id=request_id, lines=[line], **{"channel": "web", **more}
    )


@dataclass
class Refused:
    """A refused call: the status, and what its details say."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retry_seconds: float | None
    refusal: common_pb2.Refusal


def taken_apart(error: grpc.aio.AioRpcError) -> Refused:
    """The details of an error; AssertionError when it has none."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error!r}"
    info, bad, retry, refusal = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
        common_pb2.Refusal(),
    )
    kinds = {detail.DESCRIPTOR.full_name: detail for detail in (info, bad, retry, refusal)}
    seen = set()
    for packed in status.details:
        name = packed.TypeName()
        assert name not in seen, f"{name} twice"
        seen.add(name)
        packed.Unpack(kinds[name])
    assert info.domain == "invengine"
    assert refusal.reason == common_pb2.ErrorReason.Value(f"ERROR_REASON_{info.reason}")
    assert dict(refusal.metadata) == dict(info.metadata)
    has_retry = "google.rpc.RetryInfo" in seen
    return Refused(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        [violation.field for violation in bad.field_violations],
        retry.retry_delay.ToNanoseconds() / 1e9 if has_retry else None,
        refusal,
    )


async def refused(call: Awaitable[Any]) -> Refused:
    """What a call that must be refused says."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return taken_apart(error)
    raise AssertionError(f"not refused: {answer}")


def settings_for(redis_url: str, **given: Any) -> Settings:
    """Settings of an engine of a test: any free port, no metrics page."""
    return Settings.load(**{"redis_url": redis_url, "listen": "127.0.0.1:0", "metrics_listen": "", **given})


@asynccontextmanager
async def engine(redis_url: str, **given: Any) -> AsyncIterator[tuple[Running, Stubs]]:
    """A running engine and a client of it."""
    async with bootstrap.running(settings_for(redis_url, **given)) as running, client(running.address) as stubs:
        yield running, stubs


@asynccontextmanager
async def client(address: str, token: str = "", tls: Tls | None = None) -> AsyncIterator[Stubs]:
    """A client with a connection of its own; with a token where the server asks who calls."""
    wire = open_wire(address, [("grpc.use_local_subchannel_pool", 1)], token=token, tls=tls)
    try:
        yield Stubs(wire)
    finally:
        await wire.close()
