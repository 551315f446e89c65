"""The command that loads a history of sales as a retailer would: through the public API, as the channels that sold."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.file_faults import problem_of
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.cli.loading.plan import Plan
    from invengine.cli.loading.replay import Replay, Tally
    from invengine.v1.admin_service_pb2 import CheckIntegrityResponse

_LANES = 4
_PROBE = 100
_PATIENCE_SECONDS = 60.0  # a server that restarts meanwhile is waited for


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "load", timeout_seconds=120.0, retry_seconds=_PATIENCE_SECONDS)(load)


async def load(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(help="The history: CSV, plain or gzip.")],
    format_name: Annotated[
        str, typer.Option("--format", help="What kind of file it is: online-retail.")
    ] = "online-retail",
    locations: Annotated[
        int, typer.Option(min=1, max=999, help="Places of the network that is made: 2 warehouses, then stores.")
    ] = 40,
    scale: Annotated[
        str, typer.Option(help="Opening stock as a part of what the history needs; below 1 things run out.")
    ] = "1",
    speed: Annotated[float, typer.Option(min=0, help="Times real time; 0: as fast as possible.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last acknowledged row.")] = False,
    state_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to remember that row; default: the user's state folder.")
    ] = None,
    replace_network: Annotated[
        bool, typer.Option("--replace-network", help="Put the history's network in place of another one in force.")
    ] = False,
) -> None:
    """Load a history of sales: make its network, open its stock, then replay every event in the order of the file.

    Each event has an id made of its document and row: run again, or after an interruption, nothing is done twice.

    Example: invengine load online_retail.csv.gz --format online-retail --locations 40
    """
    from invengine.cli.formats import FORMATS, HistoryFault
    from invengine.cli.loading.plan import make_plan, network_document
    from invengine.cli.loading.progress import Ledger, content_hash, shown, state_path
    from invengine.cli.loading.replay import Replay

    form = FORMATS.get(format_name)
    if form is None:
        fail_usage(f"--format: {format_name!r} is not known; there is {', '.join(FORMATS)}.")
    part = _decimal(scale)
    started = time.perf_counter()
    try:
        plan = make_plan(form, form.events(file), locations=locations, lanes=min(_LANES, locations))
        identity = f"{content_hash(file)} {form.name} {locations} {part} {session.client.server}"
    except HistoryFault as fault:
        fail_usage(str(fault))
    except OSError as fault:
        fail_usage(f"{file}: {problem_of(fault)}")
    read_seconds = time.perf_counter() - started
    say(f"{plan.events} events, {len(plan.openings)} positions, {len(plan.locations)} locations.")
    await _apply_network(session, network_document(plan.locations, form.channels), replace=replace_network)

    ledger = Ledger(state_file or state_path(identity), identity)
    replay = Replay(session.client, form.name, scale=part, speed=speed)
    openings = replay.openings(plan)
    from_row = ledger.read() if resume else 1
    started = time.perf_counter()
    with shown("Opening stock", len(openings)) as shows:
        if from_row > 1:  # a few of what was posted then: a store that does not know them is another one
            await replay.open_positions(openings[:_PROBE], shows)
            if replay.opened.applied:
                say("This store was not loaded before, whatever the state file says: starting from the first row.")
                from_row = 1
                await replay.open_positions(openings[_PROBE:], shows)
        else:
            await replay.open_positions(openings, shows)
    opened_seconds = time.perf_counter() - started
    started = time.perf_counter()
    try:
        with shown("Events", plan.events) as shows:
            await replay.run(plan, ledger, shows, from_row=from_row)
    except asyncio.CancelledError:
        say(f"{replay.replayed.applied} events were applied. The same command with --resume goes on from there.")
        raise
    replayed_seconds = time.perf_counter() - started
    check = await session.client.check_integrity()
    seconds = {"reading": read_seconds, "opening": opened_seconds, "replaying": replayed_seconds}
    _report(session, plan, replay, seconds, check)


def _decimal(text: str) -> Decimal:
    try:
        scale = Decimal(text)
    except InvalidOperation:
        scale = Decimal(-1)
    if not scale.is_finite() or not 0 <= scale <= 1000:
        fail_usage(f"--scale: {text!r} is not a number from 0 to 1000.")
    return scale


async def _apply_network(session: Session, document: str, *, replace: bool) -> None:
    """Put the network in force, but not silently in place of another one."""
    from invengine.errors import NetworkMissing

    try:
        in_force = await session.client.get_network()
    except NetworkMissing:
        await session.client.apply_network(document, expected_revision=0)
        return
    if in_force.document == document:
        return
    if not replace:
        say("Another network is in force. Use a new data folder, or allow it with --replace-network.")
        raise typer.Exit(ExitCode.REFUSED)
    await session.client.apply_network(document, expected_revision=in_force.revision)


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "applied": tally.applied,
        "repeated": tally.repeated,
        "refused": dict(sorted(tally.refused.items())),
    }


def _report(
    session: Session, plan: Plan, replay: Replay, seconds: dict[str, float], check: CheckIntegrityResponse
) -> None:
    done = replay.replayed
    posted = done.applied + done.repeated + done.refused.total()
    per_second = posted / seconds["replaying"] if seconds["replaying"] else 0.0
    if session.json:
        show_json(
            {
                "events": plan.events,
                "posted": posted,
                "skipped": plan.events - posted,
                **_tally(done),
                "orders": done.orders,
                "openings": _tally(replay.opened),
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                "eventsPerSecond": round(per_second),
                "check": as_json(check),
            }
        )
    else:
        rows: list[tuple[str, int | str]] = [
            ("events of the history", plan.events),
            ("acknowledged by an earlier run", plan.events - posted),
            ("applied", done.applied),
            ("repeated", done.repeated),
            *((f"refused: {reason}", count) for reason, count in sorted(done.refused.items())),
            ("orders reserved, confirmed, fulfilled", done.orders),
            ("opening receipts applied", replay.opened.applied),
            ("opening receipts repeated", replay.opened.repeated),
            ("events a second", round(per_second)),
            ("seconds of reading the file", f"{seconds['reading']:.1f}"),
            ("seconds of opening stock", f"{seconds['opening']:.1f}"),
            ("seconds of replaying", f"{seconds['replaying']:.1f}"),
            ("violations found by the check", check.violations_count),
        ]
        table(("measure", "value"), rows)
    if check.violations_count:
        raise typer.Exit(ExitCode.FAILURE)
