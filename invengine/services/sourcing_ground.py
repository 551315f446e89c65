"""What a network says about sourcing, as columns: one for each location, by priority and id.

Worked out once for a network and kept; a question takes what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.sourcing import SourcingRule

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import BasketLine

Block = npt.NDArray[np.int64]
T = TypeVar("T")

KEPT_MAX: Final = 4096
"""Answers of one kind that are kept before all are forgotten: callers choose destinations, and must not fill memory."""

RULES: Final = (None, *SourcingRule)
"""By their numbers in the columns; 0: the line may come from there."""
NUMBERS: Final = {rule: number for number, rule in enumerate(RULES) if rule is not None}
NOT_ASKED: Final = len(RULES)
"""In place of a rule: the line names another location, or another group."""

_FREE: Final = (0, 0)


class LaneCosts(NamedTuple):
    """What the ways from the locations cost, int64 [locations]: for a parcel, and for each unit in it."""

    parcel: Block
    unit: Block


class Ground:
    """The columns of one network."""

    def __init__(self, network: Network) -> None:
        self.network: Final = network
        places = network.locations
        self.names: Final = tuple(sorted(places, key=lambda name: (places[name].priority, name)))
        self.column: Final = {name: column for column, name in enumerate(self.names)}
        self.priority: Final = self._of([places[name].priority for name in self.names])
        self.parcel_cost: Final = self._of([places[name].parcel_cost for name in self.names])
        self.unit_cost: Final = self._of([places[name].unit_cost for name in self.names])
        self._scopes: dict[tuple[str, str, str, Fulfilment, str], Block] = {}
        self._excluded: dict[tuple[str, ...], Block] = {}
        self._lanes: dict[tuple[str, str, str], LaneCosts] = {}
        self._distances: dict[tuple[str, str, str], Block] = {}
        self._counted: dict[tuple[Fulfilment, str], Block] = {}

    def scope(self, channel: str, line: BasketLine) -> Block:
        """int64 [locations]: the rule by which the line cannot come from there, 0, or NOT_ASKED.

        UnknownChannel, ChannelDisabled, UnknownLocation, LocationNotUsable, UnknownGroup, GroupNotUsable.
        """
        to = line.destination.location if line.fulfilment in (Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE) else ""
        key = channel, line.location, line.group, line.fulfilment, to
        return _kept(self._scopes, key, lambda: self._scope(channel, line, to))

    def excluded(self, profile: Profile) -> Block | None:
        """int64 [locations]: 1 where the profile lets nothing come from; None when that is nowhere."""
        if not profile.excluded:
            return None
        return _kept(self._excluded, profile.excluded, lambda: self._exclude(profile))

    def lane_costs(self, fulfilment: Fulfilment, destination: Destination, service: str) -> LaneCosts:
        """What a parcel to the destination costs from each location; 0 where there is no lane."""
        if fulfilment is Fulfilment.SHIP:
            key = "", self.network.delivery.zone_of(destination.country, destination.postal_code), service
        else:
            key = destination.location, "", ""
        return _kept(self._lanes, key, lambda: self._lane_costs(*key))

    def distances(self, fulfilment: Fulfilment, destination: Destination) -> Block:
        """int64 [locations]: kilometres to the destination, 0 where they are not known. What is shipped goes to the
        postal code, also where the destination names a location to collect at besides.
        """
        end = Destination(destination.country, destination.postal_code)
        if fulfilment is not Fulfilment.SHIP:
            end = Destination(location=destination.location)
        key = end.country, end.postal_code, end.location
        return _kept(
            self._distances, key, lambda: self._of([self.network.distance_km(name, end) or 0 for name in self.names])
        )

    def counted(self, fulfilment: Fulfilment, to: str) -> Block:
        """int64 [locations]: 1 where what leaves this way in a day is limited in units. `to`: where it is collected."""
        return _kept(self._counted, (fulfilment, to), lambda: self._count(fulfilment, to))

    def _scope(self, channel: str, line: BasketLine, to: str) -> Block:
        network, asked = self.network, self.names
        usable = set(network.usable(channel, location=line.location, group=line.group, fulfilment=line.fulfilment))
        if line.location:
            asked = (line.location,)
        elif line.group:
            asked = network.groups[line.group]
        if line.fulfilment is Fulfilment.PICKUP and to:
            asked = tuple([name for name in asked if name == to])
        found = np.full(len(self.names), NOT_ASKED, np.int64)
        for name in asked:
            why_not = "" if name in usable else network.why_not(channel, name, line.fulfilment)
            if why_not and name == to and line.fulfilment is Fulfilment.SHIP_TO_STORE:
                why_not = network.why_not(channel, to, Fulfilment.PICKUP)  # what lies there need not be sent there
            found[self.column[name]] = NUMBERS[SourcingRule(why_not)] if why_not else 0
        return found

    def _exclude(self, profile: Profile) -> Block:
        found = np.zeros(len(self.names), np.int64)
        found[[self.column[name] for name in profile.excluded_locations(self.network)]] = 1
        return found

    def _lane_costs(self, to: str, zone: str, service: str) -> LaneCosts:
        delivery = self.network.delivery
        found = []
        for name in self.names:
            lane = delivery.transfer_lanes.get((name, to)) if to else delivery.lanes.get((name, zone, service))
            found.append((lane.cost, lane.cost_per_unit) if lane else _FREE)
        return LaneCosts(self._of([parcel for parcel, _ in found]), self._of([unit for _, unit in found]))

    def _count(self, fulfilment: Fulfilment, to: str) -> Block:
        found = []
        for name in self.names:
            way = Fulfilment.PICKUP if fulfilment is Fulfilment.SHIP_TO_STORE and name == to else fulfilment
            capacity = self.network.capacities.get((name, way))
            found.append(int(capacity is not None and capacity.units > 0))
        return self._of(found)

    @staticmethod
    def _of(values: list[int]) -> Block:
        return np.array(values, np.int64)


K = TypeVar("K")


def _kept(known: dict[K, T], key: K, made: Callable[[], T]) -> T:
    found = known.get(key)
    if found is None:
        if len(known) >= KEPT_MAX:
            known.clear()
        found = known[key] = made()
    return found
