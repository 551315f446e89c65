"""What can be promised: both kernels against their definitions, and against each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine import kernels
from invengine.domain.stock import UNITS_MAX
from invengine.kernels.layout import ARRIVAL_COLUMNS, STEP_COLUMNS
from tests.kernels import reference
from tests.kernels.reference import WEB, Asked, Asker, Coming, Ignored
from tests.kernels.strategies import (
    LOCATIONS,
    Compiled,
    Worlds,
    askers,
    compiled,
    ignored_units,
    locations,
    parts,
    selections,
    skus,
    units,
    worlds,
)

small = st.integers(0, 10_000)
horizons = st.lists(st.tuples(small, small), max_size=14)
"""One (due in, due out) a day."""


@st.composite
def expected(draw: st.DrawFn) -> Coming:
    """What comes to a location in the next days and is promised to nobody."""
    days = draw(st.dictionaries(st.integers(1, 9), units, max_size=5))
    return Coming(days, draw(st.just(0) | st.integers(0, 30)), (draw(st.just(0) | units), draw(parts)))


def promise(horizon: list[tuple[int, int]], on_hand: int, safety_stock: int) -> list[int]:
    receipts, commitments = np.array(horizon, np.int64).reshape(1, -1, 2).transpose(2, 0, 1).copy()
    out = np.full_like(receipts, -1)
    kernels.available_to_promise(np.array([on_hand]), np.array([safety_stock]), receipts, commitments, out)
    return out[0].tolist()


def steps(
    both: Worlds,
    sku: str,
    chosen: Compiled,
    arrivals: Mapping[str, Coming],
    ignored: Mapping[str, Ignored] | None = None,
    asker: Asker = WEB,
) -> dict[str, list[tuple[int, int]]]:
    """The steps of the kernel, by location."""
    columns = both.columns
    lines = []
    for location, coming in arrivals.items():
        number = columns.locations.number(location)
        lines.append((number, 0, -coming.backordered, *coming.safety))
        lines += [(number, day, free, 0, 0) for day, free in coming.days.items()]
    number = columns.find_sku(sku)
    block = np.array(sorted(lines), np.int64).reshape(-1, ARRIVAL_COLUMNS)
    out = np.full((len(LOCATIONS) + len(block), STEP_COLUMNS), -1, np.int64)
    count = kernels.promisable_steps(
        number,
        columns.positions,
        columns.skus,
        columns.fences,
        chosen.block,
        chosen.ignored(ignored or {}, asker),
        block,
        out,
    )
    found: dict[str, list[tuple[int, int]]] = {}
    for place, day, promised in out[:count].tolist():
        found.setdefault(columns.locations.names[place], []).append((day, promised))
    return found


@given(small, small, horizons)
def test_available_to_promise_agrees_with_its_definition(
    on_hand: int, safety_stock: int, horizon: list[tuple[int, int]]
) -> None:
    """On every horizon, the empty one included."""
    assert reference.available_to_promise(on_hand, safety_stock, horizon) == promise(horizon, on_hand, safety_stock)


@pytest.mark.parametrize(
    ("on_hand", "horizon", "expected"),
    [
        (20, [(0, 3), *[(0, 0)] * 6], [17] * 7),
        (20, [(0, 3), (0, 0), (10, 0), (0, 15), (1, 0), (3, 0), (0, 0)], [12, 12, 12, 12, 13, 16, 16]),
        (17, [(0, 0), (10, 0), (0, 15), (1, 0), (3, 0), (0, 0), (0, 0)], [12, 12, 12, 13, 16, 16, 16]),
        (5, [(0, 0), (20, 0), (0, 12), (0, 0), (0, 9), (7, 0)], [4, 4, 4, 4, 4, 11]),
        (
            65,
            [(250, 25), (0, 150), (0, 59), (200, 26), (0, 75), (0, 22), (150, 68), (0, 10)],
            [81, 81, 81, 158, 158, 158, 230, 230],  # 81, then 77 and 72 more: each receipt less what it has to cover
        ),
    ],
)
def test_demand_of_a_later_day_is_kept_for_it(
    on_hand: int, horizon: list[tuple[int, int]], expected: list[int]
) -> None:
    """Worked by hand: what is due in and due out day by day, and what can be promised."""
    assert promise(horizon, on_hand, 0) == reference.available_to_promise(on_hand, 0, horizon) == expected


@given(small, small, st.dictionaries(st.integers(0, 729), st.tuples(small, small), max_size=6))
def test_days_on_which_nothing_happens_may_be_left_out(
    on_hand: int, safety_stock: int, events: dict[int, tuple[int, int]]
) -> None:
    """Over two years, a row of the days with events says the same as one of all days."""
    whole = promise([events.get(day, (0, 0)) for day in range(730)], on_hand, safety_stock)
    days = sorted({0, *events})
    short = promise([events.get(day, (0, 0)) for day in days], on_hand, safety_stock)
    for day, then, found in zip(days, [*days[1:], 730], short, strict=True):
        assert whole[day:then] == [found] * (then - day)


@given(
    worlds(),
    skus,
    selections,
    st.dictionaries(locations, expected(), max_size=5),
    ignored_units,
    askers,
)
def test_steps_agree_with_their_definition(
    both: Worlds,
    sku: str,
    selection: reference.Selection,
    arrivals: dict[str, Coming],
    ignored: dict[str, Ignored],
    asker: Asker,
) -> None:
    """With ring-fences, percentages, confidence, own holds, and where there never was a position."""
    for location in arrivals:
        both.columns.locations.number(location)
    chosen = compiled(selection, both.columns, asker)
    definition = reference.promisable_steps(both.state, sku, selection, arrivals, ignored, asker)
    assert definition == steps(both, sku, chosen, arrivals, ignored, asker)


@given(
    st.integers(0, 100),
    st.integers(0, 40),
    st.integers(0, 40),
    st.dictionaries(st.integers(1, 729), st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=6),
)
def test_steps_are_those_of_the_definition_over_two_years(
    on_hand: int, reserved: int, safety_stock: int, receipts: dict[int, tuple[int, int]]
) -> None:
    """One position without anything special: units, a floor, receipts and what is promised of them."""
    both = Worlds()
    both.apply(0, 1, f"P\tLAMP\tBER\t{on_hand}\t{reserved}\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n")
    coming = Coming({day: come - min(come, pegged) for day, (come, pegged) in receipts.items()})
    found = steps(both, "LAMP", compiled({"BER": Asked(units=safety_stock)}, both.columns), {"BER": coming})
    horizon = [(0, reserved)] + [
        (receipts[day][0], min(receipts[day])) if day in receipts else (0, 0) for day in range(1, 730)
    ]
    whole = promise(horizon, on_hand, safety_stock)
    rises = [(day, whole[day]) for day in range(730) if not day or whole[day] > whole[day - 1]]
    assert found == {"BER": rises}


@pytest.mark.parametrize("count", [1, 600])
def test_receipts_beyond_all_bounds_do_not_wrap(count: int) -> None:
    """More than fits into 64 bits comes to one place: what can be promised never falls, and stops at 2^61 and more."""
    both = Worlds()
    both.apply(0, 1, f"P\tLAMP\tBER\t{UNITS_MAX}\t0\t0\t0\t0\tCOUNT\t\t\t\t\t0\t\n")
    coming = Coming(dict.fromkeys(range(1, count + 1), UNITS_MAX))
    found = steps(both, "LAMP", compiled({"BER": Asked()}, both.columns), {"BER": coming})["BER"]
    assert all(before[1] < after[1] for before, after in pairwise(found))
    assert found[-1][1] == UNITS_MAX + min(count * UNITS_MAX, 2**61)
