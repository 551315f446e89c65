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
        while term > total * 1e-15:
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
        if abs(d * c - 1.0) < 1e-15:
            break
    return max(min(1.0 - scale * fraction, mean / units), 0.0)


@njit(nogil=True)
def _worth_at(n, units, minutes, spread, rate, cost, best, second, first, savings, regions):
    """The price of a location, rounded: likely uses of its last unit, the dearest to serve from elsewhere first.

    Regions that save something here are sorted by what they save; between two of these savings, the unit is wanted at
    that price if all that save more want `units` or more.
    """
    count = 0
    for r in range(rate.shape[0]):
        if rate[r] > 0 and cost[r, n] != NO_WAY:
            saved = (second[r] if first[r] == n else best[r]) - cost[r, n]
            if saved > 0:
                at = count
                while at > 0 and savings[at - 1] < saved:
                    savings[at], regions[at] = savings[at - 1], regions[at - 1]
                    at -= 1
                savings[at], regions[at] = saved, r
                count += 1
    mean = worth = 0.0
    for at in range(count):
        mean += rate[regions[at]] / MILLIONTHS * (minutes / MINUTES_A_DAY)
        lower = savings[at + 1] if at + 1 < count else 0
        if savings[at] > lower:
            worth += (savings[at] - lower) * _wanted(units, mean, spread)
    return int(worth + 0.5)


@njit(nogil=True)
def _prices(stock, minutes, rate, spread, cost, worth, out):
    """Fill `out` [N] for one SKU; `cost` [R, N] of a unit, `worth` [R] what a unit costs that nobody has."""
    n_regions, n_locations = cost.shape
    best, second = np.empty(n_regions, np.int64), np.empty(n_regions, np.int64)
    first, regions = np.empty(n_regions, np.int64), np.empty(n_regions, np.int64)
    savings, fresh = np.empty(n_regions, np.int64), np.empty(n_locations, np.int64)
    out[:] = 0
    for _ in range(SCARCITY_ROUNDS):
        for r in range(n_regions):
            if rate[r] > 0:
                best[r] = second[r] = worth[r]
                first[r] = -1
                for n in range(n_locations):
                    if stock[n] > 0 and cost[r, n] != NO_WAY:
                        asked = cost[r, n] + out[n]
                        if asked < best[r]:
                            best[r], second[r], first[r] = asked, best[r], n
                        elif asked < second[r]:
                            second[r] = asked
        is_same = True
        for n in range(n_locations):
            fresh[n] = _worth_at(
                n, stock[n], minutes[n], spread, rate, cost, best, second, first, savings, regions
            )  # fmt: skip
            is_same = is_same and fresh[n] == out[n]
        out[:] = fresh
        if is_same:
            return


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
    cost, worth = np.empty((n_regions, n_locations), np.int64), np.zeros(n_regions, np.int64)
    for k in range(stock.shape[0]):
        for r in range(n_regions):
            total = ways = least = 0
            for n in range(n_locations):
                cost[r, n] = NO_WAY
                if line_cost[r, n] != NO_WAY:
                    cost[r, n] = unit_cost[r, n] + line_cost[r, n] * THOUSANDTHS // line_units[k]
                    least = min(least, cost[r, n]) if ways > 0 else cost[r, n]
                    total += cost[r, n]
                    ways += 1
            worth[r] = (total - least) // (ways - 1) if ways > 1 else 0
        _prices(stock[k], minutes[k], rate[k], spread[k] / THOUSANDTHS, cost, worth, out[k])
