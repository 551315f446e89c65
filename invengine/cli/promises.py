"""The command that lists promises which cannot be kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.days import shown
from invengine.cli.render import as_json, instant, say, show_json, table, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1.incoming_service_pb2 import BrokenPromise
    from invengine.v1.promise_service_pb2 import ListBrokenPromisesResponse

_PAGE = 1000


def register(app: typer.Typer) -> None:
    """Add the command to the group `reservation`."""
    command(app, "broken-promises")(broken_promises)


async def broken_promises(
    session: Session,
    *,
    sku: Annotated[str, typer.Option(help="Only of this SKU.")] = "",
    location: Annotated[str, typer.Option(help="Only at this location.")] = "",
    receipt: Annotated[str, typer.Option(help="Only of this receipt.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many.")] = 100,
) -> None:
    """List what was promised out of receipts that slipped, were shortened or cancelled.

    Example: invengine reservation broken-promises --sku LAMP
    """

    async def page(token: str, size: int) -> ListBrokenPromisesResponse:
        return await session.client.list_broken_promises(
            sku=sku, location=location, receipt_id=receipt, page_size=min(size, _PAGE), page_token=token
        )

    answer = await page("", most)
    while answer.next_page_token and len(answer.broken_promises) < most:
        following = await page(answer.next_page_token, most - len(answer.broken_promises))
        answer.broken_promises.extend(following.broken_promises)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    show_broken(answer.broken_promises)
    if answer.next_page_token:
        say("There are more: raise --most.")


def show_broken(promises: Iterable[BrokenPromise]) -> None:
    """Print broken promises as a table."""
    table(
        ("reservation", "line", "sku", "location", "quantity", "why", "receipt", "promised", "expected", "since"),
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
                instant(p.break_time),
            )
            for p in promises
        ],
    )
