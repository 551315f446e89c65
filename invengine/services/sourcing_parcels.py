"""Lines that can share parcels, one way to one place by one service: what they cost, and the best plan for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import CostTerms
from invengine.kernels.layout import (
    NO_LIMIT,
    NO_PLAN,
    SOURCED,
    SOURCED_BOUND,
    SOURCED_COLUMNS,
    SOURCED_COST,
    SOURCED_NODES,
    SOURCED_PARCELS,
    SOURCED_STATUS,
    SOURCED_WITHIN,
    TOO_LARGE,
    WHOLE,
)
from invengine.services.days import today

if TYPE_CHECKING:
    from invengine.services.sourcing_basket import Basket
    from invengine.services.sourcing_dates import Journeys

Block = npt.NDArray[np.int64]
Key = tuple[int, int, int, int]
Caps = Mapping[tuple[tuple[int, ...], int], int]
"""Most units that lines (of one SKU, or one kit) may have together from a location (its place among all)."""

_PARCEL, _HANDLING, _LANE, _DISTANCE, _PRIORITY = range(5)
_PARCEL_TERMS: Final = ("parcel", "handling", "lane", "distance", "priority")
_UNIT_TERMS: Final = ("handling", "lane", "opportunity")
_LINE_TERMS: Final = ("waiting", "late", "early")


class Found(NamedTuple):
    """A plan for some lines. `key` orders plans: cost, that of missing units among it; parcels; places of the locations
    used, summed; the last day of delivery.
    """

    key: Key
    units: Block  # [lines, C]


class Solved(NamedTuple):
    """What the kernel found. `bound`: no plan costs less; None where it is certain that there is no plan."""

    best: Found | None
    next: Found | None
    bound: int | None
    nodes: int
    is_too_large: bool


@dataclass(slots=True)
class Parcels:
    """L lines and C locations, with what each term of the objective asks for.

    `columns`       int64 [C]: the locations by their places among all
    `parcel_terms`  int64 [5, C]   `unit_terms`  int64 [3, L, C]   `line_terms`  int64 [3, L, C]
    `parcel_cost`, `unit_cost`, `line_cost`  the terms together
    `is_sent`       whether what comes from a location is a parcel; what is collected is none
    """

    basket: Basket
    lines: tuple[int, ...]
    service: str
    columns: Block
    rules: Block
    days: Block
    is_dated: bool
    is_sent: bool
    parcel_terms: Block
    unit_terms: Block
    line_terms: Block
    parcel_cost: Block
    unit_cost: Block
    line_cost: Block
    rows: list[tuple[int, ...]] = field(default_factory=list)
    """Lines that share units: those of one SKU, each kit, each line that waits."""

    def solve(self, shortage: int, caps: Caps, parcels_max: int = 0) -> Solved:
        """The best plan for these lines, and the next one. `shortage`: of a missing unit, WHOLE: there may be none."""
        if not self.columns.size:
            nothing = self.nothing(shortage)
            bound = None if nothing is None else nothing.key[0]
            return Solved(nothing, None, bound, 0, False)
        basket, profile = self.basket, self.basket.question.profile
        asked = [basket.question.lines[line] for line in self.lines]
        row_of = {line: row for row, members in enumerate(self.rows) for line in members}
        available = np.ascontiguousarray(basket.units[[members[0] for members in self.rows]][:, self.columns])
        if caps:
            for row, members in enumerate(self.rows):
                for place, column in enumerate(self.columns.tolist()):
                    cap = caps.get((members, column))
                    if cap is not None:
                        available[row, place] = min(available[row, place], cap)
        count, width = len(asked), len(self.columns)
        wanted = [line.quantity for line in asked] if shortage == WHOLE else self._within_reach()
        beyond = (sum([line.quantity for line in asked]) - sum(wanted)) * max(shortage, 0)
        units = np.empty((2, count, width), np.int64)
        ruled = np.empty((count, width), np.int64)
        out = np.empty((2, SOURCED_COLUMNS), np.int64)
        may_split = [int(line.allow_split and profile.may_split) for line in asked]
        kernels.source_basket(
            np.array(wanted, np.int64),
            np.array([row_of[line] for line in self.lines], np.int64),
            np.array(may_split, np.int64),
            np.full(count, shortage, np.int64),
            available,
            self.unit_cost,
            self.line_cost,
            self.parcel_cost,
            np.arange(width),
            np.full(width, NO_LIMIT, np.int64),
            np.ascontiguousarray(self.rules),
            parcels_max if self.is_sent else 0,
            profile.nodes_max,
            1,
            units,
            ruled,
            out,
        )
        status = int(out[0, SOURCED_STATUS])
        return Solved(
            self._found(out[0], units[0], beyond),
            self._found(out[1], units[1], beyond),
            None if status == NO_PLAN else int(out[0, SOURCED_BOUND]) + beyond,
            int(out[0, SOURCED_NODES] + out[1, SOURCED_NODES]),
            status == TOO_LARGE,
        )

    def nothing(self, shortage: int) -> Found | None:
        """The plan that has nothing of these lines; None where they must come."""
        if shortage == WHOLE:
            return None
        wanted = sum([self.basket.question.lines[line].quantity for line in self.lines])
        return Found((wanted * shortage, 0, 0, 0), np.zeros(self.rules.shape, np.int64))

    def _within_reach(self) -> list[int]:
        """Of each line as many as there could be at most, and one at least: what is beyond is missing in every plan."""
        profile, found = self.basket.question.profile, []
        for row, line in enumerate(self.lines):
            asked = self.basket.question.lines[line]
            there = np.where(self.rules[row] == 0, self.basket.units[line][self.columns], 0)
            may_split = asked.allow_split and profile.may_split
            found.append(min(asked.quantity, max(1, int(there.sum() if may_split else there.max(initial=0)))))
        return found

    def _found(self, out: Block, units: Block, beyond: int) -> Found | None:
        if out[SOURCED_STATUS] not in (SOURCED, SOURCED_WITHIN):
            return None
        used = units.any(axis=0)
        last = int(self.days[units > 0].max(initial=0))
        cost = int(out[SOURCED_COST]) + beyond
        return Found((cost, int(out[SOURCED_PARCELS]), int(self.columns[used].sum()), last), units)

    def dearest(self) -> int:
        """No plan for these lines costs more, missing units aside."""
        quantities = self._within_reach()
        allowed = self.rules == 0
        units = np.where(allowed, self.unit_cost, 0).max(axis=1, initial=0)
        lines = np.where(allowed, self.line_cost, 0).sum(axis=1)
        of_units: int = sum([one * quantity for one, quantity in zip(units.tolist(), quantities, strict=True)])
        return int(of_units + sum(lines.tolist()) + sum(self.parcel_cost.tolist()))

    def costs(self, units: Block) -> CostTerms:
        """What so many units of the lines from the locations cost, by term; missing ones are not among it."""
        found = dict.fromkeys(CostTerms._fields, 0)
        used = units.any(axis=0)
        for name, value in zip(_PARCEL_TERMS, self.parcel_terms[:, used].sum(axis=1).tolist(), strict=True):
            found[name] += value
        for name, value in zip(_UNIT_TERMS, (self.unit_terms * units).sum(axis=(1, 2)).tolist(), strict=True):
            found[name] += value
        for name, value in zip(_LINE_TERMS, (self.line_terms * (units > 0)).sum(axis=(1, 2)).tolist(), strict=True):
            found[name] += value
        return CostTerms(**found)


def parcels(basket: Basket, way: Journeys, lines: Sequence[int], service: int) -> Parcels:
    """The lines of a way by one of its services, at the locations that can serve one of them so."""
    places = [way.lines.index(line) for line in lines]
    rules = way.rules[places, :, service]
    kept = (rules == 0).any(axis=0)
    columns = way.columns[kept]
    rules, days = rules[:, kept], way.days[places][:, kept, service]
    fulfilment, destination = basket.destination_of(lines[0])
    ground, profile = basket.ground, basket.question.profile
    name = way.services[service]
    is_sent = fulfilment is not Fulfilment.PICKUP
    parcel = np.zeros((len(_PARCEL_TERMS), len(columns)), np.int64)
    unit = np.zeros((len(_UNIT_TERMS), len(lines), len(columns)), np.int64)
    each = np.array([basket.demands[line].each for line in lines], np.int64)[:, np.newaxis]
    parcel[_HANDLING] = _weighted(ground.parcel_cost[columns], profile.handling_percent)
    parcel[_PRIORITY] = profile.priority_cost * ground.priority[columns]
    unit[0] = (_weighted(ground.unit_cost[columns], profile.handling_percent) + profile.unit_cost) * each
    if is_sent:
        parcel[_PARCEL] = profile.parcel_cost
        if profile.kilometre_cost and fulfilment is not Fulfilment.ANY:
            parcel[_DISTANCE] = profile.kilometre_cost * ground.distances(fulfilment, destination)[columns]
    if is_sent and way.is_dated and profile.lane_percent:
        lanes = ground.lane_costs(fulfilment, destination, name)
        parcel[_LANE] = _weighted(lanes.parcel[columns], profile.lane_percent)
        unit[1] = _weighted(lanes.unit[columns], profile.lane_percent) * each
    if basket.price is not None:
        unit[2] = basket.price[list(lines)][:, columns]
    line = _day_costs(basket, lines, days)
    return Parcels(
        basket, tuple(lines), name, columns, rules, days, way.is_dated, is_sent, parcel, unit, line,
        parcel.sum(axis=0), unit.sum(axis=0), line.sum(axis=0), _rows(basket, lines),
    )  # fmt: skip


def _day_costs(basket: Basket, lines: Sequence[int], days: Block) -> Block:
    """What the days of delivery cost, int64 [3, L, C]; 0 where the lines have none."""
    profile = basket.question.profile
    found = np.zeros((len(_LINE_TERMS), *days.shape), np.int64)
    is_dated = days > 0
    if profile.waiting_day_cost:
        found[0] = np.where(is_dated, np.maximum(days - today(basket.question.now_ms), 0), 0) * profile.waiting_day_cost
    needed = np.array([basket.question.lines[line].needed_by for line in lines], np.int64)[:, np.newaxis]
    if needed.any():
        late = np.where(is_dated & (needed > 0), days - needed, 0)
        found[1] = np.maximum(late, 0) * profile.late_day_cost
        found[2] = np.maximum(-late, 0) * profile.early_day_cost
    return found


def _rows(basket: Basket, lines: Sequence[int]) -> list[tuple[int, ...]]:
    found: dict[tuple[int, int], list[int]] = {}
    for line in lines:
        parts = basket.parts[line]
        waits = basket.days is not None and basket.question.lines[line].may_wait
        is_plain = len(parts) == 1 and parts[0][1] == 1 and not waits
        found.setdefault((parts[0][0], -1) if is_plain else (-1, line), []).append(line)
    return [tuple(members) for members in found.values()]


def _weighted(costs: Block, percent: int) -> Block:
    return costs if percent == 100 else (costs * percent + 50) // 100
