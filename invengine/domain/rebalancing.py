"""Which units of one SKU should go from where they lie to where they are wanted: a small transport problem, exactly.

Costs are whole ten-thousandths of a currency. As much as possible is filled, first what waits, then the rest by its
tier; of all ways to fill so much the cheapest is chosen. A lane that is used costs an amount once and another one per
unit, so the choice of lanes is searched: lanes that nothing is decided about cost their share per unit, which is never
more than the truth, and the search branches on one whose truth is more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

NODES_MAX: Final = 500
"""Choices of lanes that a search looks at."""

_SOURCE: Final = 0
_SINK: Final = 1


class Fill(IntEnum):
    """What units are wanted for; by their numbers in the proto."""

    SHORTFALL = 1
    """Reserved and not there."""
    BACKORDER = 2
    """Promised, and no receipt known."""
    SAFETY_STOCK = 3
    """Kept back by policy, and not there."""
    FORECAST = 4
    """Expected to be sold before more comes."""

    @property
    def tier(self) -> int:
        """What waits comes first, then what must stay, then what may be sold."""
        return {Fill.SHORTFALL: 0, Fill.BACKORDER: 0, Fill.SAFETY_STOCK: 1, Fill.FORECAST: 2}[self]


class Supply(NamedTuple):
    """Units that a location can spare."""

    location: str
    units: int


class Need(NamedTuple):
    """Units that a location lacks; `cover_day`: what comes covers them on that day, 0: nothing does."""

    location: str
    units: int
    fill: Fill
    cover_day: int = 0


class Way(NamedTuple):
    """How units get from one location to another: what it costs, and the day on which they would be there."""

    from_location: str
    to_location: str
    cost: int
    cost_per_unit: int
    day: int


class Suggestion(NamedTuple):
    """Units of the SKU that should go this way, and what they fill, (what for, units)."""

    way: Way
    units: int
    fills: tuple[tuple[Fill, int], ...]

    @property
    def cost(self) -> int:
        """What it costs, were it to go alone."""
        return self.way.cost + self.way.cost_per_unit * self.units


@dataclass(slots=True)
class _Edge:
    to: int
    room: int
    cost: int
    back: int


@dataclass(slots=True)
class _Flow:
    """A solved relaxation: `units` by (way, need); its value, which no choice of lanes below it is under."""

    units: dict[tuple[int, int], int]
    value: int


@dataclass(slots=True)
class _Choice:
    """Ways that are paid for and ways that are not used; nothing is decided about the others."""

    paid: frozenset[int] = frozenset()
    closed: frozenset[int] = frozenset()


@dataclass(slots=True)
class Search:
    """The search for the best transfers of one SKU: `step` until `is_done`."""

    supplies: Sequence[Supply]
    needs: Sequence[Need]
    ways: Sequence[Way]
    nodes_max: int = NODES_MAX
    nodes: int = 0
    is_done: bool = False
    is_proved: bool = True
    _best: _Flow | None = None
    _open: list[_Choice] = field(default_factory=list)
    _rewards: tuple[int, ...] = ()
    _room: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        have = {one.location: one.units for one in self.supplies}
        fits: dict[int, int] = {}
        self.ways = [
            way for way in self.ways if have.get(way.from_location, 0) and any(_fits(way, one) for one in self.needs)
        ]
        for number, way in enumerate(self.ways):
            fits[number] = sum(one.units for one in self.needs if _fits(way, one))
        self._room = tuple(min(have[way.from_location], fits[number]) for number, way in enumerate(self.ways))
        most = 1 + sum(way.cost + way.cost_per_unit * room for way, room in zip(self.ways, self._room, strict=True))
        units = 1 + sum(one.units for one in self.needs)
        last = max((one.fill.tier for one in self.needs), default=0)
        self._rewards = tuple(most * units ** (last - one.fill.tier) for one in self.needs)
        self._open = [_Choice(frozenset(number for number, way in enumerate(self.ways) if not way.cost))]
        self.is_done = not self.ways

    def step(self) -> None:
        """Looks at one choice of lanes."""
        choice = self._open.pop()
        self.nodes += 1
        flow = self._relaxed(choice)
        if self._best is None or flow.value < self._best.value:
            true = self._true(flow)
            if self._best is None or true.value < self._best.value:
                self._best = true
            undecided = self._most_understated(choice, flow)
            if undecided is not None:
                self._open.append(_Choice(choice.paid, choice.closed | {undecided}))
                self._open.append(_Choice(choice.paid | {undecided}, choice.closed))
        self.is_proved = not self._open
        self.is_done = not self._open or self.nodes >= self.nodes_max

    def suggestions(self) -> list[Suggestion]:
        """The best that was found, by the way."""
        found: dict[int, dict[Fill, int]] = {}
        for (way, need), units in (self._best.units if self._best else {}).items():
            fills = found.setdefault(way, {})
            fills[self.needs[need].fill] = fills.get(self.needs[need].fill, 0) + units
        return sorted(
            Suggestion(self.ways[way], sum(fills.values()), tuple(sorted(fills.items())))
            for way, fills in found.items()
        )

    def unfilled(self) -> list[Need]:
        """What nobody can fill, or not in time."""
        filled = [0] * len(self.needs)
        for (_, need), units in (self._best.units if self._best else {}).items():
            filled[need] += units
        left = zip(self.needs, filled, strict=True)
        return [one._replace(units=one.units - units) for one, units in left if one.units > units]

    def _relaxed(self, choice: _Choice) -> _Flow:
        """The cheapest flow where undecided ways cost their share per unit; paid ones are paid whether used or not."""
        per_unit = [
            way.cost_per_unit + (0 if number in choice.paid else way.cost // self._room[number])
            for number, way in enumerate(self.ways)
        ]
        units = self._cheapest(per_unit, choice.closed)
        value = sum(self.ways[number].cost for number in choice.paid)
        value += sum(count * (per_unit[way] - self._rewards[need]) for (way, need), count in units.items())
        return _Flow(units, value)

    def _cheapest(self, per_unit: Sequence[int], closed: frozenset[int]) -> dict[tuple[int, int], int]:
        """The flow of least cost less rewards, by (way, need): the cheapest path first, until none is worth it."""
        first_way = 2 + len(self.supplies)
        first_need = first_way + len(self.ways)
        edges: list[list[_Edge]] = [[] for _ in range(first_need + len(self.needs))]
        supply_at = {one.location: 2 + number for number, one in enumerate(self.supplies)}
        for number, supply in enumerate(self.supplies):
            _join(edges, _SOURCE, 2 + number, supply.units, 0)
        for number, way in enumerate(self.ways):
            if number not in closed:
                _join(edges, supply_at[way.from_location], first_way + number, self._room[number], per_unit[number])
                for at, need in enumerate(self.needs):
                    if _fits(way, need):
                        _join(edges, first_way + number, first_need + at, need.units, 0)
        for at, need in enumerate(self.needs):
            _join(edges, first_need + at, _SINK, need.units, -self._rewards[at])
        while (path := _path(edges)) is not None:
            units = min(edge.room for edge in path)
            for edge in path:
                edge.room -= units
                edges[edge.to][edge.back].room += units
        return {
            (number, edge.to - first_need): edges[edge.to][edge.back].room
            for number in range(len(self.ways))
            for edge in edges[first_way + number]
            if edge.to >= first_need and edges[edge.to][edge.back].room
        }

    def _true(self, flow: _Flow) -> _Flow:
        """The same flow at what it costs."""
        value = sum(self.ways[number].cost for number in {way for way, _ in flow.units})
        for (way, need), count in flow.units.items():
            value += count * (self.ways[way].cost_per_unit - self._rewards[need])
        return _Flow(flow.units, value)

    def _most_understated(self, choice: _Choice, flow: _Flow) -> int | None:
        used: dict[int, int] = {}
        for (way, _), count in flow.units.items():
            used[way] = used.get(way, 0) + count
        understated = {
            way: self.ways[way].cost - self.ways[way].cost // self._room[way] * count
            for way, count in used.items()
            if way not in choice.paid
        }
        return max(understated, key=lambda way: (understated[way], -way)) if understated else None


def _fits(way: Way, need: Need) -> bool:
    """Whether units that go this way are there before anything else fills the need."""
    return way.to_location == need.location and (not need.cover_day or way.day < need.cover_day)


def _join(edges: list[list[_Edge]], start: int, end: int, room: int, cost: int) -> None:
    edges[start].append(_Edge(end, room, cost, len(edges[end])))
    edges[end].append(_Edge(start, 0, -cost, len(edges[start]) - 1))


def _path(edges: list[list[_Edge]]) -> list[_Edge] | None:
    """The cheapest path with room, of those that cost less than nothing; None where there is none."""
    costs: dict[int, int] = {_SOURCE: 0}
    came: dict[int, tuple[int, _Edge]] = {}
    turn: list[int] = [_SOURCE]
    waiting = {_SOURCE}
    for node in turn:
        waiting.discard(node)
        for edge in edges[node]:
            cost = costs[node] + edge.cost
            if edge.room and (edge.to not in costs or cost < costs[edge.to]):
                costs[edge.to], came[edge.to] = cost, (node, edge)
                if edge.to not in waiting:
                    waiting.add(edge.to)
                    turn.append(edge.to)
    if costs.get(_SINK, 0) >= 0:
        return None
    path = []
    node = _SINK
    while node != _SOURCE:
        node, edge = came[node]
        path.append(edge)
    return path


def needs_of(
    location: str, waiting: Iterable[tuple[Fill, int]], coming: Iterable[tuple[int, int]]
) -> tuple[list[Need], list[tuple[int, int]]]:
    """What waits at a location, each part with the day on which units that come cover it; and what is left of these.

    `waiting` in the order in which they are served; `coming` (day, units).
    """
    arrivals = sorted(coming)
    found: list[Need] = []
    at = used = 0
    for fill, units in waiting:
        left = units
        while left:
            if at == len(arrivals):
                found.append(Need(location, left, fill))
                break
            part = min(left, arrivals[at][1] - used)
            if part:
                found.append(Need(location, part, fill, arrivals[at][0]))
            left, used = left - part, used + part
            if used == arrivals[at][1]:
                at, used = at + 1, 0
    rest = [
        (day, units - (used if number == at else 0)) for number, (day, units) in enumerate(arrivals) if number >= at
    ]
    return found, [(day, units) for day, units in rest if units]
