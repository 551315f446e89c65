"""Recorded calls as questions and answers in plain values, one pair per item of a batch."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from invengine.domain.partitions import decode_token
from invengine.v1 import availability_service_pb2, common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2 as stock
from tests.linearizability.recording import Call

STATES = ("", "HELD", "CONFIRMED", "FULFILLED", "RELEASED", "EXPIRED")
RESULTS = ("", "APPLIED", "REPEATED", "STALE", "REFUSED")
Key = tuple[str, ...]
REASONS = {number: name.removeprefix("ERROR_REASON_") for name, number in common_pb2.ErrorReason.items()}


class Violation(Exception):
    """The history is not what one client after another would have seen."""

    def __init__(self, what: str, item: Item | None = None) -> None:
        self.item = item
        super().__init__(f"{item.verb} {item.request} -> {item.answer}: {what}" if item else what)


class Allocation(NamedTuple):
    """Units of a line at one location."""

    location: str
    quantity: int
    fulfilled: int
    released: int

    @property
    def open(self) -> int:
        """Units still set aside."""
        return self.quantity - self.fulfilled - self.released


class Line(NamedTuple):
    """One line of a reservation."""

    line_id: str
    sku: str
    quantity: int
    allocations: tuple[Allocation, ...]


class Record(NamedTuple):
    """A reservation as an answer shows it. `expires_at` in seconds, 0 for never."""

    reservation_id: str
    state: str
    channel: str
    created_at_ms: int
    expires_at: int
    revision: int
    customer_ref: str
    order_ref: str
    lines: tuple[Line, ...]


class Moved(NamedTuple):
    """The outcome of a movement: the position after it."""

    result: str
    on_hand: int
    reserved: int
    revision: int
    refusal: Refusal | None


class Refusal(NamedTuple):
    """A refusal: its word and its numbers."""

    reason: str
    facts: dict[str, str]
    short_lines: tuple[tuple[str, str, str, int, int], ...] = ()  # line_id, sku, location, wanted, available


@dataclass(slots=True, eq=False)
class Item:
    """One question and its answer, and where the check has put it."""

    call: Call
    verb: str
    request: Any
    content: bytes  # of the question, which a repeat has too
    answer: Any
    replayed: bool = False
    token: int | None = None  # the revision that the answer's token names
    before: Item | None = None  # of its batch
    after: Item | None = field(default=None, init=False)
    placed: bool = False
    keys: list[Key] = field(default_factory=list)  # what the answer depends on
    earliest: int = 0  # end of this revision: where it may stand at first
    latest: int = 0

    def __post_init__(self) -> None:
        if self.before is not None:
            self.before.after = self

    @property
    def is_next(self) -> bool:
        """Whether all before it in its batch have their places."""
        return self.before is None or self.before.placed


@lru_cache(maxsize=1024)
def revision_of(token: str) -> int | None:
    """The revision that a token of a store with one partition names; None when it names none."""
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    pairs = decode_token(token, raw[1:9], 1)
    return pairs[0][1] if pairs else None


def items_of(call: Call) -> Iterator[Item]:
    """The questions of a call with their answers."""
    method = call.method.rpartition("/")[2]
    if method == "BatchCreateReservations":
        yield from _created(call)
    elif method == "PostMovements":
        yield from _moved(call)
    else:
        if method == "ListReservations":
            for message in pb.ListReservationsResponse.FromString(call.response or b"").reservations:
                request = pb.GetReservationRequest(reservation_id=message.reservation_id)
                yield Item(call, method, request, b"", record(message))
            return
        kind, response_kind = KINDS[method]
        request = kind.FromString(call.request)
        if call.refusal is not None:
            refused = refusal(common_pb2.Refusal.FromString(call.refusal))
            if refused.reason != "REPLICA_BEHIND":  # on a busy machine: a read that was not answered tells nothing
                yield Item(call, method, request, call.request, refused)
            return
        response = response_kind.FromString(call.response)
        token = revision_of(response.consistency_token)
        answer, replayed = READERS.get(method, _changed)(response)
        yield Item(call, method, request, call.request, answer, replayed, token)


def _created(call: Call) -> Iterator[Item]:
    requests = pb.BatchCreateReservationsRequest.FromString(call.request).requests
    if call.refusal is not None:
        raise Violation(f"a batch was refused whole: {refusal(common_pb2.Refusal.FromString(call.refusal))}")
    response = pb.BatchCreateReservationsResponse.FromString(call.response or b"")
    token, before = revision_of(response.consistency_token), None
    if len(requests) != len(response.outcomes):
        raise Violation(f"{len(response.outcomes)} outcomes of {len(requests)} requests")
    for request, outcome in zip(requests, response.outcomes, strict=True):
        made = outcome.HasField("reservation")
        answer = record(outcome.reservation) if made else refusal(outcome.refusal)
        content = request.SerializeToString()
        before = Item(call, "CreateReservation", request, content, answer, outcome.replayed, token, before)
        yield before


def _moved(call: Call) -> Iterator[Item]:
    movements = stock.PostMovementsRequest.FromString(call.request).movements
    if call.refusal is not None:
        raise Violation(f"movements were refused whole: {refusal(common_pb2.Refusal.FromString(call.refusal))}")
    response = stock.PostMovementsResponse.FromString(call.response or b"")
    token, before = revision_of(response.consistency_token), None
    if len(movements) != len(response.outcomes):
        raise Violation(f"{len(response.outcomes)} outcomes of {len(movements)} movements")
    for movement, outcome in zip(movements, response.outcomes, strict=True):
        why = refusal(outcome.refusal) if outcome.HasField("refusal") else None
        answer = Moved(RESULTS[outcome.result], outcome.on_hand, outcome.reserved, outcome.revision, why)
        before = Item(call, "PostMovement", movement, b"", answer, answer.result == "REPEATED", token, before)
        yield before


def record(message: pb.Reservation) -> Record:
    """A reservation; Violation when what it says it is short of is not what it is short of."""
    lines = []
    for line in message.lines:
        allocations = tuple([Allocation(a.location, a.quantity, a.fulfilled, a.released) for a in line.allocations])
        short = line.quantity - sum([a.quantity for a in allocations])
        if line.short_quantity != short:
            raise Violation(f"short_quantity is not {short}: {message}")
        lines.append(Line(line.line_id, line.sku, line.quantity, allocations))
    made = message.create_time
    return Record(
        message.reservation_id,
        STATES[message.state],
        message.channel,
        made.seconds * 1000 + made.nanos // 1_000_000,
        message.expire_time.seconds,
        message.revision,
        message.customer_ref,
        message.order_ref,
        tuple(lines),
    )


def refusal(message: common_pb2.Refusal) -> Refusal:
    """A refusal; the facts of one that lists short lines are in that list."""
    short = tuple([(s.line_id, s.sku, s.location, s.wanted, s.available) for s in message.short_lines])
    return Refusal(REASONS[message.reason], {} if short else dict(message.metadata), short)


def _changed(response: Any) -> tuple[Record, bool]:
    return record(response.reservation), response.replayed


READERS: dict[str, Any] = {
    "GetReservation": lambda response: (record(response.reservation), False),
    "GetPosition": lambda response: (response.position, False),
    "GetAvailability": lambda response: (response, False),
}
KINDS: dict[str, Any] = {
    f"{verb}Reservation": (getattr(pb, f"{verb}ReservationRequest"), getattr(pb, f"{verb}ReservationResponse"))
    for verb in ("Create", "Confirm", "Extend", "Release", "Fulfil", "Amend", "Rebind", "HandOver", "Get")
} | {
    "GetPosition": (stock.GetPositionRequest, stock.GetPositionResponse),
    "GetAvailability": (
        availability_service_pb2.GetAvailabilityRequest,
        availability_service_pb2.GetAvailabilityResponse,
    ),
}
