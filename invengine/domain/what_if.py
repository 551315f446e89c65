"""What-if: the same orders sourced under several profiles, and what came of it, side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.sourcing import CostTerms, parts_of

if TYPE_CHECKING:
    from invengine.domain.sourcing import BasketLine, Plan


class WhatIfOrder(NamedTuple):
    """An order that is sourced; `at_ms`: when it was made, by which it is dated."""

    order_id: str
    channel: str
    lines: tuple[BasketLine, ...]
    at_ms: int
    best_effort: bool = False


@dataclass(slots=True)
class Tally:
    """What came of orders under one profile.

    `orders_whole`, `orders_in_part`  those that got all they wanted, or some of it
    `refusals`    orders that got nothing, by the word of their refusal
    `late_lines`  lines that are there after the day by which they are needed, of `needed_lines` that have one
    `taken`       units by location, of kits those of their components
    """

    orders: int = 0
    orders_whole: int = 0
    orders_in_part: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    unfilled_lines: int = 0
    units: int = 0
    unfilled_units: int = 0
    late_lines: int = 0
    needed_lines: int = 0
    parcels: int = 0
    unproved_orders: int = 0
    costs: CostTerms = field(default_factory=CostTerms)
    taken: Counter[str] = field(default_factory=Counter)

    def refused(self, order: WhatIfOrder, reason: str) -> None:
        """Nothing could be had."""
        self._count(order)
        self.refusals[reason] += 1
        self.unfilled_lines += len(order.lines)
        self.unfilled_units += sum(line.quantity for line in order.lines)

    def planned(self, order: WhatIfOrder, plan: Plan, *, is_proved: bool) -> None:
        """It would come from there."""
        self._count(order)
        missing = sum(plan.missing)
        self.orders_whole += not missing
        self.orders_in_part += missing > 0
        self.unfilled_lines += sum(units > 0 for units in plan.missing)
        self.unfilled_units += missing
        self.parcels += plan.parcels
        self.unproved_orders += not is_proved
        self.costs = self.costs.plus(plan.costs)
        for number, line in enumerate(order.lines):
            days = [one.delivery_day for one in parts_of(plan.units, number)]
            self.late_lines += bool(line.needed_by and days and max(days) > line.needed_by)

    def _count(self, order: WhatIfOrder) -> None:
        self.orders += 1
        self.lines += len(order.lines)
        self.units += sum(line.quantity for line in order.lines)
        self.needed_lines += sum(line.needed_by > 0 for line in order.lines)
