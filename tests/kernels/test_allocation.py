"""Waves planned: rules kept, bounds that hold, shares as the definition has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.kernels.layout_wave import (
    WAVE_BOUND,
    WAVE_COST,
    WAVE_FAIR,
    WAVE_FILL,
    WAVE_MISSING,
    WAVE_MISSING_WORTH,
    WAVE_OBJECTIVE,
    WAVE_READY,
    WAVE_UNITS,
)
from tests.kernels import allocation_reference as definition
from tests.kernels.allocation_worlds import Answer, Line, Order, Wave, allocated, lines_of, random_wave, wave_of


def check_plan(wave: Wave, answer: Answer, mode: int) -> None:
    """A plan keeps the rules, costs what it says, class by class, and no bound is above it."""
    assert answer.status == WAVE_READY
    assert wave.broken_rules(answer.units) == []
    filled = wave.filled(answer.units)
    assert (filled <= answer.quotas).all()
    for klass, out in enumerate(answer.out):
        of = None if klass == wave.classes else klass
        cost, missing_worth = wave.cost(answer.units, of), wave.missing_worth(answer.units, of)
        assert [cost, missing_worth] == out[[WAVE_COST, WAVE_MISSING_WORTH]].tolist()
        assert out[WAVE_OBJECTIVE] == cost + (missing_worth if mode == WAVE_FILL else 0)
        assert out[WAVE_BOUND] <= out[WAVE_OBJECTIVE]
    wanted = wave.lines[:, 1].sum()
    assert [filled.sum(), wanted - filled.sum()] == answer.out[-1, [WAVE_UNITS, WAVE_MISSING]].tolist()


@pytest.mark.parametrize("mode", [WAVE_FILL, WAVE_FAIR])
def test_plans_keep_every_rule_and_cost_what_they_say(mode: int) -> None:
    for seed in range(120):
        wave = random_wave(seed)
        check_plan(wave, allocated(wave, mode), mode)


@pytest.mark.parametrize("mode", [WAVE_FILL, WAVE_FAIR])
def test_the_plan_is_the_same_however_many_rounds_a_call_does(mode: int) -> None:
    for seed in range(10):
        wave = random_wave(seed)
        at_once, in_steps = allocated(wave, mode, rounds=20), allocated(wave, mode, rounds=20, steps=3)
        assert at_once.calls == 1 < in_steps.calls
        assert at_once.units.tolist() == in_steps.units.tolist()
        assert at_once.out.tolist() == in_steps.out.tolist()


@st.composite
def tiny_waves(draw: st.DrawFn) -> Wave:
    """Two orders or three, few units and locations: all plans can be looked at."""
    locations, skus = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    costs = st.integers(0, 4)
    orders = []
    for _ in range(draw(st.integers(1, 3))):
        lines = [
            Line(
                draw(st.integers(0, skus - 1)),
                draw(st.integers(1, 2)),
                draw(st.integers(0, 9)),
                tuple((place, draw(costs), draw(costs)) for place in range(locations) if draw(st.booleans())),
                draw(st.booleans()),
                draw(st.booleans()),
            )
            for _ in range(draw(st.integers(1, 2)))
        ]
        places = tuple((n, draw(costs)) for n in range(locations))
        orders.append(Order(tuple(lines), places, whole=draw(st.booleans())))
    available = [[draw(st.integers(0, 3)) for _ in range(locations)] for _ in range(skus)]
    capacity = [draw(st.integers(-1, 4)) for _ in range(locations)] if draw(st.booleans()) else None
    return wave_of(orders, available, capacity)


@settings(max_examples=150, deadline=None)
@given(tiny_waves())
def test_no_plan_is_better_than_the_bound(wave: Wave) -> None:
    answer = allocated(wave, WAVE_FILL, rounds=30)
    check_plan(wave, answer, WAVE_FILL)
    assert answer.out[-1, WAVE_BOUND] <= definition.allocate_wave(wave) <= answer.out[-1, WAVE_OBJECTIVE]


@st.composite
def scarce_waves(draw: st.DrawFn, classes: int = 2, channels: int = 3) -> Wave:
    """One SKU that is wanted by lines with different locations, each of an order of its own."""
    locations = draw(st.integers(1, 3))
    places = tuple((n, 0) for n in range(locations))
    orders = []
    for _ in range(draw(st.integers(1, 6))):
        options = tuple((place, 0, 0) for place in range(locations) if draw(st.booleans()))
        line = Line(0, draw(st.integers(1, 9)), 1, options)
        klass, channel = draw(st.integers(0, classes - 1)), draw(st.integers(0, channels - 1))
        orders.append(Order((line,), places, klass, channel))
    return wave_of(orders, [[draw(st.integers(0, 12)) for _ in range(locations)]])


@settings(max_examples=200, deadline=None)
@given(scarce_waves())
def test_fair_shares_are_those_of_the_definition(wave: Wave) -> None:
    answer = allocated(wave, WAVE_FAIR, rounds=1)
    check_plan(wave, answer, WAVE_FAIR)
    expected = definition.fair_shares(wave, 0, definition.claims_of(wave))
    assert {int(line): int(answer.quotas[line]) for line in lines_of(wave, 0)} == expected
    assert (wave.filled(answer.units) == answer.quotas).all()


def test_shares_of_one_pool_are_those_of_largest_remainder() -> None:
    """10 units over wants of 7, 6 and 4: 70/17, 60/17, 40/17 are 4, 3 and 2, and the one left goes to 60/17."""
    line = [Line(0, wanted, 1, ((0, 0, 0),)) for wanted in (7, 6, 4)]
    wave = wave_of([Order((one,), ((0, 0),)) for one in line], [[10]])
    assert allocated(wave, WAVE_FAIR).quotas.tolist() == [4, 4, 2]
    ties = wave_of([Order((Line(0, 1, 1, ((0, 0, 0),)),), ((0, 0),)) for _ in range(4)], [[2]])
    assert allocated(ties, WAVE_FAIR).quotas.tolist() == [1, 1, 0, 0]


def test_nothing_is_placed_where_numbers_could_leave_int64() -> None:
    wave = wave_of([Order((Line(0, 2**30, 1, ((0, 0, 0),)),), ((0, 0),))], [[2**40]])
    answer = allocated(wave, WAVE_FILL)
    assert [answer.status, int(answer.units.sum()), int(np.abs(answer.out).sum())] == [3, 0, 0]
