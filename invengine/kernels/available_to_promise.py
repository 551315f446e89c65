"""What can be promised of stock that is still to come, day by day:

    balance[d] = on_hand - safety stock + receipts until d - commitments until d
    available to promise[d] = max(0, min of balance[k] over every k >= d)

A promise for one day is missing on every later day, so each day is capped by the leanest that follows it.

There are two forms. `available_to_promise` is the definition over a row of days, all of them or only those on which
something happens. `promisable_steps` works it out from the replica's own rows for one SKU, at every location at once
and with all that decides what a channel may take: it looks only at the days on which something comes, since few
receipts make few steps and 730 days are mostly like the day before.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.availability import fence_limit, safety_units, uncertain_units
from invengine.kernels.fences import fenced_units
from invengine.kernels.layout import (
    ARRIVAL_DAY,
    ARRIVAL_FREE,
    ARRIVAL_LOCATION,
    ARRIVAL_SAFETY_PARTS,
    ARRIVAL_SAFETY_UNITS,
    CHANNEL,
    EXPIRED,
    FENCES,
    FIRST_ROW,
    FLOOR_PARTS,
    FLOOR_UNITS,
    IGNORED_FENCED,
    IGNORED_OWN,
    IGNORED_UNITS,
    INDEX,
    LOCATION,
    ON_HAND,
    OWN_ONLY,
    PARTS_BITS,
    PARTS_MASK,
    RANK,
    RESERVED,
    ROWS,
    SAFETY_PARTS,
    SAFETY_UNITS,
    STEP_DAY,
    STEP_LOCATION,
    STEP_UNITS,
    TOTAL_MAX,
)

_BLOCK = "int64[:, ::1]"
_COME_MAX = 2**61  # units that come to one location: with all that may be kept of them, sums stay within int64


@njit(f"void(int64[::1], int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def available_to_promise(on_hand, safety_stock, receipts, commitments, out):
    """Fill `out` with the units that a new order may still be promised, per day.

    P positions, D days in their order, the first being the planning day; all int64 units. Days on which nothing comes
    in or goes out may be left out: their answer is that of the day before.
      on_hand, safety_stock  [P]     >= 0
      receipts, commitments  [P, D]  >= 0, due in and due out on that day
      out                    [P, D]  >= 0, never falling along a row
    No sum of a row may leave int64.
    """
    n_positions, n_days = receipts.shape
    for p in range(n_positions):
        balance = on_hand[p] - safety_stock[p]
        for d in range(n_days):
            balance += receipts[p, d] - commitments[p, d]
            out[p, d] = balance
        leanest = balance
        for d in range(n_days - 1, -1, -1):
            leanest = min(leanest, out[p, d])
            out[p, d] = max(leanest, 0)


@njit(nogil=True)
def _first_arrival(arrivals, location):
    """The first line of a location in `arrivals`, or where it would stand: by halves."""
    low, high = 0, arrivals.shape[0]
    while low < high:
        middle = (low + high) // 2
        if arrivals[middle, ARRIVAL_LOCATION] < location:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True)
def _location_steps(positions, fences, row, selection, location, ignored, arrivals, first, steps, count):
    """Add the steps of one location to `steps`, behind the `count` that it has; returns how many it has then.

    `row` is that of the position, -1 for none. `first` is the first line of the location in `arrivals`; when that is of
    another location, or the end, nothing is expected there.
    """
    on_hand = unreserved = counted_at = others = own = units = parts = 0
    free = ignored[selection[location, RANK]]
    if row >= 0:
        on_hand = positions[row, ON_HAND]
        counted_at = positions[row, SAFETY_PARTS] >> PARTS_BITS
        unreserved = on_hand - max(positions[row, RESERVED] - positions[row, EXPIRED] - free[IGNORED_UNITS], 0)
        units, parts = positions[row, SAFETY_UNITS], positions[row, SAFETY_PARTS] & PARTS_MASK
        if positions[row, FENCES] != 0:
            others, own = fenced_units(positions, fences, row, selection[location, CHANNEL])
    others += free[IGNORED_FENCED] - free[IGNORED_OWN]
    own += free[IGNORED_OWN]
    last = first
    while last < arrivals.shape[0] and arrivals[last, ARRIVAL_LOCATION] == location:
        last += 1
    if last > first:
        units = max(units, arrivals[first, ARRIVAL_SAFETY_UNITS])
        parts = max(parts, arrivals[first, ARRIVAL_SAFETY_PARTS])
    units, parts = max(units, selection[location, FLOOR_UNITS]), max(parts, selection[location, FLOOR_PARTS])
    unpromised = 0
    for line in range(first, max(last, first + 1)):
        day = 0
        if line < last:
            day = arrivals[line, ARRIVAL_DAY]
            unpromised = min(unpromised + arrivals[line, ARRIVAL_FREE], _COME_MAX)
        more = max(unpromised, 0)  # units that are backordered go to those who wait for them
        there = on_hand + more
        kept = safety_units(there, units, parts) + uncertain_units(there, counted_at, selection, location)
        limit = fence_limit(unreserved + more, others, own, selection[location, OWN_ONLY])
        steps[count + line - first, STEP_DAY] = day
        steps[count + line - first, STEP_UNITS] = min(unreserved + more - kept, limit)
    end = count + max(last - first, 1)
    leanest = steps[end - 1, STEP_UNITS]
    for line in range(end - 1, count - 1, -1):
        leanest = min(leanest, steps[line, STEP_UNITS])
        steps[line, STEP_UNITS] = min(max(leanest, 0), TOTAL_MAX)
    steps[count, STEP_LOCATION] = location
    kept_lines = count + 1
    for line in range(count + 1, end):
        if steps[line, STEP_UNITS] > steps[kept_lines - 1, STEP_UNITS]:
            steps[kept_lines, STEP_LOCATION] = location
            steps[kept_lines, STEP_DAY] = steps[line, STEP_DAY]
            steps[kept_lines, STEP_UNITS] = steps[line, STEP_UNITS]
            kept_lines += 1
    return kept_lines


@njit(
    f"int64(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})",
    nogil=True,
    cache=True,
)
def promisable_steps(sku, positions, skus, fences, selection, ignored, arrivals, steps):
    """Fill `steps` with what a channel can be promised of one SKU at each usable location; returns how many lines.

      sku        its number, -1 for one that has no position anywhere
      selection  int64 [lines, 10]  what is asked of each location; those beyond it are not asked about
      ignored    int64 [asked, 3]   by rank: reserved by the one who asks, and so free to them
      arrivals   int64 [n, 5]       what is expected, by number of the location and day; see layout
      steps      int64 [>= rows of the SKU + n, 3]  from which day on how many: now (day 0), then days with more
    Percentages are kept of what is there then, when what is promised of the receipts has left: safety stock grows with
    what comes. Nothing that comes after the last line of a location takes units away, so the look-ahead over the lines
    is that over all days.
    """
    count = 0
    has_position = np.zeros(arrivals.shape[0], np.bool_)
    first_row, end_row = 0, 0
    if sku >= 0:
        first_row = skus[sku, FIRST_ROW]
        end_row = first_row + skus[sku, ROWS]
    for row in range(first_row, end_row):
        location = positions[row, LOCATION]
        if location >= selection.shape[0] or selection[location, INDEX] < 0:
            continue
        first = _first_arrival(arrivals, location)
        if first < arrivals.shape[0] and arrivals[first, ARRIVAL_LOCATION] == location:
            has_position[first] = True
        count = _location_steps(positions, fences, row, selection, location, ignored, arrivals, first, steps, count)
    for first in range(arrivals.shape[0]):
        location = arrivals[first, ARRIVAL_LOCATION]
        is_new = arrivals[first, ARRIVAL_DAY] == 0 and not has_position[first]
        if is_new and location < selection.shape[0] and selection[location, INDEX] >= 0:
            count = _location_steps(positions, fences, -1, selection, location, ignored, arrivals, first, steps, count)
    return count
