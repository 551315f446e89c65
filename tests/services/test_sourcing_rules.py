"""Plans for baskets: each rule, services, kits, limits, loans, stock that comes; in shops of two or three places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.profiles import Profile
from invengine.domain.sourcing import FEWEST_PARCELS, SourcingRule
from invengine.errors import InsufficientStock, NoPlan, PromiseTooLate, TooManyParcels, UnknownService, UnknownSku
from invengine.services.sourcing_offers import Lent
from tests.services.sourcing_counter import Counter
from tests.services.sourcing_shops import (
    HERE,
    NOW_DAY,
    STORE,
    THERE,
    shop,
    sku,
)


def from_(sourced) -> list[tuple[int, str, int]]:
    return [(one.line, one.location, one.quantity) for one in sourced.best.units]


def test_every_location_that_is_ruled_out_is_told_with_its_first_rule() -> None:
    made = shop(L0={"A": 5}, L1={"A": 5}, L2={"A": 1}, L3={"A": 5}, L4={"A": 5}, L5={"A": 5}, L6={})
    made.places["L1"].enabled = False
    made.places["L3"].fulfilments = ("pickup",)
    made.seen = tuple(name for name in made.places if name != "L4")
    lanes = {key: lane for key, lane in made.lanes.items() if key[0] != "L5"}
    made.lanes = lanes
    counter = Counter(made)
    line = sku("A", 2, fulfilment=Fulfilment.SHIP, destination=HERE)
    sourced = counter.source([line], Profile("p", excluded=("L0",)))
    assert {one.location: one.rule for one in sourced.ruled} == {
        "L0": SourcingRule.EXCLUDED,
        "L1": SourcingRule.LOCATION_DISABLED,
        "L2": SourcingRule.NO_STOCK,
        "L3": SourcingRule.CANNOT_FULFIL,
        "L4": SourcingRule.NOT_IN_CHANNEL,
        "L5": SourcingRule.NO_LANE,
        "L6": SourcingRule.NO_STOCK,
    }
    assert sourced.best is None
    assert isinstance(sourced.problem, InsufficientStock | NoPlan) or "NO_LANE" in str(sourced.problem)
    one = counter.source([line._replace(location="L0")], Profile("p"))
    assert one.ruled == ()
    assert from_(one) == [(0, "L0", 2)]
    assert counter.source([line], Profile("p"), explain=False).ruled == ()


def test_the_cheapest_service_that_is_in_time_is_one_for_all_lines_of_a_destination() -> None:
    counter = Counter(shop(L0={"A": 5, "B": 5}, L1={"A": 5, "B": 5}))
    to = {"fulfilment": Fulfilment.SHIP, "destination": HERE}
    plain = counter.source([sku("A", **to), sku("B", **to)], Profile("p"))
    assert {one.service for one in plain.best.units} == {"slow"}
    soon = counter.source([sku("A", **to), sku("B", needed_by=NOW_DAY + 1, **to)], Profile("p"))
    assert {one.service for one in soon.best.units} == {"swift"}
    assert soon.best.costs.lane == 40_000
    named = counter.source([sku("A", service="slow", **to), sku("B", needed_by=NOW_DAY + 1, **to)], Profile("p"))
    assert [one.service for one in named.best.units] == ["slow", "swift"]
    assert (named.best.costs.lane, named.best.parcels) == (50_000, 2)
    late = Profile("p", may_be_late=True, late_day_cost=1_000)
    paid = counter.source([sku("A", **to), sku("B", needed_by=NOW_DAY + 1, **to)], late)
    assert {one.service for one in paid.best.units} == {"slow"}
    assert paid.best.costs.late == 2_000
    with pytest.raises(UnknownService):
        counter.source([sku("A", service="bird", **to)], Profile("p"))


def test_kits_and_their_components_never_count_on_one_unit() -> None:
    """Alone each would come from L0; together L0 has three of B for a SET of two and two loose ones."""
    counter = Counter(shop(L0={"A": 1, "B": 3}, L1={"A": 1, "B": 3}))
    alone = counter.source([sku("SET")], FEWEST_PARCELS)
    assert (from_(alone), alone.is_proved) == ([(0, "L0", 1)], True)
    both = counter.source([sku("SET"), sku("B", 2)], FEWEST_PARCELS)
    assert from_(both) in ([(0, "L0", 1), (1, "L1", 2)], [(0, "L1", 1), (1, "L0", 2)])
    assert (both.is_proved, both.best.bound, both.best.costs.total) == (False, 10_000, 20_000)
    split = counter.source([sku("SET", 2, allow_split=True), sku("B", 2, allow_split=True)], FEWEST_PARCELS)
    assert sorted(from_(split)) == [(0, "L0", 1), (0, "L1", 1), (1, "L0", 1), (1, "L1", 1)]
    never = counter.source([sku("SET", 2, allow_split=True), sku("B", 3, allow_split=True)], FEWEST_PARCELS)
    assert never.best is None
    assert isinstance(never.problem, NoPlan)


def test_a_limit_of_parcels_is_shared_by_all_destinations_and_leaves_out_what_is_collected() -> None:
    counter = Counter(shop(L0={"A": 1, "B": 1, "C": 1}, L1={"A": 9, "B": 9}, L2={"A": 9, "C": 9}))
    lines = [
        sku("A", 2, allow_split=True, fulfilment=Fulfilment.SHIP, destination=HERE),
        sku("B", fulfilment=Fulfilment.SHIP, destination=THERE),
        sku("C", fulfilment=Fulfilment.PICKUP, destination=Destination(location=STORE)),
    ]
    found = counter.source(lines, FEWEST_PARCELS, parcels_max=2)
    assert (found.best.parcels, found.best.costs.parcel, found.is_proved) == (2, 20_000, True)
    less = counter.source(lines, FEWEST_PARCELS, parcels_max=1)
    assert isinstance(less.problem, TooManyParcels)
    assert (less.problem.parcels, less.problem.parcels_max) == (2, 1)
    some = counter.source(lines, FEWEST_PARCELS, parcels_max=1, best_effort=True)
    assert (some.best.parcels, sum(some.best.missing)) == (1, 1)
    by_profile = counter.source(lines, Profile("p", parcels_max=1), parcels_max=3)
    assert isinstance(by_profile.problem, TooManyParcels)


def test_units_that_are_lent_count_as_free() -> None:
    counter = Counter(shop(L0={"A": 1}, L1={"A": 1}))
    short = counter.source([sku("A", 3)], FEWEST_PARCELS)
    assert isinstance(short.problem, InsufficientStock)
    assert (short.problem.short_lines[0].available, short.problem.short_lines[0].next_day) == (1, 0)
    assert isinstance(counter.source([sku("C")], FEWEST_PARCELS).problem, UnknownSku)
    with_loan = Counter(shop(L0={"A": 1}, L1={"A": 1}))
    with_loan.reserve("A", "L1", 1)
    assert isinstance(with_loan.source([sku("A", location="L1")], FEWEST_PARCELS).problem, InsufficientStock)
    lent = with_loan.source([sku("A", location="L1")], FEWEST_PARCELS, loans={("A", "L1"): Lent(1)})
    assert from_(lent) == [(0, "L1", 1)]


def test_late_lines_say_the_first_day_that_would_do() -> None:
    counter = Counter(shop(L0={"A": 1}, L1={"A": 1}))
    line = sku("A", fulfilment=Fulfilment.SHIP, destination=HERE, service="slow", needed_by=NOW_DAY + 1)
    problem = counter.source([line], FEWEST_PARCELS).problem
    assert isinstance(problem, PromiseTooLate)
    assert (problem.needed_by_day, problem.earliest_day) == (NOW_DAY + 1, NOW_DAY + 3)


def test_lines_that_share_a_limited_day_are_not_promised_the_same_room() -> None:
    """L0 ships two units a day: one of the lines can leave today. Alone each would; so what is chosen is not proved."""
    made = shop(L0={"A": 9, "B": 9}, L1={"A": 9, "B": 9})
    made.places["L0"].capacity = 2
    made.places["L1"].parcel = 70_000
    counter = Counter(made)
    to = {"fulfilment": Fulfilment.SHIP, "destination": HERE, "service": "slow"}
    first = NOW_DAY + 3
    alone = counter.source([sku("A", 2, **to)], Profile("p"))
    assert ([one.delivery_day for one in alone.best.units], alone.is_proved) == ([first], True)
    cheap = counter.source([sku("A", 2, **to), sku("B", 2, **to)], Profile("p"))
    assert [(one.location, one.delivery_day) for one in cheap.best.units] == [("L0", first + 1)] * 2
    assert cheap.is_proved  # nothing counts that the day changes
    soon = {**to, "needed_by": first}
    rushed = counter.source([sku("A", 2, **soon), sku("B", 2, **soon)], Profile("p"))
    assert [(one.location, one.delivery_day) for one in rushed.best.units] == [("L1", first)] * 2
    assert (rushed.is_proved, rushed.best.bound, rushed.best.costs.total) == (False, 10_000, 80_000)
    one_each = counter.source([sku("A", 1, **soon), sku("B", 1, **soon)], Profile("p"))
    assert [(one.location, one.delivery_day) for one in one_each.best.units] == [("L0", first)] * 2
    assert one_each.is_proved


def test_more_than_there_is_may_be_asked_for_with_best_effort() -> None:
    """However many are wanted: what is beyond the stock is missing in every plan, and makes no number too large."""
    counter = Counter(shop(**{f"L{number}": {"A": 7, "B": 100} for number in range(12)}))
    many = sku("A", 2**53 - 1, allow_split=True, fulfilment=Fulfilment.SHIP, destination=HERE)
    found = counter.source([many, sku("B", 10**12)], Profile("p", parcel_cost=40_000), best_effort=True)
    assert found.best.missing == (2**53 - 1 - 84, 10**12 - 100)
    assert found.is_proved
    assert found.best.costs.shortage == 0
    assert found.best.bound == found.best.costs.total
    priced = counter.source([many._replace(quantity=100)], Profile("p", shortage_cost=500_000), best_effort=True)
    assert (priced.best.missing, priced.best.costs.shortage) == ((16,), 16 * 500_000)
    assert priced.best.bound == priced.best.costs.total
    whole = counter.source([sku("B", 101, allow_split=True)], Profile("p", unit_cost=2**52))
    assert isinstance(whole.problem, NoPlan)
    assert whole.problem.cause == "TOO_LARGE"


def test_what_is_shipped_goes_to_the_postal_code_whatever_location_is_named_besides() -> None:
    made = shop(L0={"A": 1}, L1={"A": 1})
    made.places["L0"].position, made.places["L1"].position = (52.5, 13.4), (48.1, 11.6)
    counter = Counter(made)
    profile = Profile("p", kilometre_cost=100)
    plain = sku("A", fulfilment=Fulfilment.SHIP, destination=HERE, location="L1")
    besides = plain._replace(destination=Destination(HERE.country, HERE.postal_code, "L1"))
    far = counter.source([plain], profile).best.costs.distance
    assert far == 100 * counter.network.distance_km("L1", HERE) > 0
    assert counter.source([besides], profile).best.costs.distance == far
    there = counter.source([plain._replace(location="", destination=THERE)], profile)
    assert (from_(there), there.best.costs.distance) == ([(0, "L1", 1)], 0)


def test_a_line_without_a_date_waits_for_receipts_up_to_the_day_on_which_it_is_needed() -> None:
    made = shop(L0={"A": 1}, L1={"A": 1})
    made.receipts = [("A", "L0", NOW_DAY + 6, 5), ("A", "L1", NOW_DAY + 4, 5)]
    counter = Counter(made)
    waits = sku("A", 3, may_wait=True, needed_by=NOW_DAY + 5)
    for line in (waits, waits._replace(fulfilment=Fulfilment.SHIP)):
        found = counter.source([line], FEWEST_PARCELS)
        assert [(one.location, one.quantity, one.day) for one in found.best.units] == [
            ("L1", 1, 0),
            ("L1", 2, NOW_DAY + 4),
        ]
    late = counter.source([waits._replace(needed_by=NOW_DAY + 3)], FEWEST_PARCELS)
    assert isinstance(late.problem, InsufficientStock)
    assert late.problem.short_lines[0].next_day == NOW_DAY + 4


class Elsewhere:
    """Stock that a caller brings along: the same of every SKU at each location, by priority."""

    def __init__(self, units: list[int]) -> None:
        self._units = units

    def on_hand(self, skus: Sequence[str]) -> np.ndarray:
        return np.array([self._units] * len(skus), np.int64)

    def steps(self, _sku: str, _location: str) -> list[tuple[int, int]]:
        return [(NOW_DAY, 0), (NOW_DAY + 2, 50)]

    def today(self, _location: str) -> int:
        return NOW_DAY

    def knows(self, _sku: str) -> bool:
        return True


def test_a_plan_of_other_stock_than_what_there_is() -> None:
    counter = Counter(shop(L0={"A": 9}, L1={}))
    assert from_(counter.source([sku("A", 4)], FEWEST_PARCELS)) == [(0, "L0", 4)]
    assert from_(counter.source([sku("A", 4)], FEWEST_PARCELS, stock=Elsewhere([1, 7]))) == [(0, "L1", 4)]
    waits = counter.source([sku("NEW", 9, may_wait=True)], FEWEST_PARCELS, stock=Elsewhere([1, 7]))
    assert [(one.location, one.day) for one in waits.best.units] == [("L0", 0), ("L0", NOW_DAY + 2)]
