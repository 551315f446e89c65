"""AllocationService on the wire: what planners do about stock that many wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc import convert_shortfalls
from invengine.rpc.endpoints import Context
from invengine.v1 import shortfall_pb2

if TYPE_CHECKING:
    from invengine.services.planning import Planning


class AllocationServicer:
    """AllocationService on the wire. Decides nothing and catches nothing."""

    def __init__(self, planning: Planning) -> None:
        self._planning = planning

    async def ResourceShortfalls(
        self, request: shortfall_pb2.ResourceShortfallsRequest, _: Context
    ) -> shortfall_pb2.ResourceShortfallsResponse:
        """What becomes of units that are reserved and not there."""
        answer, replayed = await self._planning.resourcing.resource(
            request, lambda answer: convert_shortfalls.resourced_to_proto(answer).SerializeToString()
        )
        response = shortfall_pb2.ResourceShortfallsResponse.FromString(answer)
        response.replayed = replayed
        return response
