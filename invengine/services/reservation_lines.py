"""Lines to reserve: from their messages to what the store takes. Checked, told apart by their content, resolved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import Destination, Fulfilment, Future, LineRequest
from invengine.domain.stock import UNITS_MAX
from invengine.errors import InvalidArgument
from invengine.services.days import optional_day
from invengine.services.kit_lines import LINES_MAX, check_count, kit_request
from invengine.services.validation import count_of, is_plain, optional_text, required_id, units

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate
    from invengine.services.sourcing import Sourcing
    from invengine.v1 import common_pb2
    from invengine.v1 import reservation_service_pb2 as pb

COUNTRY_LETTERS: Final = 2
POSTAL_CODE_BYTES_MAX: Final = 16

FULFILMENTS: Final = (Fulfilment.ANY, Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
"""By their numbers in the proto."""

_NOWHERE: Final = Destination()
_new: Final = tuple.__new__  # makes a NamedTuple of all its fields, quicker than calling it
_ANY: Final = Fulfilment.ANY
_SHIP: Final = Fulfilment.SHIP
_PICKUP: Final = Fulfilment.PICKUP  # found quicker than a member of its class, for every line of a batch
_SHIP_TO_STORE: Final = Fulfilment.SHIP_TO_STORE


class CheckedLine(NamedTuple):
    """A line that obeys the contract; `needed_by` is a day since 1970, 0 for any; `service` empty for any."""

    line_id: str
    sku: str
    quantity: int
    location: str
    group: str
    fulfilment: Fulfilment
    destination: Destination
    allow_split: bool
    allow_backorder: bool = False
    needed_by: int = 0
    service: str = ""


def check_lines(
    messages: Sequence[pb.ReservationLineRequest], field: str = "lines", *, is_new: bool = True, dated: bool = False
) -> list[CheckedLine]:
    """Lines to reserve, of a new reservation or to be added to one: there an empty line_id stays for the store.

    `dated`: they may be promised dates, all of them.
    """
    count = len(messages)
    if not 1 <= count <= LINES_MAX:
        count_of(field, count, LINES_MAX)
    lines = []
    for place, message in enumerate(messages):
        try:
            lines.append(_check_line(message, str(place + 1) if is_new else "", dated))
        except InvalidArgument as refusal:
            raise InvalidArgument(f"{field}[{place}].{refusal.field}", refusal.problem) from None
    if count > 1:
        seen: set[str] = set()
        for place, line in enumerate(lines):
            if line.line_id and line.line_id in seen:
                raise InvalidArgument(f"{field}[{place}].line_id", f"{line.line_id!r} is the id of an earlier line")
            seen.add(line.line_id)
    return lines


def check_future(
    message: pb.ReservationLineRequest | pb.LineAmendment | pb.LineRebinding, *, dated: bool = False
) -> tuple[bool, int]:
    """Whether the units may come from the future, and the day by which, 0 for any: of delivery where it is `dated`."""
    needed_by = optional_day(message, "needed_by")
    if needed_by and not message.allow_backorder and not dated:
        raise InvalidArgument("needed_by", "goes with allow_backorder only")
    return message.allow_backorder, needed_by


def lines_as_text(lines: list[CheckedLine]) -> str:
    """The content of lines, for a fingerprint."""
    text = ""
    for id_, sku, quantity, location, group, fulfilment, to, split, backorder, needed_by, service in lines:
        if to is _NOWHERE and fulfilment is _ANY and not split and not backorder:  # the usual one, said quicker
            text += f"{id_}\t{sku}\t{quantity}\t{location}\t{group}\tANY\t0\t0\t0\t\t\t\n"
            continue
        text += f"{id_}\t{sku}\t{quantity}\t{location}\t{group}\t{fulfilment}\t{split:d}\t{backorder:d}\t{needed_by}"
        text += f"\t{to.country}\t{to.postal_code}\t{to.location}\n"
        if service:
            text += f"\t{service}\n"
    return text


def resolve_lines(
    lines: Sequence[CheckedLine], channel: str, network: Network, sourcing: Sourcing, field: str = "lines"
) -> tuple[LineRequest, ...]:
    """The lines with their candidates. LocationNotUsable, ChannelDisabled and what else the network refuses."""
    for line in lines:
        if line.fulfilment is _SHIP_TO_STORE:
            network.pickup_location(line.destination.location, channel)
    found = sourcing.candidates(channel, lines, network)
    if network.kits and any(line.sku in network.kits for line in lines):
        return _resolve_kits(list(zip(lines, found, strict=True)), channel, network, field)
    return tuple([_resolved(line, candidates, channel, network) for line, candidates in zip(lines, found, strict=True)])


def _resolved(line: CheckedLine, candidates: tuple[Candidate, ...], channel: str, network: Network) -> LineRequest:
    return LineRequest(
        line.line_id,
        line.sku,
        line.quantity,
        candidates,
        line.fulfilment,
        line.destination,
        line.allow_split,
        line.location,
        future_of(line, channel, network) if line.allow_backorder else None,
    )


def _resolve_kits(
    lines: Sequence[tuple[CheckedLine, tuple[Candidate, ...]]], channel: str, network: Network, field: str
) -> tuple[LineRequest, ...]:
    """The same where some of the lines ask for kits."""
    found: list[LineRequest] = []
    for place, (line, candidates) in enumerate(lines):
        kit = network.kits.get(line.sku)
        if kit is None:
            found.append(_resolved(line, candidates, channel, network))
            continue
        try:
            found.append(kit_request(line, kit, candidates, channel, network))
        except InvalidArgument as refusal:
            raise InvalidArgument(f"{field}[{place}].{refusal.field}", refusal.problem) from None
    check_count(found, field)
    return tuple(found)


def future_of(line: CheckedLine, channel: str, network: Network) -> Future:
    """What a line that may wait can take of the future: backorders have no day, so none with a day to keep."""
    return Future(line.needed_by, 0 if line.needed_by else network.backorder_units(channel, line.sku))


def _check_line(message: pb.ReservationLineRequest, line_id_without: str, dated: bool) -> CheckedLine:
    if line_id := message.line_id:
        optional_text("line_id", line_id)
    sku, quantity = message.sku, message.quantity
    if not is_plain(sku):
        required_id("sku", sku)
    if not 1 <= quantity <= UNITS_MAX:
        units("quantity", quantity)
    if (location := message.location) and not is_plain(location):
        optional_text("location", location)
    if group := message.group:
        optional_text("group", group)
        if location:
            raise InvalidArgument("group", "cannot be given together with location")
    number = message.fulfilment
    if not 0 <= number < len(FULFILMENTS):
        raise InvalidArgument("fulfilment", f"{number} is not a fulfilment")
    fulfilment = FULFILMENTS[number]
    if fulfilment is _PICKUP and not location:
        raise InvalidArgument("location", "is required for FULFILMENT_PICKUP")
    destination = check_destination(message.destination) if message.HasField("destination") else _NOWHERE
    if fulfilment is _SHIP_TO_STORE and not destination.location:
        raise InvalidArgument("destination.location", "is required for FULFILMENT_SHIP_TO_STORE")
    line_id = line_id or line_id_without
    line = line_id, sku, quantity, location, group, fulfilment, destination, message.allow_split
    if service := message.service:
        optional_text("service", service)
        if fulfilment is not _SHIP:
            raise InvalidArgument("service", "goes with FULFILMENT_SHIP only")
        return CheckedLine(*line, *check_future(message, dated=True), service)
    if message.allow_backorder or message.HasField("needed_by"):
        return CheckedLine(*line, *check_future(message, dated=dated))
    return _new(CheckedLine, (*line, False, 0, ""))


def check_destination(given: common_pb2.Destination) -> Destination:
    """Where a line goes; InvalidArgument names the field that is wrong, below `destination`."""
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
