"""Loading positions as the store keeps them, straight into the columns. Stops and goes on as `apply_rows` does."""

from __future__ import annotations

from numba import njit

from invengine.kernels.fences import clear_fences, drop_fences, make_fence
from invengine.kernels.layout import (
    DONE,
    ENTRY,
    FENCE_UNITS,
    FENCES,
    FULL_FENCES,
    FULL_POSITIONS,
    FULL_SKUS,
    MALFORMED,
    NAME_AT,
    NAME_LENGTH,
    NEW_CHANNEL,
    NEW_LOCATION,
    OFFSET,
    ON_HAND,
    RESERVED,
    REVISION,
    ROOM,
    ROW_COUNT,
    ROWS_WANTED,
)
from invengine.kernels.names import find
from invengine.kernels.rows import place, set_counted, sku_number
from invengine.kernels.text import column_end, line_end, units_number, whole_number

_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"
_NAMES = "uint64[:, ::1], uint8[::1]"
_COMMA = ord(",")


@njit(nogil=True)
def _position_numbers(buffer, at, end):
    """The numbers of `on_hand,reserved,revision,counted_at_ms`; on_hand is -1 when it is not that."""
    on_hand = reserved = revision = counted_at = 0
    start = at
    column = 0
    for i in range(at, end + 1):
        if i == end or buffer[i] == _COMMA:
            number = units_number(buffer, start, i) if column < 3 else whole_number(buffer, start, i)
            if number < 0:
                return -1, -1, -1, -1
            if column == 0:
                on_hand = number
            elif column == 1:
                reserved = number
            elif column == 2:
                revision = number
            else:
                counted_at = number
            column += 1
            start = i + 1
    if column != 4:
        return -1, -1, -1, -1
    return on_hand, reserved, revision, counted_at


@njit(nogil=True)
def _fences_problem(buffer, at, end, channel_slots, channel_arena, counters):
    """DONE when `at` to `end` are pairs channel TAB units, TABs between, of known channels; or why not."""
    while at < end:
        channel_stop = column_end(buffer, at, end)
        units_stop = column_end(buffer, channel_stop + 1, end)
        if channel_stop == at or units_number(buffer, channel_stop + 1, units_stop) < 0:
            return MALFORMED
        if find(channel_slots, channel_arena, buffer, at, channel_stop - at) < 0:
            counters[NAME_AT] = at
            counters[NAME_LENGTH] = channel_stop - at
            return NEW_CHANNEL
        if units_stop == end - 1:  # a TAB and nothing behind it
            return MALFORMED
        at = units_stop + 1
    return DONE


@njit(nogil=True)
def _load_fences(buffer, at, end, positions, fences, channel_slots, channel_arena, counters, row):
    """Let the position have these ring-fences and no others; False when `fences` has no room: begin again then."""
    clear_fences(positions, fences, row)
    while at < end:
        channel_stop = column_end(buffer, at, end)
        units_stop = column_end(buffer, channel_stop + 1, end)
        channel = find(channel_slots, channel_arena, buffer, at, channel_stop - at)
        line = make_fence(positions, fences, counters, row, channel)
        if line < 0:
            return False
        fences[line, FENCE_UNITS] = units_number(buffer, channel_stop + 1, units_stop)
        at = units_stop + 1
    drop_fences(positions, fences, counters, row)
    return True


@njit(
    f"int64({_BYTES}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_NAMES}, {_NAMES}, {_NAMES}, int64[::1])",
    nogil=True,
    cache=True,
)
def load_positions(
    buffer,
    homes,
    positions,
    skus,
    fences,
    slots,
    arena,
    place_slots,
    place_arena,
    channel_slots,
    channel_arena,
    counters,
):
    """Load SKUs as the store keeps them, from (ENTRY, OFFSET) in `counters` on; DONE, or why it stopped.

      buffer  uint8 [bytes]  per SKU its name, then location and text of each position, every one of these ended by LF;
                             a text is on_hand,reserved,revision,counted_at_ms (TAB channel TAB units)*
      homes   int64 [n, 2]   the partition of each SKU, and how many positions it has

    A SKU gets exactly the room that it needs. A position that is newer in the columns already stays as it is.
    """
    for entry in range(counters[ENTRY], homes.shape[0]):
        counters[ENTRY] = entry
        partition, wanted = homes[entry, 0], homes[entry, 1]
        at = counters[OFFSET]
        stop, tabs = line_end(buffer, at, buffer.size)
        if stop in (at, buffer.size) or tabs > 0:
            return MALFORMED
        sku = sku_number(buffer, at, stop - at, partition, skus, slots, arena, counters)
        if sku < 0:
            return FULL_SKUS
        if skus[sku, ROOM] == 0 and counters[ROW_COUNT] + wanted > positions.shape[0]:
            counters[ROWS_WANTED] = wanted
            return FULL_POSITIONS
        for _ in range(wanted):
            place_at = stop + 1
            place_stop, tabs = line_end(buffer, place_at, buffer.size)
            text_at = place_stop + 1
            stop = line_end(buffer, text_at, buffer.size)[0]
            numbers_stop = column_end(buffer, text_at, stop)
            on_hand, reserved, revision, counted_at = _position_numbers(buffer, text_at, numbers_stop)
            if tabs > 0 or place_stop == place_at or stop >= buffer.size or on_hand < 0 or numbers_stop == stop - 1:
                counters[OFFSET] = place_at
                return MALFORMED
            location = find(place_slots, place_arena, buffer, place_at, place_stop - place_at)
            if location < 0:
                counters[NAME_AT] = place_at
                counters[NAME_LENGTH] = place_stop - place_at
                return NEW_LOCATION
            problem = _fences_problem(buffer, numbers_stop + 1, stop, channel_slots, channel_arena, counters)
            if problem == MALFORMED:
                counters[OFFSET] = place_at
            if problem != DONE:
                return problem
            row = place(positions, skus, counters, sku, location, wanted)
            if row < 0:
                return FULL_POSITIONS
            if revision >= positions[row, REVISION]:
                positions[row, ON_HAND] = on_hand
                positions[row, RESERVED] = reserved
                positions[row, REVISION] = revision
                set_counted(positions, row, counted_at)
                if (numbers_stop < stop or positions[row, FENCES] != 0) and not _load_fences(
                    buffer,
                    numbers_stop + 1,
                    stop,
                    positions,
                    fences,
                    channel_slots,
                    channel_arena,
                    counters,
                    row,
                ):
                    return FULL_FENCES
        counters[OFFSET] = stop + 1
    return DONE
