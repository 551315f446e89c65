"""The protobuf wire: hot requests taken apart, hot answers written, without a message object.

The .proto is the contract: tests parse every byte with protobuf and compare with what it would have written.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.availability import available_positions
from invengine.kernels.layout import (
    ANSWER_BYTES_MORE,
    LEVEL_IN_STOCK,
    LEVEL_LOW,
    LEVEL_OUT,
    POSITION_BYTES_MAX,
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
from invengine.kernels.text import matches, part_word

_HIGHS = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)
_DELETES = np.uint64(0x7F7F7F7F7F7F7F7F)
_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"
_SKU_TAG = 1 << 3 | 2  # field 1 of both requests, a string
_NAME_BYTES_MAX = 64
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5

NOT_A_MESSAGE = -1
TOO_MANY = -2


@njit(nogil=True)
def _read_varint(message, at):
    """(value, next byte) of the varint at `at`; next is -1 when it does not end in time or leaves int64."""
    value = np.int64(0)
    for i in range(9):
        if at + i >= message.size:
            return value, np.int64(-1)
        byte = np.int64(message[at + i])
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, np.int64(at + i + 1)
    return value, np.int64(-1)


@njit(nogil=True)
def _skip(message, at, wire_type):
    """The first byte behind a value of this wire type, -1 when there is none."""
    if wire_type == VARINT:
        for i in range(10):
            if at + i >= message.size:
                return np.int64(-1)
            if message[at + i] < 128:
                return np.int64(at + i + 1)
        return np.int64(-1)
    if wire_type == FIXED_64:
        after = np.int64(at + 8)
    elif wire_type == FIXED_32:
        after = np.int64(at + 4)
    elif wire_type == LENGTH:
        length, start = _read_varint(message, at)
        if start < 0 or length > message.size:
            return np.int64(-1)
        after = start + length
    else:
        return np.int64(-1)
    return after if after <= message.size else np.int64(-1)


@njit(nogil=True)
def _is_odd(message, at, length):
    """Whether a SKU is not for certain valid: not 1 to 64 printable ASCII characters without spaces at the ends."""
    if length == 0 or length > _NAME_BYTES_MAX or message[at] == 32 or message[at + length - 1] == 32:
        return True
    bad = np.uint64(0)
    for i in range(0, length, 8):
        word = part_word(message, at + i, length - i)
        if length - i < 8:
            word |= _SPACES << np.uint64(8 * (length - i))
        bad |= (word - _SPACES) & ~word | word | matches(word, _DELETES)
    return bad & _HIGHS != np.uint64(0)


@njit(f"int64({_BYTES}, {_BLOCK}, uint8[::1], uint8[::1], int64[::1])", nogil=True, cache=True)
def split_request(message, spans, odd, rest, lengths):
    """Take the SKUs (field 1) out of a GetAvailability or BatchGetAvailability request.

    Returns how many there are, NOT_A_MESSAGE, or TOO_MANY for `spans`.
      message      uint8 [bytes]
      spans        int64 [>= n, 2]   filled: first byte and length of each SKU
      odd          uint8 [>= n]      filled: 1 where a SKU has to be looked at more closely before it is believed
      rest         uint8 [>= bytes]  filled: all other fields as they stand
      lengths      int64 [2]         filled: bytes of `rest`, and how many of `odd` are 1
    """
    count = 0
    kept = 0
    odd_count = 0
    at = np.int64(0)
    while at < message.size:
        begin = at
        if message[at] == _SKU_TAG and at + 1 < message.size and message[at + 1] < 128:  # what nearly every field is
            tag, start, length = np.int64(_SKU_TAG), at + 2, np.int64(message[at + 1])
        else:
            tag, at = _read_varint(message, at)
            if at < 0:
                return NOT_A_MESSAGE
            start, length = at, np.int64(0)
            if tag == _SKU_TAG:
                length, start = _read_varint(message, at)
        if tag == _SKU_TAG:
            if start < 0 or length > message.size - start:
                return NOT_A_MESSAGE
            if count == spans.shape[0]:
                return TOO_MANY
            spans[count, 0] = start
            spans[count, 1] = length
            is_odd = _is_odd(message, start, length)
            odd[count] = is_odd
            odd_count += is_odd
            count += 1
            at = start + length
            continue
        at = _skip(message, at, tag & 7)
        if at < 0 or tag >> 3 == 0:
            return NOT_A_MESSAGE
        for i in range(begin, at):
            rest[kept] = message[i]
            kept += 1
    lengths[0] = kept
    lengths[1] = odd_count
    return count


@njit(nogil=True)
def _put_varint(out, at, value):
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
    return _put_varint(out, at + 1, value)


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
    at = _put_varint(out, at + 1, name_ends[rank] - begin)
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
    nogil=True,
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
        _put_varint(out, at + 1, length)
        at = end
    return at
