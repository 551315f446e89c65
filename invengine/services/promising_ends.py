"""When each source is with the customer, and what that costs, for all ends of many orders: where to, in which ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Fulfilment
from invengine.domain.promising import Gap, Way
from invengine.kernels.layout import ANSWER_DAY, ANSWER_STATUS, BEST_NEVER, DATED
from invengine.services.dates import DatedLine
from invengine.services.promising_choice import COST_MAX
from invengine.services.promising_options import gap_of

if TYPE_CHECKING:
    from invengine.services.promising_options import Means
    from invengine.services.promising_requests import Asked

Numbers = npt.NDArray[np.int64]
Source = tuple[int, int, int]
"""The place of a location, the day from which units are there (0: now), and how many count for its capacity."""

_NOWHERE: Final = -1


class Tables(NamedTuple):
    """Days by end, option and source; costs by end, option and location; the number of each end's options as ways."""

    days: Numbers
    parcels: Numbers
    units: Numbers
    ways: Numbers
    gaps: dict[tuple[int, int], list[Gap]]


def tables_of(
    means: Means,
    moment: tuple[int, int],
    locations: Sequence[str],
    sources: Sequence[Source],
    *,
    ends: Sequence[Asked],
    numbers: dict[Way, int],
) -> Tables:
    """The tables of these sources and ends; ways get their `numbers`. `moment`: (confidence_parts, now_ms)."""
    return _Maker(means, moment, locations, sources).made(ends, numbers)


class _Maker:
    def __init__(
        self, means: Means, moment: tuple[int, int], locations: Sequence[str], sources: Sequence[Source]
    ) -> None:
        self._means = means
        self._moment = moment
        self._locations = locations
        self._sources = sources

    def made(self, ends: Sequence[Asked], numbers: dict[Way, int]) -> Tables:
        of_end = [ways_of(how) for how in ends]
        width = max([1, *map(len, of_end)])
        shape = len(ends), width
        days = np.full((*shape, len(self._sources)), BEST_NEVER, np.int64)
        parcels, units = np.zeros((2, *shape, len(self._locations)), np.int64)
        ways = np.full(shape, _NOWHERE, np.int64)
        gaps: dict[tuple[int, int], list[Gap]] = {}
        places = [place for place, _, _ in self._sources]
        for end, how in enumerate(ends):
            option = 0
            for fulfilment in how.ways:
                services = how.services if fulfilment is Fulfilment.SHIP else ("",)
                if not services:
                    continue
                block = self._dates(how, fulfilment, services)
                may = self._may(how, fulfilment)[places]
                for n in range(len(services)):
                    way = of_end[end][option]
                    ways[end, option] = numbers.setdefault(way, len(numbers))
                    status = block[:, n, ANSWER_STATUS]
                    is_dated = may & (status == DATED)
                    days[end, option, is_dated] = block[is_dated, n, ANSWER_DAY]
                    for number in np.flatnonzero(may & ~is_dated).tolist():
                        gap = self._gap(int(status[number]), self._locations[places[number]], way, how)
                        if gap is not None:
                            gaps.setdefault((end, number), []).append(gap)
                    self._price(way, how, parcels[end, option], units[end, option])
                    option += 1
        return Tables(days, parcels, units, ways, gaps)

    def _dates(self, how: Asked, fulfilment: Fulfilment, services: Sequence[str]) -> Numbers:
        """int64 [sources, services, ANSWER_COLUMNS]."""
        rows: list[tuple[int, dict[str, int]]] = []
        at = []
        row_of: dict[tuple[int, str], int] = {}  # the next row for these units at a location
        by_units: dict[int, list[int]] = {}
        for place, day, units in self._sources:
            name = self._locations[place]
            turn = row_of.get((units, name), 0)
            row_of[units, name] = turn + 1
            mine = by_units.setdefault(units, [])
            if turn == len(mine):
                mine.append(len(rows))
                rows.append((units, {}))
            rows[mine[turn]][1][name] = day
            at.append((mine[turn], name))
        dates = self._means.dating.options(
            [DatedLine(units, days) for units, days in rows],
            how.destination,
            (fulfilment,),
            services,
            confidence_parts=self._moment[0],
            at_ms=self._moment[1],
        )
        places = {name: place for place, name in enumerate(dates.locations)}
        return dates.answers[[row for row, _ in at], [places[name] for _, name in at]]

    def _may(self, how: Asked, fulfilment: Fulfilment) -> npt.NDArray[np.bool_]:
        """Of each location, whether it can be used this way."""
        network, to = self._means.network, how.destination.location
        if fulfilment is Fulfilment.PICKUP:
            return np.array([n == to and network.locations[n].can_fulfil(fulfilment) for n in self._locations], bool)
        is_there = fulfilment is Fulfilment.SHIP_TO_STORE
        found = [network.locations[n].can_fulfil(fulfilment) or (is_there and n == to) for n in self._locations]
        return np.array(found, bool)

    def _price(self, way: Way, how: Asked, parcels: Numbers, units: Numbers) -> None:
        delivery, to = self._means.network.delivery, how.destination
        zone = delivery.zone_of(to.country, to.postal_code)
        for place, name in enumerate(self._locations):
            lane = (
                delivery.lanes.get((name, zone, way.service))
                if way.fulfilment is Fulfilment.SHIP
                else delivery.transfer_lanes.get((name, to.location))
            )
            if lane is not None and way.fulfilment is not Fulfilment.PICKUP:
                parcels[place], units[place] = min(lane.cost, COST_MAX), min(lane.cost_per_unit, COST_MAX)

    def _gap(self, status: int, location: str, way: Way, how: Asked) -> Gap | None:
        to = how.destination
        zone = self._means.network.delivery.zone_of(to.country, to.postal_code)
        return gap_of(status, location, way.service, to, zone)


def ways_of(how: Asked) -> list[Way]:
    """The ways that a question asks for."""
    found = []
    for fulfilment in how.ways:
        if fulfilment is Fulfilment.SHIP:
            found += [Way(fulfilment, service) for service in how.services]
        else:
            found.append(Way(fulfilment, "", how.destination.location))
    return found
