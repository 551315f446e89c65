"""What is told of the Redis behind the store, of the disk and of the stock as a whole: looked at every few seconds.

They are the same for every server of a store, except the disk, which is told where the engine runs its own Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class RedisMetrics(Collector):
    """Redis as it was at the newest look; all 0 before the first one."""

    def __init__(self) -> None:
        self.up = 0
        self.primaries = 0
        self.memory = 0
        self.memory_limit = 0
        self.fullest = 0.0
        self.aof_is_on = 0
        self.aof_is_well = 0
        self.saving_is_well = 0
        self.aof_delays = 0
        self.fewest_replicas = 0
        self.replicas_wanted = 0
        self.clients = 0
        self.restarts = 0
        self.disk_free = 0
        self.disk_size = 0
        self.looked_at = 0.0
        self.disk_looked_at = 0.0
        """When the newest looks were, by the clock that processes of a machine share."""

    def set_disk(self, free: int, size: int) -> None:
        """Takes over how much room the disk of the data folder has, in bytes."""
        self.disk_free, self.disk_size, self.disk_looked_at = free, size, monotonic()

    def set_at(self) -> dict[tuple[str, ...], float]:
        """When each of these was found, by the name of its series."""
        return {
            (sample.name,): self.disk_looked_at if "_disk_" in sample.name else self.looked_at
            for family in self.collect()
            for sample in family.samples
            if family.name != "invengine_redis_restarts"
        }

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        for name, help_, value in (
            ("up", "1 while every primary of the store answered the newest look, else 0.", self.up),
            ("primaries", "Primaries that keep the store: more than 1 on a Cluster.", self.primaries),
            ("memory_used_bytes", "Memory that the primaries use.", self.memory),
            (
                "memory_limit_bytes",
                "Memory that they may use: maxmemory, or that of the machine where it is not set.",
                self.memory_limit,
            ),
            ("memory_used_ratio", "Used of what it may use, 0 to 1, of the fullest primary.", self.fullest),
            ("aof_enabled", "1 where every primary keeps an append-only file.", self.aof_is_on),
            (
                "aof_ok",
                "1 where every primary's newest append to its append-only file, and newest rewrite, went well.",
                self.aof_is_well,
            ),
            ("save_ok", "1 where every primary's newest save of a snapshot went well.", self.saving_is_well),
            ("connected_replicas", "Replicas of the primary that has the fewest.", self.fewest_replicas),
            ("replicas_wanted", "Replicas that a write waits for; 0 where it waits for none.", self.replicas_wanted),
            ("connected_clients", "Connections of all clients to the primaries.", self.clients),
        ):
            yield GaugeMetricFamily(f"invengine_redis_{name}", help_, value=value)
        yield CounterMetricFamily(
            "invengine_redis_aof_delays",
            "Appends to append-only files that had to wait for a slow disk, since the primaries started.",
            value=self.aof_delays,
        )
        yield CounterMetricFamily(
            "invengine_redis_restarts",
            "Times that the Redis of the engine's own died and was started again.",
            value=self.restarts,
        )
        yield GaugeMetricFamily(
            "invengine_data_disk_free_bytes",
            "Room on the disk of the data folder; 0 where the engine runs no Redis.",
            value=self.disk_free,
        )
        yield GaugeMetricFamily(
            "invengine_data_disk_size_bytes",
            "Size of the disk of the data folder; 0 where the engine runs no Redis.",
            value=self.disk_size,
        )


class StockMetrics(Collector):
    """The stock as a whole, as this server knows it, at the newest look."""

    def __init__(self) -> None:
        self.skus = 0
        self.positions = 0
        self.short_positions = 0
        self.short_units = 0

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        for name, help_, value in (
            ("skus", "SKUs that this server knows.", self.skus),
            ("positions", "Positions that this server knows.", self.positions),
            ("short_positions", "Positions with more units reserved than are on hand.", self.short_positions),
            ("short_units", "Units that are reserved at these and not on hand.", self.short_units),
        ):
            yield GaugeMetricFamily(f"invengine_{name}", help_, value=value)
