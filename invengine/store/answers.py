"""Replies of the functions: MessagePack in, domain out. `lua/*.lua` has each layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from invengine import errors
from invengine.domain.incoming import BrokenPromise, IncomingChange, IncomingOutcome, Receipt
from invengine.domain.orders import (
    Reservation,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import GONE, Movement, MovementOutcome, MovementResult
from invengine.store.records import read_broken, read_reservation

Answer = bytes | list[int | bytes]
"""What a function says about one item: a record, or a word and its facts."""


def read_reply(reply: bytes) -> tuple[int, list[tuple[int, int, bytes]], list[Any]]:
    """now_ms, (partition, revision, rows) of each partition, the answers to the items."""
    now_ms, partitions, answers = msgpack.unpackb(reply, raw=True)
    return now_ms, partitions, answers


def _read(reservation_id: str, record: bytes) -> Reservation:
    return read_reservation(reservation_id, record.decode())


def _text(fact: int | bytes) -> str:
    assert isinstance(fact, bytes)
    return fact.decode()


def _number(fact: int | bytes) -> int:
    assert isinstance(fact, int)
    return fact


def reserved(request: ReserveRequest, answer: Answer) -> ReservationAnswer | errors.InventoryError:
    """What became of a request to reserve."""
    if isinstance(answer, bytes):
        return ReservationAnswer(unread=(request.reservation_id, answer), read=_read)
    word, *facts = answer
    match word:
        case b"TAKEN":
            assert isinstance(facts[1], bytes)
            taken = request.reservation_id, facts[1]
            return ReservationAnswer(unread=taken, read=_read, choice=_number(facts[0]))
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
        assert isinstance(facts[0], bytes)
        reservation_id, record = facts[0].split(b"\t", 1)
        return ReservationAnswer(unread=(reservation_id.decode(), record), replayed=True, read=_read)
    assert word == b"REQUEST_MISMATCH", word
    return errors.RequestMismatch(request_id)


def changed(change: ReservationChange, answer: Answer) -> ReservationAnswer | errors.InventoryError:
    """What became of a change of a reservation."""
    reservation_id = change.reservation_id
    if isinstance(answer, bytes):
        return ReservationAnswer(unread=(reservation_id, answer), read=_read)
    word, *facts = answer
    refusal = _CHANGE_REFUSALS.get(word)
    return refusal(change, facts) if refusal else _repeated(change.request_id, word, facts)


def _line_of(change: ReservationChange, facts: list[int | bytes]) -> tuple[str, str, int]:
    """Id, location and units of the line that a refusal names by its place."""
    place = _number(facts[0]) - 1
    if change.placements:
        return change.placements[place].line_id, "", _number(facts[2]) if len(facts) > 2 else 0
    if change.repromises:
        return change.repromises[place].line_id, "", 0
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
    b"OF_TRANSFER": lambda change, _: errors.OfTransfer(change.reservation_id),
    b"TRANSFER_NOT_FOUND": lambda change, _: errors.TransferNotFound(change.reservation_id),
    b"TRANSFER_CLOSED": lambda change, _: errors.TransferClosed(change.reservation_id),
    b"TRANSFER_EXISTS": lambda change, _: errors.TransferExists(change.reservation_id),
    b"INTERNAL": lambda change, _: errors.InternalError(
        f"units of reservation {change.reservation_id!r} are missing: run invengine check"
    ),
}


def moved(movement: Movement, answer: Answer) -> MovementOutcome:
    """What became of a movement."""
    assert isinstance(answer, list)
    word, on_hand, reserved_units, revision, in_state, in_to_state, *facts = answer
    assert isinstance(on_hand, int)
    assert isinstance(reserved_units, int)
    assert isinstance(revision, int)
    refusal = _MOVEMENT_REFUSALS[facts[0]](movement, [_number(fact) for fact in facts[1:]]) if facts else None
    states: tuple[tuple[str, int], ...] = ()
    if movement.state or movement.to_state:
        named = (movement.state, _number(in_state)), (movement.to_state, _number(in_to_state))
        states = tuple((state, units) for state, units in named if state not in ("", GONE))
    return MovementOutcome(_RESULTS[word], on_hand, reserved_units, revision, refusal, states)


_RESULTS: dict[int | bytes, MovementResult] = {result.encode(): result for result in MovementResult}


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


def rescheduled(change: IncomingChange, answer: Answer) -> IncomingOutcome | errors.InventoryError:
    """What became of a change of a receipt."""
    assert isinstance(answer, list)
    word, *facts = answer
    match word:
        case b"RECEIPT_NOT_FOUND":
            return errors.ReceiptNotFound(change.receipt_id, change.sku, change.location)
        case b"OF_TRANSFER":
            return errors.OfTransfer(change.receipt_id)
        case b"REVISION_MISMATCH":
            return errors.RevisionMismatch(change.expected_revision or 0, _number(facts[0]))
        case b"QUANTITY_OUT_OF_RANGE":
            return errors.QuantityOutOfRange(change.sku, change.location, _number(facts[0]), _number(facts[1]))
    assert word in (b"APPLIED", b"REPEATED"), word
    on_hand, reserved_units, day, quantity, pegged, revision = map(_number, facts[:6])
    left = _text(facts[6])
    receipt = Receipt(change.sku, change.location, change.receipt_id, day, quantity, pegged, revision, left)
    return IncomingOutcome(
        receipt if quantity else None, on_hand, reserved_units, tuple(broken_in(facts[7:])), word == b"REPEATED"
    )


def broken_in(facts: list[int | bytes]) -> Iterable[BrokenPromise]:
    """The broken promises that an answer lists: text, open units, expected day of each."""
    for text, units, day in zip(*(facts[n::3] for n in range(3)), strict=True):
        yield read_broken(_text(text), _number(units), _number(day))
