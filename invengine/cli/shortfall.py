"""The commands about units that are reserved and not there: list them, take them from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.days import shown
from invengine.cli.outcomes import say_results
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json, instant, word
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.shortfall_pb2 import ListShortfallsResponse, ResourceShortfallsResponse

app = typer.Typer(help="Units that are reserved and not there, after a count or a loss.", no_args_is_help=True)

_PAGE = 1000

Sku = Annotated[str, typer.Option(help="Only of this SKU.")]
Location = Annotated[str, typer.Option(help="Only what is short at this location.")]
OfChannel = Annotated[str, typer.Option(metavar="CHANNEL", help="Only lines of reservations of this channel.")]


@command(app, "list", timeout_seconds=60.0)
async def list_(
    session: Session,
    *,
    sku: Sku = "",
    location: Location = "",
    of_channel: OfChannel = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many positions.")] = 100,
) -> None:
    """List positions with more reserved than is on hand, and who is not covered, the newest reservation first.

    Example: invengine shortfall list --location LON1
    """

    async def page(token: str, size: int) -> ListShortfallsResponse:
        return await session.client.list_shortfalls(
            sku=sku, location=location, channel=of_channel, page_size=min(size, _PAGE), page_token=token
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.shortfalls) < limit:
        following = await page(answer.next_page_token, limit - len(answer.shortfalls))
        answer.shortfalls.extend(following.shortfalls)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    _show_shortfalls(answer)
    if answer.next_page_token:
        say("There are more: raise --limit.")


@command(app, "resource", timeout_seconds=120.0)
async def resource(
    session: Session,
    *,
    reservations: Annotated[
        list[str] | None, typer.Argument(metavar="[RESERVATION]...", help="These reservations; else all that match.")
    ] = None,
    sku: Sku = "",
    location: Location = "",
    of_channel: OfChannel = "",
    everything: Annotated[bool, typer.Option("--all", help="All shortfalls, without a filter.")] = False,
    to_group: Annotated[str, typer.Option(metavar="GROUP", help="Only to locations of this group.")] = "",
    allow_split: Annotated[bool, typer.Option("--allow-split", help="A line may go to several locations.")] = False,
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="Move as many as there are; the rest stays uncovered.")
    ] = False,
    accept_later: Annotated[
        bool, typer.Option("--accept-later", help="Where no location keeps a promised day, promise a later one.")
    ] = False,
    profile: Annotated[
        str, typer.Option(help="Choose locations by this sourcing profile: web, or web@3. Default: the active one.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would be done.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines to deal with, at most.")] = 1000,
    request_id: RequestId = "",
) -> None:
    """Take units that are reserved and not there from other locations, line by line, the oldest reservation first.

    Example: invengine shortfall resource --location LON1 --dry-run
    """
    if not (reservations or sku or location or of_channel or everything):
        fail_usage("Name reservations or filters, or say --all.")
    answer = await session.client.resource_shortfalls(
        sku=sku,
        location=location,
        channel=of_channel,
        reservation_ids=reservations or (),
        to_group=to_group,
        allow_split=allow_split,
        best_effort=best_effort,
        accept_later=accept_later,
        dry_run=dry_run,
        lines_max=limit,
        profile=profile,
        request_id=request_id,
    )
    if session.json:
        show_json(as_json(answer))
        return
    _show_outcomes(answer)
    results = (type(one).Result.Name(one.result) for one in answer.outcomes)
    say_results(results, "nothing is short", dry_run=dry_run, has_more=answer.has_more)


def _show_shortfalls(answer: ListShortfallsResponse) -> None:
    table(
        (
            *("sku", "location", "on_hand", "reserved", "units", "reservation_id", "line_id", "quantity", "uncovered"),
            *("channel", "order_ref", "create_time", "cover_date"),
        ),
        [
            (
                short.sku,
                short.location,
                short.on_hand,
                short.reserved,
                short.units,
                line.reservation_id,
                line.line_id,
                line.quantity,
                line.uncovered,
                line.channel,
                line.order_ref,
                instant(line.create_time),
                shown(line.cover_date),
            )
            for short in answer.shortfalls
            for line in short.lines
        ],
    )


def _show_outcomes(answer: ResourceShortfallsResponse) -> None:
    table(
        (
            *("reservation_id", "line_id", "sku", "location", "uncovered", "result", "moves", "available"),
            *("promised_delivery_date", "delivery_date", "refusal"),
        ),
        [
            (
                one.reservation_id,
                one.line_id,
                one.sku,
                one.location,
                one.uncovered,
                word(type(one).Result.Name(one.result), "RESULT_"),
                " ".join(f"{move.units}@{move.location}" for move in one.moves),
                one.available if word(type(one).Result.Name(one.result), "RESULT_") == "NOT_ENOUGH" else "",
                shown(one.promised_delivery_date),
                shown(one.delivery_date),
                one.refusal.message,
            )
            for one in answer.outcomes
        ],
        empty="",
    )
