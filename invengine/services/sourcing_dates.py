"""When lines that go the same way to the same place would be there, from each location by each service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import SourcingRule
from invengine.kernels.layout import (
    ANSWER_DAY,
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
from invengine.services.dates import NOW, DatedLine
from invengine.services.sourcing_ground import NUMBERS

if TYPE_CHECKING:
    from invengine.services.dating import Dating
    from invengine.services.sourcing_basket import Basket
    from invengine.services.sourcing_choice import Part

Block = npt.NDArray[np.int64]

_RULES: Final = {
    NO_SLOT: SourcingRule.NO_CAPACITY,
    BEYOND_HORIZON: SourcingRule.BEYOND_HORIZON,
    NO_CALENDAR: SourcingRule.NO_CALENDAR,
    NO_STORE_CALENDAR: SourcingRule.NO_CALENDAR,
    NO_OPENING: SourcingRule.NO_OPENING_HOURS,
    NO_LANE: SourcingRule.NO_LANE,
    NO_TRANSFER_LANE: SourcingRule.NO_TRANSFER_LANE,
    NO_ZONE: SourcingRule.NO_ZONE,
}
_RULE_OF: Final = np.array([NUMBERS[_RULES[status]] if status in _RULES else 0 for status in range(11)], np.int64)
"""By status of a date: the rule, 0 for one that is DATED."""
_REACHED_MAX: Final = max(DATED, NO_SLOT, BEYOND_HORIZON)
"""Up to this, the statuses of ways that the network knows."""


class Journeys(NamedTuple):
    """Lines that go the same way to the same place. S services, or one that is empty.

    `columns`  int64 [C]: the locations that any of the lines could come from
    `rules`    int64 [lines, C, S]: by which the line cannot come from there so, 0 where it can
    `days`     int64 [lines, C, S]: of delivery, 0 where the lines are not dated
    `counted`  int64 [C]: 1 where a day's units are limited, and each line is dated as if it were alone; None: nowhere
    """

    lines: Sequence[int]
    services: tuple[str, ...]
    columns: Block
    rules: Block
    days: Block
    counted: Block | None
    is_dated: bool


def journeys(basket: Basket, lines: Sequence[int], dating: Dating, *, together: bool) -> Journeys:
    """The dates of lines of one way and destination.

    They are dated if one of them must be (it names a service, or a day by which it is needed), or if the network can
    date them from any location that could serve them; what it cannot date is ruled out then. Else they have no dates.
    `together`: where a day's units are limited, each line is dated as if all of them came from there.
    """
    fulfilment, destination = basket.destination_of(lines[0])
    usable = (basket.rules[list(lines)] == 0).any(axis=0)
    columns = usable.nonzero()[0]
    rules = basket.rules[list(lines)][:, columns]
    services = _services(basket, lines, fulfilment)
    if not may_be_dated(basket, lines[0]) or not columns.size:
        return _undated(lines, columns, rules)
    counted = basket.ground.counted(fulfilment, destination.location)[columns]
    is_counted = bool(counted.any())
    asked = _asked(basket, lines, columns, is_counted=is_counted, together=together)
    answers = _answers(basket, asked, lines[0], dating, services)  # the locations in the order of the columns
    must = [bool(basket.question.lines[line].needed_by or basket.question.lines[line].service) for line in lines]
    shape = len(lines), len(columns), answers.shape[2]
    status, days = np.broadcast_to(answers[..., ANSWER_STATUS], shape), np.broadcast_to(answers[..., ANSWER_DAY], shape)
    if not any(must) and (status > _REACHED_MAX).all():
        return _undated(lines, columns, rules)
    gaps = _RULE_OF[status]
    whole = np.where(rules[:, :, np.newaxis] == 0, gaps, rules[:, :, np.newaxis])
    if not basket.question.profile.may_be_late:
        needed = np.array([basket.question.lines[line].needed_by for line in lines], np.int64)[:, None, None]
        whole[(whole == 0) & (needed > 0) & (days > needed)] = NUMBERS[SourcingRule.TOO_LATE]
    is_alone = is_counted and len(lines) > 1 and not together
    return Journeys(lines, tuple(services) or ("",), columns, whole, days, counted if is_alone else None, True)


def may_be_dated(basket: Basket, line: int) -> bool:
    """Whether a line says how and where it goes, so that the network could know when it is there."""
    fulfilment, destination = basket.destination_of(line)
    if fulfilment is Fulfilment.SHIP:
        return bool(destination.country and basket.ground.network.delivery.services)
    return fulfilment is Fulfilment.PICKUP or (fulfilment is Fulfilment.SHIP_TO_STORE and bool(destination.location))


def comes_later(basket: Basket, way: Journeys, part: Part, dating: Dating) -> bool:
    """Whether lines that were dated alone are later where a plan has several of them prepared at one location."""
    if way.counted is None:
        return False
    counted = way.counted[np.isin(way.columns, part.parcels.columns)]
    several = (part.found.units > 0).sum(axis=0) > 1
    asked, until = [], []
    for place in np.flatnonzero(several & (counted == 1)).tolist():
        column = int(part.parcels.columns[place])
        here = np.flatnonzero(part.found.units[:, place])
        lines = [part.parcels.lines[row] for row in here.tolist()]
        units = sum([int(part.found.units[row, place]) * basket.demands[part.parcels.lines[row]].each for row in here])
        since = NOW if basket.days is None else int(basket.days[lines, column].max())
        asked.append(DatedLine(units, {basket.ground.names[column]: since}))
        until.append(int(part.parcels.days[here, place].min()))
    for line, day in zip(asked, until, strict=True):
        answers = _answers(basket, [line], part.parcels.lines[0], dating, [part.parcels.service])
        if answers[0, 0, 0, ANSWER_STATUS] != DATED or answers[0, 0, 0, ANSWER_DAY] > day:
            return True
    return False


def _answers(basket: Basket, asked: Sequence[DatedLine], line: int, dating: Dating, services: Sequence[str]) -> Block:
    """int64 [asked, locations, services, ANSWER_COLUMNS], for the way and destination of a line."""
    fulfilment, destination = basket.destination_of(line)
    question = basket.question
    return dating.options(
        asked,
        destination,
        (fulfilment,),
        services if fulfilment is Fulfilment.SHIP else (),
        confidence_parts=question.confidence_parts,
        at_ms=question.now_ms,
    ).answers


def _services(basket: Basket, lines: Sequence[int], fulfilment: Fulfilment) -> Sequence[str]:
    """The services that lines may be shipped with, in the order of their names; named ones only where all name one."""
    if fulfilment is not Fulfilment.SHIP:
        return ()
    named = {basket.question.lines[line].service for line in lines}
    return sorted(basket.ground.network.delivery.services if "" in named else named)


def _asked(
    basket: Basket, lines: Sequence[int], columns: Block, *, is_counted: bool, together: bool
) -> list[DatedLine]:
    """What is dated: one row for all lines where it is the same for all of them, else a row for each."""
    names = [basket.ground.names[column] for column in columns]
    units = [basket.demands[line].units for line in lines] if is_counted else [1] * len(lines)
    if is_counted and together:
        units = [sum(units)] * len(lines)
    if basket.days is not None and basket.days[list(lines)].any():
        days = basket.days[list(lines)][:, columns].tolist()
        rows = [dict(zip(names, of_line, strict=True)) for of_line in days]
        return [DatedLine(count, row) for count, row in zip(units, rows, strict=True)]
    now = dict.fromkeys(names, NOW)
    return [DatedLine(count, now) for count in (units if len(set(units)) > 1 else units[:1])]


def _undated(lines: Sequence[int], columns: Block, rules: Block) -> Journeys:
    whole = rules[:, :, np.newaxis]
    return Journeys(lines, ("",), columns, whole, np.zeros_like(whole), None, False)
