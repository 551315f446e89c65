"""Where orders come from, by a network: its zones and its locations, and what each location costs to serve them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine.domain.distance import kilometres
from invengine.domain.orders import Destination
from invengine.kernels.layout import NO_WAY
from invengine.services.demand_regions import WEIGHTS, Columns, Regions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invengine.domain.network import Network
    from invengine.domain.network_parts import Location

DESTINATIONS_KEPT: Final = 100_000


class NetworkRegions:
    """The regions of a network: its zones in their order, then its locations, whose customers come to them.

    A zone costs what the cheapest lane from a location to it does. Who comes to a location could be sent the units from
    another one: that costs as its postal code does, by lanes, or by the distance where there are none.
    """

    def __init__(self, network: Network, kilometre_cost: int) -> None:
        """`kilometre_cost`: of a parcel, in ten-thousandths, where no lanes say what it costs."""
        self.network: Final = network
        self.names: Final = tuple(network.locations)
        self.number: Final[Mapping[str, int]] = {name: number for number, name in enumerate(self.names)}
        self._zones = {zone: number for number, zone in enumerate(network.delivery.zones)}
        shape = (len(self._zones) + len(self.names), len(self.names))
        self._parcel_cost = np.full(shape, NO_WAY, np.int64)
        self._unit_cost = np.zeros(shape, np.int64)
        self._cost_of_zones()
        self._cost_of_locations(kilometre_cost)
        self._seen = np.zeros(shape[0])
        self._home = self._homes()
        self.region_of = lru_cache(maxsize=DESTINATIONS_KEPT)(self._region_of)

    def home_of(self, regions: Columns) -> Columns:
        """The locations that serve regions at the least cost, by their numbers here."""
        return np.asarray(self._home[regions])

    def note(self, regions: Columns) -> None:
        """Takes in where lines came from: a home's demand is shared out to its regions as lines were."""
        np.add.at(self._seen, regions, 1.0)

    def regions(self, columns: Columns) -> Regions:
        """As prices need them; `columns` [N] are the numbers that forecasts have of the locations."""
        likely = self._seen + 1.0
        of_home = np.bincount(self._home, likely, len(self.names))
        weight = np.floor(likely / of_home[self._home] * WEIGHTS).astype(np.int64)
        return Regions(columns[self._home], weight, self._parcel_cost, self._unit_cost)

    def _region_of(self, to: bytes, place: bytes) -> int:
        """The region of a line that was sent `to` (country, postal code, location, with TABs; empty: it was not sent),
        or was served at `place`; -1 where nothing is known of either.

        The destination's location, or zone; without a zone the location nearest to it; else the one that served.
        """
        if to:
            country, postal_code, location = to.decode().split("\t")
            if location in self.number:
                return len(self._zones) + self.number[location]
            zone = self._zones.get(self.network.delivery.zone_of(country, postal_code), -1)
            if zone >= 0:
                return zone
            destination = Destination(country, postal_code)
            ways = [(self.network.distance_km(name, destination), number) for name, number in self.number.items()]
            known = [(distance, number) for distance, number in ways if distance is not None]
            if known:
                return len(self._zones) + min(known)[1]
        number = self.number.get(place.decode(), -1)
        return -1 if number < 0 else len(self._zones) + number

    def _cost_of_zones(self) -> None:
        for lane in self.network.delivery.lanes.values():
            zone, n = self._zones.get(lane.zone, -1), self.number.get(lane.from_location, -1)
            if zone < 0 or n < 0:
                continue
            location = self.network.locations[lane.from_location]
            parcel, unit = location.parcel_cost + lane.cost, location.unit_cost + lane.cost_per_unit
            known = self._parcel_cost[zone, n]
            if known == NO_WAY or parcel + unit < known + self._unit_cost[zone, n]:
                self._parcel_cost[zone, n], self._unit_cost[zone, n] = parcel, unit

    def _cost_of_locations(self, kilometre_cost: int) -> None:
        for name, at in self.number.items():
            place, row = self.network.locations[name], len(self._zones) + at
            zone = self._zones.get(self.network.delivery.zone_of(place.country, place.postal_code), -1)
            if zone >= 0:
                self._parcel_cost[row], self._unit_cost[row] = self._parcel_cost[zone], self._unit_cost[zone]
            else:
                for other, n in self.number.items():
                    sender = self.network.locations[other]
                    distance = _distance(sender, place)
                    if distance is not None:
                        self._parcel_cost[row, n] = sender.parcel_cost + round(distance * kilometre_cost)
                        self._unit_cost[row, n] = sender.unit_cost
            self._parcel_cost[row, at], self._unit_cost[row, at] = 0, place.unit_cost

    def _homes(self) -> Columns:
        cost = np.where(self._parcel_cost == NO_WAY, np.iinfo(np.int64).max // 2, self._parcel_cost) + self._unit_cost
        home = cost.argmin(axis=1) if self.names else np.zeros(len(cost))
        home[len(self._zones) :] = np.arange(len(self.names))
        return home.astype(np.int64)


def _distance(one: Location, other: Location) -> float | None:
    if one.position is None or other.position is None:
        return None
    return kilometres(one.position, other.position)
