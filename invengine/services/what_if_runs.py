"""One run of a what-if: orders sourced one after the other under one profile, each taking its units from a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.domain.orders import Fulfilment
from invengine.domain.sourcing import FEWEST_PARCELS
from invengine.domain.what_if import Tally
from invengine.errors import InventoryError
from invengine.replica.clock import StoreClock
from invengine.services.dating import Dating
from invengine.services.sourcing_offers import Stock
from invengine.services.sourcing_plans import SourcingPlans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import Plan
    from invengine.domain.what_if import WhatIfOrder
    from invengine.services.promise_routes import TransitDays
    from invengine.services.sourcing_basket import Prices
    from invengine.services.stock_copies import Scratch


class _StoppedClock(StoreClock):
    """The store's clock, standing still."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The instant of the copy."""
        return self._now_ms


class Run:
    """Of one profile: `of_channel` answers the one that counts for an order of a channel, None for none."""

    def __init__(
        self,
        scratch: Scratch,
        network: Network,
        now_ms: int,
        *,
        of_channel: Callable[[str], Profile | None],
        transit: TransitDays,
        prices: Prices | None = None,
    ) -> None:
        self._network = network
        self._of_channel = of_channel
        self._scratch = scratch
        clock = _StoppedClock(now_ms)
        dating = Dating(network, transit, self._scratch.replica, clock)
        self._stock = Stock(self._scratch.replica)
        self._names = tuple(network.locations)
        self._plans = SourcingPlans(self._scratch.replica, lambda _: dating, prices)
        self.tally = Tally()

    def source(self, order: WhatIfOrder) -> None:
        """Sources an order, takes what it gets, and counts it."""
        network = self._network
        try:
            for line in order.lines:
                if line.fulfilment is Fulfilment.SHIP_TO_STORE:
                    network.pickup_location(line.destination.location, order.channel)
            found = self._plans.source(
                order.lines,
                channel=order.channel,
                network=network,
                now_ms=order.at_ms,
                profile=self._of_channel(order.channel) or FEWEST_PARCELS,
                best_effort=order.best_effort,
                explain=False,
            )
        except InventoryError as refusal:
            self.tally.refused(order, refusal.reason)
            return
        if found.best is None or not found.best.units:
            assert found.problem is not None or found.best is not None
            self.tally.refused(order, found.problem.reason if found.problem else "INSUFFICIENT_STOCK")
            return
        self._take(order, found.best)
        self.tally.planned(order, found.best, is_proved=found.is_proved)

    async def left(self) -> Mapping[str, int]:
        """Units by location that nobody has."""
        return await self._scratch.free_at()

    def _take(self, order: WhatIfOrder, plan: Plan) -> None:
        """Units on hand first, as far as the channel may take them; what has to come is promised out of receipts."""
        for one in plan.units:
            line = order.lines[one.line]
            kit = self._network.kits.get(line.sku)
            for sku, each in ((line.sku, 1),) if kit is None else [(part.sku, part.units) for part in kit]:
                units = one.quantity * each
                free = units if not one.day else self._free(order.channel, sku, one.location, order.at_ms)
                taken = self._scratch.take(sku, one.location, units, order.channel, free)
                self.tally.taken[one.location] += taken
                if taken < units:
                    self._scratch.peg(sku, one.location, units - taken, one.day)

    def _free(self, channel: str, sku: str, location: str, now_ms: int) -> int:
        """Units on hand that a channel can take."""
        offers = self._stock.offers(self._network, channel, self._names, now_ms)
        return int(offers.on_hand([sku])[0, self._names.index(location)])
