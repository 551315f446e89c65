"""invengine lane learn, list, show, forget, report."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server
from tests.deliveries import made

NETWORK = """\
locations:
  DC: {kind: warehouse, time_zone: Europe/Berlin}
  LON: {kind: warehouse, time_zone: Europe/London}
channels: {web: {groups: [all]}}
groups: {all: [DC, LON]}
calendars: {days: {hours: {mon-fri: "00:00-24:00"}}}
services: {standard: {carrier: DHL, calendar: days}, express: {carrier: DHL, calendar: days}}
zones: {north: [{country: DE, postal_prefixes: ["1", "2"]}], islands: [{country: GB}]}
lanes:
  - {from: DC, zone: north, service: standard, transit: 4}
  - {from: LON, zone: islands, service: express, transit: 1}
"""
HEADER = "order_id,location,country,postal_code,service,ordered,shipped,delivered\n"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command line against a server of its own, whose network has lanes."""
    folder = tmp_path_factory.mktemp("lanes")
    server = Server(folder)
    try:
        server.wait()
        file = folder / "network.yaml"
        file.write_text(NETWORK)
        commands = CommandLine(server.address)
        commands.run("network", "apply", str(file))
        yield commands
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made-up world: network.yaml and deliveries.csv."""
    folder = tmp_path_factory.mktemp("made")
    made.write(made.make_world(seed=1, locations=3, zones=3), folder, 4_000, 1, 0.001)
    return folder


def write(folder: Path, rows: str, name: str = "deliveries.csv") -> str:
    path = folder / name
    path.write_text(HEADER + rows, encoding="utf-8")
    return str(path)


def simple(arrived: dict[int, int], *, since: date = date(2025, 6, 2)) -> str:
    """Deliveries of one lane: so many that took so many days, each shipped on a Monday."""
    rows = []
    for transit, count in arrived.items():
        for number in range(count):
            shipped = since + timedelta(days=7 * (number % 10))
            there = made.arrival(shipped, transit)
            rows.append(f"o{transit}-{number},DC,DE,10115,standard,{shipped},{shipped},{there}\n")
    return "".join(rows)


def test_deliveries_are_learnt_and_say_the_days_of_lanes(line: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, simple({1: 70, 2: 20, 3: 10}))
    looked = line.run("lane", "learn", file, "--dry-run")
    assert [row.split() for row in looked.stdout.splitlines()[:2]] == [
        ["rows", "bad", "deliveries", "under_way", "lanes"],
        ["100", "0", "100", "0", "1"],
    ]
    assert "would change" in looked.stderr
    assert line.json("lane", "list")["lanes"][0]["days"] == []
    learnt = line.json("lane", "learn", file)
    assert (learnt["deliveries"], learnt["bad"]) == (100, 0)
    assert [change["path"] for change in learnt["changes"]] == ["lanes.DC"]
    again = line.run("lane", "learn", file)
    assert "Nothing changed; revision" in again.stderr
    listed = line.run("lane", "list", "--confidence", "0.7", "--confidence", "0.95")
    assert [row.split() for row in listed.stdout.splitlines()] == [
        [
            *("location", "zone", "service", "deliveries", "under_way", "stated_days"),
            *("days_at_0.7", "days_at_0.95", "longest_days"),
        ],
        ["DC", "north", "standard", "100", "0", "4", "1", "3", "3"],
        ["LON", "islands", "express", "0", "0", "1"],
    ]
    shown = line.run("lane", "show", "DC", "north", "standard", "--confidence", "0.9")
    assert "states 4 carrier working days" in shown.stderr
    assert "shipped from 2025-06-02 to 2025-08-04" in shown.stderr
    rows = [row.split() for row in shown.stdout.splitlines()]
    assert rows[1] == ["90", "%", "2", "90", "%", "lane", "100", "3"]
    assert rows[-1] == ["3", "10", "0", "100", "%"]
    assert "Nothing was learnt of this service" in line.run("lane", "show", "LON", "islands", "express").stderr
    assert "No lane leads" in line.run("lane", "show", "LON", "north", "express", exit_code=3).stderr
    line.run("lane", "list", "--confidence", "1.5", exit_code=2)
    forgotten = line.run("lane", "forget")
    assert [row.split()[:2] for row in forgotten.stdout.splitlines()[1:] if row] == [["removed", "lanes.DC"]]
    assert line.json("lane", "list")["lanes"][0]["days"] == []


def test_parcels_under_way_and_days_of_other_zones_are_understood(line: CommandLine, tmp_path: Path) -> None:
    """An instant is of the day that it is at the location; without `delivered` a parcel is under way."""
    rows = (
        "o1,DC,DE,10115,standard,2025-03-03,2025-03-03T23:30:00+01:00,2025-03-04T23:30:00Z\n"  # there on the 5th
        "o2,LON,GB,E16 1AA,express,2025-03-03,2025-03-03,2025-03-04T23:30:00Z\n"
        "o3,DC,DE,2-0095,standard,2025-03-03,2025-03-04,\n\n"
    )
    packed = tmp_path / "deliveries.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + rows).encode("utf-8-sig")))
    line.run("lane", "learn", str(packed))
    document = json.loads(line_document(line))
    assert document["lanes"] == {
        "DC": {"north": {"standard": {"arrived": {"2": 1}, "under_way": {"1": 1}}}},
        "LON": {"islands": {"express": {"arrived": {"1": 1}}}},
    }
    assert (document["shipped_since"], document["shipped_until"], document["as_of"]) == (
        "2025-03-03",
        "2025-03-04",
        "2025-03-05",
    )
    line.run("lane", "learn", str(packed), "--as-of", "2025-03-04", "--basis", "all", "--strength", "3")
    document = json.loads(line_document(line))
    assert document["lanes"]["DC"]["north"]["standard"] == {"arrived": {}, "under_way": {"0": 1, "1": 1}}
    assert (document["basis"], document["strength"], document["as_of"]) == ("all", 3, "2025-03-04")
    line.run("lane", "learn", str(packed), "--as-of", "soon", exit_code=2)
    line.run("lane", "learn", str(packed), "--as-of", "2025-01-01", exit_code=2)


def line_document(line: CommandLine) -> str:
    """The document in force, as it was applied."""
    from invengine.client import connect

    with connect(line.address) as client:
        return client.get_transit_times().document


BAD = (
    "o1,DC,DE,10115,standard,2025-03-03,2025-03-03,2025-03-04\n"
    "o1,DC,DE,10115,standard,2025-03-03,2025-03-03,2025-03-04\n"
    "o 2 ,DC,DE,10115,standard,2025-03-03,2025-03-03,2025-03-04\n"
    ",DC,DE,10115,standard,2025-03-03,2025-03-03,2025-03-04\n"
    "o3,MOON,DE,10115,standard,2025-03-03,2025-03-03,2025-03-04\n"
    "o4,DC,DE,80331,standard,2025-03-03,2025-03-03,2025-03-04\n"
    "o5,DC,FR,75001,standard,2025-03-03,2025-03-03,2025-03-04\n"
    "o6,DC,DE,10115,overnight,2025-03-03,2025-03-03,2025-03-04\n"
    "o7,DC,DE,10115,standard,2025-13-03,2025-03-03,2025-03-04\n"
    "o8,DC,DE,10115,standard,,2025-03-03,2025-03-04\n"
    "o9,DC,DE,10115,standard,2025-03-03,2025-03-02,2025-03-04\n"
    "o10,DC,DE,10115,standard,2025-03-03,2025-03-05,2025-03-04\n"
    "o11,DC,DE,10115,standard,2020-03-03,2020-03-03,2025-03-04\n"
    "o12,DC,DE,10115,standard,1970-03-03,2025-03-03,2025-03-04\n"
    "o13,DC,DE,10115,standard,2025-03-03,2025-03-03\n"
    "o14,DC,DE,10115,standard,2025-03-03,2025-03-03,{future}\n"
)


def test_bad_rows_are_named_with_their_column_and_nothing_is_learnt(line: CommandLine, tmp_path: Path) -> None:
    future = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    file = write(tmp_path, BAD.replace("{future}", future))
    before = line_document(line)
    refused = line.run("lane", "learn", file, exit_code=2)
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "row 3, column order_id: the same delivery as in row 2",
        "row 4, column order_id: an id has no space at its ends",
        "row 5, column order_id: an id has 1 to 64 bytes",
        "row 6, column location: 'MOON' is not in the network",
        "row 7, column postal_code: DE 80331 is in no zone",
        "row 8, column country: FR 75001 is in no zone",
        "row 9, column service: 'overnight' is not in the network",
        "row 10, column ordered: '2025-13-03' is not a day such as 2026-01-31",
        "row 11, column ordered: is empty",
        "row 12, column shipped: 2025-03-02 is before it was ordered",
        "row 13, column delivered: 2025-03-04 is before it was shipped",
        "row 14, column delivered: 2025-03-04 is more than 730 days after it was shipped",
        "row 15, column ordered: 1970-03-03 is before 1990-01-01",
        "row 16: 7 columns, the header has 8",
        f"row 17, column delivered: {future} is in the future",
        "Nothing was learnt: 15 bad rows. Correct them, or use the others with --skip-bad.",
    ]
    assert line_document(line) == before
    learnt = line.json("lane", "learn", file, "--skip-bad", "--dry-run")
    assert (learnt["rows"], learnt["bad"], learnt["deliveries"]) == (16, 15, 1)
    assert learnt["badRows"][0].startswith("row 3, column order_id")
    line.run("lane", "report", file, exit_code=2)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("order_id,location\n", "country, postal_code, service, ordered, shipped, delivered missing"),
        (HEADER.strip() + ",shipped\n", "shipped more than once"),
        ("", "missing"),
        (HEADER + 'o1,"DC\n', "deliveries.csv"),
        (HEADER, "there is no delivery to learn from"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(
    line: CommandLine, tmp_path: Path, content: str, problem: str
) -> None:
    path = tmp_path / "deliveries.csv"
    path.write_text(content)
    assert problem in line.run("lane", "learn", str(path), exit_code=2).stderr
    assert "No such file" in line.run("lane", "learn", str(tmp_path / "none.csv"), exit_code=2).stderr


def test_other_columns_are_passed_over_and_stdin_is_read(line: CommandLine) -> None:
    rows = "weight,order_id,location,country,postal_code,service,ordered,shipped,delivered\n"
    rows += "2 kg,o1,DC,de,10115,standard,2025-03-03,2025-03-03,2025-03-05\n"
    found = line.run("lane", "learn", "-", "--dry-run", "--json", stdin=rows)
    assert json.loads(found.stdout)["deliveries"] == 1


def test_a_revision_that_was_passed_over_ends_with_4(line: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, simple({5: 30}))
    line.run("lane", "learn", file, "--expected-revision", "99", exit_code=4)


def test_a_report_needs_no_server_where_it_has_a_network_file(made_up: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    using = ("--network", str(made_up / "network.yaml"))
    printed = nowhere.run("lane", "report", str(made_up / "deliveries.csv"), *using, "--by", "service", "--csv")
    assert "deliveries learnt from" in printed.stderr
    rows = list(csv.DictReader(printed.stdout.splitlines()))
    assert [row["promise"] for row in rows[:6]] == ["80 %", "90 %", "95 %", "99 %", "longest seen", "stated"]
    assert {row["service"] for row in rows} == {"", "express", "standard", "economy"}
    assert len(printed.stdout.splitlines()) == len(rows) + 1
    told = nowhere.json("lane", "report", str(made_up / "deliveries.csv"), *using, "--confidence", "0.95")
    (sure,) = [row for row in told["rows"] if row["confidence"] is not None]
    assert (sure["promise"], sure["deliveries"]) == ("95 %", told["judged"])
    assert sure["keptShare"] == sure["kept"] / sure["deliveries"] >= 0.95
    assert sure["keptShare"] == pytest.approx(sure["expectedShare"], abs=0.02)
    assert told["judged"] + told["notDue"] == told["heldBack"]
    assert told["orderedSince"].startswith("2025-10")


def test_a_draw_is_the_same_for_the_same_seed(made_up: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")

    def kept(seed: int, *more: str) -> object:
        file, network = str(made_up / "deliveries.csv"), str(made_up / "network.yaml")
        words = ("lane", "report", file, "--network", network, "--split", "random", "--seed", str(seed), *more)
        return nowhere.json(*words)["rows"]

    assert kept(1) == kept(1) != kept(2)
    assert kept(1, "--held-back", "0.5") != kept(1)
    assert kept(1, "--basis", "all") != kept(1)


def test_a_report_is_drawn(made_up: Path, tmp_path: Path) -> None:
    nowhere, picture = CommandLine("127.0.0.1:1"), tmp_path / "promises.png"
    words = ("lane", "report", str(made_up / "deliveries.csv"), "--network", str(made_up / "network.yaml"))
    nowhere.run(*words, "--plot", str(picture))
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") > 1000  # pixels across
    assert [path.name for path in tmp_path.iterdir()] == ["promises.png"]
    assert "--plot" in nowhere.run(*words, "--plot", str(tmp_path / "no" / "p.png"), exit_code=2).stderr


def test_without_matplotlib_a_plot_says_what_to_install(
    made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read; tables need nothing."""
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    nowhere = CommandLine("127.0.0.1:1")
    words = ("lane", "report", str(made_up / "deliveries.csv"), "--network", str(made_up / "network.yaml"))
    refused = nowhere.run(*words, "--plot", str(tmp_path / "p.png"), exit_code=2)
    assert "pip install 'invengine[plot]'" in refused.stderr
    assert refused.stdout == ""
    nowhere.run(*words)


def test_a_report_of_too_few_deliveries_says_so(line: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, simple({1: 5}))
    assert "too few deliveries" in line.run("lane", "report", file, exit_code=2).stderr
    line.run("lane", "report", file, "--confidence", "1", exit_code=2)
    line.run("lane", "report", file, "--network", str(tmp_path / "none.yaml"), exit_code=2)


def test_a_network_without_services_tells_no_lanes_apart(tmp_path: Path) -> None:
    network = tmp_path / "network.yaml"
    network.write_text("locations: {DC: {}}\n")
    file = write(tmp_path, simple({1: 5}))
    refused = CommandLine("127.0.0.1:1").run("lane", "report", file, "--network", str(network), exit_code=2)
    assert "no services and zones yet" in refused.stderr
    network.write_text("locations: {DC: {colour: blue}}\n")
    faulty = CommandLine("127.0.0.1:1").run("lane", "report", file, "--network", str(network), exit_code=2)
    assert "colour" in faulty.stderr
