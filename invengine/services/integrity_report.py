"""What an integrity check can find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

RESERVED_IS_OPEN_UNITS: Final = "RESERVED_IS_OPEN_UNITS"
POSITION_IS_LOGGED: Final = "POSITION_IS_LOGGED"
REPLICA_IS_STORE: Final = "REPLICA_IS_STORE"
READABLE: Final = "READABLE"
LOG_REPLAYS: Final = "LOG_REPLAYS"

Place = tuple[str, str]
"""SKU and location."""

NOWHERE: Final[Place] = ("", "")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that does not hold."""

    invariant: str
    sku: str
    location: str
    expected: int
    actual: int
    what: str

    def __str__(self) -> str:
        where = f"{self.sku} at {self.location}: " if self.sku else ""
        return f"{where}{self.what}"


@dataclass(slots=True)
class Replayed:
    """How much a replay of the log judged. Reservations are live ones; what moved all the time is not covered."""

    entries: int = 0
    positions_covered: int = 0
    positions_not_covered: int = 0
    reservations_covered: int = 0
    reservations_not_covered: int = 0


@dataclass(slots=True)
class Report:
    """What a check found. `unsettled` are positions that never stood still long enough to be judged. `replayed` is
    there when a replay was asked for.
    """

    positions_checked: int = 0
    reservations_checked: int = 0
    violations_count: int = 0
    unsettled: int = 0
    violations: list[Violation] = field(default_factory=list)
    replayed: Replayed | None = None
