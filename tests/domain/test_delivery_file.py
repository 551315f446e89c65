"""Calendars, services, zones and lanes as planners write them: what they mean, and the sentence for what is wrong."""

from __future__ import annotations

from datetime import date

import pytest

from invengine.domain import delivery_reader
from invengine.domain.calendars import ALWAYS, OPEN
from invengine.domain.days import day_number
from invengine.domain.delivery import Capacity, Lane, Preparation, TransferLane
from invengine.domain.delivery_reader import LANES_MAX
from invengine.domain.network import Network, diff
from invengine.domain.orders import Fulfilment
from invengine.errors import NetworkFault, NetworkInvalid

FULL = """\
currency: EUR
calendars:
  warehouse:
    hours: {mon-fri: "08:00-18:00", sat: ["13:00-15:00", "09:00-12:00"]}
    holidays: {country: DE, subdivision: BY}
    exceptions: {2026-12-24: "08:00-12:00", 2026-12-31: closed, 2027-01-03: open}
  shop: {hours: {mon-sat: 09:00-20:00}}
  carrier-days: {hours: {mon-sat: open}}
  van-days: {hours: {tue: open, thu: open}}
services:
  standard: {carrier: DHL, calendar: carrier-days}
  express:
zones:
  de-south: [{country: DE, postal_prefixes: ["8", "9 7-a"]}]
  de: [{country: DE}, {country: AT}]
locations:
  DC-EAST:
    time_zone: Europe/Berlin
    calendar: warehouse
    opening: shop
    ship: {handling: 4h, cut_off: "15:00", cut_offs: {express: "17:00"}, capacity: {units: 500}}
    pickup: {handling: 90m, cut_off: "24:00", capacity: {orders: 20}}
  STORE-1: {kind: store, calendar: shop, ship: {cut_off: "12:00"}, ship_to_store: }
  STORE-2: {kind: store}
groups: {stores: [STORE-1, STORE-2], all: [DC-EAST, STORE-1]}
channels: {web: {groups: [all]}}
lanes:
  - {from: all, zone: de, service: standard, transit: 3}
  - {from: DC-EAST, zone: de, service: standard, transit: 2, pickups: carrier-days, cost: "4.95", cost_per_unit: 0.3}
  - {from: DC-EAST, zone: de-south, service: express, transit: 0}
transfer_lanes:
  - {from: all, to: stores, transit: 4, calendar: van-days, pickups: van-days, cost: 1.2}
  - {from: DC-EAST, to: STORE-1, transit: 1}
"""


@pytest.fixture(scope="module")
def full() -> Network:
    return Network.parse(FULL)


def fault_of(document: str) -> NetworkFault:
    with pytest.raises(NetworkInvalid) as refused:
        Network.parse(document)
    assert len(refused.value.faults) == 1, refused.value.faults
    return refused.value.faults[0]


def test_hours_of_calendars(full: Network) -> None:
    calendars = full.delivery.calendars
    assert set(calendars) == {"warehouse", "shop", "carrier-days", "van-days"}
    saturday = day_number(date.fromisoformat("2026-11-21"))
    assert calendars["warehouse"].spans(saturday) == ((540, 720), (780, 900))
    assert calendars["warehouse"].spans(day_number(date.fromisoformat("2027-01-03"))) == OPEN
    assert calendars["van-days"].week == ((), OPEN, (), OPEN, (), (), ())


def test_spans_that_touch_are_one() -> None:
    network = Network.parse(_with_calendar('hours: {mon: ["12:00-24:00", "00:00-12:00"]}'))
    assert network.delivery.calendars["c"].week[0] == OPEN


def test_what_locations_do_before_goods_leave(full: Network) -> None:
    east, store = full.locations["DC-EAST"], full.locations["STORE-1"]
    assert (east.calendar, east.opening) == (full.delivery.calendars["warehouse"], full.delivery.calendars["shop"])
    ship = Preparation(240, 900, {"express": 1020}, Capacity(units=500))
    assert east.preparation == {
        Fulfilment.SHIP: ship,
        Fulfilment.PICKUP: Preparation(90, 1440, {}, Capacity(orders=20)),
        Fulfilment.SHIP_TO_STORE: ship,
    }
    assert (ship.cut_off_of("express"), ship.cut_off_of("standard"), ship.cut_off_of()) == (1020, 900, 900)
    assert store.opening is store.calendar is full.delivery.calendars["shop"], "unless told, the calendar's hours"
    assert store.preparation[Fulfilment.SHIP] == Preparation(cut_off=720)
    assert store.preparation[Fulfilment.SHIP_TO_STORE] == Preparation(), "written, with every default"
    assert full.locations["STORE-2"].calendar is None
    assert set(full.locations["STORE-2"].preparation.values()) == {Preparation()}


def test_services_and_zones(full: Network) -> None:
    delivery = full.delivery
    standard, express = delivery.services["standard"], delivery.services["express"]
    assert (standard.carrier, standard.calendar) == ("DHL", delivery.calendars["carrier-days"])
    assert (express.name, express.carrier, express.calendar) == ("express", "", ALWAYS)
    asked = [("DE", "81671"), ("DE", "97-A 12"), ("DE", "97a"), ("DE", "97"), ("DE", ""), ("AT", "8010"), ("CH", "8")]
    found = [delivery.zone_of(*address) for address in asked]
    assert found == ["de-south", "de-south", "de-south", "de", "de", "de", ""]
    assert delivery.currency == "EUR"


def test_a_lane_of_a_group_is_one_of_each_location_and_its_own_lane_wins(full: Network) -> None:
    calendars = full.delivery.calendars
    assert full.delivery.lanes == {
        ("DC-EAST", "de", "standard"): Lane(
            "DC-EAST", "de", "standard", 2, calendars["carrier-days"], cost=49_500, cost_per_unit=3_000
        ),
        ("STORE-1", "de", "standard"): Lane("STORE-1", "de", "standard", 3, ALWAYS),
        ("DC-EAST", "de-south", "express"): Lane("DC-EAST", "de-south", "express", 0, ALWAYS),
    }
    assert {name: len(lanes) for name, lanes in full.delivery.lanes_from.items()} == {"DC-EAST": 2, "STORE-1": 1}


def test_transfer_lanes_between_groups_leave_out_the_way_from_a_location_to_itself(full: Network) -> None:
    van = full.delivery.calendars["van-days"]
    assert full.delivery.transfer_lanes == {
        ("DC-EAST", "STORE-1"): TransferLane("DC-EAST", "STORE-1", 1, ALWAYS, ALWAYS),
        ("DC-EAST", "STORE-2"): TransferLane("DC-EAST", "STORE-2", 4, van, van, cost=12_000),
        ("STORE-1", "STORE-2"): TransferLane("STORE-1", "STORE-2", 4, van, van, cost=12_000),
    }


def test_a_document_without_them_is_as_it_was() -> None:
    network = Network.parse("locations: {A: {}}")
    assert network.delivery.calendars == network.delivery.lanes == network.delivery.zones == {}
    assert network.delivery.zone_of("DE", "80331") == ""
    assert (network.locations["A"].calendar, network.locations["A"].opening) == (None, None)
    assert [change.path for change in diff(None, network)] == ["locations.A"]
    assert "calendar" not in network.elements()["locations"]["A"]


CALENDAR = "locations: {A: {}}\ncalendars:\n  c:\n    "


def _with_calendar(text: str) -> str:
    return CALENDAR + text.replace("\n", "\n    ") + "\n"


@pytest.mark.parametrize(
    ("entry", "path", "problem"),
    [
        ("hours: {monday: open}", "hours.monday", "not a day or range of days: mon, tue"),
        ("hours: {mon-: open}", "hours.mon-", "not a day or range of days"),
        ("hours: {mon-wed: open, tue: closed}", "hours.tue", "tue is written twice"),
        ('hours: {mon: "08:00-18:00-19:00"}', "hours.mon", "is neither hours such as 08:00-18:00 nor closed or open"),
        ('hours: {mon: "8:00-18:00"}', "hours.mon", "'8:00' is not a time of day from 00:00 to 24:00, such as 08:30"),
        ('hours: {mon: "08:00-24:01"}', "hours.mon", "'24:01' is not a time of day"),
        ('hours: {mon: "08:00-08:00"}', "hours.mon", "'08:00-08:00' is no time at all; for the whole day write"),
        ('hours: {mon: "22:00-06:00"}', "hours.mon", "what goes over midnight is written at both days"),
        ('hours: {mon: ["08:00-12:00", "11:00-13:00"]}', "hours.mon[1]", "11:00-13:00 overlaps 08:00-12:00"),
        ('hours: {mon: ["08:00-12:00", {}]}', "hours.mon[1]", "hours such as 08:00-18:00, or closed, are wanted"),
        ("hours: {mon: []}", "hours.mon", "no hours; for a day without any write closed"),
        ("hours: {mon: [" + '"00:00-00:01",' * 25 + "]}", "hours.mon", "25 spans; at most 24 are taken"),
        ("hours: {mon: }", "hours.mon", "hours such as 08:00-18:00, or closed, are wanted, nothing found"),
        ("hours: open", "hours", "a mapping of days to hours is wanted, 'open' found"),
        ("exceptions: {}", "", "hours are missing"),
        ("hours: {}\nhoilidays: {country: DE}", "hoilidays", "not a known field; holidays is meant?"),
        ("hours: {}\nholidays: DE", "holidays", "a mapping with a country is wanted, 'DE' found"),
        ("hours: {}\nholidays: {}", "holidays", "country is missing"),
        ("hours: {}\nholidays: {country: de}", "holidays.country", "'de' is not a country such as GB"),
        ("hours: {}\nholidays: {country: XX}", "holidays.country", "the holidays of country 'XX' are not known"),
        ("hours: {}\nholidays: {country: DE, subdivision: BV}", "holidays.subdivision", "'BV' is no part of DE whose"),
        (
            "hours: {}\nholidays: {country: DE, subdivision: }",
            "holidays.subdivision",
            "a part of DE is wanted, nothing",
        ),
        ("hours: {}\nholidays: {country: DE, state: BY}", "holidays.state", "not a known field; known are country"),
        ("hours: {}\nexceptions: [2026-12-24]", "exceptions", "a mapping of days to hours is wanted, a list found"),
        ("hours: {}\nexceptions: {24.12.2026: closed}", 'exceptions."24.12.2026"', "not a day such as 2026-12-24"),
        ("hours: {}\nexceptions: {2026-02-29: closed}", "exceptions.2026-02-29", "not a day such as 2026-12-24"),
        ("hours: {}\nexceptions: {2026-12-24: shut}", "exceptions.2026-12-24", "'shut' is neither hours"),
    ],
)
def test_what_is_wrong_with_a_calendar_is_named_with_its_line(entry: str, path: str, problem: str) -> None:
    fault = fault_of(_with_calendar(entry))
    assert fault.path == f"calendars.c.{path}".removesuffix(".")
    assert problem in fault.problem
    assert fault.line == (4 + entry.count("\n") if path else 3)


PLACES = "currency: EUR\ncalendars: {c: {hours: {}}}\nservices: {s: {}}\nzones: {z: [{country: DE}]}\n"
LANE = "from: A, zone: z, service: s, transit: 1"
TRANSFER = "from: A, to: B, transit: 1"


@pytest.mark.parametrize(
    ("section", "entry", "path", "problem"),
    [
        ("locations", "{A: {calendar: d}}", "A.calendar", "calendar 'd' is not in the document"),
        ("locations", "{A: {opening: d}}", "A.opening", "calendar 'd' is not in the document"),
        ("locations", "{A: {calendar: }}", "A.calendar", "an id is wanted, nothing found"),
        ("locations", "{A: {ship: {cut_of: '15:00'}}}", "A.ship.cut_of", "not a known field; cut_off is meant?"),
        ("locations", "{A: {ship: {cut_off: 3pm}}}", "A.ship.cut_off", "'3pm' is not a time of day"),
        ("locations", "{A: {ship: {cut_off: 25:00}}}", "A.ship.cut_off", "'25:00' is not a time of day"),
        ("locations", "{A: {ship: {cut_offs: {t: 15:00}}}}", "A.ship.cut_offs.t", "service 't' is not in the document"),
        ("locations", "{A: {ship: {cut_offs: {s: late}}}}", "A.ship.cut_offs.s", "'late' is not a time of day"),
        ("locations", "{A: {pickup: {handling: 1d}}}", "A.pickup.handling", "a day of work is as long as its hours"),
        (
            "locations",
            "{A: {pickup: {handling: 4}}}",
            "A.pickup.handling",
            "'4' is not a time of work such as 90m or 4h",
        ),
        ("locations", "{A: {pickup: {handling: 1001h}}}", "A.pickup.handling", "at most 1000 hours"),
        ("locations", "{A: {ship: {capacity: {}}}}", "A.ship.capacity", "a capacity says units or orders"),
        ("locations", "{A: {ship: {capacity: {units: 1, orders: 1}}}}", "A.ship.capacity", "units or orders, not both"),
        ("locations", "{A: {ship: {capacity: {units: 0}}}}", "A.ship.capacity.units", "greater than or equal to 1"),
        ("locations", "{A: {ship: {capacity: {boxes: 9}}}}", "A.ship.capacity.boxes", "known are units, orders"),
        ("locations", "{A: {ship: {capacity: 9}}}", "A.ship.capacity", "a mapping is wanted, '9' found"),
        ("locations", "{A: {costs: {box: 1}}}", "A.costs.box", "known are parcel, unit"),
        ("locations", "{A: {costs: {unit: -1}}}", "A.costs.unit", "'-1' is not an amount such as 4.95"),
        ("locations", "{A: {costs: 2}}", "A.costs", "a mapping is wanted, '2' found"),
        ("currency", "eur", "", "'eur' is not a currency such as EUR"),
        ("currency", "[EUR]", "", "a list is not a currency such as EUR"),
        ("services", "{s: {carier: DHL}}", "s.carier", "not a known field; carrier is meant?"),
        ("services", "{s: {calendar: d}}", "s.calendar", "calendar 'd' is not in the document"),
        ("services", "[s]", "", "a mapping of ids is wanted, a list found"),
        ("zones", "{z: []}", "z", "a list of countries with postal prefixes is wanted"),
        ("zones", "{z: {country: DE}}", "z", "a list of countries with postal prefixes is wanted, a mapping found"),
        ("zones", "{z: [DE]}", "z[0]", "a mapping with a country is wanted, 'DE' found"),
        ("zones", "{z: [{country: Germany}]}", "z[0].country", "'Germany' is not a country such as GB"),
        (
            "zones",
            "{z: [{country: DE, prefixes: [8]}]}",
            "z[0].prefixes",
            "not a known field; postal_prefixes is meant?",
        ),
        ("zones", "{z: [{country: DE, postal_prefixes: 8}]}", "z[0].postal_prefixes", "a list of beginnings of postal"),
        (
            "zones",
            "{z: [{country: DE, postal_prefixes: []}]}",
            "z[0].postal_prefixes",
            "a list of beginnings of postal",
        ),
        (
            "zones",
            "{z: [{country: DE, postal_prefixes: ['8', '-']}]}",
            "z[0].postal_prefixes[1]",
            "not the beginning of",
        ),
        (
            "zones",
            "{z: [{country: DE, postal_prefixes: [a, A]}]}",
            "z[0].postal_prefixes[1]",
            "prefix 'A' of DE is in zone",
        ),
        ("zones", "{z: [{country: DE}, {country: DE}]}", "z[1]", "the whole of DE is in zone 'z' already, in line 4"),
        (
            "zones",
            "{z: [{country: DE}], y: [{country: DE}]}",
            "y[0]",
            "the whole of DE is in zone 'z' already, in line 4",
        ),
        ("lanes", "{from: A}", "", "a list of lanes is wanted, a mapping found"),
        ("lanes", "[{zone: z, service: s, transit: 1}]", "[0].from", "is missing"),
        ("lanes", f"[{{{LANE}, days: 1}}]", "[0].days", "known are from, transit, pickups, cost, cost_per_unit, zone"),
        ("lanes", f"[{{{LANE}, pickups: d}}]", "[0].pickups", "calendar 'd' is not in the document"),
        ("lanes", f"[{{{LANE}, pickups: }}]", "[0].pickups", "an id is wanted, nothing found"),
        ("lanes", "[{from: X, zone: z, service: s, transit: 1}]", "[0].from", "location or group 'X' is not in the"),
        ("lanes", "[{from: A, zone: y, service: s, transit: 1}]", "[0].zone", "zone 'y' is not in the document"),
        ("lanes", "[{from: A, zone: z, service: t, transit: 1}]", "[0].service", "service 't' is not in the document"),
        ("lanes", "[{from: A, zone: z, service: s, transit: 366}]", "[0].transit", "less than or equal to 365"),
        ("lanes", "[{from: A, zone: z, service: s, transit: 1.5}]", "[0].transit", "'1.5' is not a whole number"),
        ("lanes", f"[{{{LANE}, cost: 4,95}}]", "[0].95", "known are from"),
        ("lanes", f"[{{{LANE}, cost: '4,95'}}]", "[0].cost", "'4,95' is not an amount such as 4.95"),
        ("lanes", f"[{{{LANE}, cost: 0.12345}}]", "[0].cost", "with at most 4 decimals"),
        ("lanes", f"[{{{LANE}, cost: 1000001}}]", "[0].cost", "at most 1,000,000"),
        ("lanes", f"[{{{LANE}}}, {{{LANE}}}]", "[1]", "from A to z with s there is a lane already, in line 7"),
        ("transfer_lanes", f"[{{{TRANSFER}, calendar: d}}]", "[0].calendar", "calendar 'd' is not in the document"),
        ("transfer_lanes", "[{from: A, to: A, transit: 1}]", "[0].to", "'A' is where the lane begins"),
        ("transfer_lanes", "[{from: A, to: X, transit: 1}]", "[0].to", "location or group 'X' is not in the document"),
        (
            "transfer_lanes",
            f"[{{{TRANSFER}}}, {{{TRANSFER}}}]",
            "[1]",
            "from A to B there is a lane already, in line 7",
        ),
    ],
)
def test_what_is_wrong_elsewhere_is_named_with_its_line(section: str, entry: str, path: str, problem: str) -> None:
    sections = [*PLACES.splitlines(), "locations: {A: {}, B: {}}", "groups: {g: [A]}"]
    kept = [line for line in sections if not line.startswith(f"{section}:")]
    kept.insert(
        min(len(kept), [*(line.split(":")[0] for line in sections), section].index(section)), f"{section}: {entry}"
    )
    fault = fault_of("\n".join(kept))
    assert fault.path == f"{section}.{path}".removesuffix(".").replace(".[", "[")
    assert problem in fault.problem
    assert fault.line == kept.index(f"{section}: {entry}") + 1


def test_two_groups_with_a_lane_for_one_location_are_a_fault_unless_it_has_its_own() -> None:
    lines = [*PLACES.splitlines(), "locations: {A: {}, B: {}}", "groups: {g: [A, B], h: [B]}", "lanes:"]
    lines += ["- {from: g, zone: z, service: s, transit: 1}", "- {from: h, zone: z, service: s, transit: 2}"]
    fault = fault_of("\n".join(lines))
    assert str(fault) == "line 9: lanes[1]: from B to z with s there is a lane already, in line 8"
    own = Network.parse("\n".join([*lines, "- {from: B, zone: z, service: s, transit: 3}"]))
    assert {name: lane.transit_days for (name, _, _), lane in own.delivery.lanes.items()} == {"A": 1, "B": 3}


def test_a_transfer_lane_that_names_more_of_its_ends_wins() -> None:
    lines = [*PLACES.splitlines(), "locations: {A: {}, B: {}, C: {}}", "groups: {from: [A, B], to: [B, C]}"]
    lines += ["transfer_lanes:", "- {from: from, to: to, transit: 3}", "- {from: A, to: to, transit: 2}"]
    lines += ["- {from: A, to: C, transit: 1}"]
    lanes = Network.parse("\n".join(lines)).delivery.transfer_lanes
    assert {ends: lane.transit_days for ends, lane in lanes.items()} == {
        ("A", "B"): 2,
        ("A", "C"): 1,
        ("B", "C"): 3,
    }


def test_a_name_that_is_a_location_and_a_group_is_asked_about() -> None:
    document = PLACES + f"locations: {{A: {{}}}}\ngroups: {{A: [A]}}\nlanes: [{{{LANE}}}]"
    assert str(fault_of(document)) == "line 7: lanes[0].from: 'A' is a location and a group: which one is meant?"


def test_costs_need_a_currency() -> None:
    document = PLACES.replace("currency: EUR\n", "") + f"locations: {{A: {{}}}}\nlanes: [{{{LANE}, cost_per_unit: 1}}]"
    fault = fault_of(document)
    assert (fault.line, fault.path) == (5, "lanes[0].cost_per_unit")
    assert fault.problem == "costs need a currency: say it at the top, such as currency: EUR"
    assert fault_of(document.replace("cost_per_unit: 1", "cost: 0.01")).path == "lanes[0].cost"
    assert Network.parse(document.replace("cost_per_unit: 1", "cost: 0")).delivery.currency == ""
    fault = fault_of("locations:\n  A: {costs: {unit: 0.05}}")
    assert (fault.line, fault.path) == (2, "locations.A.costs")
    assert fault.problem == "costs need a currency: say it at the top, such as currency: EUR"


def test_a_location_says_what_its_parcels_and_units_cost() -> None:
    network = Network.parse("currency: EUR\nlocations: {A: {costs: {parcel: 1.2, unit: 0.15}}, B: {}}")
    costs = {name: (place.parcel_cost, place.unit_cost) for name, place in network.locations.items()}
    assert costs == {"A": (12_000, 1_500), "B": (0, 0)}
    assert network.elements()["locations"]["A"]["costs"] == {"parcel": "1.20", "unit": "0.15"}
    assert "costs" not in network.elements()["locations"]["B"]


def test_a_fault_hides_no_other() -> None:
    document = """\
calendars:
  a: {hours: {mon: 9-5, tuesday: open}, holidays: {country: XX}}
  b: {hours: {mon: open}}
services: {s: {calendar: c}}
zones: {z: [{country: D}, {country: DE, postal_prefixes: ["", "8"]}]}
locations: {A: {calendar: nobody, ship: {handling: long, capacity: {units: 1, orders: 2}}}}
lanes:
  - {from: A, zone: z, service: t, transit: -1}
  - {from: A, zone: y, service: t, transit: 1, cost: 5}
"""
    with pytest.raises(NetworkInvalid) as refused:
        Network.parse(document)
    assert [(fault.line, fault.path) for fault in refused.value.faults] == [
        (2, "calendars.a.hours.mon"),
        (2, "calendars.a.hours.tuesday"),
        (2, "calendars.a.holidays.country"),
        (4, "services.s.calendar"),
        (5, "zones.z[0].country"),
        (5, "zones.z[1].postal_prefixes[0]"),
        (6, "locations.A.ship.handling"),
        (6, "locations.A.ship.capacity"),
        (8, "lanes[0].transit"),
        (9, "lanes[1].zone"),
        (9, "lanes[1].service"),
        (9, "lanes[1].cost"),
    ]


def test_too_much_of_anything_is_one_fault() -> None:
    calendars = "".join(f"c{number}: {{hours: {{}}}}," for number in range(1001))
    assert "1001 entries; at most 1000" in fault_of(f"locations: {{A: {{}}}}\ncalendars: {{{calendars}}}").problem
    days = "".join(f"{2000 + n // 336}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}: closed," for n in range(2001))
    assert "2001 days; at most 2000" in fault_of(_with_calendar(f"hours: {{}}\nexceptions: {{{days}}}")).problem
    prefixes = ",".join(f'"{number}"' for number in range(50_001))
    zones = f"locations: {{A: {{}}}}\nzones: {{z: [{{country: DE, postal_prefixes: [{prefixes}]}}]}}"
    assert "50001 postal prefixes; at most 50000" in fault_of(zones).problem
    lanes = "x," * (LANES_MAX + 1)
    assert f"{LANES_MAX + 1} lanes; at most" in fault_of(f"{PLACES}locations: {{A: {{}}}}\nlanes: [{lanes}]").problem


def test_groups_make_no_more_lanes_than_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 locations times 1,000 others are a million: it is said once, and before they are made."""
    monkeypatch.setattr(delivery_reader, "ROUTES_MAX", 100)
    names = ", ".join(f"L{number}: {{}}" for number in range(1000))
    members = ", ".join(f"L{number}" for number in range(1000))
    document = f"{PLACES}locations: {{{names}}}\ngroups: {{g: [{members}]}}\n"
    fault = fault_of(document + "transfer_lanes: [{from: g, to: g, transit: 1}]")
    assert fault.problem == "more than 100 of them, those of groups counted for each location"


def test_what_changes_is_told_element_by_element() -> None:
    def changes(old: str, new: str) -> list[tuple[str, str, str, str]]:
        assert FULL.count(old) == 1, old
        found = diff(Network.parse(FULL), Network.parse(FULL.replace(old, new)))
        return [(change.kind.value, change.path, change.before_json, change.after_json) for change in found]

    assert changes("subdivision: BY", "subdivision: BE") == [
        ("CHANGED", "calendars.warehouse.holidays.subdivision", '"BY"', '"BE"')
    ]
    assert changes("    holidays: {country: DE, subdivision: BY}\n", "") == [
        ("REMOVED", "calendars.warehouse.holidays", '{"country": "DE", "subdivision": "BY"}', "")
    ]
    assert changes('"13:00-15:00", "09:00-12:00"', '"09:00-12:00", "13:00-16:00"') == [
        ("CHANGED", "calendars.warehouse.hours.sat", '"09:00-12:00, 13:00-15:00"', '"09:00-12:00, 13:00-16:00"')
    ]
    assert changes("2026-12-31: closed, ", "") == [
        ("REMOVED", "calendars.warehouse.exceptions.2026-12-31", '"closed"', "")
    ]
    assert changes("transit: 3}", "transit: 2}") == [("CHANGED", "lanes.all.de.standard.transit", "3", "2")]
    assert changes('cost: "4.95"', "cost: 5") == [("CHANGED", "lanes.DC-EAST.de.standard.cost", '"4.95"', '"5.00"')]
    assert changes("transit: 4, ", "transit: 5, ") == [("CHANGED", "transfer_lanes.all.stores.transit", "4", "5")]
    assert changes("handling: 4h, ", "handling: 270m, ") == [
        ("CHANGED", "locations.DC-EAST.ship.handling", '"4h"', '"270m"')
    ]
    assert changes("capacity: {units: 500}", "capacity: {units: 600}") == [
        ("CHANGED", "locations.DC-EAST.ship.capacity.units", "500", "600")
    ]
    assert changes("opening: shop", "opening: warehouse") == [("REMOVED", "locations.DC-EAST.opening", '"shop"', "")]
    assert changes("{country: AT}", "{country: CH}") == [
        ("REMOVED", "zones.de.AT", '[""]', ""),
        ("ADDED", "zones.de.CH", "", '[""]'),
    ]
    assert changes("currency: EUR", "currency: USD") == [("CHANGED", "currency", '"EUR"', '"USD"')]
    assert changes("{carrier: DHL, ", "{") == [("CHANGED", "services.standard.carrier", '"DHL"', '""')]


def test_the_same_meaning_in_other_words_is_no_change() -> None:
    other = (
        FULL.replace("mon-fri: ", "mon-wed: 08:00-18:00, thu-fri: ")
        .replace('["13:00-15:00", "09:00-12:00"]', '["09:00-10:00", "10:00-12:00", "13:00-15:00"]')
        .replace("mon-sat: open", "sun: closed, mon-sat: 00:00-24:00")
        .replace("handling: 4h", "handling: 240m")
        .replace('["8", "9 7-a"]', '["97A", "8"]')
        .replace("cost_per_unit: 0.3}", 'cost_per_unit: "0.3000"}')
        .replace("ship_to_store: }", "ship_to_store: {handling: 0}}")
    )
    assert diff(Network.parse(FULL), Network.parse(other)) == []
