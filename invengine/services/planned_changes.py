"""Where the units come from that an amendment or a rebinding takes by a profile. What it gives back is there for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import BasketLine
from invengine.errors import InsufficientStock
from invengine.services.planned_lines import may_be_backordered, parts_of_plan, wishes_of_plan, within_rules
from invengine.services.sourcing_offers import Lent

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import LineRequest
    from invengine.domain.profiles import Profile
    from invengine.services.placed_lines import PlacedPart, Wish
    from invengine.services.shelf import Shelf
    from invengine.services.sourcing_plans import SourcingPlans

    Demand = tuple[LineRequest, Wish | None]


class PlannedChange:
    """The plan for one change of a reservation."""

    def __init__(self, plans: SourcingPlans, profile: Profile, network: Network, channel: str, *, now_ms: int) -> None:
        self._plans = plans
        self._profile = profile
        self._network = network
        self._channel = channel
        self._now_ms = now_ms

    def parts(self, demands: Sequence[Demand], groups: Sequence[str], shelf: Shelf) -> list[list[PlacedPart]] | None:
        """Per line what it takes where; None where it needs units of which nobody knows a day, which are in no plan.

        `groups`: those that the lines name. `shelf`: with what the change gives back. Refuses as sourcing does.
        """
        lines = [line for line, _ in demands]
        sourced = self._plans.source(
            [self._basket_line(*demand, group, shelf) for demand, group in zip(demands, groups, strict=True)],
            channel=self._channel,
            profile=self._profile,
            network=self._network,
            now_ms=self._now_ms,
            explain=False,
            confidence_parts=max([wish.confidence_parts for _, wish in demands if wish is not None], default=0),
            loans={place: Lent(*units) for place, units in shelf.lent.items()},
        )
        if may_be_backordered(lines, sourced):
            return None
        if sourced.best is None:
            raise sourced.problem or InsufficientStock(())
        return parts_of_plan(lines, sourced.best)

    def within_rules(self, line: LineRequest) -> LineRequest:
        """A line for which there is no plan, within the hard rules of the profile."""
        return within_rules(line, self._profile, self._network)

    def wished(self, demands: Sequence[Demand]) -> list[Demand]:
        """The demands with what is left to wish for once there is a plan."""
        wishes = wishes_of_plan([wish for _, wish in demands], may_be_late=self._profile.may_be_late)
        return [(line, wish) for (line, _), wish in zip(demands, wishes, strict=True)]

    def _basket_line(self, line: LineRequest, wish: Wish | None, group: str, shelf: Shelf) -> BasketLine:
        location = line.named_location
        if line.fulfilment is Fulfilment.PICKUP and not location:  # where the line is already
            enough = [one.location for one in line.candidates if shelf.offer(line, one) >= line.quantity]
            location = (enough or [one.location for one in line.candidates] or [""])[0]
        until = line.future.needed_by if line.future is not None else 0
        return BasketLine(
            line.line_id,
            line.sku,
            line.quantity,
            location,
            "" if location else group,
            line.allow_split,
            line.fulfilment,
            line.destination,
            wish.service if wish is not None else "",
            wish.needed_by if wish is not None else until,
            line.future is not None,
        )
