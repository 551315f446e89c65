"""Plans for baskets, through the whole service: against every plan there is, in small shops."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.profiles import Profile
from invengine.domain.sourcing import FEWEST_PARCELS, BasketLine, PlannedUnits, SourcingRule
from invengine.errors import InsufficientStock, NoPlan, PromiseTooLate, TooManyParcels, UnknownService, UnknownSku
from invengine.services.sourcing_offers import Lent
from tests.services.sourcing_shops import (
    HERE,
    NOW_DAY,
    STORE,
    THERE,
    Counter,
    Place,
    Shop,
    random_basket,
    random_profile,
    random_shop,
)

SHOPS = 200
ANYWHERE = Destination()


def key_of(counter: Counter, lines: list[BasketLine], profile: Profile, units: list[PlannedUnits], effort: bool):
    """What orders plans: with best effort and no price of missing units, these come first."""
    missing = sum(line.quantity for line in lines) - sum(one.quantity for one in units)
    counts = effort and profile.shortage_cost is None
    return (missing if counts else 0, counter.costs(lines, profile, units, effort).total)


@pytest.mark.parametrize("seed", range(SHOPS))
def test_no_plan_is_better_and_each_costs_what_its_parcels_cost(seed: int) -> None:
    """Also: the next plan does without a location, keeps the rules, and is no better; where all lines go one way by one
    service, none that does without a location is better than it.
    """
    random = Random(seed)
    counter = Counter(random_shop(random))
    profile, lines = random_profile(random), random_basket(random)
    effort, limit = random.random() < 0.3, random.choice((0, 0, 0, 1, 2))
    sourced = counter.source(lines, profile, best_effort=effort, parcels_max=limit)
    limits = [one for one in (limit, profile.parcels_max) if one]
    every = [
        sorted(units, key=lambda one: (one.line, counter.place(one.location)))
        for units in counter.plans_by_hand(lines, profile, min(limits, default=0), not effort)
    ]
    if sourced.best is None:
        assert sourced.problem is not None
        assert not every or not sourced.is_proved
        return
    best = sourced.best
    assert list(best.units) in every
    assert best.costs == counter.costs(lines, profile, list(best.units), effort)
    keys = [key_of(counter, lines, profile, units, effort) for units in every]
    found = key_of(counter, lines, profile, list(best.units), effort)
    assert found == min(keys) if sourced.is_proved else found >= min(keys)
    assert best.bound <= min(keys)[1] or found[0] > 0
    for number, line in enumerate(lines):
        assert line.quantity - sum(one.quantity for one in best.units if one.line == number) == best.missing[number]
    if sourced.next is None:
        return
    following = list(sourced.next.units)
    assert following in every
    used = {(one.location, lines[one.line].destination, lines[one.line].fulfilment) for one in best.units}

    def others(units: list[PlannedUnits]) -> bool:
        return bool(used - {(one.location, lines[one.line].destination, lines[one.line].fulfilment) for one in units})

    assert others(following)
    without = [key for key, units in zip(keys, every, strict=True) if others(units)]
    second = key_of(counter, lines, profile, following, effort)
    assert second >= min(without) >= found or not sourced.is_proved
    ways = {(line.fulfilment, line.destination, line.service) for line in lines}
    kits = any(line.sku == "SET" for line in lines)
    if len(ways) == 1 and not kits and (lines[0].service or lines[0].fulfilment is not Fulfilment.SHIP):
        assert second == min(without)


def test_shops_are_not_all_alike() -> None:
    """What the test above looked at: plans, next plans, limits that bite, missing units, dates, and none of these."""
    seen: dict[str, int] = {}
    for seed in range(SHOPS):
        random = Random(seed)
        counter = Counter(random_shop(random))
        profile, lines = random_profile(random), random_basket(random)
        effort, limit = random.random() < 0.3, random.choice((0, 0, 0, 1, 2))
        sourced = counter.source(lines, profile, best_effort=effort, parcels_max=limit)
        names = [type(sourced.problem).__name__, "proved" if sourced.is_proved else "not proved"]
        if sourced.best is not None:
            names += ["best", "next"] if sourced.next else ["best"]
            names += ["missing"] * any(sourced.best.missing) + ["dated"] * any(
                one.delivery_day for one in sourced.best.units
            )
            names += ["two parcels"] * (sourced.best.parcels > 1)
        for name in names:
            seen[name] = seen.get(name, 0) + 1
    refusals = ("InsufficientStock", "TooManyParcels", "PromiseTooLate", "PromiseUnknown", "NoPlan", "UnknownSku")
    wanted = ("best", "next", "missing", "dated", "two parcels", "not proved", *refusals)
    assert all(seen.get(name, 0) > 0 for name in wanted), seen
    assert seen["proved"] > 0.9 * SHOPS


def shop(**places: dict[str, int]) -> Shop:
    """Places in the order of their priority, with stock by SKU; lanes to HERE with both services from all of them."""
    return Shop(
        {name: Place(number, 0, 0, None) for number, name in enumerate(places, 1)},
        {(sku, name): units for name, stock in places.items() for sku, units in stock.items()},
        {
            (name, zone, service): (days, cost, 0)
            for name in places
            for zone in ("north", "south")
            for service, days, cost in (("slow", 3, 10_000), ("swift", 1, 40_000))
        },
    )


def sku(name: str, quantity: int = 1, **more: object) -> BasketLine:
    return BasketLine(name.lower(), name, quantity, **more)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("seed", range(80))
def test_a_line_that_waits_is_there_when_its_units_are(seed: int) -> None:
    """On hand where that is enough. Else no way to have all of it, each part as early as it can be there, costs less
    than the bound, and none less than the plan where that is proved, as of every line that comes from one location.
    """
    random = Random(seed)
    made = shop(**{f"L{number}": {"A": random.randint(0, 2)} for number in range(3)})
    made.receipts = [
        ("A", f"L{random.randint(0, 2)}", NOW_DAY + random.randint(1, 9), random.randint(1, 4)) for _ in range(4)
    ]
    counter = Counter(made)
    profile = Profile(
        "p", parcel_cost=random.choice((0, 5_000, 30_000)), waiting_day_cost=random.choice((0, 700, 9_000))
    )
    line = sku("A", random.randint(1, 6), fulfilment=Fulfilment.SHIP, destination=HERE, service="slow")
    line = line._replace(allow_split=random.random() < 0.6)
    on_hand, waits = counter.source([line], profile), counter.source([line._replace(may_wait=True)], profile)
    if on_hand.best is not None:
        assert waits == on_hand
        return
    ways = []
    steps = {name: counter.steps("A", name) for name in made.places}
    for counts in product(range(line.quantity + 1), repeat=3):
        used = [(name, count) for name, count in zip(made.places, counts, strict=True) if count]
        if sum(counts) != line.quantity or (len(used) > 1 and not line.allow_split):
            continue
        since = {name: next((day for day, many in steps[name] if many >= count), -1) for name, count in used}
        if -1 not in since.values():
            units = [
                PlannedUnits(0, name, count, since[name], "slow", counter.day(line, name, "slow", since[name]))
                for name, count in used
            ]
            ways.append(units)
    if waits.best is None:
        assert not ways
        return
    total = [counter.costs([line], profile, units, False).total for units in ways]
    best = waits.best
    together: dict[str, list[PlannedUnits]] = {}
    for one in best.units:
        together.setdefault(one.location, []).append(one)
    merged = [
        PlannedUnits(
            0, name, sum(one.quantity for one in parts), max(one.day for one in parts), "slow", parts[0].delivery_day
        )
        for name, parts in together.items()
    ]
    assert sorted(merged) in [sorted(units) for units in ways]
    assert best.costs == counter.costs([line], profile, merged, False)
    assert all(one.quantity <= made.on_hand[("A", one.location)] for one in best.units if not one.day)
    assert best.bound <= min(total) <= best.costs.total
    if waits.is_proved:
        assert best.costs.total == min(total)
    assert waits.is_proved or line.allow_split


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
