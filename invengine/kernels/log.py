"""Decoding: rows of the change log, and positions as the store keeps them, straight into the columns.

Both kernels stop where they cannot go on, say why, and note the line in OFFSET; whoever called makes room (or names the
location) and calls again. What was done before that line stays done; a line may be begun again.
"""

from __future__ import annotations

from numba import njit

from invengine.kernels.holds import set_hold
from invengine.kernels.layout import (
    ARENA_COUNT,
    CREATED_COUNT,
    CREATED_LOCATION,
    CREATED_NAME_AT,
    CREATED_NAME_LENGTH,
    CREATED_SKU,
    CREATED_WANTED,
    DONE,
    ENTRY,
    ENTRY_END,
    ENTRY_PARTITION,
    ENTRY_REVISION,
    ENTRY_START,
    FIRST_ROW,
    FULL_CREATED,
    FULL_HOLDS,
    FULL_POSITIONS,
    FULL_SKUS,
    INLINE_BYTES,
    LEG_BITS,
    MALFORMED,
    NAME_AT,
    NAME_LENGTH,
    NEW_LOCATION,
    OFFSET,
    ON_HAND,
    PARTITION,
    POSITION_COUNT,
    RESERVED,
    REVISION,
    ROOM,
    ROW_COUNT,
    ROWS,
    ROWS_WANTED,
    SKU_COUNT,
)
from invengine.kernels.names import find, insert
from invengine.kernels.rows import place
from invengine.kernels.text import TAB, column_end, line_end, units_number, whole_number

_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"
_P = ord("P")
_H = ord("H")
_R = ord("R")
_G = ord("G")
_COMMA = ord(",")
_POSITION_COLUMNS = 14  # of a P row
_HOLD_COLUMNS = 6  # of an H row
_RECORD_COLUMNS = 4  # of an R or G row, at least


@njit(nogil=True)
def _sku_number(buffer, at, length, partition, skus, slots, arena, counters):
    """The number of a SKU, new ones numbered on; -1 when there is no room for a new one."""
    sku = find(slots, arena, buffer, at, length)
    if sku >= 0:
        return sku
    sku = counters[SKU_COUNT]
    if sku == skus.shape[0] or 2 * (sku + 1) > slots.shape[0]:
        return -1
    if length > INLINE_BYTES and counters[ARENA_COUNT] + length > arena.size:
        return -1
    counters[ARENA_COUNT] = insert(slots, arena, counters[ARENA_COUNT], buffer, at, length, sku)
    counters[SKU_COUNT] = sku + 1
    skus[sku, FIRST_ROW] = 0
    skus[sku, ROWS] = 0
    skus[sku, ROOM] = 0
    skus[sku, PARTITION] = partition
    return sku


@njit(nogil=True)
def _noted_row(buffer, name_at, name_length, positions, skus, counters, created, sku, location):
    """The row of a position, made and noted in `created` if it is new; -FULL_... when there is no room."""
    before = counters[POSITION_COUNT]
    if counters[CREATED_WANTED] == 1 and counters[CREATED_COUNT] == created.shape[0]:
        return -FULL_CREATED
    row = place(positions, skus, counters, sku, location, 0)
    if row < 0:
        return -FULL_POSITIONS
    if counters[CREATED_WANTED] == 1 and counters[POSITION_COUNT] > before:
        note = counters[CREATED_COUNT]
        created[note, CREATED_SKU] = sku
        created[note, CREATED_LOCATION] = location
        created[note, CREATED_NAME_AT] = name_at
        created[note, CREATED_NAME_LENGTH] = name_length
        counters[CREATED_COUNT] = note + 1
    return row


@njit(nogil=True)
def _position_numbers(buffer, at, end):
    """on_hand, reserved, revision of `on_hand,reserved,revision,counted_at_ms`; on_hand is -1 when it is not that."""
    on_hand = reserved = revision = 0
    start = at
    column = 0
    for i in range(at, end + 1):
        if i == end or buffer[i] == _COMMA:
            number = units_number(buffer, start, i) if column < 3 else whole_number(buffer, start, i)
            if number < 0:
                return -1, -1, -1
            if column == 0:
                on_hand = number
            elif column == 1:
                reserved = number
            elif column == 2:
                revision = number
            column += 1
            start = i + 1
    if column != 4:
        return -1, -1, -1
    return on_hand, reserved, revision


@njit(
    f"int64({_BYTES}, {_BLOCK}, {_BLOCK}, {_BLOCK}, uint64[:, ::1], uint8[::1], uint64[:, ::1], uint8[::1], "
    f"{_BLOCK}, {_BLOCK}, int64[::1], int64[::1], {_BLOCK})",
    nogil=True,
    cache=True,
)
def apply_rows(
    buffer,
    entries,
    positions,
    skus,
    slots,
    arena,
    place_slots,
    place_arena,
    holds,
    hold_slots,
    wheel,
    counters,
    created,
):
    """Apply the log rows of many entries, from (ENTRY, OFFSET) in `counters` on; DONE, or why it stopped.

      buffer       uint8 [bytes]   lines `P ...`, `H ...`, `R ...`, `G ...`: columns ended by TAB, lines by a line feed
      entries      int64 [n, 4]    partition, revision, first byte, one past the last byte; in the order of the log
      positions, skus, holds, hold_slots, wheel, counters, created: as in layout.py
      slots, arena                 names of SKUs;    place_slots, place_arena  names of locations

    Numbers in the rows are absolute, so a row may come again; one that is older than its position changes nothing.
    """
    for entry in range(counters[ENTRY], entries.shape[0]):
        counters[ENTRY] = entry
        partition, revision, end = (
            entries[entry, ENTRY_PARTITION],
            entries[entry, ENTRY_REVISION],
            entries[entry, ENTRY_END],
        )
        at = max(counters[OFFSET], entries[entry, ENTRY_START])
        while at < end:
            counters[OFFSET] = at
            stop, tabs = line_end(buffer, at, end)
            if stop == end or stop - at < 3 or buffer[at + 1] != TAB or buffer[stop - 1] != TAB:
                return MALFORMED
            kind = buffer[at]
            if kind in (_R, _G):
                if tabs < _RECORD_COLUMNS:
                    return MALFORMED
                at = stop + 1
                continue
            if kind not in (_P, _H):
                return MALFORMED
            leg = 0
            sku_at = at + 2
            if kind == _H:
                leg_stop = column_end(buffer, sku_at, stop)
                leg = units_number(buffer, sku_at, leg_stop)
                if leg < 0:
                    return MALFORMED
                sku_at = leg_stop + 1
            sku_stop = column_end(buffer, sku_at, stop)
            place_at = sku_stop + 1
            place_stop = column_end(buffer, place_at, stop)
            first_at = place_stop + 1
            first_stop = column_end(buffer, first_at, stop)
            second_at = first_stop + 1
            second_stop = column_end(buffer, second_at, stop)
            first = units_number(buffer, first_at, first_stop)
            second = units_number(buffer, second_at, second_stop)
            if first < 0 or second < 0 or sku_stop == sku_at or place_stop == place_at:
                return MALFORMED
            if tabs != (_POSITION_COLUMNS if kind == _P else _HOLD_COLUMNS):
                return MALFORMED
            location = find(place_slots, place_arena, buffer, place_at, place_stop - place_at)
            if location < 0:
                counters[NAME_AT] = place_at
                counters[NAME_LENGTH] = place_stop - place_at
                return NEW_LOCATION
            sku = _sku_number(buffer, sku_at, sku_stop - sku_at, partition, skus, slots, arena, counters)
            if sku < 0:
                return FULL_SKUS
            row = _noted_row(buffer, sku_at, sku_stop - sku_at, positions, skus, counters, created, sku, location)
            if row < 0:
                return -row
            if kind == _P:
                if revision >= positions[row, REVISION]:
                    positions[row, ON_HAND] = first
                    positions[row, RESERVED] = second
                    positions[row, REVISION] = revision
            else:
                key = partition << LEG_BITS | leg
                if not set_hold(positions, skus, holds, hold_slots, wheel, counters, key, sku, location, first, second):
                    return FULL_HOLDS
            at = stop + 1
        counters[OFFSET] = end
    return DONE


@njit(
    f"int64({_BYTES}, int64[::1], {_BLOCK}, {_BLOCK}, "
    "uint64[:, ::1], uint8[::1], uint64[:, ::1], uint8[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def load_positions(buffer, partitions, positions, skus, slots, arena, place_slots, place_arena, counters):
    """Load SKUs as the store keeps them, from (ENTRY, OFFSET) in `counters` on; DONE, or why it stopped.

      buffer      uint8 [bytes]  a line per SKU: `sku (TAB location TAB on_hand,reserved,revision,counted_at_ms)* LF`
      partitions  int64 [n]      the partition of each line's SKU

    A SKU gets exactly the room that it needs. A position that is newer in the columns already stays as it is.
    """
    for entry in range(counters[ENTRY], partitions.size):
        counters[ENTRY] = entry
        at = counters[OFFSET]
        stop, tabs = line_end(buffer, at, buffer.size)
        if stop == buffer.size:
            return MALFORMED
        sku_stop = column_end(buffer, at, stop)
        if sku_stop == at or tabs % 2 == 1:
            return MALFORMED
        sku = _sku_number(buffer, at, sku_stop - at, partitions[entry], skus, slots, arena, counters)
        if sku < 0:
            return FULL_SKUS
        if skus[sku, ROOM] == 0 and counters[ROW_COUNT] + tabs // 2 > positions.shape[0]:
            counters[ROWS_WANTED] = tabs // 2
            return FULL_POSITIONS
        field = sku_stop
        while field < stop:
            place_at = field + 1
            place_stop = column_end(buffer, place_at, stop)
            field = column_end(buffer, place_stop + 1, stop)
            location = find(place_slots, place_arena, buffer, place_at, place_stop - place_at)
            if location < 0:
                counters[NAME_AT] = place_at
                counters[NAME_LENGTH] = place_stop - place_at
                return NEW_LOCATION
            on_hand, reserved, revision = _position_numbers(buffer, place_stop + 1, field)
            if on_hand < 0 or place_stop == place_at:
                return MALFORMED
            row = place(positions, skus, counters, sku, location, tabs // 2)
            if row < 0:
                return FULL_POSITIONS
            if revision >= positions[row, REVISION]:
                positions[row, ON_HAND] = on_hand
                positions[row, RESERVED] = reserved
                positions[row, REVISION] = revision
        counters[OFFSET] = stop + 1
    return DONE
