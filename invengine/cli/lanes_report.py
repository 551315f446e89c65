"""The command that holds promises against deliveries that nothing was learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invengine.cli.deliveries import Deliveries, DeliveriesFile, NetworkFile, SkipBad, network_of
from invengine.cli.file_faults import problem_of
from invengine.cli.output import Cell, Rounded, fail_usage, say, show_json, table
from invengine.cli.session import Session, command
from invengine.domain.transit import CONFIDENCE_PARTS, STRENGTH, parts_of
from invengine.domain.transit_basis import TransitBasis
from invengine.domain.transit_report import PARTS_OF_LONGEST, PARTS_OF_STATED, Grouping, Split

if TYPE_CHECKING:
    from invengine.domain.transit_report import Report, Row

USUAL_CONFIDENCES: Final = (0.8, 0.9, 0.95, 0.99)
_OF_GROUPS: Final = {
    Grouping.ALL: (),
    Grouping.SERVICE: ("service",),
    Grouping.ZONE: ("zone",),
    Grouping.LANE: ("location", "zone", "service"),
}
_NUMBERS: Final = ("deliveries", "kept_share", "expected_share", "days", "early", "late")


def register(app: typer.Typer) -> None:
    """Add the command to the group `lane`."""
    command(app, "report")(report)


async def report(
    session: Session,
    *,
    file: DeliveriesFile,
    confidence: Annotated[
        list[float] | None,
        typer.Option(
            help="Try this one, such as 0.95; may be given more than once.", show_default="0.8, 0.9, 0.95, 0.99"
        ),
    ] = None,
    by: Annotated[Grouping, typer.Option(help="Also broken down by this.")] = Grouping.ALL,
    held_back: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="About this share of the deliveries is held back.")
    ] = 0.2,
    split: Annotated[Split, typer.Option(help="Which: the newest orders, or any, drawn at random.")] = Split.TIME,
    seed: Annotated[int, typer.Option(help="Of the draw: the same seed, the same deliveries.")] = 0,
    basis: Annotated[
        TransitBasis, typer.Option(help="What a confidence is about: each promise, or all of a service together.")
    ] = TransitBasis.EACH,
    strength: Annotated[
        int, typer.Option(min=0, max=10_000, help="Deliveries that a wider level counts as.")
    ] = STRENGTH,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it into this PNG file.")] = None,
    network: NetworkFile = None,
    skip_bad: SkipBad = False,
) -> None:
    """Learn from a part of past deliveries and say how promises would have done on the rest; nothing is put in force.

    The columns are those of `lane learn`. Each row is one kind of promise: at a confidence, by the longest transit
    seen, or as the network states it. Days are carrier working days: the mean promise, the mean by which kept ones were
    early, and by which broken ones were late. `expected_share` should be kept, by what was learnt: days are whole.

    Example: invengine lane report deliveries-2026.csv.gz --by service --plot promises.png
    """
    from invengine.domain import transit_report

    asked = confidence or list(USUAL_CONFIDENCES)
    parts = [_parts(one) for one in asked]
    if plot is not None:
        _check_plot()
    using = await network_of(session, network)
    read = Deliveries(file, using)
    parcels = list(read.parcels())
    read.check(skip_bad=skip_bad)
    held = transit_report.hold_back(
        parcels, read.carrier_days, share=held_back, split=split, seed=seed, strength=strength, basis=basis
    )
    stated = {name: lane.transit_days for name, lane in using.delivery.lanes.items()}
    found = transit_report.report(held, read.carrier_days, stated, confidence_parts=parts, by=by)
    if not found.rows:
        fail_usage(f"{file}: too few deliveries: {_told(found)}.")
    if plot is not None:
        _plot(plot, found.rows)
    if session.json:
        show_json(_as_json(found, by))
        return
    table(("promise", *_OF_GROUPS[by], *_NUMBERS), [_cells(row, by, "") for row in found.rows])
    say(f"{_told(found)}.")


def percent(share: float) -> str:
    """A share for people: 0.95 is `95 %`, 0.99954 is `99.95 %`."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def _parts(confidence: float) -> int:
    parts = parts_of(confidence)
    if parts is None:
        fail_usage(f"--confidence: {confidence:g} is not more than 0 and less than 1, such as 0.95")
    return parts


def _promise(row: Row) -> str:
    named = {PARTS_OF_LONGEST: "longest seen", PARTS_OF_STATED: "stated"}
    return named.get(row.confidence_parts) or percent(row.confidence_parts / CONFIDENCE_PARTS)


def _cells(row: Row, by: Grouping, of_all: str) -> tuple[Cell, ...]:
    names = row.group or (of_all,) * len(_OF_GROUPS[by])
    shares = Rounded(row.kept_share, ".2%"), Rounded(row.expected_share, ".2%")
    days = Rounded(row.days), Rounded(row.early), Rounded(row.late)
    return _promise(row), *names, row.deliveries, *shares, *days


def _told(found: Report) -> str:
    from invengine.domain.days import calendar_day

    held = found.held
    learnt = sum(seen.deliveries for seen in held.times.lanes.values())
    since = f", ordered since {calendar_day(held.split_day).isoformat()}" if held.split_day else ""
    text = f"{learnt} deliveries learnt from, {len(held.parcels)} held back{since}, {found.judged} judged"
    if found.not_due:
        text += f"; {found.not_due} were shipped too late for all promises to be due by the end of the file"
    if found.not_promised:
        text += f"; nothing was learnt of the service of {found.not_promised}"
    return text


def _as_json(found: Report, by: Grouping) -> dict[str, Any]:
    from invengine.domain.days import calendar_day

    held = found.held
    return {
        "learntDeliveries": sum(seen.deliveries for seen in held.times.lanes.values()),
        "heldBack": len(held.parcels),
        "orderedSince": calendar_day(held.split_day).isoformat() if held.split_day else "",
        "judged": found.judged,
        "notDue": found.not_due,
        "notPromised": found.not_promised,
        "rows": [
            {
                "promise": _promise(row),
                "confidence": row.confidence_parts / CONFIDENCE_PARTS
                if 0 < row.confidence_parts < CONFIDENCE_PARTS
                else None,
                **dict(zip(_OF_GROUPS[by], row.group or ("",) * len(_OF_GROUPS[by]), strict=True)),
                "deliveries": row.deliveries,
                "kept": row.kept,
                "keptShare": row.kept_share,
                "expectedShare": row.expected_share,
                "days": row.days,
                "early": row.early,
                "late": row.late,
            }
            for row in found.rows
        ],
    }


def _check_plot() -> None:
    from invengine.cli.plots import PlotMissing, check_plot

    try:
        check_plot()
    except PlotMissing as missing:
        fail_usage(str(missing))


def _plot(path: Path, rows: Sequence[Row]) -> None:
    from invengine.cli.plots import plot_transit

    of_all = {row.confidence_parts: row for row in rows if not row.group}
    asked = [of_all[parts] for parts in sorted(of_all) if PARTS_OF_STATED < parts < PARTS_OF_LONGEST]
    try:
        plot_transit(path, asked, of_all.get(PARTS_OF_LONGEST), of_all.get(PARTS_OF_STATED))
    except OSError as error:
        fail_usage(f"--plot {path}: {problem_of(error)}")
