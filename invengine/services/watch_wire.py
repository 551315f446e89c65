"""What a watch says on the wire: changes and messages as bytes, and the token by which a stream is taken up again."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from invengine.errors import InvalidArgument
from invengine.services.availability_wire import duration_field, field, varint

if TYPE_CHECKING:
    from invengine.v1 import availability_service_pb2 as pb

_CHANGES, _TOKEN, _CAUGHT_UP, _BEGINS_ANEW, _STALENESS = 1, 2, 3, 4, 5  # of WatchAvailabilityResponse
_PROMISES, _PROMISES_BEGIN_ANEW, _PROMISES_CAUGHT_UP = 6, 7, 8
_SKU, _LOCATION, _AVAILABLE, _LEVEL, _STATUS = 1, 2, 3, 4, 5  # of AvailabilityChange
_CAUGHT_UP_FIELD: Final = varint(_CAUGHT_UP << 3) + b"\1"
_BEGINS_ANEW_FIELD: Final = varint(_BEGINS_ANEW << 3) + b"\1"
PROMISES_BEGIN_ANEW: Final = varint(_PROMISES_BEGIN_ANEW << 3) + b"\1"
PROMISES_CAUGHT_UP: Final = varint(_PROMISES_CAUGHT_UP << 3) + b"\1"
"""Fields of a message, for promises as for changes."""

_VERSION: Final = 1
_STORE_BYTES: Final = 8
DIGEST_BYTES: Final = 6  # of a question: two groups of base64, so that what follows is encoded once for all questions
_STAMP_BYTES: Final = 2
_STAMP_MASK: Final = 0xFFFF


def change_field(name: bytes, location: bytes, available: int, level: int, status: int) -> bytes:
    """One element of `changes`; what is 0 or empty is left out, as protobuf does."""
    content = field(_SKU, name)
    if location:
        content += field(_LOCATION, location)
    if available:
        content += varint(_AVAILABLE << 3) + varint(available)
    return field(_CHANGES, content + varint(_LEVEL << 3) + varint(level) + varint(_STATUS << 3) + varint(status))


def promise_field(change: pb.PromiseChange) -> bytes:
    """One element of `promises`."""
    return field(_PROMISES, change.SerializeToString())


def message(
    changes: bytes, *, token: str = "", staleness_ms: int = 0, caught_up: bool = False, anew: bool = False
) -> bytes:
    """A WatchAvailabilityResponse; `staleness_ms` goes with a token."""
    parts = [changes]
    if token:
        parts.append(field(_TOKEN, token.encode()))
    if caught_up:
        parts.append(_CAUGHT_UP_FIELD)
    if anew:
        parts.append(_BEGINS_ANEW_FIELD)
    if token:
        parts.append(duration_field(_STALENESS, staleness_ms))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Seen:
    """A state that was told: every change of it is in what its token came with, or in what came before.

    `stamps` tell entries of the log from others of the same revision, which replace them when a failover loses writes:
    the lower bits of the time when each was recorded; 0 where that is not known.
    """

    revisions: Sequence[int]  # of every partition
    stamps: Sequence[int]  # of the entries of these revisions
    network_revision: int
    second: int  # of the store's clock: holds that were over then did not count


def stamp_of(recorded_at_ms: int) -> int:
    """What `Seen.stamps` keep of an entry."""
    return recorded_at_ms & _STAMP_MASK or 1


def encode_seen(store_id: bytes, seen: Seen) -> str:
    """The part of a token that is the same for every question."""
    body = bytearray((_VERSION,))
    body += store_id
    body += varint(seen.network_revision) + varint(seen.second)
    for revision, stamp in zip(seen.revisions, seen.stamps, strict=True):
        body += varint(revision) + stamp.to_bytes(_STAMP_BYTES, "little")
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def encode_token(digest: bytes, seen: str) -> str:
    """The token of a question, given the part that `encode_seen` made."""
    return base64.urlsafe_b64encode(digest).decode() + seen


def decode_token(token: str, store_id: bytes, partitions: int, field_name: str = "resume_token") -> tuple[bytes, Seen]:
    """The digest of the question and what its caller has seen. InvalidArgument when it is no token of this store."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        digest, rest = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
        if rest[0] != _VERSION:
            raise ValueError
        numbers = _Numbers(rest, 1 + _STORE_BYTES)
        network_revision, second = numbers.varint(), numbers.varint()
        pairs = [(numbers.varint(), numbers.stamp()) for _ in range(partitions)]
        if numbers.at != len(rest):
            raise ValueError
    except (binascii.Error, IndexError, ValueError):
        raise InvalidArgument(field_name, "not a resume token") from None
    if rest[1 : 1 + _STORE_BYTES] != store_id:
        raise InvalidArgument(field_name, "a token of another store")
    revisions, stamps = zip(*pairs, strict=True)
    return digest, Seen(revisions, stamps, network_revision, second)


class _Numbers:
    """Reads numbers out of bytes. IndexError or ValueError where there are none."""

    def __init__(self, raw: bytes, at: int) -> None:
        self._raw = raw
        self.at = at

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._raw[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        if number >= 2**63:
            raise ValueError
        return number

    def stamp(self) -> int:
        part = self._raw[self.at : self.at + _STAMP_BYTES]
        if len(part) < _STAMP_BYTES:
            raise ValueError
        self.at += _STAMP_BYTES
        return int.from_bytes(part, "little")
