"""The calls of promises: when could it be had, and which promises cannot be kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict, Unpack

from invengine.client.connection import Connection, new_request_id
from invengine.v1 import common_pb2, incoming_service_pb2, promise_service_pb2

PromiseLine = promise_service_pb2.PromiseLineRequest
PromiseOrder = promise_service_pb2.PromiseOrder


class PromiseOptions(TypedDict, total=False):
    """What a question for promises may say besides what is wanted; the fields of the request messages."""

    channel: str
    fulfilments: Sequence[common_pb2.Fulfilment.ValueType]
    services: Sequence[str]
    confidence: float | None
    consistency: common_pb2.Consistency | None


class BrokenFilter(TypedDict, total=False):
    """Which broken promises; all that are set must match."""

    sku: str
    location: str
    receipt_id: str
    channel: str
    customer_ref: str
    order_ref: str
    reason: incoming_service_pb2.BrokenPromise.Reason.ValueType


class PromiseCalls(Connection):
    """The calls of PromiseService."""

    async def get_promise(
        self,
        lines: Iterable[PromiseLine],
        destination: common_pb2.Destination,
        *,
        explain: bool = False,
        near: promise_service_pb2.Near | None = None,
        profile: str = "",
        **options: Unpack[PromiseOptions],
    ) -> promise_service_pb2.GetPromiseResponse:
        """When a basket could be had: every way to get it side by side. It takes nothing; `reserve` does."""
        options.setdefault("channel", self.channel)
        request = promise_service_pb2.GetPromiseRequest(
            lines=lines, destination=destination, explain=explain, near=near, profile=profile, **options
        )
        return await self._call(self._promises.GetPromise, request)

    async def batch_get_promise(
        self,
        skus: Sequence[str],
        destination: common_pb2.Destination,
        *,
        quantities: Sequence[int] = (),
        **options: Unpack[PromiseOptions],
    ) -> promise_service_pb2.BatchGetPromiseResponse:
        """The earliest days of up to 10,000 SKUs at one destination, a column for each way."""
        options.setdefault("channel", self.channel)
        request = promise_service_pb2.BatchGetPromiseRequest(
            skus=skus, quantities=quantities, destination=destination, **options
        )
        return await self._call(self._promises.BatchGetPromise, request)

    async def date_orders(
        self,
        orders: Iterable[PromiseOrder],
        *,
        destination: common_pb2.Destination | None = None,
        **options: Unpack[PromiseOptions],
    ) -> promise_service_pb2.BatchGetPromiseResponse:
        """The earliest day of each of up to 10,000 orders, each as if it were alone; in columns."""
        options.setdefault("channel", self.channel)
        request = promise_service_pb2.BatchGetPromiseRequest(orders=orders, destination=destination, **options)
        return await self._call(self._promises.BatchGetPromise, request)

    async def list_broken_promises(
        self, *, reservation_id: str = "", page_size: int = 0, page_token: str = "", **which: Unpack[BrokenFilter]
    ) -> promise_service_pb2.ListBrokenPromisesResponse:
        """A page of promises that cannot be kept, with the day that was promised and the day that would do now."""
        request = promise_service_pb2.ListBrokenPromisesRequest(
            reservation_id=reservation_id, page_size=page_size, page_token=page_token, **which
        )
        return await self._call(self._promises.ListBrokenPromises, request)

    async def repromise(
        self,
        *,
        move: bool = False,
        reservation_ids: Iterable[str] = (),
        dry_run: bool = False,
        lines_max: int = 0,
        request_id: str = "",
        **which: Unpack[BrokenFilter],
    ) -> promise_service_pb2.RepromiseResponse:
        """Mends broken promises, one outcome per line: accepts the days that would do now, or moves the lines.

        Those of the reservations named, of all that match, or of the reservations as far as they match. Without either:
        all of them.
        """
        policies = promise_service_pb2.RepromiseRequest
        request = promise_service_pb2.RepromiseRequest(
            request_id=request_id or new_request_id(),
            policy=policies.POLICY_MOVE if move else policies.POLICY_KEEP_LOCATION,
            reservation_ids=reservation_ids,
            filter=promise_service_pb2.BrokenPromiseFilter(**which),
            dry_run=dry_run,
            lines_max=lines_max,
        )
        return await self._call(self._promises.Repromise, request)
