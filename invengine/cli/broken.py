"""The commands about promises that cannot be kept: list them, mend them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invengine.cli.days import shown
from invengine.cli.outcomes import say_results
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json, word
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.incoming_service_pb2 import BrokenPromise
    from invengine.v1.promise_service_pb2 import ListBrokenPromisesResponse, RepromiseResponse

_PAGE: Final = 1000

Sku = Annotated[str, typer.Option(help="Only of this SKU.")]
Location = Annotated[str, typer.Option(help="Only at this location.")]
Receipt = Annotated[str, typer.Option(help="Only of units that are or were pegged to this receipt.")]
OfChannel = Annotated[str, typer.Option(metavar="CHANNEL", help="Only of reservations of this channel.")]
Customer = Annotated[str, typer.Option(help="Only of this customer.")]
Order = Annotated[str, typer.Option(help="Only of this order.")]
Reason = Annotated[
    str,
    typer.Option(
        metavar="REASON",
        help="Only those that broke this way: slipped, shortened, cancelled, shortfall, location-closed, "
        "calendar-changed.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "broken", timeout_seconds=60.0)(broken)
    command(app, "repromise", timeout_seconds=120.0)(repromise)


async def broken(
    session: Session,
    *,
    sku: Sku = "",
    location: Location = "",
    receipt: Receipt = "",
    of_channel: OfChannel = "",
    customer: Customer = "",
    order: Order = "",
    reservation: Annotated[str, typer.Option(metavar="ID", help="Only of this reservation.")] = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
) -> None:
    """List promises that cannot be kept as things stand, with the day that was promised and the day that would do now.

    Example: invengine broken --location LON1 --reason slipped
    """
    which = _filter(
        sku=sku,
        location=location,
        receipt_id=receipt,
        channel=of_channel,
        customer_ref=customer,
        order_ref=order,
        reason=reason,
    )

    async def page(token: str, size: int) -> ListBrokenPromisesResponse:
        return await session.client.list_broken_promises(
            **which, reservation_id=reservation, page_size=min(size, _PAGE), page_token=token
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.broken_promises) < limit:
        following = await page(answer.next_page_token, limit - len(answer.broken_promises))
        answer.broken_promises.extend(following.broken_promises)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    show_broken(answer.broken_promises)
    if answer.next_page_token:
        say("There are more: raise --limit.")


async def repromise(
    session: Session,
    *,
    reservations: Annotated[
        list[str] | None, typer.Argument(metavar="[RESERVATION]...", help="These reservations; else all that match.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Accept the days that would do now.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move lines to where the day is kept, or a better one.")] = False,
    sku: Sku = "",
    location: Location = "",
    receipt: Receipt = "",
    of_channel: OfChannel = "",
    customer: Customer = "",
    order: Order = "",
    reason: Reason = "",
    everything: Annotated[bool, typer.Option("--all", help="All broken promises, without a filter.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would be done.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines to deal with, at most.")] = 1000,
    request_id: RequestId = "",
) -> None:
    """Mend broken promises, line by line: accept other days, or move units; each line says what became of it.

    Example: invengine repromise --move --receipt po-1 --dry-run
    """
    if keep == move:
        fail_usage("Say what is to be done: either --keep or --move.")
    which = _filter(
        sku=sku,
        location=location,
        receipt_id=receipt,
        channel=of_channel,
        customer_ref=customer,
        order_ref=order,
        reason=reason,
    )
    if not reservations and not any(which.values()) and not everything:
        fail_usage("Name reservations or filters, or say --all.")
    answer = await session.client.repromise(
        move=move,
        reservation_ids=reservations or (),
        dry_run=dry_run,
        lines_max=limit,
        request_id=request_id,
        **which,
    )
    if session.json:
        show_json(as_json(answer))
        return
    _show_outcomes(answer)
    results = (type(one).Result.Name(one.result) for one in answer.outcomes)
    say_results(results, "nothing is broken", dry_run=dry_run, has_more=answer.has_more)


def show_broken(promises: Iterable[BrokenPromise]) -> None:
    """Print broken promises as a table."""
    table(
        (
            *("reservation_id", "line_id", "sku", "location", "quantity", "reason"),
            *("receipt_id", "due_date", "expected_date", "promised_delivery_date", "new_delivery_date"),
        ),
        [
            (
                p.reservation_id,
                p.line_id,
                p.sku,
                p.location,
                p.quantity,
                word(type(p).Reason.Name(p.reason), "REASON_"),
                p.receipt_id,
                shown(p.due_date),
                shown(p.expected_date),
                shown(p.promised_delivery_date),
                shown(p.new_delivery_date),
            )
            for p in promises
        ],
    )


def _show_outcomes(answer: RepromiseResponse) -> None:
    from invengine.v1.incoming_service_pb2 import BrokenPromise

    table(
        (
            *("reservation_id", "line_id", "sku", "quantity", "result", "reason"),
            *("promised_delivery_date", "new_delivery_date", "delivery_date"),
            *("from_locations", "to_locations", "refusal"),
        ),
        [
            (
                one.reservation_id,
                one.line_id,
                one.sku,
                one.quantity,
                word(type(one).Result.Name(one.result), "RESULT_"),
                word(BrokenPromise.Reason.Name(one.reason), "REASON_") if one.reason else "",
                shown(one.promised_delivery_date),
                shown(one.new_delivery_date),
                shown(one.delivery_date),
                " ".join(one.from_locations),
                " ".join(one.to_locations),
                one.refusal.message,
            )
            for one in answer.outcomes
        ],
        empty="",
    )


def _filter(*, reason: str, **texts: str) -> dict[str, Any]:
    """The filters as the client takes them."""
    return {**texts, "reason": _reason(reason) if reason else 0}


def _reason(name: str) -> int:
    from invengine.v1.incoming_service_pb2 import BrokenPromise

    found = BrokenPromise.Reason.DESCRIPTOR.values_by_name.get("REASON_" + name.upper().replace("-", "_"))
    if found is None or not found.number:
        known = [value.name.removeprefix("REASON_").lower() for value in BrokenPromise.Reason.DESCRIPTOR.values[1:]]
        fail_usage(f"--reason: {name!r} is none of {', '.join(known).replace('_', '-')}")
    return int(found.number)
