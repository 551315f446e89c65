"""The protobuf wire: hot requests taken apart without a message object; wire_answers.py writes answers.

The .proto is the contract: tests parse the same bytes with protobuf. The kernel holds the GIL, as those that answer do.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.text import matches, part_word

HANDLE_BYTES = 4
_HIGHS = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)
_DELETES = np.uint64(0x7F7F7F7F7F7F7F7F)
_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"
_SKU_TAG = 1 << 3 | 2  # field 1 of both requests, a string
_HANDLES_TAG = 10 << 3 | 2  # field 10 of BatchGetAvailabilityRequest, packed
_LONE_HANDLE_TAG = 10 << 3 | 5  # one of them that is not packed
NAME_BYTES_MAX = 64
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5

NOT_A_MESSAGE = -1
TOO_MANY = -2


@njit(nogil=True)
def read_varint(message, at):
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
        length, start = read_varint(message, at)
        if start < 0 or length > message.size:
            return np.int64(-1)
        after = start + length
    else:
        return np.int64(-1)
    return after if after <= message.size else np.int64(-1)


@njit(nogil=True)
def is_odd_name(message, at, length):
    """Whether a SKU is not for certain valid: not 1 to 64 printable ASCII characters without spaces at the ends."""
    if length == 0 or length > NAME_BYTES_MAX or message[at] == 32 or message[at + length - 1] == 32:
        return True
    bad = np.uint64(0)
    for i in range(0, length, 8):
        word = part_word(message, at + i, length - i)
        if length - i < 8:
            word |= _SPACES << np.uint64(8 * (length - i))
        bad |= (word - _SPACES) & ~word | word | matches(word, _DELETES)
    return bad & _HIGHS != np.uint64(0)


@njit(f"int64({_BYTES}, {_BLOCK}, uint8[::1], uint8[::1], int64[::1])", cache=True)
def split_request(message, spans, odd, rest, lengths):
    """Take the SKUs (field 1) and handles (field 10) out of a GetAvailability or BatchGetAvailability request.

    Returns how many SKUs there are, NOT_A_MESSAGE (also where handles do not stand together), or TOO_MANY for `spans`.
      message      uint8 [bytes]
      spans        int64 [>= n, 2]   filled: first byte and length of each SKU
      odd          uint8 [>= n]      filled: 1 where a SKU has to be looked at more closely before it is believed
      rest         uint8 [>= bytes]  filled: all other fields as they stand
      lengths      int64 [4]         filled: bytes of `rest`, how many of `odd` are 1, first byte and bytes of handles
    """
    count = 0
    kept = 0
    odd_count = 0
    handles_at = handles_bytes = np.int64(0)
    at = np.int64(0)
    while at < message.size:
        begin = at
        if message[at] == _SKU_TAG and at + 1 < message.size and message[at + 1] < 128:  # what nearly every field is
            tag, start, length = np.int64(_SKU_TAG), at + 2, np.int64(message[at + 1])
        else:
            tag, at = read_varint(message, at)
            if at < 0:
                return NOT_A_MESSAGE
            start, length = at, np.int64(0)
            if tag == _SKU_TAG:
                length, start = read_varint(message, at)
        if tag == _SKU_TAG:
            if start < 0 or length > message.size - start:
                return NOT_A_MESSAGE
            if count == spans.shape[0]:
                return TOO_MANY
            spans[count, 0] = start
            spans[count, 1] = length
            is_odd = is_odd_name(message, start, length)
            odd[count] = is_odd
            odd_count += is_odd
            count += 1
            at = start + length
            continue
        value_at, at = at, _skip(message, at, tag & 7)
        if at < 0 or tag >> 3 == 0 or tag == _LONE_HANDLE_TAG:
            return NOT_A_MESSAGE
        if tag == _HANDLES_TAG:
            if handles_bytes > 0:
                return NOT_A_MESSAGE
            handles_bytes, handles_at = read_varint(message, value_at)
            continue
        for i in range(begin, at):
            rest[kept] = message[i]
            kept += 1
    lengths[0] = kept
    lengths[1] = odd_count
    lengths[2] = handles_at
    lengths[3] = handles_bytes
    return count


@njit(f"int64({_BYTES}, int64, int64, int64[::1])", cache=True)
def read_handles(message, begin, known, numbers):
    """Fill `numbers`, int64 [n], with those of SKUs, from the n handles at message[begin:]: fixed32, 1 + the number.

    A handle of 0 gets -1. Returns how many of these there are, or -1 - i where the i-th is not one of the `known` SKUs.
    """
    zeros = np.int64(0)
    for i in range(numbers.size):
        at = begin + HANDLE_BYTES * i
        handle = np.int64(part_word(message, at, HANDLE_BYTES))
        if handle > known:
            return np.int64(-1 - i)
        zeros += handle == 0
        numbers[i] = handle - 1
    return zeros
