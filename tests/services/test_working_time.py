"""When a location works, as people ask for it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from invengine.domain.days import day_number
from invengine.domain.network import Network
from invengine.domain.orders import Fulfilment
from invengine.errors import InvalidArgument, UnknownLocation
from invengine.services.working_time import WorkingDay, working_time

NETWORK = Network.parse("""\
calendars:
  dc:
    hours: {mon-fri: "08:00-18:00"}
    holidays: {country: DE}
    exceptions: {2026-12-24: "08:00-12:00", 2026-12-26: open}
  shop: {hours: {mon-sat: "09:00-20:00"}, holidays: {country: DE}}
  mornings: {hours: {mon: open, thu: open}}
services: {standard: {}, express: {}}
zones: {de: [{country: DE}], at: [{country: AT}]}
locations:
  DC:
    time_zone: Europe/Berlin
    fulfilments: [ship, pickup]
    calendar: dc
    opening: shop
    ship: {cut_off: "15:00", cut_offs: {express: "17:00"}}
  BARE: {time_zone: America/New_York}
lanes:
  - {from: DC, zone: de, service: standard, transit: 1}
  - {from: DC, zone: at, service: standard, transit: 1, pickups: mornings}
  - {from: DC, zone: de, service: express, transit: 1, pickups: mornings}
transfer_lanes: [{from: DC, to: BARE, transit: 1}]
""")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def day_of(text: str) -> WorkingDay:
    first = day_number(date.fromisoformat(text))
    (day,) = working_time(NETWORK, "DC", first_day=first, days=1, now_ms=0).days
    assert day.day == first
    return day


def test_a_working_day_has_cut_offs_and_what_is_collected() -> None:
    monday = day_of("2026-11-23")
    assert (monday.working, monday.opening) == (((480, 1080),), ((540, 1200),))
    assert (monday.holiday, monday.is_exception) == ("", False)
    assert [(cut.fulfilment, cut.service, cut.minute) for cut in monday.cut_offs] == [
        (Fulfilment.SHIP, "", 900),
        (Fulfilment.SHIP, "express", 1020),
        (Fulfilment.PICKUP, "", 1080),  # without a cut-off it is the end of work
        (Fulfilment.SHIP_TO_STORE, "", 900),
    ]
    assert monday.cut_offs[0].utc_minute * 60_000 == ms("2026-11-23 14:00")
    assert monday.collected == ("express", "standard")
    assert day_of("2026-11-24").collected == ("standard",)
    assert day_of("2026-07-01").cut_offs[0].utc_minute * 60_000 == ms("2026-07-01 13:00"), "summer time"


def test_a_day_on_which_nobody_works_has_neither() -> None:
    saturday = day_of("2026-11-28")
    assert (saturday.working, saturday.opening) == ((), ((540, 1200),))
    assert (saturday.cut_offs, saturday.collected) == ((), ())


def test_holidays_and_exceptions_are_named() -> None:
    christmas, boxing, eve = (day_of(f"2026-12-{day}") for day in (25, 26, 24))
    assert (christmas.holiday, christmas.is_exception, christmas.working) == ("Christmas Day", False, ())
    assert (boxing.holiday, boxing.is_exception, boxing.working) == ("Second Day of Christmas", True, ((0, 1440),))
    assert (eve.holiday, eve.is_exception, eve.working) == ("", True, ((480, 720),))


def test_a_location_without_a_calendar_never_works() -> None:
    found = working_time(NETWORK, "BARE", first_day=0, days=2, now_ms=ms("2026-11-23 03:00"))
    assert [day.day for day in found.days] == [day_number(date(2026, 11, 22)), day_number(date(2026, 11, 23))], (
        "today there, five hours behind"
    )
    assert {(day.working, day.opening, day.cut_offs) for day in found.days} == {((), (), ())}
    assert found.fulfilments == (Fulfilment.SHIP,), "no transfer lane begins here"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"location": ""}, "location"),
        ({"days": 0}, "days"),
        ({"days": 367}, "days"),
        ({"first_day": day_number(date(9999, 12, 31))}, "first_date"),
    ],
)
def test_bad_questions_are_refused(asked: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        working_time(NETWORK, **{"location": "DC", "first_day": 0, "days": 1, "now_ms": 0, **asked})  # type: ignore[arg-type]
    assert refused.value.field == field


def test_an_unknown_location_is_refused() -> None:
    with pytest.raises(UnknownLocation):
        working_time(NETWORK, "ATLANTIS", first_day=0, days=1, now_ms=0)


def test_the_last_day_that_can_be_asked_about() -> None:
    last = day_number(date(9996, 12, 31))
    assert len(working_time(NETWORK, "DC", first_day=last, days=366, now_ms=0).days) == 366
