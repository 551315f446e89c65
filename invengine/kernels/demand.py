"""What customers wanted, read out of the change log: lines of reservations that became orders, sales at tills."""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import (
    DEMAND_ENTRY,
    DEMAND_ORDER,
    DEMAND_PLACE_AT,
    DEMAND_PLACE_LENGTH,
    DEMAND_SKU_AT,
    DEMAND_SKU_LENGTH,
    DEMAND_TO_AT,
    DEMAND_TO_LENGTH,
    DEMAND_UNITS,
)
from invengine.kernels.text import TAB, column_end, line_end, units_number

_P, _R = ord("P"), ord("R")
_MINUS, _SPACE, _UNCOMMITTED = ord("-"), ord(" "), ord("!")
_P_COLUMNS = 14  # as store/lua/README.md has them, like those of records
_ALLOCATION_COLUMNS = 6
_HELD = np.frombuffer(b"HELD", np.uint8)
_CONFIRMED = np.frombuffer(b"CONFIRMED", np.uint8)
_FULFILLED = np.frombuffer(b"FULFILLED", np.uint8)
_SALE = np.frombuffer(b"SALE", np.uint8)
_SHIP = np.frombuffer(b"SHIP", np.uint8)
_SHIP_TO_STORE = np.frombuffer(b"SHIP_TO_STORE", np.uint8)
_TRANSFER = np.frombuffer(b"TRANSFER", np.uint8)


@njit(nogil=True)
def _is(buffer, at, end, word):
    """Whether the bytes there are that word."""
    if end - at != len(word):
        return False
    for i in range(len(word)):  # noqa: SIM110 - numba has no all()
        if buffer[at + i] != word[i]:
            return False
    return True


@njit(nogil=True)
def _skip(buffer, at, stop, columns):
    """Where the column behind so many begins; `stop` where there are not so many."""
    for _ in range(columns):
        if at >= stop:
            return stop
        at = column_end(buffer, at, stop) + 1
    return at


@njit(nogil=True)
def _sale(buffer, at, stop, line):
    """Fill `line` from a P row (from its SKU on) that is a sale at a till; its units, 0 for any other row."""
    place_at = _skip(buffer, at, stop, 1)
    change_at = _skip(buffer, place_at, stop, 4)
    kind_at = _skip(buffer, change_at, stop, 2)
    if (
        kind_at >= stop
        or buffer[change_at] != _MINUS
        or not _is(buffer, kind_at, column_end(buffer, kind_at, stop), _SALE)
    ):
        return 0
    line[DEMAND_SKU_AT], line[DEMAND_SKU_LENGTH] = at, place_at - 1 - at
    line[DEMAND_PLACE_AT] = place_at
    line[DEMAND_PLACE_LENGTH] = column_end(buffer, place_at, stop) - place_at
    line[DEMAND_TO_AT] = line[DEMAND_TO_LENGTH] = 0
    line[DEMAND_UNITS] = units_number(buffer, change_at + 1, column_end(buffer, change_at + 1, stop))
    return line[DEMAND_UNITS]


@njit(nogil=True)
def _ordered(buffer, at, stop):
    """Where the lines of a record begin whose R row (from the id on) made it an order, and their number; else 0, 0.

    A hold is no order yet: it becomes one when it is confirmed, or fulfilled at once. A record that was one before, and
    pieces that nobody committed, are none.
    """
    before_at = _skip(buffer, at, stop, 1)
    record_at = _skip(buffer, before_at, stop, 1)
    token_at = _skip(buffer, record_at, stop, 8)
    count_at = _skip(buffer, token_at, stop, 1)
    lines_at = _skip(buffer, count_at, stop, 1)
    if lines_at >= stop:
        return 0, 0
    if record_at - 1 > before_at and not _is(buffer, before_at, record_at - 1, _HELD):
        return 0, 0
    state_end = column_end(buffer, record_at, stop)
    if not (_is(buffer, record_at, state_end, _CONFIRMED) or _is(buffer, record_at, state_end, _FULFILLED)):
        return 0, 0
    if buffer[token_at] == _UNCOMMITTED:
        return 0, 0
    return lines_at, units_number(buffer, count_at, lines_at - 1)


@njit(nogil=True)
def _line(buffer, at, stop, line):
    """Fill `line` from a line of a record; (where the next one begins, its units: 0 for slots and transfers)."""
    sku_at = _skip(buffer, at, stop, 2)
    units_at = _skip(buffer, sku_at, stop, 1)
    way_at = _skip(buffer, units_at, stop, 1)
    to_at = _skip(buffer, way_at, stop, 1)
    future_at = _skip(buffer, to_at, stop, 3)
    count_at = _skip(buffer, future_at, stop, 1)
    first_at = _skip(buffer, count_at, stop, 1)
    if count_at >= stop:
        return stop, 0
    allocations = units_number(buffer, count_at, first_at - 1)
    if allocations < 0:
        return stop, 0
    following = _skip(buffer, first_at, stop, allocations * _ALLOCATION_COLUMNS)
    if buffer[sku_at] == _SPACE or _is(buffer, way_at, to_at - 1, _TRANSFER):
        return following, 0
    line[DEMAND_SKU_AT], line[DEMAND_SKU_LENGTH] = sku_at, units_at - 1 - sku_at
    line[DEMAND_PLACE_AT], line[DEMAND_PLACE_LENGTH] = first_at, 0
    if allocations > 0:
        line[DEMAND_PLACE_LENGTH] = column_end(buffer, first_at, stop) - first_at
    line[DEMAND_TO_AT], line[DEMAND_TO_LENGTH] = to_at, 0
    if _is(buffer, way_at, to_at - 1, _SHIP) or _is(buffer, way_at, to_at - 1, _SHIP_TO_STORE):
        line[DEMAND_TO_LENGTH] = future_at - 1 - to_at
    line[DEMAND_UNITS] = units_number(buffer, units_at, way_at - 1)
    return following, line[DEMAND_UNITS]


@njit("int64(Array(uint8, 1, 'C', readonly=True), int64[:, ::1], int64[:, ::1])", nogil=True, cache=True)
def demand_lines(buffer, entries, out):
    """Fill `out` with the lines that customers wanted, in the order of the log; how many there are.

      buffer   uint8 [bytes]           rows of the change log, each ended by TAB and a line feed
      entries  int64 [n, 2]            first byte of each entry, one past its last
      out      int64 [m, DEMAND_COLUMNS]  filled; as long as `buffer` has bytes / 16, or longer
    A row that is not as it should be has no lines: whoever follows the stock says so.
    """
    count = order = 0
    for entry in range(entries.shape[0]):
        at, end = entries[entry, 0], entries[entry, 1]
        while at < end:
            stop, tabs = line_end(buffer, at, end)
            if stop - at > 2 and buffer[at + 1] == TAB and buffer[stop - 1] == TAB:
                if buffer[at] == _P and tabs == _P_COLUMNS and count < out.shape[0]:
                    if _sale(buffer, at + 2, stop, out[count]) > 0:
                        out[count, DEMAND_ENTRY], out[count, DEMAND_ORDER] = entry, order
                        order += 1
                        count += 1
                elif buffer[at] == _R:
                    line_at, lines = _ordered(buffer, at + 2, stop)
                    before = count
                    while lines > 0 and line_at < stop and count < out.shape[0]:
                        line_at, units = _line(buffer, line_at, stop, out[count])
                        lines -= 1
                        if units > 0:
                            out[count, DEMAND_ENTRY], out[count, DEMAND_ORDER] = entry, order
                            count += 1
                    if count > before:
                        order += 1
            at = stop + 1
    return count
