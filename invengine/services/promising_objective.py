"""Promises by a sourcing profile: of each way to get a basket, the combination of locations that its objective says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.domain.sourcing import BasketLine
from invengine.errors import LocationNotUsable

if TYPE_CHECKING:
    from invengine.domain.profiles import Profile
    from invengine.domain.promising import Way
    from invengine.domain.sourcing import Plan, Sourced
    from invengine.services.promising_options import Basket, Means
    from invengine.services.sourcing_plans import SourcingPlans


class Objective:
    """Plans baskets to be promised by one profile."""

    def __init__(self, plans: SourcingPlans, profile: Profile) -> None:
        self._plans = plans
        self.profile = profile

    def plan(self, basket: Basket, way: Way, means: Means) -> Sourced | None:
        """The best plan for a basket that goes one way, of what is on hand first; None where no line may come so."""
        lines = [
            BasketLine(
                demand.line.line_id,
                demand.line.sku,
                demand.line.quantity,
                demand.line.location,
                demand.line.group,
                demand.line.allow_split,
                way.fulfilment,
                basket.how.destination,
                way.service,
                may_wait=True,
            )
            for demand in basket.demands
        ]
        try:
            return self._plans.source(
                lines,
                channel=basket.channel,
                network=means.network,
                now_ms=basket.now_ms,
                profile=self.profile,
                confidence_parts=basket.confidence_parts,
                dating=means.dating,
                explain=False,
            )
        except LocationNotUsable:  # the one that a line names cannot do this; another way may be open to it
            return None


def parts_of_plan(plan: Plan, row_of: dict[str, int]) -> list[tuple[int, int, int]]:
    """(row, line, quantity) of a plan: what is there now and what comes to the same location are one."""
    found: dict[tuple[int, int], int] = {}
    for one in plan.units:
        key = row_of[one.location], one.line
        found[key] = found.get(key, 0) + one.quantity
    return [(row, line, quantity) for (row, line), quantity in found.items()]
