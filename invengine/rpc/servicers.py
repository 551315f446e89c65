"""The methods of the contract, each one a translation: message -> use case -> message.

`handlers` finds them by the service descriptors, so a method of the contract that nobody serves fails the start.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message_factory import GetMessageClass

from invengine.rpc import convert, convert_pages, convert_snapshots
from invengine.rpc.convert_explanation import explained_to_proto
from invengine.rpc.convert_promisable import outlook_to_proto
from invengine.rpc.endpoints import (
    Context,
    Exchange,
    Streams,
    StreamStep,
    exchanges,
    raw_unary,
    takes_bytes,
    unary,
)
from invengine.rpc.errors import refusal_to_proto
from invengine.rpc.feeds import FeedExchange
from invengine.rpc.reservation_bytes import batch_response
from invengine.v1 import (
    admin_service_pb2,
    availability_service_pb2,
    incoming_service_pb2,
    network_service_pb2,
    promise_service_pb2,
    reservation_service_pb2,
    return_service_pb2,
    stock_service_pb2,
    transfer_service_pb2,
)

if TYPE_CHECKING:
    import grpc
    from google.protobuf.descriptor import MethodDescriptor

    from invengine.domain.reservation_answers import ReservationAnswer
    from invengine.metrics import Metrics
    from invengine.services.availability import Availability
    from invengine.services.available_to_promise import AvailableToPromise
    from invengine.services.explanations import Explanations
    from invengine.services.feeds import Feeds
    from invengine.services.integrity import Integrity
    from invengine.services.ledgers import Ledgers
    from invengine.services.position_pages import PositionPages
    from invengine.services.positions import Positions
    from invengine.services.reservations import Reservations
    from invengine.services.snapshots import Snapshots
    from invengine.services.stock import Stock
    from invengine.services.watching import Watching

FILES: Final = (
    admin_service_pb2,
    availability_service_pb2,
    incoming_service_pb2,
    network_service_pb2,
    promise_service_pb2,
    reservation_service_pb2,
    return_service_pb2,
    stock_service_pb2,
    transfer_service_pb2,
)

SERVICES: Final = tuple(
    sorted(service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values())
)


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every method of the contract by its path, `/invengine.v1.StockService/GetPosition`."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method


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

    async def BatchCreateReservations(
        self, request: reservation_service_pb2.BatchCreateReservationsRequest, _: Context
    ) -> bytes:
        """Takes stock for many reservations, one outcome each."""
        outcomes, token = await self._reservations.create_many(request.requests)
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


class StockServicer:
    """StockService on the wire. Decides nothing and catches nothing."""

    def __init__(
        self,
        stock: Stock,
        positions: Positions,
        pages: PositionPages,
        ledgers: Ledgers,
        *,
        feeds: Feeds,
        snapshots: Snapshots,
    ) -> None:
        self._stock = stock
        self._feeds = feeds
        self._positions = positions
        self._pages = pages
        self._ledgers = ledgers
        self._snapshots = snapshots

    async def PostMovements(
        self, request: stock_service_pb2.PostMovementsRequest, _: Context
    ) -> stock_service_pb2.PostMovementsResponse:
        """Movements in, one outcome each."""
        outcomes, token = await self._stock.post(request.request_id, request.movements)
        return convert.movement_outcomes(outcomes, token)

    async def ApplySnapshot(
        self, requests: AsyncIterator[stock_service_pb2.ApplySnapshotRequest], _: Context
    ) -> stock_service_pb2.ApplySnapshotResponse:
        """What a location had at an instant."""
        return convert_snapshots.applied_to_proto(await self._snapshots.apply(requests))

    @exchanges
    def StreamMovements(self, _: Context) -> Exchange:
        """A feed, acknowledged in order."""
        return FeedExchange(self._feeds.open())

    async def ListFeeds(
        self, request: stock_service_pb2.ListFeedsRequest, _: Context
    ) -> stock_service_pb2.ListFeedsResponse:
        """A page of feeds, and how far each is."""
        feeds, next_page_token = await self._feeds.page(request)
        return stock_service_pb2.ListFeedsResponse(
            feeds=map(convert.feed_to_proto, feeds), next_page_token=next_page_token
        )

    async def GetPosition(
        self, request: stock_service_pb2.GetPositionRequest, context: Context
    ) -> stock_service_pb2.GetPositionResponse:
        """One position as it is now."""
        found = await self._positions.get(request, context.time_remaining())
        return convert.position_to_proto(found, self._stock.today())

    async def ListMovements(
        self, request: stock_service_pb2.ListMovementsRequest, _: Context
    ) -> stock_service_pb2.ListMovementsResponse:
        """A page of a SKU's ledger."""
        return convert_pages.ledger_page(await self._ledgers.page(request))

    async def ListPositions(
        self, request: stock_service_pb2.ListPositionsRequest, context: Context
    ) -> stock_service_pb2.ListPositionsResponse:
        """A page of all positions."""
        page = await self._pages.page(request, context.time_remaining())
        return convert_pages.position_page(page, self._stock.today())

    async def ExportMovements(
        self, request: stock_service_pb2.ExportMovementsRequest, _: Context
    ) -> stock_service_pb2.ExportMovementsResponse:
        """A part of the ledger of all SKUs."""
        page = await self._ledgers.export(request)
        return convert_pages.export_page(page, self._ledgers.token(page.reached), self._ledgers.token(page.until))


class AdminServicer:
    """AdminService on the wire. Decides nothing and catches nothing."""

    def __init__(self, integrity: Integrity) -> None:
        self._integrity = integrity

    async def CheckIntegrity(
        self, request: admin_service_pb2.CheckIntegrityRequest, _: Context
    ) -> admin_service_pb2.CheckIntegrityResponse:
        """What does not hold in the store."""
        return convert.integrity_to_proto(await self._integrity.check(request.violations_max, replay=request.replay))


def _written(answer: ReservationAnswer, token: str) -> dict[str, Any]:
    """What every answer to a write of a reservation has."""
    return {
        "reservation": convert.answer_to_proto(answer),
        "consistency_token": token,
        "replayed": answer.replayed,
    }


def handlers(
    servicers: Mapping[str, object], streams: Streams, metrics: Metrics
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Every method of the contract, wrapped, by its path. `servicers` by the names of their services.

    A method is found by its name; what it takes and gives is told by its kind: a bidirectional one opens a stream, one
    that is marked `exchanges` one that reads and writes at its own pace; one with a stream of requests gets messages,
    one that answers with a stream and one that is marked `takes_bytes` get and give bytes, all others messages.
    """
    found: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for path, method in methods():
        service = method.containing_service.full_name
        function = getattr(servicers[service], method.name)
        decode = GetMessageClass(method.input_type).FromString
        if method.client_streaming and not method.server_streaming:
            series = metrics.method("client_stream", service, method.name)
            found[path] = streams.wrap_inbound(path, decode, function, series, metrics)
            continue
        if method.client_streaming:
            series = metrics.method("bidi_stream", service, method.name)
            wrap = streams.wrap_exchange if getattr(function, "exchanges", False) else streams.wrap
            found[path] = wrap(path, function, series, metrics)
            continue
        if method.server_streaming:
            series = metrics.method("server_stream", service, method.name)
            found[path] = streams.wrap_answers(path, function, series, metrics)
            continue
        series = metrics.method("unary", service, method.name)
        if getattr(function, "takes_bytes", False):
            found[path] = raw_unary(path, function, series, metrics)
        else:
            found[path] = unary(path, decode, function, series, metrics)
    return found
