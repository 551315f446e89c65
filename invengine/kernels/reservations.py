"""Batches of usual reservations: requests read, packed for the store and answered as bytes, without an object for each.

A request is usual when it has a request_id, a channel and one line with a SKU, units, and perhaps a line_id, a location
and a fulfilment without destination, all in printable ASCII. Whatever else a batch holds, it is left to protobuf and
the ordinary way as a whole; tests hold both against each other.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.digests import blake2b, crc32_of, put_hex
from invengine.kernels.wire import LENGTH, VARINT, is_odd_name, read_varint
from invengine.kernels.wire_answers import put_varint

_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"

REQUEST_AT, REQUEST_LENGTH, CHANNEL_AT, CHANNEL_LENGTH, LINE_ID_AT, LINE_ID_LENGTH = 0, 1, 2, 3, 4, 5
SKU_AT, SKU_LENGTH, QUANTITY, LOCATION_AT, LOCATION_LENGTH, FULFILMENT, WAY = 6, 7, 8, 9, 10, 11, 12
ASKED_COLUMNS = 13
"""Of a request: first byte and length of its texts (0 where it has none), units, number of the fulfilment, its way."""

REQUEST_PARTITION, HOME, PARTITION, ITEM_AT, ID_AT, ID_LENGTH = 0, 1, 2, 3, 4, 5
PACKED_COLUMNS = 6
"""Of an item: partitions of its request, its reservation and its SKU; where it and its reservation_id begin."""

CREATED_MS, EXPIRES_AT, REVISION = 0, 1, 2
TAKEN_COLUMNS = 3
"""Of an item that got its units: CREATED_MS is 0 where it did not, or is another one than was asked for."""

UNUSUAL = -1
QUANTITY_MAX = 2**31 - 1
FULFILMENTS = 3  # ANY, SHIP, PICKUP: those that need no destination
_PICKUP = 2
_FULFILMENT_TEXTS = np.frombuffer(b"ANY   SHIP  PICKUP", np.uint8)
_FULFILMENT_LENGTHS = np.array([3, 4, 6], np.int64)
_BEFORE_LINE = np.frombuffer(b"create\t\t0\t0\t\t\t\t0\n", np.uint8)
_BEHIND_LINE = np.frombuffer(b"\t0\t0\t0\t\t\t\n", np.uint8)
"""Of the text that a usual request is fingerprinted by, see services/reservation_requests.py."""

_LINE_ID = 49  # '1', of the only line
_STEM_BYTES, _ENDING_BYTES, _FINGERPRINT_BYTES, _STRUCT_BYTES = 12, 3, 16, 12
ITEM_BYTES_MAX = _STRUCT_BYTES + 5 + (2 * 64 + 1) + (2 * _STEM_BYTES + _ENDING_BYTES) + 2 * _FINGERPRINT_BYTES + 2 * 64
"""A packed item: its numbers, five lengths, request, reservation_id, fingerprint, SKU, line_id."""

ANSWER_BYTES_MAX = 384
"""An outcome: four texts of 64 bytes, the id, numbers and tags."""

_SCRATCH = 640  # the text to fingerprint, at most 257 bytes, and a block behind it
_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True)
def _text_field(message, at, end):
    """(first byte, length, next byte) of a text of at most 64 printable characters; length is -1 when it is another."""
    length, start = read_varint(message, at)
    if start < 0 or length > end - start or is_odd_name(message, start, length):
        return np.int64(0), np.int64(-1), np.int64(0)
    return start, length, start + length


@njit(nogil=True)
def _read_line(message, at, end, asked):
    """Reads a line into the columns of a request; False when it is not a usual one."""
    while at < end:
        tag = message[at]
        if tag == 1 << 3 | LENGTH and asked[LINE_ID_LENGTH] == 0:
            asked[LINE_ID_AT], asked[LINE_ID_LENGTH], at = _text_field(message, at + 1, end)
            if asked[LINE_ID_LENGTH] < 0:
                return False
        elif tag == 2 << 3 | LENGTH and asked[SKU_LENGTH] == 0:
            asked[SKU_AT], asked[SKU_LENGTH], at = _text_field(message, at + 1, end)
            if asked[SKU_LENGTH] < 0:
                return False
        elif tag == 4 << 3 | LENGTH and asked[LOCATION_LENGTH] == 0:
            asked[LOCATION_AT], asked[LOCATION_LENGTH], at = _text_field(message, at + 1, end)
            if asked[LOCATION_LENGTH] < 0:
                return False
        elif tag == 3 << 3 | VARINT and asked[QUANTITY] == 0:
            asked[QUANTITY], at = read_varint(message, at + 1)
            if at < 0 or at > end or asked[QUANTITY] < 1 or asked[QUANTITY] > QUANTITY_MAX:
                return False
        elif tag == 6 << 3 | VARINT and asked[FULFILMENT] == 0:
            asked[FULFILMENT], at = read_varint(message, at + 1)
            if at < 0 or at > end or asked[FULFILMENT] >= FULFILMENTS:
                return False
        else:
            return False
    if asked[FULFILMENT] == _PICKUP and asked[LOCATION_LENGTH] == 0:
        return False
    return asked[SKU_LENGTH] > 0 and asked[QUANTITY] > 0


@njit(nogil=True)
def _read_request(message, at, end, asked):
    """Reads a request into its columns, which are 0; False when it is not a usual one."""
    has_line = False
    while at < end:
        tag = message[at]
        if tag == 1 << 3 | LENGTH and asked[REQUEST_LENGTH] == 0:
            asked[REQUEST_AT], asked[REQUEST_LENGTH], at = _text_field(message, at + 1, end)
            if asked[REQUEST_LENGTH] < 0:
                return False
        elif tag == 3 << 3 | LENGTH and asked[CHANNEL_LENGTH] == 0:
            asked[CHANNEL_AT], asked[CHANNEL_LENGTH], at = _text_field(message, at + 1, end)
            if asked[CHANNEL_LENGTH] < 0:
                return False
        elif tag == 4 << 3 | LENGTH and not has_line:
            length, start = read_varint(message, at + 1)
            if start < 0 or length > end - start or not _read_line(message, start, start + length, asked):
                return False
            has_line = True
            at = start + length
        elif tag == 5 << 3 | VARINT and at + 1 < end and message[at + 1] == 1:  # ALL_OR_NOTHING
            at += 2
        else:
            return False
    return has_line and asked[REQUEST_LENGTH] > 0 and asked[CHANNEL_LENGTH] > 0


@njit(nogil=True)
def _same(message, one, other, length):
    i = 0
    while i < length and message[one + i] == message[other + i]:
        i += 1
    return i == length


@njit(nogil=True)
def _same_way(message, one, other):
    if (
        one[CHANNEL_LENGTH] != other[CHANNEL_LENGTH]
        or one[LOCATION_LENGTH] != other[LOCATION_LENGTH]
        or one[FULFILMENT] != other[FULFILMENT]
    ):
        return False
    return _same(message, one[CHANNEL_AT], other[CHANNEL_AT], one[CHANNEL_LENGTH]) and _same(
        message, one[LOCATION_AT], other[LOCATION_AT], one[LOCATION_LENGTH]
    )


@njit(f"UniTuple(int64, 2)({_BYTES}, {_BLOCK}, int64[::1], int64[::1])", nogil=True, cache=True)
def read_reservations(message, asked, slots, firsts):
    """Take the requests out of a BatchCreateReservationsRequest of usual ones.

    Requests of one channel, location and fulfilment have one way, a number from 0 up. Returns how many requests and how
    many ways there are; UNUSUAL and 0 when one of the requests is not usual, or there are more than `asked` has rows.
      message  uint8 [bytes]
      asked    int64 [>= n, ASKED_COLUMNS]  zeros; filled
      slots    int64 [2^k > n]              filled with -1; used
      firsts   int64 [>= n]                 filled: of each way the first request
    """
    count, ways = 0, 0
    mask = np.uint64(slots.size - 1)
    at = np.int64(0)
    while at < message.size:
        if message[at] != 1 << 3 | LENGTH or count == asked.shape[0]:
            return UNUSUAL, 0
        length, start = read_varint(message, at + 1)
        if start < 0 or length > message.size - start:
            return UNUSUAL, 0
        it = asked[count]
        if not _read_request(message, start, start + length, it):
            return UNUSUAL, 0
        hashed = np.uint64(it[FULFILMENT])
        for i in range(it[CHANNEL_AT], it[CHANNEL_AT] + it[CHANNEL_LENGTH]):
            hashed = (hashed ^ np.uint64(message[i])) * _MIX
        hashed ^= hashed >> np.uint64(29)
        for i in range(it[LOCATION_AT], it[LOCATION_AT] + it[LOCATION_LENGTH]):
            hashed = (hashed ^ np.uint64(message[i])) * _MIX
        slot = (hashed >> np.uint64(32)) & mask
        while slots[slot] >= 0 and not _same_way(message, it, asked[firsts[slots[slot]]]):
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] < 0:
            slots[slot] = ways
            firsts[ways] = count
            ways += 1
        it[WAY] = slots[slot]
        count += 1
        at = start + length
    return count, ways


@njit(nogil=True)
def _put(out, at, text, start, length):
    for i in range(length):
        out[at + i] = text[start + i]
    return at + length


@njit(nogil=True)
def _put_digits(out, at, number):
    digits = 1
    rest = number // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for i in range(digits - 1, -1, -1):
        out[at + i] = 48 + number % 10
        number //= 10
    return at + digits


@njit(nogil=True)
def _put_short(out, at, number):
    out[at] = number & 255
    out[at + 1] = number >> 8
    return at + 2


@njit(nogil=True)
def _put_line_id(out, at, message, asked):
    if asked[LINE_ID_LENGTH] == 0:
        out[at] = _LINE_ID
        return at + 1
    return _put(out, at, message, asked[LINE_ID_AT], asked[LINE_ID_LENGTH])


@njit(nogil=True)
def _put_fingerprint(out, at, message, asked, scratch, work):
    """Writes the fingerprint of a request."""
    end = _put(scratch, 0, _BEFORE_LINE, 0, _BEFORE_LINE.size)
    end = _put_line_id(scratch, end, message, asked)
    scratch[end] = 9
    end = _put(scratch, end + 1, message, asked[SKU_AT], asked[SKU_LENGTH])
    scratch[end] = 9
    end = _put_digits(scratch, end + 1, asked[QUANTITY])
    scratch[end] = 9
    end = _put(scratch, end + 1, message, asked[LOCATION_AT], asked[LOCATION_LENGTH])
    scratch[end] = 9
    scratch[end + 1] = 9
    way = asked[FULFILMENT]
    end = _put(scratch, end + 2, _FULFILMENT_TEXTS, 6 * way, _FULFILMENT_LENGTHS[way])
    end = _put(scratch, end, _BEHIND_LINE, 0, _BEHIND_LINE.size)
    blake2b(scratch, np.int64(0), end, _FINGERPRINT_BYTES, work)
    return put_hex(out, at, work, _FINGERPRINT_BYTES)


@njit(f"int64({_BYTES}, {_BLOCK}, int64, uint8[:, ::1], uint8[::1], {_BLOCK}, uint64[::1])", nogil=True, cache=True)
def pack_reservations(message, asked, partitions, endings, out, packed, work):
    """Pack usual requests for the function that reserves them; the layout of an item stands in lua/plain.lua.

    Each gets the reservation_id that follows from its channel and request_id and lies in the partition of its SKU.
    Returns the bytes written.
      message     uint8 [bytes], asked int64 [n, ASKED_COLUMNS] as `read_reservations` filled them
      partitions  a power of two
      endings     uint8 [partitions, 3]             by the low bits in which an ending differs from the first one
      out         uint8 [n * ITEM_BYTES_MAX + 128]  filled
      packed      int64 [n, PACKED_COLUMNS]         filled
      work        uint64 [WORK_WORDS]               scratch
    """
    mask = partitions - 1
    scratch = np.zeros(_SCRATCH, np.uint8)
    at = np.int64(0)
    for n in range(asked.shape[0]):
        it, found = asked[n], packed[n]
        partition = crc32_of(message, it[SKU_AT], it[SKU_AT] + it[SKU_LENGTH]) & mask
        name_at = at + _STRUCT_BYTES + 1
        name_end = _put(out, name_at, message, it[CHANNEL_AT], it[CHANNEL_LENGTH])
        out[name_end] = 9
        name_end = _put(out, name_end + 1, message, it[REQUEST_AT], it[REQUEST_LENGTH])
        out[name_at - 1] = name_end - name_at
        id_at = name_end + 1
        blake2b(out, name_at, name_end, _STEM_BYTES, work)
        stem_end = put_hex(out, id_at, work, _STEM_BYTES)
        id_end = _put(out, stem_end, endings[0], 0, _ENDING_BYTES)
        _put(out, stem_end, endings[(crc32_of(out, id_at, id_end) ^ partition) & mask], 0, _ENDING_BYTES)
        out[name_end] = id_end - id_at
        request_partition = crc32_of(out, name_at, name_end) & mask
        end = _put_short(out, at, request_partition)
        end = _put_short(out, end, partition)
        end = _put_short(out, end, partition)
        end = _put_short(out, end, it[WAY] + 1)
        end = _put_short(out, end, it[QUANTITY] & 65535)
        _put_short(out, end, it[QUANTITY] >> 16)
        found[REQUEST_PARTITION], found[HOME], found[PARTITION] = request_partition, partition, partition
        found[ITEM_AT], found[ID_AT], found[ID_LENGTH] = at, id_at, id_end - id_at
        out[id_end] = 2 * _FINGERPRINT_BYTES
        at = _put_fingerprint(out, id_end + 1, message, it, scratch, work)
        out[at] = it[SKU_LENGTH]
        at = _put(out, at + 1, message, it[SKU_AT], it[SKU_LENGTH])
        end = _put_line_id(out, at + 1, message, it)
        out[at] = end - at - 1
        at = end
    return at


@njit(nogil=True)
def _put_text(out, at, tag, text, start, length):
    out[at] = tag << 3 | LENGTH
    at = put_varint(out, at + 1, length)
    return _put(out, at, text, start, length)


@njit(nogil=True)
def _put_reservation(out, at, message, asked, items, packed, taken, location, location_at, location_length):
    """Writes a HELD reservation of one line with one allocation."""
    at = _put_text(out, at, 1, items, packed[ID_AT], packed[ID_LENGTH])
    out[at] = 2 << 3
    out[at + 1] = 1
    at = _put_text(out, at + 2, 3, message, asked[CHANNEL_AT], asked[CHANNEL_LENGTH])
    out[at] = 4 << 3 | LENGTH  # its line; the length, below 256, is put in two bytes and moved up when it needs one
    line = at + 3
    end = line
    if asked[LINE_ID_LENGTH] == 0:
        out[end], out[end + 1], out[end + 2] = 1 << 3 | LENGTH, 1, _LINE_ID
        end += 3
    else:
        end = _put_text(out, end, 1, message, asked[LINE_ID_AT], asked[LINE_ID_LENGTH])
    end = _put_text(out, end, 2, message, asked[SKU_AT], asked[SKU_LENGTH])
    out[end] = 3 << 3
    end = put_varint(out, end + 1, asked[QUANTITY])
    if asked[FULFILMENT] > 0:
        out[end], out[end + 1] = 5 << 3, asked[FULFILMENT]
        end += 2
    out[end] = 7 << 3 | LENGTH  # its allocation, of less than 128 bytes
    inner = end + 2
    end = _put_text(out, inner, 1, location, location_at, location_length)
    out[end] = 2 << 3
    end = put_varint(out, end + 1, asked[QUANTITY])
    out[inner - 1] = end - inner
    length = end - line
    first = put_varint(out, at + 1, length)
    if first < line:
        _put(out, first, out, line, length)
    at = first + length
    out[at] = 5 << 3 | LENGTH
    end = at + 3
    out[at + 2] = 1 << 3
    end = put_varint(out, end, taken[EXPIRES_AT])
    out[at + 1] = end - at - 2
    at = end
    out[at] = 6 << 3 | LENGTH
    out[at + 2] = 1 << 3
    end = put_varint(out, at + 3, taken[CREATED_MS] // 1000)
    rest = taken[CREATED_MS] % 1000
    if rest > 0:
        out[end] = 2 << 3
        end = put_varint(out, end + 1, rest * 1_000_000)
    out[at + 1] = end - at - 2
    out[end] = 7 << 3
    return put_varint(out, end + 1, taken[REVISION])


@njit(
    f"int64({_BYTES}, {_BLOCK}, {_BYTES}, {_BLOCK}, {_BLOCK}, {_BYTES}, int64[::1], uint8[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def answer_reservations(message, asked, items, packed, taken, locations, location_ends, out, ends):
    """Write the outcomes of a BatchCreateReservationsResponse for those that got their units. Returns the bytes.

    message, asked, items, packed   as the kernels above have them
    taken          int64 [n, TAKEN_COLUMNS]
    locations      uint8 [bytes]    the name of the first candidate of each way, one behind the other
    location_ends  int64 [ways + 1]  where each begins, and the last one ends
    out            uint8 [n * ANSWER_BYTES_MAX]  filled
    ends           int64 [n]        filled: where each outcome ends; of those that did not, where it would stand
    """
    at = np.int64(0)
    for n in range(asked.shape[0]):
        if taken[n, CREATED_MS] > 0:
            way = asked[n, WAY]
            body = at + 6  # two tags and two lengths, of one or two bytes each
            begin = location_ends[way]
            length = (
                _put_reservation(
                    out, body, message, asked[n], items, packed[n], taken[n],
                    locations, begin, location_ends[way + 1] - begin,
                )
                - body
            )  # fmt: skip
            length_bytes = 1 if length < 128 else 2
            out[at] = 1 << 3 | LENGTH
            end = put_varint(out, at + 1, length + length_bytes + 1)
            out[end] = 1 << 3 | LENGTH
            end = put_varint(out, end + 1, length)
            at = _put(out, end, out, body, length)
        ends[n] = at
    return at
