"""Baskets whose lines may split: which locations open, by a search that leaves out what cannot be better.

Each node of the search has some locations open and some closed. Its bound (see sourcing_bound) says what its plans
cost at least: if that is more than the best plan known, none of them is looked at; if it is so only with one more
location open, that one is closed. Where all are decided, `assign` has the best plan from the open ones. Nothing is
left out otherwise, so what is found is the best plan; when the nodes run out, the least bound of what is left is the
answer's bound.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.sourcing_assign import assign, first_of_equal
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
    WORK_OF_NODE,
    clear,
    clear_plan,
    comes_before,
    copy_plan,
    copy_row,
    uses,
)
from invengine.kernels.sourcing_bound import CLOSED, OPEN, UNDECIDED, above_all, first_prices, raise_bound
from invengine.kernels.sourcing_hopeless import can_flow, is_hopeless
from invengine.kernels.steps import part, routine, stretch

_ROUNDS_FIRST = 250  # steps to raise the bound of the first node
_ROUNDS = 12  # and of the others
_IMPROVING_NODES = 60  # to improve one plan that was made line by line
_TRIES = 4  # the first nodes, at which such a plan is made, and after them every so many
_BETWEEN = 16


@routine
def _fill(basket, decided, favoured, taken):
    """Make a plan line by line, each from where it costs least; taken [L, N]. False when a line cannot be had so.

    A parcel from a location that is favoured [N] counts as paid; closed ones are not used.
    """
    left, room = np.empty(basket.available.shape, np.int64), np.empty(len(decided), np.int64)
    used = np.zeros(len(decided), np.bool_)
    copy_plan(basket.available, left)
    copy_row(basket.places[CAPACITY], room)
    clear_plan(taken)
    parcels = 0
    for turn in range(2):  # what must come first
        for line in range(basket.lines.shape[1]):
            if (basket.lines[SHORT, line] >= 0) != (turn == 1):
                continue
            need = basket.lines[NEED, line]
            while need > 0:
                best, best_units, best_cost = -1, 0, 0.0
                for k in range(len(decided)):
                    if decided[k] == CLOSED or basket.pairs[MOST, line, k] == 0 or taken[line, k] > 0:
                        continue
                    if not used[k] and parcels >= basket.parcels_max:
                        continue
                    units = min(need, left[basket.lines[SKU, line], k], room[k], basket.pairs[MOST, line, k])
                    if units <= 0 or (
                        basket.lines[WHOLE_LINE, line] == 1 and basket.lines[SHORT, line] < 0 and units < need
                    ):
                        continue
                    cost = float(units) * basket.pairs[PER_UNIT, line, k] + basket.pairs[ONCE, line, k]
                    if not used[k] and favoured[k] == 0:
                        cost += basket.places[OPENING, k]
                    if basket.lines[SHORT, line] >= 0 and cost >= float(units) * basket.lines[SHORT, line]:
                        continue
                    if best < 0 or cost / units < best_cost:
                        best, best_units, best_cost = k, units, cost / units
                if best < 0:
                    break
                taken[line, best] = best_units
                left[basket.lines[SKU, line], best] -= best_units
                room[best] -= best_units
                need -= best_units
                parcels += not used[best]
                used[best] = True
                if basket.lines[WHOLE_LINE, line] == 1:
                    break
            if need > 0 and basket.lines[SHORT, line] < 0:
                return False
    return True


@part
def _open_places(basket, wanted, at):
    """Put the locations that `wanted` [N] says into `at`; returns how many."""
    count = 0
    for k in range(len(wanted)):
        if wanted[k] == 1:
            at[count] = k
            count += 1
    return count


@part
def _spread(found, at, plan):
    """Put what comes from the locations `at` into a plan over all of them."""
    for line in range(found.shape[0]):
        for j in range(found.shape[1]):
            plan[line, at[j]] = found[line, j]


@routine
def _assign_to(basket, wanted, below, work_max, plan):
    """`assign` from the locations that `wanted` says, with the plan over all locations."""
    at = np.empty(len(wanted), np.int64)
    count = _open_places(basket, wanted, at)
    shape = (basket.lines.shape[1], count)
    found = np.empty(shape, np.int64)
    key, is_proved = assign(basket, at[:count], np.zeros(shape, np.int8), below, -1, work_max, found)
    if key < below:
        clear_plan(plan)
        _spread(found, at, plan)
    return key, is_proved


@routine
def _first_in(basket, plan, key, work_max):
    """Make a best plan the first of its locations; whether it surely is."""
    used, at = np.empty(plan.shape[1], np.int64), np.empty(plan.shape[1], np.int64)
    uses(plan, used)
    count = _open_places(basket, used, at)
    part = np.empty((plan.shape[0], count), np.int64)
    for j in range(count):
        for line in range(plan.shape[0]):
            part[line, j] = plan[line, at[j]]
    is_first = first_of_equal(basket, at[:count], key, work_max, part)
    _spread(part, at, plan)
    return is_first


@part
def _branch_on(decided, losses, chosen):
    """The location to decide next: the undecided one that would open and earns most, else the one that loses least."""
    best = -1
    for k in range(len(decided)):
        if decided[k] != UNDECIDED:
            continue
        if best < 0 or chosen[k] > chosen[best] or (chosen[k] == chosen[best] and losses[k] < losses[best]):
            best = k
    return best


@part
def _close_useless(basket, decided, losses, chosen, bound, below):
    """Close the undecided locations with which every plan is at `below` or more."""
    n_chosen, dearest = 0, -KEY_MAX
    for k in range(len(decided)):
        n_chosen += chosen[k]
        if decided[k] == UNDECIDED and chosen[k] == 1:
            dearest = max(dearest, losses[k])
    for k in range(len(decided)):
        if decided[k] == UNDECIDED and chosen[k] == 0:
            more = losses[k]
            if n_chosen >= basket.parcels_max:  # it would come in place of another one
                if dearest == -KEY_MAX:
                    decided[k] = CLOSED
                    continue
                more -= dearest
            if bound + more >= below:
                decided[k] = CLOSED


@stretch
def search(basket, closed, wants_first, work_max, plan):
    """(key of the best plan without the locations that are `closed` [N], or KEY_MAX; bound); plan [L, N] is filled.

    Of plans with the same key the first one, when `wants_first`. The bound is the key when it is proved that there is
    none better, and less than that when the basket's work came to `work_max` before.
    """
    n_lines, n_locations = basket.pairs.shape[1], basket.pairs.shape[2]
    size = n_locations + 2
    stack, prices_of = np.empty((size, n_locations), np.int8), np.empty((size, n_lines), np.int64)
    bounds, decided = np.empty(size, np.int64), np.empty(n_locations, np.int8)
    prices, gives = np.empty(n_lines, np.int64), np.empty(n_locations, np.int64)
    losses, chosen = np.zeros(n_locations, np.int64), np.zeros(n_locations, np.int64)
    trial, used = np.empty(plan.shape, np.int64), np.empty(n_locations, np.int64)
    best, is_first = KEY_MAX, False
    clear_plan(plan)
    all_short = 0
    for line in range(n_lines):
        if basket.lines[SHORT, line] < 0:
            all_short = KEY_MAX
            break
        all_short += basket.lines[NEED, line] * basket.lines[SHORT, line]
    best = all_short
    is_any_coupled = False
    for k in range(n_locations):
        is_any_coupled = is_any_coupled or basket.places[COUPLED, k] == 1
        stack[0, k] = CLOSED if closed[k] == 1 else UNDECIDED
    first_prices(basket, prices_of[0])
    every = above_all(basket)
    bounds[0] = -KEY_MAX
    height, visits = 1, 0
    unproved = KEY_MAX
    while height > 0:
        if visits > 0 and basket.work[0] >= work_max:
            for i in range(height):
                unproved = min(unproved, bounds[i])
            break
        height -= 1
        visits += 1
        below = min(best + 1 if wants_first else best, every)  # plans that tie are wanted too
        if bounds[height] >= below:
            continue
        copy_row(stack[height], decided)
        copy_row(prices_of[height], prices)
        if is_hopeless(basket, decided, gives) or (visits == 1 and is_any_coupled and not can_flow(basket, closed)):
            continue
        is_short = basket.work[0] + _ROUNDS_FIRST * n_lines * n_locations > work_max
        rounds = _ROUNDS if visits > 1 or is_short else _ROUNDS_FIRST
        improving = 1 if is_short else _IMPROVING_NODES
        bound = max(bounds[height], raise_bound(basket, decided, prices, below, rounds, losses, chosen))
        if bound >= below:
            continue
        if visits <= _TRIES or visits % _BETWEEN == 0:
            for favours in range(2):
                if favours == 0:
                    clear(used)
                if _fill(basket, decided, chosen if favours else used, trial):
                    uses(trial, used)
                    key, _ = _assign_to(basket, used, best, basket.work[0] + improving * WORK_OF_NODE, trial)
                    if key < best:
                        best, is_first = key, False
                        copy_plan(trial, plan)
            below = min(best + 1 if wants_first else best, every)
            if bound >= below:
                continue
        _close_useless(basket, decided, losses, chosen, bound, below)
        k = _branch_on(decided, losses, chosen)
        if k < 0:
            for i in range(n_locations):
                used[i] = decided[i] == OPEN
            key, is_proved = _assign_to(basket, used, below, work_max, trial)
            if not is_proved:
                unproved = min(unproved, bound)
            if key < min(best, below):
                best, is_first = key, False
                copy_plan(trial, plan)
            elif key == best and key < below:
                if not is_first:
                    is_first = _first_in(basket, plan, best, work_max)
                _first_in(basket, trial, best, work_max)
                if comes_before(trial, plan):
                    copy_plan(trial, plan)
            continue
        for turn in range(2):  # what the bound would do is looked at first
            copy_row(decided, stack[height])
            copy_row(prices, prices_of[height])
            bounds[height] = bound
            stack[height, k] = OPEN if (turn == 1) == (chosen[k] == 1) else CLOSED
            height += 1
    if best < KEY_MAX and wants_first and not is_first:
        _first_in(basket, plan, best, work_max)
    return best, min(best, unproved)
