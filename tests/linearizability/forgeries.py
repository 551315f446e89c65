"""Recorded histories changed afterwards, each so that no order of its calls explains it any more."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2 as stock
from tests.linearizability.answers import Item, Record, Refusal, items_of
from tests.linearizability.histories import History
from tests.linearizability.recording import Call

Forgery = Callable[[History, random.Random], History]


def answers_exchanged(history: History, chance: random.Random) -> History:
    """Two callers get each other's answers."""
    one, other = chance.sample([n for n, item in _single(history, "ConfirmReservation") if _is_written(item)], 2)
    responses = history.calls[one].response, history.calls[other].response
    return _with_calls(history, {one: {"response": responses[1]}, other: {"response": responses[0]}})


def outcomes_exchanged(history: History, chance: random.Random) -> History:
    """Two items of a batch of movements get each other's outcomes."""
    found = []
    for n, call in enumerate(history.calls):
        if call.method.endswith("/PostMovements"):
            outcomes = stock.PostMovementsResponse.FromString(call.response or b"").outcomes
            applied = [place for place, outcome in enumerate(outcomes) if outcome.result == 1]
            found += [(n, a, b) for a in applied for b in applied if a < b and outcomes[a] != outcomes[b]]
    n, one, other = chance.choice(found)
    response = stock.PostMovementsResponse.FromString(history.calls[n].response or b"")
    first = stock.PostMovementsResponse.Outcome()
    first.CopyFrom(response.outcomes[one])
    response.outcomes[one].CopyFrom(response.outcomes[other])
    response.outcomes[other].CopyFrom(first)
    return _with_calls(history, {n: {"response": response.SerializeToString()}})


def write_forgotten(history: History, chance: random.Random) -> History:
    """The engine did something that nobody asked for."""
    gone = chance.choice([n for n, item in _single(history, "CreateReservation") if _is_written(item)])
    return replace(history, calls=[call for n, call in enumerate(history.calls) if n != gone])


def revision_reused(history: History, chance: random.Random) -> History:
    """A write tells a revision that another one made."""
    return _answer_changed(history, chance, "CreateReservation", lambda r: _set(r.reservation, "revision", -1))


def unit_too_many(history: History, chance: random.Random) -> History:
    """A reservation is told one unit more than it has."""
    return _answer_changed(
        history,
        chance,
        "CreateReservation",
        lambda r: _set(r.reservation.lines[0].allocations[0], "quantity", 1),
        where=lambda r: bool(r.reservation.lines[0].allocations),
    )


def hold_prolonged(history: History, chance: random.Random) -> History:
    """An answer says an end of the hold that is an hour later."""
    return _answer_changed(
        history, chance, "ExtendReservation", lambda r: _set(r.reservation.expire_time, "seconds", 3600)
    )


def repeat_told_as_new(history: History, chance: random.Random) -> History:
    """A repeat is answered as if it had been carried out."""
    found = [
        n
        for verb in ("ConfirmReservation", "ReleaseReservation", "FulfilReservation", "CreateReservation")
        for n, item in _single(history, verb)
        if item.replayed
    ]
    n = chance.choice(found)
    response = _response(history.calls[n])
    response.replayed = False
    return _with_calls(history, {n: {"response": response.SerializeToString()}})


def refusal_without_need(history: History, chance: random.Random) -> History:
    """What was refused for want of stock had been asked of what there was: one unit, where there were some."""
    found = [
        n
        for n, item in _single(history, "CreateReservation")
        if isinstance(item.answer, Refusal)
        and item.answer.short_lines
        and item.answer.short_lines[0][4] > 0
        and len(item.request.lines) == 1
    ]
    n = chance.choice(found)
    request = pb.CreateReservationRequest.FromString(history.calls[n].request)
    request.lines[0].quantity = 1
    request.request_id += "-forged"
    request.reservation_id += "-forged"
    return _with_calls(history, {n: {"request": request.SerializeToString()}})


def stale_read(history: History, chance: random.Random) -> History:
    """A read that must know every write is answered from before one that had been acknowledged."""
    writes = _confirmed(history)
    answered = [(n, item) for n, item in _single(history, "GetPosition") if not isinstance(item.answer, Refusal)]
    reads = [(n, item) for n, item in answered if item.request.consistency.fully_consistent]
    found = [
        (later, earlier)
        for later, item in reads
        for earlier, before in reads
        if before.call.ended < item.call.began
        and item.request == before.request
        and any(done < item.call.began and revision > (before.token or 0) for _, done, revision in writes)
    ]
    later, earlier = chance.choice(found)
    return _with_calls(history, {later: {"response": history.calls[earlier].response}})


def read_of_the_future(history: History, chance: random.Random) -> History:
    """A read shows a write that began after the read had ended."""
    writes = _confirmed(history)
    reads = list(_single(history, "GetAvailability"))
    found = [
        (earlier, later)
        for later, item in reads
        for earlier, before in reads
        if before.call.ended < item.call.began
        and item.request.sku == before.request.sku
        and item.request.channel == before.request.channel
        and any(began > before.call.ended and revision <= (item.token or 0) for began, _, revision in writes)
    ]
    earlier, later = chance.choice(found)
    return _with_calls(history, {earlier: {"response": history.calls[later].response}})


def record_from_before(history: History, chance: random.Random) -> History:
    """A record reads as it was before a change that had been acknowledged."""
    answers = [
        (n, item)
        for verb in ("ConfirmReservation", "CreateReservation")
        for n, item in _single(history, verb)
        if _is_written(item)
    ]
    made = {item.answer.reservation_id: n for n, item in answers if item.verb == "CreateReservation"}
    found = [
        (n, made[item.answer.reservation_id])
        for n, item in answers
        if item.verb == "ConfirmReservation" and item.answer.reservation_id in made
    ]
    confirmed, created = chance.choice(found)
    call = history.calls[confirmed]
    made_by = pb.CreateReservationResponse.FromString(history.calls[created].response or b"")
    record, token = made_by.reservation, made_by.consistency_token
    read = Call(
        call.ended + 1,
        call.ended + 2,
        "/invengine.v1.ReservationService/GetReservation",
        pb.GetReservationRequest(reservation_id=record.reservation_id, channel="web").SerializeToString(),
        pb.GetReservationResponse(reservation=record, consistency_token=token).SerializeToString(),
        None,
    )
    return replace(history, calls=[*history.calls[:-1], read, history.calls[-1]])


def done_too_late(history: History, chance: random.Random) -> History:
    """A write was made before its call began."""
    n = chance.choice([n for n, item in _single(history, "CreateReservation") if _is_written(item)])
    end = max(call.ended for call in history.calls)
    return _with_calls(history, {n: {"began": end + 1, "ended": end + 2}})


def ledger_row_lost(history: History, chance: random.Random) -> History:
    """The ledger misses a change."""
    sku = chance.choice([sku for sku, rows in history.ledgers.items() if len(rows) > 2])
    rows = history.ledgers[sku]
    place = chance.randrange(1, len(rows) - 1)
    return replace(history, ledgers=history.ledgers | {sku: rows[:place] + rows[place + 1 :]})


FORGERIES: list[Forgery] = [
    answers_exchanged,
    outcomes_exchanged,
    write_forgotten,
    revision_reused,
    unit_too_many,
    hold_prolonged,
    repeat_told_as_new,
    refusal_without_need,
    stale_read,
    read_of_the_future,
    record_from_before,
    done_too_late,
    ledger_row_lost,
]


def _single(history: History, verb: str) -> Iterator[tuple[int, Item]]:
    """The calls of a verb that have one answer, by their place."""
    for n, call in enumerate(history.calls):
        if call.method.endswith(f"/{verb}"):
            for item in items_of(call):
                yield n, item


def _is_written(item: Item) -> bool:
    return isinstance(item.answer, Record) and not item.replayed


def _response(call: Call) -> Any:
    kind = getattr(pb, call.method.rpartition("/")[2] + "Response")
    return kind.FromString(call.response)


def _set(message: Any, name: str, by: int) -> None:
    setattr(message, name, getattr(message, name) + by)


def _answer_changed(
    history: History,
    chance: random.Random,
    verb: str,
    change: Callable[[Any], None],
    where: Callable[[Any], bool] = lambda _: True,
) -> History:
    written = [n for n, item in _single(history, verb) if _is_written(item)]
    n = chance.choice([n for n in written if where(_response(history.calls[n]))])
    response = _response(history.calls[n])
    change(response)
    return _with_calls(history, {n: {"response": response.SerializeToString()}})


def _with_calls(history: History, changed: dict[int, dict[str, Any]]) -> History:
    calls = [call._replace(**changed[n]) if n in changed else call for n, call in enumerate(history.calls)]
    return replace(history, calls=calls)


def _confirmed(history: History) -> list[tuple[int, int, int]]:
    """Of writes that were sent once: when they began and ended, and the revision that they made."""
    asked = Counter(item.request.request_id for _, item in _single(history, "ConfirmReservation"))
    written = [
        item
        for _, item in _single(history, "ConfirmReservation")
        if _is_written(item) and asked[item.request.request_id] == 1
    ]
    return [(item.call.began, item.call.ended, item.answer.revision) for item in written]
