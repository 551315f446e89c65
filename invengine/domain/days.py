"""Days as numbers: whole days since 1970-01-01, in the calendar that everybody uses."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

EPOCH: Final = date(1970, 1, 1)


def day_number(day: date) -> int:
    """The number of a day."""
    return (day - EPOCH).days


def calendar_day(number: int) -> date:
    """The day of a number."""
    return EPOCH + timedelta(days=number)
