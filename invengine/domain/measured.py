"""What things cost, as `python -m benchmarks.constants --write` measured them and wrote this file."""

from __future__ import annotations

from typing import Final

MACHINE: Final = "x86_64, Python 3.11.7, 2026-11-22"

MEASURED: Final[dict[str, tuple[float, str]]] = {
    "redis_bytes_per_position": (31.48, "bytes"),
    "redis_bytes_per_live_reservation": (161.4, "bytes"),
    "redis_bytes_per_closed_reservation": (137.1, "bytes"),
    "redis_bytes_per_request": (210.4, "bytes"),
    "redis_bytes_per_movement": (39.9, "bytes"),
    "redis_bytes_per_logged_change": (261.5, "bytes"),
    "redis_microseconds_per_reservation": (42.21, "us of CPU"),
    "redis_microseconds_per_change": (69.82, "us of CPU"),
    "redis_microseconds_per_movement": (19.25, "us of CPU"),
    "aof_bytes_per_reservation": (702.7, "bytes"),
    "aof_bytes_per_change": (636.6, "bytes"),
    "aof_bytes_per_movement": (138.5, "bytes"),
    "feed_bytes_per_change": (249.4, "bytes"),
    "snapshot_bytes_per_memory_byte": (0.4565, "ratio"),
    "server_bytes_per_position": (77.12, "bytes"),
    "server_bytes_at_rest": (2.553e08, "bytes"),
    "server_microseconds_per_question": (333.3, "us of CPU"),
    "server_microseconds_per_sku_in_batch": (1.072, "us of CPU"),
    "server_microseconds_per_reservation": (420.5, "us of CPU"),
    "server_microseconds_per_reservation_in_batch": (44.95, "us of CPU"),
    "server_microseconds_per_followed_change": (2.333, "us of CPU"),
}
"""Name -> value and unit; benchmarks/constants.py says how each is measured."""
