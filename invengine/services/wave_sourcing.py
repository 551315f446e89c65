"""Which locations may serve each line of a wave, with what stock, by which way and at which cost: the kernel's problem.

Gathered order by order, so that others have their turn in between. Stock is read SKU by SKU, for all channels at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine.domain.waves import Missing, Mode
from invengine.errors import InventoryError
from invengine.kernels.layout_wave import WAVE_LINE_SKU, WAVE_LINE_WANTED, WAVE_ORDER_CHANNEL, WAVE_ORDER_LINES
from invengine.services.shelf import Shelf
from invengine.services.wave_problem import Block, ProblemRows, WaveProblem
from invengine.services.wave_supply import Offer, Stock, cells_of

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate
    from invengine.domain.waves import MinimumShare, WaveLine, WaveOrder
    from invengine.replica.replica import Replica
    from invengine.services.wave_costs import Cost, WaveCosts
    from invengine.services.wave_dates import WaveDates, Way

_FULL: Final = 100


@dataclass(slots=True)
class LineOptions:
    """What was found for a line: the place of its first option, and per option location, way and cost.

    `units` that there are for it at its locations; `late` units that are there and cannot come in time.
    """

    first: int
    found: list[tuple[str, Way, Cost]] = field(default_factory=list)
    units: int = 0
    most: int = 0
    late: int = 0
    has_locations: bool = True


class WaveSourcing:
    """Gathers one wave. `channels`: of its orders, in the order in which they are committed."""

    def __init__(
        self,
        network: Network,
        replica: Replica,
        now_ms: int,
        channels: Sequence[str],
        *,
        dates: WaveDates,
        costs: WaveCosts,
        members: frozenset[str] | None,
    ) -> None:
        self._network = network
        self._channels = {name: number for number, name in enumerate(channels)}
        self._shelves = {
            name: Shelf(replica, now_ms, name, borrows=network.channel(name).borrows) for name in self._channels
        }
        self._dates = dates
        self._costs = costs
        self._members = members
        self._rows = ProblemRows()
        self._dearest = 0
        self.stock = Stock()
        self.lines: list[LineOptions] = []

    def read(self, sku: str) -> None:
        """The stock of a SKU, for all channels of the wave; before any line that wants it."""
        by_location: dict[str, dict[str, Offer]] = {}
        for channel in self._channels:
            for candidate in self._candidates(channel, sku):
                terms = self._shelves[channel].terms(sku, candidate)
                by_location.setdefault(candidate.location, {})[channel] = Offer(*terms)
        for location, offers in by_location.items():
            self.stock.add(sku, location, cells_of(offers))
        self.stock.add(sku, "", [])

    def totals(self, channel: str, sku: str) -> int:
        """Units that a channel could take of a SKU in all: who takes less goes first."""
        return sum([self._shelves[channel].on_hand(sku, one) for one in self._candidates(channel, sku)])

    def add(self, order: WaveOrder) -> None:
        """An order, behind those before it."""
        rows = self._rows
        first_line, first_place = rows.lines.count, rows.places.count
        places: dict[tuple[object, ...], int] = {}
        for line in order.lines:
            options = self._options(order.channel, line, places)
            self.lines.append(options)
            rows.lines.add(
                self.stock.row(line.sku),
                line.quantity,
                line.worth,
                int(line.allow_split),
                int(line.allow_partial and not order.all_or_nothing),
                options.first,
                len(options.found),
            )
        rows.orders.add(
            order.priority_class,
            self._channels[order.channel],
            int(order.all_or_nothing),
            first_line,
            len(order.lines),
            first_place,
            rows.places.count - first_place,
        )

    def settle(self) -> None:
        """Turns what was added since the last time into arrays."""
        self._rows.settle()

    def problem(self, mode: Mode, shares: Sequence[MinimumShare], missing_cost: int | None) -> WaveProblem:
        """The problem of all that was added. `missing_cost` of a unit of lines that do not tell what it is worth."""
        worth = self._dearest + 1 if missing_cost is None else missing_cost
        problem = self._rows.problem(self.stock.block(), worth, is_fair=mode is Mode.FAIR)
        return replace(problem, shares=self._shares(problem, shares))

    def _candidates(self, channel: str, sku: str) -> tuple[Candidate, ...]:
        return self._network.candidates(channel, sku, self._network.usable(channel))

    def _options(self, channel: str, line: WaveLine, places: dict[tuple[object, ...], int]) -> LineOptions:
        rows = self._rows
        options = LineOptions(rows.options.count)
        locations = self._locations(channel, line)
        options.has_locations = bool(locations)
        dated = self._dates.ways(line, locations) if line.needed_by else {}
        for location in locations:
            units = [cell for cell in self.stock.cells(line.sku, location) if channel in cell.channels]
            there = sum([cell.units for cell in units])
            ways = [way for way in dated.get(location, ()) if way.day <= line.needed_by] if line.needed_by else []
            if line.needed_by and not ways:
                options.late += there
                continue
            options.units += there
            options.most = max(options.most, there)
            if not there:
                continue
            way, cost = self._costs.cheapest(line, location, ways)
            for cell in units:
                column = self.stock.column(location, cell.layer)
                key = column, line.fulfilment, line.destination, way.service
                if key not in places:
                    places[key] = rows.places.add(column, cost.parcel)
                rows.options.add(places[key], cost.unit, cost.line)
                options.found.append((location, way, cost))
                self._dearest = max(self._dearest, sum(cost))
        return options

    def _locations(self, channel: str, line: WaveLine) -> Sequence[str]:
        """The locations that may serve a line, by priority."""
        try:
            usable = self._network.usable(channel, location=line.location, group=line.group, fulfilment=line.fulfilment)
        except InventoryError:  # a location that is not the channel's, say: the plan tells it of the line
            return ()
        only = frozenset(line.only_at) if line.only_at else None
        return [
            name
            for name in usable
            if (self._members is None or name in self._members) and (only is None or name in only)
        ]

    def _shares(self, problem: WaveProblem, shares: Sequence[MinimumShare]) -> Block:
        """Units that channels get at least, int64 [C, K]: never more than they want, nor together than there are."""
        found = np.zeros((max(1, len(self._channels)), problem.stock.shape[0]), np.int64)
        if not shares:
            return found
        wanted = np.zeros_like(found)
        of_channel = np.repeat(problem.orders[:, WAVE_ORDER_CHANNEL], problem.orders[:, WAVE_ORDER_LINES])
        np.add.at(wanted, (of_channel, problem.lines[:, WAVE_LINE_SKU]), problem.lines[:, WAVE_LINE_WANTED])
        there, rows = problem.stock.sum(axis=1), self.stock.rows
        is_told = np.zeros(found.shape, np.bool_)
        for share in sorted(shares, key=lambda one: not one.sku):  # those of one SKU win over those of all
            channel = self._channels.get(share.channel)
            if channel is None or (share.sku and share.sku not in rows):
                continue
            which = np.arange(found.shape[1])[~is_told[channel]] if not share.sku else np.array([rows[share.sku]])
            units = np.full(len(which), share.units) if share.units else there[which] * share.percent // _FULL
            room = there[which] - found[:, which].sum(axis=0)
            found[channel, which] = np.minimum(np.minimum(units, wanted[channel, which]), room)
            is_told[channel, which] = True
        return found


def why_missing(line: WaveLine, options: LineOptions) -> Missing:
    """Why a line does not get all units."""
    if not options.has_locations:
        return Missing.NO_LOCATION
    if not options.units:
        return Missing.TOO_LATE if options.late else Missing.NO_STOCK
    is_whole = not line.allow_split and not line.allow_partial
    if options.units >= line.quantity > options.most and is_whole:
        return Missing.NOT_TOGETHER
    return Missing.TAKEN
