"""Figures that no call brings along: of the store, asked for now and then, and of the event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from invengine.errors import InventoryError

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.services.lead import Lead
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

STORE_SECONDS: Final = 5.0
LOOP_SECONDS: Final = 0.5


async def keep(store: RedisStore, metrics: Metrics, lead: Lead) -> None:
    """Asks the store for its figures until cancelled, where this process leads."""
    await lead.ours()
    while True:
        try:
            metrics.set_reservations(await store.states())
            metrics.log_entries.set(await store.log_length())
        except InventoryError as refusal:
            logger.debug("no figures: %s", refusal)
        await asyncio.sleep(STORE_SECONDS)


async def watch_loop(metrics: Metrics) -> None:
    """Measures how late the event loop wakes until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_SECONDS
        await asyncio.sleep(LOOP_SECONDS)
        metrics.loop_lag.set(max(0.0, loop.time() - due))
