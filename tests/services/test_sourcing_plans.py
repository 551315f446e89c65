"""Plans for baskets, through the whole service: against every plan there is, in small shops."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from invengine.domain.orders import Fulfilment
from invengine.domain.profiles import Profile
from invengine.domain.sourcing import BasketLine, PlannedUnits
from tests.services.sourcing_counter import Counter
from tests.services.sourcing_shops import (
    HERE,
    NOW_DAY,
    Place,
    Shop,
    random_basket,
    random_profile,
    random_shop,
    shop,
    sku,
)

SHOPS = 200


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


@pytest.mark.parametrize("seed", range(6))
def test_baskets_of_many_lines_have_a_plan_and_a_bound(seed: int) -> None:
    """More than 12 lines over 25 locations, some of which may split: the search says how sure it is."""
    random = Random(seed)
    names = [f"L{number}" for number in range(25)]
    made = Shop(
        {name: Place(random.randint(1, 9), random.choice((0, 9_000)), random.randint(0, 99), None) for name in names},
        {(f"S{item}", name): random.randint(1, 6) for item in range(16) for name in names if random.random() < 0.5},
        {
            (name, zone, service): (random.randint(1, 4), random.randint(20_000, 60_000), random.randint(0, 500))
            for name in names
            for zone in ("north", "south")
            for service in ("slow", "swift")
        },
    )
    counter = Counter(made)
    lines = [
        sku(f"S{item}", random.randint(1, 5), allow_split=seed % 2 > 0, fulfilment=Fulfilment.SHIP, destination=HERE)
        for item in range(16)
    ]
    profile = Profile("p", parcel_cost=30_000, waiting_day_cost=400, nodes_max=400)
    found = counter.source(lines, profile, explain=False)
    assert found.best.missing == (0,) * 16
    assert found.best.costs == counter.costs(lines, profile, list(found.best.units), False)
    assert 0 <= found.best.bound <= found.best.costs.total
    assert (found.best.bound == found.best.costs.total) == found.is_proved
    for (item, name), there in made.on_hand.items():
        taken = sum(one.quantity for one in found.best.units if (lines[one.line].sku, one.location) == (item, name))
        assert taken <= there
