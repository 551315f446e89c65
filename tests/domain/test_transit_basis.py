"""The common level: as low as all deliveries together allow, and never so low that one promise is worth little."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.transit import LaneName, TransitTimes
from invengine.domain.transit_basis import MISSES_MAX, TransitBasis, common_level
from invengine.domain.transit_distribution import Distribution, Seen, blended

distributions = (
    st.lists(st.integers(0, 50), min_size=1, max_size=6)
    .filter(any)
    .map(lambda counts: blended(Seen({days: count for days, count in enumerate(counts) if count})))
)
lanes_of_services = st.lists(st.tuples(st.integers(1, 100), distributions), min_size=1, max_size=5)
confidences = st.sampled_from((0.5, 0.8, 0.9, 0.95, 0.99))


def promised(distribution: Distribution, level: float) -> int:
    """The least days that reach a level, else the last ones."""
    return min(bisect_left(distribution.cumulative, level - 1e-9), len(distribution.cumulative) - 1)


def kept(lanes: list[tuple[int, Distribution]], level: float) -> float:
    """The share kept of all, with every lane promised the least days that reach the level."""
    total = sum(count for count, _ in lanes)
    return sum(count * one.cumulative[promised(one, level)] for count, one in lanes) / total


@given(lanes_of_services, confidences)
def test_as_much_is_kept_together_as_was_asked_for(lanes: list[tuple[int, Distribution]], confidence: float) -> None:
    level = common_level(lanes, confidence)
    assert 1 - MISSES_MAX * (1 - confidence) - 1e-9 <= level <= confidence
    assert kept(lanes, level) >= confidence - 1e-6


@given(lanes_of_services, confidences)
def test_no_lower_level_would_do(lanes: list[tuple[int, Distribution]], confidence: float) -> None:
    """Every lower one with fewer days for a lane keeps too little, or is too low for a promise."""
    level = common_level(lanes, confidence)
    lowest = max(0.0, 1 - MISSES_MAX * (1 - confidence))
    for lower in sorted(
        {reached for _, one in lanes for reached in one.cumulative if lowest <= reached < level - 1e-6}
    ):
        fewer = any(promised(one, lower) < promised(one, level) for _, one in lanes)
        assert not fewer or kept(lanes, lower) < confidence + 1e-6


@given(lanes_of_services)
def test_the_level_rises_with_the_confidence(lanes: list[tuple[int, Distribution]]) -> None:
    levels = [common_level(lanes, confidence) for confidence in (0.5, 0.8, 0.9, 0.95, 0.99)]
    assert levels == sorted(levels)


def test_a_lane_that_overshoots_makes_up_for_one_that_falls_short() -> None:
    """94 % and 99 % within a day: together 96.5 %, so both are promised a day, where each for itself needs two."""
    lanes: dict[LaneName, Seen] = {
        ("A", "n", "s"): Seen({1: 940, 2: 60}),
        ("B", "n", "s"): Seen({1: 990, 2: 10}),
    }
    each, together = TransitTimes(lanes), TransitTimes(lanes, basis=TransitBasis.ALL)
    assert [each.days(place, "n", "s", 9500) for place in "AB"] == [2, 1]
    assert [together.days(place, "n", "s", 9500) for place in "AB"] == [1, 1]
    assert together.level("s", 9500) == pytest.approx(0.94, abs=0.002)
    poor = TransitTimes({**lanes, ("A", "n", "s"): Seen({1: 890, 2: 110})}, basis=TransitBasis.ALL)
    assert [poor.days(place, "n", "s", 9500) for place in "AB"] == [2, 1]
