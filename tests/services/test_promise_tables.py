"""Tables of calendars and clocks: the same as asking the calendar for each day, and shared by what is equal."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType
from typing import Any
from zoneinfo import available_timezones

import numpy as np
import pytest

from invengine.domain.calendars import ALWAYS, Calendar, Holidays, local_day, utc_minute
from invengine.domain.days import day_number
from invengine.services.promise_tables import DAYS_BACK, DAYS_IN_USE, HORIZON_DAYS, PromiseTables, Window

TODAY = day_number(date(2026, 11, 22))
WEEK = (((480, 1080),),) * 5 + (((540, 720), (780, 900)), ())
SHOP = Calendar("shop", WEEK, Holidays("DE", "BY"), MappingProxyType({TODAY + 3: ((600, 660),), TODAY + 4: ()}))


def lines_of(tables: PromiseTables, line: int) -> Any:
    """The array as it is after the line was made."""
    return tables.days[line]


def test_midnights_of_every_time_zone_are_those_of_its_days() -> None:
    tables = PromiseTables(Window.around(TODAY))
    first, size = tables.window.first_day, tables.window.size
    for name in sorted(available_timezones()):
        midnights = lines_of(tables, tables.zone(name))[: size + 1]
        assert midnights.tolist() == [utc_minute(first + day, 0, name) for day in range(size + 1)], name


def test_no_day_of_any_time_zone_comes_back_once_it_is_over() -> None:
    """What finding the local day of a minute among midnights rests on."""
    tables = PromiseTables(Window.around(TODAY))
    for name in sorted(available_timezones()):
        midnights = lines_of(tables, tables.zone(name))[: tables.window.size + 1]
        lengths = np.diff(midnights)
        assert lengths.min() > 0, name
        for day in np.flatnonzero(lengths != 1440).tolist():
            minutes = range(int(midnights[day]) - 120, int(midnights[day + 1]) + 120, 15)
            days = [local_day(minute, name) for minute in minutes]
            assert days == sorted(days), name
            assert local_day(int(midnights[day]), name) == tables.window.first_day + day, name
            assert local_day(int(midnights[day]) - 1, name) == tables.window.first_day + day - 1, name


@pytest.mark.parametrize("time_zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "UTC"])
def test_spans_are_those_of_the_calendar_day_by_day(time_zone: str) -> None:
    tables = PromiseTables(Window.around(TODAY))
    first_spans = lines_of(tables, tables.calendar(SHOP, time_zone)).tolist()
    cut_offs = lines_of(tables, tables.cut_off(SHOP, time_zone, 900)).tolist()
    closings = lines_of(tables, tables.cut_off(SHOP, time_zone, None)).tolist()
    worked = 0
    for place in range(tables.window.size):
        day = tables.window.first_day + place
        expected = [(utc_minute(day, a, time_zone), utc_minute(day, b, time_zone)) for a, b in SHOP.spans(day)]
        spans = tables.spans[first_spans[place] : first_spans[place + 1]].tolist()
        assert [(start, end) for start, end, _, _ in spans] == expected
        assert all(number == place for _, _, number, _ in spans)
        for start, end, _, before in spans:
            assert before == worked
            worked += end - start
        assert cut_offs[place] == (utc_minute(day, 900, time_zone) if expected else 0)
        assert closings[place] == (expected[-1][1] if expected else 0)
    assert worked > 100_000


def test_sets_of_days_count_the_days_on_which_all_work() -> None:
    tables = PromiseTables(Window.around(TODAY))
    line = tables.pickup_days(SHOP, "Europe/Berlin", Calendar("van", ((), ((0, 1440),)) * 3 + (((0, 1440),),)))
    counts, members = tables.days[line].tolist(), tables.days[line + 1].tolist()
    size, first = tables.window.size, tables.window.first_day
    expected = [day for day in range(size) if SHOP.is_open(first + day) and (first + day + 3) % 7 in (1, 3, 5, 6)]
    assert members[: len(expected)] == expected
    assert set(members[len(expected) :]) == {size}
    assert counts == [sum(member < day for member in expected) for day in range(size + 2)]


def test_equal_calendars_share_their_lines_whatever_they_are_called() -> None:
    """A thousand shops with the same hours, each with a calendar of its own, cost as much as one."""
    tables = PromiseTables(Window.around(TODAY))
    lines = {tables.calendar(Calendar(f"shop-{n}", WEEK), "Europe/Berlin") for n in range(1000)}
    assert len(lines) == 1
    others = [(Calendar("", WEEK), "Europe/London"), (ALWAYS, "Europe/Berlin"), (SHOP, "Europe/Berlin")]
    assert len(lines | {tables.calendar(*other) for other in others}) == 4
    assert tables.line_count == 4 + 2


def test_lines_stay_when_arrays_grow() -> None:
    tables = PromiseTables(Window.around(TODAY))
    lines = {}
    for minute in range(300):
        calendar = Calendar("", (((minute, minute + 60),),) * 7)
        line = tables.calendar(calendar, "UTC")
        lines[line] = tables.days[line].copy(), tables.spans[tables.days[line, 0]].copy()
    for line, (first_spans, span) in lines.items():
        assert tables.days[line].tolist() == first_spans.tolist()
        assert tables.spans[first_spans[0]].tolist() == span.tolist()


def test_a_window_serves_a_month_and_holds_the_horizon_of_its_last_day() -> None:
    window = Window.around(TODAY)
    assert [window.serves(TODAY + days) for days in (-2, -1, 0, DAYS_IN_USE, DAYS_IN_USE + 1)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert window.first_day == TODAY - DAYS_BACK
    assert window.first_day + window.size > TODAY + DAYS_IN_USE + HORIZON_DAYS + 1
