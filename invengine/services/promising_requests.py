"""What a question for a promise must look like: from its message to what is dated, every field checked by its name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from invengine.domain.distance import Position
from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.transit import parts_of
from invengine.errors import InvalidArgument, UnknownService
from invengine.services.reservation_lines import COUNTRY_LETTERS, POSTAL_CODE_BYTES_MAX
from invengine.services.validation import count_of, is_plain, optional_text, required_id, units

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.v1 import common_pb2, plan_pb2
    from invengine.v1 import promise_service_pb2 as pb

LINES_MAX: Final = 50
SKUS_MAX: Final = 10_000
ORDERS_MAX: Final = 10_000
ORDER_LINES_MAX: Final = 50_000
SERVICES_MAX: Final = 100
RADIUS_KM_MAX: Final = 20_100

WAYS: Final = (Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
"""How a basket may be had, in the order of the answer."""

_BY_NUMBER: Final[Mapping[int, Fulfilment]] = dict(enumerate(WAYS, start=1))
"""By their numbers in the proto."""

_NUMBER: Final = {way: number for number, way in _BY_NUMBER.items()}

T = TypeVar("T")


class WantedLine(NamedTuple):
    """A line that is to be promised, in the shape that sourcing asks for."""

    line_id: str
    sku: str
    quantity: int
    location: str
    group: str
    allow_split: bool
    fulfilment: Fulfilment = Fulfilment.ANY
    destination: Destination = Destination()


class Near(NamedTuple):
    """Where a customer is, and how far it may be from there."""

    position: Position
    radius_km: float = math.inf


@dataclass(frozen=True, slots=True)
class Asked:
    """How a basket may be had: where it goes, the ways, the services to ship it with; by the network in force.

    `near`: for collecting at any location, from where its distance counts.
    """

    destination: Destination
    ways: tuple[Fulfilment, ...]
    services: tuple[str, ...]
    near: Near | None = None


@dataclass(frozen=True, slots=True)
class AskedPromise:
    """A checked GetPromiseRequest. `confidence_parts`: ten-thousandths, 0 for the transit that the network states."""

    channel: str
    lines: tuple[WantedLine, ...]
    how: Asked
    confidence_parts: int
    explain: bool


@dataclass(frozen=True, slots=True)
class AskedOrder:
    """An order of a checked BatchGetPromiseRequest."""

    lines: tuple[WantedLine, ...]
    how: Asked


def check_get(message: pb.GetPromiseRequest, network: Network) -> AskedPromise:
    """A basket to be promised. InvalidArgument, UnknownService, UnknownLocation, LocationNotUsable."""
    channel = required_id("channel", message.channel)
    lines = check_lines(message.lines, "lines")
    how = check_get_how(message, network, channel)
    return AskedPromise(channel, lines, how, check_confidence(message), message.explain)


def check_lines(messages: Sequence[pb.PromiseLineRequest], field: str) -> tuple[WantedLine, ...]:
    """Lines of a basket, 1 to 50; an empty line_id becomes the line's place."""
    count = len(messages)
    if not 1 <= count <= LINES_MAX:
        count_of(field, count, LINES_MAX)
    lines = []
    for place, message in enumerate(messages):
        try:
            lines.append(_check_line(message, place))
        except InvalidArgument as refusal:
            raise InvalidArgument(f"{field}[{place}].{refusal.field}", refusal.problem) from None
    if count > 1:
        seen: set[str] = set()
        for place, line in enumerate(lines):
            if line.line_id in seen:
                raise InvalidArgument(f"{field}[{place}].line_id", f"{line.line_id!r} is the id of an earlier line")
            seen.add(line.line_id)
    return tuple(lines)


def _check_line(message: pb.PromiseLineRequest, place: int) -> WantedLine:
    line_id, location, group = message.line_id, message.location, message.group
    if line_id and not is_plain(line_id):
        optional_text("line_id", line_id)
    sku = message.sku
    if not is_plain(sku):
        required_id("sku", sku)
    if location or group:
        optional_text("location", location)
        optional_text("group", group)
        if location and group:
            raise InvalidArgument("group", "not together with location")
    return WantedLine(
        line_id or str(place + 1), sku, units("quantity", message.quantity), location, group, message.allow_split
    )


def check_get_how(message: pb.GetPromiseRequest, network: Network, channel: str) -> Asked:
    """Where to, which ways, which services, from where distances count."""
    destination = check_destination("destination", message.destination)
    ways = check_ways("fulfilments", message.fulfilments)
    services = check_services("services", message.services, network)
    near = check_near(message.near) if message.HasField("near") else None
    if near is not None and destination.location:
        raise InvalidArgument("near", "not together with destination.location")
    if near is not None and not ways:
        ways = ((Fulfilment.SHIP,) if destination.country else ()) + (Fulfilment.PICKUP,)
    if near is not None and Fulfilment.PICKUP not in ways:
        raise InvalidArgument("near", "goes with FULFILMENT_PICKUP only")
    return replace(settle(destination, ways, services, (network, channel)), near=near)


def check_near(message: pb.Near) -> Near:
    """A point and a radius. InvalidArgument."""
    for name, value, most in (("latitude", message.latitude, 90), ("longitude", message.longitude, 180)):
        if not -most <= value <= most:  # nor is NaN
            raise InvalidArgument(f"near.{name}", f"is {value}; -{most} to {most} are allowed")
    radius = message.radius_km if message.HasField("radius_km") else math.inf
    if message.HasField("radius_km") and not 0 < radius <= RADIUS_KM_MAX:
        raise InvalidArgument("near.radius_km", f"is {radius}; more than 0 and at most {RADIUS_KM_MAX} are allowed")
    return Near(Position(message.latitude, message.longitude), radius)


def settle(
    destination: Destination,
    ways: tuple[Fulfilment, ...],
    services: tuple[str, ...],
    where: tuple[Network, str],
    *,
    field: str = "destination",
    needs_location: bool = False,
) -> Asked:
    """Fills in what is left open, and checks that the destination has what each of the ways needs.

    InvalidArgument, UnknownLocation, LocationNotUsable.
    """
    network, channel = where
    if destination.location:
        network.pickup_location(destination.location, channel)
    if not ways:
        ways = ((Fulfilment.SHIP,) if destination.country else ()) + (WAYS[1:] if destination.location else ())
        if not ways:
            raise InvalidArgument(field, "is required: a country to ship to, or a location to collect at")
    if Fulfilment.SHIP in ways and not destination.country:
        raise InvalidArgument(f"{field}.country", "is required to ship")
    if Fulfilment.SHIP_TO_STORE in ways and not destination.location:
        raise InvalidArgument(f"{field}.location", "is required to ship to a store")
    if Fulfilment.PICKUP in ways and needs_location and not destination.location:
        raise InvalidArgument(f"{field}.location", "is required to collect")
    return Asked(destination, ways, services or tuple(sorted(network.delivery.services)))


def check_destination(field: str, message: common_pb2.Destination) -> Destination:
    """Where it goes; every part may be empty."""
    country, postal_code, location = message.country, message.postal_code, message.location
    if country and not (
        len(country) == COUNTRY_LETTERS and country.isascii() and country.isalpha() and country.isupper()
    ):
        raise InvalidArgument(f"{field}.country", "is not an upper-case ISO 3166-1 alpha-2 country")
    optional_text(f"{field}.postal_code", postal_code, POSTAL_CODE_BYTES_MAX)
    if postal_code and not country:
        raise InvalidArgument(f"{field}.country", "is required with a postal code")
    return Destination(country, postal_code, optional_text(f"{field}.location", location))


def check_ways(field: str, numbers: Sequence[int]) -> tuple[Fulfilment, ...]:
    """The ways, in the order of the answer; empty for all that the destination allows."""
    count_of(field, len(numbers), len(WAYS), least=0)
    for place, number in enumerate(numbers):
        if number not in _BY_NUMBER:
            raise InvalidArgument(f"{field}[{place}]", f"{number} is not a way to get a basket")
    _check_once(field, numbers)
    return tuple(sorted((_BY_NUMBER[number] for number in numbers), key=lambda way: _NUMBER[way]))


def check_services(field: str, names: Sequence[str], network: Network) -> tuple[str, ...]:
    """Services of the network, in the caller's order; empty for all. UnknownService."""
    count_of(field, len(names), SERVICES_MAX, least=0)
    for place, name in enumerate(names):
        required_id(f"{field}[{place}]", name)
    _check_once(field, names)
    for name in names:
        if name not in network.delivery.services:
            raise UnknownService(name)
    return tuple(names)


def _check_once(field: str, values: Iterable[T]) -> None:
    seen: set[T] = set()
    for place, value in enumerate(values):
        if value in seen:
            raise InvalidArgument(f"{field}[{place}]", "is named already")
        seen.add(value)


def check_confidence(message: pb.GetPromiseRequest | pb.BatchGetPromiseRequest | plan_pb2.PlanBasketRequest) -> int:
    """Ten-thousandths, 0 where none is wanted."""
    if not message.HasField("confidence"):
        return 0
    confidence = message.confidence
    parts = parts_of(confidence)
    if parts is None:
        raise InvalidArgument("confidence", f"is {confidence}; 0.0001 to 0.9999 are allowed")
    return parts


@dataclass(frozen=True, slots=True)
class AskedBatch:
    """A checked BatchGetPromiseRequest but for its lines: what counts for SKUs, and orders that say nothing else."""

    channel: str
    destination: Destination
    ways: tuple[Fulfilment, ...]
    services: tuple[str, ...]
    confidence_parts: int


def check_batch(message: pb.BatchGetPromiseRequest, network: Network) -> AskedBatch:
    """Everything but the SKUs or orders. InvalidArgument, UnknownService."""
    channel = required_id("channel", message.channel)
    count_of("skus", len(message.skus), SKUS_MAX, least=0)
    count_of("orders", len(message.orders), ORDERS_MAX, least=0)
    if message.orders and message.skus:
        raise InvalidArgument("orders", "not together with skus")
    if not message.orders and not message.skus:
        raise InvalidArgument("skus", "is required, or orders")
    if message.orders and message.quantities:
        raise InvalidArgument("quantities", "goes with skus only")
    if message.quantities and len(message.quantities) != len(message.skus):
        raise InvalidArgument("quantities", f"has {len(message.quantities)} elements for {len(message.skus)} skus")
    lines = sum([len(order.lines) for order in message.orders])
    if lines > ORDER_LINES_MAX:
        raise InvalidArgument("orders", f"have {lines} lines in all; at most {ORDER_LINES_MAX} are allowed")
    return AskedBatch(
        channel,
        check_destination("destination", message.destination),
        check_ways("fulfilments", message.fulfilments),
        check_services("services", message.services, network),
        check_confidence(message),
    )


def check_skus(message: pb.BatchGetPromiseRequest, asked: AskedBatch, network: Network) -> list[AskedOrder]:
    """The SKUs as orders of one line each. InvalidArgument, UnknownLocation, LocationNotUsable."""
    how = settle(asked.destination, asked.ways, asked.services, (network, asked.channel), needs_location=True)
    quantities = message.quantities or [1] * len(message.skus)
    found = []
    for place, (sku, quantity) in enumerate(zip(message.skus, quantities, strict=True)):
        if not is_plain(sku):
            required_id(f"skus[{place}]", sku)
        line = WantedLine("1", sku, units(f"quantities[{place}]", quantity), "", "", False)
        found.append(AskedOrder((line,), how))
    return found


class OrderChecks:
    """Checks orders one after another; what many say alike is looked at once."""

    def __init__(self, asked: AskedBatch, network: Network) -> None:
        self._asked = asked
        self._network = network
        self._known: dict[tuple[Destination, tuple[int, ...], tuple[str, ...]], Asked] = {}

    def order(self, message: pb.PromiseOrder, place: int) -> AskedOrder:
        """One order. InvalidArgument, UnknownService, UnknownLocation, LocationNotUsable, and for groups as `get`."""
        field = f"orders[{place}]"
        lines = check_lines(message.lines, f"{field}.lines")
        for line in lines:
            if line.location or line.group:
                named = (line.location,) if line.location else ()
                self._network.asked(self._asked.channel, locations=named, group=line.group)
        where = f"{field}.destination" if message.HasField("destination") else "destination"
        destination = self._asked.destination
        if message.HasField("destination"):
            to = message.destination
            destination = Destination(to.country, to.postal_code, to.location)
        key = destination, tuple(message.fulfilments), tuple(message.services)
        how = self._known.get(key)
        if how is None:
            if message.HasField("destination"):
                check_destination(where, message.destination)
            ways = check_ways(f"{field}.fulfilments", message.fulfilments) or self._asked.ways
            services = check_services(f"{field}.services", message.services, self._network) or self._asked.services
            asker = self._network, self._asked.channel
            how = self._known[key] = settle(destination, ways, services, asker, field=where, needs_location=True)
        return AskedOrder(lines, how)
