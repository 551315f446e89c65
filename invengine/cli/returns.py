"""Commands of returns: units that left and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.movement_file import moment
from invengine.cli.output import fail_usage, say, show_json, table, tell
from invengine.cli.render import as_json, instant
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.return_service_pb2 import DisposalLine, ListReturnsResponse, Return, ReturnLineRequest

app = typer.Typer(help="Units that left and come back: receive, dispose, show, list.", no_args_is_help=True)

_PAGE = 1000
_CONDITIONS = ("SELLABLE", "QUARANTINE", "DAMAGED")

Id = Annotated[str, typer.Argument(metavar="ID", help="The return.")]
Reason = Annotated[str, typer.Option(help="Why.")]


@command(app, "receive")
async def receive(
    session: Session,
    *,
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="SKU QUANTITY[=CONDITION]...",
            help="What came back; CONDITION is sellable, quarantine, damaged or a state. Default: --condition.",
        ),
    ],
    location: Annotated[str, typer.Option(help="Where the units are.")],
    condition: Annotated[str, typer.Option(help="Of what does not say it itself.")] = "quarantine",
    reservation: Annotated[str, typer.Option(metavar="ID", help="The reservation by which they left.")] = "",
    order: Annotated[str, typer.Option(help="The order by which they left.")] = "",
    reason: Reason = "",
    return_id: Annotated[str, typer.Option(metavar="ID", help="The id to give it.")] = "",
    occurred_at: Annotated[str, typer.Option(metavar="ISO-8601", help="When they came back; default: now.")] = "",
    request_id: RequestId = "",
) -> None:
    """Take units back; with --reservation or --order never more than left by it. Any channel may, at any location.

    Example: invengine return receive LAMP 1=sellable CHAIR 2=damaged --location LON1 --order 1001 --channel till
    """
    try:
        happened = moment(occurred_at)
    except ValueError:
        fail_usage(f"--occurred-at: {occurred_at!r} is not an instant such as 2026-01-31T09:30:00Z")
    answer = await session.client.receive_return(
        _returned_lines(items, condition, reason),
        location,
        return_id=return_id,
        reservation_id=reservation,
        order_ref=order,
        occurred_at=happened,
        channel=session.needs_channel(),
        request_id=request_id,
    )
    if session.json:
        show_json(as_json(answer))
        return
    _show(getattr(answer, "return"), answer.replayed)


@command(app, "dispose")
async def dispose(
    session: Session,
    *,
    return_id: Id,
    restock: Annotated[
        list[str] | None, typer.Option(metavar="LINE[=QUANTITY]", help="Units that can be sold again; may repeat.")
    ] = None,
    scrap: Annotated[
        list[str] | None, typer.Option(metavar="LINE[=QUANTITY]", help="Units that are gone; may repeat.")
    ] = None,
    move: Annotated[
        list[str] | None, typer.Option(metavar="LINE[=QUANTITY]@STATE", help="Units for another state; may repeat.")
    ] = None,
    reason: Reason = "",
    request_id: RequestId = "",
) -> None:
    """Decide about units that came back and cannot be sold; without a quantity about all of the line that are open.

    Example: invengine return dispose 5f0c... --restock 1=2 --scrap 1 --channel till
    """
    lines = [
        *(_disposal(text, "--restock", "RESTOCK", reason) for text in restock or ()),
        *(_disposal(text, "--move", "MOVE", reason) for text in move or ()),
        *(_disposal(text, "--scrap", "SCRAP", reason) for text in scrap or ()),
    ]
    if not lines:
        fail_usage("Say what becomes of which line: --restock LINE, --move LINE@STATE or --scrap LINE.")
    answer = await session.client.dispose_return(
        return_id, lines, channel=session.needs_channel(), request_id=request_id
    )
    if session.json:
        show_json(as_json(answer))
        return
    _show(getattr(answer, "return"), answer.replayed)


@command(app, "show")
async def show(session: Session, return_id: Id) -> None:
    """Print one return as it is now.

    Example: invengine return show 5f0c... --channel till
    """
    answer = await session.client.get_return(return_id, channel=session.needs_channel())
    show_json(as_json(answer)) if session.json else _show(getattr(answer, "return"))


@command(app, "list")
async def list_(
    session: Session,
    *,
    reservation: Annotated[str, typer.Option(metavar="ID", help="Of this reservation.")] = "",
    order: Annotated[str, typer.Option(help="Of this order.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
) -> None:
    """List the returns of a reservation or an order, the oldest first.

    Example: invengine return list --order 1001 --channel till
    """

    async def page(token: str, size: int) -> ListReturnsResponse:
        return await session.client.list_returns(
            reservation_id=reservation,
            order_ref=order,
            channel=session.needs_channel(),
            page_size=min(size, _PAGE),
            page_token=token,
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.returns) < limit:
        following = await page(answer.next_page_token, limit - len(answer.returns))
        answer.returns.extend(following.returns)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    table(
        ("return_id", "create_time", "location", "channel", "quantity", "open", "reservation_id", "order_ref"),
        [
            (
                one.return_id,
                instant(one.create_time),
                one.location,
                one.channel,
                sum(line.quantity for line in one.lines),
                sum(line.open for line in one.lines),
                one.reservation_id,
                one.order_ref,
            )
            for one in answer.returns
        ],
    )
    if answer.next_page_token:
        say("There are more: raise --limit.")


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        fail_usage(f"{what}: {text!r} is not a whole number of units")
    return int(text)


def _returned_lines(items: list[str], condition: str, reason: str) -> list[ReturnLineRequest]:
    """The lines of `SKU QUANTITY[=CONDITION]...`."""
    from invengine.client import ReturnLine

    if len(items) % 2:
        fail_usage("Name a quantity for every SKU: SKU QUANTITY [SKU QUANTITY]...")
    lines = []
    for sku, amount in zip(items[::2], items[1::2], strict=True):
        quantity, _, said = amount.partition("=")
        word = said or condition
        known = word.upper() in _CONDITIONS
        number = ReturnLine.Condition.Value(f"CONDITION_{word.upper() if known else 'UNSPECIFIED'}")
        lines.append(
            ReturnLine(
                sku=sku,
                quantity=_whole(quantity, sku),
                condition=number,
                state="" if known else word,
                reason=reason,
            )
        )
    return lines


def _disposal(text: str, option: str, disposition: str, reason: str) -> DisposalLine:
    """The line of a `LINE[=QUANTITY][@STATE]` option."""
    from invengine.client import DisposalLine

    named, _, state = text.partition("@")
    if (disposition == "MOVE") != bool(state):
        fail_usage(f"{option} {text}: LINE[=QUANTITY]{'@STATE' if disposition == 'MOVE' else ''} is wanted")
    line_id, said, quantity = named.partition("=")
    return DisposalLine(
        line_id=line_id,
        quantity=_whole(quantity, f"{option} {text}") if said else 0,
        disposition=DisposalLine.Disposition.Value(f"DISPOSITION_{disposition}"),
        to_state=state,
        reason=reason,
    )


def _show(returned: Return, replayed: bool = False) -> None:
    """Print a return: a line of facts, a table of what came back and what became of it."""
    parts = [f"return {returned.return_id}", "OPEN" if returned.open else "CLOSED", f"at {returned.location}"]
    parts += [f"channel {returned.channel}"]
    parts += [f"reservation {returned.reservation_id}"] if returned.reservation_id else []
    parts += [f"order {returned.order_ref}"] if returned.order_ref else []
    tell("  ".join(parts))
    table(
        ("line_id", "sku", "quantity", "state", "restocked", "moved", "scrapped", "open", "reason"),
        [
            (
                line.line_id,
                line.sku,
                line.quantity,
                line.state or "sellable",
                line.restocked,
                line.moved,
                line.scrapped,
                line.open,
                line.reason,
            )
            for line in returned.lines
        ],
    )
    if replayed:
        say("This request was answered before; nothing was done now.")
