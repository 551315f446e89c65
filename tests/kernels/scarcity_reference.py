"""What a unit of scarce stock is worth, from the definition in docs/scarcity.md: plain Python, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, fsum, lgamma, log

from invengine.kernels.layout import DEMAND_CLUSTERING, DEMAND_UNSURENESS, NO_WAY, SCARCITY_ROUNDS

Table = Sequence[Sequence[int]]
Costs = Sequence[Sequence[int | None]]


def wanted(units: int, mean: float, spread: float) -> float:
    """How likely `units` or more are wanted: the incomplete gamma function by its power series, term by term."""
    if mean == 0:
        return 0.0
    if units <= 0:
        return 1.0
    size = spread * DEMAND_CLUSTERING + mean * DEMAND_UNSURENESS
    a, x = units / size, mean / size
    terms = []
    for step in range(2_000):
        logarithm = (a + step) * log(x) - x - lgamma(a + step + 1)
        terms.append(exp(logarithm) if logarithm > -700 else 0.0)
    return min(fsum(terms), mean / units, 1.0)


def price(
    n: int, stock: Sequence[int], mean: Sequence[float], spread: float, cost: Costs, asked: Sequence[int | None]
) -> int:
    """What a unit at location n is worth, where units elsewhere are worth `asked`; None: there are none."""
    savings = []
    for region, expected in enumerate(mean):
        others = sorted(one for one in cost[region] if one is not None)[1:]
        average = sum(others) // len(others) if others else 0
        here = cost[region][n]
        if expected > 0 and here is not None:
            elsewhere = [
                own + more
                for place, (own, more) in enumerate(zip(cost[region], asked, strict=True))
                if place != n and own is not None and more is not None
            ]
            saved = min([average, *elsewhere]) - here
            if saved > 0:
                savings.append((saved, expected))
    steps = sorted({saved for saved, _ in savings} | {0})
    worth = fsum(
        (upper - lower) * wanted(stock[n], fsum(one for saved, one in savings if saved >= upper), spread)
        for lower, upper in pairwise(steps)
    )
    return int(worth + 0.5)


def scarcity_prices(
    stock: Table,
    minutes: Table,
    rate: Table,
    spread: Sequence[int],
    line_units: Sequence[int],
    line_cost: Table,
    unit_cost: Table,
) -> list[list[int]]:
    """Prices by SKU and location, found in rounds, all from 0."""
    found = []
    for k, there in enumerate(stock):
        cost = [
            [
                None if line == NO_WAY else unit + line * 1000 // line_units[k]
                for line, unit in zip(lines, units, strict=True)
            ]
            for lines, units in zip(line_cost, unit_cost, strict=True)
        ]
        prices = [0] * len(there)
        for _ in range(SCARCITY_ROUNDS):
            asked = [one if units > 0 else None for one, units in zip(prices, there, strict=True)]
            prices = [
                price(
                    n, there, [a_day / 1e6 * minutes[k][n] / 1440 for a_day in rate[k]], spread[k] / 1000, cost, asked
                )
                for n in range(len(there))
            ]
        found.append(prices)
    return found
