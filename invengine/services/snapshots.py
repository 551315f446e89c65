"""Snapshots of locations: what was there at an instant, set row by row as counts, and the orders that it contains.

    stream ──► staged and checked, whole ──► rows as counts ──► what is not listed: 0 ──► orders it contains: fulfilled

Each step may be repeated, and changes nothing the second time: a snapshot that was cut off in the middle is sent again
and goes on. A snapshot that was applied is remembered as such.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from invengine.domain.partitions import encode_token
from invengine.errors import Exhausted, InventoryError, OutcomeUnknown, ShuttingDown, Unavailable, UnknownLocation
from invengine.services.snapshot_application import Application, Applied
from invengine.services.snapshot_staging import StagedSnapshot, Staging
from invengine.store.location_snapshots import NOT_APPLIED

if TYPE_CHECKING:
    from invengine.domain.snapshots import Snapshot
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import stock_service_pb2 as pb

logger = logging.getLogger(__name__)


class Snapshots:
    """The use case of ApplySnapshot."""

    def __init__(
        self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks, metrics: Metrics
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._metrics = metrics
        self._staging = Staging(store.partitions)
        self._under_way: dict[asyncio.Task[Any], Application] = {}
        self._closed = False

    async def apply(self, messages: AsyncIterator[pb.ApplySnapshotRequest]) -> Applied:
        """Applies a snapshot once its stream has ended; a fault in any message refuses all of it.

        From there on it goes on to its end, also without its caller. OutcomeUnknown when a part of it is applied.
        """
        staged = StagedSnapshot(self._staging)
        with staged:
            async for message in messages:
                await staged.add(message, self._clock.now_ms(), self._is_state)
                if staged.location not in self._networks.required().locations:
                    raise UnknownLocation(staged.location)
            snapshot, fingerprint = staged.finish()
            if self._closed:
                raise ShuttingDown
            ignored = await self._store.snapshots.note(snapshot, fingerprint)
            if ignored != NOT_APPLIED:
                self._metrics.replays.inc()
                return await self._applied_before(snapshot, staged, ignored)
        task = asyncio.get_running_loop().create_task(self._run(snapshot, staged, fingerprint))
        task.add_done_callback(self._ended)
        applied = await asyncio.shield(task)
        self._metrics.count_refusals([row.refusal.reason for row in applied.refused_rows])
        return applied

    async def close(self) -> None:
        """Takes no more and has those under way stop after the step that they are at: they can be sent again."""
        self._closed = True
        for application in self._under_way.values():
            application.stop()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _is_state(self, sku: str, location: str, state: str) -> bool:
        """Whether it is one of the network; or one that left it while units are in it."""
        return state in self._networks.required().states or self._replica.unsellable.units(sku, location, state) > 0

    async def _run(self, snapshot: Snapshot, staged: StagedSnapshot, fingerprint: str) -> Applied:
        application = Application(self._store, self._replica, self._clock, snapshot, staged)
        task = asyncio.current_task()
        assert task is not None
        self._under_way[task] = application
        try:
            with staged:
                applied = await application.run()
            if applied.is_whole:
                await self._store.snapshots.note(snapshot, fingerprint, applied.ignored)
        except (Unavailable, Exhausted) as error:  # parts may be written, so "nothing was changed" would be untrue
            raise OutcomeUnknown(str(error)) from error
        finally:
            del self._under_way[task]
        return applied

    @staticmethod
    def _ended(task: asyncio.Task[Applied]) -> None:
        """Its caller may be gone: then nobody else asks how it ended."""
        if not task.cancelled() and (fault := task.exception()) is not None and not isinstance(fault, InventoryError):
            logger.error("a snapshot ended in a way that is not a refusal", exc_info=fault)

    async def _applied_before(self, snapshot: Snapshot, staged: StagedSnapshot, ignored: int) -> Applied:
        revisions = enumerate(await self._store.revisions())
        token = encode_token(self._store.store_id, revisions)
        return Applied(snapshot.snapshot_id, token, repeated=staged.row_count - ignored, ignored=ignored)
