"""The best combination of locations for one way: the earliest basket day, then the cheapest, then the fewest parcels,
then the best priority.

Every combination is looked at for baskets of up to 12 lines, of which up to 6 take from each other (the same SKU, or
units of a limited day); beyond that lines are placed one by one, and the answer says what no combination can be better
than. A line that may be split is split only where the basket is there earlier by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from invengine import kernels
from invengine.kernels.layout import BEST_DAY, BEST_LINES, BEST_NEVER
from invengine.services.promising_board import LINES_MAX, TOGETHER_MAX, Board, Source

if TYPE_CHECKING:
    from invengine.services.promising_supply import Taken

COST_MAX: Final = 2**56
"""No parcel is counted as dearer: sums stay within int64."""

_DAYS_TRIED: Final = 16  # days of limited capacity that parts of a line may fall on
_SPLIT_TRIED: Final = 12  # locations of a split line whose sets are all tried


class Placed(NamedTuple):
    """So many of a line from a source."""

    line: int
    quantity: int
    source: Source


class Choice(NamedTuple):
    """A combination. `bound`: (day, cost) that none can be better than, None where this one is the best."""

    day: int
    cost: int
    placed: tuple[Placed, ...]
    bound: tuple[int, int] | None

    @property
    def rows(self) -> frozenset[int]:
        """The locations that it takes from."""
        return frozenset(placed.source.row for placed in self.placed)


class Prices(NamedTuple):
    """What a way costs from each location: per parcel, and per unit."""

    parcel: Sequence[int]
    unit: Sequence[int]

    def of(self, row: int, units: int) -> int:
        """Of units from a row, without the parcel."""
        return min(self.unit[row] * units, COST_MAX)


class Chooser:
    """Chooses for one way (its number on the board); `rows`: only from these."""

    def __init__(self, board: Board, way: int, prices: Prices, rows: frozenset[int] | None = None) -> None:
        self._board = board
        self._way = way
        self._prices = prices
        self._usable = board.usable if rows is None else [usable & rows for usable in board.usable]

    def choose(self) -> Choice | None:
        """The best combination; None where the basket cannot be had this way."""
        lines = range(len(self._board.demands))
        whole = self._whole(lines, 0)
        if not any(self._may_gain(line, whole) for line in lines):
            return whole
        return self._with_split(lines, whole.day if whole else BEST_NEVER) or whole

    def of_parts(self, parts: Iterable[tuple[int, int, int]], bound: tuple[int, int] | None = None) -> Choice | None:
        """The combination of these (row, line, quantity); None where one cannot be had beside the others."""
        return self._in_turn(parts, bound)

    # All of each line from one location

    def _whole(self, lines: Sequence[int], least_day: int) -> Choice | None:
        """The best combination of whole lines, of those that are there by `least_day` or else the earliest."""
        groups = self._board.groups(lines, self._way)
        if len(lines) > LINES_MAX or max(map(len, groups), default=0) > TOGETHER_MAX:
            return self._one_by_one(lines, least_day)
        return self._exactly(groups, least_day)

    def _exactly(self, groups: Sequence[Sequence[int]], least_day: int) -> Choice | None:
        order = [line for group in groups for line in group]
        rows = sorted({row for line in order for row in self._usable[line]})
        if not rows:
            return None
        parts = [part for group in groups for part in _sets(group)]
        units = [sum([self._board.demands[line].units for line in part]) for part in parts]
        alone = self._days_alone()
        days = [
            [alone.get((row, part[0]), BEST_NEVER) if len(part) == 1 else self._day(row, part) for part in parts]
            for row in rows
        ]
        unit = self._prices.unit
        costs = [[cost if (cost := unit[row] * count) < COST_MAX else COST_MAX for count in units] for row in rows]
        out = np.empty(BEST_LINES + len(order), np.int64)
        sets = 1 << len(order)
        kernels.choose_locations(
            least_day,
            np.array([len(group) for group in groups], np.int64),
            np.array(days, np.int64),
            np.array(costs, np.int64),
            np.array([(min(self._prices.parcel[row], COST_MAX), 1) for row in rows], np.int64),
            np.empty((2 * sets, 3), np.int64),
            np.empty((len(rows), sets), np.int64),
            out,
        )
        if out[BEST_DAY] >= BEST_NEVER:
            return None
        at = {line: rows[place] for line, place in zip(order, out[BEST_LINES:].tolist(), strict=True)}
        return self._in_turn([(row, line, self._board.demands[line].line.quantity) for line, row in at.items()], None)

    def _days_alone(self) -> dict[tuple[int, int], int]:
        """The day of each line from each row that it may come from, as if it were the only one there."""
        days = self._board.days_alone(self._way)
        if self._usable is self._board.usable:
            return days
        return {(row, line): day for (row, line), day in days.items() if row in self._usable[line]}

    def _day(self, row: int, part: Sequence[int]) -> int:
        """The day of lines of a group that all come from a row; 0 of no lines."""
        board = self._board
        if not part or not all(row in self._usable[line] for line in part):
            return 0 if not part else BEST_NEVER
        sources = board.in_turn(row, [(line, board.demands[line].line.quantity) for line in part])
        return BEST_NEVER if sources is None else max(board.day(source, self._way) for source in sources)

    def _in_turn(self, parts: Iterable[tuple[int, int, int]], bound: tuple[int, int] | None) -> Choice | None:
        """The combination of these (row, line, quantity); None where one cannot be had beside the others."""
        by_row: dict[int, list[tuple[int, int]]] = {}
        for row, line, quantity in sorted(parts):
            by_row.setdefault(row, []).append((line, quantity))
        placed: list[Placed] = []
        for row, lines in by_row.items():
            sources = self._board.in_turn(row, lines)
            if sources is None:
                return None
            placed += [Placed(line, quantity, source) for (line, quantity), source in zip(lines, sources, strict=True)]
        return self._choice(placed, bound)

    def _choice(self, placed: Iterable[Placed], bound: tuple[int, int] | None) -> Choice | None:
        found = tuple(sorted(placed))
        day = max(self._board.day(one.source, self._way) for one in found)
        if day >= BEST_NEVER:
            return None
        return Choice(day, self._cost(found), found, bound)

    def _cost(self, placed: Sequence[Placed]) -> int:
        demands = self._board.demands
        cost = sum(self._prices.parcel[row] for row in {one.source.row for one in placed})
        return cost + sum(self._prices.of(one.source.row, demands[one.line].units_of(one.quantity)) for one in placed)

    # More lines than all combinations are looked at for

    def _one_by_one(self, lines: Sequence[int], least_day: int) -> Choice | None:
        """Each line in turn where it costs least by the day; begun with each of the locations, the best is taken."""
        latest = max([least_day, *map(self._alone, lines)])
        if latest >= BEST_NEVER:
            return None
        bound = latest, self._least_cost(lines)
        rows = sorted({row for line in lines for row in self._usable[line]})
        found = [self._begun_with(row, lines, latest) for row in rows]
        choices = [choice for choice in found if choice is not None]
        best = min(choices, key=lambda choice: (choice.day, choice.cost, len(choice.rows)), default=None)
        return None if best is None else best._replace(bound=bound)

    def _begun_with(self, first: int, lines: Sequence[int], latest: int) -> Choice | None:
        board, way, prices = self._board, self._way, self._prices
        taken: dict[int, Taken] = {}
        busy: dict[int, int] = {}
        used = {first}
        parts = []
        for line in lines:
            demand = board.demands[line]
            best: tuple[int, int, int, int] | None = None
            best_source = None
            for row in self._usable[line]:
                source = board.source(row, line, demand.line.quantity, taken.get(row, {}), busy.get(row, 0))
                day = board.day(source, way)
                if source is None or day >= BEST_NEVER:
                    continue
                more = prices.of(row, demand.units) + (0 if row in used else prices.parcel[row])
                key = max(day, latest), more, row not in used, row
                if best is None or key < best:
                    best, best_source = key, source
            if best_source is None:
                return None
            row = best_source.row
            used.add(row)
            demand.take(taken.setdefault(row, {}), demand.line.quantity)
            busy[row] = busy.get(row, 0) + demand.units
            parts.append((row, line, demand.line.quantity))
        return self._in_turn(parts, None)

    def _least_cost(self, lines: Sequence[int]) -> int:
        """No combination costs less: each line bears its share of the parcel of a location that serves all it can."""
        board, prices = self._board, self._prices
        count = dict.fromkeys({row for line in lines for row in self._usable[line]}, 0)
        for line in lines:
            for row in self._usable[line]:
                count[row] += 1
        return sum(
            min(
                prices.of(row, board.demands[line].units) + prices.parcel[row] // count[row]
                for row in self._usable[line]
            )
            for line in lines
        )

    # Lines that are split

    def _may_gain(self, line: int, whole: Choice | None) -> bool:
        """Whether a line may be split, and some of it is somewhere earlier than the basket is there whole."""
        if not self._board.demands[line].line.allow_split:
            return False
        if whole is None:
            return True
        return self._alone(line) >= whole.day and any(day < whole.day for day in self._days(line))

    def _arrivals(self, row: int, line: int, taken: Taken, busy: int) -> Iterator[tuple[int, int]]:
        """(day of arrival, quantity): how many of a line a row can have there, by the days of its stock."""
        board, demand = self._board, self._board.demands[line]
        for available, quantity in board.supply.steps(demand, board.locations[row], taken):
            most = min(quantity, demand.line.quantity)
            for part in self._parts(row, line, available, most, busy) if row in board.counted else (most,):
                source = self._source(row, line, available, part, busy)
                yield board.day(source, self._way), part
            if most == demand.line.quantity:
                return

    def _source(self, row: int, line: int, available: int, quantity: int, busy: int) -> Source:
        units = busy + self._board.demands[line].units_of(quantity) if row in self._board.counted else 1
        return Source(row, available, units)

    def _parts(self, row: int, line: int, available: int, most: int, busy: int) -> Iterator[int]:
        """Where a day's capacity is limited, fewer may come earlier: for each day the most, the latest first."""

        def day(quantity: int) -> int:
            return self._board.day(self._source(row, line, available, quantity, busy), self._way)

        for _ in range(_DAYS_TRIED):
            yield most
            last = day(most)
            if day(1) == last:
                return
            low, high = 1, most  # day(low) < last = day(high)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if day(middle) < last else (low, middle)
            most = low

    def _with_split(self, lines: Sequence[int], whole_day: int) -> Choice | None:
        """A combination that is earlier than `whole_day` because lines are split; None where there is none."""
        may = [line for line in lines if self._board.demands[line].line.allow_split]
        first = self._split_day(may, 0)
        fixed = [line for line in lines if line not in may]
        if fixed:
            least = self._whole(fixed, 0)
            first = max(first, least.day if least else BEST_NEVER)
        days = sorted({day for line in may for day in self._days(line) if first < day < whole_day})
        best: Choice | None = None
        for day in [first, *days] if first < whole_day else ():
            found = [self._split_by(lines, split, day) for split in self._splits(lines, may, day)]
            choices = [choice for choice in (best, *found) if choice is not None and choice.day < whole_day]
            best = min(choices, key=lambda choice: (choice.day, choice.cost, len(choice.rows)), default=None)
            if best is not None and best.day <= day:
                break
        return best and best._replace(bound=(first, min(self._least_split_cost(lines), best.cost)))

    def _splits(self, lines: Sequence[int], may: Sequence[int], day: int) -> Iterator[list[int]]:
        """Lines to split for a day: those that do not come whole by then; and more, where they take from each other."""
        needed = [line for line in may if self._alone(line) > day]
        together = {line for group in self._board.groups(lines, self._way) if len(group) > 1 for line in group}
        more = [line for line in may if line in together and line not in needed][:TOGETHER_MAX]
        for count in range(len(more) + 1):
            for others in combinations(more, count):
                yield sorted((*needed, *others))

    def _split_by(self, lines: Sequence[int], split: Sequence[int], day: int) -> Choice | None:
        """A combination that is there by a day, or soon after: `split` from several locations, the others whole."""
        rest = [line for line in lines if line not in split]
        others = self._whole(rest, day) if rest else Choice(day, 0, (), None)
        if others is None:
            return None
        parts = [(placed.source.row, placed.line, placed.quantity) for placed in others.placed]
        for line in split:
            filled = self._split(line, parts, max(day, others.day))
            if filled is None:
                return None
            parts += [(row, line, quantity) for row, quantity in filled.items()]
        return self._in_turn(parts, None)

    def _least_split_cost(self, lines: Sequence[int]) -> int:
        """No combination costs less: one parcel, and each unit from where it is cheapest."""
        least = min(self._prices.parcel[row] for line in lines for row in self._usable[line])
        for line in lines:
            unit = min(self._prices.unit[row] for row in self._usable[line])
            least += min(unit * self._board.demands[line].units, COST_MAX)
        return least

    def _alone(self, line: int) -> int:
        """The earliest day by which all of a line comes from one location."""
        board = self._board
        return min((board.day(board.alone(row, line), self._way) for row in self._usable[line]), default=BEST_NEVER)

    def _days(self, line: int) -> list[int]:
        """The days on which some of a line can be there."""
        return [day for row in self._usable[line] for day, _ in self._arrivals(row, line, {}, 0) if day < BEST_NEVER]

    def _split_day(self, lines: Sequence[int], least: int) -> int:
        """The first day by which enough of each of the lines is there from all locations together."""
        board = self._board
        for line in lines:
            arrivals = sorted(
                (day, row, most)
                for row in self._usable[line]
                for day, most in self._arrivals(row, line, {}, 0)
                if day < BEST_NEVER
            )
            there: dict[int, int] = {}
            reached = BEST_NEVER
            for day, row, most in arrivals:
                there[row] = max(there.get(row, 0), most)
                if sum(there.values()) >= board.demands[line].line.quantity:
                    reached = day
                    break
            least = max(least, reached)
        return least

    def _split(self, line: int, parts: Sequence[tuple[int, int, int]], latest: int) -> dict[int, int] | None:
        """The cheapest way to have all of a line by a day from several locations, beside `parts` of others."""
        board, prices, wanted = self._board, self._prices, self._board.demands[line].line.quantity
        taken: dict[int, Taken] = {}
        busy: dict[int, int] = {}
        for row, other, quantity in parts:
            board.demands[other].take(taken.setdefault(row, {}), quantity)
            busy[row] = busy.get(row, 0) + board.demands[other].units_of(quantity)
        most: dict[int, int] = {}
        for row in sorted(self._usable[line]):
            for day, quantity in self._arrivals(row, line, taken.get(row, {}), busy.get(row, 0)):
                if day <= latest:
                    most[row] = max(most.get(row, 0), quantity)
        best: tuple[int, int, tuple[int, ...]] | None = None
        chosen: dict[int, int] | None = None
        for rows in _enough(most, wanted):
            filled = self._filled(line, rows, most)
            units = board.demands[line].units_of(1)
            opened = filled.keys() - taken.keys()
            cost = sum(prices.of(row, quantity * units) for row, quantity in filled.items())
            cost += sum(prices.parcel[row] for row in opened)
            key = cost, len(opened), tuple(sorted(filled))
            if best is None or key < best:
                best, chosen = key, filled
        return chosen

    def _filled(self, line: int, rows: Iterable[int], most: dict[int, int]) -> dict[int, int]:
        """The line's quantity out of the rows, the cheapest unit first."""
        left, filled = self._board.demands[line].line.quantity, {}
        for row in sorted(rows, key=lambda row: (self._prices.unit[row], row)):
            if part := min(left, most[row]):
                filled[row] = part
                left -= part
        return filled


def _sets(group: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every set of a group's lines, by its number: bit i is the i-th line."""
    for number in range(1 << len(group)):
        yield tuple([line for i, line in enumerate(group) if number >> i & 1])


def _enough(most: dict[int, int], wanted: int) -> Iterator[tuple[int, ...]]:
    """Sets of rows that have enough together; of many rows only some: those with most of it, one after another."""
    by_units = sorted(most, key=lambda row: (-most[row], row))
    if len(by_units) > _SPLIT_TRIED:
        there = 0
        for count, row in enumerate(by_units, 1):
            there += most[row]
            if there >= wanted:
                yield tuple(by_units[:count])
                break
        by_units = by_units[:_SPLIT_TRIED]
    for count in range(1, len(by_units) + 1):
        for rows in combinations(by_units, count):
            if sum(most[row] for row in rows) >= wanted:
                yield rows
