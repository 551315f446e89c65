"""What an integrity check can find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

RESERVED_IS_OPEN_UNITS: Final = "RESERVED_IS_OPEN_UNITS"
POSITION_IS_LOGGED: Final = "POSITION_IS_LOGGED"
REPLICA_IS_STORE: Final = "REPLICA_IS_STORE"
READABLE: Final = "READABLE"


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
class Report:
    """What a check found. `unsettled` are positions that never stood still long enough to be judged."""

    positions_checked: int = 0
    reservations_checked: int = 0
    violations_count: int = 0
    unsettled: int = 0
    violations: list[Violation] = field(default_factory=list)
