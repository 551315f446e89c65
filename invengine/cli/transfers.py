"""Commands of transfers: stock on its way from one location to another."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invengine.cli.broken import show_broken
from invengine.cli.days import day_of, shown
from invengine.cli.movement_file import moment
from invengine.cli.output import fail_usage, say, show_json, table, tell
from invengine.cli.render import as_json, instant, word
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.transfer_service_pb2 import Transfer

app = typer.Typer(
    help="Stock moved between locations: create, ship, receive, cancel, show, list.", no_args_is_help=True
)

_PAGE = 1000

TransferId = Annotated[str, typer.Argument(metavar="TRANSFER", help="Its id.")]
Source = Annotated[str, typer.Option(help="Who says so.")]
ExpectedRevision = Annotated[int | None, typer.Option(min=0, help="Only if the transfer still has this revision.")]


class Side(StrEnum):
    """Which side of a transfer a location is."""

    ANY = "any"
    OUT = "out"
    IN = "in"


class StateOption(StrEnum):
    """States to list."""

    ANY = "any"
    PLANNED = "planned"
    PARTLY_SHIPPED = "partly-shipped"
    IN_TRANSIT = "in-transit"
    CLOSED = "closed"
    CANCELLED = "cancelled"


@command(app, "create")
async def create(
    session: Session,
    *,
    from_location: Annotated[str, typer.Argument(metavar="FROM", help="Where units leave.")],
    to_location: Annotated[str, typer.Argument(metavar="TO", help="Where they go.")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="When they are expected there, such as 2026-12-24.")],
    units: Annotated[list[str], typer.Argument(metavar="SKU=UNITS...", help="What goes: LAMP=4 SOFA=1.")],
    transfer_id: Annotated[str, typer.Option(help="The id to give it; default: the engine makes one.")] = "",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    reference: Annotated[str, typer.Option(help="The document behind it.")] = "",
    source: Source = "cli",
    request_id: RequestId = "",
) -> None:
    """Set units aside at one location until they are shipped to another.

    Example: invengine transfer create DC LON1 2026-12-24 LAMP=4 SOFA=1 --reason "christmas windows"
    """
    answer = await session.client.create_transfer(
        from_location,
        to_location,
        _units(units),
        expected_date=day_of(day, "DAY"),
        transfer_id=transfer_id,
        reason=reason,
        reference=reference,
        source=source,
        request_id=request_id,
    )
    _show_change(session, answer)


@command(app, "ship")
async def ship(
    session: Session,
    *,
    transfer: TransferId,
    line: Annotated[
        list[str] | None, typer.Option(metavar="LINE=UNITS", help="Units of a line; default: all that are open.")
    ] = None,
    day: Annotated[str, typer.Option("--day", help="When these units are expected; default: the transfer's day.")] = "",
    source: Source = "cli",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Say that units left: they are expected at the destination from now on.

    Example: invengine transfer ship t-7 --line 1=3 --day 2026-12-27
    """
    answer = await session.client.ship_transfer(
        transfer,
        _units(line or [], "--line"),
        expected_date=day_of(day, "--day") if day else None,
        source=source,
        expected_revision=expected_revision,
        request_id=request_id,
    )
    _show_change(session, answer)


@command(app, "receive")
async def receive(
    session: Session,
    *,
    transfer: TransferId,
    units: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SKU=UNITS...", help="What arrived; default: all that is on the way (--closes: nothing)."
        ),
    ] = None,
    closes: Annotated[bool, typer.Option("--closes", help="Nothing more will come: the others are lost.")] = False,
    reason: Annotated[str, typer.Option(help="Why units are lost; required with --closes.")] = "",
    occurred_at: Annotated[str, typer.Option(metavar="ISO-8601", help="When they arrived; default: now.")] = "",
    source: Source = "cli",
    request_id: RequestId = "",
) -> None:
    """Take in units that arrived; with --closes, write off those that did not.

    Example: invengine transfer receive t-7 LAMP=3 --closes --reason "one was broken"
    """
    try:
        happened = moment(occurred_at)
    except ValueError:
        fail_usage(f"--occurred-at: {occurred_at!r} is not an instant such as 2026-01-31T09:30:00Z")
    answer = await session.client.receive_transfer(
        transfer,
        _units(units or []),
        closes=closes,
        reason=reason,
        occurred_at=happened,
        source=source,
        request_id=request_id,
    )
    _show_change(session, answer)


@command(app, "cancel")
async def cancel(
    session: Session,
    *,
    transfer: TransferId,
    source: Source = "cli",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Give back what has not left. What is on the way can only arrive or be written off.

    Example: invengine transfer cancel t-7
    """
    answer = await session.client.cancel_transfer(
        transfer, source=source, expected_revision=expected_revision, request_id=request_id
    )
    _show_change(session, answer)


@command(app, "show")
async def show(session: Session, *, transfer: TransferId) -> None:
    """Show one transfer.

    Example: invengine transfer show t-7
    """
    answer = await session.client.get_transfer(transfer)
    if session.json:
        show_json(as_json(answer))
        return
    _show_transfer(answer.transfer)


@command(app, "list")
async def list_(
    session: Session,
    *,
    location: Annotated[str, typer.Option(help="Only from or to this location.")] = "",
    direction: Annotated[Side, typer.Option(help="Whether units leave that location or go to it.")] = Side.ANY,
    state: Annotated[StateOption, typer.Option(help="Only in this state.")] = StateOption.ANY,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
) -> None:
    """List transfers, by id.

    Example: invengine transfer list --location LON1 --direction in --state in-transit
    """
    from invengine.v1 import transfer_service_pb2 as pb

    async def page(token: str, size: int) -> Any:
        sides = {Side.OUT: pb.ListTransfersRequest.DIRECTION_OUT, Side.IN: pb.ListTransfersRequest.DIRECTION_IN}
        name = "UNSPECIFIED" if state is StateOption.ANY else state.name
        return await session.client.list_transfers(
            location=location,
            direction=sides.get(direction, pb.ListTransfersRequest.DIRECTION_UNSPECIFIED),
            state=pb.Transfer.State.Value(f"STATE_{name}"),
            page_size=min(size, _PAGE),
            page_token=token,
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.transfers) < limit:
        following = await page(answer.next_page_token, limit - len(answer.transfers))
        answer.transfers.extend(following.transfers)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    table(
        (
            *("transfer_id", "state", "from_location", "to_location"),
            *("planned", "in_transit", "expected_date", "reference"),
        ),
        [
            (
                each.transfer_id,
                _state(each),
                each.from_location,
                each.to_location,
                sum(line.planned for line in each.lines),
                sum(line.in_transit for line in each.lines),
                max((shown(line.expected_date) for line in each.lines), default=""),
                each.reference,
            )
            for each in answer.transfers
        ],
    )
    if answer.next_page_token:
        say("There are more: raise --limit.")


def _units(texts: Sequence[str], what: str = "SKU=UNITS") -> dict[str, int]:
    """`LAMP=4` and so on, as units by name; else the command ends."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, units = text.rpartition("=")
        if not name or not units.isascii() or not units.isdigit() or name in found:
            fail_usage(f"{what}: {text!r} is not a name and units such as LAMP=4, each name once")
        found[name] = int(units)
    return found


def _state(transfer: Transfer) -> str:
    from invengine.v1 import transfer_service_pb2 as pb

    return word(pb.Transfer.State.Name(transfer.state), "STATE_")


def _show_transfer(transfer: Transfer) -> None:
    parts = [transfer.transfer_id, _state(transfer), f"from {transfer.from_location} to {transfer.to_location}"]
    parts += [f"{name} {value}" for name, value in (("by", transfer.source), ("for", transfer.reference)) if value]
    parts += [f"since {instant(transfer.create_time)}", f"revision {transfer.revision}"]
    tell("  ".join(parts))
    if transfer.reason:
        tell(f"Reason: {transfer.reason}")
    table(
        (
            *("line_id", "sku", "quantity", "planned", "shipped", "cancelled", "in_transit"),
            *("pegged", "expected_date"),
        ),
        [
            (
                line.line_id,
                line.sku,
                line.quantity,
                line.planned,
                line.shipped,
                line.cancelled,
                line.in_transit,
                line.pegged,
                shown(line.expected_date),
            )
            for line in transfer.lines
        ],
    )


def _show_change(session: Session, answer: Any) -> None:
    if session.json:
        show_json(as_json(answer))
        return
    _show_transfer(answer.transfer)
    broken = getattr(answer, "broken_promises", ())
    if broken:
        say(f"This broke {len(broken)} promise{'' if len(broken) == 1 else 's'}:")
        show_broken(broken)
    if answer.replayed:
        say("This request was answered before; nothing was done now.")
