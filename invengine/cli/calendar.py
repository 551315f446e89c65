"""The command that shows when a location works."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.days import shown
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1.network_service_pb2 import GetCalendarResponse

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "calendar")(calendar)


async def calendar(
    session: Session,
    *,
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="The location.")],
    month: Annotated[str, typer.Argument(metavar="[MONTH]", help="Such as 2026-12. Default: this month.")] = "",
) -> None:
    """Show a month of a location: working time, opening hours, holidays, cut-offs, and what is collected when.

    Example: invengine calendar DC-DAVENTRY 2026-12
    """
    first = _first_of(month)
    days = monthrange(first.year, first.month)[1]
    answer = await session.client.get_calendar(location, first_day=first, days=days)
    if session.json:
        show_json(as_json(answer))
        return
    say(_headline(answer))
    for preparation in answer.preparations:
        say(f"  {_preparation(preparation)}")
    table(
        ("date", "weekday", "working", "opening", "order_before", "collected_services", "note"),
        [
            (
                shown(day.date),
                _DAYS[date(day.date.year, day.date.month, day.date.day).weekday()],
                _hours(day.working),
                _hours(day.opening),
                _cut_offs(day.cut_offs),
                ", ".join(day.collected_services),
                "; ".join([day.holiday] * bool(day.holiday) + ["exception"] * day.exception),
            )
            for day in answer.days
        ],
    )


def _first_of(month: str) -> date:
    if not month:
        return date.today().replace(day=1)
    try:
        return date.fromisoformat(f"{month}-01")
    except ValueError:
        fail_usage(f"{month!r} is not a month such as 2026-12")


def _headline(answer: GetCalendarResponse) -> str:
    work = f"works by calendar {answer.calendar}" if answer.calendar else "has no calendar: nothing from it is dated"
    opening = f", is open by {answer.opening}" if answer.opening not in ("", answer.calendar) else ""
    return f"{answer.location} ({answer.time_zone}) {work}{opening}."


def _preparation(preparation: GetCalendarResponse.Preparation) -> str:
    """`SHIP after 4h of work, 500 units a day`."""
    hours, minutes = divmod(preparation.handling_minutes, 60)
    said = " ".join([f"{hours}h"] * bool(hours) + [f"{minutes}m"] * bool(minutes))
    handling = f"after {said} of work" if said else "without handling time"
    units, orders = preparation.capacity_units, preparation.capacity_orders
    capacity = f", {units} units a day" if units else f", {orders} orders a day" if orders else ""
    return f"{_fulfilment(preparation.fulfilment)} {handling}{capacity}"


def _hours(hours: Iterable[GetCalendarResponse.Hours]) -> str:
    return " ".join(f"{_clock(span.start_minute)}-{_clock(span.end_minute)}" for span in hours) or "closed"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _cut_offs(cut_offs: Iterable[GetCalendarResponse.CutOff]) -> str:
    """`15:00 SHIP and PICKUP, 17:00 SHIP express`: ways with the same cut-off together."""
    ways: dict[str, list[str]] = {}
    for cut_off in cut_offs:
        way = f"{_fulfilment(cut_off.fulfilment)} {cut_off.service}".rstrip()
        ways.setdefault(_clock(cut_off.minute), []).append(way)
    return ", ".join(f"{clock} {' and '.join(of)}" for clock, of in sorted(ways.items()))


def _fulfilment(number: int) -> str:
    from invengine.v1 import common_pb2

    return word(common_pb2.Fulfilment.Name(number), "FULFILMENT_")  # type: ignore[arg-type]  # enums are numbers
