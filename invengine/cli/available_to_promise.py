"""From which day on can so many units be promised? A table of steps and a plot, or the day for a number of units."""

from __future__ import annotations

import shutil
import sys
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invengine.cli.availability import Fresh, Fulfilment, FulfilmentOption, consistency_of
from invengine.cli.days import shown
from invengine.cli.output import Cell, is_coloured, is_csv, say, show_json, table, tell, write_csv
from invengine.cli.render import as_json, word
from invengine.cli.session import Session, command
from invengine.cli.step_plot import BLOCKS, PLAIN_BLOCKS, step_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.v1 import availability_service_pb2 as pb
    from invengine.v1.common_pb2 import Date

    Steps = Sequence[pb.PromisableStep]

_DAYS_SHOWN: Final = 90
_PLOT_WIDTH_MAX: Final = 100


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "atp")(atp)


async def atp(
    session: Session,
    sku: Annotated[str, typer.Argument()],
    *,
    location: Annotated[list[str] | None, typer.Option("--location", help="Only this location; may repeat.")] = None,
    group: Annotated[str, typer.Option(help="Only the locations of this group.")] = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=730, help="So many days from today on. Default: 90, with --units 730."),
    ] = None,
    units: Annotated[int | None, typer.Option("--units", min=1, help="When could I have so many?")] = None,
    fresh: Fresh = "",
) -> None:
    """Say how many units of a SKU, or of a kit, can be promised from which day on. CSV has a line for each step at each
    location, and of all together under no location.

    Example: invengine atp LAMP --channel web --units 20
    """
    answer = await session.client.get_available_to_promise(
        sku,
        channel=session.needs_channel(),
        locations=location or (),
        group=group,
        fulfilment=fulfilment.to_proto(),
        days=days or (730 if units else _DAYS_SHOWN),
        consistency=consistency_of(fresh),
    )
    if units:
        _tell_days(answer, units, as_csv=is_csv(), as_json_document=session.json)
    elif session.json:
        show_json(as_json(answer))
    elif is_csv():
        write_csv(("location", "date", "units"), _csv_rows(answer))
    else:
        _show(answer)


def _tell_days(answer: pb.GetAvailableToPromiseResponse, units: int, *, as_csv: bool, as_json_document: bool) -> None:
    """The first day with so many units: at each location, and at all of them together."""
    places = [(p.location, _first_day(p.steps, units)) for p in answer.positions if p.steps]
    together = _first_day(answer.steps, units)
    if as_json_document:
        found: dict[str, Any] = {"units": units, "date": together or None, "lastDate": shown(answer.last_date)}
        found["positions"] = [{"location": name, "date": day or None} for name, day in places]
        show_json(found)
    elif as_csv:
        write_csv(("location", "date"), [*places, ("", together)])
    else:
        rows: list[tuple[Cell, ...]] = [
            (name, day or "never", _days_from(answer.steps, day) if day else "")
            for name, day in [*places, ("all together", together)]
        ]
        table(("location", "date", "in_days"), rows)
        if not together:
            say(f"Until {shown(answer.last_date)} there are at most {answer.steps[-1].units}.")
        _say_unusable(answer)


def _show(answer: pb.GetAvailableToPromiseResponse) -> None:
    """The steps of the total, where each comes from, and the plot."""
    rows: list[tuple[Cell, ...]] = []
    before = 0
    for number, step in enumerate(answer.steps):
        more = f"+{step.units - before}" if number else ""
        rows.append(
            (shown(step.date), _days_from(answer.steps, shown(step.date)), step.units, more, _where(answer, step))
        )
        before = step.units
    table(("date", "in_days", "units", "more", "locations"), rows)
    tell()
    for line in _plot(answer):
        tell(line)
    if answer.available < answer.steps[0].units:
        say(f"Now {answer.available} can be taken; what is expected today is in today's number.")
    if answer.components:
        parts = [f"{part.units} {part.sku} ({part.available} available)" for part in answer.components]
        say(f"A kit of {', '.join(parts)}.")
    _say_unusable(answer)


def _where(answer: pb.GetAvailableToPromiseResponse, step: pb.PromisableStep) -> str:
    """What each location has today, or gains on a later day."""
    is_first = step == answer.steps[0]
    found = []
    for position in answer.positions:
        before = 0
        for number, own in enumerate(position.steps):
            counted = answer.steps[0].date if not number else own.date
            if counted == step.date and own.units > before:
                found.append(f"{position.location} {own.units - before if is_first else f'+{own.units - before}'}")
            before = own.units
    return ", ".join(found)


def _plot(answer: pb.GetAvailableToPromiseResponse) -> list[str]:
    first, last = shown(answer.steps[0].date), shown(answer.last_date)
    points = [(_days_from(answer.steps, shown(step.date)), step.units) for step in answer.steps]
    blocks = BLOCKS if _can_write(BLOCKS) else PLAIN_BLOCKS
    width = min(shutil.get_terminal_size().columns, _PLOT_WIDTH_MAX)
    lines = step_plot(points, _days_from(answer.steps, last) + 1, (first, last), width=width, blocks=blocks)
    if is_coloured():
        return [typer.style(line, fg=typer.colors.GREEN) for line in lines[:-2]] + lines[-2:]
    return lines


def _can_write(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _say_unusable(answer: pb.GetAvailableToPromiseResponse) -> None:
    from invengine.v1 import availability_service_pb2

    for position in answer.positions:
        for reason in position.reasons:
            name = word(availability_service_pb2.AvailabilityReason.Name(reason), "AVAILABILITY_REASON_")
            say(f"{position.location} promises nothing: {name}.")


def _csv_rows(answer: pb.GetAvailableToPromiseResponse) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = [
        (position.location, shown(step.date), step.units) for position in answer.positions for step in position.steps
    ]
    return rows + [("", shown(step.date), step.units) for step in answer.steps]


def _first_day(steps: Steps, units: int) -> str:
    """The day from which on there are so many; empty for none."""
    return next((shown(step.date) for step in steps if step.units >= units), "")


def _days_from(steps: Steps, day: str) -> int:
    """How many days after the first step."""
    return (date.fromisoformat(day) - _as_date(steps[0].date)).days


def _as_date(day: Date) -> date:
    return date(day.year, day.month, day.day)
