"""Lines that may wait for what is not on hand: how many there would be at each location, from which day on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import SourcingRule
from invengine.services.promisable import units_by
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
        there = units.sum() if asked.allow_split and question.profile.may_split else units.max(initial=0)
        if asked.may_wait and there < asked.quantity:
            found.append(line)
    return found


def waiting(basket: Basket, lines: list[int], offers: Offers) -> Basket:
    """The basket with what comes for these lines: all of it by a day.

    A line that comes from one location has the first day on which there is enough of it; one that is split has, at
    every location, what is there by the first day on which there is enough at all of them together.
    """
    units, rules, limits = basket.units.copy(), basket.rules.copy(), basket.limits.copy()
    days = np.zeros_like(units)
    names = basket.ground.names
    for line in lines:
        asked, demand = basket.question.lines[line], basket.demands[line]
        columns = np.flatnonzero((rules[line] == 0) | (rules[line] == _NO_STOCK)).tolist()
        latest = asked.needed_by if asked.fulfilment is Fulfilment.ANY else 0
        coming = {}
        for column in columns:
            steps = [
                (day, many) for day, many in steps_of(offers, demand, names[column]) if not latest or day <= latest
            ]
            coming[column] = steps
        is_split = asked.allow_split and basket.question.profile.may_split
        last = _enough(list(coming.values()), asked.quantity) if is_split else 0
        for column, steps in coming.items():
            now = int(units[line, column])
            for day, many in steps:
                if last and day > last:
                    break
                if many > max(now, int(units[line, column])) and units[line, column] < asked.quantity:
                    units[line, column], days[line, column] = many, day
            rules[line, column] = 0 if units[line, column] else _NO_STOCK
            for place, each in basket.parts[line]:
                limits[place, column] = max(limits[place, column], units[line, column] * each)
    return replace(basket, units=units, rules=rules, limits=limits, days=days)


def _enough(every: list[list[Step]], wanted: int) -> int:
    """The first day by which there is enough at all locations together; the last day of all where there never is."""
    days = sorted({day for steps in every for day, _ in steps})
    for day in days:
        if sum([units_by(steps, day) for steps in every]) >= wanted:
            return day
    return days[-1] if days else 0
