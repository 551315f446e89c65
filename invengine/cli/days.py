"""Days as people write them at the command line, `2026-12-24`, and read them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from invengine.cli.output import fail_usage

if TYPE_CHECKING:
    from invengine.v1.common_pb2 import Date


def day_of(text: str, what: str) -> date:
    """The day of an ISO 8601 date; else the command ends, naming `what`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail_usage(f"{what}: {text!r} is not a day such as 2026-12-24")


def shown(day: Date) -> str:
    """A day of the API as ISO 8601, empty when it is not set."""
    return f"{day.year:04}-{day.month:02}-{day.day:02}" if day.year else ""
