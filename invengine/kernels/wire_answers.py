"""The protobuf wire: hot answers written, without a message object.

The .proto is the contract: tests parse every byte with protobuf and compare with what it would have written.
The kernels here hold the GIL, unlike others: they take a microsecond or two, and whoever gives the GIL away while
gRPC's threads want it waits many times as long to have it back.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.availability import available_positions, available_total
from invengine.kernels.layout import (
    ANSWER_BYTES_MORE,
    KNOWN,
    LEVEL_IN_STOCK,
    LEVEL_LOW,
    LEVEL_OUT,
    PARTITION,
    POSITION_BYTES_MAX,
    QUERY_BYTES_MAX,
    REASONS_MAX,
    ROWS,
    TERM_AVAILABLE,
    TERM_FENCED,
    TERM_ON_HAND,
    TERM_OWN_FENCE,
    TERM_RANK,
    TERM_REASONS,
    TERM_RESERVED,
    TERM_SAFETY,
    TERM_UNCERTAIN,
    TOTAL_MAX,
)
from invengine.kernels.names import find
from invengine.kernels.wire import LENGTH, read_varint

_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"
_INDEX = "uint64[:, ::1], uint8[::1]"
_QUERIES_TAG = 5 << 3 | LENGTH  # of StreamAvailabilityRequest
_ANSWERS_TAG = 6 << 3 | LENGTH  # of StreamAvailabilityResponse

UNKNOWN = np.int64(-1)
LEFT_TO_PROTOBUF = np.int64(-1)


@njit(nogil=True)
def put_varint(out, at, value):
    """Writes a varint of 0 or more at `at`; the first byte behind it."""
    while value > 127:
        out[at] = np.uint8(value & 127 | 128)
        value >>= 7
        at += 1
    out[at] = np.uint8(value)
    return at + 1


@njit(nogil=True)
def _put_number(out, at, tag, value):
    """A varint field, left out when it is 0."""
    if value == 0:
        return at
    out[at] = tag
    return put_varint(out, at + 1, value)


@njit(nogil=True)
def _level(units, threshold):
    if units == 0:
        return LEVEL_OUT
    return LEVEL_LOW if units <= threshold else LEVEL_IN_STOCK


@njit(nogil=True)
def _put_position(out, at, term, threshold, names, name_ends):
    """One PositionAvailability without tag and length: at most 139 bytes.

    With their tags: a name of 64 bytes and its length 66, six numbers to 2^53 54, at most five reasons that go
    together 7, the ring-fences of others, to 2^62, 10, the level 2.
    """
    rank = term[TERM_RANK]
    begin = name_ends[rank - 1] if rank > 0 else np.int64(0)
    out[at] = 1 << 3 | LENGTH
    at = put_varint(out, at + 1, name_ends[rank] - begin)
    for i in range(begin, name_ends[rank]):
        out[at] = names[i]
        at += 1
    at = _put_number(out, at, 2 << 3, term[TERM_AVAILABLE])
    at = _put_number(out, at, 3 << 3, term[TERM_ON_HAND])
    at = _put_number(out, at, 4 << 3, term[TERM_RESERVED])
    at = _put_number(out, at, 5 << 3, term[TERM_SAFETY])
    if term[TERM_REASONS] != 0:
        out[at] = 6 << 3 | LENGTH
        length_at = at + 1
        at += 2
        for reason in range(REASONS_MAX + 1):
            if term[TERM_REASONS] >> reason & 1:
                out[at] = reason
                at += 1
        out[length_at] = at - length_at - 1
    at = _put_number(out, at, 7 << 3, term[TERM_FENCED])
    at = _put_number(out, at, 8 << 3, term[TERM_OWN_FENCE])
    at = _put_number(out, at, 9 << 3, term[TERM_UNCERTAIN])
    return _put_number(out, at, 10 << 3, _level(term[TERM_AVAILABLE], threshold))


@njit(
    f"int64(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BYTES}, int64[::1], int64[::1], {_BLOCK}, "
    "uint8[::1])",
    cache=True,
)
def answer_availability(sku, positions, skus, fences, selection, ignored, names, name_ends, thresholds, terms, out):
    """Write `available`, `level` and `positions` of a GetAvailabilityResponse to `out`; returns how many bytes.

    Minus the number of rows that `terms` and `out` need room for, when they have less: nothing was done then.
      sku, positions, skus, fences, selection, ignored, terms  as in `available_positions`
      names      uint8 [bytes]    the names of the locations asked about, by rank, one behind another
      name_ends  int64 [asked]    where each ends
      thresholds int64 [1 + asked] most units that are LEVEL_LOW: in all, then at each location, by rank
      terms      int64 [rows, 9]
      out        uint8 [bytes]    POSITION_BYTES_MAX for each of `terms`, and ANSWER_BYTES_MORE
    """
    rows = skus[sku, ROWS]
    if rows > terms.shape[0] or rows * POSITION_BYTES_MAX + ANSWER_BYTES_MORE > out.size:
        return -rows
    count = available_positions(sku, positions, skus, fences, selection, ignored, terms)
    total = np.int64(0)
    for i in range(count):
        total = min(total + terms[i, TERM_AVAILABLE], np.int64(TOTAL_MAX))
    at = _put_number(out, 0, 1 << 3, total)
    at = _put_number(out, at, 2 << 3, _level(total, thresholds[0]))
    for i in range(count):
        out[at] = 3 << 3 | LENGTH
        start = at + 2
        end = _put_position(out, start, terms[i], thresholds[1 + terms[i, TERM_RANK]], names, name_ends)
        length = end - start
        if length > 127:  # its length takes two bytes: rare, so it is moved rather than measured before
            for byte in range(end, start, -1):
                out[byte] = out[byte - 1]
            end += 1
        put_varint(out, at + 1, length)
        at = end
    return at


@njit(
    f"int64(uint8[::1], int64, {_INDEX}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BYTES}, int64[::1], "
    f"int64[::1], {_BLOCK}, uint8[::1], int64[::1])",
    cache=True,
)
def answer_sku(
    name, length, slots, arena, positions, skus, fences, selection, ignored, names, name_ends, thresholds, terms, out,
    partition,
):  # fmt: skip
    """As `answer_availability`, of the SKU whose name is name[:length]; fills its `partition`, int64 [1].

    Minus 1 for one that is not known, and for one of so many positions that there is no room for them.
    """
    sku = find(slots, arena, name, 0, length)
    if sku < 0:
        return UNKNOWN
    partition[0] = skus[sku, PARTITION]
    written = answer_availability(
        sku, positions, skus, fences, selection, ignored, names, name_ends, thresholds, terms, out
    )
    return max(written, UNKNOWN)


@njit
def _same(message, begin, end, rest):
    """Whether message[begin:end] are the bytes of `rest`."""
    if end - begin != rest.size:
        return False
    for i in range(rest.size):  # noqa: SIM110 - compiled
        if message[begin + i] != rest[i]:
            return False
    return True


@njit
def _find_asked(message, begin, end, rest, rest_is_optional, slots, arena, ruled_slots, ruled_arena):
    """(query_id, number of the SKU) of the query message[begin:end]; -1 where it is not one for this kernel."""
    query_id, at = np.int64(0), begin
    if at < end and message[at] == 1 << 3:
        query_id, at = read_varint(message, at + 1)
        if at < 0:
            return query_id, UNKNOWN
    if at + 2 > end or message[at] != 2 << 3 | LENGTH or message[at + 1] > 127:
        return query_id, UNKNOWN
    length = np.int64(message[at + 1])
    at += 2
    if at + length > end:
        return query_id, UNKNOWN
    if not (_same(message, at + length, end, rest) or (rest_is_optional and at + length == end)):
        return query_id, UNKNOWN
    if find(ruled_slots, ruled_arena, message, at, length) >= 0:
        return query_id, UNKNOWN
    return query_id, find(slots, arena, message, at, length)


@njit
def _put_query_answer(out, at, query_id, total, threshold):
    """The answer to a query of a SKU that is known: at most 24 bytes."""
    at = _put_number(out, at, 1 << 3, query_id)
    at = _put_number(out, at, 2 << 3, total)
    at = _put_number(out, at, 3 << 3, _level(total, threshold))
    return _put_number(out, at, 4 << 3, KNOWN)


@njit(
    f"int64({_BYTES}, {_BYTES}, boolean, {_INDEX}, {_INDEX}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, int64, "
    "uint8[::1])",
    cache=True,
)
def answer_queries(
    message, rest, rest_is_optional, slots, arena, ruled_slots, ruled_arena, positions, skus, fences, selection,
    threshold, out,
):  # fmt: skip
    """Write the StreamAvailabilityResponse to a StreamAvailabilityRequest to `out`; returns how many bytes.

    LEFT_TO_PROTOBUF where one of its queries is not written as protobuf writes them, is of an unknown SKU or of one in
    `ruled`, has a negative id, or asks for another selection; and when `out` has no room.
      rest              uint8 [n]  channel and group as they stand behind the SKU in queries for this selection
      rest_is_optional  whether a query with nothing behind its SKU asks for the same
      slots, arena      the index of the SKUs
      ruled_slots, ruled_arena   that of SKUs which rules for low stock name: their threshold is another
      threshold         most units that are LEVEL_LOW
      out               uint8      QUERY_BYTES_MAX for each query
    """
    if message.size == 0 or message[0] != _QUERIES_TAG:
        query_id, sku = _find_asked(
            message, np.int64(0), message.size, rest, rest_is_optional, slots, arena, ruled_slots, ruled_arena
        )
        if sku < 0 or out.size < QUERY_BYTES_MAX:
            return LEFT_TO_PROTOBUF
        return _put_query_answer(out, 0, query_id, available_total(sku, positions, skus, fences, selection), threshold)
    at = written = np.int64(0)
    room = out.size // QUERY_BYTES_MAX
    while at < message.size:
        if message[at] != _QUERIES_TAG:
            return LEFT_TO_PROTOBUF
        length, begin = read_varint(message, at + 1)
        if begin < 0 or length > message.size - begin or room == 0:
            return LEFT_TO_PROTOBUF
        at = begin + length
        room -= 1
        query_id, sku = _find_asked(message, begin, at, rest, rest_is_optional, slots, arena, ruled_slots, ruled_arena)
        if sku < 0:
            return LEFT_TO_PROTOBUF
        start = written + 2
        total = available_total(sku, positions, skus, fences, selection)
        end = _put_query_answer(out, start, query_id, total, threshold)
        out[written] = _ANSWERS_TAG
        out[written + 1] = end - start
        written = end
    return written
