"""Waves with minimum shares: kept as far as they are wanted, and lying where that costs the others least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invengine.kernels.layout_wave import (
    WAVE_BOUND,
    WAVE_FAIR,
    WAVE_FILL,
    WAVE_OBJECTIVE,
    WAVE_ORDER_CHANNEL,
)
from tests.kernels import allocation_reference as definition
from tests.kernels.allocation_worlds import Line, Order, Wave, allocated, lines_of, wave_of


def two_places(share: int, *, columns: int = 2) -> Wave:
    """10 units at location 0, where both channels may take them, and 2 at location 1, where only the second one may."""
    first = Order((Line(0, 10, 90_000, ((0, 0, 0),)),), ((0, 0),))
    options = tuple((n, 0, 0) for n in range(columns))
    second = Order((Line(0, 10, 10_000, options),), tuple((n, 0) for n in range(columns)), channel=1)
    return wave_of([first, second], [[10, 2][:columns]], shares=[[0], [share]])


@pytest.mark.parametrize(
    ("share", "units"), [(0, [10, 0, 2]), (2, [10, 0, 2]), (3, [9, 1, 2]), (4, [8, 2, 2]), (8, [4, 6, 2])]
)
@pytest.mark.parametrize("rounds", [20, 100, 300])
def test_kept_units_lie_first_where_only_their_channel_can_use_them(share: int, units: list[int], rounds: int) -> None:
    answer = allocated(two_places(share), WAVE_FILL, rounds=rounds)
    assert answer.units.tolist() == units
    if rounds >= 100:
        assert answer.out[-1, WAVE_BOUND] == pytest.approx(answer.out[-1, WAVE_OBJECTIVE], abs=20)


def test_kept_units_of_an_earlier_class_that_has_no_use_for_them_go_back() -> None:
    """The second channel's order costs more than it is worth: its 4 units go to the first one, a class later."""
    dear = Order((Line(0, 4, 10, ((0, 50, 0),)),), ((0, 0),), channel=1)
    late = Order((Line(0, 10, 90, ((0, 0, 0),)),), ((0, 0),), klass=1)
    wave = wave_of([dear, late], [[10]], shares=[[0], [4]])
    assert allocated(wave, WAVE_FILL).units.tolist() == [0, 10]


@st.composite
def shared_waves(draw: st.DrawFn, *, plain: bool) -> Wave:
    """Few units, some kept for channels; plain ones have orders of one line, that may split, and cost nothing."""
    locations, skus = draw(st.integers(1, 3 if plain else 2)), 1 if plain else draw(st.integers(1, 2))
    costs, rule = st.just(0) if plain else st.integers(0, 4), st.just(True) if plain else st.booleans()
    orders = []
    for _ in range(draw(st.integers(2, 3))):
        lines = [
            Line(
                draw(st.integers(0, skus - 1)),
                draw(st.integers(1, 3 if plain else 2)),
                draw(st.integers(1, 9)),
                tuple((place, draw(costs), draw(costs)) for place in range(locations) if draw(st.booleans())),
                draw(rule),
                draw(rule),
            )
            for _ in range(1 if plain else draw(st.integers(1, 2)))
        ]
        places = tuple((n, draw(costs)) for n in range(locations))
        orders.append(Order(tuple(lines), places, channel=draw(st.integers(0, 2)), whole=not plain and draw(rule)))
    available = [[draw(st.integers(0, 3)) for _ in range(locations)] for _ in range(skus)]
    shares = [[draw(st.integers(0, 3)) for _ in range(skus)] for _ in range(3)]
    wave = wave_of(orders, available, shares=np.array(shares)[: max(order.channel for order in orders) + 1])
    return replace(wave, lines=wave.lines * np.array([1, 1, 1_000, 1, 1, 1, 1])) if plain else wave


@settings(max_examples=150, deadline=None)
@given(shared_waves(plain=False))
def test_plans_leave_what_is_kept_and_none_is_better_than_the_bound(wave: Wave) -> None:
    answer = allocated(wave, WAVE_FILL, rounds=30)
    assert wave.broken_rules(answer.units) == []
    assert definition.leaves_kept(wave, answer.units, definition.kept_places(wave))
    assert answer.out[-1, WAVE_BOUND] <= definition.allocate_wave(wave) <= answer.out[-1, WAVE_OBJECTIVE]


def filled_and_best(wave: Wave) -> tuple[int, int]:
    """What the plan's units are worth, less what they cost; and what the best plan's are."""
    answer = allocated(wave, WAVE_FILL, rounds=60)
    nothing = wave.missing_worth(np.zeros(len(wave.options), np.int64))
    return nothing - int(answer.out[-1, WAVE_OBJECTIVE]), nothing - definition.allocate_wave(wave)


def test_nearly_every_tiny_plan_is_the_best_where_nothing_but_stock_and_shares_matters() -> None:
    """98 of 100, and what the others lack is less than 1 % of all: units that would have to move by way of others."""
    draw, are_best, planned, best = np.random.default_rng(5), [], 0, 0
    for _ in range(300):
        locations, orders = int(draw.integers(1, 4)), []
        for _ in range(int(draw.integers(2, 4))):
            options = tuple((place, 0, 0) for place in range(locations) if draw.random() < 0.6)
            line = Line(0, int(draw.integers(1, 4)), int(draw.integers(1, 10)) * 1_000, options)
            orders.append(Order((line,), tuple((n, 0) for n in range(locations)), channel=int(draw.integers(0, 3))))
        channels = max(order.channel for order in orders) + 1
        shares = draw.integers(0, 4, (channels, 1)) * (draw.random((channels, 1)) < 0.6)
        of_plan, of_best = filled_and_best(wave_of(orders, [draw.integers(0, 4, locations).tolist()], shares=shares))
        are_best.append(of_plan == of_best)
        planned, best = planned + of_plan, best + of_best
    assert sum(are_best) >= 0.98 * len(are_best)
    assert planned >= 0.99 * best


@settings(max_examples=150, deadline=None)
@given(shared_waves(plain=True))
def test_fair_shares_over_several_locations_are_those_of_the_definition(wave: Wave) -> None:
    answer = allocated(wave, WAVE_FAIR, rounds=1)
    assert wave.broken_rules(answer.units) == []
    expected = definition.fair_shares(wave, 0, definition.claims_of(wave))
    assert {int(line): int(answer.quotas[line]) for line in lines_of(wave, 0)} == expected
    assert (wave.filled(answer.units) == answer.quotas).all()
    channel = wave.orders[wave.order_of, WAVE_ORDER_CHANNEL]
    filled = np.bincount(channel, wave.filled(answer.units), len(wave.shares))
    assert (filled >= definition.kept_units(wave)[:, 0]).all()
