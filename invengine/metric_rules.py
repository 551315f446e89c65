"""How the figures of the workers of a server are figures of one server. Every gauge of `metrics` stands here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

OF_WORKERS: Final[Mapping[str, Literal["sum", "max", "latest", "newest"]]] = {
    "invengine_broken_promises": "newest",
    "invengine_build_info": "max",
    "invengine_data_disk_free_bytes": "newest",
    "invengine_data_disk_size_bytes": "newest",
    "invengine_demand_skus": "max",
    "invengine_event_loop_lag_seconds": "max",
    "invengine_feed_lag_seconds": "max",
    "invengine_feed_last_acknowledged_timestamp_seconds": "latest",
    "invengine_feed_streams": "sum",
    "invengine_feed_unacknowledged_movements": "sum",
    "invengine_integrity_last_success_timestamp_seconds": "latest",
    "invengine_integrity_violations": "newest",
    "invengine_library_version": "newest",
    "invengine_log_entries": "newest",
    "invengine_positions": "max",
    "invengine_queue_depth": "sum",
    "invengine_queue_limit": "sum",
    "invengine_redis_aof_delays": "newest",
    "invengine_redis_aof_enabled": "newest",
    "invengine_redis_aof_ok": "newest",
    "invengine_redis_connected_clients": "newest",
    "invengine_redis_connected_replicas": "newest",
    "invengine_redis_memory_limit_bytes": "newest",
    "invengine_redis_memory_used_bytes": "newest",
    "invengine_redis_memory_used_ratio": "newest",
    "invengine_redis_primaries": "newest",
    "invengine_redis_replicas_wanted": "newest",
    "invengine_redis_save_ok": "newest",
    "invengine_redis_up": "newest",
    "invengine_replica_lag_seconds": "max",
    "invengine_reservations": "newest",
    "invengine_short_positions": "max",
    "invengine_short_units": "max",
    "invengine_skus": "max",
    "invengine_store_clock_ahead_seconds": "max",
    "invengine_watch_subscribers": "sum",
    "invengine_watch_subscribers_behind": "sum",
    "invengine_workers": "sum",
}
"""Added up; the largest; the largest ever, also of workers that are gone; the one that was set last (`Metrics.set_at`),
also of these. Counters and histograms that are not here are added up.
"""

OF_PROCESSES: Final = ("process_", "python_")
"""Families that are told for each worker, under a label of their own."""
