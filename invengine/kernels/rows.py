"""SKUs and their rows in the position block: where they are, room for one more, safety rules, packing."""

from __future__ import annotations

from numba import njit

from invengine.kernels.layout import (
    ARENA_COUNT,
    CHANGED_COUNT,
    CHANGED_MARK,
    CHANGED_ROWS,
    CHANGED_SKU,
    COUNTED_MAX,
    EXPIRED,
    FENCES,
    FIRST_ROW,
    INLINE_BYTES,
    LOCATION,
    ON_HAND,
    PARTITION,
    PARTS_BITS,
    PARTS_MASK,
    POSITION_COLUMNS,
    POSITION_COUNT,
    RESERVED,
    REVISION,
    ROOM,
    ROW_COUNT,
    ROWS,
    ROWS_WANTED,
    SAFETY_PARTS,
    SAFETY_UNITS,
    SKU_COUNT,
)
from invengine.kernels.names import find, insert


@njit(nogil=True)
def sku_number(buffer, at, length, partition, skus, slots, arena, counters):
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
def row_of(positions, skus, sku, location):
    """The row of a position, or -1. The rows of one SKU are adjacent and few: a scan is one or two cache misses."""
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        if positions[row, LOCATION] == location:
            return row
    return -1


@njit(nogil=True)
def place(positions, skus, counters, sku, location, room):
    """The row of a position, made with zeros when it is new; -1 when `positions` has no room, and nothing was changed.

    A SKU whose room is full moves to the end with half as much again, or with `room` lines when that is more; what it
    leaves behind is reclaimed by `pack_rows`.
    """
    row = row_of(positions, skus, sku, location)
    if row >= 0:
        return row
    rows = skus[sku, ROWS]
    if rows == skus[sku, ROOM]:
        room = max(room, rows + rows // 2 + 1)
        start = counters[ROW_COUNT]
        if start + room > positions.shape[0]:
            counters[ROWS_WANTED] = room
            return -1
        first = skus[sku, FIRST_ROW]
        for moved in range(rows):
            for column in range(POSITION_COLUMNS):
                positions[start + moved, column] = positions[first + moved, column]
        skus[sku, FIRST_ROW] = start
        skus[sku, ROOM] = room
        counters[ROW_COUNT] = start + room
    row = skus[sku, FIRST_ROW] + rows
    positions[row, LOCATION] = location
    positions[row, ON_HAND] = 0
    positions[row, RESERVED] = 0
    positions[row, EXPIRED] = 0
    positions[row, REVISION] = 0
    positions[row, SAFETY_UNITS] = 0
    positions[row, SAFETY_PARTS] = 0
    positions[row, FENCES] = 0
    skus[sku, ROWS] = rows + 1
    counters[POSITION_COUNT] += 1
    return row


@njit(nogil=True)
def set_counted(positions, row, counted_at_ms):
    """Let the position in `row` be counted last at this millisecond, 0 for never."""
    parts = positions[row, SAFETY_PARTS] & PARTS_MASK
    positions[row, SAFETY_PARTS] = min(counted_at_ms, COUNTED_MAX) << PARTS_BITS | parts


@njit(nogil=True)
def note_change(changed, counters, sku):
    """Note that the SKU has changed, once until somebody looks; nothing where nobody watches."""
    if sku < changed.shape[0] and changed[sku, CHANGED_MARK] == 0:
        changed[sku, CHANGED_MARK] = 1
        changed[counters[CHANGED_COUNT], CHANGED_SKU] = sku
        counters[CHANGED_COUNT] += 1


@njit("int64(int64[:, ::1], int64[::1], int64[::1])", nogil=True, cache=True)
def take_changed(changed, counters, out):
    """Move the numbers of the SKUs that were noted into `out`, int64 [>= their count]; returns how many."""
    count = counters[CHANGED_COUNT]
    for i in range(count):
        sku = changed[i, CHANGED_SKU]
        changed[sku, CHANGED_MARK] = 0
        out[i] = sku
    counters[CHANGED_COUNT] = 0
    counters[CHANGED_ROWS] = 0
    return count


@njit("void(int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], uint8[::1])", nogil=True, cache=True)
def changed_since(numbers, revisions, positions, skus, out):
    """Fill `out` with 1 for each SKU that may have changed since its partition was at a revision, else with 0.

      numbers    int64 [n]           of the SKUs, -1 for one that is not known: that may have been known
      revisions  int64 [partitions]  what the one who asks has seen
    Units of holds that are over by the clock came free without a revision, so a SKU that has any may have changed.
    """
    for i in range(numbers.size):
        sku = numbers[i]
        out[i] = sku < 0
        if sku >= 0:
            seen = revisions[skus[sku, PARTITION]]
            first = skus[sku, FIRST_ROW]
            for row in range(first, first + skus[sku, ROWS]):
                if positions[row, REVISION] > seen or positions[row, EXPIRED] != 0:
                    out[i] = 1


@njit("int64(int64[::1], int64[::1], int64, int64[::1])", nogil=True, cache=True)
def newer_slots(slots, changed_at, count, out):
    """Write those of `slots`, int64 [n], that changed after `count` into `out`, int64 [n]; returns how many.

    changed_at  int64 [>= every slot]  the count at which each slot changed
    """
    found = 0
    for i in range(slots.size):
        if changed_at[slots[i]] > count:
            out[found] = slots[i]
            found += 1
    return found


@njit("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])", nogil=True, cache=True)
def pack_rows(positions, packed, skus, counters):
    """Copy the rows in use of every SKU into `packed`, int64 [rows, 8], by SKU number and without holes.

    `skus` and `counters` then speak of `packed`; every SKU has exactly the room that it uses.
    """
    used = 0
    for sku in range(counters[SKU_COUNT]):
        first, rows = skus[sku, FIRST_ROW], skus[sku, ROWS]
        for row in range(rows):
            for column in range(POSITION_COLUMNS):
                packed[used + row, column] = positions[first + row, column]
        skus[sku, FIRST_ROW] = used
        skus[sku, ROOM] = rows
        used += rows
    counters[ROW_COUNT] = used


@njit("void(int64[:, ::1], int64[:, ::1], int64[::1])", nogil=True, cache=True)
def clear_safety(positions, skus, counters):
    """Let no rule keep units back at any position; when it was counted stays."""
    for sku in range(counters[SKU_COUNT]):
        first = skus[sku, FIRST_ROW]
        for row in range(first, first + skus[sku, ROWS]):
            positions[row, SAFETY_UNITS] = 0
            positions[row, SAFETY_PARTS] &= ~PARTS_MASK


@njit("void(int64[:, ::1], int64[:, ::1], int64, int64, int64, int64)", nogil=True, cache=True)
def raise_safety(positions, skus, sku, location, units, parts):
    """Raise the safety rules of a SKU at `location`, at all its locations when that is -1, to at least these.

    units >= 0; parts 0 to 10,000, ten-thousandths of on_hand. Does nothing where there is no such position.
    """
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        if location in (-1, positions[row, LOCATION]):
            positions[row, SAFETY_UNITS] = max(positions[row, SAFETY_UNITS], units)
            before = positions[row, SAFETY_PARTS] & PARTS_MASK
            positions[row, SAFETY_PARTS] += max(before, parts) - before
