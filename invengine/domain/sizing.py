"""How large an installation must be: each figure with the computation that it comes from, out of measured constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from invengine.domain.measured import MEASURED
from invengine.domain.partitions import PARTITIONS_MAX

BUSY_SHARE: Final = 0.6
"""How much of a core may be planned for: beyond that queues grow."""

MEMORY_SHARE: Final = 0.67
"""How much of a machine's memory data may take: a fork's copies and replicas' buffers need the rest."""

PARTITIONS_PER_MASTER: Final = 8
PARTITIONS_LEAST: Final = 16
DAY_SECONDS: Final = 86_400
_GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of an installation.

    positions              SKU and location pairs that are stocked
    questions              availability questions a second at the peak, one SKU each, one call each
    reservations           reservations a second at the peak, one line each, confirmed and fulfilled later
    movements              movements a second at the peak (receipts, sales, counts)
    mean_share             the mean over days as a share of those peaks
    live_hours             how long a reservation stays live
    retention_hours        how long closed reservations and requests are remembered, at least
    log_entries            entries of the change log that are kept, per partition
    batched                whether callers send reservations a hundred a call
    node_bytes             memory of a machine for Redis
    """

    positions: float
    questions: float = 0
    reservations: float = 0
    movements: float = 0
    mean_share: float = 0.25
    live_hours: float = 24
    retention_hours: float = 168
    log_entries: float = 10_000
    batched: bool = False
    node_bytes: float = 64e9


@dataclass(frozen=True, slots=True)
class Step:
    """A figure: what it is, how it was computed in numbers, and what it came to."""

    section: str
    name: str
    computation: str
    value: float
    unit: str


@dataclass(slots=True)
class _Sheet:
    constants: Mapping[str, tuple[float, str]]
    steps: list[Step] = field(default_factory=list)
    used: list[str] = field(default_factory=list)

    def constant(self, name: str) -> float:
        """A measured constant, noted as used."""
        if name not in self.used:
            self.used.append(name)
        return self.constants[name][0]

    def note(self, section: str, name: str, computation: str, value: float, unit: str) -> float:
        """Adds a step; its value."""
        self.steps.append(Step(section, name, computation, value, unit))
        return value


@dataclass(frozen=True, slots=True)
class Sizing:
    """All steps, in order, and the names of the constants that they rest on."""

    steps: tuple[Step, ...]
    constants: tuple[str, ...]

    def value(self, name: str) -> float:
        """What the step of this name came to."""
        return next(step.value for step in self.steps if step.name == name)


def size(demand: Demand, constants: Mapping[str, tuple[float, str]] = MEASURED) -> Sizing:
    """What the demand needs, step by step."""
    sheet = _Sheet(constants)
    mean = demand.reservations * demand.mean_share
    memory = _memory(sheet, demand, mean)
    masters = _masters(sheet, demand, memory)
    _servers(sheet, demand)
    _disk(sheet, demand, mean, memory)
    partitions = _partitions(masters)
    sheet.note(
        "masters",
        "partitions",
        f"the power of 2 from {PARTITIONS_PER_MASTER} x {masters} on, {PARTITIONS_LEAST} to {PARTITIONS_MAX}",
        partitions,
        "",
    )
    log = sheet.constant("redis_bytes_per_logged_change") * demand.log_entries * partitions
    sheet.note(
        "memory",
        "change log",
        f"{partitions} partitions x {demand.log_entries:,.0f} entries x "
        f"{sheet.constant('redis_bytes_per_logged_change'):.0f} B (of one change each)",
        log / _GB,
        "GB",
    )
    order = ("memory", "masters", "servers", "network", "disk")
    steps = sorted(sheet.steps, key=lambda step: order.index(step.section))
    return Sizing(tuple(steps), tuple(sheet.used))


def _memory(sheet: _Sheet, demand: Demand, mean: float) -> float:
    each = sheet.constant("redis_bytes_per_position")
    positions = demand.positions * each
    sheet.note("memory", "positions", f"{demand.positions:,.0f} x {each:.1f} B", positions / _GB, "GB")
    each, count = sheet.constant("redis_bytes_per_live_reservation"), mean * demand.live_hours * 3600
    live = count * each
    sheet.note(
        "memory",
        "live reservations",
        f"{mean:,.0f}/s x {demand.live_hours:g} h = {count:,.0f} x {each:.0f} B",
        live / _GB,
        "GB",
    )
    seconds = 2 * demand.retention_hours * 3600
    each, request = sheet.constant("redis_bytes_per_closed_reservation"), sheet.constant("redis_bytes_per_request")
    closed = mean * seconds * (each + 3 * request)
    sheet.note(
        "memory",
        "closed reservations and their requests",
        f"{mean:,.0f}/s x 2 x {demand.retention_hours:g} h x ({each:.0f} B + 3 requests x {request:.0f} B)",
        closed / _GB,
        "GB",
    )
    each = sheet.constant("redis_bytes_per_movement")
    moved = demand.movements * demand.mean_share * seconds * each
    sheet.note(
        "memory",
        "events of movements",
        f"{demand.movements * demand.mean_share:,.0f}/s x 2 x {demand.retention_hours:g} h x {each:.0f} B",
        moved / _GB,
        "GB",
    )
    total = positions + live + closed + moved
    return sheet.note("memory", "all of it, but the change log", "the sum", total / _GB, "GB") * _GB


def _masters(sheet: _Sheet, demand: Demand, memory: float) -> int:
    reserve, change = (
        sheet.constant("redis_microseconds_per_reservation"),
        sheet.constant("redis_microseconds_per_change"),
    )
    move = sheet.constant("redis_microseconds_per_movement")
    busy = (demand.reservations * (reserve + 2 * change) + demand.movements * move) / 1e6
    sheet.note(
        "masters",
        "cores of Redis at the peak",
        f"{demand.reservations:,.0f}/s x ({reserve:.1f} + 2 x {change:.1f} us) + "
        f"{demand.movements:,.0f}/s x {move:.1f} us",
        busy,
        "cores",
    )
    for_work = ceil(busy / BUSY_SHARE)
    for_memory = ceil(memory / (demand.node_bytes * MEMORY_SHARE))
    masters = max(1, for_work, for_memory)
    if masters == 2:
        masters = 3  # a Cluster has three at least
    sheet.note(
        "masters",
        "masters",
        f"for work {busy:.2f} / {BUSY_SHARE} = {for_work}; for memory {memory / _GB:.1f} GB / "
        f"({demand.node_bytes / _GB:.0f} GB x {MEMORY_SHARE}) = {for_memory}; of a Cluster 3 at least",
        masters,
        "",
    )
    return masters


def _partitions(masters: int) -> int:
    partitions = PARTITIONS_LEAST if masters == 1 else 64
    while partitions < PARTITIONS_PER_MASTER * masters and partitions < PARTITIONS_MAX:
        partitions *= 2
    return partitions


def _servers(sheet: _Sheet, demand: Demand) -> None:
    question = sheet.constant("server_microseconds_per_question")
    way = "server_microseconds_per_reservation" + ("_in_batch" if demand.batched else "")
    reserve, follow = sheet.constant(way), sheet.constant("server_microseconds_per_followed_change")
    changes = 3 * demand.reservations + demand.movements
    asked = (demand.questions * question + 3 * demand.reservations * reserve + demand.movements * reserve) / 1e6
    sheet.note(
        "servers",
        "cores that answer",
        f"{demand.questions:,.0f}/s x {question:.0f} us + ({3 * demand.reservations:,.0f} changes/s + "
        f"{demand.movements:,.0f} movements/s) x {reserve:.0f} us",
        asked,
        "cores",
    )
    following = sheet.note(
        "servers",
        "of each, to follow the log",
        f"{changes:,.0f} changes/s x {follow:.2f} us",
        changes * follow / 1e6,
        "cores",
    )
    left = BUSY_SHARE - following
    if left <= 0.1:
        count = float("inf")
        how = f"{BUSY_SHARE} - {following:.2f} leaves too little: following alone fills a process"
    else:
        count = max(1, ceil(asked / left))
        how = f"{asked:.2f} / ({BUSY_SHARE} - {following:.2f}); one more than that, for when one is away"
    sheet.note("servers", "server processes, a core each", how, count, "")
    each, rest = sheet.constant("server_bytes_per_position"), sheet.constant("server_bytes_at_rest")
    sheet.note(
        "servers",
        "memory of each",
        f"{demand.positions:,.0f} x {each:.0f} B + {rest / 1e6:.0f} MB",
        (demand.positions * each + rest) / _GB,
        "GB",
    )
    row = sheet.constant("feed_bytes_per_change")
    sheet.note(
        "network",
        "change log to each server",
        f"{changes:,.0f} changes/s x {row:.0f} B",
        changes * row * 8 / 1e6,
        "Mbit/s",
    )


def _disk(sheet: _Sheet, demand: Demand, mean: float, memory: float) -> None:
    reserve, change = sheet.constant("aof_bytes_per_reservation"), sheet.constant("aof_bytes_per_change")
    move = sheet.constant("aof_bytes_per_movement")
    peak = demand.reservations * (reserve + 2 * change) + demand.movements * move
    sheet.note(
        "disk",
        "written to the AOF at the peak",
        f"{demand.reservations:,.0f}/s x ({reserve:.0f} + 2 x {change:.0f} B) + "
        f"{demand.movements:,.0f}/s x {move:.0f} B",
        peak / 1e6,
        "MB/s",
    )
    daily = (mean * (reserve + 2 * change) + demand.movements * demand.mean_share * move) * DAY_SECONDS
    sheet.note("disk", "written in a day", "the same at the mean, x 86,400 s", daily / _GB, "GB")
    ratio = sheet.constant("snapshot_bytes_per_memory_byte")
    sheet.note(
        "disk",
        "a snapshot, and a back-up",
        f"{memory / _GB:.1f} GB of memory x {ratio:.2f}",
        memory * ratio / _GB,
        "GB",
    )
    sheet.note(
        "disk",
        "disk for the AOF",
        "2 snapshots, and as much again as one before it is rewritten",
        3 * memory * ratio / _GB,
        "GB",
    )
