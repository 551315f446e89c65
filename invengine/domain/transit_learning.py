"""From past deliveries to what was seen of each lane: transit in carrier working days, and parcels still under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from invengine.domain.transit import LaneName, TransitPeriod
from invengine.domain.transit_distribution import Seen

OPEN_WITHIN_DAYS: Final = 730
"""A calendar has its next open day within so many days, or none."""


class WorkingDays(Protocol):
    """A calendar, of which only matters whether a day is open."""

    def is_open(self, day: int) -> bool:
        """Whether the day, since 1970, is a working day."""


class Parcel(NamedTuple):
    """One delivery as it was; days since 1970. `delivered_day` is None while it is under way."""

    location: str
    zone: str
    service: str
    ordered_day: int
    shipped_day: int
    delivered_day: int | None

    @property
    def lane(self) -> LaneName:
        """The lane that it took."""
        return self.location, self.zone, self.service


class CarrierDays:
    """Counts the open days of one calendar, each day of which is asked about once."""

    def __init__(self, calendar: WorkingDays) -> None:
        self._calendar = calendar
        self._first = 0
        self._before: list[int] = []  # open days before _first, _first + 1, ...

    def between(self, after: int, until: int) -> int:
        """Open days after `after`, up to and with `until`; 0 where that is not later."""
        return self._opened_before(until + 1) - self._opened_before(after + 1) if until > after else 0

    def transit(self, shipped_day: int, delivered_day: int) -> int:
        """The carrier working days that it took: 0 when it came on the day of shipping, else the open days after that
        day, up to that of delivery; a closed day of delivery counts as the next open one.
        """
        return 0 if delivered_day <= shipped_day else self.between(shipped_day, delivered_day - 1) + 1

    def arrival(self, shipped_day: int, transit_days: int) -> int | None:
        """The day on which a parcel is due: the transit-th open day after the day of shipping; with none, that day
        itself when it is open, else the next open one. None where the calendar has no such day.
        """
        day, closed, left = shipped_day, 0, transit_days
        if left == 0:
            if self._calendar.is_open(day):
                return day
            left = 1
        while left:
            day += 1
            if self._calendar.is_open(day):
                left, closed = left - 1, 0
            else:
                closed += 1
                if closed > OPEN_WITHIN_DAYS:
                    return None
        return day

    def _opened_before(self, day: int) -> int:
        """A number that grows by 1 behind every open day."""
        if not self._before:
            self._first, self._before = day, [0]
        while day < self._first:
            self._first -= 1
            self._before.insert(0, self._before[0] - self._calendar.is_open(self._first))
        while day >= self._first + len(self._before):
            last = self._first + len(self._before) - 1
            self._before.append(self._before[-1] + self._calendar.is_open(last))
        return self._before[day - self._first]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was seen, by lane, and of which time; `period` is None where nothing was."""

    lanes: Mapping[LaneName, Seen]
    period: TransitPeriod | None


def learn(parcels: Iterable[Parcel], carrier_days: Mapping[str, CarrierDays], as_of_day: int | None = None) -> Learnt:
    """What was known of the parcels at the end of `as_of_day`; without one, at the end of the newest day among them.

    `carrier_days` has the calendar of every service. What was shipped later is not known, and what was delivered later
    was under way.
    """
    arrived: Counter[tuple[LaneName, int]] = Counter()
    under_way: Counter[tuple[LaneName, int]] = Counter()  # by the day of shipping: the newest day is known at the end
    days: list[int] = []
    newest = 0
    for parcel in parcels:
        shipped, delivered = parcel.shipped_day, parcel.delivered_day
        if as_of_day is not None and shipped > as_of_day:
            continue
        newest = max(newest, shipped if delivered is None else delivered)
        days = [min(days[0], shipped), max(days[1], shipped)] if days else [shipped, shipped]
        if delivered is None or (as_of_day is not None and delivered > as_of_day):
            under_way[parcel.lane, shipped] += 1
        else:
            arrived[parcel.lane, carrier_days[parcel.service].transit(shipped, delivered)] += 1
    if not days:
        return Learnt({}, None)
    known_until = newest if as_of_day is None else as_of_day
    found: dict[LaneName, tuple[dict[int, int], dict[int, int]]] = {}
    for (lane, transit), count in arrived.items():
        found.setdefault(lane, ({}, {}))[0][transit] = count
    for (lane, shipped), count in under_way.items():
        open_days = found.setdefault(lane, ({}, {}))[1]
        waited = carrier_days[lane[2]].between(shipped, known_until)
        open_days[waited] = open_days.get(waited, 0) + count
    lanes = {name: Seen(dict(sorted(a.items())), dict(sorted(u.items()))) for name, (a, u) in sorted(found.items())}
    return Learnt(lanes, TransitPeriod(days[0], days[1], known_until))
