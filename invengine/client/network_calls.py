"""Calls about the documents of planners: the network, and learnt transit times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from invengine.client.connection import Connection, new_request_id
from invengine.v1 import common_pb2, network_service_pb2


class NetworkCalls(Connection):
    """Calls of NetworkService."""

    async def apply_network(
        self,
        document: str,
        *,
        validate_only: bool = False,
        expected_revision: int | None = None,
        request_id: str = "",
    ) -> network_service_pb2.ApplyNetworkResponse:
        """Put a network document in force, or with `validate_only` say what it would change."""
        request = network_service_pb2.ApplyNetworkRequest(
            request_id=request_id or new_request_id(),
            document=document,
            validate_only=validate_only,
            expected_revision=expected_revision,
        )
        return await self._call(self._network.ApplyNetwork, request)

    async def get_network(self) -> network_service_pb2.GetNetworkResponse:
        """The document in force."""
        return await self._call(self._network.GetNetwork, network_service_pb2.GetNetworkRequest())

    async def get_calendar(
        self, location: str, *, first_day: date | None = None, days: int = 31
    ) -> network_service_pb2.GetCalendarResponse:
        """When a location works and is open to customers, from a day on (without one: today there)."""
        first = common_pb2.Date(year=first_day.year, month=first_day.month, day=first_day.day) if first_day else None
        request = network_service_pb2.GetCalendarRequest(location=location, first_date=first, days=days)
        return await self._call(self._network.GetCalendar, request)

    async def apply_transit_times(
        self,
        document: str,
        *,
        validate_only: bool = False,
        expected_revision: int | None = None,
        request_id: str = "",
    ) -> network_service_pb2.ApplyTransitTimesResponse:
        """Put learnt transit times in force, or with `validate_only` say what they would change."""
        request = network_service_pb2.ApplyTransitTimesRequest(
            request_id=request_id or new_request_id(),
            document=document,
            validate_only=validate_only,
            expected_revision=expected_revision,
        )
        return await self._call(self._network.ApplyTransitTimes, request)

    async def get_transit_times(self) -> network_service_pb2.GetTransitTimesResponse:
        """The transit times in force."""
        return await self._call(self._network.GetTransitTimes, network_service_pb2.GetTransitTimesRequest())

    async def list_transit_lanes(
        self,
        *,
        location: str = "",
        zone: str = "",
        service: str = "",
        confidences: Sequence[float] = (),
        with_distribution: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> network_service_pb2.ListTransitLanesResponse:
        """A page of lanes, with the days that they need at some confidences."""
        request = network_service_pb2.ListTransitLanesRequest(
            location=location,
            zone=zone,
            service=service,
            confidences=confidences,
            with_distribution=with_distribution,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._call(self._network.ListTransitLanes, request)
