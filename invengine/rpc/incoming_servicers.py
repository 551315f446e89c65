"""The methods of IncomingService and PromiseService, each one a translation: message -> use case -> message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc import convert_incoming, convert_kept, convert_promises
from invengine.v1 import incoming_service_pb2, promise_service_pb2

if TYPE_CHECKING:
    from invengine.domain.incoming import IncomingOutcome
    from invengine.rpc.endpoints import Context
    from invengine.services.incoming import Incoming
    from invengine.services.promises import Promises
    from invengine.services.promising import Promising
    from invengine.services.repromising import Repromising


class IncomingServicer:
    """IncomingService on the wire. Decides nothing and catches nothing."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    async def SetIncoming(
        self, request: incoming_service_pb2.SetIncomingRequest, _: Context
    ) -> incoming_service_pb2.SetIncomingResponse:
        """What a receipt brings and when."""
        outcome, token = await self._incoming.set(request)
        more = convert_incoming.change_to_proto(outcome, token)
        return incoming_service_pb2.SetIncomingResponse(receipt=self._receipt(outcome), **more)

    async def SlipIncoming(
        self, request: incoming_service_pb2.SlipIncomingRequest, _: Context
    ) -> incoming_service_pb2.SlipIncomingResponse:
        """A receipt has another day."""
        outcome, token = await self._incoming.slip(request)
        more = convert_incoming.change_to_proto(outcome, token)
        return incoming_service_pb2.SlipIncomingResponse(receipt=self._receipt(outcome), **more)

    async def CancelIncoming(
        self, request: incoming_service_pb2.CancelIncomingRequest, _: Context
    ) -> incoming_service_pb2.CancelIncomingResponse:
        """Nothing more of a receipt will come."""
        outcome, token = await self._incoming.cancel(request)
        return incoming_service_pb2.CancelIncomingResponse(**convert_incoming.change_to_proto(outcome, token))

    async def ReceiveIncoming(
        self, request: incoming_service_pb2.ReceiveIncomingRequest, _: Context
    ) -> incoming_service_pb2.ReceiveIncomingResponse:
        """Units of a receipt arrived."""
        outcome, token = await self._incoming.receive(request)
        return incoming_service_pb2.ReceiveIncomingResponse(
            receipt=self._receipt(outcome),
            on_hand=outcome.on_hand,
            reserved=outcome.reserved,
            **convert_incoming.change_to_proto(outcome, token),
        )

    async def ListIncoming(
        self, request: incoming_service_pb2.ListIncomingRequest, context: Context
    ) -> incoming_service_pb2.ListIncomingResponse:
        """A page of open receipts."""
        found, next_page_token, token = await self._incoming.list(request, context.time_remaining())
        today, stopping = self._incoming.today(), self._incoming.stopping
        return incoming_service_pb2.ListIncomingResponse(
            receipts=[convert_incoming.receipt_to_proto(receipt, today, stopping) for receipt in found],
            next_page_token=next_page_token,
            consistency_token=token,
        )

    def _receipt(self, outcome: IncomingOutcome) -> incoming_service_pb2.Receipt | None:
        receipt = outcome.receipt
        if receipt is None:
            return None
        return convert_incoming.receipt_to_proto(receipt, self._incoming.today(), self._incoming.stopping)


class PromiseServicer:
    """PromiseService on the wire. Decides nothing and catches nothing."""

    def __init__(self, promises: Promises, promising: Promising, repromising: Repromising) -> None:
        self._promises = promises
        self._promising = promising
        self._repromising = repromising

    async def GetPromise(
        self, request: promise_service_pb2.GetPromiseRequest, context: Context
    ) -> promise_service_pb2.GetPromiseResponse:
        """Every way to get a basket."""
        return convert_promises.promise_to_proto(await self._promising.get(request, context.time_remaining()))

    async def BatchGetPromise(
        self, request: promise_service_pb2.BatchGetPromiseRequest, context: Context
    ) -> promise_service_pb2.BatchGetPromiseResponse:
        """The earliest days of many SKUs or orders."""
        return convert_promises.many_to_proto(await self._promising.batch(request, context.time_remaining()))

    async def ListBrokenPromises(
        self, request: promise_service_pb2.ListBrokenPromisesRequest, _: Context
    ) -> promise_service_pb2.ListBrokenPromisesResponse:
        """A page of broken promises."""
        found, next_page_token, token = await self._promises.list_broken(request)
        return promise_service_pb2.ListBrokenPromisesResponse(
            broken_promises=[convert_incoming.broken_to_proto(broken) for broken in found],
            next_page_token=next_page_token,
            consistency_token=token,
        )

    async def Repromise(
        self, request: promise_service_pb2.RepromiseRequest, _: Context
    ) -> promise_service_pb2.RepromiseResponse:
        """What becomes of broken promises."""
        answer, replayed = await self._repromising.repromise(
            request, lambda answer: convert_kept.repromised_to_proto(answer).SerializeToString()
        )
        response = promise_service_pb2.RepromiseResponse.FromString(answer)
        response.replayed = replayed
        return response
