"""Which partition a name belongs to, and the consistency token that names a state of some partitions."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable
from typing import Final
from zlib import crc32

from invengine.errors import InvalidArgument

PARTITIONS_MAX: Final = 1024
_HEAD = struct.Struct("<B8s")
_PAIR = struct.Struct("<HQ")
_TOKEN_VERSION = 1


def partition_of(name: str, partitions: int) -> int:
    """The partition of a SKU, a reservation id or a request: CRC-32 of its UTF-8 bytes, modulo `partitions`."""
    return crc32(name.encode()) % partitions


def encode_token(store_id: bytes, revisions: Iterable[tuple[int, int]]) -> str:
    """The token that names (partition, revision) pairs of the store with this 8-byte id."""
    body = b"".join(_PAIR.pack(partition, revision) for partition, revision in revisions)
    return base64.urlsafe_b64encode(_HEAD.pack(_TOKEN_VERSION, store_id) + body).decode().rstrip("=")


def decode_token(
    token: str, store_id: bytes, partitions: int, field: str = "consistency.at_least_as_fresh"
) -> list[tuple[int, int]]:
    """The (partition, revision) pairs of a token; InvalidArgument names `field` when it is none of this store's."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version, token_store = _HEAD.unpack_from(raw)
        pairs = list(_PAIR.iter_unpack(raw[_HEAD.size :]))
    except (binascii.Error, struct.error, ValueError):
        raise InvalidArgument(field, "not a consistency token") from None
    if version != _TOKEN_VERSION or any(partition >= partitions for partition, _ in pairs):
        raise InvalidArgument(field, "not a consistency token")
    if token_store != store_id:
        raise InvalidArgument(field, "a token of another store")
    return pairs
