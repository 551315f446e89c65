"""Where would a basket come from, and why: the plan of a sourcing profile, its costs beside those of the next one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli.availability import Fresh, Fulfilment, FulfilmentOption, consistency_of
from invengine.cli.confidence import share_of
from invengine.cli.days import shown
from invengine.cli.deliveries import network_of
from invengine.cli.file_faults import problem_of
from invengine.cli.output import Cell, fail_usage, say, show_json, table
from invengine.cli.promise import money
from invengine.cli.render import as_json, counted, word
from invengine.cli.reservation_options import AllowBackorder, AllowSplit, Group
from invengine.cli.reservation_text import Delivery, Taking, lines_of
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.v1 import common_pb2
    from invengine.v1 import plan_pb2 as pb

TERMS: Final = (
    *("parcel", "handling", "lane", "distance", "waiting", "late", "early", "priority", "opportunity", "shortage"),
    "total",
)
"""Of the objective, in the order of the table."""


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "source")(source)


async def source(
    session: Session,
    *,
    items: Annotated[
        list[str],
        typer.Argument(metavar="SKU QUANTITY[@LOCATION]...", help="What is wanted; QUANTITY@LOCATION: from there."),
    ],
    location: Annotated[str, typer.Option(help="Where lines that name no location come from.")] = "",
    group: Group = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    to: Annotated[
        str, typer.Option("--to", metavar="COUNTRY[:POSTAL_CODE]", help="Where it is shipped, as in DE:81671.")
    ] = "",
    store: Annotated[str, typer.Option(metavar="LOCATION", help="With ship-to-store: where it is collected.")] = "",
    service: Annotated[str, typer.Option(help="Shipped with this; default: with what costs least.")] = "",
    allow_split: AllowSplit = False,
    allow_backorder: AllowBackorder = False,
    needed_by: Annotated[str, typer.Option(metavar="DAY", help="The day of delivery at the latest.")] = "",
    max_parcels: Annotated[int | None, typer.Option(min=1, help="In at most so many parcels.")] = None,
    best_effort: Annotated[bool, typer.Option("--best-effort", help="What there is.")] = False,
    profile: Annotated[
        str,
        typer.Option(metavar="NAME[@VERSION]", help="The sourcing profile that counts; default: the channel's."),
    ] = "",
    confidence: Annotated[
        str, typer.Option(metavar="95%", help="How sure the days are to be, by what lanes took so far.")
    ] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also list the locations that are ruled out, by rule.")
    ] = False,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw a map into this PNG file.")] = None,
    fresh: Fresh = "",
) -> None:
    """Say where a basket would come from and what that costs by term, beside the next best plan. Nothing is reserved.

    Example: invengine source LAMP 2 CHAIR 1 --to DE:81671 --channel web --explain
    """
    from invengine.client import error_from_refusal

    if fulfilment is FulfilmentOption.ANY and (to or service):
        fulfilment = FulfilmentOption.SHIP
    taking = Taking(group, allow_split, allow_backorder, needed_by, is_dated=True)
    channel = session.needs_channel()
    network = None if plot is None else await _network(session)
    answer = await session.client.plan_basket(
        lines_of(items, location, fulfilment, taking, Delivery(to, store, service)),
        channel=channel,
        best_effort=best_effort,
        max_parcels=max_parcels or 0,
        profile=profile,
        confidence=share_of(confidence) if confidence else None,
        explain=explain,
        consistency=consistency_of(fresh),
    )
    has_plan = answer.HasField("plan")
    if session.json:
        show_json(as_json(answer))
    elif has_plan:
        _show_plan(answer)
    if not session.json:
        _show_ruled_out(answer)
    if not has_plan:
        raise error_from_refusal(answer.refusal)
    if plot is not None and network is not None:
        _plot(plot, network, answer, to, store)


def _show_plan(answer: pb.PlanBasketResponse) -> None:
    """Print where each line comes from, what that costs beside the next plan, and how sure it is."""
    table(("line_id", "sku", "quantity", "location", "available_day", "service", "delivery_day"), _rows(answer.plan))
    has_next = answer.HasField("runner_up")
    table(("cost", "plan", *(("runner_up", "runner_up_excess") if has_next else ())), _costs(answer, has_next))
    if has_next:
        places = dict.fromkeys(one.location for line in answer.runner_up.lines for one in line.units)
        say(f"Runner-up: from {', '.join(places) or 'nowhere'}, {counted(answer.runner_up.parcels, 'parcel')}.")
    else:
        say("No plan does without one of these locations.")
    if not answer.proved:
        say(f"Not proved to be the best: no plan costs less than {money(answer.bound)}.")
    say(f"Profile: {answer.profile or 'none, the fewest parcels count'}. Parcels: {answer.plan.parcels}.")


def _rows(plan: pb.BasketPlan) -> Iterator[tuple[Cell, ...]]:
    for line in plan.lines:
        for one in line.units:
            there = shown(one.available_day) if one.HasField("available_day") else "now"
            yield line.line_id, line.sku, one.quantity, one.location, there, one.service, shown(one.delivery_day)
        if line.missing:
            yield line.line_id, line.sku, line.missing, "nowhere", "", "", ""


def _costs(answer: pb.PlanBasketResponse, has_next: bool) -> Iterator[tuple[Cell, ...]]:
    """A row for each term that is not 0 in both plans."""
    for term in TERMS:
        amounts = [_amount(answer.plan.costs, term)]
        if has_next:
            amounts += [_amount(answer.runner_up.costs, term), _amount(answer.runner_up_excess, term)]
        if term == "total" or any(amount.units or amount.nanos for amount in amounts):
            yield term, *[_signed(amount) for amount in amounts]


def _amount(costs: pb.PlanCosts, term: str) -> common_pb2.Money:
    amount: common_pb2.Money = getattr(costs, term)
    return amount


def _signed(amount: common_pb2.Money) -> str:
    """An amount that may be below 0."""
    from invengine.v1 import common_pb2

    if amount.units >= 0 and amount.nanos >= 0:
        return money(amount).strip()
    above = common_pb2.Money(currency_code=amount.currency_code, units=-amount.units, nanos=-amount.nanos)
    return f"-{money(above).strip()}"


def _show_ruled_out(answer: pb.PlanBasketResponse) -> None:
    """Print which locations each line cannot come from, by rule."""
    if answer.ruled_out:
        rules = type(answer.ruled_out[0]).Rule
        table(
            ("line_id", "rule", "locations"),
            [(one.line_id, word(rules.Name(one.rule), "RULE_"), ", ".join(one.locations)) for one in answer.ruled_out],
        )


async def _network(session: Session) -> Network:
    """The network in force, for the positions of its locations; first it is seen whether a map can be drawn at all."""
    from invengine.cli.plots import PlotMissing, check_plot

    try:
        check_plot()
    except PlotMissing as missing:
        fail_usage(str(missing))
    return await network_of(session, None)


def _plot(path: Path, network: Network, answer: pb.PlanBasketResponse, to: str, store: str) -> None:
    """Draw the locations that have a position, and the ways that units of the plan take."""
    from invengine.cli.plots import Place, plot_plan

    country, _, postal_code = to.partition(":")
    end = network.postal_positions.position_of(country.upper(), postal_code) if to else None
    if store and store in network.locations:
        end = network.locations[store].position
    units: dict[str, int] = {}
    for line in answer.plan.lines:
        for one in line.units:
            units[one.location] = units.get(one.location, 0) + one.quantity
    following = {one.location for line in answer.runner_up.lines for one in line.units}
    places = [
        Place(name, location.position, units.get(name, 0), name in following)
        for name, location in network.locations.items()
        if location.position is not None
    ]
    if not places:
        fail_usage("--plot: no location of the network has a position.")
    try:
        plot_plan(path, places, end)
    except OSError as fault:
        fail_usage(f"--plot {path}: {problem_of(fault)}")
    unknown = [name for name in units if network.locations[name].position is None]
    if unknown:
        say(f"Not on the map, since the network does not say where they are: {', '.join(unknown)}.")
