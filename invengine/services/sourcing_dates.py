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
_REACHED: Final = frozenset((DATED, NO_SLOT, BEYOND_HORIZON))
"""Statuses of ways that the network knows."""


class Journeys(NamedTuple):
    """Lines that go the same way to the same place. S services, or one that is empty.

    `columns`  int64 [C]: the locations that any of the lines could come from
    `rules`    int64 [lines, C, S]: by which the line cannot come from there so, 0 where it can
    `days`     int64 [lines, C, S]: of delivery, 0 where the lines are not dated
    `begins`   int64 [lines, C, S]: the same of what is there now, where a line would have to wait for all of it
    """

    lines: Sequence[int]
    services: tuple[str, ...]
    columns: Block
    rules: Block
    days: Block
    begins: Block | None
    is_dated: bool


def journeys(basket: Basket, lines: Sequence[int], dating: Dating) -> Journeys:
    """The dates of lines of one way and destination.

    They are dated if one of them must be (it names a service, or a day by which it is needed), or if the network can
    date them from any location that could serve them; what it cannot date is ruled out then. Else they have no dates.
    """
    fulfilment, destination = basket.destination_of(lines[0])
    usable = (basket.rules[list(lines)] == 0).any(axis=0)
    columns = usable.nonzero()[0]
    rules = basket.rules[list(lines)][:, columns]
    services = _services(basket, lines, fulfilment)
    goes = {
        Fulfilment.SHIP: bool(destination.country and services),
        Fulfilment.PICKUP: True,
        Fulfilment.SHIP_TO_STORE: bool(destination.location),
    }.get(fulfilment, False)
    if not goes or not columns.size:
        return _undated(lines, columns, rules)
    asked = _asked(basket, lines, columns, fulfilment)
    dates = dating.options(
        asked,
        destination,
        (fulfilment,),
        services,
        confidence_parts=basket.question.confidence_parts,
        at_ms=basket.question.now_ms,
    )
    answers = dates.answers  # [asked, C, S, ...], the locations in the order of the columns
    must = [bool(basket.question.lines[line].needed_by or basket.question.lines[line].service) for line in lines]
    found = answers[..., ANSWER_STATUS]
    if not any(must) and not np.isin(found[0], tuple(_REACHED)).any():
        return _undated(lines, columns, rules)
    is_one = len(asked) == 1
    status = np.broadcast_to(found[:1], (len(lines), *found.shape[1:])) if is_one else found[-len(lines) :]
    days = answers[..., ANSWER_DAY]
    begins = None if basket.days is None or is_one else np.broadcast_to(days[:1], (len(lines), *days.shape[1:]))
    days = np.broadcast_to(days[:1], (len(lines), *days.shape[1:])) if is_one else days[-len(lines) :]
    gaps = _RULE_OF[status]
    whole = np.where(rules[:, :, np.newaxis] == 0, gaps, rules[:, :, np.newaxis])
    if not basket.question.profile.may_be_late:
        needed = np.array([basket.question.lines[line].needed_by for line in lines], np.int64)[:, None, None]
        whole[(whole == 0) & (needed > 0) & (days > needed)] = NUMBERS[SourcingRule.TOO_LATE]
    return Journeys(lines, tuple(services) or ("",), columns, whole, days, begins, True)


def _services(basket: Basket, lines: Sequence[int], fulfilment: Fulfilment) -> Sequence[str]:
    """The services that lines may be shipped with, in the order of their names; named ones only where all name one."""
    if fulfilment is not Fulfilment.SHIP:
        return ()
    named = {basket.question.lines[line].service for line in lines}
    return sorted(basket.ground.network.delivery.services if "" in named else named)


def _asked(basket: Basket, lines: Sequence[int], columns: Block, fulfilment: Fulfilment) -> list[DatedLine]:
    """What is dated: one row of units that are there, where it is the same for all lines; else a row for each line
    too. Where a day's units are limited, a line is dated as if all of these lines came from there.
    """
    names = [basket.ground.names[column] for column in columns]
    destination = basket.destination_of(lines[0])[1]
    counted = basket.ground.counted(fulfilment, destination.location)[columns].any()
    units = sum([basket.demands[line].units for line in lines]) if counted else 1
    asked = [DatedLine(units, dict.fromkeys(names, NOW))]
    if basket.days is not None and basket.days[list(lines)].any():
        days = basket.days[list(lines)][:, columns].tolist()
        asked += [DatedLine(units, dict(zip(names, of_line, strict=True))) for of_line in days]
    return asked


def _undated(lines: Sequence[int], columns: Block, rules: Block) -> Journeys:
    whole = rules[:, :, np.newaxis]
    return Journeys(lines, ("",), columns, whole, np.zeros_like(whole), None, False)
