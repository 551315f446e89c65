"""Why can this channel take just so many? The sum of every position, term by term, with the rules behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.availability import Fresh, Fulfilment, FulfilmentOption, consistency_of
from invengine.cli.incoming import show_receipts
from invengine.cli.output import say, show_json, table, tell
from invengine.cli.render import as_json, instant, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1 import availability_service_pb2 as pb


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "explain")(explain)


async def explain(
    session: Session,
    sku: Annotated[str, typer.Argument()],
    *,
    location: Annotated[list[str] | None, typer.Option("--location", help="Only this location; may repeat.")] = None,
    group: Annotated[str, typer.Option(help="Only the locations of this group.")] = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    ignore_reservation: Annotated[
        str, typer.Option(metavar="ID", help="Units of this live reservation count as free.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="List at most so many at each location.")] = 20,
    fresh: Fresh = "",
) -> None:
    """Say why a channel can take just so many units: every term of the sum, every rule, who holds the rest.

    A kit is explained by its components, location by location.

    Example: invengine explain LAMP --location AMS1 --channel web
    """
    channel = session.needs_channel()
    answer = await session.client.explain_availability(
        sku,
        channel=channel,
        locations=location or (),
        group=group,
        fulfilment=fulfilment.to_proto(),
        ignore_reservation_id=ignore_reservation,
        reservations_max=limit,
        consistency=consistency_of(fresh),
    )
    if session.json:
        show_json(as_json(answer))
        return
    for position in answer.positions:
        if answer.components:
            _show_kit(position, sku, channel)
        else:
            _show_position(position, channel)
    if answer.components:
        rows = [(its.sku, its.units, its.available) for its in answer.components]
        table(("component", "units", "available"), rows)
        tell()
    _show_total(answer, sku, channel)


def _show_total(answer: pb.ExplainAvailabilityResponse, sku: str, channel: str) -> None:
    from invengine.v1 import availability_service_pb2

    level = word(availability_service_pb2.Level.Name(answer.level), "LEVEL_")
    tell(f"{channel} can take {answer.available} {sku}: {level} (LOW up to {answer.low_stock_threshold})")
    if answer.positions_left_out:
        more = f"{answer.available_left_out} of them at {answer.positions_left_out} locations that are not shown"
        say(f"{more}: name them with --location or --group.")
    if not answer.settled:
        say("Units moved meanwhile: the reservations may be newer or older than the numbers.")
    if not answer.complete:
        say("Not all reservations could be named: the log has forgotten them, and there are too many to look through.")


def _show_kit(position: pb.PositionExplanation, sku: str, channel: str) -> None:
    """A kit at one location: each of its components there, then how many kits these make."""
    for component in position.components:
        tell(f"{component.sku}, {component.units} in each {sku}, at ", nl=False)
        _show_position(component.position, channel)
    limits = {position.limiting_component: "yes"}
    rows = [
        (its.sku, its.position.available, its.units, its.kits, limits.get(its.sku, "")) for its in position.components
    ]
    tell(f"{position.location}: {channel} can take {position.available} {sku} here")
    tell()
    table(("component", "available", "units", "kits", "limits"), rows)
    tell()


def _show_position(position: pb.PositionExplanation, channel: str) -> None:
    tell(f"{position.location}: {position.usable_rule}")
    tell()
    rows = [(term.name, f"{term.quantity:+}", term.rule) for term in position.terms]
    table(("term", "quantity", "rule"), [*rows, ("available", f"= {position.available}", f"what {channel} can take")])
    tell()
    if position.safety_rules:
        table(
            ("safety_rule", "units", "percent", "keeps", "counts"),
            [
                (_scope(rule), rule.units, rule.share / 100, rule.keeps, "yes" if rule.wins else "")
                for rule in position.safety_rules
            ],
        )
        tell()
    if position.ring_fences:
        rows_of_fences = [(fence.channel, fence.quantity) for fence in position.ring_fences]
        table(("ring_fence", "quantity"), [*rows_of_fences, ("(for nobody)", position.pool)])
        tell()
    _show_reservations(position)
    if position.incoming:
        show_receipts(position.incoming)
        tell()
    if position.states:
        table(("state", "quantity"), [(one.state, one.quantity) for one in position.states])
        tell()
    if position.backordered or position.backordered_max:
        tell(f"backordered: {position.backordered}, allowed: {position.backordered_max}")
    if position.shortfall:
        tell(f"shortfall: {position.shortfall} units are reserved that are not there")
    tell(f"last change: {_last_change(position)}")
    tell()


def _show_reservations(position: pb.PositionExplanation) -> None:
    from invengine.v1.reservation_service_pb2 import Reservation

    if position.reservations:
        table(
            ("reservation_id", "line_id", "channel", "state", "quantity", "counts", "expire_time", "ring_fence"),
            [
                (
                    held.reservation_id,
                    held.line_id,
                    held.channel,
                    word(Reservation.State.Name(held.state), "STATE_"),
                    held.quantity,
                    "yes" if held.counts else "no",
                    instant(held.expire_time),
                    f"{held.fenced} of {held.fence_channel}" if held.fenced else "",
                )
                for held in position.reservations
            ],
        )
    if position.unlisted_quantity:
        lines = f"{position.unlisted_lines} lines" if position.unlisted_lines else "reservations that were not found"
        tell(f"and {position.unlisted_quantity} more units by {lines}")
    if position.reservations or position.unlisted_quantity:
        tell()


def _scope(rule: pb.SafetyRule) -> str:
    named = (("sku", rule.sku), ("location", rule.location), ("channel", rule.channel))
    return ", ".join(f"{what} {name}" for what, name in named if name)


def _last_change(position: pb.PositionExplanation) -> str:
    if not position.revision:
        return "none, the SKU never was here"
    if not position.HasField("last_change"):
        return f"revision {position.revision}; the log has it no longer"
    change = position.last_change
    who = f"{change.kind} by {change.actor} ({change.cause})"
    return f"revision {position.revision}, {instant(change.record_time)}, {who}"
