"""A basket as its search sees it: the locations that can serve some of it, costs and tie-breaks in one number.

The key of a plan is cost * radix + parcels * step + ranks, step being more than any sum of ranks and radix more than
any parcels * step: so of two plans the one with the lesser key costs less, or costs the same with fewer parcels, or
has as many with the lesser ranks. Whatever adds up for costs adds up for keys, and one comparison decides.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from invengine.kernels.layout import NO_LIMIT, RULE_CAPACITY, RULE_STOCK
from invengine.kernels.steps import part, stretch

KEY_MAX = 2**61  # no key comes near it: stands for "no plan"
WORK_OF_NODE = 4096  # steps of a search that are counted as a node: 5 to 10 us
_ROOM = 2.0**59  # what keys, and the sums on the way to them, must stay below

# L lines, N locations that can serve some line, K SKUs; int64. Few arrays: each is seven numbers to every function.
#   lines [4, L]     NEED units   SKU 0 to K - 1   WHOLE_LINE 1: from one location at most   SHORT key of a unit, -1
#   pairs [3, L, N]  MOST units of the line that can come from there, were it alone; 0 when it cannot
#                    PER_UNIT, ONCE keys
#   places [4, N]    CAPACITY units, as many as the basket has where there is no limit     OPENING key of a parcel
#                    COUPLED 1: lines there are in each other's way     PLACE the caller's number
#   available [K, N] units
#   work [1]         steps that the search has done: what ends it, see WORK_OF_NODE
#   parcels_max how many parcels, N when there is no limit     radix, step see above
Basket = namedtuple("Basket", "lines pairs places available work parcels_max radix step")
NEED, SKU, WHOLE_LINE, SHORT = 0, 1, 2, 3
MOST, PER_UNIT, ONCE = 0, 1, 2
CAPACITY, OPENING, COUPLED, PLACE = 0, 1, 2, 3


@part
def units_at_most(wanted, whole, shortage, available, capacity):
    """(units of one line that can come from one location, were it alone; rule against it or 0)."""
    units = min(wanted, available)
    must_be_all = whole and shortage < 0
    if units <= 0 or (must_be_all and units < wanted):
        return 0, RULE_STOCK
    if capacity != NO_LIMIT:
        units = min(units, capacity)
        if units <= 0 or (must_be_all and units < wanted):
            return 0, RULE_CAPACITY
    return units, 0


@part
def rule_out(wanted, sku, may_split, shortage, available, capacity, forbidden, ruled):
    """Fill `ruled` [L, N] with why a line cannot come from a location; returns how many locations are left."""
    left = 0
    for n in range(available.shape[1]):
        serves = 0
        for line in range(len(wanted)):
            ruled[line, n] = forbidden[line, n]
            if forbidden[line, n] == 0:
                units, ruled[line, n] = units_at_most(
                    wanted[line], may_split[line] == 0, shortage[line], available[sku[line], n], capacity[n]
                )
                serves += units > 0
        left += serves > 0
    return left


@part
def is_coupled(lines, shares, available, capacity, pairs, n):
    """Whether lines at a location take units of one SKU (if some lines share one), or capacity, from each other."""
    total = 0
    for line in range(lines.shape[1]):
        total += pairs[MOST, line, n]
    if total > capacity:
        return 1
    for line in range(lines.shape[1] if shares else 0):
        of_sku = 0
        for other in range(lines.shape[1]):
            if lines[SKU, other] == lines[SKU, line]:
                of_sku += pairs[MOST, other, n]
        if of_sku > available[lines[SKU, line], n]:
            return 1
    return 0


@part
def is_too_large(wanted, shortage, unit_cost, line_cost, parcel_cost, ruled, radix):
    """Whether keys of this basket, or what is worked out on the way, could leave int64."""
    worst = 1.0
    for n in range(len(parcel_cost)):
        worst += parcel_cost[n]
    for line in range(len(wanted)):
        dearest = max(shortage[line], 0)
        for n in range(len(parcel_cost)):
            if ruled[line, n] == 0:
                dearest = max(dearest, unit_cost[line, n])
                worst += line_cost[line, n]
        worst += float(dearest) * wanted[line]
    return worst * radix * (len(wanted) + 2) >= _ROOM


@stretch
def lay_out(
    wanted, sku, may_split, shortage, available, unit_cost, line_cost, parcel_cost, rank, capacity, ruled,
    parcels_max, left, radix, step,
):  # fmt: skip
    """The basket over the `left` locations that are not ruled out for every line."""
    n_lines, n_skus = len(wanted), available.shape[0]
    lines, pairs = np.empty((4, n_lines), np.int64), np.zeros((3, n_lines, left), np.int64)
    places, held = np.empty((4, left), np.int64), np.empty((n_skus, left), np.int64)
    total, shares = 0, False
    for line in range(n_lines):
        lines[NEED, line], lines[SKU, line], lines[WHOLE_LINE, line] = wanted[line], sku[line], 1 - may_split[line]
        lines[SHORT, line] = shortage[line] * radix if shortage[line] >= 0 else -1
        total += wanted[line]
        for other in range(line):
            shares = shares or sku[other] == sku[line]
    k = 0
    for n in range(available.shape[1]):
        serves = False
        for line in range(n_lines):
            if ruled[line, n] == 0:
                serves = True
                units = min(wanted[line], available[sku[line], n])
                pairs[MOST, line, k] = units if capacity[n] == NO_LIMIT else min(units, capacity[n])
                pairs[PER_UNIT, line, k] = unit_cost[line, n] * radix
                pairs[ONCE, line, k] = line_cost[line, n] * radix
        if serves:
            for s in range(n_skus):
                held[s, k] = available[s, n]
            places[PLACE, k] = n
            places[CAPACITY, k] = total if capacity[n] == NO_LIMIT else min(total, capacity[n])
            places[OPENING, k] = parcel_cost[n] * radix + step + rank[n]
            places[COUPLED, k] = is_coupled(lines, shares, held, places[CAPACITY, k], pairs, k)
            k += 1
    return Basket(lines, pairs, places, held, np.zeros(1, np.int64), parcels_max, radix, step)


@part
def clear(numbers):
    """Put 0 into a row. Of loops numba makes a tenth of the code that it makes of `numbers[:] = 0`; likewise below."""
    for i in range(len(numbers)):
        numbers[i] = 0


@part
def copy_row(numbers, to):
    """Fill a row with what is in another one."""
    for i in range(len(numbers)):
        to[i] = numbers[i]


@part
def copy_plan(plan, to):
    """Fill `to` [L, N] with a plan."""
    for line in range(plan.shape[0]):
        for k in range(plan.shape[1]):
            to[line, k] = plan[line, k]


@part
def clear_plan(plan):
    """Make a plan [L, N] the one that nothing comes from anywhere."""
    for line in range(plan.shape[0]):
        for k in range(plan.shape[1]):
            plan[line, k] = 0


@part
def uses(plan, used):
    """Fill `used` [N] with 1 for each location that something comes from."""
    for k in range(plan.shape[1]):
        used[k] = 0
        for line in range(plan.shape[0]):
            if plan[line, k] > 0:
                used[k] = 1


@part
def comes_before(plan, other):
    """Whether a plan is before another one with its key: which serves which first, then the units."""
    for by_units in range(2):
        for k in range(plan.shape[1]):
            for line in range(plan.shape[0]):
                one, two = plan[line, k], other[line, k]
                if by_units == 0:
                    one, two = min(one, 1), min(two, 1)
                if one != two:
                    return one > two
    return False
