"""One basket sourced: which location gives how many units of which line, at the least cost; see docs/sourcing.md.

Where no line need come from two locations, all sets of lines are gone through (sourcing_sets); else it is searched
which locations open (sourcing_search). Both prove that no plan is better; only the search may run out of the nodes it
may use, and then says how much better a plan could be.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import (
    NO_PLAN,
    SET_LINES_MAX,
    SOURCED,
    SOURCED_BOUND,
    SOURCED_COST,
    SOURCED_LINE_COST,
    SOURCED_NODES,
    SOURCED_PARCEL_COST,
    SOURCED_PARCELS,
    SOURCED_RANKS,
    SOURCED_SHORT,
    SOURCED_SHORTAGE_COST,
    SOURCED_STATUS,
    SOURCED_UNIT_COST,
    SOURCED_WITHIN,
    TOO_LARGE,
    UNDECIDED,
)
from invengine.kernels.sourcing_basket import (
    KEY_MAX,
    NEED,
    ONCE,
    PER_UNIT,
    PLACE,
    SHORT,
    WORK_OF_NODE,
    clear,
    clear_plan,
    comes_before,
    copy_plan,
    is_too_large,
    lay_out,
    rule_out,
    uses,
)
from invengine.kernels.sourcing_search import search
from invengine.kernels.sourcing_sets import best_by_sets, can_go_by_sets
from invengine.kernels.steps import part, stretch

_ROW = "int64[::1]"
_BLOCK = "int64[:, ::1]"
_CUBE = "int64[:, :, ::1]"


@part
def _answer(basket, key, bound, nodes, plan, units, out):
    """Write a plan over the caller's locations, and what it costs by term."""
    clear_plan(units)
    clear(out)
    out[SOURCED_NODES] = nodes
    out[SOURCED_BOUND] = max(bound, 0) // basket.radix
    if key >= KEY_MAX:
        out[SOURCED_STATUS] = NO_PLAN if bound >= KEY_MAX else UNDECIDED
        out[SOURCED_BOUND] = 0 if bound >= KEY_MAX else out[SOURCED_BOUND]
        return
    out[SOURCED_STATUS] = SOURCED if bound >= key else SOURCED_WITHIN
    out[SOURCED_COST] = key // basket.radix
    out[SOURCED_PARCELS] = key % basket.radix // basket.step
    out[SOURCED_RANKS] = key % basket.step
    for line in range(plan.shape[0]):
        left = basket.lines[NEED, line]
        for k in range(plan.shape[1]):
            if plan[line, k] > 0:
                units[line, basket.places[PLACE, k]] = plan[line, k]
                left -= plan[line, k]
                out[SOURCED_LINE_COST] += basket.pairs[ONCE, line, k] // basket.radix
                out[SOURCED_UNIT_COST] += plan[line, k] * (basket.pairs[PER_UNIT, line, k] // basket.radix)
        out[SOURCED_SHORT] += left
        out[SOURCED_SHORTAGE_COST] += left * (max(basket.lines[SHORT, line], 0) // basket.radix)
    out[SOURCED_PARCEL_COST] = out[SOURCED_COST] - out[SOURCED_LINE_COST] - out[SOURCED_UNIT_COST]
    out[SOURCED_PARCEL_COST] -= out[SOURCED_SHORTAGE_COST]


@stretch
def _by_sets(basket, closed, plan):
    """As `best_by_sets`; a limit of parcels is a layer of its tables only where it is in the way."""
    key, layers = KEY_MAX, 0
    for turn in range(2):
        if turn == 0 or (key < KEY_MAX and key % basket.radix // basket.step > basket.parcels_max):
            key = best_by_sets(basket, closed, layers, plan)
            layers = basket.parcels_max
    return key


@stretch
def _plan(basket, wants_next, nodes_max, plans, keys, bounds, nodes):
    """Fill keys, bounds, nodes [2] and plans [2, L, N]; the next plan does without a location of the best.

    It is found by closing each of these in turn; they share the nodes.
    """
    n_locations = basket.places.shape[1]
    by_sets = basket.lines.shape[1] <= SET_LINES_MAX and can_go_by_sets(basket)
    closed, used = np.zeros(n_locations, np.int64), np.zeros(n_locations, np.int64)
    found = np.empty(plans[0].shape, np.int64)
    for place in range(2):
        keys[place], bounds[place], nodes[place] = KEY_MAX, KEY_MAX, 0
    searches = 1
    for k in range(-1, n_locations):
        place = 0 if k < 0 else 1
        if k >= 0:
            if used[k] == 0 or not wants_next:
                continue
            closed[k] = 1
        if by_sets:
            key = _by_sets(basket, closed, found)
            bound = key
        else:
            before = basket.work[0]
            share = max((nodes_max - nodes[place]) // max(searches, 1), 1)
            searches -= 1
            key, bound = search(basket, closed, k < 0, before + share * WORK_OF_NODE, found)
            nodes[place] += (basket.work[0] - before + WORK_OF_NODE - 1) // WORK_OF_NODE
        bounds[place] = min(bounds[place], bound)
        if key < keys[place] or (key == keys[place] and key < KEY_MAX and comes_before(found, plans[place])):
            keys[place] = key
            copy_plan(found, plans[place])
        if k >= 0:
            closed[k] = 0
        elif key < KEY_MAX:
            uses(found, used)
            for other in range(n_locations):
                searches += used[other]


@njit(
    f"void({_ROW}, {_ROW}, {_ROW}, {_ROW}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {_ROW}, {_BLOCK},"
    f" int64, int64, int64, {_CUBE}, {_BLOCK}, {_BLOCK})",
    cache=True,
    nogil=True,
)
def source_basket(
    wanted, sku, may_split, shortage, available, unit_cost, line_cost, parcel_cost, rank, capacity, forbidden,
    parcels_max, nodes_max, wants_next, units, ruled, out,
):  # fmt: skip
    """Fill `units` and `out` with the best plan of a basket, and the best that does without one of its locations.

    L lines (1 or more), N locations, K SKUs; all int64, costs in ten-thousandths of the currency.
      wanted      [L]        units, 1 or more
      sku         [L]        0 to K - 1; lines of one SKU share what there is of it
      may_split   [L]        1: its units may come from several locations; 0: from one at most
      shortage    [L]        what a unit costs that comes from nowhere, 0 or more; WHOLE: none may be missing
      available   [K, N]     units that can be taken
      unit_cost   [L, N]     of each unit      line_cost [L, N]  once, when the line takes any units there; 0 or more
      parcel_cost [N]        once, when anything comes from there; 0 or more
      rank        [N]        place among the locations when costs and parcels are equal, 0 to N - 1
      capacity    [N]        units that may leave the location for this basket, NO_LIMIT for any
      forbidden   [L, N]     0, or the number of the rule by which the line cannot come from there, 1 to RULE_STOCK - 1
      parcels_max            locations that a plan may use, 0 for any number
      nodes_max              how long a search may be, in nodes of 4,096 steps: some 5 to 15 us each
      wants_next             1: with the next plan, which has as many nodes for itself; 0: without
      units       [2, L, N]  filled: of the best plan and the next one
      ruled       [L, N]     filled: as `forbidden`, RULE_STOCK or RULE_CAPACITY
      out         [2, SOURCED_COLUMNS]  filled, see layout; without a next plan its status is NO_PLAN
    Of plans with equal costs the one with fewer parcels, then with the least sum of ranks, then the first one: that
    whose first location serves the first line (if one of them has it so), its second line, and so on; then with most
    units where they come first.
    """
    for place in range(2):
        clear_plan(units[place])
        clear(out[place])
    left = rule_out(wanted, sku, may_split, shortage, available, capacity, forbidden, ruled)
    limit = min(left, parcels_max) if parcels_max > 0 else left
    many, splits = 0, False
    for line in range(len(wanted)):
        splits = splits or may_split[line] == 1
        many = -1 if many < 0 or wanted[line] >= 2**40 else min(left, many + wanted[line])
    if many > 0 and not splits:
        many = min(many, len(wanted))  # parcels at most, whether there is a limit or not
    step = 1 + max(many, 1) * max(len(rank) - 1, 0)
    radix = step * (max(many, 1) + 1)
    out[0, SOURCED_STATUS], out[1, SOURCED_STATUS] = TOO_LARGE, NO_PLAN
    if many < 0 or is_too_large(wanted, shortage, unit_cost, line_cost, parcel_cost, ruled, float(radix)):
        return
    basket = lay_out(
        wanted, sku, may_split, shortage, available, unit_cost, line_cost, parcel_cost, rank, capacity, ruled,
        limit, left, radix, step,
    )  # fmt: skip
    plans = np.zeros((2, len(wanted), left), np.int64)
    keys, bounds, nodes = np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2, np.int64)
    _plan(basket, wants_next == 1, nodes_max, plans, keys, bounds, nodes)
    for place in range(2):
        _answer(basket, keys[place], bounds[place], nodes[place], plans[place], units[place], out[place])
