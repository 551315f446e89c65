"""Bytes of availability messages: requests taken apart and answers put together without building message objects.

What is written here is what protobuf would write for the same answer; the tests compare every byte.
"""

from __future__ import annotations

import datetime as dt
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.kernels.wire import HANDLE_BYTES
from invengine.replica.index import as_bytes
from invengine.services.validation import count_of, required_id

SKUS_MAX: Final = 10_000
_REST_BYTES: Final = 65_536
_FIXED_64, _LENGTH = 1, 2  # wire types
_ORDINAL_OF_1970: Final = dt.date(1970, 1, 1).toordinal()
_NEXT_RECEIPT: Final = 6
_NEXT_DATE: Final = 8
_STATUS, _AVAILABLE, _ROW_COUNTS, _LOCATION_INDEX, _LOCATION_AVAILABLE, _LOCATIONS = 1, 2, 3, 4, 5, 6
_LEVEL, _HANDLES, _HANDLE_EPOCH = 9, 10, 11
_EPOCH: Final = struct.Struct("<Q")


Part = bytes | memoryview
"""Some bytes of an answer; a column is not copied before all are joined."""


class OddMessage(Exception):
    """The bytes hold something that protobuf itself has to judge."""


@dataclass(frozen=True, slots=True)
class AskedSkus:
    """The SKUs of a request, in the bytes of its message."""

    text: npt.NDArray[np.uint8]
    spans: npt.NDArray[np.int64]  # [named, 2] first byte and length of each name
    handles_at: int
    handle_count: int

    @property
    def count(self) -> int:
        """How many are asked about."""
        return self.handle_count or len(self.spans)

    def name(self, i: int) -> str:
        """The i-th of those that are named."""
        at, length = self.spans[i].tolist()
        return self.text[at : at + length].tobytes().decode()


def varint(number: int) -> bytes:
    """A number from 0 up as protobuf writes it."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A string, bytes, message or packed field; written even when it is empty."""
    return _head(number, len(content)) + content


@lru_cache(maxsize=4096)
def duration_field(number: int, milliseconds: int) -> bytes:
    """A google.protobuf.Duration, which is not negative."""
    seconds, rest = divmod(milliseconds, 1000)
    content = b"\x08" + varint(seconds) if seconds else b""
    if rest:
        content += b"\x10" + varint(rest * 1_000_000)
    return field(number, content)


@lru_cache(maxsize=4096)  # the same few days, again and again
def date_field(number: int, day: int) -> bytes:
    """A Date, from days since 1970."""
    date = dt.date.fromordinal(_ORDINAL_OF_1970 + day)
    parts = ((1, date.year), (2, date.month), (3, date.day))
    return field(number, b"".join(varint(part << 3) + varint(value) for part, value in parts))


def next_receipt_field(day: int, quantity: int) -> bytes:
    """`next_receipt` of a GetAvailabilityResponse."""
    return field(_NEXT_RECEIPT, date_field(1, day) + varint(2 << 3) + varint(quantity))


def next_date_field(day: int) -> bytes:
    """`next_date` of a GetAvailabilityResponse."""
    return date_field(_NEXT_DATE, day)


def locations_field(names: tuple[str, ...]) -> bytes:
    """`locations` of a BatchGetAvailabilityResponse."""
    return b"".join(field(_LOCATIONS, name.encode()) for name in names)


def levels_field(levels: npt.NDArray[np.uint8]) -> list[Part]:
    """`level` of a BatchGetAvailabilityResponse."""
    return [_head(_LEVEL, levels.nbytes), levels.data]


def handles_fields(handles: npt.NDArray[np.uint32], epoch: int) -> list[Part]:
    """`handles` and `handle_epoch` of a BatchGetAvailabilityResponse."""
    return [_head(_HANDLES, handles.nbytes), handles.data, varint(_HANDLE_EPOCH << 3 | _FIXED_64), _EPOCH.pack(epoch)]


def totals_fields(status: npt.NDArray[np.uint8], available: npt.NDArray[np.int64]) -> list[Part]:
    """`status` and `available` of a BatchGetAvailabilityResponse; a sfixed64 column is the array's own bytes."""
    return [_head(_STATUS, status.nbytes), status.data, _head(_AVAILABLE, available.nbytes), available.data]


def rows_fields(
    row_counts: npt.NDArray[np.int32],
    location_index: npt.NDArray[np.int32],
    location_available: npt.NDArray[np.int64],
    locations: bytes,
) -> list[Part]:
    """`row_counts`, `location_index`, `location_available` and `locations` of a BatchGetAvailabilityResponse."""
    fields: list[Part] = [_head(_ROW_COUNTS, row_counts.nbytes), row_counts.data]
    if location_index.size:
        fields += [
            _head(_LOCATION_INDEX, location_index.nbytes),
            location_index.data,
            _head(_LOCATION_AVAILABLE, location_available.nbytes),
            location_available.data,
        ]
    fields.append(locations)
    return fields


class Splitter:
    """Takes the SKUs out of requests. The arrays serve the next call again: use them before anything is awaited."""

    def __init__(self) -> None:
        self.spans = np.empty((SKUS_MAX, 2), np.int64)
        self._handles_at = self._handle_bytes = 0
        self._odd = np.empty(SKUS_MAX, np.uint8)
        self._rest = np.empty(_REST_BYTES, np.uint8)
        self._lengths = np.zeros(4, np.int64)

    def split_batch(self, message: bytes) -> tuple[AskedSkus, bytes]:
        """The SKUs of a BatchGetAvailabilityRequest and its other fields; refuses as `split`."""
        text, count, rest = self.split(message, "skus")
        if self._handle_bytes % HANDLE_BYTES:
            raise OddMessage
        handles = self._handle_bytes // HANDLE_BYTES
        count_of("handles", handles, SKUS_MAX, least=0)
        count_of("skus", count, SKUS_MAX, least=0 if handles else 1)
        return AskedSkus(text, self.spans[:count], self._handles_at, handles), rest

    def split(self, message: bytes, sku_field: str) -> tuple[npt.NDArray[np.uint8], int, bytes]:
        """The message as an array, how many SKUs it has (in `spans`), and its other fields.

        `sku_field` is what a refusal calls the SKUs, `sku` or `skus`: InvalidArgument for the first that cannot be one.
        OddMessage when protobuf has to judge: not a message, more than SKUS_MAX, not UTF-8.
        """
        text = as_bytes(message)
        if text.size > self._rest.size:
            self._rest = np.empty(text.size, np.uint8)
        count = int(kernels.split_request(text, self.spans, self._odd, self._rest, self._lengths))
        if count < 0:
            raise OddMessage
        rest_length, odd_count, self._handles_at, self._handle_bytes = self._lengths.tolist()
        if odd_count:
            self._judge_odd(message, count, sku_field)
        return text, count, self._rest[:rest_length].tobytes()

    def _judge_odd(self, message: bytes, count: int, sku_field: str) -> None:
        for i in np.flatnonzero(self._odd[:count]).tolist():
            at, length = self.spans[i].tolist()
            try:
                sku = message[at : at + length].decode()
            except UnicodeDecodeError:
                raise OddMessage from None
            required_id(f"skus[{i}]" if sku_field == "skus" else sku_field, sku)


def _head(number: int, length: int) -> bytes:
    return varint(number << 3 | _LENGTH) + varint(length)
