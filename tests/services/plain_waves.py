"""A wave shared out in plain Python, order by order: for tests that are not about who gets what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from invengine.kernels.layout_wave import (
    OPTION_PLACE,
    PLACE_LOCATION,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_PART,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_LINE_SKU,
    WAVE_LINE_WANTED,
    WAVE_ORDER_CLASS,
    WAVE_ORDER_FIRST,
    WAVE_ORDER_LINES,
    WAVE_ORDER_WHOLE,
)
from invengine.services.wave_problem import Allocated, WaveProblem


def allocate(problem: WaveProblem, goes_on: Callable[[int, int], bool]) -> Allocated | None:
    """Class by class, each order from the first places that have units."""
    left = problem.stock.copy()
    units = np.zeros(len(problem.options), np.int64)
    orders = problem.orders.tolist()
    for done, order in enumerate(sorted(orders, key=lambda one: one[WAVE_ORDER_CLASS])):
        if not goes_on(done, len(orders)):
            return None
        first = order[WAVE_ORDER_FIRST]
        before, had = left.copy(), units.copy()
        complete = [_fill(problem, left, units, line) for line in range(first, first + order[WAVE_ORDER_LINES])]
        if order[WAVE_ORDER_WHOLE] and not all(complete):
            left[:], units[:] = before, had
    return Allocated(units, 0, 0)


def _fill(problem: WaveProblem, left: np.ndarray, units: np.ndarray, line: int) -> bool:
    """Whether the line gets all that it wants."""
    fields = problem.lines[line].tolist()
    wanted, row = fields[WAVE_LINE_WANTED], fields[WAVE_LINE_SKU]
    places = range(fields[WAVE_LINE_FIRST], fields[WAVE_LINE_FIRST] + fields[WAVE_LINE_OPTIONS])
    columns = {r: int(problem.places[problem.options[r, OPTION_PLACE], PLACE_LOCATION]) for r in places}
    there = {r: int(left[row, columns[r]]) for r in places}
    whole = [r for r in places if there[r] >= wanted]
    if whole:
        takes = {whole[0]: wanted}
    elif fields[WAVE_LINE_MAY_SPLIT]:
        takes, missing = {}, wanted
        for r in places:
            takes[r] = min(missing, there[r])
            missing -= takes[r]
    else:
        best = max(places, key=there.__getitem__, default=None)
        takes = {} if best is None else {best: there[best]}
    if sum(takes.values()) < wanted and not fields[WAVE_LINE_MAY_PART]:
        takes = {}
    for r, taken in takes.items():
        left[row, columns[r]] -= taken
        units[r] += taken
    return bool(sum(takes.values()) == wanted)
