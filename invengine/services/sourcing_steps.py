"""Lines that may wait for what is not on hand: how many there would be at each location, from which day on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine.domain.sourcing import SourcingRule
from invengine.domain.stock import UNITS_MAX
from invengine.services.promisable import units_by
from invengine.services.sourcing_dates import may_be_dated
from invengine.services.sourcing_ground import NUMBERS

if TYPE_CHECKING:
    from invengine.services.promisable import Step
    from invengine.services.sourcing_basket import Basket, Demand
    from invengine.services.sourcing_offers import Offers

Block = npt.NDArray[np.int64]

_NO_STOCK = NUMBERS[SourcingRule.NO_STOCK]


def steps_of(offers: Offers, demand: Demand, location: str) -> list[Step]:
    """(day, quantity) of a line by the end of which day so many can be had there, rising."""
    found = [(offers.steps(sku, location), units) for sku, units in demand.parts]
    if len(found) == 1 and found[0][1] == 1:
        return list(found[0][0])
    steps: list[Step] = []
    for day in sorted({day for steps, _ in found for day, _ in steps}):
        quantity = min(units_by(steps, day) // each for steps, each in found)
        if not steps or quantity > steps[-1][1]:
            steps.append((day, quantity))
    return steps


def short_lines(basket: Basket) -> list[int]:
    """Lines that may wait and that no location, or where they may be split not all of them, has enough of on hand."""
    question = basket.question
    found = []
    for line, asked in enumerate(question.lines):
        units = np.where(basket.rules[line] == 0, basket.units[line], 0)
        there = units.sum() if _may_split(basket, line) else units.max(initial=0)
        if asked.may_wait and there < asked.quantity:
            found.append(line)
    return found


class Coming:
    """What comes for lines that wait: at each location (its place) the days on which there is more of the line."""

    def __init__(self, basket: Basket, lines: Sequence[int], offers: Offers) -> None:
        self._basket = basket
        self._steps: dict[int, dict[int, list[Step]]] = {}
        for line in lines:
            asked = basket.question.lines[line]
            rules = basket.rules[line]
            latest = 0 if may_be_dated(basket, line) else asked.needed_by
            self._steps[line] = {
                column: [
                    (day, many)
                    for day, many in steps_of(offers, basket.demands[line], basket.ground.names[column])
                    if many and (not latest or day <= latest)
                ]
                for column in np.flatnonzero((rules == 0) | (rules == _NO_STOCK)).tolist()
            }

    def by_a_day(self) -> Basket:
        """The basket with what comes, all of it by a day.

        A line that comes from one location has the first day on which there is enough of it; one that is split has, at
        every location, what is there by the first day on which there is enough at all of them together.
        """
        wanted: dict[tuple[int, int], int] = {}
        for line, steps in self._steps.items():
            quantity = self._basket.question.lines[line].quantity
            last = _enough(list(steps.values()), quantity) if _may_split(self._basket, line) else 0
            for column, of_column in steps.items():
                by_then = [many for day, many in of_column if not last or day <= last]
                wanted[line, column] = min(quantity, max(by_then, default=0))
        return self._with(wanted)

    def earlier(self, basket: Basket, taken: Mapping[tuple[int, int], int]) -> Basket | None:
        """The basket with no more at a location than is there when what was taken is: so it comes earlier. None where
        nothing does. `taken`: units by line and location (their places).
        """
        assert basket.days is not None
        wanted = {
            (line, column): taken.get((line, column), int(basket.units[line, column]))
            for line, steps in self._steps.items()
            for column in steps
        }
        found = self._with(wanted)
        assert found.days is not None
        return found if (found.days < basket.days).any() else None

    def at_best(self) -> Basket | None:
        """The basket with all that ever comes, as if it came as early as the first of it; None where that is so anyway,
        as of lines that come from one location.
        """
        if not any(_may_split(self._basket, line) for line in self._steps):
            return None
        found = self._with({(line, column): UNITS_MAX for line, steps in self._steps.items() for column in steps})
        assert found.days is not None
        for line, steps in self._steps.items():
            for column, of_column in steps.items():
                if _may_split(self._basket, line) and of_column:
                    now = self._basket.units[line, column]
                    found.days[line, column] = 0 if now else of_column[0][0]
        return found

    def _with(self, wanted: Mapping[tuple[int, int], int]) -> Basket:
        """The basket with as much at each location as is there on the first day on which there are so many."""
        basket = self._basket
        units, rules, limits = basket.units.copy(), basket.rules.copy(), basket.limits.copy()
        days = np.zeros_like(units)
        for line, steps in self._steps.items():
            for column, of_column in steps.items():
                there = int(basket.units[line, column])
                for day, many in of_column:
                    if there >= wanted[line, column]:
                        break
                    if many > there:
                        there, days[line, column] = many, day
                units[line, column] = there
                rules[line, column] = 0 if there else _NO_STOCK
                for place, each in basket.parts[line]:
                    limits[place, column] = max(limits[place, column], there * each)
        return replace(basket, units=units, rules=rules, limits=limits, days=days)


def _may_split(basket: Basket, line: int) -> bool:
    return basket.question.lines[line].allow_split and basket.question.profile.may_split


def _enough(every: list[list[Step]], wanted: int) -> int:
    """The first day by which there is enough at all locations together; the last day of all where there never is."""
    days = sorted({day for steps in every for day, _ in steps})
    for day in days:
        if sum([units_by(steps, day) for steps in every]) >= wanted:
            return day
    return days[-1] if days else 0
