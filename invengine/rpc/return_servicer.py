"""The methods of ReturnService, each one a translation: message -> use case -> message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invengine.rpc.convert_returns import return_to_proto
from invengine.v1 import return_service_pb2

if TYPE_CHECKING:
    from invengine.domain.returns import Return
    from invengine.rpc.endpoints import Context
    from invengine.services.returns import Returns


class ReturnServicer:
    """ReturnService on the wire. Decides nothing and catches nothing."""

    def __init__(self, returns: Returns) -> None:
        self._returns = returns

    async def ReceiveReturn(
        self, request: return_service_pb2.ReceiveReturnRequest, _: Context
    ) -> return_service_pb2.ReceiveReturnResponse:
        """Units come back."""
        answer, token = await self._returns.receive(request)
        return return_service_pb2.ReceiveReturnResponse(
            consistency_token=token, replayed=answer.replayed, **_named(answer.returned)
        )

    async def DisposeReturn(
        self, request: return_service_pb2.DisposeReturnRequest, _: Context
    ) -> return_service_pb2.DisposeReturnResponse:
        """It is decided about units that cannot be sold."""
        answer, token = await self._returns.dispose(request)
        return return_service_pb2.DisposeReturnResponse(
            consistency_token=token, replayed=answer.replayed, **_named(answer.returned)
        )

    async def GetReturn(
        self, request: return_service_pb2.GetReturnRequest, _: Context
    ) -> return_service_pb2.GetReturnResponse:
        """One return as it is now."""
        found, token = await self._returns.get(request)
        return return_service_pb2.GetReturnResponse(consistency_token=token, **_named(found))

    async def ListReturns(
        self, request: return_service_pb2.ListReturnsRequest, _: Context
    ) -> return_service_pb2.ListReturnsResponse:
        """A page of returns."""
        found, next_page_token, token = await self._returns.list(request)
        return return_service_pb2.ListReturnsResponse(
            returns=map(return_to_proto, found), next_page_token=next_page_token, consistency_token=token
        )


def _named(returned: Return) -> dict[str, Any]:
    """The field `return`, which is a word of Python too."""
    return {"return": return_to_proto(returned)}
