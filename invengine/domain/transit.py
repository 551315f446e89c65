"""Transit times learnt from past deliveries: how many carrier working days a lane needs at a wanted confidence.

A lane is (location, zone, service). It is wider together with all locations that ship to the zone with the service, and
widest with all that the service carries:

    service               its deliveries as they are
    zone x service        its deliveries, blended with the service's
    lane                  its deliveries, blended with those of zone x service

(`transit_distribution` has the formula.) Asked for a confidence, a lane answers the least whole days whose probability
reaches it, or, where confidences are about all promises together, a common level (`transit_basis`). It never answers
more than the longest transit that was seen on the narrowest level with enough deliveries to carry the confidence.
Enough are n where even the longest of n, which the next one exceeds with a probability of 1 / (n + 1), is kept with the
confidence: n / (n + 1) >= confidence, so 4 for 80 %, 19 for 95 %, 99 for 99 % (S. S. Wilks, "Determination of sample
sizes for setting tolerance limits", Ann. Math. Statist. 12, 1941).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from invengine.domain.transit_basis import TransitBasis, common_level
from invengine.domain.transit_distribution import NOTHING, Distribution, Seen, blended, together

CONFIDENCE_PARTS: Final = 10_000
"""Confidences are whole ten-thousandths: 9500 is 95 %."""

STRENGTH: Final = 10
"""As many deliveries the wider level counts as, unless the document says otherwise."""

SERVICE_DELIVERIES_LEAST: Final = 20
"""With fewer deliveries in all, nothing is learnt of a service: the stated transit of its lanes holds."""

LaneName = tuple[str, str, str]
"""(location, zone, service)."""


class TransitLevel(StrEnum):
    """How narrow the deliveries are that an answer rests on."""

    LANE = "LANE"
    ZONE = "ZONE"
    SERVICE = "SERVICE"


class TransitAnswer(NamedTuple):
    """How a number of days came about.

    `level` is the narrowest one with enough deliveries for the confidence (the service, where none has), `deliveries`
    are those of that level, `longest` the longest transit among them, which is the most that is answered.
    `own_deliveries` are those of the lane itself. `probability` is how likely the lane delivers within `days`, by what
    was learnt.
    """

    days: int
    level: TransitLevel
    deliveries: int
    longest: int
    own_deliveries: int
    probability: float


class TransitPeriod(NamedTuple):
    """Of when the deliveries are: days of shipping, and the day at the end of which all was known; since 1970."""

    shipped_since: int
    shipped_until: int
    as_of: int


class _Level(NamedTuple):
    """One place of the hierarchy; `longest` is the longest transit that was seen there."""

    deliveries: int
    longest: int
    distribution: Distribution


_UNSEEN: Final = _Level(0, -1, NOTHING)


class TransitTimes:
    """What was learnt of all lanes. Nothing of it changes; another document makes another TransitTimes.

    `lanes` has what was seen, by lane, in `period`. `document` is the text that it was read from and `revision` its
    number in the store, from 1; both empty where it was not applied.
    """

    def __init__(
        self,
        lanes: Mapping[LaneName, Seen],
        *,
        period: TransitPeriod | None = None,
        strength: int = STRENGTH,
        basis: TransitBasis = TransitBasis.EACH,
        document: str = "",
        revision: int = 0,
    ) -> None:
        self.lanes: Final = MappingProxyType(dict(lanes))
        self.period: Final = period
        self.strength: Final = strength
        self.basis: Final = basis
        self.document: Final = document
        self.revision = revision
        zones: dict[tuple[str, str], list[Seen]] = {}
        services: dict[str, list[Seen]] = {}
        for (_, zone, service), seen in self.lanes.items():
            zones.setdefault((zone, service), []).append(seen)
            services.setdefault(service, []).append(seen)
        self._services: Final[dict[str, _Level]] = {}
        for name, parts in services.items():
            level = _level(together(parts), NOTHING, 0)
            if level.deliveries >= SERVICE_DELIVERIES_LEAST:
                self._services[name] = level
        self._zones: Final = {
            (zone, service): _level(together(parts), self._services[service].distribution, strength)
            for (zone, service), parts in zones.items()
            if service in self._services
        }
        self._lanes: Final = {
            name: _level(seen, self._zones[name[1:]].distribution, strength)
            for name, seen in self.lanes.items()
            if name[2] in self._services
        }
        self._common: Final[dict[tuple[str, int], float]] = {}

    def days(self, location: str, zone: str, service: str, confidence_parts: int) -> int | None:
        """Carrier working days within which the lane delivers with this confidence, 1 to 9,999 ten-thousandths; None
        where nothing was learnt: its stated transit holds then. Never fewer for more confidence.
        """
        answer = self.answer(location, zone, service, confidence_parts)
        return None if answer is None else answer.days

    def answer(self, location: str, zone: str, service: str, confidence_parts: int) -> TransitAnswer | None:
        """The same, with how it came about."""
        assert 0 < confidence_parts < CONFIDENCE_PARTS
        widest = self._services.get(service)
        if widest is None:
            return None
        lane = self._lanes.get((location, zone, service), _UNSEEN)
        of_zone = self._zones.get((zone, service), _UNSEEN)
        level, carrier = TransitLevel.SERVICE, widest
        if is_enough(lane.deliveries, confidence_parts):
            level, carrier = TransitLevel.LANE, lane
        elif is_enough(of_zone.deliveries, confidence_parts):
            level, carrier = TransitLevel.ZONE, of_zone
        distribution = self.distribution(location, zone, service)
        days = distribution.reaching(self.level(service, confidence_parts))
        days = carrier.longest if days is None else min(days, carrier.longest)
        probability = distribution.within(days)
        return TransitAnswer(days, level, carrier.deliveries, carrier.longest, lane.deliveries, probability)

    def longest(self, location: str, zone: str, service: str) -> int | None:
        """The longest transit seen on the lane, else to its zone with the service, else with the service; None where
        nothing was learnt: what a promise without any confidence would have to be.
        """
        levels = (
            self._lanes.get((location, zone, service)),
            self._zones.get((zone, service)),
            self._services.get(service),
        )
        return next((level.longest for level in levels if level is not None and level.deliveries), None)

    def under(self, revision: int) -> TransitTimes:
        """The same under a number of the store; nothing is worked out anew."""
        same = copy.copy(self)
        same.revision = revision
        return same

    def level(self, service: str, confidence_parts: int) -> float:
        """The probability that the days of a lane must reach for this confidence: the confidence itself, or, where it
        is about all promises together, the common level of the service.
        """
        confidence = confidence_parts / CONFIDENCE_PARTS
        if self.basis is TransitBasis.EACH:
            return confidence
        found = self._common.get((service, confidence_parts))
        if found is None:
            lanes = [(lane.deliveries, lane.distribution) for name, lane in self._lanes.items() if name[2] == service]
            found = self._common[service, confidence_parts] = common_level(lanes, confidence)
        return found

    def distribution(self, location: str, zone: str, service: str) -> Distribution:
        """The distribution that the lane's answers are read from; an empty one where nothing was learnt."""
        narrow = self._lanes.get((location, zone, service)) or self._zones.get((zone, service))
        return (narrow or self._services.get(service, _UNSEEN)).distribution


NOTHING_LEARNT: Final = TransitTimes({})
"""What is in force before anything was learnt."""


def parts_of(confidence: float) -> int | None:
    """A confidence, 0.95, in ten-thousandths, 9500; None where these are not 1 to 9,999."""
    if not 0.0 < confidence < 1.0:
        return None
    parts = round(confidence * CONFIDENCE_PARTS)
    return parts if 0 < parts < CONFIDENCE_PARTS else None


def is_enough(deliveries: int, confidence_parts: int) -> bool:
    """Whether the longest of so many deliveries is not exceeded by the next one, with this confidence."""
    return deliveries * (CONFIDENCE_PARTS - confidence_parts) >= confidence_parts


def _level(seen: Seen, wider: Distribution, strength: int) -> _Level:
    return _Level(seen.deliveries, seen.longest, blended(seen, wider, strength))
