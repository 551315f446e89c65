"""Commands of snapshots: what a location had at an instant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.movement_file import BadRow, FileUnreadable, moment
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json
from invengine.cli.session import Session, command
from invengine.cli.snapshot_file import read_order_refs, read_rows

if TYPE_CHECKING:
    from invengine.client import SnapshotRow
    from invengine.v1.stock_service_pb2 import ApplySnapshotResponse

app = typer.Typer(help="What a location had at an instant.", no_args_is_help=True)

_LISTED: Final = 20
_PLACE: Final = re.compile(r"rows\[(\d+)\]\.(\w+)")


@command(app, "apply", timeout_seconds=600.0, retry_seconds=60.0)
async def apply(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header line: sku, quantity, where wanted state.")],
    location: Annotated[str, typer.Option(help="The location that it is of.")],
    as_of: Annotated[str, typer.Option(metavar="ISO-8601", help="The instant that it is of.")],
    source: Annotated[str, typer.Option(help="Who reports it.")],
    snapshot_id: Annotated[
        str, typer.Option(help="The source's own id: sent again, it changes nothing. Default: the instant.")
    ] = "",
    contains_orders: Annotated[
        Path | None, typer.Option(help="Order references, one a line, whose units the file has left out already.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="What is not listed stays as it is.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the files.")] = False,
) -> None:
    """Set what a location had at an instant; what moved after it stays on top. What is not listed was not there.

    Bad rows are named with their column; then nothing is sent. An interrupted one is sent again as it is and goes on.

    Example: invengine snapshot apply stock.csv --location AMS1 --as-of 2026-01-31T22:00:00Z --source erp
    """
    from invengine.errors import InvalidArgument

    try:
        instant = moment(as_of)
    except ValueError:
        instant = None
    if instant is None:
        fail_usage(f"--as-of: {as_of!r} is not an instant such as 2026-01-31T22:00:00Z")
    try:
        read = list(read_rows(file))
        order_refs = read_order_refs(contains_orders) if contains_orders else []
    except FileUnreadable as error:
        fail_usage(str(error))
    bad = [str(entry) for _, entry in read if isinstance(entry, BadRow)]
    rows: list[SnapshotRow] = [entry for _, entry in read if not isinstance(entry, BadRow)]
    _list(bad)
    if bad:
        say(f"Nothing was sent: {len(bad)} bad row{'' if len(bad) == 1 else 's'}.")
        raise typer.Exit(ExitCode.USAGE)
    if dry_run:
        told = {"rows": len(rows), "orders": len(order_refs)}
        if session.json:
            show_json(told)
        else:
            table(tuple(told), [tuple(told.values())])
        say("Nothing was sent: this was a dry run.")
        return
    try:
        answer = await session.client.apply_snapshot(
            location,
            rows,
            as_of=instant,
            source=source,
            snapshot_id=snapshot_id,
            contains_order_refs=order_refs,
            partial=partial,
        )
    except InvalidArgument as error:
        place = _PLACE.fullmatch(error.field)
        if place is None:
            raise
        raise InvalidArgument(f"row {read[int(place[1])][0]}, column {place[2]}", error.problem) from None
    _show(session, answer)
    if answer.refused or any(units.HasField("refusal") for units in answer.left_open):
        raise typer.Exit(ExitCode.REFUSED)


def _show(session: Session, answer: ApplySnapshotResponse) -> None:
    from invengine.client import error_from_refusal

    if session.json:
        show_json(as_json(answer))
    else:
        names = ("applied", "repeated", "ignored", "refused", "zeroed", "fulfilled", "shortfalls")
        table(names, [tuple(getattr(answer, name) for name in names)])
    _list([f"{row.sku}: {error_from_refusal(row.refusal)}" for row in answer.refused_rows])
    _list([f"{p.sku}: {p.reserved} reserved, {p.on_hand} on hand" for p in answer.shortfall_positions])
    _list(
        [
            f"order {units.order_ref}, reservation {units.reservation_id}: {units.quantity} {units.sku} stay open, "
            + (str(error_from_refusal(units.refusal)) if units.HasField("refusal") else "they are not on hand")
            for units in answer.left_open
        ]
    )
    if answer.unknown_orders:
        say(
            f"No reservation is known of {answer.unknown_orders} of the orders, such as {answer.unknown_order_refs[0]}."
        )


def _list(problems: list[str]) -> None:
    for problem in problems[:_LISTED]:
        say(problem)
    if len(problems) > _LISTED:
        say(f"... and {len(problems) - _LISTED} more")
