"""The definition of a basket sourced: every plan is looked at, and the first of the best is the answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from invengine.kernels.layout import NO_LIMIT, RULE_CAPACITY, RULE_STOCK, WHOLE
from tests.kernels.sourcing_worlds import World, broken_rules, cost_of


def shares(wanted: int, most: list[int], may_split: bool, whole: bool) -> Iterator[tuple[int, ...]]:
    """The ways to take units of a line from the locations."""
    for units in product(*(range(limit + 1) for limit in most)):
        if sum(units) > wanted or (whole and sum(units) < wanted):
            continue
        if not may_split and sum(1 for taken in units if taken) > 1:
            continue
        yield units


def plans(world: World) -> Iterator[np.ndarray]:
    """Every plan that keeps the rules."""
    lines, locations = world.unit_cost.shape
    ways = []
    for line in range(lines):
        most = [
            0 if world.forbidden[line, n] else int(min(world.wanted[line], world.available[world.sku[line], n]))
            for n in range(locations)
        ]
        whole = world.shortage[line] == WHOLE
        ways.append(list(shares(int(world.wanted[line]), most, bool(world.may_split[line]), whole)))
    for chosen in product(*ways):
        units = np.array(chosen, np.int64)
        if not broken_rules(world, units):
            yield units


def order(world: World, units: np.ndarray) -> tuple:
    """By which of two plans the better one is the lesser: cost, parcels, ranks, who serves which, how many units."""
    used = units.sum(axis=0) > 0
    by_location = units.T.ravel()
    return (
        cost_of(world, units),
        int(used.sum()),
        int(world.rank[used].sum()),
        (-(by_location > 0).astype(int)).tolist(),
        (-by_location).tolist(),
    )


def source_basket(world: World) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The best plan, and the best of those that do without one of its locations."""
    found = list(plans(world))
    if not found:
        return None, None
    best = min(found, key=lambda units: order(world, units))
    used = best.sum(axis=0) > 0
    others = [units for units in found if not (units.sum(axis=0) > 0)[used].all()]
    return best, min(others, key=lambda units: order(world, units), default=None)


def ruled(world: World) -> list[list[int]]:
    """By which rule a line cannot come from a location: the caller's, then stock, then capacity."""
    return [[_rule(world, line, n) for n in range(len(world.rank))] for line in range(len(world.wanted))]


def _rule(world: World, line: int, n: int) -> int:
    wanted = int(world.wanted[line])
    all_at_once = world.shortage[line] == WHOLE and not world.may_split[line]
    least = wanted if all_at_once else 1
    if world.forbidden[line, n]:
        return int(world.forbidden[line, n])
    if world.available[world.sku[line], n] < least:
        return RULE_STOCK
    if world.capacity[n] != NO_LIMIT and world.capacity[n] < least:
        return RULE_CAPACITY
    return 0
