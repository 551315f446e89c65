"""The best plan from a few locations that are open: which lines take from which of them, and how many units.

What a line costs once at a location is first spread over its units, and a line that must come whole may split: then
it is a flow of least cost, and no plan costs less. Where the flow is no plan, or its true cost is more, one pair of
line and location is decided, yes or no, and both are looked at; when all are decided the flow is the plan.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.sourcing_basket import KEY_MAX, MOST, NEED, ONCE, OPENING, PER_UNIT, SHORT, WHOLE_LINE, copy_plan
from invengine.kernels.sourcing_flow import cheapest_flow, earliest_flow
from invengine.kernels.steps import part, routine, stretch


@part
def _limits(basket, at, yes, least, most, cost):
    """Fill what a flow may be where pairs are decided (yes [L, J]: 1, -1 for no, 0); returns the key paid anyway."""
    key = 0
    for j in range(len(at)):
        k = at[j]
        key += basket.places[OPENING, k]
        for line in range(basket.lines.shape[1]):
            units = basket.pairs[MOST, line, k]
            least[line, j], most[line, j], cost[line, j] = 0, 0, 0
            if units == 0 or yes[line, j] == -1:
                if yes[line, j] == 1:
                    return KEY_MAX
                continue
            most[line, j], cost[line, j] = units, basket.pairs[PER_UNIT, line, k]
            if yes[line, j] == 1:
                key += basket.pairs[ONCE, line, k]
                must = basket.lines[WHOLE_LINE, line] == 1 and basket.lines[SHORT, line] < 0
                least[line, j] = basket.lines[NEED, line] if must else 1
            else:
                cost[line, j] += basket.pairs[ONCE, line, k] // units
    return key


@part
def _judge(basket, at, yes, flow, short, cost):
    """(key of a flow as a plan, KEY_MAX when it is none; the pair to decide next: line, place or -1)."""
    key, is_plan = 0, True
    chosen, place, most = -1, -1, -1
    for j in range(len(at)):
        for line in range(basket.lines.shape[1]):
            if flow[line, j] > 0:
                key += basket.places[OPENING, at[j]]
                break
    for line in range(basket.lines.shape[1]):
        key += short[line] * max(basket.lines[SHORT, line], 0)
        places = 0
        for j in range(len(at)):
            places += flow[line, j] > 0
        is_split = places > 1 and basket.lines[WHOLE_LINE, line] == 1
        if is_split and is_plan:
            is_plan, chosen, most = False, -1, -1
        for j in range(len(at)):
            if flow[line, j] > 0:
                once = basket.pairs[ONCE, line, at[j]]
                key += once + flow[line, j] * basket.pairs[PER_UNIT, line, at[j]]
                if yes[line, j] == 0:
                    weight = flow[line, j] if is_split else 0
                    if is_plan:
                        weight = once - flow[line, j] * (cost[line, j] - basket.pairs[PER_UNIT, line, at[j]])
                    if weight > max(most, 0):
                        chosen, place, most = line, j, weight
    return (key if is_plan else KEY_MAX), chosen, place


@part
def decide(basket, yes, line, place):
    """Say yes to a pair; a line that may not split then takes from nowhere else."""
    if basket.lines[WHOLE_LINE, line] == 1:
        for j in range(yes.shape[1]):
            yes[line, j] = -1
    yes[line, place] = 1


@routine
def assign(basket, at, decided, below, enough, work_max, plan):
    """(key of the best plan from locations `at` [J] below a key, or `below` when there is none; whether proved).

    decided [L, J] has the pairs that are decided already. A plan found is put into plan [L, J]; one of `enough` ends
    the search, and so does the basket's work when it is `work_max`. Plans that leave one of the locations out need not
    be found, but are taken when they are.
    """
    n_lines, n_places = basket.lines.shape[1], len(at)
    size = (n_lines, n_places)
    stack = np.empty((n_lines * n_places + 2, n_lines, n_places), np.int8)
    least, most, cost = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    flow, short = np.empty(size, np.int64), np.empty(n_lines, np.int64)
    of_sku = np.empty((basket.available.shape[0], n_places), np.int64)
    yes = np.empty(size, np.int8)
    copy_plan(decided, stack[0])
    height = 1
    while height > 0 and below > enough:
        if basket.work[0] >= work_max:
            return below, False
        height -= 1
        basket.work[0] += 5 * n_lines * n_places
        copy_plan(stack[height], yes)
        bound = _limits(basket, at, yes, least, most, cost)
        if bound >= below or not cheapest_flow(basket, at, least, most, cost, flow, of_sku, short):
            continue
        for line in range(n_lines):
            bound += short[line] * max(basket.lines[SHORT, line], 0)
            for j in range(n_places):
                bound += flow[line, j] * cost[line, j]
        if bound >= below:
            continue
        key, line, place = _judge(basket, at, yes, flow, short, cost)
        if key < below:
            below = key
            copy_plan(flow, plan)
        if key > bound and line >= 0:
            copy_plan(yes, stack[height])
            stack[height, line, place] = -1
            copy_plan(yes, stack[height + 1])
            decide(basket, stack[height + 1], line, place)
            height += 2
    return below, True


@stretch
def first_of_equal(basket, at, key, work_max, plan):
    """Change a best plan to the first of those with its key and locations; whether it surely is the first.

    Location by location and line by line: does the line take from there in one of them? Then it does. At last as many
    units as can be where they come first.
    """
    n_lines, n_places = plan.shape
    yes, trial = np.zeros(plan.shape, np.int8), np.empty(plan.shape, np.int8)
    found = np.empty(plan.shape, np.int64)
    for j in range(n_places):
        for line in range(n_lines):
            if yes[line, j] != 0 or basket.pairs[MOST, line, at[j]] == 0:
                continue
            if plan[line, j] == 0:
                copy_plan(yes, trial)
                decide(basket, trial, line, j)
                best, is_proved = assign(basket, at, trial, key + 1, key, work_max, found)
                if not is_proved:
                    return False
                if best > key:
                    yes[line, j] = -1
                    continue
                copy_plan(found, plan)
            decide(basket, yes, line, j)
    least, most, cost = np.empty(plan.shape, np.int64), np.empty(plan.shape, np.int64), np.empty(plan.shape, np.int64)
    of_sku, short = np.empty((basket.available.shape[0], n_places), np.int64), np.empty(n_lines, np.int64)
    _limits(basket, at, yes, least, most, cost)
    cheapest_flow(basket, at, least, most, cost, plan, of_sku, short)
    earliest_flow(basket, at, least, most, cost, plan, of_sku, short)
    return True
