"""Days and times of work: which spans a day has, and which instant a local minute is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.calendars import ALWAYS, CLOSED, OPEN, Calendar, Holidays, local_day, local_time, utc_minute
from invengine.domain.days import calendar_day, day_number

BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns")
WEEK = (((480, 1080),),) * 5 + (((540, 720), (780, 900)), ())


def day(text: str) -> int:
    return day_number(date.fromisoformat(text))


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


def test_a_day_has_the_spans_of_its_day_of_the_week() -> None:
    calendar = Calendar("dc", WEEK)
    assert calendar.spans(day("2026-11-20")) == ((480, 1080),)  # a Friday
    assert calendar.spans(day("2026-11-21")) == ((540, 720), (780, 900))
    assert calendar.spans(day("2026-11-22")) == ()
    assert [calendar.is_open(day("2026-11-20") + n) for n in range(4)] == [True, True, False, True]


def test_holidays_are_closed_and_exceptions_win_over_them() -> None:
    bavaria = Calendar("dc", (OPEN,) * 7, Holidays("DE", "BY"), {day("2027-01-06"): ((600, 660),)})
    berlin = Calendar("dc", (OPEN,) * 7, Holidays("DE", "BE"))
    epiphany = day("2026-01-06")
    assert (bavaria.spans(epiphany), bavaria.holiday_name(epiphany)) == (CLOSED, "Epiphany")
    assert (berlin.spans(epiphany), berlin.holiday_name(epiphany)) == (OPEN, "")
    assert bavaria.spans(day("2027-01-06")) == ((600, 660),)
    assert bavaria.spans(day("2026-12-25")) == CLOSED
    assert bavaria.spans(day("2026-12-24")) == OPEN


def test_always_is_open() -> None:
    assert all(ALWAYS.spans(n) == OPEN for n in range(20_000, 20_014))


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-11-23 08:00", "2026-11-23 07:00"),
        ("2026-07-01 08:00", "2026-07-01 06:00"),
        ("2026-03-29 01:59", "2026-03-29 00:59"),
        ("2026-03-29 02:30", "2026-03-29 01:30"),  # never shown: as if clocks had not gone forward yet
        ("2026-03-29 03:00", "2026-03-29 01:00"),
        ("2026-10-25 02:30", "2026-10-25 00:30"),  # shown twice: the first
        ("2026-10-25 03:00", "2026-10-25 02:00"),
    ],
)
def test_local_minutes_of_nights_when_clocks_change(local: str, utc: str) -> None:
    moment = datetime.fromisoformat(local)
    minute = moment.hour * 60 + moment.minute
    assert utc_minute(day_number(moment.date()), minute, BERLIN) == instant(utc)


def test_the_end_of_a_day_is_the_beginning_of_the_next() -> None:
    for text, hours in (("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)):
        start, end = utc_minute(day(text), 0, BERLIN), utc_minute(day(text), 1440, BERLIN)
        assert end == utc_minute(day(text) + 1, 0, BERLIN)
        assert end - start == hours * 60


@given(st.integers(0, 40_000), st.integers(0, 1440), st.sampled_from(ZONES))
def test_a_local_minute_is_the_instant_that_datetime_says(number: int, minute: int, zone: str) -> None:
    wall = datetime.combine(calendar_day(number), datetime.min.time()) + timedelta(minutes=minute)
    offset = wall.replace(tzinfo=ZoneInfo(zone)).utcoffset()
    assert offset is not None
    seconds = (wall - offset - datetime(1970, 1, 1)).total_seconds()
    assert utc_minute(number, minute, zone) == seconds // 60


@given(st.integers(0, 60_000_000), st.sampled_from(ZONES))
def test_the_local_day_is_what_a_clock_there_shows(minute: int, zone: str) -> None:
    shown = datetime.fromtimestamp(minute * 60, ZoneInfo(zone))
    assert local_day(minute, zone) == day_number(shown.date())
    assert local_time(minute, zone) == (day_number(shown.date()), shown.hour * 60 + shown.minute)
