"""Days as messages and as numbers."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.days import calendar_day, day_number
from invengine.errors import InvalidArgument
from invengine.services import days
from invengine.v1 import common_pb2, incoming_service_pb2


@given(st.dates(date(1970, 1, 2), date(9999, 12, 31)))
def test_a_day_comes_back_as_it_went(day: date) -> None:
    number = days.check_day("day", common_pb2.Date(year=day.year, month=day.month, day=day.day))
    assert number == day_number(day)
    assert calendar_day(number) == day
    wire = days.date_of(number)
    assert (wire.year, wire.month, wire.day) == (day.year, day.month, day.day)


@pytest.mark.parametrize(
    ("year", "month", "day", "problem"),
    [
        (2026, 2, 29, "2026-02-29 is not a day"),
        (2026, 13, 1, "2026-13-01 is not a day"),
        (2026, 0, 1, "is not a day"),
        (2026, 1, 0, "is not a day"),
        (0, 0, 0, "0-00-00 is not a day"),
        (-1, 1, 1, "is not a day"),
        (10_000, 1, 1, "is not a day"),
        (2**31 - 1, 1, 1, "is not a day"),
        (1970, 1, 1, "1970-01-01 is before 1970-01-02"),
        (1969, 12, 31, "is before 1970-01-02"),
    ],
)
def test_what_is_no_day_is_refused_with_its_field(year: int, month: int, day: int, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        days.check_day("needed_by", common_pb2.Date(year=year, month=month, day=day))
    assert refused.value.field == "needed_by"
    assert problem in refused.value.problem


def test_leap_days_are_days() -> None:
    assert days.date_of(days.check_day("day", common_pb2.Date(year=2028, month=2, day=29))).day == 29


def test_a_day_that_is_not_set_is_none_or_missing() -> None:
    message = incoming_service_pb2.SlipIncomingRequest()
    assert days.optional_day(message, "expected_date") == 0
    assert days.date_or_none(0) is None
    with pytest.raises(InvalidArgument, match="expected_date: is required"):
        days.required_day(message, "expected_date")


def test_today_is_the_utc_day() -> None:
    assert [days.today(ms) for ms in (0, 86_399_999, 86_400_000)] == [0, 0, 1]
