"""What a confidence is about: each promise, or all of a service together.

Whole days overshoot: where 90 % arrive within two days and 98 % within three, a promise of 95 % is three days and is
kept at 98 %. Asked of *each* promise there is nothing to be done about it. Asked of *all* promises together, lanes
whose day falls a little short of the confidence may be promised that day, as long as those that overshoot make up for
it: every lane is promised the least days that reach one common level, the lowest at which the deliveries that were
learnt from would have been promised in time as often as asked. No promise may be missed more than twice as often as
asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import groupby
from typing import Final

from invengine.domain.transit_distribution import ROUNDING, Distribution

MISSES_MAX: Final = 2
"""So many times the misses that were asked for may a single promise have, where the confidence is about all."""


class TransitBasis(StrEnum):
    """What a confidence is about."""

    EACH = "each"
    ALL = "all"


def common_level(lanes: Iterable[tuple[int, Distribution]], confidence: float) -> float:
    """The lowest level, at most the confidence, at which lanes with so many deliveries keep as much together.

    From the level that no promise may be below it rises past the probabilities of whole days, one after the other: a
    lane whose day is passed is promised the next one.
    """
    lowest = max(0.0, 1.0 - MISSES_MAX * (1.0 - confidence))
    kept, total = 0.0, 0
    steps: list[tuple[float, float]] = []  # past this level, so many more deliveries are kept
    for deliveries, distribution in lanes:
        days = distribution.reaching(lowest)
        if days is None:
            days = len(distribution.cumulative) - 1
        total += deliveries
        kept += deliveries * distribution.within(days)
        for here, beyond in zip(distribution.cumulative[days:], distribution.cumulative[days + 1 :], strict=False):
            if here >= confidence - ROUNDING:
                break
            steps.append((here, deliveries * (beyond - here)))
    for passed, gains in groupby(sorted(steps), key=lambda step: step[0]):
        if kept >= total * (confidence - ROUNDING):
            return float(passed)
        kept += sum(gain for _, gain in gains)
    return confidence
