"""What an integrity check can find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

RESERVED_IS_OPEN_UNITS: Final = "RESERVED_IS_OPEN_UNITS"
POSITION_IS_LOGGED: Final = "POSITION_IS_LOGGED"
REPLICA_IS_STORE: Final = "REPLICA_IS_STORE"
READABLE: Final = "READABLE"
LOG_REPLAYS: Final = "LOG_REPLAYS"
PROMISED_IS_OPEN_UNITS: Final = "PROMISED_IS_OPEN_UNITS"
RING_FENCE_IS_POSSIBLE: Final = "RING_FENCE_IS_POSSIBLE"
BROKEN_PROMISE_IS_OPEN: Final = "BROKEN_PROMISE_IS_OPEN"

Place = tuple[str, str]
"""SKU and location."""

NOWHERE: Final[Place] = ("", "")


class Violate(Protocol):
    """Takes one violation: the invariant, where, a sentence, what should be and what is."""

    def __call__(self, invariant: str, place: Place, what: str, expected: int = 0, actual: int = 0, /) -> None:
        """Takes it."""


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
    """How much a replay of the log judged; what moved all the time is not covered.

    Reservations are live ones. Promises are receipts, backorders, holds, broken promises and units in states.
    """

    entries: int = 0
    positions_covered: int = 0
    positions_not_covered: int = 0
    reservations_covered: int = 0
    reservations_not_covered: int = 0
    promises_covered: int = 0
    promises_not_covered: int = 0


@dataclass(slots=True)
class Report:
    """What a check found. `unsettled` are positions, receipts, states and broken promises that never stood still long
    enough to be judged. `replayed` is there when a replay was asked for.
    """

    positions_checked: int = 0
    reservations_checked: int = 0
    violations_count: int = 0
    unsettled: int = 0
    violations: list[Violation] = field(default_factory=list)
    replayed: Replayed | None = None
