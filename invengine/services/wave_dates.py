"""Which locations can have a line with its customer in time, and by which service it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.orders import Fulfilment
from invengine.kernels.layout import DATED
from invengine.services.dates import NOW, DatedLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.network import Network
    from invengine.domain.waves import WaveLine
    from invengine.services.dating import Dating

_Key = tuple[Fulfilment, str, str, tuple[str, ...]]


class Way(NamedTuple):
    """How units of a line come from a location: by which service, and on which day (0 for none: it has no date)."""

    service: str
    day: int


class WaveDates:
    """Dates the lines of one wave as if they were ordered now. What goes the same way is asked once."""

    def __init__(self, network: Network, dating: Dating) -> None:
        self._network = network
        self._dating = dating
        self._days: dict[_Key, dict[str, list[Way]]] = {}

    def ways(self, line: WaveLine, locations: Sequence[str]) -> dict[str, list[Way]]:
        """Per location every way that has a date, earliest first; of those that a date is asked for only."""
        to = line.destination
        is_shipped = line.fulfilment is Fulfilment.SHIP
        goal = self._network.delivery.zone_of(to.country, to.postal_code) if is_shipped else to.location
        key = line.fulfilment, line.service, goal, tuple(locations)
        found = self._days.get(key)
        if found is None:
            found = self._days[key] = self._asked(line, key[3])
        return found

    def _asked(self, line: WaveLine, locations: tuple[str, ...]) -> dict[str, list[Way]]:
        options = self._dating.expanded((line.fulfilment,), (line.service,) if line.service else ())
        if not options or not locations:
            return {}
        asked = DatedLine(1, dict.fromkeys(locations, NOW))
        services = [option.service for option in options if option.service]
        dates = self._dating.options([asked], line.destination, (line.fulfilment,), services)
        found: dict[str, list[Way]] = {}
        for index, location in enumerate(dates.locations):
            ways = [
                Way(option.service, int(dates.delivery_days[0, index, place]))
                for place, option in enumerate(dates.options)
                if dates.status[0, index, place] == DATED
            ]
            found[location] = sorted(ways, key=lambda way: way.day)
        return found
