"""How goods reach customers: services of carriers, zones, lanes, and what a location does before anything leaves it.

Transit counts days of the calendars in domain.calendars. Costs are whole ten-thousandths of the network's currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from invengine.domain.calendars import Calendar
from invengine.domain.postal import postal_prefix

COST_PARTS: Final = 10_000
"""Parts that one unit of a currency has inside."""


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Service:
    """What a carrier offers. Days that `calendar` has open count as days of transit; it is ALWAYS unless told."""

    name: str
    carrier: str
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class Lane:
    """One service from one location to one zone.

    `transit_days`: open days of the service's calendar after the day of shipping. `pickups`: days on which the carrier
    collects. A parcel costs `cost`, and `cost_per_unit` for each unit in it.
    """

    from_location: str
    zone: str
    service: str
    transit_days: int
    pickups: Calendar
    cost: int = 0
    cost_per_unit: int = 0


@dataclass(frozen=True, slots=True)
class TransferLane:
    """The way from one location to another, with the same words as Lane; `calendar` has the days that count."""

    from_location: str
    to_location: str
    transit_days: int
    calendar: Calendar
    pickups: Calendar
    cost: int = 0
    cost_per_unit: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a location can prepare in a day: `units` or `orders`; the other one is 0."""

    units: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a location does before goods leave it, or before a customer can collect them.

    `cut_off`: local minute of day before which an order counts as of that day; None: any working time does.
    """

    handling_minutes: int = 0
    cut_off: int | None = None
    cut_offs: Mapping[str, int] = field(default_factory=_empty, hash=False)
    """Of services that have one of their own, by name."""
    capacity: Capacity | None = None

    def cut_off_of(self, service: str = "") -> int | None:
        """The cut-off of a service: its own, or the one of all; None where there is neither."""
        return self.cut_offs.get(service, self.cut_off)


class Zones:
    """Which zone a postal code lies in: the one with the longest prefix, the country alone being the shortest."""

    __slots__ = ("_countries",)

    def __init__(self, prefixes: Mapping[tuple[str, str], str]) -> None:
        """`prefixes`: zones by (country, prefix as `postal_prefix` makes it); the empty prefix is the whole country."""
        countries: dict[str, dict[str, str]] = {}
        for (country, prefix), zone in prefixes.items():
            countries.setdefault(country, {})[prefix] = zone
        self._countries = {
            country: (zones, sorted({len(prefix) for prefix in zones}, reverse=True))
            for country, zones in countries.items()
        }

    def zone_of(self, country: str, postal_code: str) -> str:
        """The zone, or empty when the code lies in none."""
        found = self._countries.get(country)
        if found is None:
            return ""
        zones, lengths = found
        code = postal_prefix(postal_code)
        for length in lengths:
            if length <= len(code) and (zone := zones.get(code[:length])) is not None:
                return zone
        return ""


NO_ZONES: Final = Zones({})


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything about delivery that a network says; empty where its file says nothing."""

    calendars: Mapping[str, Calendar] = field(default_factory=_empty)
    services: Mapping[str, Service] = field(default_factory=_empty)
    zones: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=_empty)
    """Of each zone: (country, postal prefix); the prefix is empty where the whole country is meant."""
    lanes: Mapping[tuple[str, str, str], Lane] = field(default_factory=_empty)
    """By (location, zone, service). A lane of a group is there once for each of its locations."""
    transfer_lanes: Mapping[tuple[str, str], TransferLane] = field(default_factory=_empty)
    """By (from, to), both locations."""
    currency: str = ""
    """Of all costs: three capital letters; empty when the file names none, and then all costs are 0."""
    postal_zones: Zones = NO_ZONES
    lanes_from: Mapping[str, tuple[Lane, ...]] = field(init=False, compare=False, repr=False)
    """The lanes of each location that has any."""

    def __post_init__(self) -> None:
        found: dict[str, list[Lane]] = {}
        for lane in self.lanes.values():
            found.setdefault(lane.from_location, []).append(lane)
        lanes_from = MappingProxyType({location: tuple(lanes) for location, lanes in found.items()})
        object.__setattr__(self, "lanes_from", lanes_from)

    def zone_of(self, country: str, postal_code: str) -> str:
        """The zone that a postal code lies in, or empty when it lies in none."""
        return self.postal_zones.zone_of(country, postal_code)


NO_DELIVERY: Final = Delivery()
