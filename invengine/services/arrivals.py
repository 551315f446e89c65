"""What is expected of a SKU, on the days that count for promises, as the kernels want it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

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

KEPT_MAX: Final = 65_536
"""SKUs whose arrivals are kept, before all are forgotten."""

_MINUTE_MS: Final = 60_000
_QUARTER_MS: Final = 15 * _MINUTE_MS  # no day begins anywhere but on a quarter of an hour
NO_ARRIVALS: Final = np.empty((0, ARRIVAL_COLUMNS), np.int64)


class LocalDays:
    """What day it is at the locations of a network at one moment."""

    def __init__(self, network: Network, now_ms: int) -> None:
        self.network: Final = network
        self.now_ms: Final = now_ms
        self._by_zone: dict[str, int] = {}
        self._by_location: dict[str, int] = {}

    def today(self, location: str) -> int:
        """The local day of a location, since 1970."""
        day = self._by_location.get(location)
        if day is None:
            zone = self.network.locations[location].time_zone
            day = self._by_zone.get(zone)
            if day is None:
                day = self._by_zone[zone] = local_day(self.now_ms // _MINUTE_MS, zone)
            self._by_location[location] = day
        return day


class _Compiled(NamedTuple):
    """What is kept of a SKU for the next question: good for this network within this quarter of an hour."""

    network: Network
    quarter: int
    lines: npt.NDArray[np.int64]


def arrivals(sku: str, replica: Replica, local: LocalDays) -> npt.NDArray[np.int64]:
    """int64 [n, 5] as layout.py says: what comes to the locations of the network. Not to be written to.

    A receipt counts on its effective day, as for whoever pegs to it. Where the local day of the location is later than
    that already, it counts on the local day: nothing is promised for a day that is over.
    """
    kept, quarter = replica.incoming.compiled, local.now_ms // _QUARTER_MS
    known = kept.get(sku)
    if isinstance(known, _Compiled) and known.network is local.network and known.quarter == quarter:
        return known.lines
    lines = _compiled(sku, replica, local)
    if len(kept) >= KEPT_MAX:
        kept.clear()
    kept[sku] = _Compiled(local.network, quarter, lines)
    return lines


def _compiled(sku: str, replica: Replica, local: LocalDays) -> npt.NDArray[np.int64]:
    network, by_place = local.network, dict[str, dict[int, int]]()
    latest = today(local.now_ms) + HORIZON_DAYS
    for receipt in replica.incoming.receipts(sku):
        location = receipt.location
        if location in network.locations:
            stops = location in network.stopping
            day = effective_day(receipt.expected_day, local.now_ms, overdue_stops=stops)
            if 0 < day <= latest:
                counted, by_day = max(day, local.today(location)), by_place.setdefault(location, {})
                by_day[counted] = by_day.get(counted, 0) + receipt.quantity - receipt.pegged
    lines = []
    for location, by_day in by_place.items():
        place, owed = replica.locations.number(location), replica.incoming.backordered(sku, location)
        lines.append((place, 0, -owed, *network.sku_location_safety(sku, location)))
        lines += [(place, day, min(units, SUM_MAX), 0, 0) for day, units in by_day.items()]
    return np.array(sorted(lines), np.int64).reshape(-1, ARRIVAL_COLUMNS)
