"""Positions, and the movements that change them. Quantities are whole units, instants milliseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from invengine.errors import InventoryError

UNITS_MAX: Final = 2**53 - 1
"""The largest quantity: numbers inside Redis Functions are exact up to here."""


class MovementKind(StrEnum):
    """Kinds of movement; what each does to `on_hand` stands in the proto."""

    RECEIPT = "RECEIPT"
    SALE = "SALE"
    ADJUSTMENT = "ADJUSTMENT"
    COUNT = "COUNT"
    RETURN = "RETURN"
    RING_FENCE = "RING_FENCE"


class MovementResult(StrEnum):
    """What became of a movement."""

    APPLIED = "APPLIED"
    REPEATED = "REPEATED"
    STALE = "STALE"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class FeedMark:
    """How far a feed is, by its own numbers (0 to 2^63-1), and the last movement up to there."""

    feed: str
    position: int
    source: str = ""
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Feed:
    """The mark of a feed as it is kept, and when it was acknowledged; position 0: never."""

    mark: FeedMark
    acknowledged_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """One event that changes stock. `quantity` is signed for an adjustment and a ring-fence only.

    `mark` is kept in the step that decides it: how far its feed is then.
    """

    source: str
    event_id: str
    occurred_at_ms: int
    kind: MovementKind
    sku: str
    location: str
    quantity: int
    reason: str = ""
    reference: str = ""
    expected_revision: int | None = None
    channel: str = ""
    mark: FeedMark | None = None


@dataclass(frozen=True, slots=True)
class MovementOutcome:
    """What became of a movement, and its position after it (as it is, when nothing changed; zeros if there is none)."""

    result: MovementResult
    on_hand: int
    reserved: int
    revision: int
    refusal: InventoryError | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """One (SKU, location) as Redis holds it. `reserved` still counts expired holds that no sweep has tidied yet.

    `fences` are the ring-fences, (channel, units) by channel, without empty ones.
    """

    on_hand: int
    reserved: int
    revision: int
    counted_at_ms: int = 0
    fences: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One change of one position, from the log."""

    location: str
    kind: str
    actor: str
    cause: str
    reason: str
    reference: str
    occurred_at_ms: int
    recorded_at_ms: int
    on_hand_before: int
    on_hand_after: int
    reserved_before: int
    reserved_after: int
    revision: int


def safety_units(on_hand: int, units: int, parts: int) -> int:
    """Units kept back at a position: the larger of `units` and `parts` ten-thousandths of `on_hand`, rounded up.

    Split at 10,000 so that it is exact up to 2^53-1 in doubles and in int64, wherever this is written again.
    """
    whole, rest = divmod(on_hand, 10_000)
    return max(units, whole * parts + -(-rest * parts // 10_000))
