"""Promises against deliveries held back: who is judged, what counts as kept, how early and late they were."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from invengine.domain.transit import LaneName, TransitTimes
from invengine.domain.transit_distribution import Seen
from invengine.domain.transit_learning import CarrierDays, Parcel, learn
from invengine.domain.transit_report import (
    PARTS_OF_LONGEST,
    PARTS_OF_STATED,
    Grouping,
    Held,
    Report,
    Row,
    Split,
    hold_back,
    report,
)
from tests.domain.test_transit_learning import Open

LANE = ("DC", "north", "slow")
OTHER = ("LON", "south", "slow")
UNKNOWN = ("DC", "north", "fast")


@pytest.fixture
def days() -> Mapping[str, CarrierDays]:
    return {"slow": CarrierDays(Open("xxxxxxx")), "fast": CarrierDays(Open("xxxxxxx"))}


def parcel(ordered: int, transit: int | None, lane: LaneName = LANE) -> Parcel:
    """Shipped on the day after the order; on the way for good without a transit."""
    shipped = ordered + 1
    return Parcel(*lane, ordered, shipped, None if transit is None else shipped + transit)


def judged(parcels: Sequence[Parcel], days: Mapping[str, CarrierDays], *, as_of: int = 1000, **more: object) -> Report:
    """Of a lane with 80 deliveries in one day and 20 in two, one in three among 400 of another; stated are 5 days."""
    times = TransitTimes({LANE: Seen({1: 80, 2: 20}), OTHER: Seen({1: 399, 3: 1})})
    held = Held(times, parcels, 0, as_of)
    return report(held, days, {LANE: 5}, confidence_parts=(5000, 9500), **more)  # type: ignore[arg-type]


def row(found: Report, parts: int, group: tuple[str, ...] = ()) -> Row:
    (one,) = [row for row in found.rows if (row.confidence_parts, row.group) == (parts, group)]
    return one


def test_kept_early_and_late_are_counted_in_carrier_days(days: Mapping[str, CarrierDays]) -> None:
    found = judged([parcel(10, transit) for transit in (0, 1, 1, 2, 4)], days)
    half, sure = row(found, 5000), row(found, 9500)
    assert (half.deliveries, half.kept, half.kept_share, half.days) == (5, 3, 0.6, 1.0)
    assert (half.early, half.late) == (pytest.approx(1 / 3), pytest.approx((1 + 3) / 2))
    assert (sure.kept, sure.days, sure.early, sure.late) == (4, 2.0, (2 + 1 + 1 + 0) / 4, 2.0)
    assert half.expected_share < sure.expected_share <= 1.0
    assert half.expected_share == pytest.approx(0.8, abs=0.02)


def test_promises_that_need_no_learning_stand_beside_them(days: Mapping[str, CarrierDays]) -> None:
    found = judged([parcel(10, 1), parcel(10, 6), parcel(10, 3, OTHER), parcel(10, 4, OTHER)], days)
    stated, longest = row(found, PARTS_OF_STATED), row(found, PARTS_OF_LONGEST)
    assert (stated.deliveries, stated.kept, stated.days, stated.late) == (2, 1, 5.0, 1.0)  # of LANE alone
    assert (longest.deliveries, longest.kept, longest.days) == (4, 2, (2 + 2 + 3 + 3) / 4)


def test_a_promise_on_a_closed_day_is_kept_on_the_next_open_one() -> None:
    """Shipped on a Saturday, there on Monday: zero days and one day are due then; on Tuesday both are late."""
    days = {"slow": CarrierDays(Open())}
    saturday = 9  # 1970-01-10
    times = TransitTimes({LANE: Seen({0: 100})})
    for delivered, kept in ((saturday + 2, 1), (saturday + 3, 0)):
        held = Held(times, [Parcel(*LANE, 5, saturday, delivered)], 0, 100)
        assert row(report(held, days, {}, confidence_parts=(9500,)), 9500).kept == kept


def test_what_is_not_due_yet_is_not_judged(days: Mapping[str, CarrierDays]) -> None:
    """Shipped on day 11, promised within two days at 95 %: judged when day 13 is over, at all confidences alike."""
    for as_of, expected in ((12, (0, 1)), (13, (1, 0))):
        found = judged([parcel(10, 1)], days, as_of=as_of)
        assert (found.judged, found.not_due) == expected
    assert judged([parcel(10, 1)], days, as_of=12).rows == ()


def test_a_parcel_that_has_not_arrived_is_late_once_it_is_due(days: Mapping[str, CarrierDays]) -> None:
    """By the days so far; and by a promise that is not over yet it is not judged."""
    found = judged([parcel(10, None), parcel(10, 9)], days, as_of=15)
    sure = row(found, 9500)
    assert (sure.deliveries, sure.kept, sure.late) == (2, 0, 3.0)
    assert row(found, PARTS_OF_LONGEST).deliveries == 2
    assert [one for one in found.rows if one.confidence_parts == PARTS_OF_STATED] == []
    assert row(judged([parcel(10, None)], days, as_of=16), PARTS_OF_STATED).kept == 0


def test_a_service_of_which_nothing_was_learnt_is_counted_apart(days: Mapping[str, CarrierDays]) -> None:
    found = judged([parcel(10, 1), parcel(10, 1, UNKNOWN)], days)
    assert (found.judged, found.not_promised) == (1, 1)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (Grouping.ALL, [()]),
        (Grouping.SERVICE, [(), ("slow",)]),
        (Grouping.ZONE, [(), ("north",), ("south",)]),
        (Grouping.LANE, [(), LANE, OTHER]),
    ],
)
def test_a_report_is_broken_down(days: Mapping[str, CarrierDays], by: Grouping, groups: list[tuple[str, ...]]) -> None:
    found = judged([parcel(10, 1), parcel(10, 2), parcel(10, 9, OTHER)], days, by=by)
    assert [one.group for one in found.rows if one.confidence_parts == 9500] == groups
    assert [one.confidence_parts for one in found.rows if not one.group] == [
        5000,
        9500,
        PARTS_OF_LONGEST,
        PARTS_OF_STATED,
    ]
    narrow = [one for one in found.rows if one.group and one.confidence_parts == 9500]
    if narrow:
        assert sum(one.kept for one in narrow) == row(found, 9500).kept
        assert sum(one.deliveries for one in narrow) == 3


def made_up(count: int) -> list[Parcel]:
    draw = random.Random(3)
    return [parcel(draw.randrange(100), draw.choice((1, 1, 2, 5, None))) for _ in range(count)]


def test_by_time_exactly_what_was_known_before_is_learnt_from(days: Mapping[str, CarrierDays]) -> None:
    parcels = made_up(2000)
    held = hold_back(parcels, days, share=0.25)
    assert len(held.parcels) / 2000 == pytest.approx(0.25, abs=0.02)
    assert all(one.ordered_day >= held.split_day for one in held.parcels)
    evening = held.split_day - 1
    known = [one for one in parcels if one.ordered_day < held.split_day]
    assert held.times.lanes == learn(known, days, evening).lanes
    assert held.times.period is not None
    assert held.times.period.as_of == evening
    later = [one if one.delivered_day is None or one.delivered_day <= evening else one._replace(delivered_day=999)
             for one in parcels]  # fmt: skip
    assert hold_back(later, days, share=0.25).times.lanes == held.times.lanes


def test_a_draw_depends_on_its_seed_alone(days: Mapping[str, CarrierDays]) -> None:
    parcels = made_up(500)
    first, again, other = (hold_back(parcels, days, share=0.2, split=Split.RANDOM, seed=seed) for seed in (1, 1, 2))
    assert first.parcels == again.parcels != other.parcels
    assert 60 < len(first.parcels) < 140
    learnt = sum(seen.deliveries + seen.open_parcels for seen in first.times.lanes.values())
    assert learnt + len(first.parcels) == 500
    assert first.split_day == 0


@pytest.mark.parametrize("split", Split)
def test_of_no_deliveries_nothing_is_reported(days: Mapping[str, CarrierDays], split: Split) -> None:
    held = hold_back([], days, share=0.2, split=split)
    assert report(held, days, {}, confidence_parts=(9500,)).rows == ()
