"""AvailabilityService on the wire: message -> use case -> message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from invengine.rpc.convert_explanation import explained_to_proto
from invengine.rpc.convert_promisable import outlook_to_proto
from invengine.rpc.endpoints import Context, StreamStep, takes_bytes
from invengine.rpc.errors import refusal_to_proto
from invengine.v1 import availability_service_pb2

if TYPE_CHECKING:
    from invengine.services.availability import Availability
    from invengine.services.available_to_promise import AvailableToPromise
    from invengine.services.explanations import Explanations
    from invengine.services.watching import Watching


class AvailabilityServicer:
    """AvailabilityService on the wire: the use cases themselves take and give the bytes of messages."""

    def __init__(
        self,
        availability: Availability,
        explanations: Explanations,
        available_to_promise: AvailableToPromise,
        watching: Watching,
    ) -> None:
        self._availability = availability
        self._explanations = explanations
        self._available_to_promise = available_to_promise
        self._watching = watching
        self.at_once = {"GetAvailability": availability.get_at_once}

    @takes_bytes
    async def GetAvailability(self, request: bytes, context: Context) -> bytes:
        """One SKU with every position behind the total."""
        return await self._availability.get_bytes(request, context.time_remaining())

    @takes_bytes
    async def BatchGetAvailability(self, request: bytes, context: Context) -> bytes:
        """Many SKUs in columns."""
        return await self._availability.batch(request, context.time_remaining())

    def StreamAvailability(self, _: Context) -> StreamStep:
        """Small queries, answered in order."""
        return self._availability.open_stream(lambda refusal: refusal_to_proto(refusal).SerializeToString())

    def WatchAvailability(self, request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        """What is available, and every change of it."""
        return self._watching.watch(request, context.time_remaining())

    async def ExplainAvailability(
        self, request: availability_service_pb2.ExplainAvailabilityRequest, context: Context
    ) -> availability_service_pb2.ExplainAvailabilityResponse:
        """Every term and rule behind one SKU's numbers."""
        return explained_to_proto(await self._explanations.explain(request, context.time_remaining()))

    async def GetAvailableToPromise(
        self, request: availability_service_pb2.GetAvailableToPromiseRequest, context: Context
    ) -> availability_service_pb2.GetAvailableToPromiseResponse:
        """What can be promised of one SKU, day by day."""
        return outlook_to_proto(await self._available_to_promise.get(request, context.time_remaining()))
