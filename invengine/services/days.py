"""Days: whole days since 1970 inside, `Date` messages outside. Day 0 means "no day", so dates begin with day 1."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from invengine.domain.days import calendar_day, day_number
from invengine.domain.incoming import SECONDS_OF_DAY
from invengine.errors import InvalidArgument
from invengine.v1 import common_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message


def check_day(field: str, wire: common_pb2.Date) -> int:
    """The day that a message says, 1 or more; InvalidArgument names the field where it is no day, or day 0."""
    try:
        day = day_number(date(wire.year, wire.month, wire.day))
    except (ValueError, OverflowError):
        raise InvalidArgument(field, f"{wire.year}-{wire.month:02}-{wire.day:02} is not a day") from None
    if day < 1:
        raise InvalidArgument(field, f"{wire.year}-{wire.month:02}-{wire.day:02} is before 1970-01-02")
    return day


def required_day(message: Message, field: str) -> int:
    """The day in a field that must be set."""
    if not message.HasField(field):
        raise InvalidArgument(field, "is required")
    return check_day(field, getattr(message, field))


def optional_day(message: Message, field: str) -> int:
    """The day in a field, 0 where it is not set."""
    return check_day(field, getattr(message, field)) if message.HasField(field) else 0


def date_of(day: int) -> common_pb2.Date:
    """The message for a day."""
    found = calendar_day(day)
    return common_pb2.Date(year=found.year, month=found.month, day=found.day)


def date_or_none(day: int) -> common_pb2.Date | None:
    """The message for a day; None for 0, which leaves a field unset."""
    return date_of(day) if day else None


def today(now_ms: int) -> int:
    """The UTC day of an instant: what is today for the store's functions too."""
    return now_ms // 1000 // SECONDS_OF_DAY
