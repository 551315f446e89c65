"""What is expected of a SKU, on the days that count for promises, as the kernels want it."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine.domain.calendars import local_day
from invengine.domain.incoming import SUM_MAX, effective_day
from invengine.kernels.layout import ARRIVAL_COLUMNS
from invengine.services.days import today

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica

HORIZON_DAYS: Final = 730
"""Nothing is promised for later days than this from today on."""

_MINUTE_MS: Final = 60_000
NO_ARRIVALS: Final = np.empty((0, ARRIVAL_COLUMNS), np.int64)


class LocalDays:
    """What day it is at the locations of a network at one moment."""

    def __init__(self, network: Network, now_ms: int) -> None:
        self.network: Final = network
        self.now_ms: Final = now_ms
        self._by_zone: dict[str, int] = {}

    def today(self, location: str) -> int:
        """The local day of a location, since 1970."""
        zone = self.network.locations[location].time_zone
        day = self._by_zone.get(zone)
        if day is None:
            day = self._by_zone[zone] = local_day(self.now_ms // _MINUTE_MS, zone)
        return day


def arrivals(sku: str, replica: Replica, usable: Container[str], local: LocalDays) -> npt.NDArray[np.int64]:
    """int64 [n, 6] as layout.py says: what comes to the usable ones of the locations of a network.

    A receipt counts on its effective day, as for whoever pegs to it. Where the local day of the location is later than
    that already, it counts on the local day: nothing is promised for a day that is over.
    """
    by_place: dict[str, dict[int, list[int]]] = {}
    latest = today(local.now_ms) + HORIZON_DAYS
    for receipt in replica.incoming.receipts(sku):
        location = receipt.location
        if location in usable:
            day = effective_day(receipt.expected_day, local.now_ms, overdue_stops=location in replica.stopping)
            if 0 < day <= latest:
                units = by_place.setdefault(location, {}).setdefault(max(day, local.today(location)), [0, 0])
                units[0] += receipt.quantity
                units[1] += receipt.quantity - receipt.pegged
    if not by_place:
        return NO_ARRIVALS
    lines = []
    for location, by_day in by_place.items():
        number = replica.locations.number(location)
        floor = local.network.sku_location_safety(sku, location)
        lines.append((number, 0, 0, -replica.incoming.backordered(sku, location), *floor))
        lines += [(number, day, min(come, SUM_MAX), min(free, SUM_MAX), 0, 0) for day, (come, free) in by_day.items()]
    lines.sort()
    return np.array(lines, np.int64)
