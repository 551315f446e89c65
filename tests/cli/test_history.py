"""invengine history, explain: numbers that add up, in words."""

from __future__ import annotations

import csv
import io
import re

import pytest

from tests.cli.servers import CommandLine


@pytest.fixture
def told(invengine: CommandLine) -> CommandLine:
    """hi-a at WH1: 5 received, 2 reserved, 1 lost, 3 sold; one at ST1."""
    for words in (
        ("RECEIPT", "hi-a", "WH1", "5", "--source", "erp", "--event-id", "hi-1", "--reference", "po-7"),
        ("ADJUSTMENT", "hi-a", "WH1", "-1", "--reason", "broken", "--event-id", "hi-2"),
        ("RECEIPT", "hi-a", "ST1", "1", "--source", "erp", "--event-id", "hi-3"),
        ("SALE", "hi-a", "WH1", "3", "--source", "till 7", "--event-id", "hi-4"),
    ):
        invengine.run("stock", "post", *words)
    return invengine


def closing(text: str) -> list[str]:
    return text.split("\n\n")[1].splitlines()


def test_the_ledger_is_read_from_the_oldest_on_and_adds_up(told: CommandLine) -> None:
    lines = told.run("history", "hi-a", "WH1").stdout.splitlines()
    assert lines[0].split()[:6] == ["record_time", "number", "location", "kind", "actor", "cause"]
    assert [line.split()[3:5] for line in lines[1:4]] == [
        ["WH1", "RECEIPT"],
        ["WH1", "ADJUSTMENT"],
        ["WH1", "SALE"],
    ]
    assert re.search(r"0 -> 5 +\+5 +0 -> 0 +po-7$", lines[1])
    assert re.search(r"hi-2 +5 -> 4 +-1 +0 -> 0 +broken$", lines[2])
    assert lines[-1] == "WH1: 0 + 1 in 3 changes = 1 on hand"


def test_every_location_has_a_closing_line(told: CommandLine) -> None:
    assert closing(told.run("history", "hi-a").stdout) == [
        "WH1: 0 + 1 in 3 changes = 1 on hand",
        "ST1: 0 + 1 in 1 change = 1 on hand",
    ]
    limited = told.run("stock", "history", "hi-a", "WH1", "--limit", "2")
    assert closing(limited.stdout) == ["WH1: 5 - 4 in 2 changes = 1 on hand"]
    assert "raise --limit" in limited.stderr


def test_what_is_filtered_is_accounted_for(told: CommandLine) -> None:
    by_kind = told.run("history", "hi-a", "WH1", "--kind", "receipt", "--kind", "sale")
    assert closing(by_kind.stdout) == [
        "WH1: 0 + 2 in 2 changes - 1 in others between them = 1 on hand after the last of them"
    ]
    by_actor = told.run("history", "hi-a", "--actor", "till 7")
    assert closing(by_actor.stdout) == [
        "WH1: 4 - 3 in 1 change + 0 in others between them = 1 on hand after the last of them"
    ]
    assert "GIFT" in told.run("history", "hi-a", "--kind", "gift", exit_code=2).stderr


def test_a_stretch_of_time(told: CommandLine) -> None:
    entries = told.json("history", "hi-a", "WH1")["entries"]
    assert [entry["kind"] for entry in entries] == ["SALE", "ADJUSTMENT", "RECEIPT"]  # as the API has it
    adjusted = entries[1]["recordTime"]
    since = told.json("history", "hi-a", "WH1", "--since", adjusted)["entries"]
    assert [entry["kind"] for entry in since] == ["SALE", "ADJUSTMENT"]
    until = told.json("history", "hi-a", "WH1", "--until", adjusted)["entries"]
    assert [entry["kind"] for entry in until] == ["RECEIPT"]
    assert closing(told.run("history", "hi-a", "WH1", "--until", adjusted).stdout) == [
        "WH1: 0 + 5 in 1 change = 5 on hand after the last of them"
    ]
    nothing = told.run("history", "hi-a", "WH1", "--since", "2099-01-01")
    assert "No change of hi-a at WH1" in nothing.stderr
    assert nothing.stdout == "WH1: 1 on hand\n"
    assert "2026-01-31" in told.run("history", "hi-a", "--until", "soon", exit_code=2).stderr


def test_instants_are_those_of_the_location(told: CommandLine) -> None:
    """The locations of the test network are in UTC; what is asked for in UTC is the same then."""
    assert told.json("history", "hi-a")["timeZones"] == {"WH1": "UTC", "ST1": "UTC"}
    assert told.run("history", "hi-a").stdout == told.run("history", "hi-a", "--utc").stdout
    assert "+00:00" in told.run("history", "hi-a").stdout


def test_the_ledger_as_csv(told: CommandLine) -> None:
    rows = list(csv.DictReader(io.StringIO(told.run("history", "hi-a", "WH1", "--csv").stdout)))
    assert [(r["kind"], r["actor"], r["cause"], r["on_hand_before"], r["on_hand_after"]) for r in rows] == [
        ("RECEIPT", "erp", "hi-1", "0", "5"),
        ("ADJUSTMENT", "cli", "hi-2", "5", "4"),
        ("SALE", "till 7", "hi-4", "4", "1"),
    ]
    told.run("history", "hi-a", "--csv", "--json", exit_code=2)


def test_a_sku_that_nobody_knows_has_no_history(invengine: CommandLine) -> None:
    assert "No change of hi-none is in the ledger" in invengine.run("history", "hi-none").stderr
    invengine.run("history", "hi-none", "WH1", exit_code=3)


def test_an_explanation_is_a_sum_with_its_rules(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "ex-a", "ST2", "10", "--event-id", "ex-1")
    invengine.run("stock", "post", "RING_FENCE", "ex-a", "ST2", "7", "--channel", "till", "--event-id", "ex-2")
    invengine.run("reserve", "ex-a", "2@ST2", "--channel", "web", "--reservation-id", "ex-r")
    invengine.run("incoming", "set", "ex-po", "ex-a", "ST2", "7", "2099-12-24")
    sheet = invengine.run("explain", "ex-a", "--channel", "web", "--fresh", "latest").stdout
    lines = [" ".join(line.split()) for line in sheet.splitlines()]
    assert lines[0] == "ST2: web sees ST2 through everywhere, stores; ST2 offers pickup"
    for line in (
        "on_hand +10 sellable units that are there",
        "reserved -2 units that reservations set aside",
        "safety_stock -1 kept back: 1 units for location ST2",
        "ring_fences -6 7 are kept for others: web may take its own ring-fence of 0 and the 1 kept for nobody",
        "available = 1 what web can take",
        "location ST2 1 0.0 1 yes",
        "till 7",
        "(for nobody) 1",
        "web can take 1 ex-a: LOW (LOW up to 2)",
    ):
        assert line in lines, sheet
    assert any(line.startswith("ex-r 1 web HELD 2 yes 20") for line in lines), sheet
    assert any(line.startswith("ex-po ex-a ST2 2099-12-24 7 0") for line in lines), sheet
    assert re.search(r"last change: revision \d+, 20\S+Z, RESERVE by web \(ex-r\)", sheet)


def test_an_explanation_says_what_is_not_shown(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "ex-b", "WH1", "10", "--event-id", "ex-3")
    for n in range(3):
        invengine.run("reserve", "ex-b", "2", "--channel", "web", "--reservation-id", f"ex-b{n}")
    words = ("explain", "ex-b", "--channel", "web", "--location", "WH1", "--location", "OLD", "--limit", "1")
    sheet = invengine.run(*words).stdout
    assert "and 4 more units by 2 lines" in sheet
    assert "last change: none, the SKU never was here" in sheet
    answer = invengine.json(*words)
    assert [(p["location"], p["available"], p["usable"]) for p in answer["positions"]] == [
        ("OLD", 0, False),
        ("WH1", 4, True),
    ]
    assert [term["quantity"] for term in answer["positions"][1]["terms"]] == [10, -6, 0]
    without = invengine.run(*words, "--ignore-reservation", "ex-b0").stdout
    assert "of these, units of reservation ex-b0, which is ignored" in without
    assert "Name the channel" in invengine.run("explain", "ex-b", exit_code=2).stderr
    invengine.run("explain", "ex-none", "--channel", "web", exit_code=3)


def test_a_kit_is_explained_by_its_components(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "ex-top", "WH1", "3", "--event-id", "ex-4")
    invengine.run("stock", "post", "RECEIPT", "ex-leg", "WH1", "13", "--event-id", "ex-5")
    invengine.run("stock", "post", "RECEIPT", "ex-leg", "ST2", "4", "--event-id", "ex-6")
    invengine.run("reserve", "ex-leg", "2@WH1", "--channel", "web", "--reservation-id", "ex-legs")
    sheet = invengine.run("explain", "ex-set", "--channel", "web", "--fresh", "latest").stdout
    lines = [" ".join(line.split()) for line in sheet.splitlines()]
    for line in (
        "ex-top, 1 in each ex-set, at WH1: web sees WH1 through everywhere; WH1 offers ship",
        "ex-leg, 4 in each ex-set, at ST2: web sees ST2 through everywhere, stores; ST2 offers pickup",
        "WH1: web can take 2 ex-set here",
        "component available units kits limits",
        "ex-top 3 1 3",
        "ex-leg 11 4 2 yes",
        "ST2: web can take 0 ex-set here",
        "ex-top 0 1 0 yes",
        "ex-leg 3 4 0",
        "component units available",
        "ex-leg 4 14",
        "web can take 2 ex-set: LOW (LOW up to 2)",
    ):
        assert line in lines, sheet
    assert any(line.startswith("ex-legs 1 web HELD 2 yes") for line in lines), sheet
    answer = invengine.json("explain", "ex-set", "--channel", "web", "--location", "WH1")
    (position,) = answer["positions"]
    assert (position["available"], position["limitingComponent"]) == (2, "ex-leg")
    assert [(its["sku"], its["kits"]) for its in position["components"]] == [("ex-top", 3), ("ex-leg", 2)]
