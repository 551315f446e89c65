"""Calendars, clocks and cut-offs as the kernels of `kernels.promise` read them: one line per thing, one column a day.

Lines are made when they are first asked for, and shared by all that mean the same: two stores with equal hours in one
time zone have one calendar here. So what is made is what questions are about, and a network of any size costs nothing
before them. Each line takes about a millisecond, once for as long as the window lasts.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine.domain.calendars import DAYS_A_WEEK, MINUTES_A_DAY, utc_minute
from invengine.kernels.layout import DAYS_MORE, FAR, NEVER, SPAN_COLUMNS
from invengine.replica.memory import zeros

if TYPE_CHECKING:
    from invengine.domain.calendars import Calendar

Block = npt.NDArray[np.int64]

HORIZON_DAYS: Final = 730
"""A promise lies at most so many days after the day of asking."""
DAYS_BACK: Final = 92
"""Days of the window before the day it is made on: orders that are not older are dated from when they were made."""
DAYS_IN_USE: Final = 30
"""Days after which another window is made."""
_DAYS_SPARE: Final = 3  # local days are before or after the UTC one
_LINES_MIN: Final = 64
_SPANS_MIN: Final = 4096


class Local(NamedTuple):
    """The open spans of a calendar within the window, in order: day of the window, local minutes from and to."""

    day: Block
    start: Block
    end: Block


@dataclass(frozen=True, slots=True)
class Window:
    """The days that tables are about: `size` of them from `first_day` on, as days since 1970."""

    first_day: int
    size: int

    @classmethod
    def around(cls, today: int) -> Window:
        """The window that is made on a UTC day."""
        size = DAYS_BACK + HORIZON_DAYS + DAYS_IN_USE + _DAYS_SPARE
        return cls(today - DAYS_BACK, size)

    def serves(self, today: int) -> bool:
        """Whether the whole horizon of a UTC day is in it, and enough of what was before."""
        return self.first_day + DAYS_BACK - 1 <= today <= self.first_day + DAYS_BACK + DAYS_IN_USE


class PromiseTables:
    """The arrays, and where in them everything is. Arrays are replaced when they grow: read them when they are used."""

    def __init__(self, window: Window) -> None:
        self.window: Final = window
        self.days: Block = np.zeros((_LINES_MIN, window.size + DAYS_MORE), np.int64)
        self.spans: Block = np.empty((_SPANS_MIN, SPAN_COLUMNS), np.int64)
        self.line_count = 0
        self.span_count = 0
        self._lines: dict[Hashable, int] = {}
        self._locals: dict[Hashable, Local] = {}

    def zone(self, time_zone: str) -> int:
        """The line of midnights of a time zone."""
        key = ("zone", time_zone)
        line = self._lines.get(key)
        if line is None:
            line = self._add(key, self._midnights(time_zone))
        return line

    def calendar(self, calendar: Calendar, time_zone: str) -> int:
        """The line of working time of a calendar in a time zone; its spans lie in `spans`.

        Of a span counts what the clocks leave of it: nothing of what they skip, and no minute twice.
        """
        key = ("calendar", _content(calendar), time_zone)
        line = self._lines.get(key)
        if line is None:
            line = self._add(key, self._spans_of(calendar, time_zone))
        return line

    def cut_off(self, calendar: Calendar, time_zone: str, minute: int | None) -> int:
        """The line of cut-offs at a local minute; None: at the end of each day's working time."""
        key = ("cut-off", _content(calendar), time_zone, minute)
        line = self._lines.get(key)
        if line is None:
            first_spans = self._line(self.calendar(calendar, time_zone))
            size = self.window.size
            is_open = first_spans[1 : size + 1] > first_spans[:size]
            if minute is None:
                minutes = self.spans[first_spans[1 : size + 1] - 1, 1]
            else:
                days = np.arange(size)
                minutes = self._instants(time_zone, days, np.full(size, minute))
            found = np.zeros(size + DAYS_MORE, np.int64)
            found[:size] = np.where(is_open, minutes, 0)
            line = self._add(key, found)
        return line

    def carrier_days(self, calendar: Calendar) -> int:
        """The two lines of the days that a calendar has open; carriers count dates, in whatever time zone."""
        key = ("carrier", _content(calendar))
        line = self._lines.get(key)
        if line is None:
            line = self._add_set(key, self._is_open(calendar))
        return line

    def pickup_days(self, calendar: Calendar, time_zone: str, pickups: Calendar) -> int:
        """The two lines of the days on which a location works and a carrier collects."""
        key = ("pickups", _content(calendar), time_zone, _content(pickups))
        line = self._lines.get(key)
        if line is None:
            first_spans = self._line(self.calendar(calendar, time_zone))
            works = first_spans[1 : self.window.size + 1] > first_spans[: self.window.size]
            line = self._add_set(key, works & self._is_open(pickups))
        return line

    def slots(self, location: str, fulfilment: str) -> int:
        """The line for slots of a location and a way of fulfilment, filled by whoever asks with what is left."""
        key = ("slots", location, fulfilment)
        line = self._lines.get(key)
        if line is None:
            line = self._add(key, np.zeros(self.window.size + DAYS_MORE, np.int64))
        return line

    # --- making lines ---

    def _line(self, line: int) -> Block:
        """A line that may just have been made: `self.days[self.zone(...)]` would look at the array before it grew."""
        found: Block = self.days[line]
        return found

    def _local(self, calendar: Calendar) -> Local:
        key = _content(calendar)
        found = self._locals.get(key)
        if found is None:
            first, size = self.window.first_day, self.window.size
            is_usual = np.ones(size, np.bool_)
            special = _special_days(calendar, first, first + size)
            is_usual[np.array(special, np.int64) - first] = False
            parts = [np.empty((0, 3), np.int64)]
            for weekday in range(DAYS_A_WEEK):
                days = np.flatnonzero(is_usual[weekday::DAYS_A_WEEK]) * DAYS_A_WEEK + weekday
                for start, end in calendar.spans(first + int(days[0])) if days.size else ():
                    parts.append(np.stack((days, np.full(days.size, start), np.full(days.size, end)), axis=1))
            for day in special:
                parts.extend(np.array([(day - first, *span)], np.int64) for span in calendar.spans(day))
            spans = np.concatenate(parts)
            spans = spans[np.lexsort((spans[:, 1], spans[:, 0]))]
            found = self._locals[key] = Local(*spans.T.copy())
        return found

    def _midnights(self, time_zone: str) -> Block:
        """The UTC minute at which each day begins. Clocks that show the same a week apart were not changed between."""
        first, size = self.window.first_day, self.window.size
        found = np.empty(size + DAYS_MORE, np.int64)
        for week in range(0, size + DAYS_MORE, DAYS_A_WEEK):
            beyond = min(week + DAYS_A_WEEK, size + DAYS_MORE)
            begin, end = utc_minute(first + week, 0, time_zone), utc_minute(first + beyond, 0, time_zone)
            if end - begin == (beyond - week) * MINUTES_A_DAY:
                found[week:beyond] = begin + np.arange(beyond - week) * MINUTES_A_DAY
            else:
                found[week:beyond] = [utc_minute(first + day, 0, time_zone) for day in range(week, beyond)]
        return found

    def _is_open(self, calendar: Calendar) -> npt.NDArray[np.bool_]:
        found = np.zeros(self.window.size, np.bool_)
        found[self._local(calendar).day] = True
        return found

    def _instants(self, time_zone: str, days: Block, minutes: Block) -> Block:
        """The UTC minutes of local ones; only days on which clocks change need more than an addition."""
        midnights = self._line(self.zone(time_zone))
        found: Block = midnights[days] + minutes
        first = self.window.first_day
        for i in np.flatnonzero(midnights[days + 1] - midnights[days] != MINUTES_A_DAY).tolist():
            found[i] = utc_minute(first + int(days[i]), int(minutes[i]), time_zone)
        return found

    def _spans_of(self, calendar: Calendar, time_zone: str) -> Block:
        """Adds the spans of a calendar between their sentinels; the first of each day."""
        local, size = self._local(calendar), self.window.size
        midnights = self._line(self.zone(time_zone))
        start = self._instants(time_zone, local.day, local.start)
        end = np.minimum(self._instants(time_zone, local.day, local.end), midnights[local.day + 1])
        if start.size:
            start[1:] = np.maximum(start[1:], np.maximum.accumulate(end)[:-1])
        there = end > start
        start, end, day = start[there], end[there], local.day[there]
        before = np.cumsum(end - start) - (end - start)
        worked = int((end - start).sum())
        first = self._room_for_spans(start.size + 2) + 1
        last = first + start.size
        self.spans[first - 1] = -FAR, -FAR, -1, 0
        self.spans[first:last] = np.stack((start, end, day, before), axis=1)
        self.spans[last] = FAR, NEVER, size, worked
        return first + np.searchsorted(day, np.arange(size + DAYS_MORE)).astype(np.int64)

    def _room_for_spans(self, count: int) -> int:
        """The first of `count` new lines of `spans`."""
        first = self.span_count
        self.span_count += count
        if self.span_count > self.spans.shape[0]:
            wider = zeros((2 * self.span_count, SPAN_COLUMNS), np.int64)
            wider[:first] = self.spans[:first]
            self.spans = wider
        return first

    def _add_set(self, key: Hashable, is_open: npt.NDArray[np.bool_]) -> int:
        size = self.window.size
        before = np.zeros(size + DAYS_MORE, np.int64)
        np.cumsum(is_open, out=before[1 : size + 1])
        before[size + 1] = before[size]
        members = np.full(size + DAYS_MORE, size, np.int64)
        found = np.flatnonzero(is_open)
        members[: found.size] = found
        return self._add(key, before, members)

    def _add(self, key: Hashable, *lines: Block) -> int:
        first = self.line_count
        self.line_count += len(lines)
        if self.line_count > self.days.shape[0]:
            wider = zeros((2 * self.line_count, self.days.shape[1]), np.int64)
            wider[:first] = self.days[:first]
            self.days = wider
        self.days[first : self.line_count] = lines
        self._lines[key] = first
        return first


def _special_days(calendar: Calendar, first: int, beyond: int) -> list[int]:
    """The days on which a calendar may differ from its week."""
    holidays = calendar.holidays.days(first, beyond) if calendar.holidays is not None else []
    return sorted({*holidays, *(day for day in calendar.exceptions if first <= day < beyond)})


def _content(calendar: Calendar) -> Hashable:
    """What makes two calendars the same, whatever they are called."""
    return calendar.week, calendar.holidays, tuple(sorted(calendar.exceptions.items()))
