"""Calendars in the planner's network file: hours of a week, holidays, exceptions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from invengine.domain.calendars import (
    CLOSED,
    DAYS_A_WEEK,
    MINUTES_A_DAY,
    OPEN,
    Calendar,
    Holidays,
    Spans,
    holidays_problem,
)
from invengine.domain.days import calendar_day, day_number
from invengine.domain.network_fields import described

EXCEPTIONS_MAX: Final = 2_000  # of one calendar
SPANS_MAX: Final = 24  # of one day
WEEK_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_FIELDS = ("hours", "holidays", "exceptions")
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNTRY = re.compile(r"[A-Z]{2}")

Report = Callable[[tuple[str | int, ...], str], None]
"""Takes each problem: where inside the calendar it is, and its sentence."""

Unknown = Callable[[str, tuple[str, ...]], str]
"""Words the problem of a field that is none of the known ones."""


def minute_of(text: str) -> int:
    """The minute of a day that `08:30` names; 24:00 is 1440. ValueError says what is wrong."""
    match = _TIME.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else MINUTES_A_DAY + 1
    if minute > MINUTES_A_DAY:
        raise ValueError(f"{described(text)} is not a time of day from 00:00 to 24:00, such as 08:30")
    return minute


def minute_text(minute: int) -> str:
    """`08:30`; the end of a day is 24:00."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def spans_text(spans: Spans) -> str:
    """Spans as people and the file write them: `09:00-12:00, 13:00-15:00`, `open` for the whole day, `closed`."""
    if spans == OPEN:
        return "open"
    return ", ".join(f"{minute_text(start)}-{minute_text(end)}" for start, end in spans) or "closed"


def read_calendar(name: str, raw: object, report: Report, unknown: Unknown) -> Calendar:
    """The calendar that an entry means, every problem of it reported; `unknown` words what is no field."""
    if not isinstance(raw, dict):
        report((), f"a mapping is wanted, {described(raw)} found")
        return Calendar(name, (CLOSED,) * DAYS_A_WEEK)
    for key in raw:
        if key not in _FIELDS:
            report((key,), unknown(key, _FIELDS))
    if "hours" not in raw:
        report((), "hours are missing")
    week = _week(raw.get("hours", {}), report)
    holidays = _holidays(raw["holidays"], report, unknown) if "holidays" in raw else None
    return Calendar(name, week, holidays, MappingProxyType(_exceptions(raw.get("exceptions"), report)))


def _week(raw: object, report: Report) -> tuple[Spans, ...]:
    week: dict[int, Spans] = {}
    if not isinstance(raw, dict):
        report(("hours",), f"a mapping of days to hours is wanted, {described(raw)} found")
        return (CLOSED,) * DAYS_A_WEEK
    for words, written in raw.items():
        spans = _spans(written, ("hours", words), report)
        days = _days(words)
        if not days:
            report(
                ("hours", words), "not a day or range of days: mon, tue, wed, thu, fri, sat, sun, or such as mon-fri"
            )
        for day in days:
            if day in week:
                report(("hours", words), f"{WEEK_DAYS[day]} is written twice")
            week[day] = spans
    return tuple(week.get(day, CLOSED) for day in range(DAYS_A_WEEK))


def _days(words: str) -> list[int]:
    """The days of `sat` or `mon-fri`, also over the end of a week; none when they are no days."""
    ends = words.split("-")
    if len(ends) > 2 or any(word not in WEEK_DAYS for word in ends):
        return []
    first, last = WEEK_DAYS.index(ends[0]), WEEK_DAYS.index(ends[-1])
    return [day % DAYS_A_WEEK for day in range(first, last + 1 if last >= first else last + 1 + DAYS_A_WEEK)]


def _spans(raw: object, path: tuple[str | int, ...], report: Report) -> Spans:
    """The spans of a day, touching ones joined; what is no span is reported and left out."""
    if raw in ("closed", "open"):
        return OPEN if raw == "open" else CLOSED
    if isinstance(raw, list) and len(raw) > SPANS_MAX:
        report(path, f"{len(raw)} spans; at most {SPANS_MAX} are taken")
        return CLOSED
    if raw == []:
        report(path, "no hours; for a day without any write closed")
    found: list[tuple[int, int, tuple[str | int, ...]]] = []
    for place, written in enumerate(raw) if isinstance(raw, list) else ((None, raw),):
        where = path if place is None else (*path, place)
        try:
            found.append((*_span(written), where))
        except ValueError as error:
            report(where, str(error))
    spans: list[tuple[int, int]] = []
    for start, end, where in sorted(found, key=lambda span: span[:2]):
        if spans and start < spans[-1][1]:
            report(where, f"{spans_text(((start, end),))} overlaps {spans_text((spans[-1],))}")
        elif spans and start == spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans)


def _span(raw: object) -> tuple[int, int]:
    if not isinstance(raw, str):
        raise ValueError(f"hours such as 08:00-18:00, or closed, are wanted, {described(raw)} found")
    parts = raw.replace(" ", "").split("-")
    if len(parts) != 2:
        raise ValueError(f"{described(raw)} is neither hours such as 08:00-18:00 nor closed or open")
    start, end = minute_of(parts[0]), minute_of(parts[1])
    if start == end:
        raise ValueError(f"{described(raw)} is no time at all; for the whole day write 00:00-24:00 or open")
    if start > end:
        raise ValueError(f"{described(raw)} ends before it begins; what goes over midnight is written at both days")
    return start, end


def _holidays(raw: object, report: Report, unknown: Unknown) -> Holidays | None:
    problems = list(_holidays_problems(raw, unknown))
    for inside, problem in problems:
        report(("holidays", *inside), problem)
    return None if problems or not isinstance(raw, dict) else Holidays(raw["country"], raw.get("subdivision", ""))


def _holidays_problems(raw: object, unknown: Unknown) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(raw, dict):
        yield (), f"a mapping with a country is wanted, {described(raw)} found"
        return
    for key in raw:
        if key not in Holidays._fields:
            yield (key,), unknown(key, Holidays._fields)
    country, subdivision = raw.get("country"), raw.get("subdivision", "")
    if "country" not in raw:
        yield (), "country is missing"
    elif not isinstance(country, str) or not _COUNTRY.fullmatch(country):
        yield ("country",), f"{described(country)} is not a country such as GB"
    elif problem := holidays_problem(Holidays(country)):
        yield ("country",), problem
    elif "subdivision" in raw and (not isinstance(subdivision, str) or not subdivision):
        yield ("subdivision",), f"a part of {country} is wanted, {described(subdivision)} found"
    elif problem := holidays_problem(Holidays(country, subdivision)):
        yield ("subdivision",), problem


def _exceptions(raw: object, report: Report) -> dict[int, Spans]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        report(("exceptions",), f"a mapping of days to hours is wanted, {described(raw)} found")
        return {}
    if len(raw) > EXCEPTIONS_MAX:
        report(("exceptions",), f"{len(raw)} days; at most {EXCEPTIONS_MAX} are taken")
        return {}
    found = {}
    for words, written in raw.items():
        spans = _spans(written, ("exceptions", words), report)
        try:
            day = date.fromisoformat(words) if _DATE.fullmatch(words) else None
        except ValueError:
            day = None
        if day is None:
            report(("exceptions", words), "not a day such as 2026-12-24")
        else:
            found[day_number(day)] = spans
    return found


def calendar_elements(calendar: Calendar) -> dict[str, Any]:
    """A calendar as plain values."""
    found: dict[str, Any] = {
        "hours": {word: spans_text(spans) for word, spans in zip(WEEK_DAYS, calendar.week, strict=True) if spans},
        "exceptions": {str(calendar_day(day)): spans_text(spans) for day, spans in sorted(calendar.exceptions.items())},
    }
    if calendar.holidays is not None:
        found["holidays"] = {word: text for word, text in calendar.holidays._asdict().items() if text}
    return found
