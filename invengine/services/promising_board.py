"""The sources of a basket: what each location could have of its lines from when on, and what each way makes of that.

A source is units of one line at one location from one instant on; its dates by all ways are worked out at once.
Lines of a basket that take the same SKU, or the same units of a day's capacity, are dated together at a location: in
their order, each after what the lines before it take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.kernels.layout import ANSWER_DAY, ANSWER_READY, ANSWER_STATUS, BEST_NEVER, DATED
from invengine.services.promising_supply import groups_of

if TYPE_CHECKING:
    from invengine.services.promising_supply import Demand, Supply, Taken

LINES_MAX: Final = 12
"""Lines of a basket whose combinations of locations are all looked at."""

TOGETHER_MAX: Final = 6
"""Of these, lines that take from each other."""


class Source(NamedTuple):
    """Units of a line at a location (its row) from the beginning of a day on; day 0: now. `units` for capacity."""

    row: int
    day: int
    units: int


Dates = Callable[[Sequence[Source]], Sequence[Sequence[Sequence[int]]]]
"""Dates sources: of each, for each way, the columns ANSWER_ of kernels/layout.py, to ANSWER_SHIP at least."""


class Board:
    """The sources of one basket at the locations that may serve it one way or another.

    `usable`: per line the rows that it may come from. `counted`: the rows where units of a day are limited.
    """

    def __init__(
        self,
        demands: Sequence[Demand],
        locations: Sequence[str],
        usable: Sequence[Sequence[int]],
        supply: Supply,
        *,
        counted: frozenset[int],
        dates: Dates,
    ) -> None:
        self.demands = demands
        self.locations = locations
        self.usable = [frozenset(rows) for rows in usable]
        self.supply = supply
        self.counted = counted
        self._dates = dates
        self._answers: dict[Source, Sequence[Sequence[int]]] = {}
        self._alone: dict[tuple[int, int], Source | None] = {}  # by row and line
        for line, rows in enumerate(self.usable):
            for row in rows:
                self._alone[row, line] = self.source(row, line, demands[line].line.quantity, {}, 0)
        self._days_alone: dict[int, dict[tuple[int, int], int]] = {}  # by way
        self._together: dict[int, list[tuple[int, Source]] | None] = {}  # by limited row: all lines there, in turn
        for row in counted if len(demands) > 1 else ():
            lines = [line for line, rows in enumerate(self.usable) if row in rows]
            sources = self.in_turn(row, [(line, demands[line].line.quantity) for line in lines])
            self._together[row] = None if sources is None else list(zip(lines, sources, strict=True))
        in_turn = [source for found in self._together.values() for _, source in found or ()]
        self._date([*(source for source in self._alone.values() if source is not None), *in_turn])

    def source(self, row: int, line: int, quantity: int, taken: Taken, busy: int) -> Source | None:
        """So many of a line from a row, where others take units of stock and of capacity (`busy`); None: never."""
        demand = self.demands[line]
        day = self.supply.day(demand, quantity, self.locations[row], taken)
        if day < 0:
            return None
        return Source(row, day, busy + demand.units_of(quantity) if row in self.counted else 1)

    def alone(self, row: int, line: int) -> Source | None:
        """All of a line from a row, as if it were the only one."""
        return self._alone.get((row, line))

    def sources_of(self, line: int) -> list[Source]:
        """The sources of a line that were looked at: all of it from a location, or what a location has of it."""
        found = [source for (_, of), source in self._alone.items() if of == line and source is not None]
        if not found and self.demands[line].line.allow_split:
            for row in self.usable[line]:
                for day, quantity in self.supply.steps(self.demands[line], self.locations[row], {}):
                    units = self.demands[line].units_of(quantity) if row in self.counted else 1
                    found.append(Source(row, day, units))
        return found

    def answer(self, source: Source, way: int) -> Sequence[int]:
        """What a way makes of a source: the columns of an answer."""
        found = self._answers.get(source)
        if found is None:
            self._date([source])
            found = self._answers[source]
        return found[way]

    def day(self, source: Source | None, way: int) -> int:
        """The day on which a source is there by a way, BEST_NEVER for none."""
        if source is None:
            return BEST_NEVER
        answer = self.answer(source, way)
        return answer[ANSWER_DAY] if answer[ANSWER_STATUS] == DATED else BEST_NEVER

    def days_alone(self, way: int) -> dict[tuple[int, int], int]:
        """As `day` of `alone`, of all that there is, by row and line; do not change it. Worked out once for a way."""
        found = self._days_alone.get(way)
        if found is None:
            answers = self._answers
            found = self._days_alone[way] = {
                place: answer[ANSWER_DAY]
                for place, source in self._alone.items()
                if source is not None and (answer := answers[source][way])[ANSWER_STATUS] == DATED
            }
        return found

    def ready(self, source: Source, way: int) -> int:
        """The minute from which it can be collected."""
        return self.answer(source, way)[ANSWER_READY]

    def groups(self, lines: Sequence[int], way: int) -> list[list[int]]:
        """The lines in groups that take from each other: units of stock, or by this way of a day's capacity."""
        if len(lines) > 1 and any(self._is_tight(row, way) for row in self._together):
            return [list(lines)]
        return groups_of(self.demands, lines)

    def _is_tight(self, row: int, way: int) -> bool:
        """Whether a line is later from a limited row when all the others come from there too."""
        together = self._together[row]
        if together is None:
            return True
        alone = self.days_alone(way)
        return any(self.day(source, way) != alone.get((row, line), BEST_NEVER) for line, source in together)

    def in_turn(self, row: int, parts: Sequence[tuple[int, int]]) -> list[Source] | None:
        """The sources of (line, quantity) from a row, each after what those before it take; None where one is not."""
        taken: Taken = {}
        busy = 0
        found = []
        for line, quantity in parts:
            source = self.source(row, line, quantity, taken, busy) if row in self.usable[line] else None
            if source is None:
                return None
            found.append(source)
            self.demands[line].take(taken, quantity)
            busy += self.demands[line].units_of(quantity)
        return found

    def _date(self, sources: Sequence[Source]) -> None:
        unknown = list(dict.fromkeys(source for source in sources if source not in self._answers))
        if unknown:
            self._answers.update(zip(unknown, self._dates(unknown), strict=True))
