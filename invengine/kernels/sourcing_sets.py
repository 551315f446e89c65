"""Baskets of which no line need come from two locations: all sets of lines, location by location.

A set is a number; line 0 is its highest bit, so that of two sets the greater one serves the earlier lines. served[k, p, s]
is the least key for which the lines of s come from the locations k and later in at most p parcels (any number of them
where parcels have no limit, and then there is one p): a location serves none of s, or opens and serves some of it. The
lines are added to an open location one by one; where they are in each other's way, set by set.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.sourcing_basket import KEY_MAX
from invengine.kernels.steps import part


@part
def can_go_by_sets(basket):
    """Whether a best plan has every line from one location at most.

    A line that may split need not, where it minds no other line and each location has all of it: of two locations that
    serve it the one where a unit costs less, or the earlier one, could as well serve it alone.
    """
    for line in range(len(basket.need)):
        if basket.whole[line] == 0:
            for k in range(len(basket.opening)):
                units = basket.most[line, k]
                if units > 0 and (units < basket.need[line] or basket.coupled[k] == 1):
                    return False
    return True


@part
def units_for(basket, line, k):
    """Units of a line that a location gives when it serves it and no other minds: all, or one where each is a loss."""
    if basket.short[line] >= 0 and basket.per_unit[line, k] > basket.short[line]:
        return 1
    return basket.most[line, k]


@part
def share_out(basket, k, lines, order, left, units):
    """Fill `units` [L] with what a location gives to a set of lines, each 1 or more; False when it cannot serve them.

    First what each must have; what is left then goes where a unit saves most (`order`): the limits, units of a SKU within
    units of the location, lie one in the other, and there the greedy choice is the best one.
    """
    n_lines = len(basket.need)
    room = basket.capacity[k]
    for s in range(basket.available.shape[0]):
        left[s] = basket.available[s, k]
    for line in range(n_lines):
        units[line] = 0
        if lines >> (n_lines - 1 - line) & 1:
            if basket.most[line, k] == 0:
                return False
            units[line] = basket.need[line] if basket.short[line] < 0 else 1
            left[basket.sku[line]] -= units[line]
            room -= units[line]
            if left[basket.sku[line]] < 0 or room < 0:
                return False
    for line in order:
        if units[line] > 0 and basket.short[line] >= basket.per_unit[line, k]:
            more = min(min(room, left[basket.sku[line]]), basket.need[line] - units[line])
            units[line] += more
            left[basket.sku[line]] -= more
            room -= more
    return True


@part
def _by_saving(basket, k, order):
    """Fill `order` with the lines, the one where a unit from the location saves most first; of equal ones the earlier."""
    for i in range(len(order)):
        line = i
        at = i
        while at > 0:
            before = order[at - 1]
            if basket.short[before] - basket.per_unit[before, k] >= basket.short[line] - basket.per_unit[line, k]:
                break
            order[at] = before
            at -= 1
        order[at] = line


@part
def _cost_sets(basket, k, order, left, units, costs):
    """Fill `costs` [S] with the key of what each set costs at a location that is open, KEY_MAX when it cannot serve it."""
    n_lines = len(basket.need)
    _by_saving(basket, k, order)
    costs[0] = 0
    for s in range(1, len(costs)):
        if not share_out(basket, k, s, order, left, units):
            costs[s] = KEY_MAX
            continue
        costs[s] = 0
        for line in range(n_lines):
            if units[line] > 0:
                costs[s] += units[line] * basket.per_unit[line, k] + basket.once[line, k]
                costs[s] += (basket.need[line] - units[line]) * max(basket.short[line], 0)


@part
def _line_cost(basket, line, k):
    units = units_for(basket, line, k)
    missing = (basket.need[line] - units) * max(basket.short[line], 0)
    return units * basket.per_unit[line, k] + basket.once[line, k] + missing


@part
def _open(basket, k, later, costs, empty, out):
    """Fill `out` [S] with the least key when the location serves one line or more of each set, `later` having the rest."""
    n_lines = len(basket.need)
    for s in range(len(out)):
        empty[s] = later[s] + basket.opening[k]
        out[s] = KEY_MAX
    if basket.coupled[k] == 1:
        for s in range(1, len(out)):
            part = s
            while part:
                if costs[part] < KEY_MAX:
                    out[s] = min(out[s], empty[s ^ part] + costs[part])
                part = (part - 1) & s
        return
    for line in range(n_lines):
        if basket.most[line, k] == 0:
            continue
        cost = _line_cost(basket, line, k)
        bit = 1 << (n_lines - 1 - line)
        for block in range(0, len(out), 2 * bit):
            for s in range(block, block + bit):
                out[s + bit] = min(out[s + bit], min(out[s], empty[s]) + cost)


@part
def unserved(basket, out):
    """Fill `out` [S] with the key of what it costs that the lines of each set come from nowhere."""
    n_lines = len(basket.need)
    out[0] = 0
    for line in range(n_lines - 1, -1, -1):
        bit = 1 << (n_lines - 1 - line)
        cost = basket.need[line] * basket.short[line] if basket.short[line] >= 0 else KEY_MAX
        for s in range(bit):
            out[s + bit] = min(KEY_MAX, out[s] + cost)


@part
def _take_set(basket, k, lines, later, wanted, order, left, units, costs):
    """The greatest set that the location serves when the key of `lines` is `wanted`, `later` having the rest."""
    n_lines = len(basket.need)
    _cost_sets(basket, k, order, left, units, costs)
    part = lines
    while part:
        if costs[part] < KEY_MAX and basket.opening[k] + costs[part] + later[lines ^ part] == wanted:
            share_out(basket, k, part, order, left, units)
            return part
        part = (part - 1) & lines
    for line in range(n_lines):
        units[line] = 0
    return 0


@njit(nogil=True)
def tables(basket, layers):
    """Room for `served` and `opens`: [N + 1, layers + 1, S] each."""
    sets = 1 << len(basket.need)
    size = (len(basket.opening) + 1, layers + 1, sets)
    return np.empty(size, np.int64), np.empty(size, np.bool_)


@njit(nogil=True)
def walk(basket, layers, served, opens, k, p, s, stops, plan):
    """Read the plan for the set `s` in `p` parcels from location `k` on off the tables, into `plan`.

    Ends where a location that `stops` [N] is passed over, and returns what is left: (next location, parcels, set).
    """
    n_lines, n_locations = basket.most.shape
    one = 1 if layers > 0 else 0
    costs, order = np.empty(1 << n_lines, np.int64), np.empty(n_lines, np.int64)
    left, units = np.empty(basket.available.shape[0], np.int64), np.empty(n_lines, np.int64)
    while k < n_locations:
        if opens[k, p, s]:
            part = _take_set(basket, k, s, served[k + 1, p - one], served[k, p, s], order, left, units, costs)
            for line in range(n_lines):
                plan[line, k] = units[line]
            s ^= part
            p -= one
        elif stops[k] == 1:
            return k + 1, p, s
        k += 1
    return k, p, s


@njit(nogil=True)
def best_by_sets(basket, layers, served, opens, plan):
    """The least key of a plan, which is put into `plan` [L, N]; KEY_MAX when there is none.

    layers: 0 for any number of parcels, else as many at most. Of plans with the same key the one whose first location
    serves the greatest set, then the second one, and so on. served, opens: `tables`, the first is needed for the next.
    """
    n_lines, n_locations = basket.most.shape
    sets = 1 << n_lines
    one = 1 if layers > 0 else 0
    costs, empty, found = np.empty(sets, np.int64), np.empty(sets, np.int64), np.empty(sets, np.int64)
    order, units = np.empty(n_lines, np.int64), np.empty(n_lines, np.int64)
    left = np.empty(basket.available.shape[0], np.int64)
    for p in range(layers + 1):
        unserved(basket, served[n_locations, p])
    for k in range(n_locations - 1, -1, -1):
        if basket.coupled[k] == 1:
            _cost_sets(basket, k, order, left, units, costs)
        for s in range(sets if one else 0):
            served[k, 0, s] = served[k + 1, 0, s]
            opens[k, 0, s] = False
        for p in range(one, layers + 1):
            _open(basket, k, served[k + 1, p - one], costs, empty, found)
            for s in range(sets):
                without = served[k + 1, p, s]
                opens[k, p, s] = found[s] <= without and found[s] < KEY_MAX
                served[k, p, s] = min(found[s], without)
    key = served[0, layers, sets - 1]
    plan[:] = 0
    if key < KEY_MAX:
        walk(basket, layers, served, opens, 0, layers, sets - 1, np.zeros(n_locations, np.int64), plan)
    return key


@njit(nogil=True)
def next_by_sets(basket, layers, served, opens, is_in_best, plan):
    """As `best_by_sets`, of the plans that do without one location or more of the best one (is_in_best [N], 0 or 1).

    lacking[k, p, s] is for plans that leave out one of those from k on. Either it is k itself, and the locations behind
    are free to serve (`served`, as the search for the best left it); or it is one behind k, whether k opens or not.
    """
    n_lines, n_locations = basket.most.shape
    sets = 1 << n_lines
    one = 1 if layers > 0 else 0
    lacking, lacking_opens = tables(basket, layers)
    costs, empty, found = np.empty(sets, np.int64), np.empty(sets, np.int64), np.empty(sets, np.int64)
    order, units = np.empty(n_lines, np.int64), np.empty(n_lines, np.int64)
    left = np.empty(basket.available.shape[0], np.int64)
    last = n_locations - 1
    while last >= 0 and is_in_best[last] == 0:
        last -= 1
    plan[:] = 0
    if last < 0:
        return KEY_MAX
    lacking[last + 1] = KEY_MAX
    for k in range(last, -1, -1):
        if basket.coupled[k] == 1:
            _cost_sets(basket, k, order, left, units, costs)
        for p in range(layers + 1):
            found[:] = KEY_MAX
            if p >= one and k < last:
                _open(basket, k, lacking[k + 1, p - one], costs, empty, found)
            for s in range(sets):
                without = served[k + 1, p, s] if is_in_best[k] == 1 else lacking[k + 1, p, s]
                lacking_opens[k, p, s] = found[s] <= without and found[s] < KEY_MAX
                lacking[k, p, s] = min(found[s], without)
    key = lacking[0, layers, sets - 1]
    if key < KEY_MAX:
        k, p, s = walk(basket, layers, lacking, lacking_opens, 0, layers, sets - 1, is_in_best, plan)
        walk(basket, layers, served, opens, k, p, s, np.zeros(n_locations, np.int64), plan)
    return key
