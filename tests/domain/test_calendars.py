"""Days and times of work: which spans a day has, and which instant a local minute is."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.calendars import ALWAYS, CLOSED, OPEN, Calendar, Holidays, local_day, local_time, utc_minute
from invengine.domain.days import calendar_day, day_number
from invengine.domain.network import Network

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


def test_the_library_of_holidays_is_loaded_by_networks_that_have_some() -> None:
    """It takes a tenth of a second and some megabytes."""
    script = """
import sys
from invengine.domain.network import Network
network = Network.parse("locations: {A: {calendar: c}}\\ncalendars: {c: {hours: {mon: open}}}")
network.delivery.calendars["c"].spans(20000)
assert "holidays" not in sys.modules
Network.parse("locations: {A: {}}\\ncalendars: {c: {hours: {mon: open}, holidays: {country: DE}}}")
assert "holidays" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


# --- as the file says them ------------------------------------------------------------------------------------------

WORDS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS = st.integers(day_number(date(2025, 12, 1)), day_number(date(2028, 3, 1)))  # a leap day among them
SPANS = st.lists(st.integers(0, 1440), min_size=2, max_size=6, unique=True).map(
    lambda ends: list(zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
)
HOURS = st.one_of(st.sampled_from(["open", "closed"]), SPANS)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def written(hours: str | list[tuple[int, int]]) -> str:
    """Hours as the file has them."""
    if isinstance(hours, str):
        return hours
    return "[" + ", ".join(f'"{clock(start)}-{clock(end)}"' for start, end in hours) + "]"


def minutes_of(hours: str | list[tuple[int, int]]) -> set[int]:
    """The open minutes of a day, one by one."""
    spans = {"open": [(0, 1440)], "closed": []}[hours] if isinstance(hours, str) else hours
    return {minute for start, end in spans for minute in range(start, end)}


@given(
    st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 6)), HOURS, max_size=3),
    st.dictionaries(DAYS, HOURS, max_size=4),
    st.booleans(),
    st.lists(DAYS, min_size=1, max_size=8),
)
def test_the_open_minutes_are_those_of_a_naive_reading(
    week: dict[tuple[int, int], str | list[tuple[int, int]]],
    exceptions: dict[int, str | list[tuple[int, int]]],
    has_holidays: bool,
    asked: list[int],
) -> None:
    """Exceptions win over holidays, and they over the week; a range of days may go over the end of a week."""
    by_day: dict[int, str | list[tuple[int, int]]] = {}
    lines = ["locations: {A: {}}", "calendars:", "  dc:", "    hours:", "      {"]
    for (first, last), hours in week.items():
        days = [first]
        while days[-1] != last:
            days.append((days[-1] + 1) % 7)
        if not by_day.keys() & set(days):
            by_day |= dict.fromkeys(days, hours)
            lines.append(f"      {WORDS[first]}-{WORDS[last]}: {written(hours)},")
    lines += ["      }", "    exceptions: {"]
    lines += [f"      {calendar_day(number)}: {written(hours)}," for number, hours in exceptions.items()]
    lines += ["      }", "    holidays: {country: GB, subdivision: SCT}" if has_holidays else ""]
    calendar = Network.parse("\n".join(lines)).delivery.calendars["dc"]
    scotland = holidays.country_holidays("GB", subdiv="SCT", years=range(2025, 2029)) if has_holidays else {}
    for number in [*asked, *exceptions]:
        if number in exceptions:
            expected = minutes_of(exceptions[number])
        elif calendar_day(number) in scotland:
            expected = set()
        else:
            expected = minutes_of(by_day.get(calendar_day(number).weekday(), "closed"))
        spans = calendar.spans(number)
        assert {minute for start, end in spans for minute in range(start, end)} == expected
        assert all(end < start for (_, end), (start, _) in pairwise(spans)), "sorted, and none touches another"
        assert calendar.is_open(number) == bool(expected)
