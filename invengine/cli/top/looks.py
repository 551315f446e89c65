"""What one look at the engine shows: the data of the screen, and of `--once`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from invengine.cli.output import Cell
from invengine.cli.top.metrics_page import ServerLook


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Stock that is not there though it is reserved, or of which little is left."""

    sku: str
    location: str
    """Empty: over all locations of the channel."""
    units: int
    """Below 0: so many are reserved and not there. Else what the channel can still take."""
    level: str


@dataclass(frozen=True, slots=True)
class Busy:
    """A SKU that changes."""

    sku: str
    changes_per_minute: int
    available: int | None
    """What the channel can take; None where no channel asks."""
    level: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that cannot be kept."""

    sku: str
    location: str
    reservation_id: str
    quantity: int
    reason: str
    break_time: str


@dataclass(frozen=True, slots=True)
class Look:
    """All of it, at one moment."""

    time: datetime
    server: str
    problem: str = ""
    """Why the engine could not be asked; the rest is then what it said last."""
    metrics_problem: str = ""
    at_risk: list[AtRisk] = field(default_factory=list)
    busiest: list[Busy] = field(default_factory=list)
    is_sampled: bool = False
    """There were more changes than can be read in time: rates are lower than they are."""
    broken: list[Broken] = field(default_factory=list)
    """The newest first."""
    broken_by_reason: dict[str, int] = field(default_factory=dict)
    has_more_broken: bool = False
    metrics: ServerLook | None = None

    def as_json(self) -> dict[str, Any]:
        """The look as programs read it."""
        told = {_camel(name): _told(value) for name, value in asdict(self).items()}
        return {**told, "time": self.time.isoformat(timespec="seconds")}


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {_camel(name) if name.islower() else name: _told(one) for name, one in value.items()}
    return [_told(one) for one in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


RISK_COLUMNS: Final = ("sku", "location", "units", "level")
BUSY_COLUMNS: Final = ("sku", "changes_per_minute", "available", "level")
BROKEN_COLUMNS: Final = ("sku", "location", "quantity", "reason", "reservation_id", "break_time")
METHOD_COLUMNS: Final = ("method", "per_second", "p50_milliseconds", "p99_milliseconds")


def risk_rows(look: Look) -> list[tuple[Cell, ...]]:
    """Rows in the order of RISK_COLUMNS."""
    return [(one.sku, one.location, one.units, one.level) for one in look.at_risk]


def busy_rows(look: Look) -> list[tuple[Cell, ...]]:
    """Rows in the order of BUSY_COLUMNS."""
    return [
        (one.sku, one.changes_per_minute, "" if one.available is None else one.available, one.level)
        for one in look.busiest
    ]


def broken_rows(look: Look) -> list[tuple[Cell, ...]]:
    """Rows in the order of BROKEN_COLUMNS."""
    return [
        (one.sku, one.location, one.quantity, one.reason, one.reservation_id, one.break_time) for one in look.broken
    ]


def method_rows(look: Look) -> list[tuple[Cell, ...]]:
    """Rows in the order of METHOD_COLUMNS."""
    return [
        (one.method, round(one.per_second, 1), _or_empty(one.p50_milliseconds), _or_empty(one.p99_milliseconds))
        for one in (look.metrics.methods if look.metrics else ())
    ]


def server_lines(look: Look) -> list[str]:
    """How the server is, in short lines."""
    server = look.metrics
    if server is None:
        return [look.metrics_problem or "--metrics HOST:PORT shows the server's lags and rates"]
    return [
        f"{server.requests_per_second:.0f} requests/s, queue {server.queue_depth}",
        f"replica lag {server.replica_lag_seconds:.3f} s, feed lag {server.feed_lag_seconds:.1f} s",
        ", ".join(f"{count} {state}" for state, count in server.reservations.items() if state in _OPEN) or "",
    ]


def broken_title(look: Look) -> str:
    """How many promises are broken, and how."""
    total = sum(look.broken_by_reason.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(look.broken_by_reason.items()))
    return f"Broken promises {total}{'+' if look.has_more_broken else ''}{': ' if reasons else ''}{reasons}"


def sorted_rows(rows: Sequence[tuple[Cell, ...]], column: int) -> list[tuple[Cell, ...]]:
    """Numbers by size, the largest first; words by the alphabet; what is empty at the end."""

    def order(row: tuple[Cell, ...]) -> tuple[int, float, str]:
        cell = row[column]
        if cell == "":
            return 2, 0.0, ""
        return (0, -float(cell), "") if isinstance(cell, int | float) else (1, 0.0, cell)

    return sorted(rows, key=order)


_OPEN: Final = ("HELD", "CONFIRMED")


def _or_empty(value: float | None) -> Cell:
    return "" if value is None else value
