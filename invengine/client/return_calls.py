"""Calls about returns: units that left and come back."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import timestamp_pb2

from invengine.client.connection import Connection, new_request_id
from invengine.v1 import return_service_pb2

ReturnLine = return_service_pb2.ReturnLineRequest
DisposalLine = return_service_pb2.DisposalLine

_Answer = (
    return_service_pb2.ReceiveReturnResponse
    | return_service_pb2.DisposeReturnResponse
    | return_service_pb2.GetReturnResponse
)


def return_of(answer: _Answer) -> return_service_pb2.Return:
    """The return in an answer: its field has the name of a word of Python, so `answer.return` cannot be written."""
    found: return_service_pb2.Return = getattr(answer, "return")
    return found


class ReturnCalls(Connection):
    """Calls of ReturnService."""

    async def receive_return(
        self,
        lines: Iterable[ReturnLine],
        location: str,
        *,
        return_id: str = "",
        reservation_id: str = "",
        order_ref: str = "",
        occurred_at: timestamp_pb2.Timestamp | None = None,
        channel: str = "",
        request_id: str = "",
    ) -> return_service_pb2.ReceiveReturnResponse:
        """Take units back at a location: of a reservation, of an order, or as they come."""
        request = return_service_pb2.ReceiveReturnRequest(
            request_id=request_id or new_request_id(),
            return_id=return_id,
            channel=channel or self.channel,
            location=location,
            reservation_id=reservation_id,
            order_ref=order_ref,
            lines=lines,
            occurred_at=occurred_at,
        )
        return await self._call(self._returns.ReceiveReturn, request)

    async def dispose_return(
        self, return_id: str, lines: Iterable[DisposalLine], *, channel: str = "", request_id: str = ""
    ) -> return_service_pb2.DisposeReturnResponse:
        """Restock, move or scrap units of a return that came back in a state."""
        request = return_service_pb2.DisposeReturnRequest(
            request_id=request_id or new_request_id(),
            return_id=return_id,
            channel=channel or self.channel,
            lines=lines,
        )
        return await self._call(self._returns.DisposeReturn, request)

    async def get_return(self, return_id: str, *, channel: str = "") -> return_service_pb2.GetReturnResponse:
        """One return as it is now."""
        request = return_service_pb2.GetReturnRequest(return_id=return_id, channel=channel or self.channel)
        return await self._call(self._returns.GetReturn, request)

    async def list_returns(
        self,
        *,
        reservation_id: str = "",
        order_ref: str = "",
        channel: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> return_service_pb2.ListReturnsResponse:
        """A page of the returns of a reservation or an order."""
        request = return_service_pb2.ListReturnsRequest(
            reservation_id=reservation_id,
            order_ref=order_ref,
            channel=channel or self.channel,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._call(self._returns.ListReturns, request)
