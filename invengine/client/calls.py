"""The asyncio client: every call of the engine as a typed coroutine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

from google.protobuf import duration_pb2

from invengine.client.allocation_calls import AllocationCalls
from invengine.client.availability_calls import AvailabilityCalls
from invengine.client.connection import new_request_id
from invengine.client.health_calls import HealthCalls
from invengine.client.network_calls import NetworkCalls
from invengine.client.plan_calls import PlanCalls
from invengine.client.profile_calls import ProfileCalls
from invengine.client.promise_calls import PromiseCalls
from invengine.client.return_calls import ReturnCalls
from invengine.client.token_calls import TokenCalls
from invengine.client.transfer_calls import TransferCalls
from invengine.client.watching import WatchCalls
from invengine.client.wave_calls import WaveCalls
from invengine.v1 import (
    admin_service_pb2,
    reservation_service_pb2,
)

Line = reservation_service_pb2.ReservationLineRequest
LineAmendment = reservation_service_pb2.LineAmendment
LineRebinding = reservation_service_pb2.LineRebinding
LineUnits = reservation_service_pb2.LineUnits


class ReserveOptions(TypedDict, total=False):
    """What a reservation may say besides its lines; the fields of CreateReservationRequest."""

    channel: str
    request_id: str
    reservation_id: str
    time_to_live_seconds: float | None
    best_effort: bool
    customer_ref: str
    order_ref: str
    cart_ref: str
    max_parcels: int
    promise_dates: bool
    confidence: float
    profile: str


class Change(TypedDict, total=False):
    """What every change of a reservation may say; the fields of the request messages."""

    request_id: str
    channel: str
    expected_revision: int | None


class ListFilter(TypedDict, total=False):
    """Which reservations to list; the fields of ListReservationsRequest."""

    customer_ref: str
    order_ref: str
    cart_ref: str
    channel: str
    state: reservation_service_pb2.Reservation.State.ValueType
    page_size: int
    page_token: str


def _duration(seconds: float | None) -> duration_pb2.Duration | None:
    return None if seconds is None else duration_pb2.Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


class Client(
    AvailabilityCalls,
    WatchCalls,
    TransferCalls,
    ReturnCalls,
    NetworkCalls,
    PromiseCalls,
    ProfileCalls,
    AllocationCalls,
    PlanCalls,
    WaveCalls,
    TokenCalls,
    HealthCalls,
):
    """The engine's calls as coroutines. `channel` is who asks, unless a call says otherwise.

    `timeout_seconds` bounds every call, repeats included; a write that runs into it raises OutcomeUnknown.
    """

    # Reservations

    def create_request(
        self, lines: Iterable[Line], **options: Unpack[ReserveOptions]
    ) -> reservation_service_pb2.CreateReservationRequest:
        """The request that `reserve` sends, for `reserve_many`."""
        kind = reservation_service_pb2.CreateReservationRequest
        return kind(
            request_id=options.get("request_id") or new_request_id(),
            reservation_id=options.get("reservation_id", ""),
            channel=options.get("channel") or self.channel,
            lines=lines,
            policy=kind.POLICY_BEST_EFFORT if options.get("best_effort") else kind.POLICY_ALL_OR_NOTHING,
            time_to_live=_duration(options.get("time_to_live_seconds")),
            customer_ref=options.get("customer_ref", ""),
            order_ref=options.get("order_ref", ""),
            cart_ref=options.get("cart_ref", ""),
            max_parcels=options.get("max_parcels", 0),
            promise_dates=options.get("promise_dates", False),
            confidence=options.get("confidence", 0.0),
            profile=options.get("profile", ""),
        )

    async def reserve(
        self, lines: Iterable[Line], **options: Unpack[ReserveOptions]
    ) -> reservation_service_pb2.CreateReservationResponse:
        """Set units aside: every line or nothing, or with `best_effort` what there is."""
        return await self._call(self._reservations.CreateReservation, self.create_request(lines, **options))

    async def reserve_many(
        self, requests: Iterable[reservation_service_pb2.CreateReservationRequest]
    ) -> reservation_service_pb2.BatchCreateReservationsResponse:
        """Up to 1,000 reservations of `create_request`, one outcome each; refusals stand in the outcomes."""
        request = reservation_service_pb2.BatchCreateReservationsRequest(requests=requests)
        return await self._call(self._reservations.BatchCreateReservations, request)

    async def get_reservation(
        self, reservation_id: str, *, channel: str = ""
    ) -> reservation_service_pb2.GetReservationResponse:
        """One reservation as it is now."""
        request = reservation_service_pb2.GetReservationRequest(
            reservation_id=reservation_id, channel=channel or self.channel
        )
        return await self._call(self._reservations.GetReservation, request)

    async def list_reservations(self, **which: Unpack[ListFilter]) -> reservation_service_pb2.ListReservationsResponse:
        """A page of reservations; all filters that are set must match."""
        request = reservation_service_pb2.ListReservationsRequest(**which)
        return await self._call(self._reservations.ListReservations, request)

    async def confirm(
        self, reservation_id: str, *, order_ref: str = "", **change: Unpack[Change]
    ) -> reservation_service_pb2.ConfirmReservationResponse:
        """HELD becomes CONFIRMED: it does not expire any more."""
        request = reservation_service_pb2.ConfirmReservationRequest(
            reservation_id=reservation_id, order_ref=order_ref, **self._change(change)
        )
        return await self._call(self._reservations.ConfirmReservation, request)

    async def extend(
        self, reservation_id: str, *, time_to_live_seconds: float | None = None, **change: Unpack[Change]
    ) -> reservation_service_pb2.ExtendReservationResponse:
        """A HELD reservation gets a new time to live, counted from now."""
        request = reservation_service_pb2.ExtendReservationRequest(
            reservation_id=reservation_id, time_to_live=_duration(time_to_live_seconds), **self._change(change)
        )
        return await self._call(self._reservations.ExtendReservation, request)

    async def release(
        self, reservation_id: str, *, lines: Iterable[LineUnits] = (), **change: Unpack[Change]
    ) -> reservation_service_pb2.ReleaseReservationResponse:
        """Give back all open units, or those of `lines`."""
        request = reservation_service_pb2.ReleaseReservationRequest(
            reservation_id=reservation_id, lines=lines, **self._change(change)
        )
        return await self._call(self._reservations.ReleaseReservation, request)

    async def fulfil(
        self, reservation_id: str, *, lines: Iterable[LineUnits] = (), **change: Unpack[Change]
    ) -> reservation_service_pb2.FulfilReservationResponse:
        """All open units of a CONFIRMED reservation, or those of `lines`, left their location."""
        request = reservation_service_pb2.FulfilReservationRequest(
            reservation_id=reservation_id, lines=lines, **self._change(change)
        )
        return await self._call(self._reservations.FulfilReservation, request)

    async def amend(
        self,
        reservation_id: str,
        *,
        lines: Iterable[LineAmendment] = (),
        added_lines: Iterable[Line] = (),
        profile: str = "",
        **change: Unpack[Change],
    ) -> reservation_service_pb2.AmendReservationResponse:
        """Give lines other quantities (0 removes one) and add lines: all of it, or nothing."""
        request = reservation_service_pb2.AmendReservationRequest(
            reservation_id=reservation_id,
            lines=lines,
            added_lines=added_lines,
            profile=profile,
            **self._change(change),
        )
        return await self._call(self._reservations.AmendReservation, request)

    async def rebind(
        self, reservation_id: str, *, lines: Iterable[LineRebinding], profile: str = "", **change: Unpack[Change]
    ) -> reservation_service_pb2.RebindReservationResponse:
        """Move open units of lines to other locations; one `LineRebinding` without a line_id means all lines."""
        request = reservation_service_pb2.RebindReservationRequest(
            reservation_id=reservation_id, lines=lines, profile=profile, **self._change(change)
        )
        return await self._call(self._reservations.RebindReservation, request)

    async def hand_over(
        self,
        reservation_id: str,
        *,
        to_channel: str = "",
        to_customer_ref: str = "",
        time_to_live_seconds: float | None = None,
        **change: Unpack[Change],
    ) -> reservation_service_pb2.HandOverReservationResponse:
        """Give it to another channel or customer: same units, same id, for a hold perhaps more time."""
        request = reservation_service_pb2.HandOverReservationRequest(
            reservation_id=reservation_id,
            to_channel=to_channel,
            to_customer_ref=to_customer_ref,
            time_to_live=_duration(time_to_live_seconds),
            **self._change(change),
        )
        return await self._call(self._reservations.HandOverReservation, request)

    def _change(self, change: Change) -> Change:
        return {
            **change,
            "request_id": change.get("request_id") or new_request_id(),
            "channel": change.get("channel") or self.channel,
        }

    # Administration

    async def check_integrity(
        self, *, violations_max: int = 0, replay: bool = False
    ) -> admin_service_pb2.CheckIntegrityResponse:
        """What does not hold on the live store; nothing, one hopes. With `replay` the whole change log is replayed."""
        request = admin_service_pb2.CheckIntegrityRequest(violations_max=violations_max, replay=replay)
        return await self._call(self._admin.CheckIntegrity, request)
