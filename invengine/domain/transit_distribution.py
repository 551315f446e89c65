"""Transit as a distribution over whole carrier working days: counts of deliveries, blended with those of a wider level.

The estimate is the posterior mean of a Dirichlet process whose base is the wider level's distribution, for data of
which some is not over yet (V. Susarla, J. Van Ryzin, "Nonparametric Bayesian estimation of survival curves from
incomplete observations", J. Amer. Statist. Assoc. 71, 1976; without parcels under way it is that of T. S. Ferguson,
"A Bayesian analysis of some nonparametric problems", Ann. Statist. 1, 1973). With n deliveries of its own, d[k] of them
in k days, and strength m, it is

    P(transit = k) = (d[k] + m * P_wider(transit = k)) / (n + m)

so few deliveries say what the wider level says, and many speak for themselves. A parcel that is still under way after k
days counts among those that took longer than k, and says nothing about how much longer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

DAYS_MAX: Final = 730
"""The longest transit that is counted, in carrier working days."""

ROUNDING: Final = 1e-9
"""What sums of floats may miss: 95 of 100 reach 95 %."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one lane, or of several together.

    `arrived` has, by carrier working days from 0, how many deliveries took so many; `under_way` how many parcels were
    known not to have arrived by the end of that working day, and nothing later of them. No count is 0.
    """

    arrived: Mapping[int, int] = field(default_factory=dict)
    under_way: Mapping[int, int] = field(default_factory=dict)

    @property
    def deliveries(self) -> int:
        """Deliveries that arrived."""
        return sum(self.arrived.values())

    @property
    def open_parcels(self) -> int:
        """Parcels that had not arrived."""
        return sum(self.under_way.values())

    @property
    def longest(self) -> int:
        """The longest transit of what arrived, -1 where nothing did."""
        return max(self.arrived, default=-1)


def together(parts: list[Seen]) -> Seen:
    """Several as one."""
    arrived: dict[int, int] = {}
    under_way: dict[int, int] = {}
    for part in parts:
        for counts, more in ((arrived, part.arrived), (under_way, part.under_way)):
            for days, count in more.items():
                counts[days] = counts.get(days, 0) + count
    return Seen(dict(sorted(arrived.items())), dict(sorted(under_way.items())))


@dataclass(frozen=True, slots=True)
class Distribution:
    """`cumulative[k]` is the probability of a transit of at most k carrier working days; beyond the last it stays."""

    cumulative: tuple[float, ...]

    def within(self, days: int) -> float:
        """The probability of at most so many days."""
        if days < 0 or not self.cumulative:
            return 0.0
        return self.cumulative[min(days, len(self.cumulative) - 1)]

    def reaching(self, probability: float) -> int | None:
        """The least days whose probability is at least this one; None where no number of days has it."""
        found = bisect_left(self.cumulative, probability - ROUNDING)
        return found if found < len(self.cumulative) else None


NOTHING: Final = Distribution(())


def blended(seen: Seen, wider: Distribution = NOTHING, strength: float = 0.0) -> Distribution:
    """The distribution of what was seen, blended with the wider one, which counts as `strength` deliveries.

    Day by day, the probability to arrive on it when one has not arrived before: of those that are still out, the
    deliveries of that day and the share that the wider distribution gives it.
    """
    if not wider.cumulative:
        strength = 0.0
    last = max(seen.longest, len(wider.cumulative) - 1)
    at_risk = float(seen.deliveries + seen.open_parcels)
    left, cumulative = 1.0, []
    for days in range(last + 1):
        before, until = wider.within(days - 1), wider.within(days)
        out = at_risk + strength * (1.0 - before)
        arriving = seen.arrived.get(days, 0) + strength * (until - before)
        if out > 0.0:
            left *= max(0.0, 1.0 - arriving / out)
        cumulative.append(1.0 - left)
        at_risk -= seen.arrived.get(days, 0) + seen.under_way.get(days, 0)
    return Distribution(tuple(cumulative))
