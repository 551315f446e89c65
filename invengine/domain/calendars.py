"""Working time: on which days a place, a carrier or a van works, and from when to when.

Days are numbers (see domain.days), times of a day are local minutes from 0 to 1440, instants are whole minutes since
1970 UTC. A calendar knows no time zone: the same one may hold at places of several zones.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from invengine.domain.days import EPOCH, calendar_day, day_number

MINUTES_A_DAY: Final = 1440
DAYS_A_WEEK: Final = 7

Span = tuple[int, int]
"""Local minutes (from, to) of one day: `from` belongs to it, `to` does not."""
Spans = tuple[Span, ...]
"""The spans of one day, sorted, none touching another; () where the day is closed."""

CLOSED: Final[Spans] = ()
OPEN: Final[Spans] = ((0, MINUTES_A_DAY),)

_FIRST_DAY = EPOCH.weekday()  # a Thursday: 3


class Holidays(NamedTuple):
    """The public holidays of a country (two capital letters), or of a part of it."""

    country: str
    subdivision: str = ""

    def name(self, day: int) -> str:
        """What the day is called, in English; empty when it is no holiday."""
        return self.of_year(calendar_day(day).year).get(day, "")

    def of_year(self, year: int) -> Mapping[int, str]:
        """The names of the holidays of a year, in English, by day."""
        return _holidays_of(self.country, self.subdivision, year)

    def days(self, first: int, beyond: int) -> list[int]:
        """All of them from one day to before another."""
        years = range(calendar_day(first).year, calendar_day(beyond).year + 1)
        found = [day for year in years for day in _holidays_of(self.country, self.subdivision, year)]
        return sorted(day for day in found if first <= day < beyond)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When work is done. `week`: the spans of Monday to Sunday; `exceptions` win over holidays, and they over the week.

    `holidays` are closed.
    """

    name: str
    week: tuple[Spans, ...]
    holidays: Holidays | None = None
    exceptions: Mapping[int, Spans] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def spans(self, day: int) -> Spans:
        """The open spans of a day in local minutes, sorted; () when it is closed."""
        exception = self.exceptions.get(day)
        if exception is not None:
            return exception
        if self.holidays is not None and self.holidays.name(day):
            return CLOSED
        return self.week[(day + _FIRST_DAY) % DAYS_A_WEEK]

    def is_open(self, day: int) -> bool:
        """Whether any of the day is open."""
        return bool(self.spans(day))

    def holiday_name(self, day: int) -> str:
        """The holiday that the day is, in English, whether or not an exception opens it; empty when it is none."""
        return self.holidays.name(day) if self.holidays is not None else ""


ALWAYS: Final = Calendar("", (OPEN,) * DAYS_A_WEEK)
"""Every day, the whole day. It has no name: no file can name it."""


def utc_minute(day: int, minute: int, time_zone: str) -> int:
    """The instant of a local minute, in minutes since 1970 UTC; minute 1440 is 00:00 of the next day.

    Of a time that clocks show twice, when they go back, the first counts. One that they never show, when they go
    forward, is read as if they had not gone forward yet.
    """
    local = datetime(EPOCH.year, EPOCH.month, EPOCH.day, tzinfo=zone(time_zone))
    moment = local + timedelta(days=day, minutes=minute)  # arithmetic on the wall clock; fold stays 0
    return int((moment.astimezone(UTC) - _EPOCH_UTC) // _MINUTE)


def local_time(minute: int, time_zone: str) -> tuple[int, int]:
    """The local day, and the minute of it, of an instant in minutes since 1970 UTC."""
    moment = (_EPOCH_UTC + timedelta(minutes=minute)).astimezone(zone(time_zone))
    return day_number(moment.date()), moment.hour * 60 + moment.minute


def local_day(minute: int, time_zone: str) -> int:
    """The local day of an instant in minutes since 1970 UTC."""
    return local_time(minute, time_zone)[0]


@functools.lru_cache(maxsize=1024)  # there are about 600; ZoneInfo itself keeps the last 8 only
def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name."""
    return ZoneInfo(name)


def holidays_problem(holidays: Holidays) -> str:
    """Why nobody knows the holidays of this country or part of it; empty when they are known."""
    import holidays as library  # loaded by networks that have holidays only: it takes a tenth of a second

    parts = library.list_supported_countries(include_aliases=False).get(holidays.country)
    if parts is None:
        return f"the holidays of country {holidays.country!r} are not known"
    if holidays.subdivision and holidays.subdivision not in parts:
        known = ", ".join(parts) if parts else "none"
        return f"{holidays.subdivision!r} is no part of {holidays.country} whose holidays are known; known are {known}"
    return ""


@functools.lru_cache(maxsize=8192)
def _holidays_of(country: str, subdivision: str, year: int) -> Mapping[int, str]:
    """Names by day, of one year."""
    import holidays as library

    found = library.country_holidays(country, subdiv=subdivision or None, years=year, expand=False, language="en_US")
    return MappingProxyType({day_number(day): name for day, name in found.items()})


_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
