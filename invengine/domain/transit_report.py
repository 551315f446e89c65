"""Promises held against deliveries that nothing was learnt from: how many would have been kept, how early, how late."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from invengine.domain.transit import STRENGTH, LaneName, TransitTimes
from invengine.domain.transit_basis import TransitBasis
from invengine.domain.transit_learning import CarrierDays, Parcel, learn

PARTS_OF_LONGEST: Final = 10_000
"""Stands for the longest transit seen where promises are listed by ten-thousandths of confidence."""
PARTS_OF_STATED: Final = 0
"""Stands for the stated transit."""


class Split(StrEnum):
    """Which deliveries are held back."""

    TIME = "time"
    """The newest orders; learnt is what was known when the first of them was placed."""
    RANDOM = "random"
    """Any, drawn with a seed."""


class Grouping(StrEnum):
    """By what a report is broken down, beside all together."""

    ALL = "all"
    SERVICE = "service"
    ZONE = "zone"
    LANE = "lane"


@dataclass(frozen=True, slots=True)
class Held:
    """What was learnt, and the parcels that it is tried on.

    `split_day` is the first day of the orders that are held back, 0 where they were drawn. `as_of_day` is the day at
    the end of which everything about them is known.
    """

    times: TransitTimes
    parcels: Sequence[Parcel]
    split_day: int
    as_of_day: int


class Row(NamedTuple):
    """How one kind of promise did on one group of deliveries. Days are carrier working days.

    `confidence_parts` is PARTS_OF_STATED or PARTS_OF_LONGEST for the two promises that are made without learning.
    `group` is a name, or empty for all. `expected_share` is the share that should be kept, by what was learnt: as days
    are whole, it is more than the confidence. `days` is the mean promise; `early` the mean number of days by which kept
    promises were early, `late` that by which broken ones were late (a parcel that has not arrived counts with the days
    so far).
    """

    confidence_parts: int
    group: tuple[str, ...]
    deliveries: int
    kept: int
    expected_share: float
    days: float
    early: float
    late: float

    @property
    def kept_share(self) -> float:
        """The share that was kept."""
        return self.kept / self.deliveries


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` by confidence, then by group, all together first. `not_due` parcels were ordered too late to judge all
    promises of them; for `not_promised` ones nothing was learnt of their service.
    """

    held: Held
    rows: tuple[Row, ...]
    judged: int
    not_due: int
    not_promised: int


def hold_back(
    parcels: Sequence[Parcel],
    carrier_days: Mapping[str, CarrierDays],
    *,
    share: float,
    split: Split = Split.TIME,
    seed: int = 0,
    strength: int = STRENGTH,
    basis: TransitBasis = TransitBasis.EACH,
) -> Held:
    """Learns from a part of the parcels and keeps about this share of them for the trial.

    By time, what is learnt from is exactly what was known on the evening before the first order that is held back:
    parcels that were under way then count as such, however long they took in the end.
    """
    as_of = max((one.shipped_day if one.delivered_day is None else one.delivered_day for one in parcels), default=0)
    if split is Split.RANDOM:
        draw = random.Random(seed)  # noqa: S311  # a sample, not a secret
        drawn = [draw.random() < share for _ in parcels]
        held = [one for one, is_held in zip(parcels, drawn, strict=True) if is_held]
        learnt = learn((one for one, is_held in zip(parcels, drawn, strict=True) if not is_held), carrier_days, as_of)
        split_day = 0
    else:
        ordered = sorted(one.ordered_day for one in parcels)
        split_day = ordered[min(int(len(ordered) * (1 - share)), len(ordered) - 1)] if ordered else 0
        held = [one for one in parcels if one.ordered_day >= split_day]
        learnt = learn((one for one in parcels if one.ordered_day < split_day), carrier_days, split_day - 1)
    times = TransitTimes(learnt.lanes, period=learnt.period, strength=strength, basis=basis)
    return Held(times, held, split_day, as_of)


def report(
    held: Held,
    carrier_days: Mapping[str, CarrierDays],
    stated: Mapping[LaneName, int],
    *,
    confidence_parts: Sequence[int],
    by: Grouping = Grouping.ALL,
) -> Report:
    """Promises at these confidences, the stated transit of lanes that have one, and the longest transit seen."""
    promises = _Promises(held.times, stated, confidence_parts)
    seen: Counter[_Kind] = Counter()
    not_due = not_promised = 0
    due_days: dict[tuple[str, int, int], int | None] = {}
    for parcel in held.parcels:
        promised = promises.of(parcel.lane)
        if promised is None:
            not_promised += 1
            continue
        calendar = carrier_days[parcel.service]
        key = (parcel.service, parcel.shipped_day, max(days for _, days, _ in promised[: len(confidence_parts)]))
        if key not in due_days:
            due_days[key] = calendar.arrival(*key[1:])
        due = due_days[key]
        if due is None or due > held.as_of_day:
            not_due += 1
            continue
        seen[_kind(parcel, calendar, held.as_of_day)] += 1
    tallies: dict[tuple[int, tuple[str, ...]], _Tally] = {}
    for kind, count in seen.items():
        for parts, promise, expected in promises.of(kind.lane) or ():
            for group in _groups(kind.lane, by):
                tallies.setdefault((parts, group), _Tally()).add(kind, count, promise, expected)
    order = {parts: place for place, parts in enumerate((*confidence_parts, PARTS_OF_LONGEST, PARTS_OF_STATED))}
    rows = tuple(
        tallies[parts, group].row(parts, group)
        for parts, group in sorted(tallies, key=lambda one: (one[1], order[one[0]]))
        if tallies[parts, group].deliveries
    )
    return Report(held, rows, sum(seen.values()), not_due, not_promised)


class _Kind(NamedTuple):
    """Deliveries that no promise tells apart."""

    lane: LaneName
    transit: int
    has_arrived: bool
    closed: bool
    """Whether it was shipped on a closed day: then a promise of 0 days is due on the next open one, like one of 1."""

    def is_within(self, days: int) -> bool:
        """Whether it took at most so many days; where it has not arrived, whether it may yet."""
        return self.transit <= max(days, 1 if self.closed else 0)


def _kind(parcel: Parcel, days: CarrierDays, as_of_day: int) -> _Kind:
    shipped, delivered = parcel.shipped_day, parcel.delivered_day
    has_arrived = delivered is not None and delivered <= as_of_day
    transit = days.transit(shipped, delivered if delivered is not None and has_arrived else as_of_day + 1)
    return _Kind(parcel.lane, transit, has_arrived, days.arrival(shipped, 0) != shipped)


class _Tally:
    """Sums over deliveries."""

    __slots__ = ("days", "deliveries", "early", "expected", "kept", "late")

    def __init__(self) -> None:
        self.deliveries = self.kept = self.days = self.early = self.late = 0
        self.expected = 0.0

    def add(self, kind: _Kind, count: int, days: int, expected: float) -> None:
        is_within = kind.is_within(days)
        if is_within and not kind.has_arrived:
            return  # not due by a promise that is longer than those by which the parcels were chosen
        self.deliveries += count
        self.days += days * count
        self.expected += expected * count
        if is_within:
            self.kept += count
            self.early += max(0, days - kind.transit) * count
        else:
            self.late += max(1, kind.transit - days) * count

    def row(self, parts: int, group: tuple[str, ...]) -> Row:
        broken = self.deliveries - self.kept
        return Row(
            parts,
            group,
            self.deliveries,
            self.kept,
            self.expected / self.deliveries,
            self.days / self.deliveries,
            self.early / self.kept if self.kept else 0.0,
            self.late / broken if broken else 0.0,
        )


class _Promises:
    """What each lane is promised: (ten-thousandths of confidence, days, the probability learnt for these)."""

    def __init__(self, times: TransitTimes, stated: Mapping[LaneName, int], confidence_parts: Sequence[int]) -> None:
        self._times = times
        self._stated = stated
        self._confidence_parts = confidence_parts
        self._known: dict[LaneName, tuple[tuple[int, int, float], ...] | None] = {}

    def of(self, lane: LaneName) -> tuple[tuple[int, int, float], ...] | None:
        """Those of a lane, the confidences first; None where nothing was learnt of its service."""
        if lane not in self._known:
            self._known[lane] = tuple(self._made(lane)) or None
        return self._known[lane]

    def _made(self, lane: LaneName) -> Iterator[tuple[int, int, float]]:
        for parts in self._confidence_parts:
            answer = self._times.answer(*lane, parts)
            if answer is None:
                return
            yield parts, answer.days, answer.probability
        distribution = self._times.distribution(*lane)
        for parts, days in ((PARTS_OF_LONGEST, self._times.longest(*lane)), (PARTS_OF_STATED, self._stated.get(lane))):
            if days is not None:
                yield parts, days, distribution.within(days)


def _groups(lane: LaneName, by: Grouping) -> Iterable[tuple[str, ...]]:
    location, zone, service = lane
    yield ()
    if by is Grouping.SERVICE:
        yield (service,)
    elif by is Grouping.ZONE:
        yield (zone,)
    elif by is Grouping.LANE:
        yield location, zone, service
