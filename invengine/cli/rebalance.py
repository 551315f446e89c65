"""The command that says which stock should go where, and makes the transfers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.days import shown
from invengine.cli.output import say, show_json, table
from invengine.cli.promise import money
from invengine.cli.render import as_json, counted, word
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from datetime import date

    from invengine.v1.rebalance_pb2 import SuggestTransfersResponse, TransferFill, TransferSuggestion
    from invengine.v1.transfer_service_pb2 import CreateTransferResponse

LINES_MAX = 200
"""SKUs of one transfer."""


class FillOption(StrEnum):
    """What is to be filled."""

    SHORTFALL = "shortfall"
    BACKORDER = "backorder"
    SAFETY_STOCK = "safety-stock"
    FORECAST = "forecast"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "rebalance", timeout_seconds=120.0)(rebalance)


async def rebalance(
    session: Session,
    *,
    skus: Annotated[
        list[str] | None, typer.Argument(metavar="[SKU]...", help="These SKUs; else all of which units wait.")
    ] = None,
    to_location: Annotated[str, typer.Option(metavar="LOCATION", help="Only to this location.")] = "",
    from_location: Annotated[str, typer.Option(metavar="LOCATION", help="Only from this location.")] = "",
    fill: Annotated[
        list[FillOption] | None,
        typer.Option(help="What is to be filled; safety-stock needs SKUs. Default: shortfall, backorder, forecast."),
    ] = None,
    days_max: Annotated[int, typer.Option(min=0, help="Only transfers of at most so many days.")] = 0,
    forecast_days: Annotated[
        int | None,
        typer.Option(
            "--forecast-days", min=0, help="How long a location keeps what it will sell. Default: 14; 0: not."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many suggestions.")] = 1000,
    apply: Annotated[bool, typer.Option("--apply", help="Make the transfers that are shown.")] = False,
    source: Annotated[str, typer.Option(help="Who says so, for the transfers.")] = "rebalance",
    request_id: RequestId = "",
) -> None:
    """Suggest transfers that would fill more of what waits, at least cost; with --apply, make them.

    Example: invengine rebalance --to-location LON1 --apply
    """
    answer = await session.client.suggest_transfers(
        skus=skus or (),
        to_location=to_location,
        from_location=from_location,
        fills=[_number(one) for one in fill or ()],
        days_max=days_max,
        forecast_days=forecast_days,
        suggestions_max=limit,
    )
    if not session.json:
        _show(answer)
    made = await _apply(session, answer, source, request_id) if apply else []
    if session.json:
        told = as_json(answer)
        if apply:
            told["transfers"] = [as_json(one) for one in made]
        show_json(told)
        return
    if made:
        table(
            ("transfer_id", "from_location", "to_location", "expected_date", "lines"),
            [
                (
                    one.transfer.transfer_id,
                    one.transfer.from_location,
                    one.transfer.to_location,
                    shown(one.transfer.lines[0].expected_date),
                    " ".join(f"{line.sku}={line.quantity}" for line in one.transfer.lines),
                )
                for one in made
            ],
        )
    units = sum(one.units for one in answer.suggestions)
    left = sum(one.units for one in answer.unfilled)
    found = counted(len(answer.suggestions), "suggestion")
    say(f"{found} for {units} units, {left} stay unfilled; {counted(len(made), 'transfer')} made.")
    if answer.cut_short_skus:
        say(f"Perhaps not the cheapest, for there were too many lanes to try: {', '.join(answer.cut_short_skus)}.")
    if answer.has_more:
        say("There are more: raise --limit.")


async def _apply(
    session: Session, answer: SuggestTransfersResponse, source: str, request_id: str
) -> list[CreateTransferResponse]:
    """A transfer for each way and day. Their names follow from the request and from what they move."""
    from invengine.client import new_request_id

    request_id = request_id or new_request_id()
    made = []
    for (start, end, day), units in _by_way(answer.suggestions).items():
        for first in range(0, len(units), LINES_MAX):
            part = dict(list(units.items())[first : first + LINES_MAX])
            text = "\t".join([request_id, start, end, day.isoformat(), *map(str, part.items())])
            made.append(
                await session.client.create_transfer(
                    start,
                    end,
                    part,
                    expected_date=day,
                    reason="rebalancing",
                    source=source,
                    request_id="rebalance " + blake2b(text.encode(), digest_size=16).hexdigest(),
                )
            )
    return made


def _by_way(suggestions: Iterable[TransferSuggestion]) -> dict[tuple[str, str, date], dict[str, int]]:
    """Units by SKU of what goes the same way and is there on the same day."""
    from datetime import date

    found: dict[tuple[str, str, date], dict[str, int]] = {}
    for one in suggestions:
        its = one.expected_date
        key = one.from_location, one.to_location, date(its.year, its.month, its.day)
        found.setdefault(key, {})[one.sku] = one.units
    return found


def _show(answer: SuggestTransfersResponse) -> None:
    from invengine.v1.rebalance_pb2 import TransferFill, UnfilledDemand

    def fill(number: TransferFill.ValueType) -> str:
        return word(TransferFill.Name(number), "TRANSFER_FILL_")

    table(
        ("sku", "from_location", "to_location", "units", "cost", "days", "expected_date", "fills"),
        [
            (
                one.sku,
                one.from_location,
                one.to_location,
                one.units,
                money(one.cost) if one.HasField("cost") else "",
                one.days,
                shown(one.expected_date),
                " ".join(f"{its.units} {fill(its.fill)}" for its in one.fills),
            )
            for one in answer.suggestions
        ],
        empty="",
    )
    if answer.unfilled:
        table(
            ("unfilled_sku", "location", "units", "fill", "reason", "cover_date"),
            [
                (
                    one.sku,
                    one.location,
                    one.units,
                    fill(one.fill),
                    word(UnfilledDemand.Reason.Name(one.reason), "REASON_"),
                    shown(one.cover_date),
                )
                for one in answer.unfilled
            ],
        )


def _number(fill: FillOption) -> TransferFill.ValueType:
    from invengine.v1.rebalance_pb2 import TransferFill

    return TransferFill.Value("TRANSFER_FILL_" + fill.name)
