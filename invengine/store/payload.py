"""Messages to the functions and their replies: domain in, MessagePack out, and back. `lua/*.lua` has each layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zlib import crc32

import msgpack

from invengine import errors
from invengine.domain.orders import (
    Candidate,
    LinePlacement,
    LineRequest,
    ReservationAnswer,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.stock import Movement, MovementOutcome, MovementResult
from invengine.store.records import StoreSettings, read_reservation

Answer = bytes | list[int | bytes]
"""What a function says about one item: a record, or a word and its facts."""

_FORBIDDEN = re.compile("[\x00-\x1f\x7f]")


def checked(texts: Iterable[str]) -> None:
    """Refuse control characters: TAB and LF end the columns of what is stored. Services name the field before."""
    if _FORBIDDEN.search("".join(texts)):
        raise errors.InvalidArgument("text", "must not hold control characters")


class Packer:
    """Packs the batches of one store."""

    def __init__(self, partitions: int, settings: StoreSettings, retention_seconds: int) -> None:
        self._partitions = partitions
        self.head = [retention_seconds, settings.log_length_max, settings.count_window_seconds * 1000]
        """What every message begins with."""

    def _of(self, name: str) -> int:
        return crc32(name.encode()) % self._partitions

    def _message(self, touched: Iterable[int], *rest: object) -> bytes:
        packed: bytes = msgpack.packb([*self.head, list(touched), *rest])
        return packed

    def reserve(self, requests: Sequence[ReserveRequest]) -> tuple[list[int], bytes]:
        """The partitions of a batch of reservations, and its message."""
        of = self._of
        lists = CandidateLists()
        items: list[str | int] = []
        request_partitions, request_names, homes, ids = [], [], [], []
        touched: dict[int, None] = {}
        for request in requests:
            name = f"{request.channel}\t{request.request_id}"
            home = of(request.reservation_id)
            touched[home] = None
            request_partitions.append(of(name))
            request_names.append(name)
            homes.append(home)
            ids.append(request.reservation_id)
            customer, order, cart = request.customer_ref, request.order_ref, request.cart_ref
            channel, reservation_id = request.channel, request.reservation_id
            sets = [f"{kind}:{ref}" for kind, ref in (("customer", customer), ("order", order), ("cart", cart)) if ref]
            items += (
                request.fingerprint,
                request.time_to_live_seconds,
                1 if request.best_effort else 0,
                f"HELD\t{channel}\t",
                f"\t{customer}\t{order}\t{cart}\t\t{len(request.lines)}",
                f"\tRESERVE\t{channel}\t{reservation_id}\t\t{order}\t",
                len(sets),
                len(request.lines),
                *sets,
            )
            texts = [request.request_id, request.fingerprint, reservation_id, channel, customer, order, cart]
            for line in request.lines:
                sku, to = line.sku, line.destination
                partition = of(sku)
                touched[partition] = None
                texts += (line.line_id, sku, to.country, to.postal_code, to.location)
                items += line_item(line, partition, lists)
            checked(texts)
        message = self._message(touched, lists.columns, items, request_partitions, request_names, homes, ids)
        return list(touched.keys() | set(request_partitions)), message

    def change(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of changes as far as they are known, and its message."""
        items: list[object] = []
        for change in changes:
            items += (*head_of(change), len(change.lines))
            for line in change.lines:
                items += (line.line_id, line.location, line.quantity)
        return self._changes(changes, items)

    def place(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of amendments or rebindings as far as they are known, and its message."""
        lists = CandidateLists()
        items: list[object] = []
        added: set[int] = set()
        for change in changes:
            items += (*head_of(change), len(change.placements) + len(change.added))
            items += (placement_item(line, lists) for line in change.placements)
            for new in change.added:
                partition = self._of(new.sku)
                added.add(partition)
                items.append(added_item(new, new.line_id, partition, lists))
        return self._changes(changes, items, added, lists.columns)

    def hand_over(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of hand-overs as far as they are known, and its message."""
        items: list[object] = []
        for change in changes:
            checked((change.to_channel, change.to_customer_ref))
            items += (*head_of(change), 1, (change.to_channel, change.to_customer_ref))
        return self._changes(changes, items)

    def _changes(
        self, changes: Sequence[ReservationChange], items: list[object], touched: Iterable[int] = (), *more: object
    ) -> tuple[list[int], bytes]:
        """The message of any verb for reservations that exist; `touched` are partitions besides their homes."""
        request_names = [f"{change.channel}\t{change.request_id}" for change in changes]
        request_partitions = [self._of(name) for name in request_names]
        ids = [change.reservation_id for change in changes]
        homes = [self._of(reservation_id) for reservation_id in ids]
        known = {*homes, *touched}
        message = self._message(known, items, request_partitions, request_names, homes, ids, *more)
        return list(known.union(request_partitions)), message

    def movements_of_one(self, movements: Sequence[Movement]) -> tuple[list[int], bytes]:
        """The same for movements of one partition, which then remembers their events too."""
        return self.movements(movements, self._of(movements[0].sku))

    def movements(self, movements: Sequence[Movement], remembered_in: int | None = None) -> tuple[list[int], bytes]:
        """The partitions of a batch of movements, and its message."""
        items: list[str | int] = []
        event_partitions, events, reasons = [], [], []
        touched: dict[int, None] = {}
        for movement in movements:
            event = f"{movement.source}\t{movement.event_id}"
            partition = self._of(movement.sku)
            touched[partition] = None
            event_partitions.append(self._of(event) if remembered_in is None else remembered_in)
            events.append(event)
            reasons.append(f"{movement.reason}\t{movement.reference}")
            checked(
                (
                    movement.source,
                    movement.event_id,
                    movement.sku,
                    movement.location,
                    movement.reason,
                    movement.reference,
                )
            )
            items += (
                partition,
                movement.sku,
                movement.location,
                movement.kind,
                movement.quantity,
                movement.occurred_at_ms,
                -1 if movement.expected_revision is None else movement.expected_revision,
            )
        message = self._message(touched, items, event_partitions, events, reasons)
        return list(touched.keys() | set(event_partitions)), message

    def sweep(self, partition: int, number: int) -> tuple[list[int], bytes]:
        """The message of expire and forget: a partition and a number (the limit, or the first period)."""
        return [partition], self._message([partition], partition, number)


class CandidateLists:
    """The lists of candidates of a message; lines that share a list send it once."""

    def __init__(self) -> None:
        self.columns: list[tuple[list[str], list[int], list[int]]] = []
        self._places: dict[int, int] = {}  # the messages are packed while their requests live, so ids are theirs alone

    def place_of(self, candidates: Sequence[Candidate]) -> int:
        """The place of this list, counted from 1."""
        place = self._places.get(id(candidates))
        if place is None:
            self.columns.append(_columns(candidates))
            place = self._places[id(candidates)] = len(self.columns)
        return place


def line_item(line: LineRequest, partition: int, lists: CandidateLists) -> tuple[int, str, int, str, int, int]:
    """A line to take, as lua/reserve.lua has it."""
    sku, quantity, to = line.sku, line.quantity, line.destination
    fields = (
        f"\t{line.line_id}\t{partition}\t{sku}\t{quantity}\t{line.fulfilment}"
        f"\t{to.country}\t{to.postal_code}\t{to.location}\t"
    )
    return partition, sku, quantity, fields, 1 if line.allow_split else 0, lists.place_of(line.candidates)


def placement_item(line: LinePlacement, lists: CandidateLists) -> tuple[str, int, str, int, int]:
    """A line to amend or rebind, as lua/amend.lua has it."""
    checked((line.line_id, line.named_location))
    return line.line_id, line.quantity, line.named_location, int(line.allow_split), lists.place_of(line.candidates)


def added_item(line: LineRequest, line_id: str, partition: int, lists: CandidateLists) -> tuple[str | int, ...]:
    """A line to add, as lua/amend.lua has it."""
    texts = (line.fulfilment, line.destination.country, line.destination.postal_code, line.destination.location)
    checked((line_id, line.sku, line.named_location, *texts))
    place = lists.place_of(line.candidates)
    return line_id, line.quantity, line.named_location, int(line.allow_split), place, partition, line.sku, *texts


def head_of(change: ReservationChange) -> tuple[str, str, int, int, str]:
    """The fields of an item before its line count."""
    checked((change.request_id, change.fingerprint, change.reservation_id, change.channel, change.order_ref))
    expected = -1 if change.expected_revision is None else change.expected_revision
    return change.fingerprint, change.channel, expected, change.time_to_live_seconds, change.order_ref


def _columns(candidates: Sequence[Candidate]) -> tuple[list[str], list[int], list[int]]:
    checked([candidate.location for candidate in candidates])
    return (
        [candidate.location for candidate in candidates],
        [candidate.safety_units for candidate in candidates],
        [candidate.safety_parts for candidate in candidates],
    )


def read_reply(reply: bytes) -> tuple[int, list[tuple[int, int, bytes]], list[Any]]:
    """now_ms, (partition, revision, rows) of each partition, the answers to the items."""
    now_ms, partitions, answers = msgpack.unpackb(reply, raw=True)
    return now_ms, partitions, answers


def _text(fact: int | bytes) -> str:
    assert isinstance(fact, bytes)
    return fact.decode()


def _number(fact: int | bytes) -> int:
    assert isinstance(fact, int)
    return fact


def reserved(request: ReserveRequest, answer: Answer) -> ReservationAnswer | errors.InventoryError:
    """What became of a request to reserve."""
    if isinstance(answer, bytes):
        return ReservationAnswer(read_reservation(request.reservation_id, answer.decode()))
    word, *facts = answer
    match word:
        case b"INSUFFICIENT_STOCK":
            short = []
            for place, available in zip(facts[::2], facts[1::2], strict=True):
                line = request.lines[_number(place) - 1]
                short.append(
                    errors.ShortLine(line.line_id, line.sku, line.named_location, line.quantity, _number(available))
                )
            return errors.InsufficientStock(tuple(short))
        case b"UNKNOWN_SKU":
            return errors.UnknownSku(request.lines[_number(facts[0]) - 1].sku)
        case b"RESERVATION_EXISTS":
            return errors.ReservationExists(request.reservation_id)
    return _repeated(request.request_id, word, facts)


def _repeated(
    request_id: str, word: int | bytes, facts: list[int | bytes]
) -> ReservationAnswer | errors.InventoryError:
    if word == b"REPEATED":
        reservation_id, record = _text(facts[0]).split("\t", 1)
        return ReservationAnswer(read_reservation(reservation_id, record), replayed=True)
    assert word == b"REQUEST_MISMATCH", word
    return errors.RequestMismatch(request_id)


def changed(change: ReservationChange, answer: Answer) -> ReservationAnswer | errors.InventoryError:
    """What became of a change of a reservation."""
    reservation_id = change.reservation_id
    if isinstance(answer, bytes):
        return ReservationAnswer(read_reservation(reservation_id, answer.decode()))
    word, *facts = answer
    refusal = _CHANGE_REFUSALS.get(word)
    return refusal(change, facts) if refusal else _repeated(change.request_id, word, facts)


def _line_of(change: ReservationChange, facts: list[int | bytes]) -> tuple[str, str, int]:
    """Id, location and units of the line that a refusal names by its place."""
    place = _number(facts[0]) - 1
    if change.placements:
        return change.placements[place].line_id, "", _number(facts[2]) if len(facts) > 2 else 0
    line = change.lines[place]
    return line.line_id, line.location, line.quantity


def _short_lines(_: ReservationChange, facts: list[int | bytes]) -> errors.InventoryError:
    return errors.InsufficientStock(
        tuple(
            errors.ShortLine(_text(line_id), _text(sku), _text(location), _number(wanted), _number(available))
            for line_id, sku, location, wanted, available in zip(*(facts[n::5] for n in range(5)), strict=True)
        )
    )


_CHANGE_REFUSALS: dict[int | bytes, Callable[[ReservationChange, list[int | bytes]], errors.InventoryError]] = {
    b"RESERVATION_NOT_FOUND": lambda change, _: errors.ReservationNotFound(change.reservation_id),
    b"RESERVATION_EXPIRED": lambda change, facts: errors.ReservationExpired(change.reservation_id, _number(facts[0])),
    b"RESERVATION_CLOSED": lambda change, facts: errors.ReservationClosed(change.reservation_id, _text(facts[0])),
    b"RESERVATION_CONFIRMED": lambda change, _: errors.ReservationConfirmed(change.reservation_id),
    b"RESERVATION_NOT_CONFIRMED": lambda change, _: errors.ReservationNotConfirmed(change.reservation_id),
    b"REVISION_MISMATCH": lambda change, facts: errors.RevisionMismatch(
        change.expected_revision or 0, _number(facts[0])
    ),
    b"LINE_NOT_FOUND": lambda change, facts: errors.LineNotFound(change.reservation_id, *_line_of(change, facts)[:2]),
    b"QUANTITY_EXCEEDS_OPEN": lambda change, facts: errors.QuantityExceedsOpen(
        change.reservation_id, _line_of(change, facts)[0], _line_of(change, facts)[2], _number(facts[1])
    ),
    b"LINE_EXISTS": lambda change, facts: errors.LineExists(change.reservation_id, _text(facts[0])),
    b"INVALID_ARGUMENT": lambda *_: errors.InvalidArgument("added_lines", "would be more than 200 lines together"),
    b"UNKNOWN_SKU": lambda _, facts: errors.UnknownSku(_text(facts[0])),
    b"INSUFFICIENT_STOCK": _short_lines,
    b"INTERNAL": lambda change, _: errors.InternalError(
        f"units of reservation {change.reservation_id!r} are missing: run invengine check"
    ),
}


def moved(movement: Movement, answer: Answer) -> MovementOutcome:
    """What became of a movement."""
    assert isinstance(answer, list)
    word, on_hand, reserved_units, revision, *facts = answer
    refusal = _MOVEMENT_REFUSALS[facts[0]](movement, [_number(fact) for fact in facts[1:]]) if facts else None
    return MovementOutcome(
        MovementResult(_text(word)), _number(on_hand), _number(reserved_units), _number(revision), refusal
    )


_MOVEMENT_REFUSALS: dict[int | bytes, Callable[[Movement, list[int]], errors.InventoryError]] = {
    b"OLDER_COUNT": lambda movement, facts: errors.OlderCount(movement.sku, movement.location, facts[0]),
    b"COVERED_BY_COUNT": lambda movement, facts: errors.CoveredByCount(movement.sku, movement.location, facts[0]),
    b"COUNT_TOO_OLD": lambda movement, facts: errors.CountTooOld(
        movement.sku, movement.location, movement.occurred_at_ms, facts[0]
    ),
    b"REVISION_MISMATCH": lambda movement, facts: errors.RevisionMismatch(movement.expected_revision or 0, facts[0]),
    b"INSUFFICIENT_STOCK": lambda movement, facts: errors.InsufficientStock(
        (errors.ShortLine("", movement.sku, movement.location, facts[0], facts[1]),)
    ),
    b"QUANTITY_OUT_OF_RANGE": lambda movement, facts: errors.QuantityOutOfRange(
        movement.sku, movement.location, facts[0], facts[1]
    ),
}
