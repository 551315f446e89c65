"""Many baskets dated at once: what each line could come from as rows of arrays, chosen from by one call of a kernel.

Units at a location from an instant on are a source; there are few different ones beside the many lines, so each is
dated once for each end (where orders go, and in which ways). Most orders fit: their lines take nothing from each other.
Those that do not are answered one by one, as GetPromise does: `odd` names them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.domain.promising import Gap, Way
from invengine.kernels.layout import BEST_NEVER
from invengine.services.promising_board import LINES_MAX
from invengine.services.promising_ends import Tables, tables_of
from invengine.services.promising_supply import Demand
from invengine.services.selection import select

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.services.promising_options import Means
    from invengine.services.promising_requests import Asked, AskedOrder, WantedLine

Numbers = npt.NDArray[np.int64]

_NOWHERE: Final = -1


class Batch(NamedTuple):
    """Who asks, for what, how sure and when. `demands`: of each order, its lines as they are taken."""

    channel: str
    orders: Sequence[AskedOrder]
    demands: Sequence[Sequence[Demand]]
    confidence_parts: int
    now_ms: int


class Dated(NamedTuple):
    """What became of each order. `days` 0 for none; `ways` index into `way_names`; `served_by` into `locations`."""

    days: Numbers
    ways: Numbers
    served_by: list[int]
    odd: list[int]
    unknown: list[int]
    gapped: list[int]


class ManyOrders:
    """Dates the orders of one batch, or of a part of one."""

    def __init__(self, means: Means, replica: Replica, batch: Batch) -> None:
        self._means = means
        self._replica = replica
        self._batch = batch
        network = means.network
        usable = network.usable(batch.channel, fulfilment=Fulfilment.ANY)
        self.locations: Final = list(usable)
        self._place_of = {name: place for place, name in enumerate(usable)}
        self._sources: dict[tuple[int, int, int], int] = {}  # (place, day, units for capacity): its number
        self._ends: list[Asked] = []
        self._end_numbers: dict[Hashable, int] = {}
        self._end_of: dict[int, int] = {}  # by the identity of what orders of one batch share
        self.ways: Final[dict[Way, int]] = {}
        """Every way that was asked for, by its number."""
        self.gaps: Final[dict[Gap, None]] = {}
        self._limited = {
            place
            for place, name in enumerate(usable)
            for preparation in network.locations[name].preparation.values()
            if preparation.capacity is not None and preparation.capacity.units
        }
        for place in range(len(usable)):  # the number of what is there now is that of its place
            self._source(place, 0, 1)

    # What each line could come from

    def _source(self, place: int, day: int, units: int) -> int:
        key = place, day, units if place in self._limited else 1
        return self._sources.setdefault(key, len(self._sources))

    def laid(self) -> Laid:
        """The lines of all orders with their rows."""
        found = Laid([], [], [], [], [], [])
        plain: list[_Plain] = []
        for number, (order, demands) in enumerate(zip(self._batch.orders, self._batch.demands, strict=True)):
            end = self._end(order.how)
            first = len(found.lines)
            found.orders.append((first, len(demands), end))
            if any(not self._means.supply.knows(demand) for demand in demands):
                found.unknown.append(number)
                found.lines.extend([(0, 0, 0)] * len(demands))
                continue
            if self._is_odd(demands):
                found.odd.append(number)
                found.lines.extend([(0, 0, 0)] * len(demands))
                continue
            busy = sum([demand.units for demand in demands])
            for demand in demands:
                if self._is_plain(demand):
                    plain.append(_Plain(demand.line.sku, len(found.lines), demand.line.quantity, busy, number))
                    found.lines.append((0, 0, demand.line.quantity))
                else:
                    rows = self._rows(demand, busy, number, found)
                    found.lines.append((len(found.rows), len(rows), demand.units))
                    found.rows.extend(rows)
        self._lay_plain(plain, found)
        return found

    def _end(self, how: Asked) -> int:
        """The number of where an order goes: all postal codes of a zone are one end."""
        to = how.destination
        known = self._end_of.get(id(how))
        if known is not None:
            return known
        zone = self._means.network.delivery.zone_of(to.country, to.postal_code)
        key = zone or (to.country, to.postal_code), to.location, how.ways, how.services
        end = self._end_numbers.setdefault(key, len(self._ends))
        if end == len(self._ends):
            self._ends.append(how)
        self._end_of[id(how)] = end
        return end

    def _is_odd(self, demands: Sequence[Demand]) -> bool:
        """Whether the lines mind each other, or one may gain by being split."""
        if len(demands) > LINES_MAX:
            return True
        if any(demand.line.allow_split and demand.line.quantity > 1 for demand in demands):
            return any(self._may_be_split(demand) for demand in demands)
        skus = [sku for demand in demands for sku, _ in demand.parts]
        return len(skus) > len(set(skus))

    def _may_be_split(self, demand: Demand) -> bool:
        """Whether some location has a part of it, or has it in parts."""
        if not demand.line.allow_split:
            return False
        supply, wanted = self._means.supply, demand.line.quantity
        return any(
            steps and (steps[0][1] < wanted or steps[0][0])
            for steps in (supply.steps(demand, name, {}) for name in self._allowed(demand.line))
        )

    def _is_plain(self, demand: Demand) -> bool:
        """Whether only what is on hand counts, wherever it is."""
        line = demand.line
        if line.location or line.group or line.sku in self._means.network.kits:
            return False
        return line.sku not in self._replica.incoming

    def _allowed(self, line: WantedLine) -> Sequence[str]:
        """The locations that a line may come from, one way or another."""
        if line.location:
            return (line.location,) if line.location in self._place_of else ()
        if line.group:
            return [name for name in self._means.network.groups[line.group] if name in self._place_of]
        return self.locations

    def _rows(self, demand: Demand, busy: int, order: int, laid: Laid) -> list[int]:
        """The sources of a line; of limited places with the units of its whole order (`busy`)."""
        found = []
        for name in self._allowed(demand.line):
            day = self._means.supply.day(demand, demand.line.quantity, name, {})
            if day >= 0:
                place = self._place_of[name]
                found.append(self._source(place, day, busy))
                if busy > demand.units and place in self._limited:
                    laid.pairs.append((order, self._source(place, day, demand.units), found[-1]))
        return found

    def _lay_plain(self, plain: Sequence[_Plain], found: Laid) -> None:
        """The rows of lines of which only what is on hand counts, all at once."""
        if not plain:
            return
        skus = {sku: number for number, sku in enumerate(dict.fromkeys(one.sku for one in plain))}
        counts, places, available = self._on_hand(list(skus))
        starts = np.cumsum(counts) - counts
        number = np.array([skus[one.sku] for one in plain], np.int64)
        wanted = np.array([one.units for one in plain], np.int64)
        mine = counts[number]
        line = np.repeat(np.arange(len(plain)), mine)
        within = np.arange(mine.sum()) - np.repeat(np.cumsum(mine) - mine, mine)
        at = starts[number][line] + within
        enough = available[at] >= wanted[line]
        rows, line = places[at[enough]], line[enough]
        counts_of = np.bincount(line, minlength=len(plain))
        firsts = len(found.rows) + np.cumsum(counts_of) - counts_of
        for one, first, count in zip(plain, firsts.tolist(), counts_of.tolist(), strict=True):
            found.lines[one.line] = (first, count, one.units)
        found.rows.extend(self._limited_rows(plain, rows, line, found))

    def _limited_rows(self, plain: Sequence[_Plain], rows: Numbers, line: Numbers, laid: Laid) -> list[int]:
        """The sources of rows that are places: at limited ones with the units of the whole order."""
        if not self._limited:
            return rows.tolist()  # type: ignore[no-any-return]  # the numbers of what is there now are those of places
        found = rows.tolist()
        for at in np.flatnonzero(np.isin(rows, list(self._limited))).tolist():
            one, place = plain[line[at]], found[at]
            found[at] = self._source(place, 0, one.busy)
            if one.busy > one.units:
                laid.pairs.append((one.order, self._source(place, 0, one.units), found[at]))
        return found  # type: ignore[no-any-return]

    def _on_hand(self, skus: Sequence[str]) -> tuple[Numbers, Numbers, Numbers]:
        """Of each SKU how many rows; of each row its place and the units that can be taken there now."""
        replica, columns = self._replica, self._replica.columns
        selection = select(self._means.network, replica.locations, replica.channels, self._batch.channel)
        names = [sku.encode() for sku in skus]
        lengths = np.array([len(name) for name in names], np.int64)
        spans = np.stack((np.cumsum(lengths) - lengths, lengths), axis=1)
        numbers = np.empty(len(skus), np.int64)
        text = np.frombuffer(b"".join(names), np.uint8)
        kernels.find_names(text, spans, columns.index.slots, columns.index.arena, numbers)
        room = int(kernels.rows_at_most(numbers, columns.skus))
        status, totals = np.empty(len(skus), np.uint8), np.empty(len(skus), np.int64)
        counts, index, available = np.empty(len(skus), np.int32), np.empty(room, np.int32), np.empty(room, np.int64)
        arrays = columns.positions, columns.skus, columns.fences, selection.at(self._batch.now_ms)
        rows = int(kernels.available_rows(numbers, *arrays, status, totals, counts, index, available))
        usable = [name for name in selection.asked if name in selection.usable]
        place_of = np.array([self._place_of[name] for name in usable], np.int64)
        return counts.astype(np.int64), place_of[index[:rows]], available[:rows]

    # When each source is there

    def chosen(self, laid: Laid) -> Dated:
        """The best way of each order."""
        tables = self._tables()
        self._find_tight(laid, tables)
        out = np.empty((len(laid.orders), 3), np.int64)
        served_by = np.empty(len(laid.lines), np.int64)
        kernels.choose_for_orders(
            _block(laid.orders, 3),
            _block(laid.lines, 3),
            np.array(laid.rows, np.int64),
            np.array([place for place, _, _ in self._sources], np.int64),
            tables.days,
            tables.parcels,
            tables.units,
            out,
            served_by,
        )
        is_dated = out[:, 0] < BEST_NEVER
        ways = np.full(len(out), _NOWHERE, np.int64)
        ends = _block(laid.orders, 3)[:, 2]
        ways[is_dated] = tables.ways[ends[is_dated], out[is_dated, 1]]
        gapped = self._gapped(laid, np.flatnonzero(~is_dated).tolist(), tables)
        return Dated(np.where(is_dated, out[:, 0], 0), ways, served_by.tolist(), laid.odd, laid.unknown, gapped)

    def _find_tight(self, laid: Laid, tables: Tables) -> None:
        """Orders whose lines are later for each other's sake, since a day's capacity is limited: they are odd."""
        if not laid.pairs:
            return
        order, own, together = np.array(laid.pairs, np.int64).T
        ends = _block(laid.orders, 3)[order, 2]
        is_tight = (tables.days[ends, :, own] != tables.days[ends, :, together]).any(axis=1)
        for number in np.unique(order[is_tight]).tolist():
            first, count, _ = laid.orders[number]
            laid.lines[first : first + count] = [(0, 0, 0)] * count
            laid.odd.append(number)

    def columns(self, laid: Laid) -> tuple[list[tuple[Way, Numbers]], list[int], list[int], list[int]]:
        """For orders of one line and one end: of each way the days (0 for none); the odd, unknown and gapped ones."""
        tables = self._tables()
        counts = np.array([count for _, count, _ in laid.lines], np.int64)
        rows = np.array(laid.rows, np.int64)
        order = np.argsort([first for first, _, _ in laid.lines], kind="stable")
        line = np.repeat(order, counts[order])
        found = []
        for way, number in self.ways.items():
            days = np.full(len(laid.lines), BEST_NEVER, np.int64)
            np.minimum.at(days, line, tables.days[0, number, rows])
            found.append((way, np.where(days < BEST_NEVER, days, 0)))
        none = np.all([days == 0 for _, days in found], axis=0) if found else np.ones(len(laid.lines), bool)
        gapped = self._gapped(laid, np.flatnonzero(none).tolist(), tables)
        return found, laid.odd, laid.unknown, gapped

    def _tables(self) -> Tables:
        """Days and costs of all ends; numbers the ways."""
        moment = self._batch.confidence_parts, self._batch.now_ms
        return tables_of(self._means, moment, self.locations, list(self._sources), ends=self._ends, numbers=self.ways)

    def _gapped(self, laid: Laid, numbers: Sequence[int], tables: Tables) -> list[int]:
        """Of these orders, those with a line that a gap may keep from being promised; notes all gaps."""
        found = []
        for number in numbers:
            first, count, end = laid.orders[number]
            lines = laid.lines[first : first + count]
            rows = [row for begin, many, _ in lines for row in laid.rows[begin : begin + many]]
            lacking = [gap for row in rows for gap in tables.gaps.get((end, row), ())]
            if lacking:
                found.append(number)
                self.gaps.update(dict.fromkeys(lacking))
        return found


@dataclass(frozen=True, slots=True)
class Laid:
    """Lines of orders, see ORDER_ and WANTED_ in kernels/layout.py; `rows` are numbers of sources."""

    orders: list[tuple[int, int, int]]
    lines: list[tuple[int, int, int]]
    rows: list[int]
    odd: list[int]
    unknown: list[int]
    pairs: list[tuple[int, int, int]]
    """(order, source with a line's own units, the same with those of the whole order) at limited places."""


class _Plain(NamedTuple):
    """A line of which only what is on hand counts: its place among the lines, its units, those of its whole order."""

    sku: str
    line: int
    units: int
    busy: int
    order: int


def _block(rows: Sequence[tuple[int, ...]], columns: int) -> Numbers:
    return np.array(rows, np.int64).reshape(-1, columns)
