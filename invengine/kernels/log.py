"""Decoding the change log, straight into the columns.

The kernel stops where it cannot go on, says why, and notes the line in OFFSET; whoever called makes room (or names the
location or channel) and calls again. What was done before that line stays done; a line may be begun again.
"""

from __future__ import annotations

from numba import njit

from invengine.kernels.fences import drop_fences, fence_of, make_fence
from invengine.kernels.holds import set_hold
from invengine.kernels.layout import (
    CHANGED_ROWS,
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
    FENCE_UNITS,
    FULL_CREATED,
    FULL_FENCES,
    FULL_HOLDS,
    FULL_PASSED,
    FULL_POSITIONS,
    FULL_SKUS,
    LEG_BITS,
    MALFORMED,
    NAME_AT,
    NAME_LENGTH,
    NEW_CHANNEL,
    NEW_LOCATION,
    OFFSET,
    ON_HAND,
    PASSED_COUNT,
    PASSED_END,
    PASSED_ENTRY,
    PASSED_START,
    POSITION_COUNT,
    RESERVED,
    REVISION,
)
from invengine.kernels.names import find
from invengine.kernels.rows import note_change, place, set_counted, sku_number
from invengine.kernels.text import TAB, column_end, line_end, units_number, whole_number

_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_BLOCK = "int64[:, ::1]"
_NAMES = "uint64[:, ::1], uint8[::1]"
_P, _F, _H = ord("P"), ord("F"), ord("H")
_A, _Z = ord("A"), ord("Z")
_SPACE = ord(" ")
_I, _B, _R, _G, _U, _T = ord("I"), ord("B"), ord("R"), ord("G"), ord("U"), ord("T")
_POSITION_COLUMNS = 14  # of a P row, its letter among them
_FENCE_COLUMNS = 5
_HOLD_COLUMNS = 8
_INCOMING_COLUMNS = 10  # and one more where a transfer brings the units
_PROMISE_COLUMNS = 11
_STATE_COLUMNS = 7
_RECORD_COLUMNS = 4  # of an R, G or T row, at least


@njit(nogil=True)
def _is_whole(kind, tabs):
    """Whether a row of this kind has so many columns, each ended by a TAB; of a kind that is not known, any number."""
    if kind == _P:
        return tabs == _POSITION_COLUMNS
    if kind == _H:
        return tabs == _HOLD_COLUMNS
    if kind == _F:
        return tabs == _FENCE_COLUMNS
    if kind == _I:
        return tabs in (_INCOMING_COLUMNS, _INCOMING_COLUMNS + 1)
    if kind == _B:
        return tabs == _PROMISE_COLUMNS
    if kind == _U:
        return tabs == _STATE_COLUMNS
    if kind in (_R, _G, _T):
        return tabs >= _RECORD_COLUMNS
    return _A <= kind <= _Z  # of a newer library: those who know it read it


@njit(nogil=True)
def _set_fence(positions, fences, counters, row, channel, units):
    """Let a channel's ring-fence at the position have so many units; False when `fences` has no room."""
    line = fence_of(positions, fences, row, channel)
    if line < 0 and units > 0:
        line = make_fence(positions, fences, counters, row, channel)
        if line < 0:
            return False
    if line >= 0:
        fences[line, FENCE_UNITS] = units
        if units == 0:
            drop_fences(positions, fences, counters, row)
    return True


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


@njit(
    f"int64({_BYTES}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_NAMES}, {_NAMES}, {_NAMES}, "
    f"{_BLOCK}, {_BLOCK}, int64[::1], int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK})",
    nogil=True,
    cache=True,
)
def apply_rows(
    buffer,
    entries,
    positions,
    skus,
    fences,
    slots,
    arena,
    place_slots,
    place_arena,
    channel_slots,
    channel_arena,
    holds,
    hold_slots,
    wheel,
    counters,
    created,
    passed,
    changed,
):
    """Apply the log rows of many entries, from (ENTRY, OFFSET) in `counters` on; DONE, or why it stopped.

      buffer       uint8 [bytes]   lines `P ...`, `F ...`, `H ...`, ...: columns ended by TAB, lines by a line feed
      entries      int64 [n, 4]    partition, revision, first byte, one past the last byte; in the order of the log
      positions, skus, fences, holds, hold_slots, wheel, counters, created: as in layout.py
      slots, arena                 names of SKUs;    place_...  names of locations;    channel_...  of channels
      passed       int64 [n, 3]    filled: where the rows are that are not for the columns: I, U, and those of slots
      changed      int64 [n, 2]    filled: SKUs of the P, F and H rows

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
            if not _is_whole(kind, tabs):
                return MALFORMED
            if kind not in (_P, _H, _F):
                if kind in (_I, _U):
                    note = counters[PASSED_COUNT]
                    if note == passed.shape[0]:
                        return FULL_PASSED
                    passed[note, PASSED_ENTRY] = entry
                    passed[note, PASSED_START] = at
                    passed[note, PASSED_END] = stop
                    counters[PASSED_COUNT] = note + 1
                at = stop + 1
                continue
            leg = 0
            sku_at = at + 2
            if kind == _H:
                leg_stop = column_end(buffer, sku_at, stop)
                leg = units_number(buffer, sku_at, leg_stop)
                if leg < 0:
                    return MALFORMED
                sku_at = leg_stop + 1
            if buffer[sku_at] == _SPACE and kind != _F:  # of slots: no goods
                note = counters[PASSED_COUNT]
                if note == passed.shape[0]:
                    return FULL_PASSED
                passed[note, PASSED_ENTRY] = entry
                passed[note, PASSED_START] = at
                passed[note, PASSED_END] = stop
                counters[PASSED_COUNT] = note + 1
                at = stop + 1
                continue
            sku_stop = column_end(buffer, sku_at, stop)
            place_at = sku_stop + 1
            place_stop = column_end(buffer, place_at, stop)
            if sku_stop == sku_at or place_stop == place_at:
                return MALFORMED
            channel_at = channel_stop = place_stop + 1
            if kind == _F:
                channel_stop = column_end(buffer, channel_at, stop)
                first_at = channel_stop + 1
            else:
                first_at = place_stop + 1
            first_stop = column_end(buffer, first_at, stop)
            first = units_number(buffer, first_at, first_stop)
            second = fenced = counted_at = 0
            if kind != _F:
                second_stop = column_end(buffer, first_stop + 1, stop)
                second = units_number(buffer, first_stop + 1, second_stop)
                if kind == _P:
                    counted_at = whole_number(buffer, second_stop + 1, column_end(buffer, second_stop + 1, stop))
                if kind == _H:
                    channel_at = column_end(buffer, second_stop + 1, stop) + 1
                    fenced = units_number(buffer, second_stop + 1, channel_at - 1)
                    channel_stop = column_end(buffer, channel_at, stop)
                    if fenced < 0 or fenced > first or (fenced > 0) != (channel_stop > channel_at):
                        return MALFORMED
            if first < 0 or second < 0 or counted_at < 0 or (kind == _F and channel_stop == channel_at):
                return MALFORMED
            location = find(place_slots, place_arena, buffer, place_at, place_stop - place_at)
            if location < 0:
                counters[NAME_AT] = place_at
                counters[NAME_LENGTH] = place_stop - place_at
                return NEW_LOCATION
            channel = -1
            if channel_stop > channel_at:
                channel = find(channel_slots, channel_arena, buffer, channel_at, channel_stop - channel_at)
                if channel < 0:
                    counters[NAME_AT] = channel_at
                    counters[NAME_LENGTH] = channel_stop - channel_at
                    return NEW_CHANNEL
            sku = sku_number(buffer, sku_at, sku_stop - sku_at, partition, skus, slots, arena, counters)
            if sku < 0:
                return FULL_SKUS
            row = _noted_row(buffer, sku_at, sku_stop - sku_at, positions, skus, counters, created, sku, location)
            if row < 0:
                return -row
            note_change(changed, counters, sku)
            if kind == _P:
                counters[CHANGED_ROWS] += 1
                if revision >= positions[row, REVISION]:
                    positions[row, ON_HAND] = first
                    positions[row, RESERVED] = second
                    positions[row, REVISION] = revision
                    set_counted(positions, row, counted_at)
            elif kind == _F:
                is_news = revision >= positions[row, REVISION]
                if is_news and not _set_fence(positions, fences, counters, row, channel, first):
                    return FULL_FENCES
            else:
                fence = -1
                if fenced > 0 and second > 0:
                    fence = make_fence(positions, fences, counters, row, channel)
                    if fence < 0:
                        return FULL_FENCES
                if not set_hold(
                    positions,
                    skus,
                    fences,
                    holds,
                    hold_slots,
                    wheel,
                    counters,
                    partition << LEG_BITS | leg,
                    sku,
                    location,
                    first,
                    second,
                    fenced,
                    fence,
                ):
                    return FULL_HOLDS
            at = stop + 1
        counters[OFFSET] = end
    return DONE
