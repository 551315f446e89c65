"""Plans for baskets, through the whole service: against every plan there is, in small shops."""

from __future__ import annotations

from random import Random

import pytest

from tests.services.sourcing_shops import Counter, random_basket, random_profile, random_shop

SHOPS = 150


@pytest.mark.parametrize("seed", range(SHOPS))
def test_no_plan_is_better_and_each_costs_what_its_parcels_cost(seed: int) -> None:
    random = Random(seed)
    counter = Counter(random_shop(random))
    profile, lines = random_profile(random), random_basket(random)
    best_effort, limit = random.random() < 0.3, random.choice((0, 0, 0, 1, 2))
    sourced = counter.source(lines, profile, best_effort=best_effort, parcels_max=limit)
    limits = [one for one in (limit, profile.parcels_max) if one]
    every = list(counter.plans_by_hand(lines, profile, min(limits, default=0), not best_effort))
    if sourced.best is None:
        assert sourced.problem is not None
        assert not every or not sourced.is_proved
        return

    def key(units):
        missing = sum(line.quantity for line in lines) - sum(one.quantity for one in units)
        terms = counter.costs(lines, profile, units, best_effort)
        return (missing if best_effort and profile.shortage_cost is None else 0, terms.total)

    best = sourced.best
    assert list(best.units) in [
        sorted(units, key=lambda one: (one.line, place(counter, one.location))) for units in every
    ]
    assert best.costs == counter.costs(lines, profile, list(best.units), best_effort)
    least = min(map(key, every))
    found = key(best.units)
    assert best.bound <= least[1] or found[0] == 0
    assert found == least if sourced.is_proved else found >= least
    assert [
        line.quantity - sum(one.quantity for one in best.units if one.line == number)
        for number, line in enumerate(lines)
    ] == list(best.missing)


def place(counter, name):
    return (counter.shop.places[name].priority, name)
