"""What it costs to send units of a wave, by the network and the profile: of each parcel, of each unit, of each line.

Ten-thousandths of the network's currency. Without a profile lanes and locations cost what the network states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.orders import Fulfilment
from invengine.domain.profiles import PERCENT, Profile
from invengine.services.wave_dates import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.network import Network
    from invengine.domain.waves import WaveLine

NO_WAY = Way("", 0)
_AS_STATED = Profile("")


class Cost(NamedTuple):
    """Of the parcel once, of each unit, of the line once."""

    parcel: int
    unit: int
    line: int


class WaveCosts:
    """Costs of one wave. `today`: the day that waiting counts from."""

    def __init__(self, network: Network, profile: Profile | None, today: int) -> None:
        self._network = network
        self._profile = profile or _AS_STATED
        self._today = today

    def cheapest(self, line: WaveLine, location: str, ways: Sequence[Way]) -> tuple[Way, Cost]:
        """The way to send the line that costs least for all its units; without dates by any service that there is."""
        if not ways and line.fulfilment is Fulfilment.SHIP and line.destination.country:
            ways = self._services(line, location)
        costs = [(self._of(line, location, way), way) for way in ways or (NO_WAY,)]
        cost, way = min(costs, key=lambda one: one[0].parcel + one[0].unit * line.quantity + one[0].line)
        return way, cost

    def _of(self, line: WaveLine, location: str, way: Way) -> Cost:
        network, profile = self._network, self._profile
        place = network.locations[location]
        lane_cost, lane_unit_cost = self._lane(line, location, way)
        parcel = unit = 0
        if line.fulfilment is not Fulfilment.PICKUP:
            parcel = profile.parcel_cost + place.parcel_cost * profile.handling_percent // PERCENT
            parcel += lane_cost * profile.lane_percent // PERCENT + profile.priority_cost * place.priority
            if profile.kilometre_cost:
                parcel += profile.kilometre_cost * (network.distance_km(location, line.destination) or 0)
        unit += profile.unit_cost + place.unit_cost * profile.handling_percent // PERCENT
        unit += lane_unit_cost * profile.lane_percent // PERCENT
        of_line = 0
        if way.day:
            of_line = profile.waiting_day_cost * max(0, way.day - self._today)
            of_line += profile.early_day_cost * max(0, line.needed_by - way.day)
        return Cost(parcel, unit, of_line)

    def _services(self, line: WaveLine, location: str) -> list[Way]:
        delivery, to = self._network.delivery, line.destination
        zone = delivery.zone_of(to.country, to.postal_code)
        return [Way(service, 0) for service in delivery.services if (location, zone, service) in delivery.lanes]

    def _lane(self, line: WaveLine, location: str, way: Way) -> tuple[int, int]:
        delivery, to = self._network.delivery, line.destination
        if line.fulfilment is Fulfilment.SHIP and way.service:
            lane = delivery.lanes.get((location, delivery.zone_of(to.country, to.postal_code), way.service))
            return (lane.cost, lane.cost_per_unit) if lane else (0, 0)
        if line.fulfilment is Fulfilment.SHIP_TO_STORE:
            transfer = delivery.transfer_lanes.get((location, to.location))
            return (transfer.cost, transfer.cost_per_unit) if transfer else (0, 0)
        return 0, 0
