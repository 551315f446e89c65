"""A plan is committed: step by step, each noted when it is done, so that anybody may go on where one stopped.

A step may be made twice, or by two servers at once: the store answers each request once, so both come to the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from invengine.errors import ShuttingDown

if TYPE_CHECKING:
    from invengine.domain.waves import CommitProgress, PlannedOrder, PlanSummary
    from invengine.services.wave_amends import WaveAmends
    from invengine.services.wave_orders import WaveOrders
    from invengine.store.wave_records import WaveRecords


class WaveCommit:
    """Commits plans of one engine. `is_stopping`: the server ends, so no further step is begun."""

    def __init__(
        self, records: WaveRecords, orders: WaveOrders, amends: WaveAmends, is_stopping: Callable[[], bool]
    ) -> None:
        self._records = records
        self._orders = orders
        self._amends = amends
        self._is_stopping = is_stopping

    async def run(self, summary: PlanSummary, progress: CommitProgress, orders: Sequence[PlannedOrder]) -> None:
        """Makes all steps that are not done; notes them in `progress` too. ShuttingDown, and what the store raises."""
        assert progress.start is not None
        for step, places in enumerate(summary.steps):
            if step in progress.done:
                continue
            if self._is_stopping():
                raise ShuttingDown
            there = {place: orders[place] for place in places}
            if orders[places[0]].order.reservation_id:
                outcomes = await self._amends.commit(summary.plan_id, there)
            else:
                outcomes = await self._orders.commit(summary.plan_id, progress.start, there)
            progress.done[step] = await self._records.end_step(summary.plan_id, step, outcomes)
            await asyncio.sleep(0)
