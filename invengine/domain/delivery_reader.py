"""The sections of a network document that say how and when goods reach customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from invengine.domain.calendar_document import read_calendar
from invengine.domain.calendars import ALWAYS, Calendar
from invengine.domain.delivery import Delivery, Lane, Service, TransferLane, Zones
from invengine.domain.delivery_document import LaneDocument, ServiceDocument, TransferLaneDocument, currency_problem
from invengine.domain.network_document import LocationDocument
from invengine.domain.network_fields import described, is_country
from invengine.domain.network_reading import Reading, unknown_field, unknown_name
from invengine.domain.postal import POSTAL_PREFIX_MAX, postal_prefix

CALENDARS_MAX: Final = 1_000
SERVICES_MAX: Final = 200
ZONES_MAX: Final = 10_000
PREFIXES_MAX: Final = 50_000  # of all zones together
LANES_MAX: Final = 100_000  # of each kind, as they are written
ROUTES_MAX: Final = 300_000  # of each kind, each lane of a group counted for each of its locations

DELIVERY_SECTIONS: Final = ("currency", "calendars", "services", "zones", "lanes", "transfer_lanes")

NEEDS_CURRENCY: Final = "costs need a currency: say it at the top, such as currency: EUR"

Groups = Mapping[str, tuple[str, ...]]
Written = TypeVar("Written", LaneDocument, TransferLaneDocument)
Key = TypeVar("Key", bound=tuple[str, ...])
_PREPARATIONS = ("ship", "pickup", "ship_to_store")


@dataclass(frozen=True, slots=True)
class DeliveryDocument:
    """What the document says, compiled, and its lanes as they are written: of locations or groups."""

    delivery: Delivery
    lanes: tuple[LaneDocument, ...]
    transfer_lanes: tuple[TransferLaneDocument, ...]


def read_delivery(
    reading: Reading, locations: Mapping[str, LocationDocument], groups: Groups
) -> DeliveryDocument | None:
    """The sections about delivery; None when the document has none of them. Faults are reported to `reading`."""
    for name, place in locations.items():
        _location(reading, name, place)
    if not any(section in reading.raw for section in DELIVERY_SECTIONS):
        return None
    return _Reader(reading, groups).read()


def _location(reading: Reading, name: str, place: LocationDocument) -> None:
    """Checks what the entry of a location refers to."""
    for field in ("calendar", "opening"):
        _reference(reading, ("locations", name, field), getattr(place, field), "calendars", "calendar")
    if (place.costs.parcel or place.costs.unit) and "currency" not in reading.raw:
        reading.fault(("locations", name, "costs"), NEEDS_CURRENCY)
    for field in _PREPARATIONS:
        preparation = getattr(place, field)
        for service in preparation.cut_offs if preparation else ():
            _reference(reading, ("locations", name, field, "cut_offs", service), service, "services", "service")


def _reference(reading: Reading, path: tuple[str | int, ...], name: str | None, section: str, word: str) -> None:
    if name is not None and not reading.known(section, name):
        reading.fault(path, unknown_name(word, name, reading.raw.get(section)))


class _Reader:
    """Reads section by section; each is needed by those after it."""

    def __init__(self, reading: Reading, groups: Groups) -> None:
        self._reading = reading
        self._groups = groups
        self._calendars: dict[str, Calendar] = {}
        self._places: dict[str, tuple[str, ...]] = {}

    def read(self) -> DeliveryDocument:
        currency = self._currency()
        self._calendars = dict(self._read_calendars())
        services = dict(self._services())
        zones, postal_zones = self._zones()
        self._places = self._sources()
        written = tuple(self._lanes("lanes", LaneDocument, bool(currency)))
        written_transfers = tuple(self._lanes("transfer_lanes", TransferLaneDocument, bool(currency)))
        delivery = Delivery(
            MappingProxyType(self._calendars),
            MappingProxyType(services),
            MappingProxyType(zones),
            MappingProxyType(self._routes("lanes", written, self._lane_keys, self._lane)),
            MappingProxyType(
                self._routes("transfer_lanes", written_transfers, self._transfer_keys, self._transfer_lane)
            ),
            currency,
            postal_zones,
        )
        return DeliveryDocument(
            delivery, tuple(lane for _, lane in written), tuple(lane for _, lane in written_transfers)
        )

    def _currency(self) -> str:
        currency = self._reading.raw.get("currency", "")
        if "currency" in self._reading.raw and (problem := currency_problem(currency)):
            self._reading.fault(("currency",), problem)
            return "XXX"  # its costs have a currency, only that nobody knows which: one fault is enough
        return str(currency)

    def _read_calendars(self) -> Iterator[tuple[str, Calendar]]:
        for name, raw in self._reading.entries("calendars", CALENDARS_MAX):

            def report(inside: tuple[str | int, ...], problem: str, name: str = name) -> None:
                self._reading.fault(("calendars", name, *inside), problem)

            yield name, read_calendar(name, raw, report, unknown_field)

    def _services(self) -> Iterator[tuple[str, Service]]:
        for name, service in self._reading.models("services", ServiceDocument, SERVICES_MAX).items():
            path = ("services", name, "calendar")
            _reference(self._reading, path, service.calendar, "calendars", "calendar")
            yield name, Service(name, service.carrier, self._calendar(service.calendar))

    def _calendar(self, name: str | None) -> Calendar:
        return ALWAYS if name is None else self._calendars.get(name, ALWAYS)

    def _zones(self) -> tuple[dict[str, tuple[tuple[str, str], ...]], Zones]:
        zones = {}
        owners: dict[tuple[str, str], tuple[str, int]] = {}  # zone and line
        for name, raw in self._reading.entries("zones", ZONES_MAX):
            path = ("zones", name)
            if not isinstance(raw, list) or not raw:
                self._reading.fault(
                    path, f"a list of countries with postal prefixes is wanted, {described(raw or None)} found"
                )
                continue
            found = []
            for place, area in enumerate(raw):
                for inside, prefix in self._areas((*path, place), area):
                    if prefix in owners:
                        self._reading.fault(inside, _taken(prefix, *owners[prefix]))
                        continue
                    owners[prefix] = name, self._reading.line_of(inside)
                    found.append(prefix)
            zones[name] = tuple(sorted(found))
        if len(owners) > PREFIXES_MAX:
            self._reading.fault(("zones",), f"{len(owners)} postal prefixes; at most {PREFIXES_MAX} are taken")
        return zones, Zones({prefix: zone for prefix, (zone, _) in owners.items()})

    def _areas(
        self, path: tuple[str | int, ...], area: object
    ) -> Iterator[tuple[tuple[str | int, ...], tuple[str, str]]]:
        """Where each (country, prefix) of one entry of a zone stands, and itself."""
        fault = self._reading.fault
        if not isinstance(area, dict):
            fault(path, f"a mapping with a country is wanted, {described(area)} found")
            return
        for key in area:
            if key not in ("country", "postal_prefixes"):
                fault((*path, key), unknown_field(key, ("country", "postal_prefixes")))
        country, prefixes = area.get("country"), area.get("postal_prefixes", [""])
        if not isinstance(country, str) or not is_country(country):
            fault((*path, "country"), f"{described(country)} is not a country such as GB")
            return
        if "postal_prefixes" not in area:
            yield path, (country, "")
            return
        if not isinstance(prefixes, list) or not prefixes:
            fault(
                (*path, "postal_prefixes"),
                f"a list of beginnings of postal codes is wanted, {described(prefixes or None)} found",
            )
            return
        for place, written in enumerate(prefixes):
            inside = (*path, "postal_prefixes", place)
            prefix = postal_prefix(written) if isinstance(written, str) else ""
            if not prefix.isalnum() or len(prefix) > POSTAL_PREFIX_MAX:
                fault(inside, f"{described(written)} is not the beginning of a postal code")
                continue
            yield inside, (country, prefix)

    def _sources(self) -> dict[str, tuple[str, ...]]:
        """What a lane may begin or end at: the locations of each location (itself) and group."""
        locations = self._reading.raw.get("locations")
        places = {name: (name,) for name in locations} if isinstance(locations, dict) else {}
        return {**self._groups, **places}

    def _lanes(self, section: str, model: type[Written], has_currency: bool) -> Iterator[tuple[int, Written]]:
        """The lanes without faults of their own, each with its place in the list."""
        raw = self._reading.raw.get(section)
        raw = [] if raw is None else raw
        if not isinstance(raw, list):
            self._reading.fault((section,), f"a list of lanes is wanted, {described(raw)} found")
            return
        if len(raw) > LANES_MAX:
            self._reading.fault((section,), f"{len(raw)} lanes; at most {LANES_MAX} are taken")
            return
        for place, entry in enumerate(raw):
            if self._reading.enough():
                return
            lane = self._reading.model((section, place), model, entry)
            if lane is not None and self._known(section, place, lane, has_currency):
                yield place, lane

    def _known(self, section: str, place: int, lane: LaneDocument | TransferLaneDocument, has_currency: bool) -> bool:
        """Checks what a lane refers to."""
        before = len(self._reading.faults)
        ends = lane.ends
        for field, name in ends:
            if name not in self._places:
                self._reading.fault((section, place, field), unknown_name("location or group", name, self._places))
            elif name in self._groups and self._reading.known("locations", name):
                self._reading.fault((section, place, field), f"{name!r} is a location and a group: which one is meant?")
        if len(ends) > 1 and lane.from_ == ends[-1][1] and lane.from_ not in self._groups:
            self._reading.fault((section, place, "to"), f"{lane.from_!r} is where the lane begins")
        for field, of, named in lane.references:
            _reference(self._reading, (section, place, field), named, of, of.removesuffix("s"))
        if not has_currency and (lane.cost or lane.cost_per_unit):
            field = "cost" if lane.cost else "cost_per_unit"
            self._reading.fault((section, place, field), NEEDS_CURRENCY)
        return len(self._reading.faults) == before

    def _routes(
        self,
        section: str,
        written: Sequence[tuple[int, Written]],
        keys_of: Callable[[Written], Iterator[Key]],
        made: Callable[[Written, Key], Any],
    ) -> dict[Key, Any]:
        """One lane for each pair of ends. Where several hold, the one that names more of its ends itself wins."""
        found: dict[Key, tuple[int, int]] = {}  # how many ends are named, place
        lanes: dict[Key, Any] = {}
        for place, lane in sorted(written, key=lambda entry: -self._named_ends(entry[1])):
            named = self._named_ends(lane)
            for key in keys_of(lane):
                named_before, first = found.setdefault(key, (named, place))
                if first == place:
                    lanes[key] = made(lane, key)
                elif named_before == named:
                    self._reading.fault((section, place), self._twice(section, first, key))
                    break
                if len(lanes) > ROUTES_MAX:
                    problem = f"more than {ROUTES_MAX} of them, those of groups counted for each location"
                    self._reading.fault((section,), problem)
                    return {}
        return lanes

    def _twice(self, section: str, first: int, key: tuple[str, ...]) -> str:
        line = self._reading.line_of((section, first))
        return f"from {key[0]} to {' with '.join(key[1:])} there is a lane already, in line {line}"

    def _named_ends(self, lane: LaneDocument | TransferLaneDocument) -> int:
        return sum(name not in self._groups for _, name in lane.ends)

    def _lane_keys(self, lane: LaneDocument) -> Iterator[tuple[str, str, str]]:
        return ((name, lane.zone, lane.service) for name in self._places[lane.from_])

    def _lane(self, lane: LaneDocument, key: tuple[str, str, str]) -> Lane:
        return Lane(*key, lane.transit, self._calendar(lane.pickups), lane.cost, lane.cost_per_unit)

    def _transfer_keys(self, lane: TransferLaneDocument) -> Iterator[tuple[str, str]]:
        return ((start, end) for start in self._places[lane.from_] for end in self._places[lane.to] if start != end)

    def _transfer_lane(self, lane: TransferLaneDocument, key: tuple[str, str]) -> TransferLane:
        calendar, pickups = self._calendar(lane.calendar), self._calendar(lane.pickups)
        return TransferLane(*key, lane.transit, calendar, pickups, lane.cost, lane.cost_per_unit)


def _taken(prefix: tuple[str, str], zone: str, line: int) -> str:
    country, code = prefix
    said = f"postal prefix {code!r} of {country}" if code else f"the whole of {country}"
    return f"{said} is in zone {zone!r} already, in line {line}"
