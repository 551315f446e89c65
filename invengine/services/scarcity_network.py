"""Where orders come from, by a network: its zones and its locations, and what each location costs to serve them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from invengine.domain.distance import EARTH_RADIUS_KM
from invengine.kernels.layout import NO_WAY
from invengine.services.demand_regions import WEIGHTS, Columns, Regions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invengine.domain.distance import Position
    from invengine.domain.network import Network

DESTINATIONS_KEPT: Final = 100_000
ROWS_BYTES: Final = 64 << 20
"""Memory for what it costs to serve the customers of locations, found out for those that are asked for."""


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
        self._kilometre_cost = kilometre_cost
        self._zones = {zone: number for number, zone in enumerate(network.delivery.zones)}
        self._places = Places([location.position for location in network.locations.values()])
        self._own_parcel = np.array([location.parcel_cost for location in network.locations.values()], np.int64)
        self._own_unit = np.array([location.unit_cost for location in network.locations.values()], np.int64)
        self._zone_parcel, self._zone_unit = self._costs_of_zones()
        self._home = self._homes()
        self._seen = np.zeros(len(self._home))
        self.region_of = lru_cache(maxsize=DESTINATIONS_KEPT)(self._region_of)
        self._costs_of = lru_cache(maxsize=max(ROWS_BYTES // (16 * max(len(self.names), 1)), 64))(self._costs_at)

    def home_of(self, regions: Columns) -> Columns:
        """The locations that serve regions at the least cost, by their numbers here."""
        return np.asarray(self._home[regions])

    def note(self, regions: Columns) -> None:
        """Takes in where lines came from: a home's demand is shared out to its regions as lines were."""
        np.add.at(self._seen, regions, 1.0)

    def regions(self, columns: Columns, wanted: NDArray[np.bool_]) -> Regions:
        """As prices need them: the regions that demand comes from. `columns` [N] are the numbers that forecasts have of
        the locations, `wanted` says by these numbers of which homes there is demand.
        """
        likely = self._seen + 1.0
        of_home = np.bincount(self._home, likely, len(self.names))
        weight = np.floor(likely / of_home[self._home] * WEIGHTS).astype(np.int64)
        home = columns[self._home]
        found = np.flatnonzero(wanted[home])
        zones, places = found[found < len(self._zones)], found[found >= len(self._zones)] - len(self._zones)
        rows = [self._costs_of(place) for place in places.tolist()]
        parcel = np.concatenate((self._zone_parcel[zones], *(row.reshape(1, -1) for row, _ in rows)))
        unit = np.concatenate((self._zone_unit[zones], *(row.reshape(1, -1) for _, row in rows)))
        return Regions(home[found], weight[found], parcel, unit)

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
            nearest = self._places.nearest(self.network.postal_positions.position_of(country, postal_code))
            if nearest >= 0:
                return len(self._zones) + nearest
        number = self.number.get(place.decode(), -1)
        return -1 if number < 0 else len(self._zones) + number

    def _costs_of_zones(self) -> tuple[Columns, Columns]:
        """[zones, N] of a parcel and of a unit."""
        shape = (len(self._zones), len(self.names))
        parcels, units = np.full(shape, NO_WAY, np.int64), np.zeros(shape, np.int64)
        for lane in self.network.delivery.lanes.values():
            zone, n = self._zones.get(lane.zone, -1), self.number.get(lane.from_location, -1)
            if zone < 0 or n < 0:
                continue
            parcel, unit = int(self._own_parcel[n]) + lane.cost, int(self._own_unit[n]) + lane.cost_per_unit
            known = parcels[zone, n]
            if known == NO_WAY or parcel + unit < known + units[zone, n]:
                parcels[zone, n], units[zone, n] = parcel, unit
        return parcels, units

    def _costs_at(self, at: int) -> tuple[Columns, Columns]:
        """[N] of a parcel and of a unit for who comes to a location."""
        place = self.network.locations[self.names[at]]
        zone = self._zones.get(self.network.delivery.zone_of(place.country, place.postal_code), -1)
        if zone >= 0:
            parcel, unit = self._zone_parcel[zone].copy(), self._zone_unit[zone].copy()
        else:
            distance = self._places.kilometres_from(place.position)
            known = ~np.isnan(distance)
            parcel = np.full(len(self.names), NO_WAY, np.int64)
            parcel[known] = self._own_parcel[known] + np.rint(distance[known] * self._kilometre_cost).astype(np.int64)
            unit = np.where(known, self._own_unit, 0)
        parcel[at], unit[at] = 0, self._own_unit[at]
        return parcel, unit

    def _homes(self) -> Columns:
        """[R] of each region."""
        cost = np.where(self._zone_parcel == NO_WAY, np.iinfo(np.int64).max // 2, self._zone_parcel) + self._zone_unit
        of_zones = cost.argmin(axis=1) if self.names else np.zeros(len(cost), np.int64)
        return np.concatenate((of_zones, np.arange(len(self.names)))).astype(np.int64)


class Places:
    """Where N locations lie, to find out how far they are from a point."""

    def __init__(self, positions: Sequence[Position | None]) -> None:
        degrees = [(np.nan, np.nan) if position is None else position for position in positions]
        self._north, self._east = np.radians(np.array(degrees, np.float64).reshape(-1, 2).T)
        self._cosine = np.cos(self._north)

    def kilometres_from(self, point: Position | None) -> NDArray[np.float64]:
        """[N] the great circles to a point, as `distance.kilometres` has them; NaN where it is not known."""
        if point is None:
            return np.full(self._north.shape, np.nan)
        north, east = np.radians(point)
        half_north, half_east = np.sin((self._north - north) / 2), np.sin((self._east - east) / 2)
        haversine = half_north * half_north + self._cosine * np.cos(north) * half_east * half_east
        return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(np.sqrt(haversine), 1.0)))

    def nearest(self, point: Position | None) -> int:
        """The first of those that are nearest to a point, in whole kilometres; -1 where none is known."""
        distance = np.rint(self.kilometres_from(point))
        return -1 if np.isnan(distance).all() else int(np.nanargmin(distance))
