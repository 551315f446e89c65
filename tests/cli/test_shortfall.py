"""Shortfalls at the command line: who goes short, and what is done about it."""

from __future__ import annotations

from tests.cli.servers import CommandLine


def cells(text: str) -> list[list[str]]:
    """The cells of a plain table that has none empty in its middle."""
    return [line.split() for line in text.splitlines()]


def two_short(invengine: CommandLine, sku: str) -> None:
    """Two reservations of 2 at WH1, of which 1 unit is left; ST1 has 2."""
    invengine.run("stock", "post", "RECEIPT", sku, "WH1", "4")
    invengine.run("stock", "post", "RECEIPT", sku, "ST1", "2")
    for number in range(2):
        invengine.run(
            *("reserve", sku, "2@WH1", "--channel", "web", "--reservation-id", f"{sku}-{number}"),
            *("--order", f"o-{number}"),
        )
    invengine.run("stock", "post", "ADJUSTMENT", sku, "WH1", "-3", "--reason", "lost")


def test_who_goes_short_is_listed(invengine: CommandLine) -> None:
    two_short(invengine, "sh-a")
    header, *rows = cells(invengine.run("shortfall", "list", "--sku", "sh-a").stdout)
    assert header[:9] == [
        *("sku", "location", "on_hand", "reserved", "units", "reservation_id", "line_id", "quantity", "uncovered"),
    ]
    assert [row[:11] for row in rows] == [
        ["sh-a", "WH1", "1", "4", "3", "sh-a-1", "1", "2", "2", "web", "o-1"],
        ["sh-a", "WH1", "1", "4", "3", "sh-a-0", "1", "2", "1", "web", "o-0"],
    ]
    told = invengine.json("shortfall", "list", "--sku", "sh-a", "--of-channel", "web")
    assert [(one["units"], len(one["lines"])) for one in told["shortfalls"]] == [(3, 2)]
    assert invengine.json("shortfall", "list", "--sku", "sh-a", "--of-channel", "till")["shortfalls"] == []


def test_units_are_taken_from_elsewhere_and_the_rest_says_why_not(invengine: CommandLine) -> None:
    two_short(invengine, "sh-b")
    dry = invengine.run("shortfall", "resource", "--sku", "sh-b", "--dry-run")
    rows = [
        ["sh-b-0", "1", "sh-b", "WH1", "1", "MOVED", "1@ST1"],
        ["sh-b-1", "1", "sh-b", "WH1", "2", "NOT_ENOUGH", "1"],
    ]
    assert (cells(dry.stdout)[1:], dry.stderr) == (rows, "Would be: 1 MOVED, 1 NOT_ENOUGH.\n")
    done = invengine.run("shortfall", "resource", "--sku", "sh-b", "--request-id", "resource sh-b")
    assert (cells(done.stdout)[1:], done.stderr) == (rows, "1 MOVED, 1 NOT_ENOUGH.\n")
    again = invengine.json("shortfall", "resource", "--sku", "sh-b", "--request-id", "resource sh-b")
    assert (again["replayed"], [one["result"] for one in again["outcomes"]]) == (
        True,
        ["RESULT_MOVED", "RESULT_NOT_ENOUGH"],
    )
    part = invengine.run("shortfall", "resource", "sh-b-1", "--best-effort")
    assert cells(part.stdout)[1] == ["sh-b-1", "1", "sh-b", "WH1", "2", "MOVED_IN_PART", "1@ST1"]
    assert [one["units"] for one in invengine.json("shortfall", "list", "--sku", "sh-b")["shortfalls"]] == [1]


def test_it_must_be_said_which(invengine: CommandLine) -> None:
    assert "or say --all" in invengine.run("shortfall", "resource", exit_code=2).stderr
    assert invengine.run("shortfall", "resource", "--sku", "sh-nothing").stderr == "nothing is short.\n"
    invengine.run("shortfall", "list", "--of-channel", "nobody", exit_code=3)
