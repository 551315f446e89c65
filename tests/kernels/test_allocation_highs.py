"""Waves planned by the kernel and by HiGHS: no plan below the bound, plans near the best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from invengine.kernels.layout_wave import (
    WAVE_BOUND,
    WAVE_FILL,
    WAVE_OBJECTIVE,
    WAVE_ORDER_CHANNEL,
    WAVE_ORDER_CLASS,
)
from tests.kernels.allocation_highs import solve
from tests.kernels.allocation_reference import kept_units
from tests.kernels.allocation_worlds import Wave, allocated, random_wave


def one_class(wave: Wave) -> Wave:
    """The same wave without classes and minimum shares."""
    orders = wave.orders.copy()
    orders[:, WAVE_ORDER_CLASS] = 0
    return replace(wave, orders=orders, shares=np.zeros_like(wave.shares))


def value(wave: Wave, objective: float) -> float:
    """What is filled is worth, less what it costs."""
    return wave.missing_worth(np.zeros(len(wave.options), np.int64)) - objective


@pytest.mark.timeout(600)
def test_no_plan_of_highs_is_below_the_bound_and_none_is_above_the_plan_that_is_proved_best() -> None:
    """Bound <= least cost <= plan, with every rule on and off; and the plans come near in the sum of their values."""
    planned, best = 0.0, 0.0
    for seed in range(30):
        wave = one_class(random_wave(seed, orders=12))
        answer = allocated(wave, WAVE_FILL)
        found = solve(wave, whole=True, gap=0.0)
        assert found.is_proved, seed
        assert found.units is not None
        assert wave.broken_rules(found.units) == []
        least = wave.cost(found.units) + wave.missing_worth(found.units)
        assert answer.out[-1, WAVE_BOUND] <= least <= answer.out[-1, WAVE_OBJECTIVE] + 1
        planned += value(wave, answer.out[-1, WAVE_OBJECTIVE])
        best += value(wave, least)
    assert planned >= 0.97 * best


@pytest.mark.timeout(600)
def test_of_many_orders_the_plan_reaches_nearly_what_the_relaxation_does() -> None:
    """300 orders over thin stock: what is filled is worth 96 % of what fractions of units could be worth."""
    for seed in range(3):
        wave = random_wave(1_000 + seed, orders=300, plain=True)
        answer = allocated(wave, WAVE_FILL, rounds=100)
        relaxed = solve(wave, whole=False)
        assert value(wave, answer.out[-1, WAVE_OBJECTIVE]) >= 0.96 * value(wave, relaxed.objective)
        assert answer.out[-1, WAVE_BOUND] <= answer.out[-1, WAVE_OBJECTIVE]


@pytest.mark.timeout(600)
def test_with_minimum_shares_bounds_hold_and_plans_come_near_the_best() -> None:
    """As above, with units kept for channels, wherever they lie; every rule on and off."""
    planned, best = 0.0, 0.0
    for seed in range(40):
        wave = random_wave(seed, orders=12)
        if wave.shares.any():
            wave = replace(one_class(wave), shares=wave.shares)
            answer = allocated(wave, WAVE_FILL)
            found = solve(wave, whole=True, gap=0.0, kept=kept_units(wave))
            assert found.is_proved, seed
            assert answer.out[-1, WAVE_BOUND] <= found.objective + 1
            assert found.objective <= answer.out[-1, WAVE_OBJECTIVE] + 1
            planned += value(wave, answer.out[-1, WAVE_OBJECTIVE])
            best += value(wave, found.objective)
    assert planned >= 0.96 * best


def shared_wave(seed: int) -> Wave:
    """300 orders of three channels over thin stock, up to a third of which is kept for each."""
    draw = np.random.default_rng(seed)
    wave = random_wave(2_000 + seed, orders=300, plain=True, locations=5)
    orders = wave.orders.copy()
    orders[:, WAVE_ORDER_CHANNEL] = draw.integers(0, 3, len(orders))
    shares = (wave.available.sum(axis=1) * draw.uniform(0, 0.3, (3, len(wave.available)))).astype(np.int64)
    shares[draw.random(shares.shape) < 0.3] = 0
    return replace(wave, orders=orders, shares=shares)


@pytest.mark.timeout(600)
def test_of_many_orders_with_minimum_shares_the_plan_reaches_nearly_what_the_relaxation_does() -> None:
    """Each plan is worth 97 % of what fractions of units could be worth, and no bound is 5 % above that."""
    for seed in range(6):
        wave = shared_wave(seed)
        answer = allocated(wave, WAVE_FILL, rounds=100)
        relaxed = value(wave, solve(wave, whole=False, kept=kept_units(wave)).objective)
        planned = value(wave, answer.out[-1, WAVE_OBJECTIVE])
        bound = value(wave, answer.out[-1, WAVE_BOUND])
        print(f"{planned / relaxed:.4f} of the relaxation, the bound {bound / relaxed:.4f}")
        assert 0.97 * relaxed <= planned <= bound <= 1.05 * relaxed
