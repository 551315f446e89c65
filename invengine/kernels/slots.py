"""Slots of capacity: what each location can still prepare, day by day."""

from __future__ import annotations

from numba import njit

from invengine.kernels.layout import (
    DAYS_MORE,
    EXPIRED,
    FIRST_ROW,
    LOCATION,
    ON_HAND,
    RESERVED,
    ROWS,
    SLOT_CAPACITY,
    SLOT_LINE,
    SLOT_SKU,
)

_BLOCK = "int64[:, ::1]"


@njit(f"void(int64, {_BLOCK}, int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def count_slots(first_day, rules, day_of, positions, skus, days):
    """Fill the lines of `days` that `rules` name with what is left of each day's capacity.

    Slots are positions (see domain.capacity): the location is a day, reserved are those that are held, of which some
    are over by the clock, and on hand those that are used up.
      first_day  of the window of the tables, since 1970
      rules      int64 [n, 3]      day_of  int64 [locations]  the day that is the name of each location, 0 for none
      positions  int64 [rows, 8]   skus    int64 [skus, 4]
      days       int64 [lines, D + 2]
    """
    size = days.shape[1] - DAYS_MORE
    for i in range(rules.shape[0]):
        line = rules[i, SLOT_LINE]
        for day in range(size):
            days[line, day] = rules[i, SLOT_CAPACITY]
        sku = rules[i, SLOT_SKU]
        if sku < 0:
            continue
        first = skus[sku, FIRST_ROW]
        for row in range(first, first + skus[sku, ROWS]):
            day = day_of[positions[row, LOCATION]] - first_day
            if 0 <= day < size:
                held = max(positions[row, RESERVED] - positions[row, EXPIRED], 0)
                days[line, day] -= positions[row, ON_HAND] + held
