"""The ways from a location to a customer, as the kernels of `kernels.promise` follow them, and what one lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from invengine.domain.capacity import capacity_sku
from invengine.domain.orders import Destination, Fulfilment
from invengine.kernels.layout import (
    BY_PICKUP,
    BY_SHIPPING,
    BY_STORE,
    DATED,
    NO_CALENDAR,
    NO_LANE,
    NO_OPENING,
    NO_STORE_CALENDAR,
    NO_TRANSFER_LANE,
    NO_ZONE,
    ROUTE_BY_ORDER,
    ROUTE_CALENDAR,
    ROUTE_CAPACITY,
    ROUTE_CARRIER,
    ROUTE_COLUMNS,
    ROUTE_CUT_OFF,
    ROUTE_FRONT,
    ROUTE_HANDLING,
    ROUTE_KIND,
    ROUTE_OPENING,
    ROUTE_PICKUPS,
    ROUTE_SLOTS,
    ROUTE_STATUS,
    ROUTE_STORE,
    ROUTE_STORE_HANDLING,
    ROUTE_TRANSIT,
    ROUTE_ZONE,
)

if TYPE_CHECKING:
    from invengine.domain.delivery import Capacity, Preparation
    from invengine.domain.network import Network
    from invengine.domain.network_parts import Location
    from invengine.services.promise_tables import PromiseTables

Block = npt.NDArray[np.int64]

ROUTES_MAX: Final = 200_000
"""Lines beyond which all are forgotten: callers choose destinations and confidences, and must not fill memory."""
_ZONES_MAX: Final = 65_536


class TransitDays(Protocol):
    """Transit times that were learnt, as domain.transit has them."""

    def days(self, location: str, zone: str, service: str, confidence_parts: int) -> int | None:
        """Days of transit with this confidence; None where the lane's stated ones hold."""


class Option(NamedTuple):
    """A way of getting the units: `service` for SHIP, else empty."""

    fulfilment: Fulfilment
    service: str = ""


class SlotRule(NamedTuple):
    """A line of slots, the SKU whose positions are the slots that are taken, and what a whole day has."""

    line: int
    sku: str
    capacity: int


class PromiseRoutes:
    """Routes over the tables of one network; lines of equal questions are made once.

    `block` is int64 [n, 16], see kernels.layout; it is replaced when it grows.
    """

    def __init__(self, network: Network, transit: TransitDays, tables: PromiseTables) -> None:
        self.block: Block = np.zeros((256, ROUTE_COLUMNS), np.int64)
        self.slot_rules: dict[int, SlotRule] = {}
        """By line of slots."""
        self._network = network
        self._transit = transit
        self._tables = tables
        self._count = 0
        self._fronts: dict[tuple[int, ...], int] = {}
        self._known: dict[tuple[str, tuple[Option, ...], str, str, int], int] = {}
        self._ends: dict[tuple[str, str], str] = {}

    def zone_of(self, destination: Destination) -> str:
        """The zone of a destination, or empty when it lies in none."""
        key = destination.country, destination.postal_code
        zone = self._ends.get(key)
        if zone is None:
            if len(self._ends) >= _ZONES_MAX:
                self._ends.clear()
            zone = self._ends[key] = self._network.delivery.zone_of(*key)
        return zone

    def begin(self) -> None:
        """Called before each question: lines that were answered before may be over from here on."""
        if self._count > ROUTES_MAX:
            self._known.clear()
            self._count = 0
            self.block = np.zeros((256, ROUTE_COLUMNS), np.int64)  # dates that were handed out keep the old one

    def line(self, location: str, options: tuple[Option, ...], destination: Destination, confidence_parts: int) -> int:
        """The first of the location's lines, one for each option. 0 ten-thousandths: stated transit.

        Locations and services that the network does not have are no faults: they have no calendar and no lane.
        """
        key = location, options, self.zone_of(destination), destination.location, confidence_parts
        line = self._known.get(key)
        if line is None:
            line = self._known[key] = self._add(location, options, destination, confidence_parts)
        return line

    def _add(self, location: str, options: tuple[Option, ...], destination: Destination, confidence_parts: int) -> int:
        first = self._count
        self._count += len(options)
        if self._count > self.block.shape[0]:
            wider = np.zeros((2 * self._count, ROUTE_COLUMNS), np.int64)
            wider[:first] = self.block[:first]
            self.block = wider
        for number, option in enumerate(options, first):
            route = self.block[number]
            route[:] = 0
            route[ROUTE_STATUS] = self._fill(route, location, option, destination, confidence_parts)
        return first

    def _fill(
        self, route: Block, location: str, option: Option, destination: Destination, confidence_parts: int
    ) -> int:
        """Fills the route; its status."""
        place = self._network.locations.get(location)
        if place is None or place.calendar is None:
            return NO_CALENDAR
        fulfilment = option.fulfilment
        if fulfilment is Fulfilment.SHIP_TO_STORE and location == destination.location:
            fulfilment = Fulfilment.PICKUP  # it is there already
        self._fill_front(route, location, place, fulfilment, option.service)
        if fulfilment is Fulfilment.PICKUP:
            route[ROUTE_KIND] = BY_PICKUP
            return self._fill_opening(route, place)
        if fulfilment is Fulfilment.SHIP_TO_STORE:
            return self._fill_store(route, location, place, destination.location)
        assert fulfilment is Fulfilment.SHIP
        zone = self.zone_of(destination)
        if not zone:
            return NO_ZONE
        delivery = self._network.delivery
        lane = delivery.lanes.get((location, zone, option.service))
        if lane is None:
            return NO_LANE
        learnt = self._transit.days(location, zone, option.service, confidence_parts) if confidence_parts else None
        tables = self._tables
        route[ROUTE_KIND] = BY_SHIPPING
        route[ROUTE_PICKUPS] = tables.pickup_days(place.calendar, place.time_zone, lane.pickups)
        route[ROUTE_CARRIER] = tables.carrier_days(delivery.services[option.service].calendar)
        route[ROUTE_TRANSIT] = lane.transit_days if learnt is None else learnt
        return DATED

    def _fill_front(self, route: Block, location: str, place: Location, fulfilment: Fulfilment, service: str) -> None:
        """The steps up to the slot, which routes from one location mostly share."""
        tables, calendar, preparation = self._tables, place.calendar, place.preparation[fulfilment]
        assert calendar is not None
        route[ROUTE_ZONE] = tables.zone(place.time_zone)
        route[ROUTE_CALENDAR] = tables.calendar(calendar, place.time_zone)
        route[ROUTE_CUT_OFF] = tables.cut_off(calendar, place.time_zone, preparation.cut_off_of(service))
        route[ROUTE_HANDLING] = preparation.handling_minutes
        route[ROUTE_SLOTS] = -1
        if preparation.capacity is not None:
            self._fill_slots(route, location, fulfilment, preparation.capacity)
        columns = ROUTE_ZONE, ROUTE_CALENDAR, ROUTE_CUT_OFF, ROUTE_HANDLING, ROUTE_SLOTS
        route[ROUTE_FRONT] = self._fronts.setdefault(tuple(int(route[column]) for column in columns), len(self._fronts))

    def _fill_slots(self, route: Block, location: str, fulfilment: Fulfilment, capacity: Capacity) -> None:
        line = self._tables.slots(location, fulfilment.value)
        route[ROUTE_SLOTS] = line
        route[ROUTE_CAPACITY] = capacity.units or capacity.orders
        route[ROUTE_BY_ORDER] = int(not capacity.units)
        rule = SlotRule(line, capacity_sku(location, fulfilment.value), capacity.units or capacity.orders)
        self.slot_rules.setdefault(line, rule)

    def _fill_opening(self, route: Block, place: Location) -> int:
        if place.opening is None:
            return NO_OPENING
        route[ROUTE_OPENING] = self._tables.calendar(place.opening, place.time_zone)
        return DATED

    def _fill_store(self, route: Block, location: str, place: Location, store: str) -> int:
        lane = self._network.delivery.transfer_lanes.get((location, store))
        if lane is None:
            return NO_TRANSFER_LANE
        there = self._network.locations[store]
        if there.calendar is None:
            return NO_STORE_CALENDAR
        assert place.calendar is not None
        tables = self._tables
        route[ROUTE_KIND] = BY_STORE
        route[ROUTE_PICKUPS] = tables.pickup_days(place.calendar, place.time_zone, lane.pickups)
        route[ROUTE_CARRIER] = tables.carrier_days(lane.calendar)
        route[ROUTE_TRANSIT] = lane.transit_days
        route[ROUTE_STORE] = tables.calendar(there.calendar, there.time_zone)
        preparation: Preparation = there.preparation[Fulfilment.PICKUP]
        route[ROUTE_STORE_HANDLING] = preparation.handling_minutes
        return self._fill_opening(route, there)


def gap_text(status: int, location: str, option: Option, destination: Destination, zone: str) -> str:
    """What a planner has to add to the network so that units from the location can be dated; empty when nothing is."""
    store = destination.location
    texts = {
        NO_CALENDAR: f"location {location} has no calendar",
        NO_OPENING: f"location {store or location} has no opening hours",
        NO_STORE_CALENDAR: f"location {store} has no calendar",
        NO_LANE: f"no lane from {location} to zone {zone} with {option.service}",
        NO_TRANSFER_LANE: f"no transfer lane from {location} to {store}",
        NO_ZONE: f"postal code {destination.country} {destination.postal_code} is in no zone",
    }
    return texts.get(status, "")
