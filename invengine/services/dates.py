"""Dates of one basket, as the kernel worked them out, with the words around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.kernels.layout import (
    ANSWER_ARRIVAL,
    ANSWER_BEGIN,
    ANSWER_DAY,
    ANSWER_DONE,
    ANSWER_READY,
    ANSWER_SHIP,
    ANSWER_SLOT,
    ANSWER_STATUS,
    ANSWER_STORE_BEGIN,
    ANSWER_STORE_DONE,
    ASKED_COLUMNS,
    DATED,
    ROUTE_CUT_OFF,
    ROUTE_TRANSIT,
    ROUTE_ZONE,
    SOURCE_ROUTES,
    SOURCE_START,
)
from invengine.services.promise_routes import gap_text

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Destination
    from invengine.services.promise_routes import Option
    from invengine.services.promise_tables import PromiseTables

Block = npt.NDArray[np.int64]

MINUTE_MS: Final = 60_000
NOW: Final = 0
"""Units that are there."""


class DatedLine(NamedTuple):
    """Units, and for each location that could serve them the day from which they are there: NOW, a day since 1970
    (from its beginning there), or None when they will not come. The order of the locations breaks ties.
    """

    units: int
    days: Mapping[str, int | None]


class Question(NamedTuple):
    """One basket to be dated. `confidence_parts`: ten-thousandths, 0 for the stated transit."""

    lines: tuple[DatedLine, ...]
    destination: Destination
    confidence_parts: int = 0

    def locations(self) -> tuple[str, ...]:
        """All locations of the lines, in the order in which they first come."""
        if len(self.lines) == 1:
            return tuple(self.lines[0].days)
        return tuple(dict.fromkeys(name for line in self.lines for name in line.days))


class Chain(NamedTuple):
    """How a date comes about, step by step: days since 1970, UTC minutes, 0 where there is no such step.

    `start`         the order stands and the units are there
    `cut_off`       before which it had to be accepted on that day; 0 when the location did not work on it
    `begin`, `done` handling at the location
    `slot_day`      on which there is capacity
    `ship_day`      on which the carrier, or the van, collects
    `transit_days`  of the carrier, after that
    `arrival_day`   at the store, where `store_begin` and `store_done` are the handling
    `ready`         from which it can be collected
    `order_before`  the first minute of ordering from which `delivery_day` would be a later one
    """

    location: str
    option: Option
    status: int
    gap: str
    time_zone: str
    start: int
    cut_off: int
    begin: int
    done: int
    slot_day: int
    ship_day: int
    transit_days: int
    arrival_day: int
    store_begin: int
    store_done: int
    ready: int
    delivery_day: int
    order_before: int


class Dates:
    """Of one basket: each line from each location by each option, and what all lines together can be promised.

    `answers`   int64 [lines, locations, options, 10], columns ANSWER_ of kernels.layout
    `chosen`    int64 [lines, options]  where the earliest date of a line is, see `location`; -1 for none
    `promises`  int64 [options, 4]      columns PROMISE_
    """

    __slots__ = (
        "_network",
        "_routes",
        "_sources",
        "_tables",
        "_zone",
        "answers",
        "chosen",
        "locations",
        "options",
        "promises",
        "question",
    )

    def __init__(
        self,
        question: Question,
        options: tuple[Option, ...],
        locations: tuple[str, ...],
        *,
        answers: Block,
        chosen: Block,
        promises: Block,
        sources: Block,
        zone: str,
        tables: PromiseTables,
        routes: Block,
        network: Network,
    ) -> None:
        self.question: Final = question
        self.options: Final = options
        self.locations: Final = locations
        self.answers: Final = answers
        self.chosen: Final = chosen
        self.promises: Final = promises
        self._zone = zone
        self._sources = sources
        self._tables = tables
        self._routes = routes
        self._network = network

    @property
    def status(self) -> Block:
        """int64 [lines, locations, options]: DATED, or why not."""
        return self.answers[..., ANSWER_STATUS]

    @property
    def delivery_days(self) -> Block:
        """int64 [lines, locations, options]: days of delivery, or on which it can be collected; 0 for none."""
        return self.answers[..., ANSWER_DAY]

    @property
    def ship_days(self) -> Block:
        """int64 [lines, locations, options]: days of collection by the carrier; 0 for none."""
        return self.answers[..., ANSWER_SHIP]

    @property
    def ready(self) -> Block:
        """int64 [lines, locations, options]: UTC minutes from which it can be collected; 0 for none."""
        return self.answers[..., ANSWER_READY]

    def location(self, line: int, option: int) -> str:
        """The location with the earliest date for a line, empty when there is none."""
        index = int(self.chosen[line, option])
        return self.locations[index % len(self.locations)] if index >= 0 else ""

    def gap(self, location: int, option: int) -> str:
        """What the network lacks so that units from this location could be dated by the option; empty for nothing."""
        status = int(self.answers[0, location, option, ANSWER_STATUS])
        destination = self.question.destination
        return gap_text(status, self.locations[location], self.options[option], destination, self._zone)

    def gaps(self) -> list[str]:
        """All that the network lacks for this basket, each once."""
        places, options = range(len(self.locations)), range(len(self.options))
        found = dict.fromkeys(self.gap(location, option) for option in options for location in places)
        return [text for text in found if text]

    def order_before(self, picks: Sequence[tuple[int, int]], option: int, day: int) -> int:
        """The first minute of ordering that is too late for a delivery day, 0 when every one is: of lines from
        locations, by their places here. What each of them comes from must be DATED by that day.
        """
        asked = [(line * len(self.locations) + location, option, day) for line, location in picks]
        out = np.empty(len(asked), np.int64)
        tables = self._tables
        kernels.latest_orders(
            tables.window.first_day,
            np.array(asked, np.int64).reshape(-1, ASKED_COLUMNS),
            self._sources,
            self._routes,
            tables.days,
            tables.spans,
            out,
        )
        return int(out.min())

    def chain(self, line: int, location: int, option: int) -> Chain:
        """How the date of a line from a location by an option comes about."""
        answer = self.answers[line, location, option].tolist()
        source = self._sources[line * len(self.locations) + location].tolist()
        name = self.locations[location]
        place = self._network.locations.get(name)
        route = self._routes[source[SOURCE_ROUTES] + option].tolist()
        is_dated = answer[ANSWER_STATUS] == DATED
        return Chain(
            location=name,
            option=self.options[option],
            status=answer[ANSWER_STATUS],
            gap=self.gap(location, option),
            time_zone=place.time_zone if place is not None else "",
            start=source[SOURCE_START] if answer[ANSWER_BEGIN] else 0,
            cut_off=self._cut_off(route, source[SOURCE_START]) if answer[ANSWER_BEGIN] else 0,
            begin=answer[ANSWER_BEGIN],
            done=answer[ANSWER_DONE],
            slot_day=answer[ANSWER_SLOT],
            ship_day=answer[ANSWER_SHIP],
            transit_days=route[ROUTE_TRANSIT],
            arrival_day=answer[ANSWER_ARRIVAL],
            store_begin=answer[ANSWER_STORE_BEGIN],
            store_done=answer[ANSWER_STORE_DONE],
            ready=answer[ANSWER_READY],
            delivery_day=answer[ANSWER_DAY],
            order_before=self.order_before([(line, location)], option, answer[ANSWER_DAY]) if is_dated else 0,
        )

    def _cut_off(self, route: list[int], start: int) -> int:
        midnights = self._tables.days[route[ROUTE_ZONE], : self._tables.window.size]
        day = int(np.searchsorted(midnights, start, side="right")) - 1
        return int(self._tables.days[route[ROUTE_CUT_OFF], day])
