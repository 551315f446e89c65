"""The best combination of locations, against all of them."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine import kernels
from invengine.kernels.layout import BEST_LINES, BEST_NEVER
from tests.kernels import reference


def chosen(
    sizes: list[int], days: np.ndarray, costs: np.ndarray, fixed: list[tuple[int, int]], least: int = 0
) -> tuple[list[int], list[int]]:
    """(day, cost, parcels, ranks) and the location of each line, by the kernel."""
    lines = sum(sizes)
    out = np.empty(BEST_LINES + lines, np.int64)
    totals, served = np.empty((2 << lines, 3), np.int64), np.empty((len(fixed), 1 << lines), np.int64)
    kernels.choose_locations(
        least, np.array(sizes, np.int64), days, costs, np.array(fixed, np.int64).reshape(-1, 2), totals, served, out
    )
    return out[:BEST_LINES].tolist(), out[BEST_LINES:].tolist()


def subsets(items: range) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(items, count) for count in range(1, len(items) + 1)))


@st.composite
def baskets(draw: st.DrawFn) -> tuple[list[int], int, dict, dict, list[tuple[int, int]]]:
    """Groups of lines, locations, and what each could do; more lines of a group are never there earlier."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda s: sum(s) <= 4))
    places = draw(st.integers(1, 4))
    day = st.one_of(st.integers(1, 4), st.none())
    fixed = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=places, max_size=places))
    day_of, cost_of, first = {}, {}, 0
    for size in sizes:
        lines = range(first, first + size)
        for place in range(places):
            for part in subsets(lines):
                least = [day_of.get((place, frozenset(smaller))) for smaller in combinations(part, len(part) - 1)]
                found = draw(day)
                if found is None or (len(part) > 1 and None in least):
                    continue
                day_of[place, frozenset(part)] = max([found, *(d for d in least if d)])
                cost_of[place, frozenset(part)] = draw(st.integers(0, 3))
        first += size
    return sizes, places, day_of, cost_of, fixed


@settings(max_examples=300)
@given(baskets(), st.integers(0, 4))
def test_no_combination_is_better(basket: tuple[list[int], int, dict, dict, list[tuple[int, int]]], least: int) -> None:
    """Day, cost, parcels and ranks are those of the best of all combinations; the locations are such a one."""
    sizes, places, day_of, cost_of, fixed = basket
    width = sum(1 << size for size in sizes)
    days, costs = np.full((places, width), BEST_NEVER, np.int64), np.zeros((places, width), np.int64)
    groups, first, column = [], 0, 0
    for size in sizes:
        groups.append(range(first, first + size))
        for place in range(places):
            for part in subsets(groups[-1]):
                at = column + sum(1 << line - first for line in part)
                days[place, at] = day_of.get((place, frozenset(part)), BEST_NEVER)
                costs[place, at] = cost_of.get((place, frozenset(part)), 0)
        first, column = first + size, column + (1 << size)
    best = reference.choose_locations(groups, day_of, cost_of, fixed, least)
    out, at = chosen(sizes, days, costs, fixed, least)
    if best is None:
        assert out == [BEST_NEVER, -1, -1, -1]
        assert set(at) == {-1}
        return
    assert tuple(out) == best
    there = {(place, part): day for (place, part), day in day_of.items() if all(at[line] == place for line in part)}
    again = reference.choose_locations(groups, there, cost_of, fixed, least)
    assert again == best


@pytest.mark.parametrize("places", [1, 200])
def test_a_basket_of_twelve_lines(places: int) -> None:
    """As many lines as are looked at exactly: one location has everything, the others one line each, and less dear."""
    lines = 12
    days, costs = np.full((places, 2 * lines), BEST_NEVER, np.int64), np.zeros((places, 2 * lines), np.int64)
    days[0, 1::2] = 7
    for place in range(1, places):
        days[place, 2 * (place % lines) + 1] = 7
    out, at = chosen([1] * lines, days, costs, [(11, 1), *[(1, 1)] * (places - 1)])
    assert out == [7, 11, 1, 0]
    assert at == [0] * lines


@st.composite
def many_orders(draw: st.DrawFn) -> tuple:
    """Orders, the locations of sources, and tables of days and costs by end, option and source or location."""
    locations, sources = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    ends, options = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    places = draw(st.lists(st.integers(0, locations - 1), min_size=sources, max_size=sources))

    def table(width: int, values: st.SearchStrategy) -> list:
        row = st.lists(values, min_size=width, max_size=width)
        return draw(st.lists(st.lists(row, min_size=options, max_size=options), min_size=ends, max_size=ends))

    chosen = st.lists(st.integers(0, sources - 1), max_size=sources, unique_by=lambda source: places[source])
    lines = st.lists(st.tuples(chosen, st.integers(1, 5)), min_size=1, max_size=3)
    orders = draw(st.lists(st.tuples(lines, st.integers(0, ends - 1)), min_size=1, max_size=4))
    days = table(sources, st.one_of(st.integers(1, 4), st.none()))
    return orders, places, days, table(locations, st.integers(0, 3)), table(locations, st.integers(0, 3))


@settings(max_examples=200)
@given(many_orders())
def test_many_orders_at_once_are_each_served_best(question: tuple) -> None:
    """Day, option and cost of each order are the best of all; its lines come from where they can."""
    orders, places, days, parcels, units = question
    heads, lines, rows = [], [], []
    for of_order, end in orders:
        heads.append((len(lines), len(of_order), end))
        for sources, wanted in of_order:
            lines.append((len(rows), len(sources), wanted))
            rows += sources
    out, served_by = np.empty((len(orders), 3), np.int64), np.empty(len(lines), np.int64)
    kernels.choose_for_orders(
        np.array(heads, np.int64),
        np.array(lines, np.int64),
        np.array(rows, np.int64),
        np.array(places, np.int64),
        np.array([[[BEST_NEVER if d is None else d for d in row] for row in table] for table in days], np.int64),
        np.array(parcels, np.int64),
        np.array(units, np.int64),
        out,
        served_by,
    )
    expected = reference.choose_for_orders(orders, places, days, parcels, units)
    for number, ((of_order, _), best) in enumerate(zip(orders, expected, strict=True)):
        at = served_by[heads[number][0] : heads[number][0] + len(of_order)].tolist()
        if best is None:
            assert out[number].tolist() == [BEST_NEVER, -1, 0]
            assert set(at) == {-1}
        else:
            assert tuple(out[number].tolist()) == best
            assert all(
                place in {places[source] for source in sources}
                for place, (sources, _) in zip(at, of_order, strict=True)
            )
