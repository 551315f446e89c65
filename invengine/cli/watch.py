"""What is available as it changes: a live table on a terminal, a line per change where the output is piped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.availability import Fulfilment, FulfilmentOption
from invengine.cli.live import json_line, lines, live_table
from invengine.cli.render import Cell, as_json, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1 import availability_service_pb2 as pb


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "watch")(watch)


async def watch(
    session: Session,
    *,
    skus: Annotated[
        list[str] | None, typer.Argument(metavar="[SKU]...", help="What to watch; all that is stocked when left out.")
    ] = None,
    location: Annotated[list[str] | None, typer.Option("--location", help="Only this location; may repeat.")] = None,
    group: Annotated[str, typer.Option(help="Only the locations of this group.")] = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    by_location: Annotated[bool, typer.Option("--by-location", help="Tell each location instead of totals.")] = False,
    levels: Annotated[bool, typer.Option("--levels", help="Tell only when the level changes.")] = False,
    resume: Annotated[
        str, typer.Option(metavar="TOKEN", help="Begin with what changed since this token, which --json prints.")
    ] = "",
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="End by itself. Default: on Ctrl-C.")
    ] = None,
) -> None:
    """Show what a channel can take, and every change of it, until Ctrl-C. Outages of the server are waited for.

    Example: invengine watch LAMP --channel web --by-location
    """
    messages = session.client.watch(
        skus or (),
        channel=session.needs_channel(),
        locations=location or (),
        group=group,
        fulfilment=fulfilment.to_proto(),
        by_location=by_location,
        levels_only=levels,
        resume_token=resume,
    )
    columns = _columns(by_location=by_location, levels=levels)
    told = _follow_json(messages) if session.json else _follow(messages, columns)
    with suppress(TimeoutError, asyncio.CancelledError):  # Ctrl-C cancels: the ordinary end of a watch
        async with asyncio.timeout(seconds):
            await told


def _columns(*, by_location: bool, levels: bool) -> tuple[str, ...]:
    return ("sku", *(("location",) if by_location else ()), *(() if levels else ("available",)), "level")


async def _follow_json(messages: AsyncGenerator[pb.WatchAvailabilityResponse, None]) -> None:
    """Each message as one line of JSON."""
    async with aclosing(messages):
        async for message in messages:
            json_line(as_json(message))


async def _follow(messages: AsyncGenerator[pb.WatchAvailabilityResponse, None], columns: tuple[str, ...]) -> None:
    """Drawn on a terminal as a table that changes; else a line per change, its values separated by TAB."""
    known: dict[tuple[str, str], tuple[Cell, ...]] = {}
    with live_table(columns) if sys.stdout.isatty() else lines(columns) as show:
        async with aclosing(messages):
            async for message in messages:
                if message.begins_anew:
                    known.clear()
                for change in message.changes:
                    if change.location:
                        known.pop((change.sku, ""), None)  # it had no location until now
                    known[change.sku, change.location] = _row(change, columns)
                show(known, [(change.sku, change.location) for change in message.changes])


def _row(change: pb.AvailabilityChange, columns: tuple[str, ...]) -> tuple[Cell, ...]:
    from invengine.v1 import availability_service_pb2 as pb

    level = word(pb.Level.Name(change.level), "LEVEL_")
    if change.status == pb.AVAILABILITY_STATUS_UNKNOWN_SKU:
        level = "UNKNOWN_SKU"
    values: dict[str, Cell] = {
        "sku": change.sku,
        "location": change.location,
        "available": change.available,
        "level": level,
    }
    return tuple(values[column] for column in columns)
