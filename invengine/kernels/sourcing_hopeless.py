"""Whether there is no plan at all: what a search would find out late, having tried every way."""

from __future__ import annotations

import numpy as np

from invengine.kernels.sourcing_basket import CAPACITY, MOST, NEED, SHORT
from invengine.kernels.sourcing_bound import OPEN, UNDECIDED
from invengine.kernels.sourcing_flow import cheapest_flow
from invengine.kernels.steps import part, routine


@part
def _most_units(gives, decided, left):
    """The most units of all that are open and, of the undecided, the best that are `left`; `gives` [N] is spent."""
    units, others = 0, 0
    for k in range(len(decided)):
        if decided[k] == OPEN:
            units += gives[k]
            gives[k] = 0
        elif decided[k] == UNDECIDED:
            others += gives[k] > 0
        else:
            gives[k] = 0
    if left >= others:
        for k in range(len(decided)):
            units += gives[k]
        return units
    for _ in range(left):
        best = 0
        for k in range(len(decided)):
            if gives[k] > gives[best]:
                best = k
        units += gives[best]
        gives[best] = 0
    return units


@part
def is_hopeless(basket, decided, gives):
    """Whether the lines that must come whole cannot have their units from what is not closed, in the parcels left.

    Asked of each of them, and of all together.
    """
    left = basket.parcels_max
    for k in range(len(decided)):
        left -= decided[k] == OPEN
    if left < 0:
        return True
    need = 0
    for line in range(basket.lines.shape[1]):
        if basket.lines[SHORT, line] < 0:
            need += basket.lines[NEED, line]
            for k in range(len(decided)):
                gives[k] = basket.pairs[MOST, line, k]
            if _most_units(gives, decided, left) < basket.lines[NEED, line]:
                return True
    if need == 0:
        return False
    for k in range(len(decided)):
        gives[k] = 0
        for line in range(basket.lines.shape[1]):
            if basket.lines[SHORT, line] < 0:
                gives[k] += basket.pairs[MOST, line, k]
        gives[k] = min(gives[k], basket.places[CAPACITY, k])
    return _most_units(gives, decided, left) < need


@routine
def can_flow(basket, closed):
    """Whether all lines can have their units if every location that is not closed is open and each line may split."""
    n_lines, n_locations = basket.pairs.shape[1], basket.pairs.shape[2]
    at, most = np.empty(n_locations, np.int64), np.empty((n_lines, n_locations), np.int64)
    for k in range(n_locations):
        at[k] = k
        for line in range(n_lines):
            most[line, k] = 0 if closed[k] == 1 else basket.pairs[MOST, line, k]
    flow, of_sku = np.empty(most.shape, np.int64), np.empty(basket.available.shape, np.int64)
    none, short = np.zeros(most.shape, np.int64), np.empty(n_lines, np.int64)
    return cheapest_flow(basket, at, none, most, none, flow, of_sku, short)
