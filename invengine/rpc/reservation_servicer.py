"""ReservationService on the wire: message -> use case -> message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from invengine.rpc import convert
from invengine.rpc.endpoints import Context, takes_bytes
from invengine.rpc.reservation_bytes import batch_response, plain_response
from invengine.services.questions import parsed
from invengine.v1 import reservation_service_pb2

if TYPE_CHECKING:
    from invengine.domain.reservation_answers import ReservationAnswer
    from invengine.services.reservations import Reservations


_BATCH: Final = "/invengine.v1.ReservationService/BatchCreateReservations"


class ReservationServicer:
    """ReservationService on the wire. Decides nothing and catches nothing."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    async def CreateReservation(
        self, request: reservation_service_pb2.CreateReservationRequest, _: Context
    ) -> reservation_service_pb2.CreateReservationResponse:
        """Takes stock for one reservation."""
        answer, token = await self._reservations.create(request)
        return reservation_service_pb2.CreateReservationResponse(**_written(answer, token))

    @takes_bytes
    async def BatchCreateReservations(self, request: bytes, _: Context) -> bytes:
        """Takes stock for many reservations, one outcome each; batches of usual ones without a message for each."""
        made = await self._reservations.create_plain(request)
        if made is not None:
            return plain_response(*made)
        message = parsed(request, reservation_service_pb2.BatchCreateReservationsRequest, _BATCH)
        outcomes, token = await self._reservations.create_many(message.requests)
        return batch_response(outcomes, token)

    async def GetReservation(
        self, request: reservation_service_pb2.GetReservationRequest, _: Context
    ) -> reservation_service_pb2.GetReservationResponse:
        """One reservation as it is now."""
        found, token = await self._reservations.get(request.reservation_id, request.channel)
        return reservation_service_pb2.GetReservationResponse(
            reservation=convert.reservation_to_proto(found, self._reservations.state_now(found)),
            consistency_token=token,
        )

    async def ListReservations(
        self, request: reservation_service_pb2.ListReservationsRequest, _: Context
    ) -> reservation_service_pb2.ListReservationsResponse:
        """A page of reservations as they are now."""
        found, next_page_token, token = await self._reservations.list(request)
        state_now = self._reservations.state_now
        return reservation_service_pb2.ListReservationsResponse(
            reservations=[convert.reservation_to_proto(reservation, state_now(reservation)) for reservation in found],
            next_page_token=next_page_token,
            consistency_token=token,
        )

    async def ConfirmReservation(
        self, request: reservation_service_pb2.ConfirmReservationRequest, _: Context
    ) -> reservation_service_pb2.ConfirmReservationResponse:
        """A hold becomes a commitment."""
        answer, token = await self._reservations.confirm(request)
        return reservation_service_pb2.ConfirmReservationResponse(**_written(answer, token))

    async def ExtendReservation(
        self, request: reservation_service_pb2.ExtendReservationRequest, _: Context
    ) -> reservation_service_pb2.ExtendReservationResponse:
        """A hold gets more time."""
        answer, token = await self._reservations.extend(request)
        return reservation_service_pb2.ExtendReservationResponse(**_written(answer, token))

    async def ReleaseReservation(
        self, request: reservation_service_pb2.ReleaseReservationRequest, _: Context
    ) -> reservation_service_pb2.ReleaseReservationResponse:
        """Units are given back."""
        answer, token = await self._reservations.release(request)
        return reservation_service_pb2.ReleaseReservationResponse(**_written(answer, token))

    async def FulfilReservation(
        self, request: reservation_service_pb2.FulfilReservationRequest, _: Context
    ) -> reservation_service_pb2.FulfilReservationResponse:
        """Units left their locations."""
        answer, token = await self._reservations.fulfil(request)
        return reservation_service_pb2.FulfilReservationResponse(**_written(answer, token))

    async def AmendReservation(
        self, request: reservation_service_pb2.AmendReservationRequest, _: Context
    ) -> reservation_service_pb2.AmendReservationResponse:
        """Lines get other quantities, and lines are added."""
        answer, token = await self._reservations.amend(request)
        return reservation_service_pb2.AmendReservationResponse(**_written(answer, token))

    async def RebindReservation(
        self, request: reservation_service_pb2.RebindReservationRequest, _: Context
    ) -> reservation_service_pb2.RebindReservationResponse:
        """Open units move to other locations."""
        answer, token = await self._reservations.rebind(request)
        return reservation_service_pb2.RebindReservationResponse(**_written(answer, token))

    async def HandOverReservation(
        self, request: reservation_service_pb2.HandOverReservationRequest, _: Context
    ) -> reservation_service_pb2.HandOverReservationResponse:
        """Another channel or customer gets it."""
        answer, token = await self._reservations.hand_over(request)
        return reservation_service_pb2.HandOverReservationResponse(**_written(answer, token))


def _written(answer: ReservationAnswer, token: str) -> dict[str, Any]:
    """What every answer to a write of a reservation has."""
    return {
        "reservation": convert.answer_to_proto(answer),
        "consistency_token": token,
        "replayed": answer.replayed,
    }
