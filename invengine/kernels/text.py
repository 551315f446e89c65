"""Reading bytes: words, numbers, ends of lines. Helpers that other kernels compile in.

All take `buffer`, uint8 [n], and byte offsets into it; `end` is one past the last byte that may be read.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import UNITS_MAX

TAB = 9
LINE_FEED = 10
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)


@njit(nogil=True)
def word_at(buffer, at):
    """The 8 bytes from `at` on as a little-endian number; the caller knows that they are there."""
    return (
        np.uint64(buffer[at])
        | np.uint64(buffer[at + 1]) << np.uint64(8)
        | np.uint64(buffer[at + 2]) << np.uint64(16)
        | np.uint64(buffer[at + 3]) << np.uint64(24)
        | np.uint64(buffer[at + 4]) << np.uint64(32)
        | np.uint64(buffer[at + 5]) << np.uint64(40)
        | np.uint64(buffer[at + 6]) << np.uint64(48)
        | np.uint64(buffer[at + 7]) << np.uint64(56)
    )


@njit(nogil=True)
def part_word(buffer, at, length):
    """The first `length` bytes from `at` on (8 when more, none when less than 1) as a number, high bytes 0."""
    if length <= 0:
        return np.uint64(0)
    if length >= 8:
        return word_at(buffer, at)
    if at + 8 <= buffer.size:
        return word_at(buffer, at) & ((np.uint64(1) << np.uint64(8 * length)) - np.uint64(1))
    word = np.uint64(0)
    for i in range(length):
        word |= np.uint64(buffer[at + i]) << np.uint64(8 * i)
    return word


@njit(nogil=True)
def line_end(buffer, at, end):
    """Where the first line feed from `at` on is, or `end`: eight bytes a step."""
    while at + 8 <= end:
        word = word_at(buffer, at) ^ _LINE_FEEDS
        if (word - _ONES) & ~word & _HIGHS != np.uint64(0):
            break
        at += 8
    while at < end and buffer[at] != LINE_FEED:
        at += 1
    return at


@njit(nogil=True)
def column_end(buffer, at, end):
    """Where the column that begins at `at` ends: at a TAB, a line feed, or `end`."""
    while at < end and buffer[at] != TAB and buffer[at] != LINE_FEED:
        at += 1
    return at


@njit(nogil=True)
def whole_number(buffer, at, end):
    """The number written in [at, end) in plain digits, 0 to 2^63-1; -1 when it is anything else."""
    if at >= end or end - at > 18:
        return np.int64(-1)
    number = np.int64(0)
    for i in range(at, end):
        digit = np.int64(buffer[i]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        number = number * 10 + digit
    return number


@njit(nogil=True)
def units_number(buffer, at, end):
    """As `whole_number`, and at most 2^53-1."""
    number = whole_number(buffer, at, end)
    return number if number <= UNITS_MAX else np.int64(-1)
