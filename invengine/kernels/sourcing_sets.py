"""Baskets of which no line need come from two locations: all sets of lines, location by location.

A set is a number; line 0 is its highest bit, so that of two sets the greater one serves the earlier lines. served[k,
p, s] is the least key for which the lines of s come from the locations k and later in at most p parcels (any number
of them where parcels have no limit, and then there is one p): a location serves none of s, or opens and serves some
of it. The lines are added to an open location one by one; where they are in each other's way, set by set.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.sourcing_basket import (
    CAPACITY,
    COUPLED,
    KEY_MAX,
    MOST,
    NEED,
    ONCE,
    OPENING,
    PER_UNIT,
    SHORT,
    SKU,
    WHOLE_LINE,
    clear_plan,
)
from invengine.kernels.steps import part, routine


@part
def can_go_by_sets(basket):
    """Whether a best plan has every line from one location at most.

    A line that may split need not, where it minds no other line and each location has all of it: of two locations that
    serve it the one where a unit costs less, or the earlier one, could as well serve it alone.
    """
    for line in range(basket.lines.shape[1]):
        if basket.lines[WHOLE_LINE, line] == 0:
            for k in range(basket.places.shape[1]):
                units = basket.pairs[MOST, line, k]
                if units > 0 and (units < basket.lines[NEED, line] or basket.places[COUPLED, k] == 1):
                    return False
    return True


@part
def units_for(basket, line, k):
    """Units of a line that a location gives when it serves it and no other minds: all, or one where each is a loss."""
    if basket.lines[SHORT, line] >= 0 and basket.pairs[PER_UNIT, line, k] > basket.lines[SHORT, line]:
        return 1
    return basket.pairs[MOST, line, k]


@part
def share_out(basket, k, lines, order, left, units):
    """Fill `units` [L] with what a location gives to a set of lines, each 1 or more; False when it cannot serve them.

    First what each must have; what is left then goes where a unit saves most (`order`): the limits, units of a SKU
    within units of the location, lie one in the other, and there the greedy choice is the best one.
    """
    n_lines = basket.lines.shape[1]
    room = basket.places[CAPACITY, k]
    for s in range(basket.available.shape[0]):
        left[s] = basket.available[s, k]
    for line in range(n_lines):
        units[line] = 0
        if lines >> (n_lines - 1 - line) & 1:
            if basket.pairs[MOST, line, k] == 0:
                return False
            units[line] = basket.lines[NEED, line] if basket.lines[SHORT, line] < 0 else 1
            left[basket.lines[SKU, line]] -= units[line]
            room -= units[line]
            if left[basket.lines[SKU, line]] < 0 or room < 0:
                return False
    for line in order:
        if units[line] > 0 and basket.lines[SHORT, line] >= basket.pairs[PER_UNIT, line, k]:
            more = min(room, left[basket.lines[SKU, line]], basket.lines[NEED, line] - units[line])
            units[line] += more
            left[basket.lines[SKU, line]] -= more
            room -= more
    return True


@part
def _by_saving(basket, k, order):
    """Fill `order` with the lines, the one first where a unit from the location saves most."""
    for i in range(len(order)):
        line = i
        at = i
        while at > 0:
            before = order[at - 1]
            if (
                basket.lines[SHORT, before] - basket.pairs[PER_UNIT, before, k]
                >= basket.lines[SHORT, line] - basket.pairs[PER_UNIT, line, k]
            ):
                break
            order[at] = before
            at -= 1
        order[at] = line


@part
def _cost_sets(basket, k, order, left, units, costs):
    """Fill `costs` [S] with what each set costs at a location that is open, KEY_MAX when it cannot serve it."""
    n_lines = basket.lines.shape[1]
    _by_saving(basket, k, order)
    costs[0] = 0
    for s in range(1, len(costs)):
        if not share_out(basket, k, s, order, left, units):
            costs[s] = KEY_MAX
            continue
        costs[s] = 0
        for line in range(n_lines):
            if units[line] > 0:
                costs[s] += units[line] * basket.pairs[PER_UNIT, line, k] + basket.pairs[ONCE, line, k]
                costs[s] += (basket.lines[NEED, line] - units[line]) * max(basket.lines[SHORT, line], 0)


@part
def _line_cost(basket, line, k):
    units = units_for(basket, line, k)
    missing = (basket.lines[NEED, line] - units) * max(basket.lines[SHORT, line], 0)
    return units * basket.pairs[PER_UNIT, line, k] + basket.pairs[ONCE, line, k] + missing


@part
def _open(basket, k, later, alone, costs, empty, out):
    """Fill `out` [S] with the least key when a location serves one line or more of each set, `later` having the rest.

    alone [L] what each line costs there, KEY_MAX when it does not come from there; costs [S] what each set does, looked
    at where lines are in each other's way.
    """
    n_lines = basket.lines.shape[1]
    for s in range(len(out)):
        empty[s] = later[s] + basket.places[OPENING, k]
        out[s] = KEY_MAX
    if basket.places[COUPLED, k] == 1:
        for s in range(1, len(out)):
            part_of = s
            while part_of:
                if costs[part_of] < KEY_MAX:
                    out[s] = min(out[s], empty[s ^ part_of] + costs[part_of])
                part_of = (part_of - 1) & s
        return
    for line in range(n_lines):
        if alone[line] < KEY_MAX:
            bit = 1 << (n_lines - 1 - line)
            for block in range(0, len(out), 2 * bit):
                for s in range(block, block + bit):
                    out[s + bit] = min(out[s + bit], min(out[s], empty[s]) + alone[line])


@part
def unserved(basket, out):
    """Fill `out` [S] with the key of what it costs that the lines of each set come from nowhere."""
    n_lines = basket.lines.shape[1]
    out[0] = 0
    for line in range(n_lines - 1, -1, -1):
        bit = 1 << (n_lines - 1 - line)
        cost = basket.lines[NEED, line] * basket.lines[SHORT, line] if basket.lines[SHORT, line] >= 0 else KEY_MAX
        for s in range(bit):
            out[s + bit] = min(KEY_MAX, out[s] + cost)


@part
def _keep(basket, closed, is_limited, kept, alone):
    """Fill `kept` with the locations that a best plan can use, `alone` [., L] with their costs; returns how many.

    Each line of a plan could have a parcel of its own from where that costs least, or be missing. So a line does not
    come from where it costs more than that, and a location does not open that saves less, over all its lines, than it
    costs. Where parcels are limited, that is no way out, and every location is kept that is not `closed`.
    """
    n_lines, n_locations = basket.pairs.shape[1], basket.pairs.shape[2]
    count = 0
    for k in range(n_locations):
        if closed[k] == 0:
            for line in range(n_lines):
                alone[count, line] = _line_cost(basket, line, k) if basket.pairs[MOST, line, k] > 0 else KEY_MAX
            kept[count] = k
            count += 1
    if is_limited:
        return count
    own = alone[n_locations]
    for line in range(n_lines):
        own[line] = KEY_MAX if basket.lines[SHORT, line] < 0 else basket.lines[NEED, line] * basket.lines[SHORT, line]
        for i in range(count):
            if basket.places[COUPLED, kept[i]] == 0 and alone[i, line] < KEY_MAX:
                own[line] = min(own[line], alone[i, line] + basket.places[OPENING, kept[i]])
    left = 0
    for i in range(count):
        saved = 0
        for line in range(n_lines):
            if alone[i, line] > own[line]:
                alone[i, line] = KEY_MAX
            elif alone[i, line] < KEY_MAX:
                saved = min(KEY_MAX, saved + own[line] - alone[i, line])
        if saved >= basket.places[OPENING, kept[i]]:
            kept[left] = kept[i]
            for line in range(n_lines):
                alone[left, line] = alone[i, line]
            left += 1
    return left


@routine
def _take_set(basket, k, lines, later, wanted, alone, order, left, units, costs):
    """The greatest set that the location serves when the key of `lines` is `wanted`, `later` having the rest."""
    n_lines = basket.lines.shape[1]
    if basket.places[COUPLED, k] == 1:
        _cost_sets(basket, k, order, left, units, costs)
    else:
        _by_saving(basket, k, order)
        costs[0] = 0
        for line in range(n_lines - 1, -1, -1):
            bit = 1 << (n_lines - 1 - line)
            for s in range(bit):
                costs[s + bit] = min(KEY_MAX, costs[s] + alone[line])
    taken = lines
    while taken:
        if costs[taken] < KEY_MAX and basket.places[OPENING, k] + costs[taken] + later[lines ^ taken] == wanted:
            share_out(basket, k, taken, order, left, units)
            return taken
        taken = (taken - 1) & lines
    for line in range(n_lines):
        units[line] = 0
    return 0


@routine
def best_by_sets(basket, closed, layers, plan):
    """The least key of a plan, which is put into `plan` [L, N]; KEY_MAX when there is none.

    closed [N] 1: the location is not used. layers: 0 for any number of parcels, else as many at most. Of plans with the
    same key the one whose first location serves the greatest set, then the second one, and so on.
    """
    n_lines, n_locations = basket.pairs.shape[1], basket.pairs.shape[2]
    sets = 1 << n_lines
    one = 1 if layers > 0 else 0
    kept, alone = np.empty(n_locations, np.int64), np.empty((n_locations + 1, n_lines), np.int64)
    count = _keep(basket, closed, layers > 0, kept, alone)
    served = np.empty((count + 1, layers + 1, sets), np.int64)
    opens = np.empty((count, layers + 1, sets), np.bool_)
    costs, empty, found = np.empty(sets, np.int64), np.empty(sets, np.int64), np.empty(sets, np.int64)
    order, units = np.empty(n_lines, np.int64), np.empty(n_lines, np.int64)
    left = np.empty(basket.available.shape[0], np.int64)
    for p in range(layers + 1):
        unserved(basket, served[count, p])
    for i in range(count - 1, -1, -1):
        if basket.places[COUPLED, kept[i]] == 1:
            _cost_sets(basket, kept[i], order, left, units, costs)
        for s in range(sets if one else 0):
            served[i, 0, s] = served[i + 1, 0, s]
            opens[i, 0, s] = False
        for p in range(one, layers + 1):
            _open(basket, kept[i], served[i + 1, p - one], alone[i], costs, empty, found)
            for s in range(sets):
                without = served[i + 1, p, s]
                opens[i, p, s] = found[s] <= without and found[s] < KEY_MAX
                served[i, p, s] = min(found[s], without)
    key = served[0, layers, sets - 1]
    clear_plan(plan)
    p, s = layers, sets - 1
    for i in range(count):
        if key < KEY_MAX and opens[i, p, s]:
            later, wanted = served[i + 1, p - one], served[i, p, s]
            s ^= _take_set(basket, kept[i], s, later, wanted, alone[i], order, left, units, costs)
            p -= one
            for line in range(n_lines):
                plan[line, kept[i]] = units[line]
    return key
