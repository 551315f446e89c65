"""From deliveries to counts: carrier working days by the definition of a promise, and parcels that are under way."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.transit import LaneName, TransitPeriod
from invengine.domain.transit_distribution import Seen
from invengine.domain.transit_learning import CarrierDays, Parcel, learn
from tests.deliveries import Known, day, made

LANE = ("DC", "north", "slow")
FAST = ("DC", "north", "fast")


class Open:
    """A calendar that is open on the days of a week, without closed ones; 1970-01-01 was a Thursday."""

    def __init__(self, weekdays: str = "MTWTF  ", closed: tuple[int, ...] = ()) -> None:
        self._weekdays = weekdays
        self._closed = closed

    def is_open(self, day: int) -> bool:
        return self._weekdays[(day + 3) % 7] != " " and day not in self._closed


def due(calendar: Open, shipped: int, transit: int) -> int:
    """Read aloud: the transit-th open day strictly after; 0: the day itself if open, else the next open day."""
    if transit == 0:
        return next(day for day in range(shipped, shipped + 1000) if calendar.is_open(day))
    return [day for day in range(shipped + 1, shipped + 1000) if calendar.is_open(day)][transit - 1]


calendars = st.builds(
    Open,
    st.lists(st.booleans(), min_size=7, max_size=7)
    .filter(any)
    .map(lambda days: "".join("x" if is_open else " " for is_open in days)),
    st.lists(st.integers(-10, 200), max_size=20).map(tuple),
)


@given(calendars, st.integers(-20, 60), st.integers(0, 20))
def test_a_parcel_is_due_as_a_promise_says(calendar: Open, shipped: int, transit: int) -> None:
    assert CarrierDays(calendar).arrival(shipped, transit) == due(calendar, shipped, transit)


@given(calendars, st.integers(-20, 60), st.integers(0, 40))
def test_transit_is_the_least_promise_that_the_delivery_would_have_kept(
    calendar: Open, shipped: int, elapsed: int
) -> None:
    """But what did not come on the day of shipping took a day at least, also where that day was closed."""
    days = CarrierDays(calendar)
    least = next(transit for transit in range(50) if due(calendar, shipped, transit) >= shipped + elapsed)
    assert days.transit(shipped, shipped + elapsed) == (0 if elapsed == 0 else max(1, least))


@given(calendars, st.lists(st.tuples(st.integers(-300, 300), st.integers(-5, 60)), max_size=8))
def test_open_days_are_counted_in_any_order_of_asking(calendar: Open, spans: list[tuple[int, int]]) -> None:
    days = CarrierDays(calendar)
    for after, length in spans:
        expected = sum(calendar.is_open(day) for day in range(after + 1, after + length + 1))
        assert days.between(after, after + length) == expected


def test_a_calendar_that_is_never_open_has_no_arrival() -> None:
    days = CarrierDays(Open("       "))
    assert (days.arrival(0, 0), days.arrival(0, 3)) == (None, None)
    assert CarrierDays(Open("x      ")).arrival(0, 100) is not None


def test_what_is_delivered_on_a_closed_day_counts_as_of_the_next_open_one() -> None:
    """2025-03-07 was a Friday."""
    days = CarrierDays(Open())
    friday = day("2025-03-07")
    assert [days.transit(friday, friday + later) for later in range(6)] == [0, 1, 1, 1, 2, 3]
    saturday = friday + 1
    assert [days.transit(saturday, saturday + later) for later in range(5)] == [0, 1, 1, 2, 3]


def parcels(*rows: tuple[int, int | None], lane: LaneName = LANE) -> list[Parcel]:
    return [Parcel(*lane, shipped, shipped, delivered) for shipped, delivered in rows]


@pytest.fixture
def every_day() -> Mapping[str, CarrierDays]:
    always = CarrierDays(Open("xxxxxxx"))
    return {"slow": always, "fast": always}


def test_deliveries_are_counted_by_lane_and_days(every_day: Mapping[str, CarrierDays]) -> None:
    learnt = learn([*parcels((10, 12), (11, 13), (12, 12)), *parcels((10, 15), lane=FAST)], every_day)
    assert learnt.lanes == {FAST: Seen({5: 1}), LANE: Seen({0: 1, 2: 2})}
    assert learnt.period == TransitPeriod(10, 12, 15)


def test_parcels_under_way_are_known_as_long_as_the_file_is(every_day: Mapping[str, CarrierDays]) -> None:
    """Not arrived by the end of the newest day of the file."""
    learnt = learn(parcels((10, None), (14, None), (11, 14), (20, None)), every_day)
    assert learnt.lanes == {LANE: Seen({3: 1}, {0: 1, 6: 1, 10: 1})}
    assert learnt.period == TransitPeriod(10, 20, 20)


def test_what_came_after_the_day_was_under_way_on_it(every_day: Mapping[str, CarrierDays]) -> None:
    learnt = learn(parcels((10, 12), (10, 16), (13, 14), (14, 14), (15, 15)), every_day, as_of_day=14)
    assert learnt.lanes == {LANE: Seen({0: 1, 1: 1, 2: 1}, {4: 1})}
    assert learnt.period == TransitPeriod(10, 14, 14)


def test_nothing_is_learnt_from_nothing(every_day: Mapping[str, CarrierDays]) -> None:
    assert (learn([], every_day).lanes, learn([], every_day).period) == ({}, None)
    assert learn(parcels((10, 12)), every_day, as_of_day=9).period is None


def test_made_up_deliveries_are_counted_as_they_were_drawn() -> None:
    """The generator moves by dates of its own; the transit that it drew is the one that is counted."""
    known = Known(locations=2, zones=2)
    drawn = random.Random(7)
    days = known.carrier_days["standard"]
    for _ in range(300):
        shipped = made.FIRST + (made.LAST - made.FIRST) * drawn.random()
        transit = drawn.randrange(1, 30)
        arrived = made.arrival(shipped, transit)
        assert days.transit(day(shipped.isoformat()), day(arrived.isoformat())) == transit
