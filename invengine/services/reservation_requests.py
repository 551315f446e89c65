"""From the messages of ReservationService to the records that the store takes: checked, resolved, fingerprinted.

The messages themselves are read here, without a layer of records in between: a batch carries a thousand of them, and
each record costs as much as the checks on it. In two steps, because they refuse for different reasons:

    checked    what the message alone must obey; a refusal names the field, and no such request was ever accepted
    resolved   what the network in force allows: channel, locations, longest time to live. The same request may have
               been accepted before the network changed, so such a refusal yields to the answer of the first time
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import (
    Destination,
    Fulfilment,
    LineRequest,
    LineUnits,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.stock import UNITS_MAX
from invengine.errors import ChannelDisabled, InvalidArgument, TimeToLiveTooLong
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
    from invengine.v1 import reservation_service_pb2 as pb

    Change = pb.ConfirmReservationRequest | pb.ExtendReservationRequest
    LineChange = pb.ReleaseReservationRequest | pb.FulfilReservationRequest

LINES_MAX: Final = 200
COUNTRY_LETTERS: Final = 2
POSTAL_CODE_BYTES_MAX: Final = 16

FULFILMENTS: Final = (Fulfilment.ANY, Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
"""By their numbers in the proto."""

_PICKUP: Final = 2
_SHIP_TO_STORE: Final = 3
_BEST_EFFORT: Final = 2
_POLICIES: Final = 3
_NOWHERE: Final = Destination()


class CheckedLine(NamedTuple):
    """A line that obeys the contract."""

    line_id: str
    sku: str
    quantity: int
    location: str
    group: str
    fulfilment: int
    destination: Destination
    allow_split: bool


class CheckedRequest(NamedTuple):
    """A request that obeys the contract. `time_to_live_seconds` is 0 where the channel's default is wanted."""

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


def check_create(message: pb.CreateReservationRequest) -> CheckedRequest:
    """The request, if it obeys the contract; InvalidArgument names the field that does not."""
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
    lines = check_lines(message.lines)
    text = f"create\t{reservation_id}\t{best_effort:d}\t{seconds}\t{customer_ref}\t{order_ref}\t{cart_ref}\n"
    return CheckedRequest(
        request_id,
        fingerprint(text + lines_as_text(lines)),
        reservation_id or derived_reservation_id(channel, request_id),
        channel,
        lines,
        seconds,
        best_effort,
        customer_ref,
        order_ref,
        cart_ref,
    )


def resolve(request: CheckedRequest, network: Network) -> ReserveRequest:
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
        tuple([resolve_line(line, channel, network) for line in request.lines]),
        time_to_live(request.time_to_live_seconds, channel, rules),
        request.best_effort,
        request.customer_ref,
        request.order_ref,
        request.cart_ref,
    )


def impossible(request: CheckedRequest) -> ReserveRequest:
    """The request without a single candidate: the store answers what it answered before, or takes nothing."""
    lines = [
        LineRequest(line.line_id, line.sku, line.quantity, (), FULFILMENTS[line.fulfilment]) for line in request.lines
    ]
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


def derived_reservation_id(channel: str, request_id: str) -> str:
    """The id of a reservation whose caller gave none: the same for every repeat of the request."""
    return blake2b(f"{channel}\t{request_id}".encode(), digest_size=12).hexdigest()


def fingerprint(text: str) -> str:
    """Of a request's content. No part of the text holds TAB or LF, so different contents are different texts."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def lines_as_text(lines: list[CheckedLine]) -> str:
    """The content of lines, for a fingerprint."""
    text = ""
    for id_, sku, quantity, location, group, fulfilment, to, split in lines:
        text += f"{id_}\t{sku}\t{quantity}\t{location}\t{group}\t{fulfilment}\t{split:d}"
        text += f"\t{to.country}\t{to.postal_code}\t{to.location}\n" if to is not _NOWHERE else "\t\t\t\n"
    return text


def check_lines(
    messages: Sequence[pb.ReservationLineRequest], field: str = "lines", *, is_new: bool = True
) -> list[CheckedLine]:
    """Lines to reserve, of a new reservation or to be added to one: there an empty line_id stays for the store."""
    count = len(messages)
    if not 1 <= count <= LINES_MAX:
        count_of(field, count, LINES_MAX)
    lines = []
    for place, message in enumerate(messages):
        try:
            lines.append(_check_line(message, str(place + 1) if is_new else ""))
        except InvalidArgument as refusal:
            raise InvalidArgument(f"{field}[{place}].{refusal.field}", refusal.problem) from None
    if count > 1:
        seen: set[str] = set()
        for place, line in enumerate(lines):
            if line.line_id and line.line_id in seen:
                raise InvalidArgument(f"{field}[{place}].line_id", f"{line.line_id!r} is the id of an earlier line")
            seen.add(line.line_id)
    return lines


def _check_line(message: pb.ReservationLineRequest, line_id_without: str) -> CheckedLine:
    if line_id := message.line_id:
        optional_text("line_id", line_id)
    sku, quantity = message.sku, message.quantity
    if not is_plain(sku):
        required_id("sku", sku)
    if not 1 <= quantity <= UNITS_MAX:
        units("quantity", quantity)
    if location := message.location:
        optional_text("location", location)
    if group := message.group:
        optional_text("group", group)
        if location:
            raise InvalidArgument("group", "cannot be given together with location")
    fulfilment = message.fulfilment
    if not 0 <= fulfilment < len(FULFILMENTS):
        raise InvalidArgument("fulfilment", f"{fulfilment} is not a fulfilment")
    if fulfilment == _PICKUP and not location:
        raise InvalidArgument("location", "is required for FULFILMENT_PICKUP")
    destination = _check_destination(message) if message.HasField("destination") else _NOWHERE
    if fulfilment == _SHIP_TO_STORE and not destination.location:
        raise InvalidArgument("destination.location", "is required for FULFILMENT_SHIP_TO_STORE")
    return CheckedLine(
        line_id or line_id_without, sku, quantity, location, group, fulfilment, destination, message.allow_split
    )


def _check_destination(message: pb.ReservationLineRequest) -> Destination:
    given = message.destination
    country = given.country
    if country and not (
        len(country) == COUNTRY_LETTERS and country.isascii() and country.isalpha() and country.isupper()
    ):
        raise InvalidArgument("destination.country", "is not an ISO 3166-1 alpha-2 country in upper case")
    return Destination(
        country,
        optional_text("destination.postal_code", given.postal_code, POSTAL_CODE_BYTES_MAX),
        optional_text("destination.location", given.location),
    )


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


def resolve_line(line: CheckedLine, channel: str, network: Network) -> LineRequest:
    """The line with its candidates. LocationNotUsable, ChannelDisabled and what else the network refuses."""
    if line.fulfilment == _SHIP_TO_STORE:
        network.pickup_location(line.destination.location, channel)
    fulfilment = FULFILMENTS[line.fulfilment]
    usable = network.usable(channel, location=line.location, group=line.group, fulfilment=fulfilment)
    return LineRequest(
        line.line_id,
        line.sku,
        line.quantity,
        network.candidates(channel, line.sku, usable),
        fulfilment,
        line.destination,
        line.allow_split,
        line.location,
    )
