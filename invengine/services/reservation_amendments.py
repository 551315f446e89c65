"""Amend, rebind, hand over: from the messages to the records that the store takes.

As in `reservation_requests`, checked and then resolved. What amend and rebind resolve depends on the reservation too
(its SKUs, how a line is fulfilled, whether it is raised), so they are resolved for the revision that was read, and the
store refuses them when it is another by then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.orders import ComponentRequest, Fulfilment, KitRequest, LinePlacement, ReservationChange
from invengine.domain.stock import UNITS_MAX
from invengine.errors import ChannelDisabled, InvalidArgument
from invengine.services import validation
from invengine.services.kit_changes import KitPlacement, check_named, numbered, stands_of
from invengine.services.kit_lines import LINES_MAX
from invengine.services.reservation_lines import (
    CheckedLine,
    check_future,
    check_lines,
    future_of,
    lines_as_text,
    resolve_lines,
)
from invengine.services.reservation_requests import check_profile, fingerprint, time_to_live

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate, LineRequest, Reservation, ReservationLine
    from invengine.services.kit_changes import KitStand
    from invengine.services.sourcing import Sourcing
    from invengine.v1 import reservation_service_pb2 as pb

    Placing = pb.AmendReservationRequest | pb.RebindReservationRequest


class CheckedPlacement(NamedTuple):
    """A named line that obeys the contract; `quantity` is for amend, an empty `line_id` for rebind: all open lines."""

    line_id: str
    quantity: int
    location: str
    group: str
    allow_split: bool
    allow_backorder: bool
    needed_by: int


class CheckedPlacing(NamedTuple):
    """An amendment or a rebinding that obeys the contract."""

    request_id: str
    fingerprint: str
    reservation_id: str
    channel: str
    expected_revision: int | None
    placements: list[CheckedPlacement]
    added: list[CheckedLine]
    profile: str = ""


def check_amend(message: pb.AmendReservationRequest) -> CheckedPlacing:
    """The amendment, if it obeys the contract; InvalidArgument names the field that does not."""
    placements = [
        _check_placement(
            line,
            f"lines[{place}]",
            validation.required_id(f"lines[{place}].line_id", line.line_id),
            validation.units(f"lines[{place}].quantity", line.quantity, least=0),
        )
        for place, line in enumerate(message.lines)
    ]
    validation.count_of("lines", len(placements), LINES_MAX, least=0 if message.added_lines else 1)
    added = check_lines(message.added_lines, "added_lines", is_new=False, dated=True) if message.added_lines else []
    return _checked("amend", message, placements, added)


def check_rebind(message: pb.RebindReservationRequest) -> CheckedPlacing:
    """The rebinding, if it obeys the contract; InvalidArgument names the field that does not."""
    validation.count_of("lines", len(message.lines), LINES_MAX)
    placements = [
        _check_placement(line, f"lines[{place}]", validation.optional_text(f"lines[{place}].line_id", line.line_id), 0)
        for place, line in enumerate(message.lines)
    ]
    for place, placement in enumerate(placements):
        if not placement.line_id and len(placements) > 1:
            raise InvalidArgument(f"lines[{place}].line_id", "is required where more than one line is named")
    return _checked("rebind", message, placements, [])


def check_hand_over(message: pb.HandOverReservationRequest) -> ReservationChange:
    """The hand-over, if it obeys the contract; a time to live of 0 seconds keeps the expiry."""
    request_id, reservation_id, channel, revision = _check_head(message)
    to_channel = validation.optional_text("to_channel", message.to_channel)
    to_customer_ref = validation.optional_text("to_customer_ref", message.to_customer_ref)
    if not to_channel and not to_customer_ref:
        raise InvalidArgument("to_channel", "is required where to_customer_ref is empty")
    seconds = validation.seconds_up("time_to_live", message.time_to_live) if message.HasField("time_to_live") else 0
    text = f"hand_over\t{reservation_id}\t{revision}\t{seconds}\t{to_channel}\t{to_customer_ref}\n"
    return ReservationChange(
        request_id,
        fingerprint(text),
        reservation_id,
        channel,
        revision,
        time_to_live_seconds=seconds,
        to_channel=to_channel,
        to_customer_ref=to_customer_ref,
    )


def resolve_amend(
    checked: CheckedPlacing, seen: Reservation | None, network: Network, sourcing: Sourcing
) -> ReservationChange:
    """The amendment of the reservation as it was seen. Only what takes units asks what the network allows."""
    lines, stands = _lines_of(seen), stands_of(seen)
    placements: list[LinePlacement] = []
    for place, wanted in enumerate(checked.placements):
        check_named(wanted.line_id, f"lines[{place}].line_id", lines)
        if stand := stands.get(wanted.line_id):
            placements.append(
                _kit_placed(
                    wanted,
                    f"lines[{place}]",
                    stand,
                    is_taking=wanted.quantity > stand.standing,
                    channel=checked.channel,
                    network=network,
                    sourcing=sourcing,
                )
            )
            continue
        line = lines.get(wanted.line_id)
        if line is None or wanted.quantity <= line.standing:
            placements.append(_placement(wanted, wanted.line_id))
            continue
        units = wanted.quantity - line.standing
        placement = _placed(wanted, line, units, channel=checked.channel, network=network, sourcing=sourcing)
        if line.fulfilment is Fulfilment.PICKUP and not wanted.location:
            own = {a.location for a in line.allocations if a.quantity > a.released}
            placement = replace(placement, candidates=tuple(c for c in placement.candidates if c.location in own))
        placements.append(placement)
    added: tuple[LineRequest, ...] = ()
    if checked.added:
        added = resolve_lines(checked.added, checked.channel, network, sourcing, "added_lines")
        if stands or any(isinstance(line, KitRequest) for line in added):
            added = numbered(added, seen)
    return replace(_bound(checked, seen, network), placements=tuple(placements), added=added)


def resolve_rebind(
    checked: CheckedPlacing, seen: Reservation | None, network: Network, sourcing: Sourcing
) -> ReservationChange:
    """The rebinding of the reservation as it was seen. InvalidArgument where a pickup is left without a place."""
    lines, stands = _lines_of(seen), stands_of(seen)
    opened = {name: line for name, line in lines.items() if any(allocation.open for allocation in line.allocations)}
    all_opened = dict.fromkeys(line.kit.line_id if line.kit else name for name, line in opened.items())
    placements: list[LinePlacement] = []
    for place, wanted in enumerate(checked.placements):
        check_named(wanted.line_id, f"lines[{place}].line_id", lines)
        for name in [wanted.line_id] if wanted.line_id else all_opened:
            if stand := stands.get(name):
                if stand.lines[0].fulfilment is Fulfilment.PICKUP and not wanted.location:
                    raise InvalidArgument(f"lines[{place}].location", "is required for FULFILMENT_PICKUP")
                placements.append(
                    _kit_placed(
                        wanted,
                        f"lines[{place}]",
                        stand,
                        is_taking=stand.open > 0,
                        channel=checked.channel,
                        network=network,
                        sourcing=sourcing,
                    )
                )
                continue
            line = opened.get(name)
            if line is None:
                placements.append(_placement(wanted, name))
                continue
            if line.fulfilment is Fulfilment.PICKUP and not wanted.location:
                raise InvalidArgument(f"lines[{place}].location", "is required for FULFILMENT_PICKUP")
            units = sum(allocation.open for allocation in line.allocations)
            placed = _placed(wanted, line, units, channel=checked.channel, network=network, sourcing=sourcing)
            placements.append(placed)
    return replace(_bound(checked, seen, network), placements=tuple(placements))


def resolve_hand_over(change: ReservationChange, network: Network) -> ReservationChange:
    """The hand-over with its time to live by the rules of the new channel. ChannelDisabled, TimeToLiveTooLong."""
    network.channel(change.channel)
    channel = change.to_channel or change.channel
    seconds = change.time_to_live_seconds
    rules = network.channel(channel)
    if (change.to_channel or seconds) and not rules.enabled:
        raise ChannelDisabled(channel)
    seconds = time_to_live(seconds, channel, rules) if seconds else 0
    return replace(change, time_to_live_seconds=seconds, borrows=rules.borrows)


def impossible_placing(checked: CheckedPlacing) -> ReservationChange:
    """The request without its lines: made impossible, the store answers what it answered before, or refuses."""
    return ReservationChange(
        checked.request_id, checked.fingerprint, checked.reservation_id, checked.channel, checked.expected_revision
    )


def impossible_change(change: ReservationChange) -> ReservationChange:
    """The request for a revision that no reservation has: the store answers what it answered before, or refuses."""
    return replace(change, expected_revision=UNITS_MAX)


def _check_head(message: Placing | pb.HandOverReservationRequest) -> tuple[str, str, str, int | None]:
    return (
        validation.required_id("request_id", message.request_id),
        validation.required_id("reservation_id", message.reservation_id),
        validation.required_id("channel", message.channel),
        validation.expected_revision("expected_revision", message.expected_revision)
        if message.HasField("expected_revision")
        else None,
    )


def _check_placement(
    message: pb.LineAmendment | pb.LineRebinding, path: str, line_id: str, quantity: int
) -> CheckedPlacement:
    location = validation.optional_text(f"{path}.location", message.location)
    group = validation.optional_text(f"{path}.group", message.group)
    if location and group:
        raise InvalidArgument(f"{path}.group", "cannot be given together with location")
    try:
        future = check_future(message, dated=True)
    except InvalidArgument as refusal:
        raise InvalidArgument(f"{path}.{refusal.field}", refusal.problem) from None
    return CheckedPlacement(line_id, quantity, location, group, message.allow_split, *future)


def _checked(
    verb: str, message: Placing, placements: list[CheckedPlacement], added: list[CheckedLine]
) -> CheckedPlacing:
    request_id, reservation_id, channel, revision = _check_head(message)
    seen = set()
    for place, placement in enumerate(placements):
        if placement.line_id in seen:
            raise InvalidArgument(f"lines[{place}].line_id", f"{placement.line_id!r} is the id of an earlier line")
        seen.add(placement.line_id)
    text = f"{verb}\t{reservation_id}\t{revision}\t{len(placements)}\n"
    for line in placements:
        text += f"{line.line_id}\t{line.quantity}\t{line.location}\t{line.group}\t{line.allow_split:d}"
        text += f"\t{line.allow_backorder:d}\t{line.needed_by}\n"
    text += lines_as_text(added)
    profile = check_profile(message.profile)
    if profile:
        text += f"\tprofile\t{profile}\n"
    return CheckedPlacing(request_id, fingerprint(text), reservation_id, channel, revision, placements, added, profile)


def _lines_of(seen: Reservation | None) -> dict[str, ReservationLine]:
    return {line.line_id: line for line in seen.lines} if seen else {}


def _placed(
    wanted: CheckedPlacement, line: ReservationLine, units: int, *, channel: str, network: Network, sourcing: Sourcing
) -> LinePlacement:
    """The placement of units of a line, sourced as a line of its own would be."""
    asked = CheckedLine(
        line.line_id,
        line.sku,
        units,
        wanted.location,
        wanted.group,
        line.fulfilment,
        line.destination,
        wanted.allow_split,
        wanted.allow_backorder,
        wanted.needed_by,
    )
    (candidates,) = sourcing.candidates(channel, (asked,), network)
    future = future_of(asked, channel, network) if wanted.allow_backorder else None
    return replace(_placement(wanted, line.line_id), candidates=candidates, future=future)


def _kit_placed(
    wanted: CheckedPlacement,
    field: str,
    stand: KitStand,
    *,
    is_taking: bool,
    channel: str,
    network: Network,
    sourcing: Sourcing,
) -> KitPlacement:
    """The placement of a kit line, sourced as one of its own would be. InvalidArgument where it may wait."""
    if wanted.allow_backorder:
        raise InvalidArgument(f"{field}.allow_backorder", f"not for a kit, and {stand.sku!r} is one")
    line = stand.lines[0]
    candidates: tuple[Candidate, ...] = ()
    if is_taking:
        whole = replace(line, line_id=stand.line_id, sku=stand.sku)
        candidates = _placed(wanted, whole, 1, channel=channel, network=network, sourcing=sourcing).candidates
        if line.fulfilment is Fulfilment.PICKUP and not wanted.location:
            own = {a.location for a in line.allocations if a.quantity > a.released}
            candidates = tuple([one for one in candidates if one.location in own])
    usable = tuple([one.location for one in candidates])
    components = []
    for one in stand.lines:
        assert one.kit is not None
        floors = {floor.location: floor for floor in network.candidates(channel, one.sku, usable)}
        components.append(ComponentRequest(one.sku, one.kit.units, floors))
    return KitPlacement(
        stand.line_id,
        wanted.quantity,
        candidates,
        wanted.allow_split,
        wanted.location,
        stand=stand,
        components=tuple(components),
    )


def _placement(wanted: CheckedPlacement, line_id: str) -> LinePlacement:
    """A placement that takes nothing."""
    return LinePlacement(line_id, wanted.quantity, (), wanted.allow_split, wanted.location)


def _bound(checked: CheckedPlacing, seen: Reservation | None, network: Network) -> ReservationChange:
    """The change without its lines, for the revision that was seen; there is no revision 0."""
    rules = network.channel(checked.channel)
    revision = checked.expected_revision
    if revision is None:
        revision = seen.revision if seen else 0
    return ReservationChange(
        checked.request_id,
        checked.fingerprint,
        checked.reservation_id,
        checked.channel,
        revision,
        borrows=rules.borrows,
    )
