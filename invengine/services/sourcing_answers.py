"""What sourcing found, in words: plans with their costs by term, and which rule keeps a line from a location."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine.domain.sourcing import CostTerms, Plan, PlannedUnits, RuledOut, SourcingRule
from invengine.services.sourcing_ground import NOT_ASKED, NUMBERS, RULES

if TYPE_CHECKING:
    from invengine.services.sourcing_basket import Basket
    from invengine.services.sourcing_choice import Choice
    from invengine.services.sourcing_dates import Journeys
    from invengine.services.sourcing_together import Planned

Block = npt.NDArray[np.int64]


def plan_of(basket: Basket, choice: Choice, planned: Planned) -> Plan:
    """A choice as a plan. Where missing units have no price, their number counts before all costs, and its costs leave
    them out.
    """
    found: list[tuple[int, int, PlannedUnits]] = []
    missing = [line.quantity for line in basket.question.lines]
    costs, parcels = CostTerms(), 0
    for part in choice.parts:
        of_parcels, units = part.parcels, part.found.units
        costs = costs.plus(of_parcels.costs(units))
        parcels += int(units.any(axis=0).sum()) if of_parcels.is_sent else 0
        rows, places = units.nonzero()
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            line, column, quantity = of_parcels.lines[row], int(of_parcels.columns[place]), int(units[row, place])
            missing[line] -= quantity
            location, day = basket.ground.names[column], int(of_parcels.days[row, place])
            found.append((line, column, PlannedUnits(line, location, quantity, 0, of_parcels.service, day)))
    if basket.days is not None:
        found = _by_day(basket, basket.days, found)
    price = basket.question.profile.shortage_cost if basket.question.best_effort else None
    short = sum(missing)
    if price is not None:
        costs = costs._replace(shortage=short * price)
    unpriced = short * planned.shortage if basket.question.best_effort and price is None else 0
    bound = min(max(0, (planned.bound or 0) - unpriced), costs.total)
    found.sort(key=lambda it: (it[0], it[1], it[2].day))
    return Plan(tuple([one for _, _, one in found]), costs, parcels, tuple(missing), bound)


def _by_day(
    basket: Basket, days: Block, planned: Sequence[tuple[int, int, PlannedUnits]]
) -> list[tuple[int, int, PlannedUnits]]:
    """What is there now apart from what comes: lines that do not wait have their units first."""
    left, found = basket.on_hand.copy(), []
    for line, column, units in sorted(planned, key=lambda it: (bool(days[it[0], it[1]]), it[0], it[1])):
        parts = basket.parts[line]
        now = min(units.quantity, *(int(left[place, column]) // each for place, each in parts))
        for place, each in parts:
            left[place, column] -= now * each
        later = units._replace(quantity=units.quantity - now, day=int(days[line, column]))
        found += [(line, column, one) for one in (units._replace(quantity=now), later) if one.quantity]
    return found


def ruled_out(basket: Basket, ways: Sequence[Journeys]) -> Block:
    """int64 [L, N]: the rule by which each line cannot come from each location, by any service; 0 where it can."""
    found = basket.rules.copy()
    for way in ways:
        nearest = way.rules.max(axis=2)  # the rules are in their order: the last one came nearest to being a plan
        by_service = np.where((way.rules == 0).any(axis=2), 0, nearest)
        found[np.array(way.lines)[:, np.newaxis], way.columns] = by_service
    question = basket.question
    if not question.best_effort:
        whole = np.array([not (line.allow_split and question.profile.may_split) for line in question.lines])
        wanted = np.array([line.quantity for line in question.lines], np.int64)
        too_few = whole[:, np.newaxis] & (basket.units < wanted[:, np.newaxis])
        found[(found == 0) & too_few] = NUMBERS[SourcingRule.NO_STOCK]
    return found


def in_words(basket: Basket, rules: Block) -> tuple[RuledOut, ...]:
    """The rules with their names, by line and by the place of the location."""
    names = basket.ground.names
    lines, columns = ((rules != 0) & (rules != NOT_ASKED)).nonzero()
    numbers = rules[lines, columns].tolist()
    found = []
    for line, column, number in zip(lines.tolist(), columns.tolist(), numbers, strict=True):
        rule = RULES[number]
        assert rule is not None
        found.append(RuledOut(line, names[column], rule))
    return tuple(found)
