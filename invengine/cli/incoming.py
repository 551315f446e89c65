"""Commands of what is expected: receipts set, moved, cancelled, taken in, listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invengine.cli.availability import Fresh, consistency_of
from invengine.cli.broken import show_broken
from invengine.cli.days import day_of, shown
from invengine.cli.movement_file import moment
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.incoming_service_pb2 import BrokenPromise, Receipt

app = typer.Typer(help="Stock that is expected: set, slip, cancel, receive, list.", no_args_is_help=True)

_PAGE = 1000

ReceiptId = Annotated[str, typer.Argument(metavar="RECEIPT", help="The reference of what brings it: an order, say.")]
Sku = Annotated[str, typer.Argument(metavar="SKU")]
Location = Annotated[str, typer.Argument(metavar="LOCATION")]
Day = Annotated[str, typer.Argument(metavar="DAY", help="The day at the location, such as 2026-12-24.")]
Source = Annotated[str, typer.Option(help="Who says so.")]
ExpectedRevision = Annotated[int | None, typer.Option(min=0, help="Only if the receipt still has this revision.")]


@command(app, "set")
async def set_(
    session: Session,
    *,
    receipt: ReceiptId,
    sku: Sku,
    location: Location,
    quantity: Annotated[int, typer.Argument(help="Units still expected.")],
    day: Day,
    source: Source = "cli",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Say what a receipt brings and when, anew or instead of what was said before.

    Example: invengine incoming set po-7 LAMP AMS1 40 2026-12-24
    """
    answer = await session.client.set_incoming(
        receipt,
        sku,
        location,
        quantity=quantity,
        expected_date=day_of(day, "DAY"),
        source=source,
        expected_revision=expected_revision,
        request_id=request_id,
    )
    _show_change(session, answer, [answer.receipt])


@command(app, "slip")
async def slip(
    session: Session,
    *,
    receipt: ReceiptId,
    sku: Sku,
    location: Location,
    day: Day,
    source: Source = "cli",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Move a receipt to another day, later or earlier; promises that it breaks are printed.

    Example: invengine incoming slip po-7 LAMP AMS1 2026-12-31
    """
    answer = await session.client.slip_incoming(
        receipt,
        sku,
        location,
        expected_date=day_of(day, "DAY"),
        source=source,
        expected_revision=expected_revision,
        request_id=request_id,
    )
    _show_change(session, answer, [answer.receipt])


@command(app, "cancel")
async def cancel(
    session: Session,
    *,
    receipt: ReceiptId,
    sku: Sku,
    location: Location,
    source: Source = "cli",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Say that nothing more of a receipt will come; promises that it breaks are printed.

    Example: invengine incoming cancel po-7 LAMP AMS1
    """
    answer = await session.client.cancel_incoming(
        receipt, sku, location, source=source, expected_revision=expected_revision, request_id=request_id
    )
    _show_change(session, answer, [])


@command(app, "receive")
async def receive(
    session: Session,
    *,
    receipt: ReceiptId,
    sku: Annotated[str, typer.Argument(metavar="[SKU", help="Default: everything of the receipt, as expected.")] = "",
    location: Annotated[str, typer.Argument(metavar="LOCATION")] = "",
    quantity: Annotated[
        int, typer.Argument(metavar="QUANTITY]", help="Units that arrived: more, fewer or as many as expected.")
    ] = -1,
    closes: Annotated[bool, typer.Option("--closes", help="Nothing more of this receipt will come.")] = False,
    occurred_at: Annotated[str, typer.Option(metavar="ISO-8601", help="When they arrived; default: now.")] = "",
    source: Source = "cli",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Take in units of a receipt: they are on hand, and those that were promised are reserved, in one step.

    Example: invengine incoming receive po-7 LAMP AMS1 40
    """
    if sku and quantity < 0:
        fail_usage("SKU, LOCATION and QUANTITY go together; without them everything of the receipt is taken in")
    try:
        happened = moment(occurred_at)
    except ValueError:
        fail_usage(f"--occurred-at: {occurred_at!r} is not an instant such as 2026-01-31T09:30:00Z")
    if not sku:
        if expected_revision is not None or closes:
            fail_usage("--closes and --expected-revision need a SKU")
        await _receive_all(session, receipt, {"occurred_at": happened, "source": source}, request_id)
        return
    answer = await session.client.receive_incoming(
        receipt,
        sku,
        location,
        quantity=quantity,
        closes=closes,
        occurred_at=happened,
        source=source,
        expected_revision=expected_revision,
        request_id=request_id,
    )
    if not session.json:
        table(("sku", "location", "on_hand", "reserved"), [(sku, location, answer.on_hand, answer.reserved)])
    _show_change(session, answer, [answer.receipt] if answer.HasField("receipt") else [])


@command(app, "list")
async def list_(
    session: Session,
    *,
    sku: Annotated[str, typer.Option(help="Only of this SKU.")] = "",
    location: Annotated[str, typer.Option(help="Only at this location.")] = "",
    receipt: Annotated[str, typer.Option(help="Only of this reference.")] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose day is over.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    fresh: Fresh = "",
) -> None:
    """List open receipts, by day.

    Example: invengine incoming list --sku LAMP --overdue
    """

    async def page(token: str, size: int) -> Any:
        return await session.client.list_incoming(
            sku=sku,
            location=location,
            receipt_id=receipt,
            overdue_only=overdue,
            page_size=min(size, _PAGE),
            page_token=token,
            consistency=consistency_of(fresh),
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.receipts) < limit:
        following = await page(answer.next_page_token, limit - len(answer.receipts))
        answer.receipts.extend(following.receipts)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    show_receipts(answer.receipts)
    if answer.next_page_token:
        say("There are more: raise --limit.")


async def _receive_all(session: Session, receipt: str, how: dict[str, Any], request_id: str) -> None:
    """Take in everything that is open of a receipt, SKU by SKU: each is a step, so a cut call goes on when repeated."""
    from invengine.client import new_request_id
    from invengine.errors import ReceiptNotFound

    request_id = request_id or new_request_id()
    listed = await session.client.list_incoming(
        receipt_id=receipt, page_size=_PAGE, consistency=consistency_of("latest")
    )
    if not listed.receipts:
        raise ReceiptNotFound(receipt, "", "")
    answers = []
    for one in listed.receipts:
        answer = await session.client.receive_incoming(
            receipt,
            one.sku,
            one.location,
            quantity=one.quantity,
            request_id=_part(request_id, f"{one.sku} {one.location}"),
            **how,
        )
        answers.append((one, answer))
    if session.json:
        show_json([as_json(answer) | {"sku": one.sku, "location": one.location} for one, answer in answers])
        return
    table(
        ("sku", "location", "quantity", "on_hand", "reserved"),
        [(one.sku, one.location, one.quantity, answer.on_hand, answer.reserved) for one, answer in answers],
    )


def _part(request_id: str, what: str) -> str:
    """The id of one of several requests that a command makes."""
    from hashlib import blake2b

    return blake2b(f"{request_id}\t{what}".encode(), digest_size=16).hexdigest()


def show_receipts(receipts: Iterable[Receipt]) -> None:
    """Print receipts as a table; where transfers bring some, with the location that those left."""
    rows: list[tuple[str | int, ...]] = [
        (
            r.receipt_id,
            r.sku,
            r.location,
            shown(r.expected_date),
            r.quantity,
            r.pegged,
            r.revision,
            _overdue(r),
            r.from_location,
        )
        for r in receipts
    ]
    columns = (
        *("receipt_id", "sku", "location", "expected_date", "quantity", "pegged", "revision"),
        *("overdue", "from_location"),
    )
    table(columns, rows, optional=("overdue", "from_location"), empty="No receipt is open.")


def _overdue(receipt: Receipt) -> str:
    if not receipt.overdue:
        return ""
    return "yes" if receipt.HasField("effective_date") else "yes, does not count"


def _show_change(session: Session, answer: Any, receipts: Sequence[Receipt]) -> None:
    if session.json:
        show_json(as_json(answer))
        return
    if receipts:
        show_receipts(receipts)
    else:
        say("Nothing of this receipt is open any more.")
    broken: Sequence[BrokenPromise] = answer.broken_promises
    if broken:
        say(f"This broke {len(broken)} promise{'' if len(broken) == 1 else 's'}:")
        show_broken(broken)
    if answer.replayed:
        say("This request was answered before; nothing was done now.")
