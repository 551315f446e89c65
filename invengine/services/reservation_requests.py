"""From the messages of ReservationService to the records that the store takes: checked, resolved, fingerprinted.

The messages themselves are read here, without a layer of records in between: a batch carries a thousand of them, and
each record costs as much as the checks on it. In two steps, because they refuse for different reasons:

    checked    what the message alone must obey; a refusal names the field, and no such request was ever accepted
    resolved   what the network in force allows: channel, locations, longest time to live. The same request may have
               been accepted before the network changed, so such a refusal yields to the answer of the first time
"""

from __future__ import annotations

from hashlib import blake2b
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import Fulfilment, LineRequest, LineUnits, ReservationChange, ReserveRequest
from invengine.domain.transit import parts_of
from invengine.errors import ChannelDisabled, InvalidArgument, TimeToLiveTooLong
from invengine.services.kit_lines import LINES_MAX
from invengine.services.reservation_ids import ANYWHERE, ReservationIds
from invengine.services.reservation_lines import CheckedLine, check_lines, lines_as_text, resolve_lines
from invengine.services.validation import (
    count_of,
    expected_revision,
    is_plain,
    optional_text,
    required_id,
    seconds_up,
    units,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.network import Network
    from invengine.domain.network_parts import Channel
    from invengine.services.sourcing import Sourcing
    from invengine.v1 import reservation_service_pb2 as pb

    Change = pb.ConfirmReservationRequest | pb.ExtendReservationRequest
    LineChange = pb.ReleaseReservationRequest | pb.FulfilReservationRequest

PARCELS_MAX: Final = 200
PROFILE_BYTES_MAX: Final = 96
"""A name, and perhaps @ and a version."""

_BEST_EFFORT: Final = 2
_service: Final = attrgetter("service")
_POLICIES: Final = 3


class CheckedRequest(NamedTuple):
    """A request that obeys the contract. `time_to_live_seconds` is 0 where the channel's default is wanted, and
    `parcels_max` where any number of locations will do. `is_dated`: some of its lines are promised dates, with
    `promise_dates` all of them. `profile` is to source it; empty: that of the channel, if it has one.
    """

    request_id: str
    fingerprint: str
    reservation_id: str
    channel: str
    lines: list[CheckedLine]
    time_to_live_seconds: int
    best_effort: bool
    customer_ref: str
    order_ref: str
    cart_ref: str
    parcels_max: int = 0
    is_dated: bool = False
    promise_dates: bool = False
    confidence_parts: int = 0
    profile: str = ""


def check_create(message: pb.CreateReservationRequest, ids: ReservationIds = ANYWHERE) -> CheckedRequest:
    """The request, if it obeys the contract; InvalidArgument names the field that does not. `ids` gives it one."""
    request_id, channel = message.request_id, message.channel
    if not is_plain(request_id):
        required_id("request_id", request_id)
    if reservation_id := message.reservation_id:
        optional_text("reservation_id", reservation_id)
    if not is_plain(channel):
        required_id("channel", channel)
    policy = message.policy
    if not 0 <= policy < _POLICIES:
        raise InvalidArgument("policy", f"{policy} is not a policy")
    best_effort = policy == _BEST_EFFORT
    seconds = seconds_up("time_to_live", message.time_to_live) if message.HasField("time_to_live") else 0
    if customer_ref := message.customer_ref:
        optional_text("customer_ref", customer_ref)
    if order_ref := message.order_ref:
        optional_text("order_ref", order_ref)
    if cart_ref := message.cart_ref:
        optional_text("cart_ref", cart_ref)
    parcels_max = message.max_parcels
    if not 0 <= parcels_max <= PARCELS_MAX:
        raise InvalidArgument("max_parcels", f"is {parcels_max}; 1 to {PARCELS_MAX} are allowed")
    promise_dates = message.promise_dates
    lines = check_lines(message.lines, dated=promise_dates)
    is_dated, confidence_parts = promise_dates, 0
    if promise_dates or lines[0].service or message.confidence or (len(lines) > 1 and any(map(_service, lines))):
        is_dated, confidence_parts = check_dated(message, lines)
    refs = f"{customer_ref}\t{order_ref}\t{cart_ref}"
    text = f"create\t{reservation_id}\t{best_effort:d}\t{seconds}\t{refs}\t{parcels_max}\n{lines_as_text(lines)}"
    if is_dated:
        text += f"\t{promise_dates:d}\t{confidence_parts}\n"
    if profile := message.profile:
        text += f"\tprofile\t{check_profile(profile)}\n"
    checked = (
        request_id,
        fingerprint(text),
        reservation_id or ids.derived(channel, request_id, lines[0].sku),
        channel,
        lines,
        seconds,
        best_effort,
        customer_ref,
        order_ref,
        cart_ref,
        parcels_max,
        is_dated,
        promise_dates,
        confidence_parts,
        profile,
    )
    return tuple.__new__(CheckedRequest, checked)  # quicker than its own constructor


def check_profile(text: str) -> str:
    """The profile that a message names, or none; InvalidArgument."""
    return optional_text("profile", text, PROFILE_BYTES_MAX)


def check_dated(message: pb.CreateReservationRequest, lines: Sequence[CheckedLine]) -> tuple[bool, int]:
    """Whether lines are promised dates, and with which confidence. Such lines say where they go, and how."""
    promised = [(place, line) for place, line in enumerate(lines) if message.promise_dates or line.service]
    for place, line in promised:
        if line.fulfilment is Fulfilment.ANY:
            raise InvalidArgument(f"lines[{place}].fulfilment", "is required for a date")
        if line.fulfilment is Fulfilment.SHIP and not line.destination.country:
            raise InvalidArgument(f"lines[{place}].destination.country", "is required for a date")
    confidence = message.confidence
    if not confidence:
        return bool(promised), 0
    if not promised:
        raise InvalidArgument("confidence", "goes with dates only: with promise_dates, or a service")
    parts = parts_of(confidence)
    if parts is None:
        raise InvalidArgument("confidence", f"is {confidence}; 0.0001 to 0.9999 are allowed")
    return True, parts


def resolve(request: CheckedRequest, network: Network, sourcing: Sourcing) -> ReserveRequest:
    """The request with everything decided but the stock: candidates and time to live, by the network in force."""
    channel = request.channel
    rules = network.channel(channel)
    if not rules.enabled:
        raise ChannelDisabled(channel)
    return ReserveRequest(
        request.request_id,
        request.fingerprint,
        request.reservation_id,
        channel,
        resolve_lines(request.lines, channel, network, sourcing),
        time_to_live(request.time_to_live_seconds, channel, rules),
        request.best_effort,
        request.customer_ref,
        request.order_ref,
        request.cart_ref,
        rules.borrows,
    )


def impossible(request: CheckedRequest) -> ReserveRequest:
    """The request without a single candidate: the store answers what it answered before, or takes nothing."""
    lines = [LineRequest(line.line_id, line.sku, line.quantity, (), line.fulfilment) for line in request.lines]
    return ReserveRequest(
        request.request_id, request.fingerprint, request.reservation_id, request.channel, tuple(lines), 1
    )


def time_to_live(seconds: int, channel: str, rules: Channel) -> int:
    """The wanted seconds, or the channel's default for 0. TimeToLiveTooLong beyond the channel's longest."""
    if not seconds:
        return rules.time_to_live_seconds
    if seconds > rules.time_to_live_seconds_max:
        raise TimeToLiveTooLong(channel, seconds, rules.time_to_live_seconds_max)
    return seconds


def check_change(message: Change | LineChange, verb: str) -> ReservationChange:
    """A confirm, extend, release or fulfil, if it obeys the contract; extend's 0 seconds mean the channel's default."""
    request_id = required_id("request_id", message.request_id)
    reservation_id = required_id("reservation_id", message.reservation_id)
    channel = required_id("channel", message.channel)
    revision = None
    if message.HasField("expected_revision"):
        revision = expected_revision("expected_revision", message.expected_revision)
    lines: tuple[LineUnits, ...] = ()
    seconds, order_ref = 0, ""
    if verb == "confirm":
        order_ref = optional_text("order_ref", message.order_ref)  # type: ignore[union-attr]
    elif verb == "extend":
        if message.HasField("time_to_live"):  # type: ignore[arg-type]
            seconds = seconds_up("time_to_live", message.time_to_live)  # type: ignore[union-attr]
    else:
        lines = _check_line_units(message.lines)  # type: ignore[union-attr]
    text = f"{verb}\t{reservation_id}\t{revision}\t{seconds}\t{order_ref}\n"
    text += "".join([f"{line.line_id}\t{line.location}\t{line.quantity}\n" for line in lines])
    return ReservationChange(
        request_id, fingerprint(text), reservation_id, channel, revision, lines, seconds, order_ref
    )


def fingerprint(text: str) -> str:
    """Of a request's content. No part of the text holds TAB or LF, so different contents are different texts."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _check_line_units(messages: Sequence[pb.LineUnits]) -> tuple[LineUnits, ...]:
    count_of("lines", len(messages), LINES_MAX, least=0)
    lines = []
    for place, message in enumerate(messages):
        path = f"lines[{place}]"
        lines.append(
            LineUnits(
                required_id(f"{path}.line_id", message.line_id),
                optional_text(f"{path}.location", message.location),
                units(f"{path}.quantity", message.quantity, least=0),
            )
        )
    return tuple(lines)
