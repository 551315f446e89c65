"""The day by which what is coming makes up what is missing."""

from __future__ import annotations

from typing import Any

from invengine.domain.orders import (
    Allocation,
    Candidate,
    Destination,
    Fulfilment,
    Future,
    LinePlacement,
    LineRequest,
    Reservation,
    ReservationChange,
    ReservationLine,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import InsufficientStock, ShortLine
from invengine.services.next_dates import NextDates
from tests.services.shelves import NOW_DAY, NOW_MS, FakeReplica

PLACES = tuple(Candidate(place) for place in "AB")


class Clock:
    def now_ms(self) -> int:
        return NOW_MS


def dates(replica: FakeReplica) -> NextDates:
    clock: Any = Clock()
    return NextDates(replica.replica, clock)


def line(line_id: str, quantity: int, **more: Any) -> LineRequest:
    return LineRequest(line_id, "LAMP", quantity, PLACES, **more)


def request(*lines: LineRequest, best_effort: bool = False) -> ReserveRequest:
    return ReserveRequest("r", "f", "id", "web", lines, 60, best_effort)


def refused(*short: tuple[str, int, int]) -> InsufficientStock:
    return InsufficientStock(tuple(ShortLine(line_id, "LAMP", "", *numbers) for line_id, *numbers in short))


def days(refusal: InsufficientStock) -> list[int]:
    return [short.next_day - NOW_DAY if short.next_day else 0 for short in refusal.short_lines]


def world() -> FakeReplica:
    """A has 1 and gets 3 in 2 days, B has 2 and gets 2 in 4 days, of which 1 is promised, and 9 in 8 days."""
    replica = FakeReplica()
    replica.position("LAMP", "A", 1)
    replica.position("LAMP", "B", 2)
    replica.receipt("LAMP", "A", "po-1", 2, 3)
    replica.receipt("LAMP", "B", "po-2", 4, 2, pegged=1)
    replica.receipt("LAMP", "B", "po-3", 8, 9)
    return replica


def test_a_line_that_may_be_split_waits_for_all_its_places_together() -> None:
    found = dates(world())
    for wanted, day in ((4, 2), (6, 2), (7, 4), (8, 8), (16, 8), (17, 0)):
        asked = request(line("1", wanted, allow_split=True))
        assert days(found.of_refused(asked, refused(("1", wanted, 3)))) == [day], wanted


def test_a_whole_line_waits_for_one_place() -> None:
    found = dates(world())
    for wanted, day in ((3, 2), (4, 2), (5, 8), (12, 8), (13, 0)):
        assert days(found.of_refused(request(line("1", wanted)), refused(("1", wanted, 2)))) == [day], wanted


def test_units_that_are_coming_count_for_one_line_only() -> None:
    found = dates(world())
    asked = request(*(line(name, 3, allow_split=True) for name in "12"))
    assert days(found.of_refused(asked, refused(("1", 3, 0), ("2", 3, 2)))) == [2, 4]
    assert days(found.of_refused(asked, refused(("1", 12, 0), ("2", 3, 1)))) == [8, 0]


def test_an_overdue_receipt_is_no_date_where_such_stop_counting() -> None:
    replica = world()
    replica.receipt("LAMP", "A", "po-overdue", -1, 9)
    assert days(dates(replica).of_refused(request(line("1", 5)), refused(("1", 5, 2)))) == [1]
    replica.stopping = ("A",)
    assert days(dates(replica).of_refused(request(line("1", 5)), refused(("1", 5, 2)))) == [8]


def test_an_overdue_receipt_counts_as_tomorrow() -> None:
    replica = FakeReplica()
    replica.receipt("LAMP", "A", "po", -3, 5)
    assert days(dates(replica).of_refused(request(line("1", 5)), refused(("1", 5, 0)))) == [1]


def test_what_the_line_could_have_had_of_the_future_is_not_counted_again() -> None:
    found = dates(world())
    in_time = request(line("1", 8, allow_split=True, future=Future(NOW_DAY + 4)))
    assert days(found.of_refused(in_time, refused(("1", 8, 7)))) == [8]
    whole = request(line("1", 5, future=Future(NOW_DAY + 4)))
    assert days(found.of_refused(whole, refused(("1", 5, 4)))) == [8]
    any_day = request(line("1", 99, allow_split=True, future=Future()))
    assert days(found.of_refused(any_day, refused(("1", 99, 16)))) == [0]


def test_changes_have_next_dates_too() -> None:
    found = dates(world())
    change = ReservationChange(
        "r", "f", "id", "web", 1, placements=(LinePlacement("1", 9, PLACES, True),), added=(line("2", 3),)
    )
    assert days(found.of_change(change, refused(("1", 6, 3), ("2", 4, 0), ("strange", 1, 0)))) == [2, 8, 0]


def answered(*lines: tuple[str, int, int, str], replayed: bool = False) -> ReservationAnswer:
    return ReservationAnswer(
        Reservation(
            "id",
            ReservationState.HELD,
            "web",
            0,
            60,
            1,
            tuple(
                ReservationLine(
                    line_id, "LAMP", wanted, Fulfilment.ANY, Destination(), (Allocation(place, got),) if got else ()
                )
                for line_id, wanted, got, place in lines
            ),
        ),
        replayed,
    )


def test_with_best_effort_the_rest_is_dated() -> None:
    found = dates(world())
    split = request(line("1", 9, allow_split=True), line("2", 1), best_effort=True)
    answer = found.of_answer(split, answered(("1", 9, 5, "A"), ("2", 1, 1, "A")))
    assert answer.next_days == (("1", NOW_DAY + 4),)
    whole = request(line("1", 4), best_effort=True)
    assert found.of_answer(whole, answered(("1", 4, 2, "B"))).next_days == (("1", NOW_DAY + 8),)
    assert found.of_answer(whole, answered(("1", 3, 0, ""))).next_days == (("1", NOW_DAY + 2),)
    never = request(line("1", 99), best_effort=True)
    assert found.of_answer(never, answered(("1", 99, 2, "B"))).next_days == ()
    again = answered(("1", 4, 2, "B"), replayed=True)
    assert found.of_answer(whole, again) is again
