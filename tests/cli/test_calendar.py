"""invengine calendar, and warnings of network check and apply."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import NETWORK, CommandLine

WORKING = NETWORK.replace(
    "  WH1: {kind: warehouse, priority: 10}\n",
    "  WH1:\n    priority: 10\n    time_zone: Europe/Berlin\n    calendar: dc\n    opening: shop\n"
    '    ship: {handling: 90m, cut_off: "15:00", cut_offs: {express: "17:00"}, capacity: {units: 500}}\n',
)
WORKING += """\
calendars:
  dc: {hours: {mon-fri: "08:00-18:00"}, holidays: {country: DE}, exceptions: {2026-12-24: "08:00-12:00"}}
  shop: {hours: {mon-sat: "09:00-20:00"}, holidays: {country: DE}}
services: {standard: {calendar: dc}, express: }
zones: {de: [{country: DE}]}
lanes:
  - {from: WH1, zone: de, service: standard, transit: 2}
  - {from: WH1, zone: de, service: express, transit: 1}
transfer_lanes: [{from: WH1, to: stores, transit: 1}]
"""


@pytest.fixture(scope="module")
def working(invengine: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The network of all tests with delivery added to it; afterwards without again."""
    path = tmp_path_factory.mktemp("working") / "shop.yaml"
    path.write_text(WORKING)
    invengine.run("network", "apply", str(path))
    yield invengine
    path.write_text(NETWORK)
    invengine.run("network", "apply", str(path))


def test_a_month_is_shown_as_people_read_it(working: CommandLine) -> None:
    shown = working.run("calendar", "WH1", "2026-12")
    assert shown.stderr.splitlines() == [
        "WH1 (Europe/Berlin) works by calendar dc, is open by shop.",
        "  SHIP after 1h 30m of work, 500 units a day",
        "  SHIP_TO_STORE after 1h 30m of work, 500 units a day",
    ]
    header, *rows = shown.stdout.splitlines()
    assert header.split() == [
        *("date", "weekday", "working", "opening", "order_before", "collected_services", "note"),
    ]
    assert len(rows) == 31
    assert rows[0].split(maxsplit=4) == [
        "2026-12-01",
        "Tue",
        "08:00-18:00",
        "09:00-20:00",
        "15:00 SHIP and SHIP_TO_STORE, 17:00 SHIP express  express, standard",
    ]
    assert rows[4].split() == ["2026-12-05", "Sat", "closed", "09:00-20:00"]
    assert rows[23].split()[2] == "08:00-12:00"
    assert rows[23].endswith("exception")
    assert rows[24].split() == ["2026-12-25", "Fri", "closed", "closed", "Christmas", "Day"]


def test_the_month_is_this_one_unless_said(working: CommandLine) -> None:
    answer = working.json("calendar", "WH1")
    assert answer["days"][0]["date"]["day"] == 1
    assert 28 <= len(answer["days"]) <= 31
    assert answer["preparations"][0]["handlingMinutes"] == 90


def test_a_location_without_a_calendar_says_so(working: CommandLine) -> None:
    shown = working.run("calendar", "ST2", "2028-02")
    assert shown.stderr.startswith(
        "ST2 (UTC) has no calendar: nothing from it is dated.\n  PICKUP without handling time"
    )
    assert len(shown.stdout.splitlines()) == 30  # a leap year
    assert shown.stdout.count("closed") == 58


@pytest.mark.parametrize("month", ["2026-13", "December", "2026", "2026-12-01", "26-12"])
def test_what_is_no_month_ends_with_2(working: CommandLine, month: str) -> None:
    assert "is not a month such as 2026-12" in working.run("calendar", "WH1", month, exit_code=2).stderr


def test_an_unknown_location_ends_with_3(working: CommandLine) -> None:
    assert "ATLANTIS" in working.run("calendar", "ATLANTIS", exit_code=3).stderr


def test_gaps_are_warned_of_by_check_and_apply(working: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "gap.yaml"
    path.write_text(WORKING.replace("    calendar: dc\n", ""))
    line = WORKING.splitlines().index("  WH1:") + 1
    warning = f"line {line}: locations.WH1: has no calendar: nothing shipped from here is promised"
    checked = working.run("network", "check", str(path))
    assert f"warning: {warning}" in checked.stderr.splitlines()
    assert checked.stdout.startswith("No faults: 5 locations, 2 groups, 3 channels. ")
    assert checked.stdout.endswith(" warnings.\n")
    dry = working.run("network", "apply", str(path), "--dry-run")
    assert f"warning: {warning}" in dry.stderr.splitlines()
    told = working.json("network", "check", str(path))
    assert {"line": line, "path": "locations.WH1", "problem": warning.split(": ", 2)[2]} in told["warnings"]
    assert told["faults"] == []
    assert told["warnings"] == working.json("network", "apply", str(path), "--dry-run")["warnings"]
