"""What is available as it changes: a live table on a terminal, a line per change where the output is piped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.availability import Fulfilment, FulfilmentOption
from invengine.cli.days import shown
from invengine.cli.live import is_live, json_line, lines, live_table
from invengine.cli.output import Cell
from invengine.cli.render import as_json, word
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
    promises: Annotated[
        bool, typer.Option("--promises", help="Tell promises that break, change and are mended, instead of units.")
    ] = False,
    resume_token: Annotated[
        str, typer.Option(metavar="TOKEN", help="Begin with what changed since this token, which --json prints.")
    ] = "",
    seconds: Annotated[
        float | None, typer.Option("--for-seconds", min=0, help="End by itself. Default: on Ctrl-C.")
    ] = None,
) -> None:
    """Show what a channel can take, and every change of it, until Ctrl-C. Outages of the server are waited for.

    With --promises: which promises to customers of the channel are broken, of these SKUs or of all. With --json the
    messages have both.

    Example: invengine watch LAMP --channel web --by-location

    Example: invengine watch --promises --channel web
    """
    messages = session.client.watch(
        skus or (),
        channel=session.needs_channel(),
        locations=location or (),
        group=group,
        fulfilment=fulfilment.to_proto(),
        by_location=by_location,
        levels_only=levels,
        include_promises=promises,
        resume_token=resume_token,
    )
    if session.json:
        told = _follow_json(messages)
    elif promises:
        told = _follow_promises(messages)
    else:
        told = _follow(messages, _columns(by_location=by_location, levels=levels))
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
    with live_table(columns) if is_live() else lines(columns) as show:
        async with aclosing(messages):
            async for message in messages:
                if message.begins_anew:
                    known.clear()
                for change in message.changes:
                    if change.location:
                        known.pop((change.sku, ""), None)  # it had no location until now
                    known[change.sku, change.location] = _row(change, columns)
                show(known, [(change.sku, change.location) for change in message.changes])


async def _follow_promises(messages: AsyncGenerator[pb.WatchAvailabilityResponse, None]) -> None:
    """As `_follow`, of promises; on a terminal those that are mended leave the table."""
    known: dict[tuple[str, str], tuple[Cell, ...]] = {}
    drawn = is_live()
    with live_table(_PROMISE_COLUMNS) if drawn else lines(_PROMISE_COLUMNS) as show:
        async with aclosing(messages):
            async for message in messages:
                if message.promises_begin_anew:
                    known.clear()
                told = {(change.key, ""): change for change in message.promises}
                mended = [key for key, change in told.items() if change.mended and key in known]
                broken = [key for key, change in told.items() if not change.mended]
                known |= {key: _promise_row(told[key]) for key in (*broken, *mended)}
                if not drawn:
                    show(known, [key for key in told if key in known])
                for key in mended:
                    del known[key]
                if drawn:
                    show(known, broken)


_PROMISE_COLUMNS = (
    *("reservation_id", "line_id", "sku", "location", "quantity", "state", "reason"),
    *("promised_delivery_date", "new_delivery_date"),
)


def _promise_row(change: pb.PromiseChange) -> tuple[Cell, ...]:
    """Of a line without a promise of its own, the days of its units: due, and expected."""
    from invengine.v1.incoming_service_pb2 import BrokenPromise

    promise = change.promise
    is_promised = promise.HasField("promised_delivery_date")
    return (
        promise.reservation_id,
        promise.line_id,
        promise.sku,
        promise.location,
        promise.quantity,
        "MENDED" if change.mended else "BROKEN",
        word(BrokenPromise.Reason.Name(promise.reason), "REASON_"),
        shown(promise.promised_delivery_date if is_promised else promise.due_date),
        shown(promise.new_delivery_date if is_promised else promise.expected_date),
    )


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
