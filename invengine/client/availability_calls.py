"""Calls about what is available."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Final, TypedDict, Unpack

import grpc.aio

from invengine.client.connection import Connection
from invengine.client.refusals import error_from_call
from invengine.errors import HandlesUnknown
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2

_QUERIES_A_MESSAGE: Final = 64


class Query(TypedDict, total=False):
    """What narrows a question about availability; the fields of the request messages."""

    channel: str
    locations: Sequence[str]
    group: str
    fulfilment: common_pb2.Fulfilment.ValueType
    consistency: common_pb2.Consistency | None


class AvailabilityCalls(Connection):
    """Calls of AvailabilityService, but for watching."""

    async def get_availability(
        self, sku: str, *, ignore_reservation_id: str = "", **query: Unpack[Query]
    ) -> pb.GetAvailabilityResponse:
        """What the channel can take of one SKU now, with every position behind the total."""
        query.setdefault("channel", self.channel)
        request = pb.GetAvailabilityRequest(sku=sku, ignore_reservation_id=ignore_reservation_id, **query)
        return await self._call(self._availability.GetAvailability, request)

    async def explain_availability(
        self, sku: str, *, ignore_reservation_id: str = "", reservations_max: int = 0, **query: Unpack[Query]
    ) -> pb.ExplainAvailabilityResponse:
        """Every term and rule behind what the channel can take of one SKU, and the reservations that hold the rest."""
        query.setdefault("channel", self.channel)
        request = pb.ExplainAvailabilityRequest(
            sku=sku, ignore_reservation_id=ignore_reservation_id, reservations_max=reservations_max, **query
        )
        return await self._call(self._availability.ExplainAvailability, request)

    async def get_available_to_promise(
        self, sku: str, *, days: int = 0, **query: Unpack[Query]
    ) -> pb.GetAvailableToPromiseResponse:
        """From which day on so many units of one SKU can be promised, for so many days from today on (0: 730)."""
        query.setdefault("channel", self.channel)
        request = pb.GetAvailableToPromiseRequest(sku=sku, days=days, **query)
        return await self._call(self._availability.GetAvailableToPromise, request)

    async def batch_get_availability(
        self, skus: Sequence[str], *, totals_only: bool = False, **query: Unpack[Query]
    ) -> pb.BatchGetAvailabilityResponse:
        """Up to 10,000 SKUs in columns; an unknown SKU is a status, not an error.

        What is asked about again is asked by the handles that the answer before told.
        """
        query.setdefault("channel", self.channel)
        request = pb.BatchGetAvailabilityRequest(totals_only=totals_only, **query)
        self._handles.fill(request, skus)
        try:
            answer = await self._call(self._availability.BatchGetAvailability, request)
        except HandlesUnknown:  # another server answered, or it has loaded the stock anew
            self._handles.forget()
            request = pb.BatchGetAvailabilityRequest(skus=skus, totals_only=totals_only, want_handles=True, **query)
            answer = await self._call(self._availability.BatchGetAvailability, request)
        self._handles.learn(skus, answer)
        return answer

    async def stream_availability(
        self, skus: Iterable[str], *, channel: str = "", group: str = "", in_flight: int = 256
    ) -> AsyncGenerator[pb.AvailabilityAnswer, None]:
        """A small answer per SKU, in order, with about `in_flight` questions under way. An outage is not bridged.

        Many questions travel in one message; only so many are taken from `skus` ahead of the answers that were read.
        """
        a_message = max(1, min(_QUERIES_A_MESSAGE, in_flight // 4))
        ahead = asyncio.Semaphore(max(1, in_flight // a_message))

        async def questions() -> AsyncIterator[pb.StreamAvailabilityRequest]:
            said = channel or self.channel
            numbered = enumerate(skus)
            while True:
                await ahead.acquire()
                queries = [
                    pb.AvailabilityQuery(query_id=number, sku=sku, group=group)
                    for number, sku in islice(numbered, a_message)
                ]
                if not queries:
                    return
                queries[0].channel = said
                said = ""  # the server keeps the channel of the first question
                yield pb.StreamAvailabilityRequest(queries=queries)

        try:
            async for message in self._availability.StreamAvailability(questions()):
                ahead.release()
                for answer in message.answers:
                    yield answer
        except grpc.aio.AioRpcError as failure:
            raise error_from_call(failure, self.server, writes=False) from None
