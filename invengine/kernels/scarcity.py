"""What a unit of scarce stock is worth where it is: its opportunity cost; see docs/scarcity.md."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from invengine.kernels.layout import (
    DEMAND_CLUSTERING,
    DEMAND_UNSURENESS,
    MILLIONTHS,
    MINUTES_A_DAY,
    NO_WAY,
    SCARCITY_ROUNDS,
    THOUSANDTHS,
)

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"


@njit(nogil=True)
def _wanted(units, mean, spread):
    """How likely so many units, or more, are wanted, where `mean` are expected: 0.0 to 1.0.

    Demand comes in orders of about `spread` units, more where the forecast itself may be wrong: Poisson's distribution
    of such orders, for any number of units between two whole orders as well (the incomplete gamma function, by its
    series or by Lentz's continued fraction, whichever is the shorter). By Markov's inequality it is never more than
    `mean / units`, which counts below one order.
    """
    if mean <= 0.0:
        return 0.0
    if units <= 0:
        return 1.0
    size = spread * DEMAND_CLUSTERING + mean * DEMAND_UNSURENESS
    a, x = units / size, mean / size
    if a > x + 12.0 * math.sqrt(x) + 12.0:
        return 0.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        step = a
        while term > total * 1e-11:
            step += 1.0
            term *= x / step
            total += term
        return min(total * scale, mean / units, 1.0)
    b = x + 1.0 - a
    c, d = 1e300, 1.0 / b
    fraction = d
    for i in range(1, 500):
        factor = i * (a - i)
        b += 2.0
        d = 1.0 / (factor * d + b)
        c = b + factor / c
        fraction *= d * c
        if abs(d * c - 1.0) < 1e-11:
            break
    return max(min(1.0 - scale * fraction, mean / units), 0.0)


@njit(nogil=True)
def _sort_savings(rate, cost, best, second, is_first, order, savings):
    """Sort what regions save at a location, the most first; how many save anything.

    `order` [R] has the regions as the round before had them, so that most are in their places already, and gets those
    that save first. `savings` [R] is filled in that order.
    """
    count = 0
    for i in range(order.shape[0]):
        r = order[i]
        saved = 0
        if rate[r] > 0.0 and cost[r] != NO_WAY:
            saved = (second[r] if is_first[r] else best[r]) - cost[r]
        if saved > 0:
            at = count
            if at < i:
                order[i] = order[at]
            while at > 0 and savings[at - 1] < saved:
                savings[at], order[at] = savings[at - 1], order[at - 1]
                at -= 1
            savings[at], order[at] = saved, r
            count += 1
    return count


@njit(nogil=True)
def _worth_of(units, days, spread, rate, order, savings, known):
    """The price of a location that has units, rounded: likely uses of its last unit, the dearest from elsewhere first.

    Between two of the savings, the unit is wanted at that price if all regions that save more want `units` or more.
    `known` [R, 2] keeps what was found out in the round before, how likely units are wanted where so many are expected:
    regions seldom change their order.
    """
    total = 0.0
    for at in range(savings.shape[0]):
        total += rate[order[at]] * days
    if savings.shape[0] == 0 or savings[0] * total < 0.25 * units:
        return 0  # as dear as all of it could be, it rounds to 0
    if savings[0] * _wanted(units, total, spread) < 0.25:
        return 0
    mean = worth = 0.0
    for at in range(savings.shape[0]):
        mean += rate[order[at]] * days
        lower = savings[at + 1] if at + 1 < savings.shape[0] else 0
        if savings[at] > lower:
            if known[at, 0] != mean:
                known[at, 0], known[at, 1] = mean, _wanted(units, mean, spread)
            likely = known[at, 1]
            if likely > 1.0 - 1e-9:
                worth += savings[at]  # for certain, and so at every lower price
                break
            worth += (savings[at] - lower) * likely
    return int(worth + 0.5)


@njit(nogil=True)
def _elsewhere(places, cost, worth, prices, best, second, first):
    """Fill what a unit costs each region from its best location with units, and from the next; which one is best."""
    best[:], second[:], first[:] = worth, worth, -1
    for n in places:
        for r in range(worth.shape[0]):
            asked = cost[n, r] + prices[n]
            if asked < second[r] and cost[n, r] != NO_WAY:
                if asked < best[r]:
                    best[r], second[r], first[r] = asked, best[r], n
                else:
                    second[r] = asked


@njit(nogil=True)
def _prices(stock, minutes, rate, spread, cost, worth, out):
    """Fill `out` [N] for one SKU; `cost` [N, R] of a unit, `worth` [R] what a unit costs that nobody has."""
    n_locations, n_regions = cost.shape
    best, second = np.empty(n_regions, np.int64), np.empty(n_regions, np.int64)
    first, savings = np.empty(n_regions, np.int64), np.empty(n_regions, np.int64)
    fresh, places = np.empty(n_locations, np.int64), np.flatnonzero(stock > 0)
    known = np.full((places.size, n_regions, 2), -1.0)
    orders = np.empty((places.size, n_regions), np.int64)
    orders[:] = np.arange(n_regions)
    out[:] = 0
    for _ in range(SCARCITY_ROUNDS):
        _elsewhere(places, cost, worth, out, best, second, first)
        is_same = True
        for at in range(places.size):
            n = places[at]
            count = _sort_savings(rate, cost[n], best, second, first == n, orders[at], savings)
            days = minutes[n] / MINUTES_A_DAY
            fresh[n] = _worth_of(stock[n], days, spread, rate, orders[at], savings[:count], known[at])
            is_same = is_same and fresh[n] == out[n]
        if is_same:
            break
        for n in places:
            out[n] = fresh[n]
    for n in range(n_locations):
        if stock[n] <= 0 and minutes[n] > 0:  # a first unit there would be wanted for certain
            for r in range(n_regions):
                if rate[r] > 0.0 and cost[n, r] != NO_WAY:
                    out[n] = max(out[n], best[r] - cost[n, r])


@njit(
    f"void({_BLOCK}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {_BLOCK}, {_BLOCK}, {_BLOCK})",
    nogil=True,
    cache=True,
)
def scarcity_prices(stock, minutes, rate, spread, line_units, line_cost, unit_cost, out):
    """Fill `out` with what one unit less is expected to cost, until more units come.

    K SKUs, N locations, R regions from which orders come; all int64, costs in ten-thousandths of the currency.
      stock       [K, N]  units that can be sold; none or fewer: nothing is served from there
      minutes     [K, N]  until units come there, 0 or more
      rate        [K, R]  millionths of a unit that are wanted there a day, 0 to 2^40
      spread      [K]     thousandths of a unit: the mean size of a line, each counted by its units; 1 or more
      line_units  [K]     thousandths of a unit: the mean size of a line; 1 or more
      line_cost   [R, N]  of each line sent, 0 to 2^40; NO_WAY where nothing goes from the location to the region
      unit_cost   [R, N]  of each unit sent, 0 to 2^40
      out         [K, N]  filled: 0 or more, of each unit
    What a region's unit costs from elsewhere contains the price there, so prices are found in rounds, all from 0. They
    only rise from round to round, and each round keeps order: with more stock somewhere, less demand or an earlier
    receipt no price is higher. What a region's unit costs from elsewhere is at most the average of its locations but
    the first: demand that is lost in any case makes no location's units scarcer than another's.
    """
    n_regions, n_locations = line_cost.shape
    cost, worth = np.empty((n_locations, n_regions), np.int64), np.zeros(n_regions, np.int64)
    a_day = np.empty(n_regions, np.float64)
    for k in range(stock.shape[0]):
        for r in range(n_regions):
            total = ways = least = 0
            for n in range(n_locations):
                own = NO_WAY
                if line_cost[r, n] != NO_WAY:
                    # below 2^50, so the quotient of two floats is cut where that of the whole numbers is
                    own = unit_cost[r, n] + int(line_cost[r, n] * float(THOUSANDTHS) / line_units[k])
                    least = min(least, own) if ways > 0 else own
                    total += own
                    ways += 1
                cost[n, r] = own
            worth[r] = (total - least) // (ways - 1) if ways > 1 else 0
            a_day[r] = rate[k, r] / MILLIONTHS
        _prices(stock[k], minutes[k], a_day, spread[k] / THOUSANDTHS, cost, worth, out[k])
