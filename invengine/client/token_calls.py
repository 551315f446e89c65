"""The asyncio client: tokens."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf import timestamp_pb2

from invengine.client.connection import Connection, new_request_id
from invengine.v1 import admin_service_pb2


def _instant(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    found = timestamp_pb2.Timestamp()
    found.FromDatetime(moment)
    return found


class TokenCalls(Connection):
    """Who may call: issue, revoke, list."""

    async def issue_token(
        self,
        name: str,
        *,
        roles: Iterable[str],
        channel: str = "",
        not_before: datetime | None = None,
        expires: datetime | None = None,
        requests_per_second: float = 0.0,
        burst: int = 0,
        certificate_uri: str = "",
        validate_only: bool = False,
        request_id: str = "",
    ) -> admin_service_pb2.IssueTokenResponse:
        """A new token; the answer's `secret` is shown this once. `roles`: of read, reserve, feed, plan, admin. Instants
        have a time zone.
        """
        request = admin_service_pb2.IssueTokenRequest(
            request_id=request_id or new_request_id(),
            name=name,
            channel=channel,
            roles=[admin_service_pb2.Role.Value(f"ROLE_{role.upper()}") for role in roles],
            not_before_time=_instant(not_before),
            expire_time=_instant(expires),
            requests_per_second=requests_per_second,
            burst=burst,
            certificate_uri=certificate_uri,
            validate_only=validate_only,
        )
        return await self._call(self._admin.IssueToken, request)

    async def revoke_token(self, token_id: str, *, request_id: str = "") -> admin_service_pb2.RevokeTokenResponse:
        """Ends a token, named by the part before its dot."""
        request = admin_service_pb2.RevokeTokenRequest(request_id=request_id or new_request_id(), token_id=token_id)
        return await self._call(self._admin.RevokeToken, request)

    async def list_tokens(self, *, include_ended: bool = False) -> admin_service_pb2.ListTokensResponse:
        """The tokens, without their secrets."""
        request = admin_service_pb2.ListTokensRequest(include_ended=include_ended)
        return await self._call(self._admin.ListTokens, request)
