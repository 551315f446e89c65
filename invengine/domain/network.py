"""The network in force, compiled: which locations a channel sees and may take from, and what must stay there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from invengine.domain.delivery import NO_DELIVERY
from invengine.domain.delivery_parts import delivery_elements
from invengine.domain.distance import PostalPositions, kilometres
from invengine.domain.kits import Kit, kits_by_component
from invengine.domain.network_diff import Change, ChangeKind, differences
from invengine.domain.network_document import LocationKind, NetworkDocument
from invengine.domain.network_parts import (
    NO_SAFETY,
    Channel,
    Location,
    Safety,
    backorder_elements,
    channel_elements,
    compile_backorders,
    compile_channel,
    compile_location,
    compile_rules,
    larger,
    location_elements,
    rule_elements,
    rules_elements,
)
from invengine.domain.network_positions import position_elements
from invengine.domain.network_reader import read_document
from invengine.domain.network_rules import (
    compile_confidence,
    compile_thresholds,
    confidence_elements,
    threshold_elements,
)
from invengine.domain.orders import Candidate, Destination, Fulfilment
from invengine.domain.stock import BUILT_IN_STATES, ConfidenceRule
from invengine.errors import (
    ChannelDisabled,
    GroupNotUsable,
    InvalidArgument,
    LocationNotUsable,
    UnknownChannel,
    UnknownGroup,
    UnknownLocation,
)

__all__ = ["Change", "ChangeKind", "Channel", "Location", "LocationKind", "Network", "diff"]

LOCATION_DISABLED: Final = "LOCATION_DISABLED"
NOT_IN_CHANNEL: Final = "NOT_IN_CHANNEL"
CANNOT_FULFIL: Final = "CANNOT_FULFIL"
CHANNEL_DISABLED: Final = "CHANNEL_DISABLED"

Key = TypeVar("Key")
Answer = TypeVar("Answer")
_ANSWERS_MAX = 16_384  # remembered answers of one kind; beyond, all are forgotten: cheap, and no caller can fill memory
_NAMED_MAX = 32  # a read that names more locations than this is not remembered


class Network:
    """One network document, compiled for look-ups. Nothing of it changes; a new document is a new Network.

    Answers of the hot calls are remembered, so a repeated question costs one look-up.
    """

    def __init__(self, document: str, revision: int, parsed: NetworkDocument) -> None:
        self.document: Final = document
        self.revision: Final = revision
        self.parsed: Final = parsed
        self.delivery: Final = parsed.delivery.delivery if parsed.delivery else NO_DELIVERY
        """Calendars, services, zones and lanes; empty when the document says nothing about them."""
        self._locations: Final = {
            name: compile_location(name, entry, parsed.incoming, self.delivery.calendars)
            for name, entry in parsed.locations.items()
        }
        self.capacities: Final = {
            (name, way): preparation.capacity
            for name, place in self._locations.items()
            for way, preparation in place.preparation.items()
            if preparation.capacity is not None
        }
        """What can be prepared in a day, by location and way, where that is limited."""
        self.limited_ways: Final = frozenset(way for name, way in self.capacities if self._can(name, way))
        """Ways that some location has a limit for: the others take no slots anywhere."""
        self.stopping: Final = frozenset(name for name, place in self._locations.items() if place.overdue_stops)
        """The locations where receipts stop counting when their day is over."""
        self._groups: Final = {name: tuple(sorted(members)) for name, members in parsed.groups.items()}
        self._channels: Final = {name: compile_channel(entry) for name, entry in parsed.channels.items()}
        self._visible: Final = {
            name: frozenset(member for group in channel.groups for member in self._groups[group])
            for name, channel in self._channels.items()
        }
        rules = compile_rules(parsed.safety_stock)
        self.sku_safety: Final[Mapping[str, Safety]] = MappingProxyType(rules.skus)
        self.position_safety: Final[Mapping[tuple[str, str], Safety]] = MappingProxyType(rules.positions)
        self.location_safety: Final[Mapping[str, Safety]] = MappingProxyType(rules.locations)
        self.channel_safety: Final[Mapping[str, Safety]] = MappingProxyType(rules.channels)
        self.states: Final = frozenset((*BUILT_IN_STATES, *parsed.states))
        """States of units that are there and cannot be sold."""
        self._backorders: Final = compile_backorders(parsed.backorders)
        self._confidence: Final = compile_confidence(parsed.confidence)
        self._thresholds: Final = compile_thresholds(parsed.low_stock_thresholds)
        self.postal_positions: Final = PostalPositions(parsed.postal_positions)
        """Where postal codes lie."""
        self._distances: Final[dict[tuple[str, str, str, str], int | None]] = {}
        self.kits: Final[Mapping[str, Kit]] = MappingProxyType(dict(parsed.kits))
        self._kits_by_component: Final = kits_by_component(self.kits)
        self._ruled_skus: Final = frozenset(rules.skus) | {sku for sku, _ in rules.positions}
        self.skus_with_own_rules: Final = self._ruled_skus.union(self.kits)
        """SKUs of which something is to stay by rules of their own, and kits: others only differ by where they are."""
        self.locations: Final[Mapping[str, Location]] = MappingProxyType(self._locations)
        self.groups: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(self._groups)
        self.channels: Final[Mapping[str, Channel]] = MappingProxyType(self._channels)
        self._asked: Final[dict[tuple[str, tuple[str, ...], str], tuple[str, ...]]] = {}
        self._usable: Final[dict[tuple[str, str, str, Fulfilment], tuple[str, ...]]] = {}
        self._candidates: Final[dict[tuple[str, str, tuple[str, ...]], tuple[Candidate, ...]]] = {}

    @classmethod
    def parse(cls, document: str, revision: int = 0) -> Network:
        """The network of a YAML document. NetworkInvalid carries every fault with its line."""
        return cls(document, revision, read_document(document))

    def channel(self, channel: str) -> Channel:
        """The channel of this name, or UnknownChannel."""
        found = self._channels.get(channel)
        if found is None:
            raise UnknownChannel(channel)
        return found

    def visible(self, channel: str) -> frozenset[str]:
        """The locations of the channel's groups, switched off or not. UnknownChannel."""
        self.channel(channel)
        return self._visible[channel]

    def asked(self, channel: str, *, locations: Sequence[str] = (), group: str = "") -> tuple[str, ...]:
        """The locations that a read asks about, sorted: the named ones, the group's, or all that the channel sees.

        Named ones need not be the channel's: they offer nothing and say why. UnknownChannel, UnknownLocation,
        UnknownGroup, GroupNotUsable; InvalidArgument when both are named.
        """
        key = (channel, tuple(locations), group)
        known = self._asked.get(key)
        if known is not None:
            return known
        self.channel(channel)
        if locations and group:
            raise InvalidArgument("group", "not together with locations")
        if group:
            found = self._members(channel, group)
        elif locations:
            found = tuple(sorted(set(locations)))
            for location in found:
                self._known(location)
        else:
            found = tuple(sorted(self._visible[channel]))
        if len(locations) <= _NAMED_MAX:
            _remember(self._asked, key, found)
        return found

    def usable(
        self, channel: str, *, location: str = "", group: str = "", fulfilment: Fulfilment = Fulfilment.ANY
    ) -> tuple[str, ...]:
        """The locations to take from, by priority and then id: the named one, the group's, or all of the channel's.

        Locations of a group that are switched off or cannot fulfil are left out, so it may be empty; a named one
        is refused. UnknownChannel, ChannelDisabled, UnknownLocation, LocationNotUsable, UnknownGroup, GroupNotUsable;
        InvalidArgument when both are named.
        """
        key = (channel, location, group, fulfilment)
        known = self._usable.get(key)
        if known is not None:
            return known
        if not self.channel(channel).enabled:
            raise ChannelDisabled(channel)
        if location and group:
            raise InvalidArgument("group", "not together with location")
        found: Iterable[str]
        if location:
            if problem := self.why_not(channel, location, fulfilment):
                raise LocationNotUsable(location, channel, problem)
            found = (location,)
        else:
            asked = self._members(channel, group) if group else self._visible[channel]
            found = (name for name in asked if not self.why_not(channel, name, fulfilment))
        ordered = tuple(sorted(found, key=lambda name: (self._locations[name].priority, name)))
        _remember(self._usable, key, ordered)
        return ordered

    def why_not(self, channel: str, location: str, fulfilment: Fulfilment = Fulfilment.ANY) -> str:
        """Why the channel cannot take from the location: '' when it can, else the first word that applies of
        CHANNEL_DISABLED, LOCATION_DISABLED, NOT_IN_CHANNEL, CANNOT_FULFIL. UnknownChannel, UnknownLocation.
        """
        if not self.channel(channel).enabled:
            return CHANNEL_DISABLED
        place = self._known(location)
        if not place.enabled:
            return LOCATION_DISABLED
        if location not in self._visible[channel]:
            return NOT_IN_CHANNEL
        return "" if place.can_fulfil(fulfilment) else CANNOT_FULFIL

    def pickup_location(self, location: str, channel: str = "") -> None:
        """Checks that customers can collect at this location: the destination of ship-to-store.

        It need not be one that the channel takes from. UnknownLocation, LocationNotUsable (which repeats `channel`).
        """
        place = self._known(location)
        if not place.enabled:
            raise LocationNotUsable(location, channel, LOCATION_DISABLED)
        if not place.can_fulfil(Fulfilment.PICKUP):
            raise LocationNotUsable(location, channel, CANNOT_FULFIL)

    def place_safety(self, channel: str, location: str) -> Safety:
        """What stays at the location for every SKU when this channel asks: location and channel rules."""
        return larger(
            self.location_safety.get(location, NO_SAFETY),
            self.channel_safety.get(channel, NO_SAFETY),
        )

    def candidates(self, channel: str, sku: str, usable: tuple[str, ...]) -> tuple[Candidate, ...]:
        """`usable` in its order, each with what must stay there: all rules that match folded into one."""
        ruled = sku in self._ruled_skus
        key = (channel, sku if ruled else "", usable)
        known = self._candidates.get(key)
        if known is not None:
            return known
        folded = []
        for location in usable:
            units, parts = self.place_safety(channel, location)
            if ruled:
                units, parts = larger((units, parts), self.sku_location_safety(sku, location))
            folded.append(Candidate(location, units, parts, self.confidence(location), location in self.stopping))
        found = tuple(folded)
        _remember(self._candidates, key, found)
        return found

    def sku_location_safety(self, sku: str, location: str) -> Safety:
        """What stays of the SKU at the location whoever asks: SKU and SKU x location rules (not the location's own)."""
        return larger(
            self.sku_safety.get(sku, NO_SAFETY),
            self.position_safety.get((sku, location), NO_SAFETY),
        )

    def backorder_units(self, channel: str, sku: str) -> int:
        """Units of the SKU that may be backordered at each location when this channel asks; 0 without a rule.

        The rule that names the channel wins over the one for all.
        """
        units = self._backorders.get((sku, channel))
        return self._backorders.get((sku, ""), 0) if units is None else units

    def confidence(self, location: str) -> tuple[ConfidenceRule, ...]:
        """The rules that say how far stock of the location is trusted: its own, or those for all that have none."""
        own = self._confidence.get(location)
        return self._confidence.get("", ()) if own is None else own

    def distance_km(self, location: str, to: Destination) -> int | None:
        """Whole kilometres from a location to where goods go: the location that collects them, else the postal code.

        None where the position of either is not known. UnknownLocation.
        """
        key = location, to.location, to.country, to.postal_code
        if key in self._distances:
            return self._distances[key]
        start = self._known(location).position
        if to.location:
            end = self._known(to.location).position
        else:
            end = self.postal_positions.position_of(to.country, to.postal_code)
        found = None if start is None or end is None else round(kilometres(start, end))
        _remember(self._distances, key, found)
        return found

    def kits_with(self, sku: str) -> tuple[str, ...]:
        """The kits that the SKU is a component of, by name."""
        return self._kits_by_component.get(sku, ())

    def low_stock_threshold(self, channel: str, sku: str = "", location: str = "") -> int:
        """Up to how many units the level is LOW: of a SKU at a location, or of all that a question is about.

        The rule that names most wins, the SKU before the location before the channel; without one the channel's own
        threshold counts. UnknownChannel.
        """
        default = self.channel(channel).low_stock_threshold
        if self._thresholds:
            for scope in ((sku, location), (sku, ""), ("", location)):
                for asker in (channel, ""):
                    units = self._thresholds.get((*scope, asker))
                    if units is not None:
                        return units
        return default

    def threshold_skus(self) -> frozenset[str]:
        """The SKUs that a rule for low stock names."""
        return frozenset(sku for sku, _, _ in self._thresholds if sku)

    def elements(self) -> dict[str, Any]:
        """Everything that the document says, defaults filled in, as plain values: equal when the meaning is equal."""
        positions: dict[str, dict[str, Any]] = {}
        for (sku, location), safety in self.position_safety.items():
            positions.setdefault(sku, {})[location] = rule_elements(safety)
        return {
            "locations": {name: location_elements(place) for name, place in self._locations.items()},
            "groups": {name: list(members) for name, members in self._groups.items()},
            "channels": {name: channel_elements(channel) for name, channel in self._channels.items()},
            "safety_stock": {
                "sku": rules_elements(self.sku_safety),
                "location": rules_elements(self.location_safety),
                "channel": rules_elements(self.channel_safety),
                "sku_location": positions,
            },
            "backorders": backorder_elements(self._backorders),
            "kits": {name: {part.sku: part.units for part in kit} for name, kit in self.kits.items()},
            "confidence": confidence_elements(self._confidence),
            "low_stock_thresholds": threshold_elements(self._thresholds),
            "states": sorted(self.states),
            **delivery_elements(self.parsed.delivery),
            **position_elements(self.postal_positions),
        }

    def _can(self, location: str, way: Fulfilment) -> bool:
        return self._locations[location].can_fulfil(way)

    def _known(self, location: str) -> Location:
        found = self._locations.get(location)
        if found is None:
            raise UnknownLocation(location)
        return found

    def _members(self, channel: str, group: str) -> tuple[str, ...]:
        members = self._groups.get(group)
        if members is None:
            raise UnknownGroup(group)
        if group not in self._channels[channel].groups:
            raise GroupNotUsable(group, channel)
        return members


def diff(old: Network | None, new: Network) -> list[Change]:
    """What `new` changes; empty when both mean the same, however they are written."""
    nothing: dict[str, Any] = {
        "locations": {},
        "groups": {},
        "channels": {},
        "safety_stock": {"sku": {}, "location": {}, "channel": {}, "sku_location": {}},
        "backorders": {"sku": {}, "sku_channel": {}},
        "kits": {},
        "confidence": {"all": {}, "location": {}},
        "low_stock_thresholds": {},
        "states": sorted(BUILT_IN_STATES),
        **delivery_elements(None),
    }
    return list(differences(old.elements() if old else nothing, new.elements()))


def _remember(answers: dict[Key, Answer], key: Key, answer: Answer) -> None:
    if len(answers) >= _ANSWERS_MAX:
        answers.clear()
    answers[key] = answer
