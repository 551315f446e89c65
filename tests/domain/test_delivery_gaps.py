"""Gaps: what is no fault, and yet would be promised wrongly or not at all. Each names its line."""

from __future__ import annotations

from datetime import date

import pytest

from invengine.domain.days import day_number
from invengine.domain.delivery_gaps import GAPS_MAX, delivery_gaps
from invengine.domain.network import Network

TODAY = day_number(date(2026, 11, 23))

WHOLE = """\
calendars:
  dc: {hours: {mon-fri: "08:00-18:00"}}
  shop: {hours: {mon-sat: "09:00-20:00"}}
services:
  standard: {carrier: DHL, calendar: dc}
zones:
  de: [{country: DE}]
locations:
  DC: {time_zone: Europe/Berlin, calendar: dc, ship: {cut_off: "15:00", cut_offs: {standard: "16:00"}}}
  SHOP: {kind: store, time_zone: Europe/Berlin, calendar: shop, pickup: {handling: 1h}}
groups: {all: [DC, SHOP]}
lanes:
  - {from: DC, zone: de, service: standard, transit: 2, pickups: dc}
transfer_lanes:
  - {from: DC, to: SHOP, transit: 1, calendar: shop, pickups: dc}
"""


def gaps_of(document: str) -> list[str]:
    return [str(gap) for gap in delivery_gaps(Network.parse(document), TODAY)]


def test_a_network_with_everything_has_none() -> None:
    assert gaps_of(WHOLE) == []


def test_what_says_nothing_leaves_none() -> None:
    assert gaps_of(WHOLE.replace("pickup: {handling: 1h}", "ship: , ship_to_store: {}, pickup: ")) == []


def test_a_network_that_says_nothing_about_delivery_has_none() -> None:
    assert gaps_of("locations: {A: {}, B: {kind: store}}\n") == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "calendars:\n",
            "calendars:\n  spare: {hours: {mon: open}}\n",
            "line 2: calendars.spare: no location, service or lane has this calendar",
        ),
        (
            "  standard:",
            "  express:\n  standard:",
            "line 5: services.express: no lane has this service: it is never promised",
        ),
        (
            "  de: [",
            "  fr: [{country: FR}]\n  de: [",
            "line 7: zones.fr: no lane leads here: nothing is promised to its postal codes",
        ),
        (
            "[{country: DE}]",
            '[{country: DE, postal_prefixes: ["8"]}]',
            "line 7: zones.de: no zone has the whole of DE: its other postal codes are in no zone",
        ),
        (
            "locations:\n",
            "locations:\n  LON1: {time_zone: Europe/London, calendar: dc}\n",
            "line 9: locations.LON1: no lane begins here: nothing is promised to be shipped from here",
        ),
        (
            "Berlin, calendar: shop, pickup",
            "Berlin, pickup",
            "line 10: locations.SHOP: has no calendar: nothing collected here is promised",
        ),
        (
            "Berlin, calendar: shop, pickup",
            "Berlin, opening: shop, pickup",
            "line 10: locations.SHOP: has no calendar: nothing collected here is promised",
        ),
        (
            "DC: {time_zone: Europe/Berlin, ",
            "DC: {",
            "line 9: locations.DC: has working time and no time_zone: its times are taken as UTC",
        ),
        (
            "ship: {cut_off",
            "pickup: {handling: 1m}, ship: {cut_off",
            "line 9: locations.DC.pickup: is never used: the location does not offer pickup",
        ),
        (
            "pickup: {handling: 1h}",
            'ship_to_store: {cut_off: "12:00"}',
            "line 10: locations.SHOP.ship_to_store: is never used: the location does not ship",
        ),
        (
            'cut_off: "15:00"',
            'cut_off: "08:00"',
            "line 9: locations.DC.ship.cut_off: 08:00 is not after the opening at 08:00: what is ordered in working "
            "hours counts as of the next working day",
        ),
        (
            'cut_offs: {standard: "16:00"',
            'cut_offs: {standard: "07:59"',
            "line 9: locations.DC.ship.cut_offs.standard: 07:59 is not after the opening at 08:00: what is ordered in "
            "working hours counts as of the next working day",
        ),
        (
            "pickup: {handling: 1h}",
            'pickup: {cut_offs: {standard: "12:00"}}',
            "line 10: locations.SHOP.pickup.cut_offs.standard: is never used: services are of ship, not of pickup",
        ),
        (
            "[DC, SHOP]}\nlanes:\n",
            "[DC, SHOP]}\nlanes:\n  - {from: SHOP, zone: de, service: standard, transit: 2}\n",
            "line 13: lanes[0].from: 'SHOP' does not ship: the lane is never used",
        ),
        (
            "transfer_lanes:\n  - {from: DC, to: SHOP, transit: 1, calendar: shop, pickups: dc}\n",
            "",
            "line 1: transfer_lanes: there are none: nothing is promised to be sent to a store and collected there",
        ),
        (
            "groups:",
            "  NEW: {kind: store, time_zone: Europe/Berlin, calendar: shop}\ngroups:",
            "line 11: locations.NEW: no transfer lane leads here: nothing is promised to be sent here and collected",
        ),
        (
            "transfer_lanes:\n",
            "transfer_lanes:\n  - {from: SHOP, to: all, transit: 1}\n",
            "line 15: transfer_lanes[0].from: 'SHOP' does not ship: the lane is never used",
        ),
        (
            "transfer_lanes:\n",
            "transfer_lanes:\n  - {from: all, to: DC, transit: 1}\n",
            "line 15: transfer_lanes[0].to: nobody collects at 'DC': the lane is never used",
        ),
    ],
)
def test_a_gap_is_named_with_its_line_and_alone(old: str, new: str, expected: str) -> None:
    assert WHOLE.count(old) == 1, old
    assert gaps_of(WHOLE.replace(old, new)) == [expected]


def test_one_thing_that_is_missing_may_leave_several_gaps() -> None:
    shut = "mon-fri: closed}, exceptions: {2026-11-22: open, 2028-11-22: open}"
    assert gaps_of(WHOLE.replace('mon-fri: "08:00-18:00"}', shut)) == [
        "line 2: calendars.dc: is not open on any of the next 730 days: nothing that waits for it is promised"
    ]
    more = "locations:\n  OLD: {fulfilments: []}\n  NEW: {enabled: false}\n  LON1: {time_zone: Europe/London}\n"
    assert gaps_of(WHOLE.replace("locations:\n", more)) == [
        "line 11: locations.LON1: has no calendar: nothing shipped from here is promised",
        "line 11: locations.LON1: no lane begins here: nothing is promised to be shipped from here",
    ]
    ships = 'kind: store, fulfilments: [ship, pickup], ship: {cut_offs: {standard: "12:00"}}, '
    assert gaps_of(WHOLE.replace("kind: store, ", ships)) == [
        "line 10: locations.SHOP.ship.cut_offs.standard: no lane from here has service 'standard'",
        "line 10: locations.SHOP: no lane begins here: nothing is promised to be shipped from here",
    ]


def test_a_carrier_that_comes_when_nobody_works_is_told() -> None:
    document = WHOLE.replace("calendars:\n", "calendars:\n  weekend: {hours: {sat-sun: open}}\n")
    assert gaps_of(document.replace("transit: 2, pickups: dc", "transit: 2, pickups: weekend")) == [
        "line 10: locations.DC: works on none of the days on which carriers collect by calendar 'weekend': nothing "
        "leaves with them"
    ]


def test_holidays_that_nobody_knows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library ends somewhere; days after that would be promised as working days."""
    document = WHOLE.replace('{hours: {mon-fri: "08:00-18:00"}}', "{hours: {mon: open}, holidays: {country: SA}}")
    known = {2026: {1: "a"}, 2027: {2: "b"}, 2028: {}}
    monkeypatch.setattr("invengine.domain.calendars.Holidays.of_year", lambda _, year: known[year])
    assert gaps_of(document) == [
        "line 2: calendars.dc.holidays: no holiday of SA is known in 2028: its days count as working days"
    ]


def test_gaps_come_by_line_and_not_without_end() -> None:
    places = "".join(f"  L{number}: {{calendar: dc}}\n" for number in range(1_500))
    found = delivery_gaps(Network.parse(WHOLE.replace("groups:", f"{places}groups:")), TODAY)
    assert len(found) == GAPS_MAX
    assert [gap.line for gap in found] == sorted(gap.line for gap in found)
