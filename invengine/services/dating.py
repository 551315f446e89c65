"""Dates: when units from each location could be with the customer, by each option, all side by side.

Every question is gathered into arrays, answered by one call of a kernel, and handed back as arrays with words around
them. Nothing is taken and nothing is remembered: capacity is counted from the replica as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Destination, Fulfilment
from invengine.kernels.layout import (
    ANSWER_COLUMNS,
    ANSWER_DAY,
    ANSWER_READY,
    ANSWER_SHIP,
    ANSWER_SLOT,
    ANSWER_STATUS,
    BASKET_COLUMNS,
    LINE_COLUMNS,
    NEVER,
    PROMISE_COLUMNS,
    ROUTE_SLOTS,
    SOURCE_COLUMNS,
    STANDING_COLUMNS,
)
from invengine.services.dates import MINUTE_MS, NOW, DatedLine, Dates, Question
from invengine.services.days import today as utc_today
from invengine.services.promise_routes import Option, PromiseRoutes
from invengine.services.promise_tables import HORIZON_DAYS, PromiseTables, Window

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.replica.slots import TakenSlots
    from invengine.services.promise_routes import TransitDays

Block = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Units of an order from one location, to be dated again.

    `start`: the UTC minute from which they are there, or from which the order stands, whichever is later; None when
    they will not come. `slot_day`: the day of capacity that the order holds, 0 for none.
    """

    location: str
    option: Option
    destination: Destination
    units: int
    start: int | None
    slot_day: int = 0
    confidence_parts: int = 0


class StandingPart(NamedTuple):
    """Units of an order that are at a location and were promised, to be dated again.

    `start`: the UTC minute from which the order stands. Not before the day `ship_day` they leave, and not before the
    UTC minute `ready` they can be collected; 0 for neither.
    """

    location: str
    option: Option
    destination: Destination
    start: int
    ship_day: int = 0
    ready: int = 0
    confidence_parts: int = 0


class Redated(NamedTuple):
    """Of each part, int64 [parts]: statuses of kernels.layout, days since 1970, UTC minutes; 0 where there is none."""

    status: Block
    delivery_day: Block
    ship_day: Block
    slot_day: Block
    ready: Block


class Dating:
    """Dates lines by the network in force. What it works out is kept until the network or the learnt transit changes,
    or the window of days is over.
    """

    def __init__(self, network: Network, transit: TransitDays, replica: Replica, clock: StoreClock) -> None:
        self._network = network
        self._transit = transit
        self._replica = replica
        self._clock = clock
        self._tables: PromiseTables | None = None
        self._routes: PromiseRoutes | None = None
        self._counted: dict[int, tuple[TakenSlots, int]] = {}
        """By line of slots: what it was counted from, and at which version of that."""

    def set_network(self, network: Network) -> None:
        """Dates by this network from now on."""
        self._network = network
        self._tables = self._routes = None

    def set_transit(self, transit: TransitDays) -> None:
        """Dates by these learnt transit times from now on."""
        self._transit = transit
        self._routes = None

    def options(
        self,
        lines: Sequence[DatedLine],
        destination: Destination,
        fulfilments: Iterable[Fulfilment] = (Fulfilment.SHIP,),
        services: Iterable[str] = (),
        *,
        confidence_parts: int = 0,
        at_ms: int | None = None,
    ) -> Dates:
        """The dates of one basket by each option: shipped by each service (all that there are when none is named),
        collected, by store. `confidence_parts`: ten-thousandths, 0 for the stated transit. `at_ms`: the instant of
        ordering, now when None.
        """
        question = Question(tuple(lines), destination, confidence_parts)
        return self.dates((question,), self.expanded(fulfilments, services), at_ms)[0]

    def expanded(self, fulfilments: Iterable[Fulfilment], services: Iterable[str] = ()) -> tuple[Option, ...]:
        """Options in the order given; SHIP once for each service."""
        found: list[Option] = []
        for fulfilment in fulfilments:
            if fulfilment is Fulfilment.SHIP:
                found += [Option(fulfilment, name) for name in services or self._network.delivery.services]
            else:
                found.append(Option(fulfilment))
        return tuple(found)

    def dates(
        self, questions: Sequence[Question], options: tuple[Option, ...], at_ms: int | None = None
    ) -> list[Dates]:
        """The dates of many baskets by the same options, in one call of the kernel."""
        now = self._clock.now_ms()
        minute = (now if at_ms is None else at_ms) // MINUTE_MS
        tables, routes = self._ready(now)
        starts: dict[tuple[str, int | None], int] = {}
        sources: list[tuple[int, int, int, int]] = []
        lines: list[tuple[int, int]] = []
        baskets: list[tuple[int, int]] = []
        places = []
        for question in questions:
            locations = question.locations()
            firsts = [routes.line(name, options, question.destination, question.confidence_parts) for name in locations]
            baskets.append((len(lines), len(question.lines)))
            places.append((len(sources), locations))
            for line in question.lines:
                lines.append((len(sources), len(locations)))
                for location, first in zip(locations, firsts, strict=True):
                    day = line.days.get(location)
                    start = minute if day == NOW else starts.get((location, day))
                    if start is None:
                        start = starts[location, day] = self._start(tables, location, day, minute)
                    sources.append((start, line.units, first, 0))
        block = _block(sources, SOURCE_COLUMNS)
        self._count_slots(tables, routes, block[:, 2], len(options))
        answers = np.empty((len(sources), len(options), ANSWER_COLUMNS), np.int64)
        chosen = np.empty((len(lines), len(options)), np.int64)
        promises = np.empty((len(baskets), len(options), PROMISE_COLUMNS), np.int64)
        window = tables.window
        kernels.date_baskets(
            window.first_day,
            utc_today(minute * MINUTE_MS) + HORIZON_DAYS,
            _block(baskets, BASKET_COLUMNS),
            _block(lines, LINE_COLUMNS),
            block,
            routes.block,
            tables.days,
            tables.spans,
            answers,
            chosen,
            promises,
        )
        found = []
        for number, (question, (first_source, locations)) in enumerate(zip(questions, places, strict=True)):
            first_line, count = baskets[number]
            beyond = first_source + count * len(locations)
            zone = routes.zone_of(question.destination)
            found.append(
                Dates(
                    question,
                    options,
                    locations,
                    answers=answers[first_source:beyond].reshape(count, len(locations), len(options), ANSWER_COLUMNS),
                    chosen=np.maximum(chosen[first_line : first_line + count] - first_source, -1),
                    promises=promises[number],
                    sources=block[first_source:beyond],
                    zone=zone,
                    tables=tables,
                    routes=routes.block,
                    network=self._network,
                )
            )
        return found

    def redate(self, parts: Sequence[Part], at_ms: int | None = None) -> Redated:
        """The dates of many parts of orders, each by its own option. `at_ms`: the instant that the horizon counts from.

        An order that is older than the window (three months) is dated as if it were made at its beginning. Nothing
        else runs meanwhile, 3 ms for each thousand: who has many asks in parts.
        """
        now = self._clock.now_ms()
        tables, routes = self._ready(now)
        single: dict[Option, tuple[Option, ...]] = {}
        known: dict[tuple[str, Option, Destination, int], int] = {}
        sources: list[tuple[int, int, int, int]] = []
        for location, option, destination, units, start, slot_day, confidence_parts in parts:
            key = location, option, destination, confidence_parts
            line = known.get(key)
            if line is None:
                options = single.setdefault(option, (option,))
                line = known[key] = routes.line(location, options, destination, confidence_parts)
            sources.append((NEVER if start is None else start, units, line, slot_day))
        block = _block(sources, SOURCE_COLUMNS)
        self._count_slots(tables, routes, block[:, 2], 1)
        answers = np.empty((len(sources), 1, ANSWER_COLUMNS), np.int64)
        last_day = utc_today(now if at_ms is None else at_ms) + HORIZON_DAYS
        kernels.date_sources(tables.window.first_day, last_day, block, routes.block, tables.days, tables.spans, answers)
        columns = ANSWER_STATUS, ANSWER_DAY, ANSWER_SHIP, ANSWER_SLOT, ANSWER_READY
        return Redated(*(np.ascontiguousarray(answers[:, 0, column]) for column in columns))

    def restate(self, parts: Sequence[StandingPart]) -> Redated:
        """The dates of many parts of orders whose units are there, each by its own option: cut-offs are behind them,
        and they have their capacity.
        """
        now = self._clock.now_ms()
        tables, routes = self._ready(now)
        single: dict[Option, tuple[Option, ...]] = {}
        standing = []
        for location, option, destination, start, ship_day, ready, confidence_parts in parts:
            options = single.setdefault(option, (option,))
            standing.append((start, routes.line(location, options, destination, confidence_parts), ship_day, ready))
        answers = np.empty((len(standing), 1, ANSWER_COLUMNS), np.int64)
        kernels.date_standing(
            tables.window.first_day,
            utc_today(now) + HORIZON_DAYS,
            _block(standing, STANDING_COLUMNS),
            routes.block,
            tables.days,
            tables.spans,
            answers,
        )
        columns = ANSWER_STATUS, ANSWER_DAY, ANSWER_SHIP, ANSWER_SLOT, ANSWER_READY
        return Redated(*(np.ascontiguousarray(answers[:, 0, column]) for column in columns))

    def start_of(self, location: str, day: int) -> int:
        """The UTC minute in which a day begins at a location, as `Part.start` wants it; later for days long ago."""
        tables, _ = self._ready(self._clock.now_ms())
        return self._start(tables, location, day, 0)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the arrays that are kept."""
        if self._tables is None or self._routes is None:
            return 0
        return self._tables.days.nbytes + self._tables.spans.nbytes + self._routes.block.nbytes

    def _ready(self, now_ms: int) -> tuple[PromiseTables, PromiseRoutes]:
        """Tables whose window serves the day, and the routes over them; the replica at `now_ms`."""
        day = utc_today(now_ms)
        if self._tables is None or not self._tables.window.serves(day):
            self._tables = PromiseTables(Window.around(day))
            self._routes = None
        if self._routes is None:
            self._routes = PromiseRoutes(self._network, self._transit, self._tables)
            self._counted.clear()
        self._routes.begin()
        self._replica.advance(now_ms)
        return self._tables, self._routes

    def _start(self, tables: PromiseTables, location: str, day: int | None, minute: int) -> int:
        """The minute from which units are there: `minute`, or the beginning of the day where that is later."""
        place = self._network.locations.get(location)
        if day is None or place is None:
            return NEVER
        window = tables.window
        line = tables.zone(place.time_zone)
        return max(minute, int(tables.days[line, min(max(day - window.first_day, 0), window.size)]))

    def _count_slots(self, tables: PromiseTables, routes: PromiseRoutes, firsts: Block, options: int) -> None:
        """Counts what is left of the capacity that these routes (the first of each location) need."""
        if not routes.slot_rules or not firsts.size:
            return
        rows = np.unique(firsts)[:, np.newaxis] + np.arange(options)
        needed = np.unique(routes.block[rows, ROUTE_SLOTS])
        window, slots = tables.window, self._replica.slots
        for line in needed.tolist():
            rule = routes.slot_rules.get(line)
            if rule is None or self._counted.get(line) == (slots, slots.version):
                continue
            self._counted[line] = slots, slots.version
            room = tables.days[line]
            room[: window.size] = rule.capacity
            for day, taken in slots.taken(rule.sku).items():
                if window.first_day <= day < window.first_day + window.size:
                    room[day - window.first_day] = max(0, rule.capacity - taken)


def _block(rows: Sequence[tuple[int, ...]], columns: int) -> Block:
    return np.array(rows, np.int64).reshape(-1, columns)
