"""Figures that no call brings along: of the store and its servers, the stock, the disk and the event loop, looked at
now and then.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from invengine.errors import InventoryError
from invengine.replica.short import short_numbers

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.replica.replica import Replica
    from invengine.services.lead import Lead
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

STORE_SECONDS: Final = 5.0
STOCK_SECONDS: Final = 30.0
"""A look at every position: some milliseconds for a million."""

LOOP_SECONDS: Final = 0.5


async def keep(store: RedisStore, metrics: Metrics, lead: Lead) -> None:
    """Asks the store for its figures until cancelled, where this process leads."""
    metrics.libraries["server"].set(store.own_library)
    await lead.ours()
    while True:
        await look_at_store(store, metrics)
        await asyncio.sleep(STORE_SECONDS)


async def look_at_store(store: RedisStore, metrics: Metrics) -> None:
    """One look at the store and the servers behind it. What is not known stays as it was, except that it is away."""
    redis = metrics.redis
    try:
        facts = await store.servers()
        redis.primaries = len(facts.primaries)
        redis.memory, redis.memory_limit, redis.fullest = facts.memory, facts.memory_limit, facts.fullest
        redis.aof_is_on = int(all(server.aof_is_on for server in facts.primaries))
        redis.aof_is_well = int(all(server.aof_is_well for server in facts.primaries))
        redis.saving_is_well = int(all(server.saving_is_well for server in facts.primaries))
        redis.aof_delays = sum(server.aof_delays for server in facts.primaries)
        redis.fewest_replicas = facts.fewest_replicas
        redis.clients = sum(server.clients for server in facts.primaries)
        redis.looked_at = monotonic()
        redis.up = 1  # last: the page is written in another thread
        metrics.set_reservations(await store.states())
        metrics.log_entries.set(await store.log_length())
        metrics.libraries["store"].set(await store.loaded_library())
    except InventoryError as refusal:
        redis.up, redis.looked_at = 0, monotonic()
        logger.debug("no figures: %s", refusal)


async def watch_stock(replica: Replica, metrics: Metrics) -> None:
    """Counts what is there and what goes short until cancelled."""
    while True:
        look_at_stock(replica, metrics)
        await asyncio.sleep(STOCK_SECONDS)


def look_at_stock(replica: Replica, metrics: Metrics) -> None:
    """One look at the stock."""
    stock, columns = metrics.stock, replica.columns
    stock.skus, stock.positions = columns.sku_count, columns.position_count
    short = short_numbers(columns).values()
    stock.short_positions = len(short)
    stock.short_units = sum(reserved - on_hand for on_hand, reserved in short)


async def watch_disk(folder: Path, metrics: Metrics) -> None:
    """Measures the room that is left beside the data until cancelled."""
    while True:
        try:
            usage = await asyncio.to_thread(shutil.disk_usage, folder)
        except OSError as fault:
            logger.warning("the disk of %s cannot be looked at: %s", folder, fault.strerror)
        else:
            metrics.redis.set_disk(usage.free, usage.total)
        await asyncio.sleep(STORE_SECONDS)


async def watch_loop(metrics: Metrics) -> None:
    """Measures how late the event loop wakes until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_SECONDS
        await asyncio.sleep(LOOP_SECONDS)
        metrics.loop_lag.set(max(0.0, loop.time() - due))
