"""What a unit of scarce stock is worth: the kernel against its definition, and what must hold of any price."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from invengine import kernels
from invengine.kernels.layout import NO_WAY
from tests.kernels import reference

DAY = 1_440
Block = NDArray[np.int64]


class Scarce(NamedTuple):
    """One SKU at N locations, wanted in R regions."""

    stock: list[int]
    minutes: list[int]
    rate: list[int]
    spread: int
    line_units: int
    line_cost: list[list[int]]
    unit_cost: list[list[int]]

    def prices(self) -> list[int]:
        arrays = [
            np.array(value, np.int64)
            for value in (
                [self.stock],
                [self.minutes],
                [self.rate],
                [self.spread],
                [self.line_units],
                self.line_cost,
                self.unit_cost,
            )
        ]
        out = np.full((1, len(self.stock)), -1, np.int64)
        kernels.scarcity_prices(*arrays, out)
        found: list[int] = out[0].tolist()
        return found


@st.composite
def worlds(draw: st.DrawFn) -> Scarce:
    """Few or many units, orders and ways."""
    places, regions = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    money = st.integers(0, 200_000)
    lines = st.lists(st.just(NO_WAY) | money, min_size=places, max_size=places)
    units = st.lists(money, min_size=places, max_size=places)
    return Scarce(
        draw(st.lists(st.integers(-2, 40), min_size=places, max_size=places)),
        draw(st.lists(st.integers(0, 40 * DAY), min_size=places, max_size=places)),
        draw(st.lists(st.just(0) | st.integers(1, 5_000_000), min_size=regions, max_size=regions)),
        draw(st.integers(1, 20_000)),
        draw(st.integers(1, 20_000)),
        draw(st.lists(lines, min_size=regions, max_size=regions)),
        draw(st.lists(units, min_size=regions, max_size=regions)),
    )


@settings(max_examples=150)
@given(worlds())
def test_prices_agree_with_their_definition(world: Scarce) -> None:
    """Up to one ten-thousandth for each of the rounds: two ways to sum may round apart."""
    (expected,) = reference.scarcity_prices(
        [world.stock],
        [world.minutes],
        [world.rate],
        [world.spread],
        [world.line_units],
        world.line_cost,
        world.unit_cost,
    )
    assert max(abs(one - other) for one, other in zip(expected, world.prices(), strict=True)) <= 6


@given(worlds())
def test_prices_are_never_negative_nor_above_what_another_place_costs(world: Scarce) -> None:
    dearest = max(
        unit + line * 1000 // world.line_units
        for lines, units in zip(world.line_cost, world.unit_cost, strict=True)
        for line, unit in zip(lines, units, strict=True)
    )
    assert all(0 <= price <= max(dearest, 0) for price in world.prices())


@given(worlds())
def test_what_nobody_can_want_is_worth_nothing(world: Scarce) -> None:
    """More stock than any demand, or no demand."""
    assert world._replace(rate=[0] * len(world.rate)).prices() == [0] * len(world.stock)
    assert world._replace(stock=[10**9] * len(world.stock)).prices() == [0] * len(world.stock)
    assert world._replace(stock=[1] * len(world.stock), minutes=[0] * len(world.stock)).prices() == [0] * len(
        world.stock
    )


@given(worlds(), st.data())
def test_no_price_rises_when_stock_does(world: Scarce, data: st.DataObject) -> None:
    """Nowhere, wherever the units come."""
    more = [units + data.draw(st.integers(0, 10)) for units in world.stock]
    after = world._replace(stock=more).prices()
    assert all(one >= other - 1 for one, other in zip(world.prices(), after, strict=True))


@given(worlds(), st.data())
def test_no_price_rises_when_a_receipt_comes_nearer_or_demand_falls(world: Scarce, data: st.DataObject) -> None:
    nearer = [data.draw(st.integers(0, minutes)) for minutes in world.minutes]
    fewer = [data.draw(st.integers(0, rate)) for rate in world.rate]
    before = world.prices()
    for after in (world._replace(minutes=nearer).prices(), world._replace(rate=fewer).prices()):
        assert all(one >= other - 1 for one, other in zip(before, after, strict=True))


def test_the_last_unit_is_worth_what_its_orders_cost_from_elsewhere() -> None:
    """Two shops, one order a day at each, a unit from the other shop costs 5.00 more. The only unit for 40 days is
    wanted for certain, so it is worth all of that, one of 1,000 nothing."""
    costs = [[10_000, 60_000], [60_000, 10_000]]
    world = Scarce([1, 1_000], [40 * DAY] * 2, [1_000_000] * 2, 1_000, 1_000, [[0, 0]] * 2, costs)
    few, many = world.prices()
    assert 49_990 <= few <= 50_000
    assert many == 0


def test_a_unit_that_is_likely_to_stay_is_worth_little() -> None:
    """One order in ten days, a receipt tomorrow: one unit is wanted until then with a chance of less than a tenth."""
    costs = [[10_000, 60_000], [60_000, 10_000]]
    world = Scarce([1, 1_000], [DAY] * 2, [100_000] * 2, 1_000, 1_000, [[0, 0]] * 2, costs)
    assert 0 < world.prices()[0] < 5_500
