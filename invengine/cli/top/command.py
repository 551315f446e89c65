"""The command: a screen that lives, or one look for programs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.output import fail_usage, say, show_json, table, tell
from invengine.cli.session import Session, command
from invengine.cli.top import looks
from invengine.cli.top.collector import Collector

MISSING = "The screen needs textual: pip install 'invengine[top]'. One look needs nothing: invengine top --once."


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "top", timeout_seconds=3.0, retry_seconds=0.0)(top)


async def top(
    session: Session,
    *,
    location: Annotated[str, typer.Option(help="Only what happens at this location.")] = "",
    metrics: Annotated[
        str, typer.Option("--metrics", metavar="HOST:PORT", help="Where the server's /metrics is, for lags and rates.")
    ] = "",
    interval_seconds: Annotated[
        float, typer.Option("--interval-seconds", min=0.1, max=60, help="From one look to the next.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end; rates are of one interval.")] = False,
) -> None:
    """Show what happens at the stock now: what runs short, what is busy, which promises broke, how the server is.

    With --channel also what runs low for it. Keys: ? says which.

    Example: invengine top --channel web --metrics 127.0.0.1:9464
    """
    if session.json or once:
        async with Collector(session.client, channel=session.channel, location=location, metrics=metrics) as collector:
            await _print_once(session, collector, interval_seconds)
        return
    try:
        from invengine.cli.top.screen import TopScreen
    except ImportError:
        fail_usage(MISSING)
    async with Collector(session.client, channel=session.channel, location=location, metrics=metrics) as collector:
        await TopScreen(collector, interval_seconds=interval_seconds).run_async()


async def _print_once(session: Session, collector: Collector, interval_seconds: float) -> None:
    first = await collector.look()
    await asyncio.sleep(0 if first.problem else interval_seconds)
    look = await collector.look()
    if session.json:
        show_json(look.as_json())
    else:
        table(looks.RISK_COLUMNS, looks.risk_rows(look), empty="Nothing runs short.")
        tell()
        table(looks.BUSY_COLUMNS, looks.busy_rows(look), empty="Nothing changed.")
        tell()
        table(looks.BROKEN_COLUMNS, looks.broken_rows(look), empty="No promise is broken.")
        for line in looks.server_lines(look):
            say(line)
        if look.metrics:
            tell()
            table(looks.METHOD_COLUMNS, looks.method_rows(look), empty="No method was called.")
    if look.problem:
        say(look.problem)
        raise typer.Exit(ExitCode.UNAVAILABLE)
