"""What a network leaves open about delivery: not wrong, but something would be promised late, wrongly or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from invengine.domain.calendar_document import minute_text
from invengine.domain.calendars import Calendar
from invengine.domain.days import calendar_day
from invengine.domain.delivery_document import PreparationDocument
from invengine.domain.network_yaml import fault_at, read_yaml
from invengine.domain.orders import Fulfilment
from invengine.errors import NetworkFault

if TYPE_CHECKING:
    from invengine.domain.delivery import Lane, TransferLane
    from invengine.domain.delivery_reader import DeliveryDocument
    from invengine.domain.network import Network
    from invengine.domain.network_parts import Location

HORIZON_DAYS: Final = 730
"""How far ahead anything is promised."""
GAPS_MAX: Final = 1_000

Path = tuple[str | int, ...]
Gap = tuple[Path, str]
_NOTHING = PreparationDocument()
_FIELDS = {Fulfilment.SHIP: "ship", Fulfilment.PICKUP: "pickup", Fulfilment.SHIP_TO_STORE: "ship_to_store"}


def delivery_gaps(network: Network, today: int) -> tuple[NetworkFault, ...]:
    """The gaps by line, the first 1,000; none when the document says nothing about delivery. `today`: a day number."""
    document = network.parsed.delivery
    found = list(_Gaps(network, document, today).all())[:GAPS_MAX] if document else []
    if not found:
        return ()
    root, _ = read_yaml(network.document)  # again: only who asks for gaps needs their lines
    named = [fault_at(root.line_of(path), path, problem) for path, problem in found]
    return tuple(sorted(named, key=lambda gap: gap.line))


class _Gaps:
    """Looks at one network from one day on."""

    def __init__(self, network: Network, document: DeliveryDocument, today: int) -> None:
        self._network = network
        self._document = document
        self._delivery = document.delivery
        self._offered = {(lane.from_location, lane.service) for lane in self._delivery.lanes.values()}
        self._days = range(today, today + HORIZON_DAYS)
        self._open: dict[str, frozenset[int]] = {}

    def all(self) -> Iterator[Gap]:
        yield from self._calendars()
        yield from self._services_and_zones()
        for name, place in self._network.locations.items():
            if place.enabled:
                yield from self._working_time(name, place)
                yield from self._cut_offs(name, place)
        yield from self._shipping()
        yield from self._to_stores()
        yield from self._pickups()

    def _open_days(self, calendar: Calendar) -> frozenset[int]:
        found = self._open.get(calendar.name)
        if found is None:
            found = self._open[calendar.name] = frozenset(day for day in self._days if calendar.is_open(day))
        return found

    def _calendars(self) -> Iterator[Gap]:
        used = self._used_calendars()
        years = range(calendar_day(self._days[0]).year, calendar_day(self._days[-1]).year + 1)
        for name, calendar in self._delivery.calendars.items():
            if not self._open_days(calendar):
                yield (
                    ("calendars", name),
                    f"is not open on any of the next {HORIZON_DAYS} days: nothing that waits for it is promised",
                )
            if name not in used:
                yield ("calendars", name), "no location, service or lane has this calendar"
            if calendar.holidays is None:
                continue
            for year in years:
                if not calendar.holidays.of_year(year):
                    of = " ".join(calendar.holidays).strip()
                    problem = f"no holiday of {of} is known in {year}: its days count as working days"
                    yield ("calendars", name, "holidays"), problem

    def _used_calendars(self) -> set[str]:
        delivery, places = self._delivery, self._network.locations.values()
        calendars = [calendar for place in places for calendar in (place.calendar, place.opening)]
        calendars += [service.calendar for service in delivery.services.values()]
        calendars += [lane.pickups for lane in delivery.lanes.values()]
        calendars += [found for lane in delivery.transfer_lanes.values() for found in (lane.pickups, lane.calendar)]
        return {calendar.name for calendar in calendars if calendar is not None}

    def _services_and_zones(self) -> Iterator[Gap]:
        served = {lane.zone for lane in self._delivery.lanes.values()}
        offered = {service for _, service in self._offered}
        for service in self._delivery.services:
            if service not in offered:
                yield ("services", service), "no lane has this service: it is never promised"
        whole = {country for areas in self._delivery.zones.values() for country, prefix in areas if not prefix}
        told: set[str] = set()
        for zone, areas in self._delivery.zones.items():
            if zone not in served:
                yield ("zones", zone), "no lane leads here: nothing is promised to its postal codes"
            for country in sorted({country for country, _ in areas} - whole - told):
                told.add(country)
                yield ("zones", zone), f"no zone has the whole of {country}: its other postal codes are in no zone"

    def _working_time(self, name: str, place: Location) -> Iterator[Gap]:
        path = ("locations", name)
        ways = _ways(place)
        if place.calendar is None and ways:  # and it has opening hours only if it says so: they are the calendar's
            yield path, f"has no calendar: nothing {' or '.join(ways)} here is promised"
        entry = self._network.parsed.locations[name]
        if (place.calendar or place.opening) and "time_zone" not in entry.model_fields_set:
            yield path, "has working time and no time_zone: its times are taken as UTC"
        for fulfilment, field in _FIELDS.items():
            written = getattr(entry, field) or _NOTHING  # a merged location takes things back by saying nothing
            if written != _NOTHING and not place.can_fulfil(fulfilment):
                ability = "offer pickup" if fulfilment is Fulfilment.PICKUP else "ship"
                yield (*path, field), f"is never used: the location does not {ability}"

    def _cut_offs(self, name: str, place: Location) -> Iterator[Gap]:
        """Cut-offs of services that do not leave from here, and such that come before the first working hour."""
        opens = _first_opening(place.calendar) if place.calendar else 0
        for fulfilment, field in _FIELDS.items():
            written = getattr(self._network.parsed.locations[name], field)
            if written is None or not place.can_fulfil(fulfilment):
                continue
            path = ("locations", name, field)
            for service, minute in {"": written.cut_off, **written.cut_offs}.items():
                where = (*path, "cut_offs", service) if service else (*path, "cut_off")
                if minute is not None and minute <= opens:
                    said = f"{minute_text(minute)} is not after the opening at {minute_text(opens)}"
                    yield where, f"{said}: what is ordered in working hours counts as of the next working day"
                if service and fulfilment is not Fulfilment.SHIP:
                    yield where, f"is never used: services are of ship, not of {field}"
                elif service and (name, service) not in self._offered:
                    yield where, f"no lane from here has service {service!r}"

    def _shipping(self) -> Iterator[Gap]:
        """Locations that no lane leaves, lanes that nothing can leave on."""
        begin = {location for location, _ in self._offered}
        for name, place in self._network.locations.items():
            if place.enabled and place.can_fulfil(Fulfilment.SHIP) and name not in begin:
                yield ("locations", name), "no lane begins here: nothing is promised to be shipped from here"
        for number, lane in enumerate(self._document.lanes):
            if self._cannot(lane.from_, Fulfilment.SHIP):
                yield ("lanes", number, "from"), f"{lane.from_!r} does not ship: the lane is never used"

    def _to_stores(self) -> Iterator[Gap]:
        """Locations where customers collect that nothing can be sent to, transfer lanes that are no use to them."""
        places = {name: place for name, place in self._network.locations.items() if place.enabled}
        senders = {name for name, place in places.items() if place.can_fulfil(Fulfilment.SHIP)}
        lanes = self._delivery.transfer_lanes
        reached = {end for start, end in lanes if start in senders}
        unreached = [name for name, place in places.items() if place.can_fulfil(Fulfilment.PICKUP) and senders - {name}]
        if unreached and not lanes:
            yield ("transfer_lanes",), "there are none: nothing is promised to be sent to a store and collected there"
        for name in unreached if lanes else ():
            if name not in reached:
                yield (
                    ("locations", name),
                    "no transfer lane leads here: nothing is promised to be sent here and collected",
                )
        for number, lane in enumerate(self._document.transfer_lanes):
            if self._cannot(lane.from_, Fulfilment.SHIP):
                yield ("transfer_lanes", number, "from"), f"{lane.from_!r} does not ship: the lane is never used"
            if self._cannot(lane.to, Fulfilment.PICKUP):
                yield ("transfer_lanes", number, "to"), f"nobody collects at {lane.to!r}: the lane is never used"

    def _cannot(self, name: str, fulfilment: Fulfilment) -> bool:
        """Whether it is the name of a location (not of a group) that cannot do this."""
        place = self._network.locations.get(name)
        return place is not None and not place.can_fulfil(fulfilment)

    def _pickups(self) -> Iterator[Gap]:
        """Lanes whose carrier comes on days only on which nobody works."""
        told: set[tuple[str, str]] = set()
        every: list[Lane | TransferLane] = [*self._delivery.lanes.values(), *self._delivery.transfer_lanes.values()]
        for lane in every:
            name, pickups = lane.from_location, lane.pickups
            calendar = self._network.locations[name].calendar
            if calendar is None or (name, pickups.name) in told:
                continue
            told.add((name, pickups.name))
            works, collects = self._open_days(calendar), self._open_days(pickups)
            if works and collects and works.isdisjoint(collects):
                problem = f"works on none of the days on which carriers collect by calendar {pickups.name!r}"
                yield ("locations", name), f"{problem}: nothing leaves with them"


def _first_opening(calendar: Calendar) -> int:
    """The earliest local minute at which work begins on any day; 0 when it never does."""
    days = (*calendar.week, *calendar.exceptions.values())
    return min((spans[0][0] for spans in days if spans), default=0)


def _ways(place: Location) -> list[str]:
    words = {Fulfilment.SHIP: "shipped from", Fulfilment.PICKUP: "collected"}
    return [word for fulfilment, word in words.items() if place.can_fulfil(fulfilment)]
