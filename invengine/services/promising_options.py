"""All ways of one fulfilment for one basket: who may serve it, what that costs, and what becomes of each way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.distance import kilometres
from invengine.domain.orders import Fulfilment
from invengine.domain.promising import Gap, GapKind, LineProblem, Option, PromisedLine, PromisedPart, Step, Way
from invengine.domain.transit import NOTHING_LEARNT, TransitTimes
from invengine.errors import LocationNotUsable
from invengine.kernels.layout import (
    ANSWER_DAY,
    ANSWER_READY,
    ANSWER_SHIP,
    ANSWER_STATUS,
    BEYOND_HORIZON,
    DATED,
    NO_CALENDAR,
    NO_LANE,
    NO_OPENING,
    NO_SLOT,
    NO_STORE_CALENDAR,
    NO_TRANSFER_LANE,
    NO_ZONE,
)
from invengine.services.dates import DatedLine
from invengine.services.promising_board import Board, Source
from invengine.services.promising_choice import Choice, Chooser, Prices
from invengine.services.promising_objective import parts_of_plan
from invengine.services.promising_steps import steps_of

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Destination
    from invengine.services.dates import Dates
    from invengine.services.dating import Dating
    from invengine.services.promising_objective import Objective
    from invengine.services.promising_requests import Asked, Near, WantedLine
    from invengine.services.promising_supply import Demand, Supply
    from invengine.services.sourcing import Sourcing

PICKUPS_MAX: Final = 10
"""Locations to collect at that are answered when none is named."""

_FREE: Final = (0, 0)


class Basket(NamedTuple):
    """What is asked: by whom, what, where to, how sure, and when."""

    channel: str
    demands: Sequence[Demand]
    how: Asked
    confidence_parts: int
    now_ms: int
    explain: bool = False


class Means(NamedTuple):
    """What options are worked out with. `objective`: what chooses the locations; None: the earliest day does."""

    network: Network
    sourcing: Sourcing
    dating: Dating
    supply: Supply
    learnt: TransitTimes = NOTHING_LEARNT
    objective: Objective | None = None


class Dated(NamedTuple):
    """Where the dates of a source are found."""

    dates: Dates
    line: int
    place: int


class Options:
    """The options of one fulfilment for a basket."""

    def __init__(self, means: Means, basket: Basket, fulfilment: Fulfilment) -> None:
        self._means = means
        self._basket = basket
        self._fulfilment = fulfilment
        self._dated: dict[Source, Dated] = {}
        self._distances: dict[str, float] = {}
        network, how = means.network, basket.how
        usable = [self._usable(demand.line) for demand in basket.demands]
        places = network.locations
        if means.objective is not None:
            excluded = means.objective.profile.excluded_locations(network)
            usable = [[name for name in names if name not in excluded] for names in usable]
        self._locations = sorted(
            {name for names in usable for name in names}, key=lambda name: (places[name].priority, name)
        )
        row_of = {name: row for row, name in enumerate(self._locations)}
        is_shipped = fulfilment is Fulfilment.SHIP
        self._row_of = row_of
        self._services = how.services if is_shipped else ("",)
        self._ways = [Way(fulfilment, name, "" if is_shipped else how.destination.location) for name in self._services]
        self._board = Board(
            basket.demands,
            self._locations,
            [[row_of[name] for name in names] for names in usable],
            means.supply,
            counted=frozenset(row for row, name in enumerate(self._locations) if self._counts_units(name)),
            dates=self._date,
        )

    def found(self) -> list[Option]:
        """Each way of the fulfilment, promised or not; of collecting anywhere the best ones."""
        if self._fulfilment is Fulfilment.PICKUP:
            return self._pickups()
        return [self._option(way, number) for number, way in enumerate(self._ways)]

    def gaps(self) -> list[Gap]:
        """What the network does not say about locations that have the units."""
        if self._fulfilment is Fulfilment.SHIP and not self._means.network.delivery.services:
            return [Gap(GapKind.NO_SERVICES)]
        found: dict[Gap, None] = {}
        for number, way in enumerate(self._ways):
            for source in sorted(self._dated):
                status = self._board.answer(source, number)[ANSWER_STATUS]
                if status == DATED:
                    continue
                gap = self._gap(status, self._locations[source.row], way.service)
                if gap is not None:
                    found[gap] = None
        return list(found)

    # Who may serve the lines, and what it costs

    def _usable(self, line: WantedLine) -> list[str]:
        """The locations that a line may come from this way; what lies where it is collected need not be sent there."""
        means, basket, to = self._means, self._basket, self._basket.how.destination.location
        names = self._candidates(line._replace(fulfilment=self._fulfilment))
        if self._fulfilment is Fulfilment.PICKUP and to:
            return [name for name in names if name == to]
        if self._fulfilment is Fulfilment.PICKUP and basket.how.near:
            return [name for name in names if self._is_near(name, basket.how.near)]
        if self._fulfilment is Fulfilment.SHIP_TO_STORE and to not in names:
            may = line.location in ("", to) and not means.network.why_not(basket.channel, to, Fulfilment.PICKUP)
            if may and (not line.group or to in means.network.groups[line.group]):
                names.append(to)
        return names

    def _is_near(self, location: str, near: Near) -> bool:
        """Whether a location is within the radius; notes how far it is."""
        position = self._means.network.locations[location].position
        if position is None:
            return False
        self._distances[location] = distance = kilometres(near.position, position)
        return distance <= near.radius_km

    def _candidates(self, line: WantedLine) -> list[str]:
        means = self._means
        try:
            (found,) = means.sourcing.candidates(self._basket.channel, (line,), means.network)
        except LocationNotUsable:  # the one that the line names cannot do this; another way may be open to it
            return []
        return [candidate.location for candidate in found]

    def _counts_units(self, location: str) -> bool:
        fulfilment = self._fulfilment
        if fulfilment is Fulfilment.SHIP_TO_STORE and location == self._basket.how.destination.location:
            fulfilment = Fulfilment.PICKUP
        preparation = self._means.network.locations[location].preparation.get(fulfilment)
        return bool(preparation and preparation.capacity and preparation.capacity.units)

    def _prices(self, way: Way) -> Prices:
        delivery, to = self._means.network.delivery, self._basket.how.destination
        zone = delivery.zone_of(to.country, to.postal_code)
        found = []
        for location in self._locations:
            if way.fulfilment is Fulfilment.SHIP:
                lane = delivery.lanes.get((location, zone, way.service))
                found.append((lane.cost, lane.cost_per_unit) if lane else _FREE)
            else:
                transfer = delivery.transfer_lanes.get((location, to.location))
                found.append((transfer.cost, transfer.cost_per_unit) if transfer else _FREE)
        return Prices([parcel for parcel, _ in found], [unit for _, unit in found])

    # Dates

    def _date(self, sources: Sequence[Source]) -> list[list[list[int]]]:
        """Dates sources in as few rows as there are different days and units at one location."""
        basket, how = self._basket, self._basket.how
        rows: list[tuple[int, dict[str, int]]] = []
        at: dict[Source, int] = {}
        for source in sources:
            location = self._locations[source.row]
            place = next(
                (i for i, (units, days) in enumerate(rows) if units == source.units and location not in days), len(rows)
            )
            if place == len(rows):
                rows.append((source.units, {}))
            rows[place][1][location] = source.day
            at[source] = place
        dates = self._means.dating.options(
            [DatedLine(units, days) for units, days in rows],
            how.destination,
            (self._fulfilment,),
            self._services,
            confidence_parts=basket.confidence_parts,
            at_ms=basket.now_ms,
        )
        places = {name: place for place, name in enumerate(dates.locations)}
        answers = dates.answers[..., : ANSWER_SHIP + 1].tolist()  # steps are read from the arrays, where they are told
        found = []
        for source in sources:
            place = places[self._locations[source.row]]
            self._dated[source] = Dated(dates, at[source], place)
            found.append(answers[at[source]][place])
        return found

    # Options

    def _option(self, way: Way, number: int, rows: frozenset[int] | None = None) -> Option:
        if self._means.objective is not None and rows is None:
            return self._planned(self._means.objective, way, number)
        choice = Chooser(self._board, number, self._prices(way), rows).choose() if self._locations else None
        if choice is None:
            return Option(way, self._problems(number))
        return self._promised(way, number, choice)

    def _planned(self, objective: Objective, way: Way, number: int) -> Option:
        """The combination that the objective says, dated as any other."""
        sourced = objective.plan(self._basket, way, self._means) if self._locations else None
        if sourced is None or sourced.best is None:
            return Option(way, self._problems(number))
        best = sourced.best
        parts = parts_of_plan(best, self._row_of)
        bound = None if sourced.is_proved else (0, best.bound)
        choice = Chooser(self._board, number, self._prices(way)).of_parts(parts, bound)
        if choice is None:
            return Option(way, self._problems(number))
        return replace(self._promised(way, number, choice), costs=best.costs)

    def _pickups(self) -> list[Option]:
        """Collecting at the location that is named; else at the nearest ones, or those where all is ready first."""
        (way,) = self._ways
        if way.location:
            return [self._option(way, 0)]
        board, basket, found = self._board, self._basket, []
        lines = [(place, demand.line.quantity) for place, demand in enumerate(basket.demands)]
        for row, name in enumerate(self._locations):
            sources = board.in_turn(row, lines)
            if sources is not None and all(board.answer(source, 0)[ANSWER_STATUS] == DATED for source in sources):
                ready = max(board.answer(source, 0)[ANSWER_READY] for source in sources)
                found.append((self._distances[name] if basket.how.near else ready, row))
        best = [row for _, row in sorted(found)[:PICKUPS_MAX]]
        if not best:
            return [Option(way, self._problems(0))]
        options = [self._option(way._replace(location=self._locations[row]), 0, frozenset((row,))) for row in best]
        return [replace(option, distance_km=self._distances.get(option.way.location)) for option in options]

    def _promised(self, way: Way, number: int, choice: Choice) -> Option:
        board, lines = self._board, []
        for place, demand in enumerate(self._basket.demands):
            line = demand.line
            parts = [
                self._part(placed.source, placed.quantity, number) for placed in choice.placed if placed.line == place
            ]
            lines.append(PromisedLine(line.line_id, line.sku, line.quantity, tuple(parts)))
        return Option(
            way,
            tuple(lines),
            choice.day,
            max(board.ready(placed.source, number) for placed in choice.placed),
            len(choice.rows),
            choice.cost,
            self._order_before(choice, number),
            choice.bound,
        )

    def _part(self, source: Source, quantity: int, number: int) -> PromisedPart:
        answer = self._board.answer(source, number)
        steps: tuple[Step, ...] = ()
        if self._basket.explain:
            dated = self._dated[source]
            chain = dated.dates.chain(dated.line, dated.place, number)
            means, basket = self._means, self._basket
            steps = steps_of(chain, means.network, basket.how.destination, means.learnt, basket.confidence_parts)
        return PromisedPart(
            self._locations[source.row],
            quantity,
            source.day,
            answer[ANSWER_SHIP],
            answer[ANSWER_DAY],
            answer[ANSWER_READY],
            steps,
        )

    def _order_before(self, choice: Choice, number: int) -> int:
        """The first minute at which one of the locations would be later than the basket's day."""
        by_dates: dict[int, tuple[Dates, list[tuple[int, int]]]] = {}
        for source in {placed.source for placed in choice.placed}:
            dated = self._dated[source]
            by_dates.setdefault(id(dated.dates), (dated.dates, []))[1].append((dated.line, dated.place))
        return min(dates.order_before(picks, number, choice.day) for dates, picks in by_dates.values())

    # What keeps a basket from being promised

    def _problems(self, number: int) -> tuple[PromisedLine, ...]:
        found = [self._problem(line, number) for line in range(len(self._basket.demands))]
        if not any(problem for problem, _ in found):
            found = [(LineProblem.TOGETHER, 0)] * len(found)
        return tuple(
            PromisedLine(demand.line.line_id, demand.line.sku, demand.line.quantity, (), problem, available)
            for demand, (problem, available) in zip(self._basket.demands, found, strict=True)
        )

    def _problem(self, line: int, number: int) -> tuple[LineProblem | None, int]:
        """Why a line cannot be had by itself, None when it can; and the most that could be promised of it."""
        board, demand = self._board, self._basket.demands[line]
        if not self._means.supply.knows(demand):
            return LineProblem.UNKNOWN_SKU, 0
        rows = board.usable[line]
        if not rows:
            return LineProblem.NO_LOCATION, 0
        most = [self._means.supply.most(demand, self._locations[row]) for row in rows]
        available = sum(most) if demand.line.allow_split else max(most)
        if available < demand.line.quantity:
            return LineProblem.NOT_ENOUGH_UNITS, available
        statuses = {board.answer(source, number)[ANSWER_STATUS] for source in board.sources_of(line) if self._services}
        if DATED in statuses:
            return None, 0
        is_late = statuses & {NO_SLOT, BEYOND_HORIZON}
        return (LineProblem.BEYOND_HORIZON if is_late else LineProblem.GAP), 0

    def _gap(self, status: int, location: str, service: str) -> Gap | None:
        to = self._basket.how.destination
        return gap_of(status, location, service, to, self._means.network.delivery.zone_of(to.country, to.postal_code))


def gap_of(status: int, location: str, service: str, to: Destination, zone: str) -> Gap | None:
    """What a status says that the network lacks; None for one that is no gap."""
    if status == DATED:
        return None
    gaps = {
        NO_CALENDAR: Gap(GapKind.NO_CALENDAR, location),
        NO_STORE_CALENDAR: Gap(GapKind.NO_CALENDAR, to.location),
        NO_OPENING: Gap(GapKind.NO_OPENING_HOURS, to.location or location),
        NO_ZONE: Gap(GapKind.NO_ZONE, country=to.country, postal_code=to.postal_code),
        NO_LANE: Gap(GapKind.NO_LANE, location, zone, service),
        NO_TRANSFER_LANE: Gap(GapKind.NO_TRANSFER_LANE, location, to_location=to.location),
    }
    return gaps.get(status)
