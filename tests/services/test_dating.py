"""Dates of baskets and orders: every option beside the others, from the network and the replica as they are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from invengine.domain.capacity import capacity_day, capacity_sku
from invengine.domain.days import calendar_day, day_number
from invengine.domain.network import Network
from invengine.domain.orders import Destination, Fulfilment
from invengine.kernels.layout import (
    BEYOND_HORIZON,
    DATED,
    NO_CALENDAR,
    NO_LANE,
    NO_SLOT,
    NO_TRANSFER_LANE,
    NO_UNITS,
    NO_ZONE,
    PROMISE_DAY,
    PROMISE_ORDER_BEFORE,
)
from invengine.replica.replica import Replica
from invengine.services import promise_routes
from invengine.services.dates import NOW, DatedLine, Question
from invengine.services.dating import Dating, Part
from invengine.services.promise_routes import Option
from invengine.services.promise_tables import DAYS_BACK, HORIZON_DAYS
from tests.replica.fakes import hold_row, position_row

DOCUMENT = """
calendars:
  warehouse: {hours: {mon-fri: "08:00-18:00", sat: "09:00-12:00"}, exceptions: {2026-12-08: closed}}
  shop: {hours: {mon-sat: "10:00-20:00"}}
  carrier: {hours: {mon-sat: "00:00-24:00"}}
services:
  standard: {carrier: DHL, calendar: carrier}
  express: {carrier: DHL, calendar: carrier}
zones:
  south: [{country: DE, postal_prefixes: ["8"]}]
locations:
  DC:
    kind: warehouse
    time_zone: Europe/Berlin
    calendar: warehouse
    ship: {handling: 4h, cut_off: "15:00", cut_offs: {express: "17:00"}, capacity: {units: 10}}
  NEW: {kind: warehouse, time_zone: Europe/Berlin}
  S1:
    kind: store
    time_zone: Europe/London
    calendar: shop
    ship: {handling: 1h}
    pickup: {handling: 2h, cut_off: "16:00", capacity: {orders: 2}}
groups: {all: [DC, S1, NEW]}
channels: {web: {groups: [all]}}
lanes:
  - {from: DC, zone: south, service: standard, transit: 2, pickups: carrier}
  - {from: DC, zone: south, service: express, transit: 1, pickups: carrier}
  - {from: S1, zone: south, service: standard, transit: 4, pickups: carrier}
transfer_lanes:
  - {from: DC, to: S1, transit: 1, pickups: carrier}
"""
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # 10:00 in Berlin
TODAY = day_number(MONDAY.date())
MUNICH = Destination("DE", "80331", "S1")
SHIP = Option(Fulfilment.SHIP, "standard")
ALL = Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE


class Clock:
    """The store's clock, set by the test."""

    def __init__(self) -> None:
        self.at = MONDAY

    def now_ms(self) -> int:
        return int(self.at.timestamp() * 1000)


class Learnt:
    """Transit that was learnt: a day more for each 10 %."""

    def days(self, location: str, zone: str, service: str, confidence_parts: int) -> int | None:
        return confidence_parts // 1000 if (location, zone) == ("DC", "south") else None


class Shop:
    """A dating over a replica of its own."""

    def __init__(self, document: str = DOCUMENT) -> None:
        self.network = Network.parse(document)
        self.replica = Replica(4, bytes(8))
        self.replica.set_network(self.network)
        self.clock = Clock()
        self.revision = 0
        clock: Any = self.clock
        self.dating = Dating(self.network, Learnt(), self.replica, clock)

    def slots(self, location: str, way: str, day: date, *, held: int = 0, used: int = 0, over: int = 0) -> None:
        """What reservations have of a day."""
        sku, place = capacity_sku(location, way), capacity_day(day_number(day))
        self.revision += 1
        self.replica.advance(self.clock.now_ms())
        self.replica.slots.apply(0, self.revision, position_row(sku, place, used, held).rstrip("\n").encode())
        if over:
            second = self.clock.now_ms() // 1000
            self.replica.slots.apply(0, self.revision, hold_row(1, sku, place, over, second).rstrip("\n").encode())

    def day(self, units: int = 1, option: Option = SHIP, location: str = "DC", start: int | None = NOW) -> date | None:
        """The delivery day of one line by one option."""
        question = Question((DatedLine(units, {location: start}),), MUNICH)
        (found,) = self.dating.dates([question], (option,))
        number = int(found.delivery_days[0, 0, 0])
        return calendar_day(number) if number else None


def november(day: int) -> date:
    return date(2026, 11, day)


def minute(day: date, hour: int, minutes: int = 0) -> int:
    """Of UTC."""
    return int(datetime(day.year, day.month, day.day, hour, minutes, tzinfo=UTC).timestamp()) // 60


def test_every_option_from_every_location_is_answered_beside_the_others() -> None:
    shop = Shop()
    found = shop.dating.options([DatedLine(1, {"DC": NOW, "S1": NOW})], MUNICH, ALL)
    assert found.locations == ("DC", "S1")
    assert found.options == (SHIP, Option(Fulfilment.SHIP, "express"), Option(ALL[1]), Option(ALL[2]))
    days = [[calendar_day(day) if day else None for day in row] for row in found.delivery_days[0].tolist()]
    assert days == [
        [november(25), november(24), november(23), november(24)],
        [november(27), None, november(23), november(23)],
    ]
    assert found.status[0].tolist() == [[DATED] * 4, [DATED, NO_LANE, DATED, DATED]]
    assert [found.location(0, option) for option in range(4)] == ["DC", "DC", "DC", "S1"]
    assert found.ready[0].tolist() == [
        [0, 0, minute(november(23), 9), minute(november(24), 12)],
        [0, 0, minute(november(23), 12), minute(november(23), 12)],
    ]
    assert found.promises[:, PROMISE_ORDER_BEFORE].tolist() == [
        minute(november(23), 13, 1),  # the minute after four hours before Berlin closes, an hour before the cut-off
        minute(november(23), 13, 1),
        minute(november(23), 17),
        minute(november(23), 16),
    ]


def test_what_the_network_lacks_is_named() -> None:
    shop = Shop()
    lines = [DatedLine(1, {"DC": NOW, "NEW": NOW, "S1": NOW, "GONE": NOW})]
    found = shop.dating.options(lines, Destination("DE", "80331", "DC"), ALL, ["express"])
    assert found.status[0].tolist() == [
        [DATED, DATED, DATED],
        [NO_CALENDAR] * 3,
        [NO_LANE, DATED, NO_TRANSFER_LANE],
        [NO_UNITS if status == DATED else NO_CALENDAR for status in (0, 0, 0)],
    ]
    assert found.gaps() == [
        "location NEW has no calendar",
        "no lane from S1 to zone south with express",
        "location GONE has no calendar",
        "no transfer lane from S1 to DC",
    ]
    found = shop.dating.options(lines, Destination("DE", "10115"))
    assert found.status[0, 0].tolist() == [NO_ZONE, NO_ZONE]
    assert found.gap(0, 0) == "postal code DE 10115 is in no zone"
    assert found.gap(0, 1) == found.gap(0, 0)


def test_units_that_come_later_start_their_chain_with_the_day_they_come() -> None:
    shop = Shop()
    assert shop.day(start=day_number(november(27))) == date(2026, 11, 30)  # Friday; Saturday and Monday are transit
    assert shop.day(start=TODAY) == shop.day() == november(25)
    assert shop.day(start=None) is None


def test_a_line_is_not_served_by_a_location_that_only_others_name() -> None:
    found = Shop().dating.options([DatedLine(1, {"DC": NOW}), DatedLine(1, {"S1": NOW})], MUNICH, ALL[:1], ["standard"])
    assert found.status[..., 0].tolist() == [[DATED, NO_UNITS], [NO_UNITS, DATED]]
    assert [found.location(line, 0) for line in (0, 1)] == ["DC", "S1"]
    assert calendar_day(int(found.promises[0, PROMISE_DAY])) == november(27)


def test_capacity_is_what_reservations_left_of_it() -> None:
    shop = Shop()
    assert [shop.day(10), shop.day(11), shop.day(30)] == [november(25), november(26), november(27)]
    shop.slots("DC", "SHIP", november(23), held=7)
    assert [shop.day(3), shop.day(4), shop.day(13)] == [november(25), november(26), november(26)]
    shop.slots("DC", "SHIP", november(24), held=9, used=1)
    assert [shop.day(3), shop.day(4)] == [november(25), november(27)]


def test_slots_of_holds_that_are_over_are_free_again() -> None:
    shop = Shop()
    shop.slots("DC", "SHIP", november(23), held=10, over=4)
    assert [shop.day(4), shop.day(5)] == [november(25), november(26)]


def test_capacity_that_counts_orders_asks_for_one_whatever_the_units() -> None:
    shop = Shop()
    pickup = Option(Fulfilment.PICKUP)
    shop.slots("S1", "PICKUP", november(23), held=1)
    assert shop.day(90, pickup, "S1") == november(23)
    shop.slots("S1", "PICKUP", november(23), held=1, used=1)
    assert shop.day(90, pickup, "S1") == november(24)


def test_no_day_with_room_has_a_word_of_its_own() -> None:
    shop = Shop()
    question = Question((DatedLine(10 * 900, {"DC": NOW}),), MUNICH)
    (found,) = shop.dating.dates([question], (SHIP,))
    assert found.status.tolist() == [[[NO_SLOT]]]


def test_many_baskets_at_once_are_answered_as_each_alone() -> None:
    shop = Shop()
    later = day_number(november(30))
    questions = [
        Question((DatedLine(2, {"DC": NOW, "S1": later}),), MUNICH),
        Question((DatedLine(1, {"S1": NOW}), DatedLine(3, {"DC": later, "S1": NOW})), MUNICH, 9500),
        Question((DatedLine(1, {"DC": NOW}),), Destination("DE", "10115")),
    ]
    options = (SHIP, Option(Fulfilment.PICKUP))
    together = shop.dating.dates(questions, options)
    for question, found in zip(questions, together, strict=True):
        (alone,) = shop.dating.dates([question], options)
        assert found.locations == alone.locations
        for name in ("answers", "chosen", "promises"):
            assert getattr(found, name).tolist() == getattr(alone, name).tolist()


def test_a_confidence_picks_the_learnt_transit_where_there_is_one() -> None:
    shop = Shop()
    lines = [DatedLine(1, {"DC": NOW, "S1": NOW})]
    found = shop.dating.options(lines, MUNICH, ALL[:1], ["standard"], confidence_parts=5000)
    assert [calendar_day(day) for day in found.delivery_days[0, :, 0].tolist()] == [november(28), november(27)]
    assert [found.chain(0, place, 0).transit_days for place in (0, 1)] == [5, 4]
    shop.dating.set_transit(Nothing())
    found = shop.dating.options(lines, MUNICH, ALL[:1], ["standard"], confidence_parts=5000)
    assert calendar_day(int(found.delivery_days[0, 0, 0])) == november(25)


class Nothing:
    """Nothing was learnt."""

    def days(self, location: str, zone: str, service: str, confidence_parts: int) -> None:
        return None


def test_the_chain_tells_every_step() -> None:
    shop = Shop()
    shop.clock.at = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)  # 14:30, handling does not end today
    found = shop.dating.options([DatedLine(1, {"DC": NOW})], MUNICH, ALL[2:])
    chain = found.chain(0, 0, 0)
    assert chain._replace(option=SHIP) == (
        "DC", SHIP, DATED, "", "Europe/Berlin", minute(november(23), 13, 30), minute(november(23), 14),
        minute(november(23), 13, 30), minute(november(24), 7, 30), day_number(november(24)), day_number(november(24)),
        1, day_number(november(25)), minute(november(25), 10), minute(november(25), 12), minute(november(25), 12),
        day_number(november(25)), minute(november(24), 13, 1),
    )  # fmt: skip
    assert chain.order_before == found.promises[0, PROMISE_ORDER_BEFORE]


def test_a_chain_without_a_date_tells_how_far_it_came() -> None:
    found = Shop().dating.options([DatedLine(9000, {"DC": NOW, "NEW": NOW}), DatedLine(1, {"DC": None})], MUNICH)
    full, lost, missing = found.chain(0, 0, 0), found.chain(0, 1, 0), found.chain(1, 0, 0)
    assert (full.status, full.slot_day, full.order_before) == (NO_SLOT, 0, 0)
    assert full.done == minute(november(23), 13)
    assert (lost.status, lost.gap, lost.start, lost.cut_off) == (NO_CALENDAR, "location NEW has no calendar", 0, 0)
    assert (missing.status, missing.gap, missing.begin) == (NO_UNITS, "", 0)


def test_a_later_day_can_be_ordered_for_until_later() -> None:
    found = Shop().dating.options([DatedLine(1, {"DC": NOW, "S1": NOW})], MUNICH, ALL[:1], ["standard"])
    before = [found.order_before([(0, 0)], 0, day_number(november(day))) for day in (25, 26, 28)]
    assert before == [minute(november(day), 13, 1) for day in (23, 24, 26)]
    both = found.order_before([(0, 0), (0, 1)], 0, day_number(november(27)))
    assert both == min(minute(november(25), 13, 1), found.order_before([(0, 1)], 0, day_number(november(27))))


def test_orders_keep_the_date_that_they_had_while_nothing_changes() -> None:
    """Dated again from when they were made, whatever the time is now; a slot that an order holds is not taken twice."""
    shop = Shop()
    shop.slots("DC", "SHIP", november(23), held=10)
    made = minute(november(23), 9)
    shop.clock.at = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
    parts = [
        Part("DC", SHIP, MUNICH, 10, made, day_number(november(23))),
        Part("DC", SHIP, MUNICH, 10, made),
        Part("DC", SHIP, MUNICH, 10, made + 5 * 60, day_number(november(23))),
        Part("DC", SHIP, MUNICH, 10, None),
        Part("NEW", SHIP, MUNICH, 10, made),
        Part("DC", SHIP, MUNICH, 1, shop.dating.start_of("DC", day_number(november(30)))),
    ]
    found = shop.dating.redate(parts)
    assert found.status.tolist() == [DATED, DATED, DATED, NO_UNITS, NO_CALENDAR, DATED]
    days = [calendar_day(day) if day else None for day in found.delivery_day.tolist()]
    assert days == [november(25), november(26), november(26), None, None, date(2026, 12, 2)]
    assert [calendar_day(day) for day in found.slot_day[:3].tolist()] == [november(23), november(24), november(24)]
    assert calendar_day(int(found.ship_day[0])) == november(23)
    assert not found.ready.any()


def test_orders_from_before_the_window_are_dated_from_its_beginning() -> None:
    shop = Shop()
    old = minute(date(2025, 1, 1), 9)
    found = shop.dating.redate([Part("DC", SHIP, MUNICH, 1, old)])
    assert TODAY - DAYS_BACK <= found.delivery_day[0] <= TODAY - DAYS_BACK + 7


def test_another_network_is_dated_by_at_once() -> None:
    shop = Shop()
    before = shop.dating.options([DatedLine(1, {"DC": NOW})], MUNICH)
    shop.dating.set_network(Network.parse(DOCUMENT.replace("transit: 2", "transit: 3")))
    assert shop.day() == november(26)
    assert before.chain(0, 0, 0).delivery_day == day_number(november(25))
    assert before.order_before([(0, 0)], 0, day_number(november(25))) == minute(november(23), 13, 1)


@pytest.mark.parametrize("weeks", [1, 4, 5, 57, -1])
def test_days_go_by(weeks: int) -> None:
    """The same weekday and hour have the same chain, whatever day the tables were made on."""
    shop = Shop()
    assert shop.day() == november(25)
    shop.clock.at = datetime.fromtimestamp(MONDAY.timestamp() + weeks * 7 * 86_400, UTC)
    day = shop.day(option=Option(Fulfilment.SHIP, "express"))
    assert day is not None
    assert day_number(day) - day_number(shop.clock.at.date()) == 1


def test_promises_end_with_the_horizon() -> None:
    shop = Shop(DOCUMENT.replace("transit: 2,", "transit: 0,"))
    last = TODAY + HORIZON_DAYS
    days = [day for day in range(last - 7, last + 8) if calendar_day(day).weekday() < 5]
    found = [(calendar_day(day), shop.day(start=day)) for day in days]
    assert found == [(day, day if day_number(day) <= last else None) for day, _ in found]
    question = Question((DatedLine(1, {"DC": last + 500}),), MUNICH)
    assert shop.dating.dates([question], (SHIP,))[0].status.tolist() == [[[BEYOND_HORIZON]]]


def test_what_was_worked_out_is_forgotten_before_it_fills_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers choose the confidence. Answers that were handed out keep what they need."""
    monkeypatch.setattr(promise_routes, "ROUTES_MAX", 40)
    shop = Shop()
    kept = shop.dating.options([DatedLine(1, {"DC": NOW})], MUNICH)
    bytes_before = shop.dating.memory_bytes
    for parts in range(1000, 9000, 40):
        found = shop.dating.options([DatedLine(1, {"DC": NOW})], MUNICH, confidence_parts=parts)
        assert found.chain(0, 0, 0).transit_days == parts // 1000
    assert shop.dating.memory_bytes <= bytes_before
    assert kept.chain(0, 0, 0).transit_days == 2
    assert kept.order_before([(0, 0)], 0, day_number(november(25))) == minute(november(23), 13, 1)


def test_nothing_asked_is_nothing_answered() -> None:
    shop = Shop()
    assert shop.dating.dates([], (SHIP,)) == []
    assert shop.dating.redate([]).status.tolist() == []
    found = shop.dating.options([DatedLine(1, {})], MUNICH)
    assert found.promises[:, 0].tolist() == [NO_UNITS, NO_UNITS]
    assert found.location(0, 0) == ""
