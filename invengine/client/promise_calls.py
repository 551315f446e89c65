"""The calls of promises: when could it be had, and which promises cannot be kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict, Unpack

from invengine.client.connection import Connection
from invengine.v1 import common_pb2, promise_service_pb2

PromiseLine = promise_service_pb2.PromiseLineRequest
PromiseOrder = promise_service_pb2.PromiseOrder


class PromiseOptions(TypedDict, total=False):
    """What a question for promises may say besides what is wanted; the fields of the request messages."""

    channel: str
    fulfilments: Sequence[common_pb2.Fulfilment.ValueType]
    services: Sequence[str]
    confidence: float | None
    consistency: common_pb2.Consistency | None


class PromiseCalls(Connection):
    """The calls of PromiseService that ask when something could be had."""

    async def get_promise(
        self,
        lines: Iterable[PromiseLine],
        destination: common_pb2.Destination,
        *,
        explain: bool = False,
        **options: Unpack[PromiseOptions],
    ) -> promise_service_pb2.GetPromiseResponse:
        """When a basket could be had: every way to get it side by side. It takes nothing; `reserve` does."""
        options.setdefault("channel", self.channel)
        request = promise_service_pb2.GetPromiseRequest(
            lines=lines, destination=destination, explain=explain, **options
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
