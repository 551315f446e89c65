"""When could it be had: every way to get a basket, side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli.availability import Fresh, FulfilmentOption, consistency_of
from invengine.cli.confidence import share_of
from invengine.cli.days import shown
from invengine.cli.output import Cell, Rounded, fail_usage, say, show_json, table
from invengine.cli.render import as_json, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from invengine.v1 import common_pb2
    from invengine.v1 import promise_service_pb2 as pb

COLUMNS: Final = (
    *("fulfilment", "service", "location", "distance_km", "delivery_day", "ready_time"),
    *("from_locations", "parcels", "cost", "order_before"),
)
"""Of the table of options."""

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}").fullmatch
_POINT: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)").fullmatch


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "promise")(promise)


async def promise(
    session: Session,
    *,
    lines: Annotated[
        list[str], typer.Argument(metavar="SKU[=UNITS]...", help="What is wanted; one of each unless told.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="COUNTRY[:POSTAL_CODE]", help="Where it is shipped, as in DE:81671.")
    ] = "",
    pickup: Annotated[
        str, typer.Option("--pickup", metavar="LOCATION", help="Where the customer collects; 'any' for the first ones.")
    ] = "",
    near: Annotated[
        str,
        typer.Option("--near", metavar="LAT,LON", help="Where the customer is: the nearest places to collect."),
    ] = "",
    within_km: Annotated[float, typer.Option(min=0, help="With --near: only so far from there.")] = 0,
    service: Annotated[list[str] | None, typer.Option("--service", help="Only shipped with this; may repeat.")] = None,
    fulfilment: Annotated[
        list[FulfilmentOption] | None,
        typer.Option("--fulfilment", help="Only in this way; may repeat.", case_sensitive=False),
    ] = None,
    confidence: Annotated[
        str, typer.Option(metavar="95%", help="How sure the day is to be, by what lanes took so far.")
    ] = "",
    location: Annotated[str, typer.Option(help="Only from this location.")] = "",
    allow_split: Annotated[
        bool, typer.Option("--allow-split", help="Lines may come from several locations where that is earlier.")
    ] = False,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME[@VERSION]", help="The sourcing profile that chooses locations; default: the channel's."
        ),
    ] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show each step from the stock to the customer.")] = False,
    fresh: Fresh = "",
) -> None:
    """Say when a basket could be had: every way side by side. Nothing is reserved by it.

    Example: invengine promise LAMP CHAIR=2 --to DE:81671 --pickup MUC-1 --channel web
    """
    from invengine.client import PromiseLine

    wanted = [
        PromiseLine(sku=sku, quantity=units, location=location, allow_split=allow_split)
        for sku, units in map(_wanted, lines)
    ]
    answer = await session.client.get_promise(
        wanted,
        _destination(to, pickup, near),
        near=_near(near, pickup, within_km),
        channel=session.needs_channel(),
        fulfilments=_ways(fulfilment or (), to, pickup),
        services=service or (),
        confidence=share_of(confidence) if confidence else None,
        explain=explain,
        profile=profile,
        consistency=consistency_of(fresh),
    )
    if session.json:
        show_json(as_json(answer))
        return
    show_options(answer)
    if explain:
        _show_steps(answer)


def _wanted(text: str) -> tuple[str, int]:
    """The SKU and the units of an argument."""
    sku, equals, units = text.rpartition("=")
    if not equals:
        return text, 1
    if not units.isdecimal():
        fail_usage(f"{text!r} is not SKU=UNITS: {units!r} is not a number of units")
    return sku, int(units)


def _near(text: str, pickup: str, within_km: float) -> pb.Near | None:
    """Where the customer is, and how far it may be."""
    from invengine.v1 import promise_service_pb2

    if not text:
        if within_km:
            fail_usage("--within-km goes with --near LATITUDE,LONGITUDE: how far from where?")
        return None
    if pickup not in ("", "any"):
        fail_usage("--near finds the locations to collect at: not together with --pickup LOCATION")
    point = _POINT(text)
    if not point:
        fail_usage(f"--near: {text!r} is not LATITUDE,LONGITUDE in degrees, as in 48.14,11.58")
    return promise_service_pb2.Near(latitude=float(point[1]), longitude=float(point[2]), radius_km=within_km or None)


def _destination(to: str, pickup: str, near: str) -> common_pb2.Destination:
    from invengine.v1 import common_pb2

    if not to and not pickup and not near:
        fail_usage("Say where it goes: --to COUNTRY:POSTAL_CODE to have it shipped, --pickup LOCATION to collect it.")
    country, _, postal_code = to.partition(":")
    if to and not _COUNTRY(country):
        fail_usage(f"--to: {to!r} is not a country of two letters and a postal code, as in DE:81671")
    return common_pb2.Destination(
        country=country.upper(), postal_code=postal_code, location="" if pickup == "any" else pickup
    )


def _ways(named: Sequence[FulfilmentOption], to: str, pickup: str) -> list[common_pb2.Fulfilment.ValueType]:
    """The ways to ask for; empty for all that the destination allows."""
    if FulfilmentOption.ANY in named or (not named and pickup != "any"):
        return []
    if named:
        return [one.to_proto() for one in dict.fromkeys(named)]
    return [FulfilmentOption.SHIP.to_proto()] * bool(to) + [FulfilmentOption.PICKUP.to_proto()]


def show_options(answer: pb.GetPromiseResponse) -> None:
    """Print every option of a promise, then what keeps lines from being promised, and what the network lacks."""
    table(
        COLUMNS,
        [row_of(option) for option in answer.options],
        optional=("distance_km",),
    )
    for text in dict.fromkeys(text for option in answer.options for text in _problems(option)):
        say(text)
    for option in answer.options:
        if option.HasField("bound") and option.HasField("costs"):
            least = money(option.bound.cost)
            say(f"{_name(option)}: not proved to be the best; no combination costs less than {least}.")
        elif option.HasField("bound") and option.bound.delivery_day != option.delivery_day:
            say(f"{_name(option)}: not every combination was tried; none is before {shown(option.bound.delivery_day)}.")
    for gap in answer.gaps:
        say(f"Gap: {gap.message}.")
    if answer.gaps:
        say("Close gaps in the network file; see them all with: invengine network check FILE.")


def row_of(option: pb.PromiseOption) -> tuple[Cell, ...]:
    """The row of an option in the table."""
    places = dict.fromkeys(part.location for line in option.lines for part in line.allocations)
    is_promised = option.status == option.STATUS_PROMISED
    return (
        way_of(option),
        option.service,
        option.location,
        Rounded(option.distance_km, ".1f") if option.HasField("distance_km") else "",
        shown(option.delivery_day) or "never",
        _minute(option.ready_time),
        ", ".join(places),
        option.parcels if is_promised else "",
        money(option.cost) if option.HasField("cost") else "",
        _minute(option.order_before),
    )


def way_of(option: pb.PromiseOption) -> str:
    """How, as the options of the command spell it."""
    from invengine.v1 import common_pb2

    name = common_pb2.Fulfilment.Name(option.fulfilment)
    return word(name, "FULFILMENT_").lower().replace("_", "-")


def _name(option: pb.PromiseOption) -> str:
    return " ".join(filter(None, (way_of(option), option.service, option.location)))


def _problems(option: pb.PromiseOption) -> Iterable[str]:
    """A sentence for each line that cannot be had this way."""
    for line in option.lines:
        if line.problem == pb_problem("UNKNOWN_SKU"):
            yield f"SKU {line.sku} is not known."
        elif line.problem == pb_problem("NO_LOCATION"):
            yield f"{_name(option)}: no location can be used for {line.sku}."
        elif line.problem == pb_problem("NOT_ENOUGH_UNITS"):
            yield f"{_name(option)}: {line.quantity} {line.sku} are wanted, {line.available} can be promised."
        elif line.problem == pb_problem("GAP"):
            yield f"{_name(option)}: the network does not say how {line.sku} gets there."
        elif line.problem == pb_problem("BEYOND_HORIZON"):
            yield f"{_name(option)}: {line.sku} cannot be there within 730 days."
        elif line.problem == pb_problem("TOGETHER"):
            yield f"{_name(option)}: each line could be had, all of them together cannot."


def pb_problem(name: str) -> pb.LineProblem.ValueType:
    """The value of the wire."""
    from invengine.v1 import promise_service_pb2

    return promise_service_pb2.LineProblem.Value(f"LINE_PROBLEM_{name}")


def _show_steps(answer: pb.GetPromiseResponse) -> None:
    """Print the chain of every allocation."""
    for option in answer.options:
        for line in option.lines:
            for part in line.allocations:
                say(f"\n{_name(option)}: {part.quantity} {line.sku} from {part.location}")
                table(
                    ("step", "location", "day", "time", "rule"),
                    [
                        (
                            word(type(step).Kind.Name(step.kind), "KIND_").lower(),
                            step.location,
                            shown(step.day),
                            _minute(step.time),
                            step.rule,
                        )
                        for step in part.steps
                    ],
                )


def money(amount: common_pb2.Money) -> str:
    """An amount as `4.95 EUR`."""
    digits = f"{amount.nanos:09}"
    fraction = digits[:2] + digits[2:].rstrip("0")
    return f"{amount.units}.{fraction} {amount.currency_code}"


def _minute(moment: Timestamp) -> str:
    """An instant in UTC, without seconds: promises are made on whole minutes."""
    return f"{moment.ToDatetime():%Y-%m-%d %H:%M}Z" if moment.seconds else ""
