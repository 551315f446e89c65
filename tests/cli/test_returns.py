"""invengine return: units that left and come back."""

from __future__ import annotations

from tests.cli.servers import CommandLine


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def sold(invengine: CommandLine, sku: str, units: str) -> str:
    """Units that the web sold from WH1 under order `sku`; the reservation."""
    name = f"{sku}-sold"
    invengine.run("stock", "post", "RECEIPT", sku, "WH1", units)
    invengine.run("reserve", sku, units, "--channel", "web", "--reservation-id", name, "--order", sku)
    invengine.run("reservation", "confirm", name, "--channel", "web")
    invengine.run("reservation", "fulfil", name, "--channel", "web")
    return name


def test_bought_on_the_web_returned_in_a_store(invengine: CommandLine) -> None:
    name = sold(invengine, "rt-a", "3")
    store = ("--location", "ST1", "--channel", "till")
    made = invengine.run("return", "receive", "rt-a", "1=sellable", "rt-a", "2", *store, "--order", "rt-a")
    rows = cells(made.stdout)
    assert rows[0][0] == "return"
    assert rows[0][2:] == ["OPEN", "at", "ST1", "channel", "till", "order", "rt-a"]
    assert rows[2:] == [
        ["1", "rt-a", "1", "sellable", "0", "0", "0", "0"],
        ["2", "rt-a", "2", "quarantine", "0", "0", "0", "2"],
    ]
    position = invengine.json("stock", "show", "rt-a", "ST1")["position"]
    assert (position["onHand"], position["states"]) == (1, [{"state": "quarantine", "quantity": 2}])
    shown = invengine.run("reservation", "show", name, "--channel", "till")
    assert shown.stdout.splitlines()[-1] == "came back: 3 of line 1"
    refused = invengine.run("return", "receive", "rt-a", "1", *store, "--reservation", name, exit_code=4)
    assert refused.stderr.startswith(
        "1 rt-a cannot come back: 3 of reservation 'rt-a-sold' were fulfilled, 3 came back"
    )
    return_id = rows[0][1]
    listed = cells(invengine.run("return", "list", "--order", "rt-a", "--channel", "till").stdout)
    assert [(row[0], row[2], row[4], row[5]) for row in listed[1:]] == [(return_id, "ST1", "3", "2")]
    listed = invengine.json("return", "list", "--reservation", name, "--channel", "till")["returns"]
    assert [one["returnId"] for one in listed] == [return_id]


def test_what_cannot_be_sold_is_decided_about(invengine: CommandLine) -> None:
    at = ("--location", "ST1", "--channel", "till")
    invengine.run("return", "receive", "rt-b", "5", *at, "--return-id", "rt-b-1", "--reason", "too small")
    dispose = ("return", "dispose", "rt-b-1", "--channel", "till")
    first = invengine.run(*dispose, "--restock", "1=2", "--move", "1=1@damaged", "--request-id", "rt-b-first")
    assert cells(first.stdout)[2] == ["1", "rt-b", "5", "quarantine", "2", "1", "0", "2", "too", "small"]
    again = invengine.run(*dispose, "--restock", "1=2", "--move", "1=1@damaged", "--request-id", "rt-b-first")
    assert "answered before" in again.stderr
    last = invengine.json(*dispose, "--scrap", "1")["return"]
    assert (last["open"], last["lines"][0]["scrapped"]) == (False, 2)
    more = invengine.run(*dispose, "--scrap", "1=1", exit_code=4)
    assert "0 available" in more.stderr
    shown = invengine.run("return", "show", "rt-b-1", "--channel", "web").stdout
    assert shown.splitlines()[0].startswith("return rt-b-1  CLOSED  at ST1")
    position = invengine.json("stock", "show", "rt-b", "ST1")["position"]
    assert (position["onHand"], position["states"]) == (2, [{"state": "damaged", "quantity": 1}])


def test_what_cannot_be_understood_ends_with_2(invengine: CommandLine) -> None:
    at = ("--location", "ST1", "--channel", "till")
    for arguments in (
        ("receive", "rt-c", *at),
        ("receive", "rt-c", "many", *at),
        ("receive", "rt-c", "1", *at, "--occurred-at", "yesterday"),
        ("receive", "rt-c", "1", "--location", "ST1"),
        ("dispose", "rt-c", "--channel", "till"),
        ("dispose", "rt-c", "--move", "1", "--channel", "till"),
        ("dispose", "rt-c", "--scrap", "1@damaged", "--channel", "till"),
        ("dispose", "rt-c", "--scrap", "1=x", "--channel", "till"),
    ):
        assert invengine.run("return", *arguments, exit_code=2).stdout == "", arguments


def test_what_does_not_exist_ends_with_3(invengine: CommandLine) -> None:
    till = ("--channel", "till")
    assert "invengine return list" in invengine.run("return", "show", "rt-none", *till, exit_code=3).stderr
    invengine.run("return", "dispose", "rt-none", "--scrap", "1", *till, exit_code=3)
    invengine.run("return", "receive", "rt-d", "1=lost", "--location", "ST1", *till, exit_code=3)
    invengine.run("return", "receive", "rt-d", "1", "--location", "MARS", *till, exit_code=3)
    invengine.run("return", "receive", "rt-d", "1", "--location", "ST1", "--reservation", "none", *till, exit_code=3)
