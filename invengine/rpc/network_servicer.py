"""NetworkService on the wire: the network document, learnt transit times, and where more is reserved than is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc import convert_network, convert_shortfalls, convert_transit
from invengine.rpc.endpoints import Context
from invengine.services.days import optional_day
from invengine.v1 import network_service_pb2, shortfall_pb2

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.shortfalls import Shortfalls
    from invengine.services.transit_times import LearntTransit


class NetworkServicer:
    """NetworkService on the wire. Decides nothing and catches nothing."""

    def __init__(self, networks: Networks, transit: LearntTransit, replica: Replica, *, shortfalls: Shortfalls) -> None:
        self._networks = networks
        self._transit = transit
        self._replica = replica
        self._shortfalls = shortfalls

    async def ApplyNetwork(
        self, request: network_service_pb2.ApplyNetworkRequest, _: Context
    ) -> network_service_pb2.ApplyNetworkResponse:
        """A document comes into force, or is only checked."""
        applied = await self._networks.apply(
            request.document,
            request_id=request.request_id,
            expected_revision=request.expected_revision if request.HasField("expected_revision") else None,
            validate_only=request.validate_only,
        )
        return convert_network.applied_to_proto(applied, self._replica.token(()))

    async def GetNetwork(
        self, _request: network_service_pb2.GetNetworkRequest, _: Context
    ) -> network_service_pb2.GetNetworkResponse:
        """The document in force."""
        network = self._networks.required()
        return network_service_pb2.GetNetworkResponse(document=network.document, revision=network.revision)

    async def GetCalendar(
        self, request: network_service_pb2.GetCalendarRequest, _: Context
    ) -> network_service_pb2.GetCalendarResponse:
        """When a location works."""
        first_day = optional_day(request, "first_date")
        found = self._networks.working_time(request.location, first_day=first_day, days=request.days)
        return convert_network.working_time_to_proto(found)

    async def ApplyTransitTimes(
        self, request: network_service_pb2.ApplyTransitTimesRequest, _: Context
    ) -> network_service_pb2.ApplyTransitTimesResponse:
        """Learnt transit times come into force, or are only checked."""
        applied = await self._transit.apply(
            request.document,
            request_id=request.request_id,
            expected_revision=request.expected_revision if request.HasField("expected_revision") else None,
            validate_only=request.validate_only,
        )
        return convert_transit.applied_to_proto(applied, self._replica.token(()))

    async def GetTransitTimes(
        self, _request: network_service_pb2.GetTransitTimesRequest, _: Context
    ) -> network_service_pb2.GetTransitTimesResponse:
        """The transit times in force."""
        return convert_transit.times_to_proto(self._transit.times)

    async def ListTransitLanes(
        self, request: network_service_pb2.ListTransitLanesRequest, _: Context
    ) -> network_service_pb2.ListTransitLanesResponse:
        """A page of lanes, and the days that they need."""
        page = self._transit.lanes(request)
        return convert_transit.lanes_to_proto(
            page, self._replica.token(()), with_distribution=request.with_distribution
        )

    async def ListShortfalls(
        self, request: shortfall_pb2.ListShortfallsRequest, _: Context
    ) -> shortfall_pb2.ListShortfallsResponse:
        """A page of positions with more reserved than is there."""
        return convert_shortfalls.shortfalls_to_proto(await self._shortfalls.page(request))
