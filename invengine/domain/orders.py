"""Reservations and their lines. Expiry is on whole seconds since 1970 UTC; other instants are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeVar, dataclass_transform

from invengine.domain.slot_lines import slots_in

if TYPE_CHECKING:
    from invengine.domain.capacity import Slots
    from invengine.domain.kits import KitLine
    from invengine.domain.promises import LinePromise, LineRepromise
    from invengine.domain.stock import ConfidenceRule

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def _record(kind: type[T]) -> type[T]:
    """A frozen dataclass to the type checker, and in manners; at run time the fields are set without that lock.

    A batch of a thousand reservations makes six thousand of these, and the lock costs 1.5 us of the 2 that one takes.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)


class ReservationState(StrEnum):
    """HELD -> CONFIRMED -> FULFILLED; or RELEASED; or EXPIRED."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    FULFILLED = "FULFILLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class Fulfilment(StrEnum):
    """How the customer gets the units."""

    ANY = "ANY"
    SHIP = "SHIP"
    PICKUP = "PICKUP"
    SHIP_TO_STORE = "SHIP_TO_STORE"
    TRANSFER = "TRANSFER"
    """To another location of ours; of transfers only."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a line goes; every part may be empty."""

    country: str = ""
    postal_code: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A location that may serve a line, and what must stay there: `units`, or `parts` ten-thousandths of on_hand; and
    beside that what its rules for confidence keep from being offered.

    `overdue_stops`: receipts whose day is over do not count there any more.
    """

    location: str
    safety_units: int = 0
    safety_parts: int = 0
    confidence: tuple[ConfidenceRule, ...] = ()
    overdue_stops: bool = False


@_record
class Future:
    """What a line may take that is not on hand: open receipts, the earliest day first, then backorders.

    `needed_by`        the last day whose receipts are pegged to, as days since 1970; 0: any
    `backorder_units`  units that may be backordered at each position, by all reservations together; the caller gives 0
                       where the line has a `needed_by`, and for the line of a record it is 0
    """

    needed_by: int = 0
    backorder_units: int = 0


@_record
class LineRequest:
    """One line to take: from `candidates` in their order, from one of them unless `allow_split`.

    `named_location` is the location that the caller named, empty when the choice was left open: refusals repeat it.
    `expected_day` is that of a transfer, on which the units are expected at the destination.
    """

    line_id: str
    sku: str
    quantity: int
    candidates: tuple[Candidate, ...]
    fulfilment: Fulfilment = Fulfilment.ANY
    destination: Destination = Destination()
    allow_split: bool = False
    named_location: str = ""
    future: Future | None = None
    expected_day: int = 0


class ComponentRequest(NamedTuple):
    """A component of a kit that is to be reserved: `units` of it in each kit, and per location what must stay there."""

    sku: str
    units: int
    floors: dict[str, Candidate]


@_record
class KitRequest(LineRequest):
    """A line that asks for a kit: `quantity` kits, each whole at one of the candidates.

    It never reaches the store: it becomes a PlacedRequest for each of its components.
    """

    components: tuple[ComponentRequest, ...] = ()


@_record
class PlacedRequest(LineRequest):
    """A line for which it is decided already what it gets.

    `quantity`  units to take, all or nothing; may be 0
    `asked`     units that the record is to say were asked for
    `units_at`  units from each of the candidates, on hand and, with a `future`, of what comes there; empty: as the
                store chooses
    `kit`       what the line is part of
    `standing`  what the record is to say of its date and slots
    `told`      what the record is to say that the line may take of the future, where that is not what it takes now
    """

    asked: int = 0
    units_at: tuple[int, ...] = ()
    kit: KitLine | None = None
    standing: LineStanding | None = None
    told: Future | None = None


@_record
class ReserveRequest:
    """Everything that one reservation needs, decided but for the stock.

    `borrows`: the channel may take beyond its own ring-fence what is fenced for nobody. `is_transfer`: it is one,
    CONFIRMED at once and without expiry, and takes as nobody's channel; `channel` is who says so, `cart_ref` why.
    `alternatives`: what is taken instead of `lines` where these find too little, the first of them that fits: the lines
    of a next-best plan. They are of the same SKUs, slots aside.
    `is_confirmed`: CONFIRMED at once, with 0 seconds to live.
    """

    request_id: str
    fingerprint: str
    reservation_id: str
    channel: str
    lines: tuple[LineRequest, ...]
    time_to_live_seconds: int
    best_effort: bool = False
    customer_ref: str = ""
    order_ref: str = ""
    cart_ref: str = ""
    borrows: bool = True
    is_transfer: bool = False
    alternatives: tuple[tuple[LineRequest, ...], ...] = ()
    is_confirmed: bool = False

    @property
    def all_lines(self) -> tuple[LineRequest, ...]:
        """Those of the alternatives too."""
        if not self.alternatives:
            return self.lines
        return tuple([line for lines in (self.lines, *self.alternatives) for line in lines])


@dataclass(frozen=True, slots=True)
class LineStanding:
    """What a line says besides its units: when they were promised, and whether other lines hold slots for them."""

    promise: LinePromise | None = None
    has_slots: bool = False


@dataclass(frozen=True, slots=True)
class LineUnits:
    """Units of one line to release or fulfil: `quantity` 0 means all that are open, `location` empty means any."""

    line_id: str
    location: str = ""
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class LinePlacement:
    """What a line of a reservation is to have (amend), or where its open units are to go (rebind).

    `quantity` is for amend: the units of the line in all, those that left counted, those given back not; 0 removes it.
    `candidates` are where units may be taken, in their order (amend tries the line's own first); the other fields are
    as in LineRequest. `units_at`: it is decided already, for the revision that is expected, how many units on hand come
    from each of the candidates, or below 0 (amend) go back there. `standing`: what the record is to say from then on;
    None leaves what it says.
    """

    line_id: str
    quantity: int = 0
    candidates: tuple[Candidate, ...] = ()
    allow_split: bool = False
    named_location: str = ""
    future: Future | None = None
    units_at: tuple[int, ...] = ()
    standing: LineStanding | None = None


@dataclass(frozen=True, slots=True)
class ReservationChange:
    """One verb for one reservation; each reads the fields that it knows.

    `lines`                 release, fulfil: empty for everything open
    `time_to_live_seconds`  extend; hand over: 0 to keep the expiry
    `order_ref`             confirm: empty to keep it
    `left_at_ms`            fulfil: when the units left, 0 for now; `lines` must be of one SKU then. What had left when
                            the position was last counted does not lower on_hand
    `reason`                fulfil: why, for the ledger
    `placements`            amend, rebind: each line once
    `added`                 amend: lines to add; an empty line_id becomes the line's place in the reservation, from 1
    `to_channel`, `to_customer_ref`  hand over: empty to keep them
    `borrows`               amend, rebind: as in ReserveRequest, of `channel`; hand over: of `to_channel`
    `expected_day`          ship a transfer: when its units are expected, 0 to keep the day
    `repromises`            repromise: each line once
    `with_slots`            release, fulfil: `lines` name the slots too that go with the units; else lines that have
                            some are RevisionMismatch, whatever the revision is: look at it, and name them
    """

    request_id: str
    fingerprint: str
    reservation_id: str
    channel: str
    expected_revision: int | None = None
    lines: tuple[LineUnits, ...] = ()
    time_to_live_seconds: int = 0
    order_ref: str = ""
    placements: tuple[LinePlacement, ...] = ()
    added: tuple[LineRequest, ...] = ()
    to_channel: str = ""
    to_customer_ref: str = ""
    borrows: bool = True
    expected_day: int = 0
    left_at_ms: int = 0
    reason: str = ""
    repromises: tuple[LineRepromise, ...] = ()
    with_slots: bool = False


@_record
class Allocation:
    """Units of a line at one location; open are quantity - fulfilled - released.

    On hand, unless pegged to an incoming receipt (`receipt_id`, promised by `due_day`) or `backordered`. `fenced` of
    the open units came out of the ring-fence of `fence_channel`.
    """

    location: str
    quantity: int
    fulfilled: int = 0
    released: int = 0
    receipt_id: str = ""
    due_day: int = 0
    backordered: bool = False
    fenced: int = 0
    fence_channel: str = ""

    @property
    def open(self) -> int:
        """Units that are still set aside."""
        return self.quantity - self.fulfilled - self.released

    @property
    def is_on_hand(self) -> bool:
        """Whether its open units are among the reserved ones of the position."""
        return not self.receipt_id and not self.backordered


@_record
class ReservationLine:
    """One line of a reservation. `returned` of its fulfilled units came back.

    `kit`: it has a component of a kit, and all its quantities are multiples of that. `expected_day` is that of a
    transfer. `promise`: when it was promised. `has_slots`: lines among the reservation's `slot_lines` hold the capacity
    that it needs.
    """

    line_id: str
    sku: str
    quantity: int
    fulfilment: Fulfilment
    destination: Destination
    allocations: tuple[Allocation, ...]
    future: Future | None = None
    returned: int = 0
    kit: KitLine | None = None
    expected_day: int = 0
    promise: LinePromise | None = None
    has_slots: bool = False

    @property
    def standing(self) -> int:
        """Units that were taken and not given back: open ones and those that left."""
        return sum(allocation.quantity - allocation.released for allocation in self.allocations)

    @property
    def short_quantity(self) -> int:
        """Units asked for and not taken."""
        return self.quantity - sum(allocation.quantity for allocation in self.allocations)


@_record
class Reservation:
    """The record that sets units aside, as the store keeps it.

    `slot_lines` hold daily capacity for the lines (domain.capacity): their allocations are at days. They are no lines
    to anybody but those who keep them in step; others see `slots`.
    """

    reservation_id: str
    state: ReservationState
    channel: str
    created_at_ms: int
    expires_at: int
    revision: int
    lines: tuple[ReservationLine, ...]
    customer_ref: str = ""
    order_ref: str = ""
    cart_ref: str = ""
    slot_lines: tuple[ReservationLine, ...] = ()

    @property
    def slots(self) -> tuple[Slots, ...]:
        """The capacity that it has, held or used up, by location, way and day."""
        return slots_in(self.slot_lines) if self.slot_lines else ()

    def state_at(self, now_ms: int) -> ReservationState:
        """The state that counts at `now_ms`: a hold is EXPIRED from its expiry on, swept or not."""
        if self.state is ReservationState.HELD and now_ms >= self.expires_at * 1000:
            return ReservationState.EXPIRED
        return self.state
