"""AdminService on the wire: message -> use case -> message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc import convert, convert_tokens
from invengine.rpc.endpoints import Context
from invengine.store.acting import BY
from invengine.v1 import admin_service_pb2

if TYPE_CHECKING:
    from invengine.services.integrity import Integrity
    from invengine.services.tokens import Tokens


class AdminServicer:
    """AdminService on the wire. Decides nothing and catches nothing."""

    def __init__(self, integrity: Integrity, tokens: Tokens) -> None:
        self._integrity = integrity
        self._tokens = tokens

    async def CheckIntegrity(
        self, request: admin_service_pb2.CheckIntegrityRequest, _: Context
    ) -> admin_service_pb2.CheckIntegrityResponse:
        """What does not hold in the store."""
        return convert.integrity_to_proto(await self._integrity.check(request.violations_max, replay=request.replay))

    async def IssueToken(
        self, request: admin_service_pb2.IssueTokenRequest, _: Context
    ) -> admin_service_pb2.IssueTokenResponse:
        """A new token, with its secret."""
        issued = await self._tokens.issue(
            convert_tokens.wanted_token(request),
            request_id=request.request_id,
            creator=BY.get(),
            validate_only=request.validate_only,
        )
        return convert_tokens.issued_to_proto(issued)

    async def RevokeToken(
        self, request: admin_service_pb2.RevokeTokenRequest, _: Context
    ) -> admin_service_pb2.RevokeTokenResponse:
        """The token, ended."""
        token, is_new = await self._tokens.revoke(request.token_id, request_id=request.request_id)
        return admin_service_pb2.RevokeTokenResponse(token=convert_tokens.token_to_proto(token), replayed=not is_new)

    async def ListTokens(
        self, request: admin_service_pb2.ListTokensRequest, _: Context
    ) -> admin_service_pb2.ListTokensResponse:
        """The tokens."""
        tokens = await self._tokens.listing(include_ended=request.include_ended)
        return admin_service_pb2.ListTokensResponse(tokens=map(convert_tokens.token_to_proto, tokens))
