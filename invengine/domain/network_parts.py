"""The parts of a compiled network, each made from its entry in the document and turned back into plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from invengine.domain.calendars import Calendar
from invengine.domain.delivery import Preparation
from invengine.domain.delivery_parts import cost_text, preparation_elements
from invengine.domain.distance import Position
from invengine.domain.network_document import (
    FULFILMENTS_BY_KIND,
    BackorderRuleDocument,
    ChannelDocument,
    FulfilmentWord,
    IncomingDocument,
    LocationDocument,
    LocationKind,
    Overdue,
    SafetyRuleDocument,
)
from invengine.domain.orders import Fulfilment

_PLAIN = ("name", "kind", "enabled", "time_zone", "priority", "latitude", "longitude", "country", "postal_code")
_WORDS = {FulfilmentWord.SHIP: Fulfilment.SHIP, FulfilmentWord.PICKUP: Fulfilment.PICKUP}
Safety = tuple[int, int]
"""(units, ten-thousandths of on_hand) that stay: the larger of the two counts, see domain.stock.safety_units."""
NO_SAFETY: Final[Safety] = (0, 0)
_UNPREPARED: Final = MappingProxyType(
    dict.fromkeys((Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE), Preparation())
)


@dataclass(frozen=True, slots=True)
class Location:
    """A place that can hold stock. `priority`: the lower is taken from first. Degrees are None when not known."""

    name: str
    kind: LocationKind
    enabled: bool
    time_zone: str
    fulfilments: frozenset[Fulfilment]  # of SHIP and PICKUP
    priority: int
    latitude: float | None
    longitude: float | None
    country: str
    postal_code: str
    overdue_stops: bool = False
    """Receipts whose day is over do not count any more."""
    calendar: Calendar | None = None
    """Working time; None: not known, so nothing from here can be dated."""
    opening: Calendar | None = None
    """When customers can collect."""
    preparation: Mapping[Fulfilment, Preparation] = field(default_factory=lambda: _UNPREPARED, hash=False)
    """Of SHIP, PICKUP and SHIP_TO_STORE, each of them always there."""
    parcel_cost: int = 0
    """What each parcel costs here, in ten-thousandths of the network's currency."""
    unit_cost: int = 0
    """What each unit in it costs."""

    @property
    def position(self) -> Position | None:
        """Where it lies, None where that is not known."""
        if self.latitude is None or self.longitude is None:
            return None
        return Position(self.latitude, self.longitude)

    def can_fulfil(self, fulfilment: Fulfilment) -> bool:
        """Whether units from here can reach the customer this way; ship-to-store leaves from where shipping does."""
        if fulfilment is Fulfilment.ANY:
            return True
        needed = Fulfilment.SHIP if fulfilment is Fulfilment.SHIP_TO_STORE else fulfilment
        return needed in self.fulfilments


@dataclass(frozen=True, slots=True)
class Channel:
    """One who asks and sells. `borrows`: it may take beyond its own ring-fence what is fenced for nobody."""

    enabled: bool
    groups: tuple[str, ...]
    time_to_live_seconds: int
    time_to_live_seconds_max: int
    low_stock_threshold: int
    borrows: bool = True


def larger(one: Safety, other: Safety) -> Safety:
    """Both kept: the larger number of units and the larger share."""
    return max(one[0], other[0]), max(one[1], other[1])


@dataclass(frozen=True, slots=True)
class SafetyRules:
    """The rules by their scope."""

    skus: dict[str, Safety]
    positions: dict[tuple[str, str], Safety]  # by (sku, location)
    locations: dict[str, Safety]
    channels: dict[str, Safety]


def compile_rules(rules: Iterable[SafetyRuleDocument]) -> SafetyRules:
    """The rules sorted by what they name."""
    found = SafetyRules({}, {}, {}, {})
    for rule in rules:
        safety = (rule.units or 0, rule.parts)
        if rule.channel is not None:
            found.channels[rule.channel] = safety
        elif rule.sku is None:
            found.locations[rule.location or ""] = safety
        elif rule.location is None:
            found.skus[rule.sku] = safety
        else:
            found.positions[rule.sku, rule.location] = safety
    return found


def compile_backorders(rules: Iterable[BackorderRuleDocument]) -> dict[tuple[str, str], int]:
    """Units by (sku, channel); the channel is empty for the rule that holds for all that have none of their own."""
    return {rule.scope: rule.units for rule in rules}


def compile_location(
    name: str, entry: LocationDocument, incoming: IncomingDocument, calendars: Mapping[str, Calendar]
) -> Location:
    """The location, named by its id where it has no name; `incoming` holds where it says nothing itself."""
    words = FULFILMENTS_BY_KIND[entry.kind] if entry.fulfilments is None else entry.fulfilments
    return Location(
        name=entry.name or name,
        kind=entry.kind,
        enabled=entry.enabled,
        time_zone=entry.time_zone,
        fulfilments=frozenset(_WORDS[word] for word in words),
        priority=entry.priority,
        latitude=entry.latitude,
        longitude=entry.longitude,
        country=entry.country,
        postal_code=entry.postal_code,
        overdue_stops=(entry.incoming.overdue or incoming.overdue) is Overdue.STOP,
        calendar=calendars.get(entry.calendar or ""),
        opening=calendars.get(entry.opening or entry.calendar or ""),
        preparation=_preparation(entry),
        parcel_cost=entry.costs.parcel,
        unit_cost=entry.costs.unit,
    )


def _preparation(entry: LocationDocument) -> Mapping[Fulfilment, Preparation]:
    """Goods for ship-to-store are prepared as those for shipping unless the entry says otherwise."""
    written = {
        Fulfilment.SHIP: entry.ship,
        Fulfilment.PICKUP: entry.pickup,
        Fulfilment.SHIP_TO_STORE: entry.ship_to_store or entry.ship,
    }
    if not any(written.values()):
        return _UNPREPARED
    return MappingProxyType(
        {fulfilment: said.preparation() if said else Preparation() for fulfilment, said in written.items()}
    )


def compile_channel(entry: ChannelDocument) -> Channel:
    """The channel, its times to live resolved."""
    seconds, seconds_max = entry.time_to_live.resolved()
    return Channel(entry.enabled, entry.groups, seconds, seconds_max, entry.low_stock_threshold, entry.borrow)


def location_elements(place: Location) -> dict[str, Any]:
    """A location as plain values; of its working time only what is said."""
    found: dict[str, Any] = {name: getattr(place, name) for name in _PLAIN}
    found["fulfilments"] = sorted(word.lower() for word in place.fulfilments)
    found["incoming"] = {"overdue": (Overdue.STOP if place.overdue_stops else Overdue.SLIP).value}
    if place.calendar is not None:
        found["calendar"] = place.calendar.name
    if place.opening is not None and place.opening != place.calendar:
        found["opening"] = place.opening.name
    if place.parcel_cost or place.unit_cost:
        found["costs"] = {"parcel": cost_text(place.parcel_cost), "unit": cost_text(place.unit_cost)}
    for fulfilment, preparation in place.preparation.items():
        usual = Preparation()
        if fulfilment is Fulfilment.SHIP_TO_STORE:
            usual = place.preparation[Fulfilment.SHIP]
        if preparation != usual:
            found[fulfilment.lower()] = preparation_elements(preparation)
    return found


def channel_elements(channel: Channel) -> dict[str, Any]:
    """A channel as plain values."""
    return {
        "groups": sorted(channel.groups),
        "enabled": channel.enabled,
        "time_to_live": {"default": channel.time_to_live_seconds, "maximum": channel.time_to_live_seconds_max},
        "low_stock_threshold": channel.low_stock_threshold,
        "borrow": channel.borrows,
    }


def rule_elements(safety: Safety) -> dict[str, Any]:
    """A rule as plain values."""
    units, parts = safety
    percent = parts // 100 if parts % 100 == 0 else parts / 100
    return {"units": units, "percent": percent}


def rules_elements(rules: Mapping[str, Safety]) -> dict[str, Any]:
    """Rules of one scope, by their id."""
    return {name: rule_elements(safety) for name, safety in rules.items()}


def backorder_elements(rules: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Rules for backorders as plain values: those of SKUs, and those of SKUs and channels."""
    channels: dict[str, dict[str, Any]] = {}
    for (sku, channel), units in rules.items():
        if channel:
            channels.setdefault(sku, {})[channel] = {"units": units}
    return {
        "sku": {sku: {"units": units} for (sku, channel), units in rules.items() if not channel},
        "sku_channel": channels,
    }
