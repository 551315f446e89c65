"""Tokens on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.tokens import Role, Token
from invengine.errors import InvalidArgument
from invengine.rpc.convert_incoming import timestamp
from invengine.services import validation
from invengine.services.tokens import RATE_MAX, URI_BYTES_MAX, Issued, Wanted
from invengine.v1 import admin_service_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_ROLES: Final = {pb.Role.Value(f"ROLE_{role.name}"): role for role in Role}
_NUMBERS: Final = {role: number for number, role in _ROLES.items()}
_LATEST_MS: Final = validation.TIMESTAMP_SECONDS_MAX * 1000


def wanted_token(message: pb.IssueTokenRequest) -> Wanted:
    """What the token is to be. InvalidArgument."""
    roles = set()
    for place, number in enumerate(message.roles):
        if number not in _ROLES:
            raise InvalidArgument(f"roles[{place}]", f"{number} is not a role")
        roles.add(_ROLES[number])
    if not roles:
        raise InvalidArgument("roles", "is required")
    rate = message.requests_per_second
    if not 0 <= rate <= RATE_MAX:
        raise InvalidArgument("requests_per_second", f"is {rate}; 0 to {RATE_MAX} are allowed")
    if not 0 <= message.burst <= RATE_MAX:
        raise InvalidArgument("burst", f"is {message.burst}; 0 to {RATE_MAX} are allowed")
    if message.burst and not rate:
        raise InvalidArgument("burst", "goes with requests_per_second")
    return Wanted(
        validation.required_id("name", message.name),
        frozenset(roles),
        validation.optional_text("channel", message.channel),
        _instant("not_before_time", message.not_before_time) if message.HasField("not_before_time") else 0,
        _instant("expire_time", message.expire_time) if message.HasField("expire_time") else 0,
        rate,
        message.burst,
        _uri(message.certificate_uri),
    )


def _uri(text: str) -> str:
    validation.optional_text("certificate_uri", text, URI_BYTES_MAX)
    scheme, colon, rest = text.partition(":")
    if text and not (scheme and colon and rest and " " not in text):
        raise InvalidArgument("certificate_uri", "is not a URI")
    return text


def _instant(field: str, instant: Timestamp) -> int:
    return validation.milliseconds(field, instant, _LATEST_MS)


def issued_to_proto(issued: Issued) -> pb.IssueTokenResponse:
    """The answer of IssueToken: the one message with a secret in it."""
    return pb.IssueTokenResponse(token=token_to_proto(issued.token), secret=issued.secret, replayed=issued.replayed)


def token_to_proto(token: Token) -> pb.Token:
    """A token as it may be shown."""
    message = pb.Token(
        token_id=token.token_id,
        name=token.name,
        channel=token.channel,
        roles=sorted(_NUMBERS[role] for role in token.roles),
        requests_per_second=token.rate,
        burst=token.burst,
        certificate_uri=token.certificate_uri,
        creator=token.creator,
    )
    for at_ms, field in (
        (token.not_before_ms, message.not_before_time),
        (token.expires_at_ms, message.expire_time),
        (token.created_at_ms, message.create_time),
        (token.used_at_ms, message.last_use_time),
        (token.revoked_at_ms, message.revoke_time),
    ):
        if at_ms:
            field.CopyFrom(timestamp(at_ms))
    return message
