"""Learnt transit times: the formula against its definition, what an answer may never be, and where it comes from."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.transit import (
    CONFIDENCE_PARTS,
    NOTHING_LEARNT,
    SERVICE_DELIVERIES_LEAST,
    LaneName,
    TransitLevel,
    TransitTimes,
    is_enough,
)
from invengine.domain.transit_distribution import NOTHING, Seen, blended, together

counts = st.dictionaries(st.integers(0, 12), st.integers(1, 40), max_size=6)
arrivals = st.builds(Seen, counts)
seen_lanes = st.builds(Seen, counts, counts)
confidences = st.integers(1, CONFIDENCE_PARTS - 1)
lane_names = st.tuples(st.sampled_from("ABC"), st.sampled_from(("north", "south")), st.sampled_from(("slow", "fast")))
worlds = st.dictionaries(lane_names, seen_lanes, max_size=8)


def posterior(arrived: dict[int, int], wider: list[Fraction], strength: int) -> list[Fraction]:
    """Ferguson's posterior mean, read aloud: (d[k] + m P[k]) / (n + m), cumulative."""
    total, cumulative = Fraction(0), []
    for days in range(len(wider)):
        total += (arrived.get(days, 0) + strength * wider[days]) / (sum(arrived.values()) + strength)
        cumulative.append(total)
    return cumulative


def kaplan_meier(seen: Seen, days: int) -> Fraction:
    """The product-limit estimate of a transit of at most so many days."""
    left = Fraction(1)
    for day in range(days + 1):
        out = sum(n for k, n in seen.arrived.items() if k >= day) + sum(
            n for k, n in seen.under_way.items() if k >= day
        )
        if out:
            left *= 1 - Fraction(seen.arrived.get(day, 0), out)
    return 1 - left


@given(arrivals.filter(lambda seen: seen.arrived), arrivals.filter(lambda seen: seen.arrived), st.integers(0, 50))
def test_a_blend_is_the_posterior_mean_of_its_definition(wider: Seen, own: Seen, strength: int) -> None:
    last = max(wider.longest, own.longest)
    base = [Fraction(wider.arrived.get(days, 0), wider.deliveries) for days in range(last + 1)]
    expected = posterior(dict(own.arrived), base, strength)
    found = blended(own, blended(wider), strength).cumulative
    assert found == pytest.approx([float(one) for one in expected], abs=1e-12)


@given(seen_lanes)
def test_parcels_under_way_count_by_the_product_limit_estimate(seen: Seen) -> None:
    found = blended(seen)
    assert len(found.cumulative) == seen.longest + 1
    expected = [float(kaplan_meier(seen, days)) for days in range(seen.longest + 1)]
    assert found.cumulative == pytest.approx(expected, abs=1e-12)


def test_a_lane_without_deliveries_says_what_the_wider_level_says() -> None:
    wider = blended(Seen({1: 3, 4: 1}))
    assert blended(Seen(), wider, 10).cumulative == pytest.approx(wider.cumulative)
    assert blended(Seen()).cumulative == NOTHING.cumulative == ()
    assert blended(Seen({2: 1}), NOTHING, 10).cumulative == (0.0, 0.0, 1.0)


def test_a_confidence_is_reached_exactly_in_spite_of_rounding() -> None:
    """95 of 100 within two days are 95 %, and 95.01 % needs the third."""
    times = TransitTimes({("A", "north", "slow"): Seen({1: 33, 2: 62, 3: 5})})
    assert times.days("A", "north", "slow", 9500) == 2
    assert times.days("A", "north", "slow", 9501) == 3


def test_nothing_learnt_leaves_the_stated_transit() -> None:
    assert NOTHING_LEARNT.days("A", "north", "slow", 9500) is None
    too_few = TransitTimes({("A", "north", "slow"): Seen({1: SERVICE_DELIVERIES_LEAST - 1})})
    assert too_few.days("A", "north", "slow", 9500) is None
    assert too_few.distribution("A", "north", "slow").cumulative == ()
    enough = TransitTimes({("A", "north", "slow"): Seen({1: SERVICE_DELIVERIES_LEAST})})
    assert enough.days("A", "north", "slow", 9500) == 1
    assert enough.days("A", "north", "fast", 9500) is None


@pytest.mark.parametrize(("parts", "least"), [(8000, 4), (9000, 9), (9500, 19), (9900, 99), (9999, 9999), (1, 1)])
def test_enough_deliveries_are_those_whose_longest_is_kept(parts: int, least: int) -> None:
    """The next of n + 1 exchangeable deliveries is the longest with probability 1 / (n + 1)."""
    assert is_enough(least, parts)
    assert not is_enough(least - 1, parts)
    assert Fraction(least, least + 1) >= Fraction(parts, CONFIDENCE_PARTS)


def test_an_answer_says_which_level_it_rests_on() -> None:
    lanes = {
        ("A", "north", "slow"): Seen({2: 500, 3: 20}),
        ("B", "north", "slow"): Seen({2: 5, 7: 1}),
        ("C", "south", "slow"): Seen({4: 3}),
    }
    times = TransitTimes(lanes)
    big = times.answer("A", "north", "slow", 9500)
    assert big is not None
    assert (big.days, big.level, big.deliveries, big.longest, big.own_deliveries) == (2, TransitLevel.LANE, 520, 3, 520)
    assert big.probability == pytest.approx(float((500 + 10 * zone_share(2)) / 530))
    thin = times.answer("B", "north", "slow", 9500)
    assert thin is not None
    assert (thin.level, thin.deliveries, thin.longest, thin.own_deliveries) == (TransitLevel.ZONE, 526, 7, 6)
    far = times.answer("C", "south", "slow", 9500)
    assert far is not None
    assert (far.level, far.deliveries, far.longest, far.own_deliveries) == (TransitLevel.SERVICE, 529, 7, 3)
    unseen = times.answer("D", "north", "slow", 9500)
    assert unseen is not None
    assert (unseen.level, unseen.own_deliveries) == (TransitLevel.ZONE, 0)
    nowhere = times.answer("D", "west", "slow", 9500)
    assert nowhere is not None
    assert (nowhere.level, nowhere.own_deliveries) == (TransitLevel.SERVICE, 0)


def zone_share(days: int) -> Fraction:
    """Of the zone `north` above, blended with its service, how many take at most so many days (2 is meant)."""
    assert days == 2
    return (505 + 10 * Fraction(505, 529)) / (526 + 10)


@given(worlds, lane_names, st.lists(confidences, min_size=2, max_size=6).map(sorted))
def test_more_confidence_never_means_fewer_days(lanes: dict[LaneName, Seen], name: LaneName, parts: list[int]) -> None:
    times = TransitTimes(lanes)
    days = [times.days(*name, part) for part in parts]
    assert days == sorted(days, key=lambda one: -1 if one is None else one)


@given(worlds, lane_names, confidences)
def test_a_promise_is_never_longer_than_the_longest_seen(
    lanes: dict[LaneName, Seen], name: LaneName, parts: int
) -> None:
    """On the lane itself where it has enough deliveries, else on the zone with the service, else with the service."""
    answer = TransitTimes(lanes).answer(*name, parts)
    levels = [
        lanes.get(name, Seen()),
        together([seen for (_, *rest), seen in lanes.items() if tuple(rest) == name[1:]]),
        together([seen for (_, _, service), seen in lanes.items() if service == name[2]]),
    ]
    if levels[-1].deliveries < SERVICE_DELIVERIES_LEAST:
        assert answer is None
        return
    assert answer is not None
    carrying = next((level for level in levels if is_enough(level.deliveries, parts)), levels[-1])
    assert 0 <= answer.days <= answer.longest == carrying.longest
    assert answer.deliveries == carrying.deliveries


@given(worlds, lane_names, confidences)
def test_an_answer_reaches_the_confidence_with_the_least_days(
    lanes: dict[LaneName, Seen], name: LaneName, parts: int
) -> None:
    """Or it is the longest seen, where no number of days seen reaches it."""
    times = TransitTimes(lanes)
    answer = times.answer(*name, parts)
    if answer is None:
        return
    wanted, distribution = parts / CONFIDENCE_PARTS, times.distribution(*name)
    assert answer.probability == distribution.within(answer.days)
    assert answer.days == answer.longest or answer.probability >= wanted - 1e-9
    assert distribution.within(answer.days - 1) < wanted
