"""Waves planned: rules kept, bounds that hold, shares as the definition has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.kernels.layout import NO_LIMIT
from invengine.kernels.layout_wave import (
    OPTION_UNIT_COST,
    WAVE_BOUND,
    WAVE_COST,
    WAVE_FAIR,
    WAVE_FILL,
    WAVE_LINE_MAY_PART,
    WAVE_LINE_OPTIONS,
    WAVE_LINE_WANTED,
    WAVE_LINE_WORTH,
    WAVE_MISSING,
    WAVE_MISSING_WORTH,
    WAVE_OBJECTIVE,
    WAVE_ORDER_CHANNEL,
    WAVE_READY,
    WAVE_UNITS,
)
from tests.kernels import allocation_reference as definition
from tests.kernels.allocation_worlds import (
    Answer,
    Line,
    Order,
    Wave,
    allocated,
    channel_of,
    class_of,
    lines_of,
    locations_of,
    random_wave,
    wave_of,
)


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


def test_no_unit_is_left_that_a_line_could_add_to_a_parcel_it_has() -> None:
    """Of any class: what an earlier class could have used is not left, and so not taken by a later one either."""
    for seed in range(60):
        wave = random_wave(seed)
        wave = replace(wave, shares=np.zeros_like(wave.shares))
        units = allocated(wave, WAVE_FILL).units
        taken, line = wave.taken(units), wave.line_of
        left = (wave.available - taken)[wave.lines[line, 0], wave.location_of]
        room = np.where(wave.capacity == NO_LIMIT, 1, wave.capacity - taken.sum(axis=0))[wave.location_of]
        may_add = (units > 0) & (left > 0) & (room > 0) & (wave.lines[line, WAVE_LINE_MAY_PART] == 1)
        may_add &= (wave.lines[:, WAVE_LINE_WANTED] > wave.filled(units))[line]
        assert (wave.options[may_add, OPTION_UNIT_COST] >= wave.lines[line[may_add], WAVE_LINE_WORTH]).all()


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


def gains(wave: Wave, has: dict[int, int], groups: list[list[int]]) -> list[tuple[int, int]]:
    """Pairs of groups of lines (who could gain a unit, who would lose one, or itself if nobody), others as they are."""
    lines = lines_of(wave, 0)
    claims = definition.claims_of(wave)
    pool = definition.Pool(
        wave.available[0].tolist(), [(int(claims[line]), locations_of(wave, line)) for line in lines]
    )
    place = {int(line): i for i, line in enumerate(lines)}
    parts = [*groups, *([line] for line in place if not any(line in group for group in groups))]
    totals = [sum(has[line] for line in part) for part in parts]
    found = []
    for gainer in range(len(groups)):
        for loser in range(len(groups)):
            after = totals.copy()
            after[gainer] += 1
            after[loser] -= loser != gainer
            could = all(
                sum(after[part] for part in some) <= pool.most([place[line] for part in some for line in parts[part]])
                for some in definition.subsets(range(len(parts)))
            )
            if could and after[loser] >= 0:
                found.append((gainer, loser))
    return found


@settings(max_examples=200, deadline=None)
@given(scarce_waves())
def test_nobody_could_gain_a_unit_from_one_who_would_still_have_as_large_a_part(wave: Wave) -> None:
    """Among the channels of a class, and among the lines of each channel; and no unit lies idle that one could use."""
    answer = allocated(wave, WAVE_FAIR, rounds=1)
    claims, lines = definition.claims_of(wave), lines_of(wave, 0)
    has = {int(line): int(answer.quotas[line]) for line in lines}
    by_channel: dict[tuple[int, int], list[int]] = {}
    for line in lines:
        by_channel.setdefault((class_of(wave, line), channel_of(wave, line)), []).append(int(line))
    levels = [[group for (klass, _), group in sorted(by_channel.items()) if klass == of] for of in range(wave.classes)]
    levels += [[[line] for line in group] for group in by_channel.values()]
    for groups in levels:
        total, claim = [sum(has[i] for i in group) for group in groups], [int(claims[group].sum()) for group in groups]
        for gainer, loser in gains(wave, has, groups):
            assert gainer != loser, "a unit lies idle"
            assert (total[loser] - 1) * claim[gainer] < (total[gainer] + 1) * claim[loser]


def test_what_is_kept_for_a_channel_comes_first_then_the_rest_in_proportion() -> None:
    """10 units, channels that want 20 and 4, 3 for the second: the 7 others over 20 and 1 are 6 2/3 and 1/3."""
    orders = [Order((Line(0, wanted, 9, ((0, 0, 0),)),), ((0, 0),), channel=c) for c, wanted in enumerate((20, 4))]
    wave = wave_of(orders, [[10]], shares=[[0], [3]])
    assert allocated(wave, WAVE_FAIR).quotas.tolist() == [7, 3]
    late = wave_of([orders[0], replace(orders[1], klass=1)], [[10]], shares=[[0], [3]])
    assert allocated(late, WAVE_FAIR).quotas.tolist() == [7, 3]
    assert allocated(late, WAVE_FILL).units.tolist() == [7, 3]
    assert allocated(wave_of([orders[0], replace(orders[1], klass=1)], [[10]]), WAVE_FILL).units.tolist() == [10, 0]


def test_units_that_are_kept_are_taken_by_nobody_else() -> None:
    for seed in range(40):
        wave = random_wave(seed, orders=25, locations=1)
        wave = replace(wave, capacity=np.full(1, NO_LIMIT))
        units = allocated(wave, WAVE_FILL, rounds=20).units
        channel = wave.orders[wave.order_of, WAVE_ORDER_CHANNEL]
        for sku in range(len(wave.available)):
            lines = (wave.lines[:, 0] == sku) & (wave.lines[:, WAVE_LINE_OPTIONS] > 0)
            wanted = np.bincount(channel[lines], wave.lines[lines, WAVE_LINE_WANTED], len(wave.shares))
            kept = np.minimum(wave.shares[:, sku], wanted)
            taken = np.bincount(channel[lines], wave.filled(units)[lines], len(wave.shares))
            if kept.sum() <= wave.available[sku].sum():
                assert np.maximum(kept, taken).sum() <= wave.available[sku].sum()


def test_what_has_to_be_whole_stands_back_and_comes_after_the_others() -> None:
    """Two lines of 4 over 6 units, 3 each: the one that may not be short gives up, and the 2 left are not enough."""
    place = (((0, 0, 0),), ((0, 0),))
    orders = [Order((Line(0, 4, 1, place[0], may_part=part),), place[1]) for part in (False, True)]
    assert allocated(wave_of(orders, [[6]]), WAVE_FAIR).quotas.tolist() == [0, 4]
    assert allocated(wave_of([orders[0]] * 3, [[10]]), WAVE_FAIR).quotas.tolist() == [4, 4, 0]


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
