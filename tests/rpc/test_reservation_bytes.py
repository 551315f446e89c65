"""Reservations that are written as bytes: protobuf itself would write the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.orders import (
    Fulfilment,
    ReservationState,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import UNITS_MAX
from invengine.errors import InsufficientStock, InvalidArgument, ShortLine
from invengine.rpc.convert import outcome_to_proto, reservation_to_proto
from invengine.rpc.reservation_bytes import batch_response, reservation_bytes
from invengine.store.records import read_reservation
from invengine.v1 import reservation_service_pb2 as pb

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=16)
ids = texts.filter(lambda name: name[:1] not in ("", " "))  # what begins with a space is no line of a caller
units = st.integers(1, UNITS_MAX)
moments = st.integers(1, 253_402_300_799)
WAYS = [way for way in Fulfilment if way is not Fulfilment.TRANSFER]  # those have a day and a destination, never usual


@st.composite
def usual_lines(draw: st.DrawFn) -> list[str]:
    """A line with one allocation of all its units."""
    quantity = str(draw(units))
    line = [draw(ids), "17", draw(ids), quantity, draw(st.sampled_from(WAYS)).value, "", "", "", "", "1"]
    return [*line, draw(ids), "809042999", quantity, "0", "0", ""]


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """Any line: sent somewhere or not, short or not, in parts, of the future, out of ring-fences, partly gone."""
    quantities = draw(st.lists(st.integers(1, 1000), max_size=3))
    quantity = str(sum(quantities) + draw(st.integers(0, 1)) + (not quantities))
    found = [draw(ids), "17", draw(ids), quantity, draw(st.sampled_from(WAYS)).value]
    found += draw(st.sampled_from([["", "", ""], ["GB", "E1 6AN", ""], ["", "", "LON"]]))
    found += [draw(st.sampled_from(["", "0", "20000"])), str(len(quantities))]
    sources = st.sampled_from(["", "", "?", "=20000 PO1", "#1 web"])
    for taken in quantities:
        found += [draw(ids), "809042999", str(taken), str(draw(st.integers(0, taken))), "0", draw(sources)]
    return found


@st.composite
def records(draw: st.DrawFn, of_lines: st.SearchStrategy[list[str]]) -> bytes:
    """What the store keeps of a reservation."""
    state = draw(st.sampled_from(ReservationState)).value
    found = draw(st.lists(of_lines, min_size=1, max_size=3))
    head = [state, draw(ids), str(draw(moments) * 1000 + draw(st.integers(0, 999))), str(draw(st.just(0) | moments))]
    head += [str(draw(st.integers(1, UNITS_MAX))), draw(texts), draw(texts), draw(texts), "", str(len(found))]
    return "\t".join(head + [field for line in found for field in line]).encode()


def built(reservation_id: str, record: bytes) -> bytes:
    """As protobuf writes it."""
    return reservation_to_proto(read_reservation(reservation_id, record.decode())).SerializeToString(deterministic=True)


@given(ids, records(usual_lines()))
def test_the_usual_reservation_is_written_as_protobuf_writes_it(reservation_id: str, record: bytes) -> None:
    assert reservation_bytes(reservation_id, record) == built(reservation_id, record)


@given(ids, records(usual_lines() | lines()))
def test_any_other_one_is_written_as_protobuf_writes_it_or_not_at_all(reservation_id: str, record: bytes) -> None:
    assert reservation_bytes(reservation_id, record) in (None, built(reservation_id, record))


def read(reservation_id: str, record: bytes):
    return read_reservation(reservation_id, record.decode())


REFUSALS = st.sampled_from(
    [InvalidArgument("sku", "is required"), InsufficientStock((ShortLine("1", "A", "B", 2, 1),))]
)


@st.composite
def answers(draw: st.DrawFn) -> ReservationAnswer:
    """Answers as the store gives them, with days or not, read already or not."""
    record = draw(records(usual_lines() | lines()))
    answer = ReservationAnswer(unread=(draw(ids), record), read=read, replayed=draw(st.booleans()))
    if draw(st.booleans()):
        answer = answer.dated(((answer.reservation.lines[0].line_id, 20_000),))
    return draw(st.sampled_from([answer, ReservationAnswer(answer.reservation, answer.replayed, answer.next_days)]))


@given(st.lists(answers() | REFUSALS, max_size=4), st.text("abc", max_size=300))
def test_a_batch_is_answered_one_outcome_each_in_order(outcomes: list, token: str) -> None:
    response = pb.BatchCreateReservationsResponse(
        outcomes=[outcome_to_proto(outcome) for outcome in outcomes], consistency_token=token
    )
    assert pb.BatchCreateReservationsResponse.FromString(batch_response(outcomes, token)) == response


@given(answers(), answers())
def test_an_answer_is_equal_whether_it_was_read_or_not(one: ReservationAnswer, other: ReservationAnswer) -> None:
    again = ReservationAnswer(one.reservation, one.replayed, one.next_days)
    assert (again, hash(again), repr(again)) == (one, hash(one), repr(one))
    assert (one == other) == (repr(one) == repr(other))
    assert one != one.reservation
