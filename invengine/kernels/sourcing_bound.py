"""What no plan can cost less than, when some locations are open, some closed, and the others undecided.

Each line is given a price for a unit, and who serves it is paid that. Then the locations decide for themselves: one
opens if the prices of what it has bring more than it costs. What all of them together lose, and the prices of all
units, is never more than the cost of a plan, whatever the prices (Lagrange's relaxation of "each line has its units";
A. M. Geoffrion, *Lagrangean relaxation for integer programming*, Mathematical Programming Study 2, 1974). Prices that
raise the bound are found step by step (M. Held, P. Wolfe, H. P. Crowder, *Validation of subgradient optimization*,
Mathematical Programming 6, 1974). Prices are keys, whole numbers: the bound holds exactly; only the length of a step
is a float.
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
    copy_row,
)
from invengine.kernels.steps import part, routine

CLOSED, UNDECIDED, OPEN = -1, 0, 1
_PATIENCE, _SHORTER, _SHORTEST = 8, 0.7, 0.005  # steps that raise nothing before they are made shorter, and how far
_ONWARD = 0.5
_PRICES = 2**60  # what the prices of all units, over all locations, stay below


@part
def one_place_cost(basket, line, k, units):
    """What some units of a line cost at a location; and, of one that comes from one place, those that are missing."""
    cost = units * basket.pairs[PER_UNIT, line, k] + basket.pairs[ONCE, line, k]
    if basket.lines[WHOLE_LINE, line] == 1:
        cost += (basket.lines[NEED, line] - units) * max(basket.lines[SHORT, line], 0)
    return cost


@part
def priced(basket, line):
    """How often the price of a line is paid: for each unit, or once when it comes from one place."""
    return 1 if basket.lines[WHOLE_LINE, line] == 1 else basket.lines[NEED, line]


@part
def dearest(basket, line):
    """The price that is never too low for a line that may be missing: what it costs that it is."""
    return basket.lines[SHORT, line] * (basket.lines[NEED, line] if basket.lines[WHOLE_LINE, line] == 1 else 1)


@part
def _earn(basket, prices, k, rates, taken):
    """The most that a location can earn by the prices, its parcel not counted; fills `taken` [L] with the units.

    The price of a line that comes from one place is paid once for all of it; what is then missing the location pays.
    Where lines are in each other's way they are shared out by what a unit earns, its part of the cost of a line counted
    in and rounded up: at least as much as is possible.
    """
    earned = 0
    for line in range(len(prices)):
        units = basket.pairs[MOST, line, k]
        taken[line] = 0
        rates[line] = 0
        if units > 0:
            paid = prices[line] if basket.lines[WHOLE_LINE, line] == 1 else prices[line] * units
            profit = paid - one_place_cost(basket, line, k, units)
            if profit > 0:
                if basket.places[COUPLED, k] == 0:
                    earned += profit
                    taken[line] = units
                else:
                    rates[line] = profit // units + 1
    if basket.places[COUPLED, k] == 0:
        return earned
    room = basket.places[CAPACITY, k]
    while True:
        basket.work[0] += 2 * len(prices)
        best = -1
        for line in range(len(prices)):
            if rates[line] > 0 and (best < 0 or rates[line] > rates[best]):
                best = line
        if best < 0:
            return earned
        left = basket.available[basket.lines[SKU, best], k]
        for line in range(len(prices)):
            if basket.lines[SKU, line] == basket.lines[SKU, best]:
                left -= taken[line]
        units = min(basket.pairs[MOST, best, k], left, room)
        earned += units * rates[best]
        taken[best] = units
        room -= units
        rates[best] = 0


@part
def bound(basket, decided, prices, losses, chosen, rates, taken, given):
    """The least key that a plan can have by these prices; KEY_MAX where too many locations are open.

    decided [N] CLOSED, UNDECIDED or OPEN; prices [L]. Fills losses [N] (what a location that opens adds), chosen [N]
    (1 where it opens) and given [L] (the units that the lines get so). Of the undecided ones those that lose the
    least open, as long as they earn, and no more of them than parcels are left.
    """
    key, n_open, n_earning = 0, 0, 0
    basket.work[0] += len(prices) * (len(decided) + 1)
    for line in range(len(prices)):
        given[line] = 0
        key += prices[line] * priced(basket, line)
    for k in range(len(decided)):
        chosen[k] = 0
        losses[k] = KEY_MAX
        if decided[k] != CLOSED:
            losses[k] = basket.places[OPENING, k] - _earn(basket, prices, k, rates, taken)
            if decided[k] == OPEN or losses[k] < 0:
                chosen[k] = 1
                n_open += decided[k] == OPEN
                n_earning += decided[k] != OPEN
                key += losses[k]
                for line in range(len(prices)):
                    given[line] += min(taken[line], priced(basket, line))
    if n_open > basket.parcels_max:
        return KEY_MAX
    while n_open + n_earning > basket.parcels_max:
        least = -1
        basket.work[0] += len(decided)
        for k in range(len(decided)):
            if decided[k] == UNDECIDED and chosen[k] == 1 and (least < 0 or losses[k] >= losses[least]):
                least = k
        chosen[least] = 0
        n_earning -= 1
        key -= losses[least]
        _earn(basket, prices, least, rates, taken)
        for line in range(len(prices)):
            given[line] -= min(taken[line], priced(basket, line))
    return key


@part
def above_all(basket):
    """A key that every plan is below."""
    key, largest = 1, 0
    for k in range(basket.places.shape[1]):
        key += basket.places[OPENING, k]
        largest = max(largest, basket.places[OPENING, k])
    if largest < KEY_MAX // max(basket.parcels_max, 1):
        key = min(key, 1 + largest * basket.parcels_max)
    for line in range(basket.lines.shape[1]):
        unit, once = max(basket.lines[SHORT, line], 0), 0
        for k in range(basket.places.shape[1]):
            if basket.pairs[MOST, line, k] > 0:
                unit = max(unit, basket.pairs[PER_UNIT, line, k])
                if basket.lines[WHOLE_LINE, line] == 1:
                    once = max(once, basket.pairs[ONCE, line, k])
                else:
                    once += basket.pairs[ONCE, line, k]
        key += once + basket.lines[NEED, line] * unit
    return min(key, KEY_MAX)


@part
def first_prices(basket, prices):
    """Prices to begin with: what a unit costs where it costs least, its part of a line counted in."""
    for line in range(len(prices)):
        least = KEY_MAX
        for k in range(basket.places.shape[1]):
            units = basket.pairs[MOST, line, k]
            if units > 0:
                cost = one_place_cost(basket, line, k, units) + basket.places[OPENING, k]
                least = min(least, cost if basket.lines[WHOLE_LINE, line] == 1 else cost // units)
        if basket.lines[SHORT, line] >= 0:
            least = min(least, dearest(basket, line))
        prices[line] = least if least < KEY_MAX else 0


@routine
def raise_bound(basket, decided, prices, target, rounds, losses, chosen):
    """The best bound in some rounds, at most; `prices`, `losses` and `chosen` are left as they were at it.

    target: a key to reach, of the best plan known, or one that every plan is below. Ends when the bound is as much.
    A step goes where the last one went, by half, and where lines have too few units or too many (P. M. Camerini,
    L. Fratta, F. Maffioli, *On improving relaxation methods by modified gradient techniques*, Mathematical Programming
    Study 3, 1975): prices of lines that are in each other's way would else go up and down by turns.
    """
    n_lines = len(prices)
    rates, taken, given = np.empty(n_lines, np.int64), np.empty(n_lines, np.int64), np.empty(n_lines, np.int64)
    at, lost, opens = np.empty(n_lines, np.int64), np.empty(len(decided), np.int64), np.empty(len(decided), np.int64)
    copy_row(prices, at)
    largest = 0
    for k in range(len(decided)):
        largest = max(largest, basket.places[OPENING, k])
    way = np.zeros(n_lines, np.float64)
    best = -KEY_MAX
    step, idle = 1.0, 0
    for _ in range(rounds + 1):
        key = bound(basket, decided, at, lost, opens, rates, taken, given)
        if key > best:
            best = key
            copy_row(at, prices)
            copy_row(lost, losses)
            copy_row(opens, chosen)
            idle = 0
            if best >= target:
                return best
        else:
            idle += 1
            if idle == _PATIENCE:
                step, idle = step * _SHORTER, 0
                copy_row(prices, at)
                for line in range(n_lines):
                    way[line] = 0.0
                key = bound(basket, decided, at, lost, opens, rates, taken, given)
        square, is_even = 0.0, True
        for line in range(n_lines):
            is_even = is_even and priced(basket, line) == given[line]
            way[line] = way[line] * _ONWARD + float(priced(basket, line) - given[line])
            square += way[line] ** 2
        if is_even or step < _SHORTEST:
            return best
        goal = min(float(target), 1.5 * max(float(best), 0.0) + float(largest))
        length = step * (goal - float(key)) / max(square, 1e-9)
        for line in range(n_lines):
            most = _PRICES // (priced(basket, line) * (n_lines + 1) * (len(decided) + 1))
            if basket.lines[SHORT, line] >= 0:
                most = min(most, dearest(basket, line))
            moved = float(at[line]) + length * way[line]
            at[line] = np.int64(min(max(moved, 0.0), float(most)))
            at[line] = min(at[line], most)
    return best
