"""Forecast demand: what was seen a half-life ago counts half, few lines are wanted where all others are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.services.demand_rates import DAY_MS, HALF_LIVES_MAX, DemandRates
from invengine.services.demand_regions import WEIGHTS, Regions


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def steady(rates: DemandRates, first_day: int, days: int, units: int, home: int = 0, sku: int = 0) -> None:
    """One line of so many units, in the middle of each day."""
    for day in range(first_day, first_day + days):
        rates.add(column(sku), column(home), column(units), column(day * DAY_MS + DAY_MS // 2), 1)


def test_steady_demand_is_expected_to_go_on() -> None:
    rates = DemandRates(3, 28)
    rates.begin(0)
    steady(rates, 0, 100, 4)
    forecast = rates.forecast(column(0), 100 * DAY_MS)
    assert forecast.rate.sum() == pytest.approx(4_000_000, rel=0.01)
    assert forecast.rate[0, 0] == forecast.rate.sum()
    assert (forecast.spread[0], forecast.line_units[0]) == (4_000, 4_000)


def test_a_level_that_doubled_a_half_life_ago_has_come_half_the_way() -> None:
    """Of 1 unit a day for ever, then 3: after 28 days half of the difference is known."""
    rates = DemandRates(1, 28)
    rates.begin(0)
    steady(rates, 0, 600, 1)
    steady(rates, 600, 28, 3)
    assert rates.forecast(column(0), 628 * DAY_MS).rate[0, 0] == pytest.approx(2_000_000, rel=0.02)


def test_demand_that_ended_fades() -> None:
    rates = DemandRates(1, 28)
    rates.begin(0)
    steady(rates, 0, 600, 1)
    assert rates.forecast(column(0), (600 + 56) * DAY_MS).rate[0, 0] == pytest.approx(250_000, rel=0.02)


def test_nothing_is_expected_of_what_was_never_wanted() -> None:
    rates = DemandRates(2, 28)
    assert rates.forecast(column(0, -1), 5).rate.tolist() == [[0, 0], [0, 0]]
    rates.add(column(3), column(1), column(2), column(5), 1)
    assert rates.forecast(column(-1, 2, 9_999), 5).rate.tolist() == [[0, 0]] * 3


def test_a_sku_with_few_lines_is_wanted_where_all_others_are() -> None:
    """One line at home 1, where a thousand lines of others came from home 0: most is expected at home 0."""
    rates = DemandRates(2, 28)
    rates.begin(0)
    many = 1_000
    rates.add(np.ones(many, np.int64), np.zeros(many, np.int64), np.ones(many, np.int64), np.full(many, DAY_MS), many)
    rates.add(column(0), column(1), column(1), column(DAY_MS), 1)
    near, far = rates.forecast(column(0), 2 * DAY_MS).rate[0].tolist()
    assert near > 10 * far > 0


@given(st.integers(1, 5 * HALF_LIVES_MAX), st.integers(1, 9))
def test_years_of_weights_change_no_rate(half_lives: int, units: int) -> None:
    """Weights grow with time and are scaled back: a SKU wanted long ago and one wanted now are told apart."""
    rates = DemandRates(1, 1)
    rates.begin(0)
    rates.add(column(0), column(0), column(units), column(0), 1)
    later = half_lives * DAY_MS
    rates.add(column(1), column(0), column(units), column(later), 1)
    old, new = rates.forecast(column(0, 1), later).rate[:, 0].tolist()
    days = max(1 / np.log(2) * (1 - 0.5**half_lives), 1)
    assert new == pytest.approx(units * 1e6 / days, rel=1e-3)
    assert old == pytest.approx(units * 1e6 / days * 0.5**half_lives, rel=1e-3, abs=1)


def test_homes_that_are_new_leave_others_as_they_are() -> None:
    rates = DemandRates(1, 28)
    rates.add(column(0), column(0), column(5), column(DAY_MS), 1)
    before = rates.forecast(column(0), DAY_MS).rate[0, 0]
    rates.widen(3)
    assert rates.forecast(column(0), DAY_MS).rate.tolist() == [[before, 0, 0]]


def test_a_number_that_is_forgotten_can_be_given_again() -> None:
    rates = DemandRates(1, 28)
    rates.add(column(0, 1, 1), column(0, 0, 0), column(5, 1, 1), column(DAY_MS, DAY_MS, DAY_MS), 2)
    assert rates.lines_an_order == pytest.approx(1.5)
    assert rates.lines_of(column(1, 0)).tolist() == pytest.approx([2, 1])
    rates.forget(column(1))
    assert rates.forecast(column(1), DAY_MS).rate.tolist() == [[0]]
    assert rates.lines_of(column(0)).tolist() == pytest.approx([1])


def test_lines_share_a_parcel_at_the_first_location_only() -> None:
    """With two lines an order, half a parcel is saved there, and half of that counts."""
    parcel = np.array([[40_000, 60_000], [-1, -1]], np.int64)
    regions = Regions(column(0, 0), column(WEIGHTS, 0), parcel, np.zeros((2, 2), np.int64))
    assert regions.line_cost(1.0).tolist() == parcel.tolist()
    assert regions.line_cost(2.0).tolist() == [[30_000, 60_000], [-1, -1]]
