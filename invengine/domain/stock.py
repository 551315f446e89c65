"""Positions, and the movements that change them. Quantities are whole units, instants milliseconds since 1970 UTC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

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
    STATE_CHANGE = "STATE_CHANGE"


ON_HAND: Final = "on_hand"
"""What callers call units that can be sold; where a state is stored or named in a record that is the empty text."""

GONE: Final = "gone"
"""Where a state change may take units to: they are not at the location any more."""

QUARANTINE: Final = "quarantine"
DAMAGED: Final = "damaged"
BUILT_IN_STATES: Final = (DAMAGED, QUARANTINE)
"""States of units that are there and not sellable; the network file may name more."""


RESERVATION_STEPS: Final = (
    "RESERVE",
    "RELEASE",
    "FULFIL",
    "AMEND",
    "REBIND",
    "HAND_OVER",
    "EXPIRE",
)
"""What reservations do to a position, as the ledger calls it."""

LEDGER_KINDS: Final = frozenset({*MovementKind, *RESERVATION_STEPS, "RECEIVE", "COVER"})
"""All words that a ledger entry may have as its kind."""


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

    `state` is that of the units, empty for those on hand; `to_state` is where a state change takes them: another state,
    empty for on hand, or GONE.
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
    state: str = ""
    to_state: str = ""
    mark: FeedMark | None = None


@dataclass(frozen=True, slots=True)
class MovementOutcome:
    """What became of a movement, and its position after it (as it is, when nothing changed; zeros if there is none).

    `states` has the units in each state that the movement named, (state, units).
    """

    result: MovementResult
    on_hand: int
    reserved: int
    revision: int
    refusal: InventoryError | None = None
    states: tuple[tuple[str, int], ...] = ()


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
class Unsellable:
    """Units of a SKU at a location in one state: there, and not sellable. Once used it stays, also without units."""

    sku: str
    location: str
    state: str
    units: int
    revision: int
    counted_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class StateChange:
    """What one change of a position did to the units in a state."""

    state: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One change of one position, from the log. `place`: which of the SKU's changes of that revision it is, from 1.

    `actor`: the name of the token that made it, and `source` then the source of the movement or the channel; where
    nobody had to say who calls, `actor` is these.
    """

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
    sku: str = ""
    place: int = 0
    states: tuple[StateChange, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which changes of a SKU are wanted; what is empty or 0 narrows nothing. Recorded from `since` on, before `until`.

    The ledger is in the order of recording, so a listing ends at the first change that is older than `since`.
    """

    location: str = ""
    since_ms: int = 0
    until_ms: int = 0
    kinds: frozenset[str] = frozenset()
    actor: str = ""

    def matches(self, entry: LedgerEntry) -> bool:
        """Whether a change that is not older than `since` is wanted."""
        return (
            (not self.location or entry.location == self.location)
            and (not self.until_ms or entry.recorded_at_ms < self.until_ms)
            and (not self.kinds or entry.kind in self.kinds)
            and (not self.actor or self.actor in (entry.actor, entry.source))
        )


class ConfidenceRule(NamedTuple):
    """Units of a position that are not offered: the larger of `units` and `parts` ten-thousandths of on_hand.

    It holds where the last count is `counted_before_ms` ago or longer, or there was none (0: whenever it was), and
    fewer than `fewer_than` units are on hand (0: however many).
    """

    counted_before_ms: int
    fewer_than: int
    units: int
    parts: int


def safety_units(on_hand: int, units: int, parts: int) -> int:
    """Units kept back at a position: the larger of `units` and `parts` ten-thousandths of `on_hand`, rounded up.

    Split at 10,000 so that it is exact up to 2^53-1 in doubles and in int64, wherever this is written again.
    """
    whole, rest = divmod(on_hand, 10_000)
    return max(units, whole * parts + -(-rest * parts // 10_000))


def uncertain_units(on_hand: int, counted_at_ms: int, now_ms: int, rules: Iterable[ConfidenceRule]) -> int:
    """Units of a position that the rules for confidence keep from being offered: the most that one of them says.

    `counted_at_ms` is 0 where it was never counted. Never more than there are.
    """
    most = 0
    for rule in rules:
        is_old = not rule.counted_before_ms or counted_at_ms + rule.counted_before_ms <= now_ms
        if is_old and (not rule.fewer_than or on_hand < rule.fewer_than):
            most = max(most, safety_units(on_hand, rule.units, rule.parts))
    return min(most, on_hand)
