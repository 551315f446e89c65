"""What a server's /metrics says, and what became of it between two looks: rates and quantiles."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_SAMPLE: Final = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_BYTES_MAX: Final = 8_000_000

Samples = Mapping[str, list[tuple[dict[str, str], float]]]
"""The samples of a page by name, each with its labels."""


class MetricsAway(Exception):
    """Nobody serves metrics there; the message says what happened."""


@dataclass(frozen=True, slots=True)
class MethodLook:
    """One method between two looks."""

    method: str
    per_second: float
    p50_milliseconds: float | None
    p99_milliseconds: float | None


@dataclass(frozen=True, slots=True)
class ServerLook:
    """How the server is."""

    replica_lag_seconds: float
    feed_lag_seconds: float
    queue_depth: int
    requests_per_second: float
    reservations: dict[str, int] = field(default_factory=dict)
    broken_promises: dict[str, int] = field(default_factory=dict)
    short_units: int = 0
    methods: list[MethodLook] = field(default_factory=list)
    """The busiest first; those that were not called are left out."""


async def fetch(address: str, timeout_seconds: float) -> Samples:
    """The page at `HOST:PORT`. MetricsAway."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise MetricsAway(f"{address!r} is not HOST:PORT")
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(host.strip("[]") or "127.0.0.1", int(port))
            try:
                writer.write(f"GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                head, _, body = (await reader.read(_BYTES_MAX)).partition(b"\r\n\r\n")
                while part := await reader.read(_BYTES_MAX):
                    body += part
            finally:
                writer.close()
    except TimeoutError:
        raise MetricsAway(f"no answer from {address}") from None
    except OSError as fault:
        raise MetricsAway(f"{address}: {fault.strerror or fault}") from None
    status = head.split(b"\r\n")[0].decode("latin-1")
    if " 200 " not in f"{status} ":
        raise MetricsAway(f"{address}: {status or 'no answer'}")
    return parsed(body.decode("utf-8", "replace"))


def parsed(text: str) -> Samples:
    """The samples of a page in the text format of Prometheus."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in _SAMPLE.findall(text):
        found.setdefault(name, []).append((dict(_LABEL.findall(labels)), float(value)))
    return found


def server_look(now: Samples, before: Samples | None, seconds: float) -> ServerLook:
    """What the page says, with rates and quantiles of the `seconds` since the page before it."""
    methods = sorted(_methods(now, before or {}, seconds), key=lambda one: (-one.per_second, one.method))
    return ServerLook(
        replica_lag_seconds=_largest(now, "invengine_replica_lag_seconds"),
        feed_lag_seconds=_largest(now, "invengine_feed_lag_seconds"),
        queue_depth=round(sum(value for _, value in now.get("invengine_queue_depth", []))),
        requests_per_second=sum(one.per_second for one in methods),
        reservations=_by(now, "invengine_reservations", "state"),
        broken_promises=_by(now, "invengine_broken_promises", "reason"),
        short_units=round(_largest(now, "invengine_short_units")),
        methods=methods,
    )


def _largest(samples: Samples, name: str) -> float:
    return max((value for _, value in samples.get(name, [])), default=0.0)


def _by(samples: Samples, name: str, label: str) -> dict[str, int]:
    return {labels.get(label, ""): round(value) for labels, value in samples.get(name, [])}


def _methods(now: Samples, before: Samples, seconds: float) -> Iterator[MethodLook]:
    calls, calls_before = (_sums(page, "grpc_server_handled_total") for page in (now, before))
    buckets, buckets_before = (_buckets(page) for page in (now, before))
    for method, count in calls.items():
        made = count - calls_before.get(method, 0.0)
        if made < 0:  # the server began anew meanwhile
            made, was = count, {}
        else:
            was = buckets_before.get(method, {})
        if made <= 0 or not before:
            continue
        grown = {edge: value - was.get(edge, 0.0) for edge, value in buckets.get(method, {}).items()}
        p50, p99 = (_milliseconds(quantile(grown, part)) for part in (0.5, 0.99))
        yield MethodLook(method, made / seconds if seconds > 0 else 0.0, p50, p99)


def _sums(samples: Samples, name: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for labels, value in samples.get(name, []):
        method = labels.get("grpc_method", "")
        sums[method] = sums.get(method, 0.0) + value
    return sums


def _buckets(samples: Samples) -> dict[str, dict[float, float]]:
    found: dict[str, dict[float, float]] = {}
    for labels, value in samples.get("grpc_server_handling_seconds_bucket", []):
        edges = found.setdefault(labels.get("grpc_method", ""), {})
        edge = float(labels["le"])
        edges[edge] = edges.get(edge, 0.0) + value
    return found


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 2)


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """The value below which so large a part of the observations lies, evenly spread within a bucket; None of none.

    `buckets` maps upper edges, the last one infinite, to how many observations are at most that.
    """
    edges = sorted(buckets)
    if not edges or buckets[edges[-1]] <= 0:
        return None
    wanted = part * buckets[edges[-1]]
    low, below = 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            if edge == float("inf"):
                return low
            inside = buckets[edge] - below
            return low + (edge - low) * ((wanted - below) / inside if inside else 1.0)
        low, below = edge, buckets[edge]
    return low
