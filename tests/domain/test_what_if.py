"""What came of orders under a profile, counted."""

from __future__ import annotations

from invengine.domain.sourcing import BasketLine, CostTerms, Plan, PlannedUnits
from invengine.domain.what_if import Tally, WhatIfOrder


def order(*lines: BasketLine) -> WhatIfOrder:
    return WhatIfOrder("o", "web", lines, 0, best_effort=True)


def test_everything_is_counted_once() -> None:
    tally = Tally()
    lines = BasketLine("1", "A", 3, needed_by=10), BasketLine("2", "B", 2, needed_by=10), BasketLine("3", "C", 1)
    units = (
        PlannedUnits(0, "X", 1, 0, "s", 9),
        PlannedUnits(0, "Y", 2, 0, "s", 11),
        PlannedUnits(1, "X", 1, 0, "s", 10),
    )
    plan = Plan(units, CostTerms(parcel=5, lane=2), 2, (0, 1, 1), 7)
    tally.planned(order(*lines), plan, is_proved=False)
    tally.planned(order(lines[2]), Plan((), CostTerms(lane=1), 1, (0,), 1), is_proved=True)
    tally.refused(order(lines[0], lines[2]), "UNKNOWN_SKU")
    assert (tally.orders, tally.orders_whole, tally.orders_in_part) == (3, 1, 1)
    assert tally.refusals == {"UNKNOWN_SKU": 1}
    assert (tally.lines, tally.unfilled_lines, tally.units, tally.unfilled_units) == (6, 4, 11, 6)
    assert (tally.needed_lines, tally.late_lines, tally.parcels, tally.unproved_orders) == (3, 1, 3, 1)
    assert tally.costs == CostTerms(parcel=5, lane=3)
