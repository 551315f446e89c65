"""What the store hands out beside the words of the domain, and the texts that it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import Generic, TypeVar

from invengine.domain.capacity import is_slot_line
from invengine.domain.incoming import BrokenPromise, BrokenReason, Receipt
from invengine.domain.kits import KitLine
from invengine.domain.orders import (
    Allocation,
    Destination,
    Fulfilment,
    Future,
    LineStanding,
    Reservation,
    ReservationLine,
    ReservationState,
)
from invengine.domain.promises import LinePromise, PromisePart
from invengine.domain.stock import Feed, FeedMark, Position, Unsellable

OutcomeT = TypeVar("OutcomeT")


class Atomicity(Enum):
    """How much one call can see and change in one step."""

    WHOLE = auto()
    """All of the store: one Redis, with replicas or not."""

    PARTITION = auto()
    """One partition: Redis Cluster, which may keep each on another machine."""


@dataclass(frozen=True, slots=True)
class Replication:
    """How many replicas must have a write before it is answered (0: none), and how long one attempt waits for them."""

    replicas: int = 0
    seconds: float = 1.0


NO_REPLICATION = Replication()


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How the store behaves; all servers of one store use the same.

    retention_seconds     closed reservations, requests and events are remembered for one to two times this long;
                          counts when the store is made, later the stored number does
    count_window_seconds  a count of an existing position may be so old
    log_length_max        entries kept in the change log of each partition, at least
    retry_seconds         how long a call is repeated while Redis cannot be reached or is busy
    replication           how many replicas must have a write before it is answered
    """

    retention_seconds: int = 86_400
    count_window_seconds: int = 172_800
    log_length_max: int = 50_000
    retry_seconds: float = 5.0
    replication: Replication = NO_REPLICATION


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the change log: what one call changed in one partition. `rows` and `by` as in lua/README.md; `by` is
    empty where the entry was not read from the log.
    """

    partition: int
    revision: int
    recorded_at_ms: int
    rows: bytes
    by: str = ""


@dataclass(frozen=True, slots=True)
class Written(Generic[OutcomeT]):
    """The answer to a batched write.

    `outcomes` has one per item, in order. `revisions` has the newest revision of every partition of a SKU or
    reservation that the answers rest on, also for repeats and refusals. `entries` is what the write logged, per
    partition in order.
    """

    outcomes: list[OutcomeT]
    revisions: dict[int, int] = field(default_factory=dict)
    entries: list[LogEntry] = field(default_factory=list)
    now_ms: int = 0


class LogTrimmed(Exception):
    """Entries of a partition's log that were asked for are gone: load a snapshot instead."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"the log of partition {partition} was trimmed")
        self.partition = partition


class Unreadable(Exception):
    """A stored value is not what the formats say: somebody else wrote it, or the data are damaged."""


HEAD_FIELDS = 10
LINE_FIELDS = 10
ALLOCATION_FIELDS = 6
_NOWHERE = Destination()
_STATES = {state.value: state for state in ReservationState}
_FULFILMENTS = {way.value: way for way in Fulfilment}


def read_position(text: bytes) -> Position:
    """The position that `on_hand,reserved,revision,counted_at_ms` and its ring-fences say."""
    try:
        numbers, *fences = text.split(b"\t")
        on_hand, reserved, revision, counted_at_ms = numbers.split(b",")
        kept = tuple((channel.decode(), int(units)) for channel, units in zip(fences[::2], fences[1::2], strict=True))
        return Position(int(on_hand), int(reserved), int(revision), int(counted_at_ms), kept)
    except ValueError as error:
        raise Unreadable(f"not a position: {text!r}") from error


def read_feed(feed: str, text: str) -> Feed:
    """How far a feed is, as its field says. Unreadable."""
    try:
        position, source, event_id, acknowledged_at_ms = text.split("\t")
        return Feed(FeedMark(feed, int(position), source, event_id), int(acknowledged_at_ms))
    except ValueError as error:
        raise Unreadable(f"not a feed: {text!r}") from error


def read_incoming(sku: str, name: str, text: str) -> Receipt:
    """The receipt or, without a receipt_id, the backorders that a field of the incoming hash says. Unreadable."""
    try:
        location, receipt_id = name.split("\t")
        *numbers, from_location = text.split(",", 4) if text.count(",") > 3 else (*text.split(","), "")
        expected_day, quantity, pegged, revision = map(int, numbers)
    except ValueError as error:
        raise Unreadable(f"not a receipt of {sku} at {name!r}: {text!r}") from error
    return Receipt(sku, location, receipt_id, expected_day, quantity, pegged, revision, from_location)


def read_unsellable(sku: str, name: str, text: str) -> Unsellable:
    """The units in a state that a field of the unsellable hash says. Unreadable."""
    try:
        location, state = name.split("\t")
        units, revision, counted_at_ms = map(int, text.split(","))
    except ValueError as error:
        raise Unreadable(f"not units of {sku} in a state at {name!r}: {text!r}") from error
    return Unsellable(sku, location, state, units, revision, counted_at_ms)


@dataclass(frozen=True, slots=True)
class Source:
    """What an allocation is, as its last field says; the words are those of `domain.orders.Allocation`."""

    receipt_id: str = ""
    due_day: int = 0
    backordered: bool = False
    fenced: int = 0
    fence_channel: str = ""


_ON_HAND = Source()
_BACKORDERED = Source(backordered=True)


def read_source(text: str) -> Source:
    """The source that a record's allocation names. ValueError."""
    if not text:
        return _ON_HAND
    if text == "?":
        return _BACKORDERED
    number, _, name = text[1:].partition(" ")
    if not name or text[0] not in "#=":
        raise ValueError(f"not a source: {text!r}")
    if text[0] == "#":
        return Source(fenced=int(number), fence_channel=name)
    return Source(receipt_id=name, due_day=int(number))


_OF_KIT = "*"
_APART = "\x1e"  # a control character, so no id holds it


_HAS_SLOTS = "+"
_PROMISED = "!"
_NOTHING: tuple[Future | None, KitLine | None, LinePromise | None, bool, int] = (None, None, None, False, 0)


def future_text(future: Future | None, kit: KitLine | None = None, standing: LineStanding | None = None) -> str:
    """As a record's line says what it may take that is not on hand, or (never both) what kit it is part of; behind that
    its date and slots.
    """
    text = "" if future is None else str(future.needed_by)
    if kit is not None:
        text = f"{_OF_KIT}{kit.units} {kit.line_id}{_APART}{kit.sku}{_APART}"
    return text if standing is None else text + standing_text(standing)


def standing_text(standing: LineStanding) -> str:
    """As a record's line says whether it has slots, and when it was promised."""
    text, promise = _HAS_SLOTS if standing.has_slots else "", standing.promise
    if promise is None:
        return text
    numbers = promise.delivery_day, promise.ready_minute, promise.confidence_parts, promise.needed_by
    parts = [str(field) for part in promise.parts for field in part]
    return f"{text}{_PROMISED}{_APART.join([promise.service, *map(str, numbers), *parts])}{_APART}"


@lru_cache(maxsize=4096)  # lines that were promised the same, say the same
def read_future(text: str) -> tuple[Future | None, KitLine | None, LinePromise | None, bool, int]:
    """What a record's line says so: what it may take, its kit, its promise, whether it has slots, how many units came
    back. ValueError.
    """
    if not text:
        return _NOTHING
    future = kit = promise = None
    if text.startswith(_OF_KIT):
        of_kit, sku, text = text.split(_APART, 2)
        units, _, line_id = of_kit[1:].partition(" ")
        kit = KitLine(line_id, sku, int(units))
    digits = len(text) - len(text.lstrip("0123456789"))
    if digits:
        future, text = Future(int(text[:digits])), text[digits:]
    has_slots = text.startswith(_HAS_SLOTS)
    text = text.removeprefix(_HAS_SLOTS)
    if text.startswith(_PROMISED):
        told, _, text = text[1:].rpartition(_APART)
        promise = _read_promise(told)
    if text and not text.startswith("<"):
        raise ValueError(f"not what a line may take: {text!r}")
    return future, kit, promise, has_slots, int(text[1:] or 0)


def _read_promise(text: str) -> LinePromise:
    service, delivery_day, ready_minute, confidence, needed_by, *parts = text.split(_APART)
    return LinePromise(
        service,
        int(delivery_day),
        int(ready_minute),
        int(confidence),
        tuple(
            PromisePart(location, int(ship_day), int(day))
            for location, ship_day, day in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        ),
        int(needed_by),
    )


def read_reservation(reservation_id: str, text: str) -> Reservation:
    """The reservation that a record says."""
    try:
        fields = text.split("\t")
        state, channel, created_at_ms, expires_at, revision, customer_ref, order_ref, cart_ref, _, count = fields[
            :HEAD_FIELDS
        ]
        at = HEAD_FIELDS
        lines: list[ReservationLine] = []
        slot_lines: list[ReservationLine] = []
        for _ in range(int(count)):
            line_id, _, sku, quantity, way, country, postal_code, place, text_of_future, allocation_count = fields[
                at : at + LINE_FIELDS
            ]
            at += LINE_FIELDS
            allocations = []
            for _ in range(int(allocation_count)):
                allocations.append(_allocation(*fields[at : at + ALLOCATION_FIELDS]))
                at += ALLOCATION_FIELDS
            known = country or postal_code or place
            future, kit, promise, has_slots, returned = read_future(text_of_future)
            fulfilment = _FULFILMENTS[way]
            is_transfer = fulfilment is Fulfilment.TRANSFER
            of_slots = is_slot_line(line_id)
            (slot_lines if of_slots else lines).append(
                ReservationLine(
                    line_id,
                    sku,
                    int(quantity),
                    fulfilment,
                    Destination(country, postal_code, place) if known else _NOWHERE,
                    tuple(allocations),
                    None if is_transfer else future,
                    returned,
                    kit,
                    future.needed_by if is_transfer and future else 0,
                    promise,
                    has_slots,
                )
            )
        return Reservation(
            reservation_id,
            _STATES[state],
            channel,
            int(created_at_ms),
            int(expires_at),
            int(revision),
            tuple(lines),
            customer_ref,
            order_ref,
            cart_ref,
            tuple(slot_lines),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"not a reservation at {reservation_id}: {text!r}") from error


def _allocation(location: str, _: str, units: str, fulfilled: str, released: str, source: str) -> Allocation:
    if not source:
        return Allocation(location, int(units), int(fulfilled), int(released))
    it = read_source(source)
    return Allocation(
        location,
        int(units),
        int(fulfilled),
        int(released),
        it.receipt_id,
        it.due_day,
        it.backordered,
        it.fenced,
        it.fence_channel,
    )


@dataclass(frozen=True, slots=True)
class OpenAllocation:
    """Units of a live reservation that are still set aside, as the replica and the integrity check need them."""

    partition: int
    leg: int
    sku: str
    location: str
    units: int
    line_id: str = ""
    source: Source = _ON_HAND

    @property
    def is_on_hand(self) -> bool:
        """Whether its units are among the reserved ones of the position; else they are pegged or backordered."""
        return not self.source.receipt_id and not self.source.backordered


def open_allocations(reservation_id: str, text: str) -> tuple[ReservationState, int, list[OpenAllocation]]:
    """State, second of expiry and open units of a record, those on hand and those that are not."""
    try:
        fields = text.split("\t")
        at, found = HEAD_FIELDS, []
        for _ in range(int(fields[HEAD_FIELDS - 1])):
            line_id, partition, sku, count = fields[at], int(fields[at + 1]), fields[at + 2], int(fields[at + 9])
            at += LINE_FIELDS
            for _ in range(count):
                location, leg, units, fulfilled, released, source = fields[at : at + ALLOCATION_FIELDS]
                at += ALLOCATION_FIELDS
                left = int(units) - int(fulfilled) - int(released)
                if left:
                    found.append(OpenAllocation(partition, int(leg), sku, location, left, line_id, read_source(source)))
        return ReservationState(fields[0]), int(fields[3]), found
    except (ValueError, IndexError) as error:
        raise Unreadable(f"not a reservation at {reservation_id}: {text!r}") from error


def read_broken(text: str, quantity: int, expected_day: int) -> BrokenPromise:
    """The broken promise that a text says, of so many open units and with the receipt's day as it is now."""
    try:
        _, reservation_id, line_id, sku, location, receipt_id, reason, due_day, broken_at_ms = text.split("\t")
        return BrokenPromise(
            reservation_id,
            line_id,
            sku,
            location,
            quantity,
            receipt_id,
            BrokenReason(reason),
            int(due_day),
            expected_day,
            int(broken_at_ms),
        )
    except ValueError as error:
        raise Unreadable(f"not a broken promise: {text!r}") from error
