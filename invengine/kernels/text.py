"""Reading bytes: words, numbers, ends of lines. Helpers that other kernels compile in.

All take `buffer`, uint8 [n], and byte offsets into it; `end` is one past the last byte that may be read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from invengine.kernels.layout import UNITS_MAX

instruction: Any = intrinsic  # numba's declarations know no arguments of intrinsics

TAB = 9
LINE_FEED = 10
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_LOWS = np.uint64(0x7F7F7F7F7F7F7F7F)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_TABS = np.uint64(0x0909090909090909)


@instruction
def word_at(_, buffer, at):
    """The 8 bytes from `at` on as a little-endian number: one load, aligned or not. The caller knows they are there."""

    def load(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        word = builder.load(address)
        word.align = 1
        return word

    return types.uint64(buffer, types.int64), load


@instruction
def prefetch(_, block, row):
    """Asks the CPU to fetch the line of memory where this row of a two-dimensional block begins; never faults."""

    def fetch(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = builder.extract_value(array.strides, 0)
        byte_type = ir.IntType(8).as_pointer()
        address = builder.gep(builder.bitcast(array.data, byte_type), [builder.mul(arguments[1], stride)])
        int_32 = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte_type, int_32, int_32, int_32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        builder.call(function, [address, int_32(0), int_32(3), int_32(1)])
        return context.get_dummy_value()

    return types.void(block, types.int64), fetch


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
def matches(word, pattern):
    """The high bit of each byte of `word` that is as in `pattern`, nothing else."""
    differ = word ^ pattern
    return ~(((differ & _LOWS) + _LOWS) | differ) & _HIGHS


@njit(nogil=True)
def line_end(buffer, at, end):
    """(where the first line feed from `at` on is, or `end`; how many TABs stand before it): eight bytes a step."""
    tabs = np.int64(0)
    while at + 8 <= end:
        word = word_at(buffer, at)
        if matches(word, _LINE_FEEDS) != np.uint64(0):
            break
        tabs += np.int64((matches(word, _TABS) >> np.uint64(7)) * _ONES >> np.uint64(56))
        at += 8
    while at < end and buffer[at] != LINE_FEED:
        tabs += buffer[at] == TAB
        at += 1
    return at, tabs


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
