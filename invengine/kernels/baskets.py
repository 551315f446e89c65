"""From which locations the lines of a basket come, when it is known on which day each could have them there.

A set of lines is a number whose bits are its lines. Lines are in groups, those of one group next to each other: whether
a location can serve several lines of a group, and when, depends on all of them (they take the same units, or the same
capacity); lines of different groups do not mind each other. So a day is known per location and set of lines of a group.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import (
    BEST_COST,
    BEST_DAY,
    BEST_LINES,
    BEST_NEVER,
    BEST_PARCELS,
    BEST_RANKS,
    ORDER_END,
    ORDER_FIRST,
    ORDER_LINES,
    TOTAL_MAX,
    WANTED_FIRST,
    WANTED_ROWS,
    WANTED_UNITS,
)

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"
_CUBE = "int64[:, :, ::1]"
COST_MAX = 2**56  # no parcel is counted as dearer


@njit(nogil=True)
def _earliest(days, first, sets):
    """The earliest day by which the whole of a group can be there, from any locations; BEST_NEVER when it cannot.

    best[s] is the earliest day for the set s by the locations so far. A location that serves part of s leaves the rest
    to those before it; s is gone through downwards, so that the rest is still theirs.
    """
    best = np.full(sets, BEST_NEVER, np.int64)
    best[0] = 0
    for k in range(days.shape[0]):
        for s in range(sets - 1, 0, -1):
            part = s
            while part:
                day = max(best[s ^ part], days[k, first + part])
                best[s] = min(best[s], day)
                part = (part - 1) & s
    return best[sets - 1]


@njit(nogil=True)
def _is_better(cost, parcels, ranks, totals, s):
    """Whether these come before what totals has for the set: by cost, then parcels, then ranks."""
    if cost != totals[s, 0]:
        return cost < totals[s, 0]
    if parcels != totals[s, 1]:
        return parcels < totals[s, 1]
    return ranks < totals[s, 2]


@njit(nogil=True)
def _choose(least_day, sizes, days, costs, fixed, totals, served, out):
    """As `choose_locations` below, which is its door; `days` and `costs` may be wider than the sets are many."""
    n_groups, n_locations = len(sizes), days.shape[0]
    n_lines = 0
    latest = least_day
    first = 0
    for g in range(n_groups):
        sets = 1 << sizes[g]
        latest = max(latest, _earliest(days, first, sets))
        first += sets
        n_lines += sizes[g]
    out[:] = -1
    out[BEST_DAY] = latest
    if latest >= BEST_NEVER:
        out[BEST_DAY] = BEST_NEVER
        return
    everything = 1 << n_lines
    opened = everything  # totals[opened + s]: the set s with the location at hand open
    for s in range(everything):
        totals[s, 0], totals[s, 1], totals[s, 2] = TOTAL_MAX, 0, 0
    totals[0, 0] = 0
    for k in range(n_locations):
        for s in range(everything):
            totals[opened + s, 0] = min(TOTAL_MAX, totals[s, 0] + fixed[k, 0])
            totals[opened + s, 1], totals[opened + s, 2] = totals[s, 1] + fixed[k, 1], totals[s, 2]
            served[k, s] = 0
        first = 0
        shift = 0
        for g in range(n_groups):
            sets = 1 << sizes[g]
            for s in range(everything - 1, 0, -1):
                mine = (s >> shift) & (sets - 1)
                part = mine
                while part:
                    if days[k, first + part] <= latest:
                        rest = s ^ (part << shift)
                        if totals[opened + rest, 0] < TOTAL_MAX:
                            lines, bits = 0, part
                            while bits:
                                bits &= bits - 1
                                lines += 1
                            cost = totals[opened + rest, 0] + costs[k, first + part]
                            parcels = totals[opened + rest, 1]
                            ranks = totals[opened + rest, 2] + k * lines
                            if _is_better(cost, parcels, ranks, totals, opened + s):
                                totals[opened + s, 0], totals[opened + s, 1] = cost, parcels
                                totals[opened + s, 2] = ranks
                                served[k, s] = served[k, rest] | (part << shift)
                    part = (part - 1) & mine
            first += sets
            shift += sizes[g]
        for s in range(everything):
            is_used = served[k, s] != 0 and totals[opened + s, 0] < TOTAL_MAX
            if is_used and _is_better(totals[opened + s, 0], totals[opened + s, 1], totals[opened + s, 2], totals, s):
                totals[s, 0], totals[s, 1] = totals[opened + s, 0], totals[opened + s, 1]
                totals[s, 2] = totals[opened + s, 2]
            else:
                served[k, s] = 0
    left = everything - 1
    out[BEST_COST], out[BEST_PARCELS], out[BEST_RANKS] = totals[left, 0], totals[left, 1], totals[left, 2]
    for k in range(n_locations - 1, -1, -1):
        mine = served[k, left]
        for line in range(n_lines):
            if mine >> line & 1:
                out[BEST_LINES + line] = k
        left ^= mine


@njit(f"void(int64, {_ROW}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_ROW})", cache=True, nogil=True)
def choose_locations(least_day, sizes, days, costs, fixed, totals, served, out):
    """Fill `out` with the best way to serve a basket: the earliest day, then the least cost, then the fewest parcels
    (used locations), then the least sum of the lines' ranks; a location's rank is its place. Of equal ones the first.

    G groups of L lines in all, K locations, S = 2^L sets; all int64.
      least_day          no day before it counts as earlier: cost decides up to it
      sizes   [G]        lines of each group, 1 or more
      days    [K, W]     the day on which a set of a group's lines is there when all of it comes from the location,
                         BEST_NEVER when it cannot; the sets of group g begin at the sum of 2^size of the groups before
                         it, the first of them is the empty set (not looked at). More lines are never there earlier
      costs   [K, W]     what that set costs there besides `fixed`, 0 to 2^56
      fixed   [K, 2]     what a parcel from the location costs, 0 to 2^56, and how many more parcels that makes: 1, or 0
                         where one comes from there anyway
      totals  [2 * S, 3], served [K, S]    room to work in
      out     [4 + L]    day, cost, parcels, ranks, then the location of each line; the day is BEST_NEVER, and the
                         rest -1, where the basket cannot be served
    With the day known, a set of lines is served by the locations one by one: each opens or not, and takes of each group
    what is best given what those before it serve. That looks at every combination without forming it.
    """
    _choose(least_day, sizes, days, costs, fixed, totals, served, out)


@njit(nogil=True)
def _lay_order(order, lines, rows, places, days, parcels, units, option, basket_days, basket_costs, basket_fixed, at):
    """Lay an order's lines out for `choose_locations`: of the locations that could serve any of them, a line each.

    Returns how many these are; `at` [locations] is -1, and has their places while this works.
    """
    first, count, end = order[ORDER_FIRST], order[ORDER_LINES], order[ORDER_END]
    n_places = 0
    for line in range(first, first + count):
        for row in range(lines[line, WANTED_FIRST], lines[line, WANTED_FIRST] + lines[line, WANTED_ROWS]):
            at[places[rows[row]]] = 0
    for place in range(len(at)):  # in their order: a location's place is its rank
        if at[place] == 0:
            at[place] = n_places
            basket_fixed[n_places, 0], basket_fixed[n_places, 1] = parcels[end, option, place], 1
            for column in range(2 * count):
                basket_days[n_places, column], basket_costs[n_places, column] = BEST_NEVER, 0
            n_places += 1
    for line in range(first, first + count):
        column = 2 * (line - first) + 1
        for row in range(lines[line, WANTED_FIRST], lines[line, WANTED_FIRST] + lines[line, WANTED_ROWS]):
            place = at[places[rows[row]]]
            basket_days[place, column] = days[end, option, rows[row]]
            cost = units[end, option, places[rows[row]]]
            wanted = lines[line, WANTED_UNITS]
            basket_costs[place, column] = cost * wanted if cost == 0 or wanted < COST_MAX // cost else COST_MAX
    return n_places


@njit(f"void({_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {_CUBE}, {_CUBE}, {_CUBE}, {_BLOCK}, {_ROW})", cache=True, nogil=True)
def choose_for_orders(orders, lines, rows, places, days, parcels, units, out, served_by):
    """Fill `out` with the best way and day of many orders, each as if alone, whose lines take nothing from each other.

    n orders of m lines in all, of 1 to 12 lines each; S sources, units at a location from an instant on; L locations in
    the order of their rank; E ends (where orders go, and in which ways) with O options each.
      orders     int64 [n, 3]     lines  int64 [m, 3]     see layout
      rows       int64 [r]        the sources that could serve all of a line, one of each location
      places     int64 [S]        the location of each source
      days       int64 [E, O, S]  the day of units from a source, BEST_NEVER for none (or no such option)
      parcels    int64 [E, O, L]  what a parcel from a location costs     units  [E, O, L]  and each unit in it; to 2^56
      out        int64 [n, 3]     day (BEST_NEVER: none), option (-1), cost; of equal days the cheapest, then the first
      served_by  int64 [m]        the location of each line; -1
    """
    most = 1
    for order in range(orders.shape[0]):
        most = max(most, orders[order, ORDER_LINES])
    n_locations = parcels.shape[2]
    basket_days = np.empty((n_locations, 2 * most), np.int64)
    basket_costs = np.empty((n_locations, 2 * most), np.int64)
    basket_fixed = np.empty((n_locations, 2), np.int64)
    totals = np.empty((2 << most, 3), np.int64)
    served = np.empty((n_locations, 1 << most), np.int64)
    best = np.empty(BEST_LINES + most, np.int64)
    sizes = np.ones(most, np.int64)
    at = np.full(n_locations, -1, np.int64)
    names = np.empty(n_locations, np.int64)
    for order in range(orders.shape[0]):
        first, count = orders[order, ORDER_FIRST], orders[order, ORDER_LINES]
        out[order, 0], out[order, 1], out[order, 2] = BEST_NEVER, -1, 0
        for line in range(first, first + count):
            served_by[line] = -1
        for option in range(days.shape[1]):
            n_places = _lay_order(
                orders[order], lines, rows, places, days, parcels, units, option,
                basket_days, basket_costs, basket_fixed, at,
            )  # fmt: skip
            place = 0
            for location in range(n_locations):
                if at[location] >= 0:
                    names[place] = location
                    at[location] = -1
                    place += 1
            if n_places == 0:
                break
            _choose(
                0, sizes[:count], basket_days[:n_places], basket_costs[:n_places], basket_fixed[:n_places],
                totals, served, best,
            )  # fmt: skip
            day, cost = best[BEST_DAY], best[BEST_COST]
            if day < out[order, 0] or (day == out[order, 0] and day < BEST_NEVER and cost < out[order, 2]):
                out[order, 0], out[order, 1], out[order, 2] = day, option, cost
                for line in range(count):
                    served_by[first + line] = names[best[BEST_LINES + line]]
