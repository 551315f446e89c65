"""The command that compares sourcing profiles: the same orders under each of them, on a copy of the stock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.days import day_of
from invengine.cli.file_faults import problem_of
from invengine.cli.output import Cell, fail_usage, say, show_json, table
from invengine.cli.promise import money
from invengine.cli.render import as_json, instant, word
from invengine.cli.session import Session, command
from invengine.cli.wave_file import WaveFileFault

if TYPE_CHECKING:
    from invengine.v1.whatif_pb2 import WhatIfOrder, WhatIfResponse, WhatIfResult

TERMS = (
    *("parcel", "handling", "lane", "distance", "waiting"),
    *("late", "early", "priority", "opportunity", "shortage"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "whatif", timeout_seconds=600.0)(whatif)


async def whatif(
    session: Session,
    *,
    profiles: Annotated[
        list[str] | None, typer.Argument(metavar="[PROFILE]...", help="Profiles to compare: web, or web@3.")
    ] = None,
    active: Annotated[
        bool, typer.Option("--active", help="First of them, those that are active now, or none where none is.")
    ] = False,
    orders: Annotated[
        str,
        typer.Option(metavar="FILE", help="Orders to source: CSV as of `wave plan`, or JSON; - for stdin."),
    ] = "",
    day: Annotated[str, typer.Option(help="The stock with which this UTC day began, and its orders.")] = "",
    recent_days: Annotated[
        int, typer.Option("--recent-days", min=0, max=365, help="Draw orders from those of so many days. Default: 7.")
    ] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many orders.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same orders.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw parcels, costs and units filled; needs matplotlib.")
    ] = None,
) -> None:
    """Compare sourcing profiles: the same orders under each, on a copy of the stock. Nothing is written.

    Example: invengine whatif cheap quick@2 --day 2026-11-20
    """
    from invengine.cli.plots import PlotMissing, check_plot, plot_what_if
    from invengine.client import as_date
    from invengine.v1.whatif_pb2 import WhatIfRequest

    chosen = [*([""] if active else []), *(profiles or [])]
    if not chosen:
        fail_usage("Name profiles to compare, or say --active.")
    if orders and recent_days:
        fail_usage("Either --orders or --recent-days: orders come from one of them.")
    if plot is not None:
        try:
            check_plot()
        except PlotMissing as missing:
            fail_usage(str(missing))
    draws = WhatIfRequest.ORDERS_FROM_RECENT if recent_days else WhatIfRequest.ORDERS_FROM_UNSPECIFIED
    answer = await session.client.what_if(
        chosen,
        orders=_orders(orders, session.channel) if orders else (),
        day=as_date(day_of(day, "--day")) if day else None,
        orders_from=draws,
        orders_max=limit,
        recent_days=recent_days,
        seed=seed,
    )
    if plot is not None:
        try:
            plot_what_if(plot, [_name(result) for result in answer.results], list(answer.results))
        except OSError as fault:
            fail_usage(f"{plot}: {problem_of(fault)}")
    if session.json:
        show_json(as_json(answer))
        return
    _show(answer)
    say(f"{answer.orders} orders on the stock of {instant(answer.stock_time)}.")
    if answer.orders_left_out:
        say(f"{answer.orders_left_out} more were made that day: raise --limit.")


def _orders(file: str, channel: str) -> list[WhatIfOrder]:
    """The orders of a file; the command ends where one cannot be read, with its line."""
    from invengine.cli.what_if_file import read_orders

    try:
        return read_orders(file, channel)
    except WaveFileFault as fault:
        fail_usage(str(fault))


def _show(answer: WhatIfResponse) -> None:
    """Measures below each other, profiles side by side; then the stock of each location."""
    results = list(answer.results)
    names = [_name(result) for result in results]
    rows: list[list[Cell]] = [
        ["orders that got everything", *(one.orders_whole for one in results)],
        ["orders that got a part", *(one.orders_in_part for one in results)],
    ]
    for reason in sorted({refused.reason for one in results for refused in one.refused}):
        counts = [sum(refused.orders for refused in one.refused if refused.reason == reason) for one in results]
        rows.append([f"orders refused: {_reason(reason)}", *counts])
    rows += [
        ["lines late", *(one.late_lines for one in results)],
        ["units unfilled", *(one.unfilled_units for one in results)],
        ["units filled, %", *(f"{100 * filled(one):.1f}" for one in results)],
        ["parcels", *(one.parcels for one in results)],
        ["cost", *(money(one.costs.total) for one in results)],
    ]
    for term in TERMS:
        amounts = [getattr(one.costs, term) for one in results]
        if any(amount.units or amount.nanos for amount in amounts):
            rows.append([f"cost: {term}", *map(money, amounts)])
    if any(one.unproved_orders for one in results):
        rows.append(["orders with no proof of the best plan", *(one.unproved_orders for one in results)])
    table(("measure", *names), rows)
    stock = [{one.location: one for one in result.stock} for result in results]
    table(
        ("location", "free", *names),
        [
            [location, its.free, *(of_profile[location].left for of_profile in stock)]
            for location, its in (stock[0].items() if stock else ())
        ],
    )


def filled(result: WhatIfResult) -> float:
    """The share of the units wanted that could be had; 1 where none were wanted."""
    return 1 - result.unfilled_units / result.units if result.units else 1.0


def _name(result: WhatIfResult) -> str:
    return result.profile or "active"


def _reason(number: int) -> str:
    from invengine.v1.common_pb2 import ErrorReason

    return word(ErrorReason.Name(number), "ERROR_REASON_")  # type: ignore[arg-type]  # enums are numbers on the wire
