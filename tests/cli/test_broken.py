"""Broken promises at the command line: the list, what mends it, what it says of the rest."""

from __future__ import annotations

from tests.cli.servers import CommandLine


def cells(text: str) -> list[list[str]]:
    """The cells of a plain table that has none empty in its middle."""
    return [line.split() for line in text.splitlines()]


def orders(invengine: CommandLine, sku: str, *units: int) -> None:
    """Reservations that wait for a receipt which has slipped."""
    invengine.run("incoming", "set", f"po-{sku}", sku, "WH1", str(sum(units)), "2099-01-01")
    for number, quantity in enumerate(units):
        name = f"{sku}-{number}"
        invengine.run(
            *("reserve", sku, str(quantity), "--channel", "web", "--allow-backorder"),
            *("--reservation-id", name, "--order", f"order-{name}"),
        )
    invengine.run("incoming", "slip", f"po-{sku}", sku, "WH1", "2099-02-02")


def test_promises_are_listed_by_filters(invengine: CommandLine) -> None:
    orders(invengine, "br-a", 3, 2)
    header, *rows = cells(invengine.run("broken", "--sku", "br-a").stdout)
    assert header == [
        *("reservation_id", "line_id", "sku", "location", "quantity", "reason"),
        *("receipt_id", "due_date", "expected_date", "promised_delivery_date", "new_delivery_date"),
    ]
    assert sorted(rows) == [
        ["br-a-0", "1", "br-a", "WH1", "3", "SLIPPED", "po-br-a", "2099-01-01", "2099-02-02"],
        ["br-a-1", "1", "br-a", "WH1", "2", "SLIPPED", "po-br-a", "2099-01-01", "2099-02-02"],
    ]
    named = invengine.json("broken", "--order", "order-br-a-1", "--reason", "slipped", "--of-channel", "web")
    assert [(one["reservationId"], one["orderRef"]) for one in named["brokenPromises"]] == [("br-a-1", "order-br-a-1")]
    assert invengine.json("broken", "--sku", "br-a", "--reason", "shortfall")["brokenPromises"] == []
    assert "is none of slipped" in invengine.run("broken", "--reason", "late", exit_code=2).stderr


def test_new_days_are_accepted(invengine: CommandLine) -> None:
    orders(invengine, "br-k", 3)
    dry = invengine.run("repromise", "--keep", "--receipt", "po-br-k", "--dry-run")
    assert (cells(dry.stdout)[1][:6], dry.stderr) == (
        ["br-k-0", "1", "br-k", "3", "KEPT", "SLIPPED"],
        "Would be: 1 KEPT.\n",
    )
    assert len(invengine.json("broken", "--sku", "br-k")["brokenPromises"]) == 1
    name = ("--request-id", "accept br-k")
    first = invengine.json("repromise", "--keep", "br-k-0", *name)
    assert [(one["result"], one["fromLocations"]) for one in first["outcomes"]] == [("RESULT_KEPT", ["WH1"])]
    assert invengine.json("broken", "--sku", "br-k")["brokenPromises"] == []
    again = invengine.json("repromise", "--keep", "br-k-0", *name)
    assert (again["replayed"], again["outcomes"]) == (True, first["outcomes"])
    assert "1 NOT_BROKEN." in invengine.run("repromise", "--keep", "br-k-0").stderr


def test_what_fits_elsewhere_is_moved_and_the_rest_says_why_not(invengine: CommandLine) -> None:
    orders(invengine, "br-m", 3, 9)
    invengine.run("stock", "post", "RECEIPT", "br-m", "ST1", "4")
    moved = invengine.run("repromise", "--move", "--sku", "br-m", "--request-id", "move br-m")
    rows = sorted(cells(moved.stdout)[1:])
    assert rows == [
        ["br-m-0", "1", "br-m", "3", "MOVED", "SLIPPED", "WH1", "ST1"],
        ["br-m-1", "1", "br-m", "9", "NO_LOCATION", "SLIPPED", "WH1"],
    ]
    assert moved.stderr == "1 MOVED, 1 NO_LOCATION.\n"
    assert [one["reservationId"] for one in invengine.json("broken", "--sku", "br-m")["brokenPromises"]] == ["br-m-1"]


def test_it_must_be_said_what_is_to_be_done(invengine: CommandLine) -> None:
    for words in ((), ("--keep", "--move", "--all")):
        assert "either --keep or --move" in invengine.run("repromise", *words, exit_code=2).stderr
    assert "or say --all" in invengine.run("repromise", "--keep", exit_code=2).stderr
    nobody = invengine.run("repromise", "--keep", "--sku", "br-nothing")
    assert nobody.stderr == "nothing is broken.\n"
    assert "1 REFUSED." in invengine.run("repromise", "--move", "br-nobody").stderr
