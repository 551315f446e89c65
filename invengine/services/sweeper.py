"""The sweeper: expires holds whose time is over, goes on with changes that were left half done, and forgets what is
past its retention.

Nothing waits for it: a hold stops counting by the clock alone, and a call that finds stock short expires what is due
by itself. So it goes round the partitions at an even, small pace. Several servers may sweep one store: each hold is
expired once, by whoever comes first. Of the workers of one server only the one that leads does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import TYPE_CHECKING, Final

from invengine.domain.capacity import KEPT_DAYS
from invengine.domain.partitions import partition_of
from invengine.errors import InventoryError
from invengine.services.lead import Lead

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.replica.replica import Replica
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

PARTITIONS_PER_SECOND: Final = 16
"""Looked at for due holds: an empty look costs a tenth of a millisecond."""

EXPIRIES_PER_CALL_MAX: Final = 200
"""One call keeps everybody else waiting for 2 ms at most."""

FORGET_ROUND_SECONDS: Final = 1800.0
"""One round of forgetting; what is past its retention by half an hour more harms nobody."""

DAYS_OF_SLOTS_PER_STEP: Final = 1000
"""Forgotten in one step; a location has one a day."""

DAY_MS: Final = 86_400_000


class Sweeper:
    """Two endless rounds over the partitions; `sweep` and `forget` are one step each, for tests too."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        metrics: Metrics,
        *,
        partitions_per_second: float = PARTITIONS_PER_SECOND,
        lead: Lead | None = None,
    ) -> None:
        self._store = store
        self._replica = replica
        self._metrics = metrics
        self._pause = 1.0 / partitions_per_second
        self._lead = lead or Lead()
        self._well = True

    async def run(self) -> None:
        """Sweeps until it is cancelled; a store that is away is left alone for a while."""
        await self._go_round(self.sweep, self._pause)

    async def run_forgetting(self) -> None:
        """Forgets until it is cancelled."""
        await self._go_round(self.forget, FORGET_ROUND_SECONDS / self._store.partitions)

    async def sweep(self, partition: int) -> int:
        """Expires everything that is due in a partition, some at a time; answers how many holds that were. Brings to an
        end what servers that are gone left half done there.
        """
        self._replica.apply((await self._store.finish_unfinished(partition)).entries)
        count, more = 0, True
        while more:
            written, more = await self._store.expire_due(partition, EXPIRIES_PER_CALL_MAX)
            self._replica.apply(written.entries)
            count += len(written.outcomes)
        self._metrics.expired.inc(count)
        return count

    async def forget(self, partition: int) -> int:
        """Drops what a partition keeps beyond its retention, and slots of days that are over; how much that was."""
        forgotten = await self._store.forget_old(partition)
        first_kept = await self._store.now_ms() // DAY_MS - KEPT_DAYS
        days = self._replica.slots.idle_before(first_kept)
        mine = [day for day in days if partition_of(day[0], self._store.partitions) == partition]
        if mine:
            written = await self._store.forget_slots(mine[:DAYS_OF_SLOTS_PER_STEP])
            self._replica.apply(written.entries)
            forgotten += sum(written.outcomes)
        return forgotten

    async def _go_round(self, step: Callable[[int], Awaitable[int]], pause_seconds: float) -> None:
        await self._lead.ours()
        for partition in cycle(range(self._store.partitions)):
            await asyncio.sleep(pause_seconds)
            try:
                await step(partition)
                self._well = True
            except InventoryError as refusal:
                if self._well:
                    logger.warning("sweeping waits: %s", refusal)
                self._well = False
                await asyncio.sleep(1.0)
