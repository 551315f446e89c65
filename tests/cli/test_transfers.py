"""invengine transfer."""

from __future__ import annotations

from tests.cli.servers import CommandLine


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_transfer_from_beginning_to_end(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "tr-a", "WH1", "10")
    made = invengine.run(
        "transfer", "create", "WH1", "ST1", "2099-12-24", "tr-a=6", "--transfer-id", "tr-1", "--reason", "windows"
    )
    title, reason, header, row = made.stdout.splitlines()
    assert title.startswith("tr-1  PLANNED  from WH1 to ST1  by cli")
    assert reason == "Reason: windows"
    assert header.split()[0] == "line_id"
    assert row.split() == ["1", "tr-a", "6", "6", "0", "0", "0", "0", "2099-12-24"]
    sent = invengine.run("transfer", "ship", "tr-1", "--line", "1=4", "--day", "2099-12-27")
    assert sent.stdout.splitlines()[-1].split() == ["1", "tr-a", "6", "2", "4", "0", "4", "0", "2099-12-27"]
    listed = invengine.json("transfer", "list", "--location", "ST1", "--direction", "in", "--state", "partly-shipped")
    assert [transfer["transferId"] for transfer in listed["transfers"]] == ["tr-1"]
    expected = cells(invengine.run("incoming", "list", "--receipt", "tr-1", "--fresh", "latest").stdout)
    assert expected == [
        ["receipt_id", "sku", "location", "expected_date", "quantity", "pegged", "revision", "from_location"],
        ["tr-1", "tr-a", "ST1", "2099-12-27", "4", "0", expected[1][6], "WH1"],
    ]
    back = invengine.json("transfer", "cancel", "tr-1")
    assert (back["transfer"]["lines"][0]["cancelled"], back["transfer"]["state"]) == (2, "STATE_IN_TRANSIT")
    arrived = invengine.run("transfer", "receive", "tr-1", "tr-a=3", "--closes", "--reason", "fell off")
    assert arrived.stdout.splitlines()[-1].split()[3:7] == ["0", "4", "2", "0"]
    assert "CLOSED" in invengine.run("transfer", "show", "tr-1").stdout
    history = invengine.run("stock", "history", "tr-a").stdout
    assert "TRANSFER_OUT" in history
    assert "fell off" in history
    gone = invengine.run("transfer", "ship", "tr-1", exit_code=4)
    assert "invengine transfer show" in gone.stderr


def test_transfers_are_listed_as_a_table(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "tr-b", "WH1", "9")
    for name in ("tr-b2", "tr-b1"):
        invengine.run("transfer", "create", "WH1", "ST1", "2099-01-01", "tr-b=2", "--transfer-id", name)
    table = cells(invengine.run("transfer", "list", "--location", "WH1", "--state", "planned").stdout)
    assert table[0] == [
        *("transfer_id", "state", "from_location", "to_location"),
        *("planned", "in_transit", "expected_date", "reference"),
    ]
    assert [row[:5] for row in table[1:]] == [
        ["tr-b1", "PLANNED", "WH1", "ST1", "2"],
        ["tr-b2", "PLANNED", "WH1", "ST1", "2"],
    ]
    few = invengine.run("transfer", "list", "--state", "planned", "--limit", "1")
    assert (len(cells(few.stdout)), few.stderr) == (2, "There are more: raise --limit.\n")


def test_what_cannot_be_read_or_done_is_told(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "tr-c", "WH1", "1")
    for bad in ("tr-c", "tr-c=x", "=1", "tr-c=-5"):
        assert "LAMP=4" in invengine.run("transfer", "create", "WH1", "ST1", "2099-01-01", bad, exit_code=2).stderr
    invengine.run("transfer", "create", "WH1", "ST1", "2099-01-01", "tr-c=0", exit_code=2)
    short = invengine.run("transfer", "create", "WH1", "ST1", "2099-01-01", "tr-c=5", exit_code=4)
    assert "5" in short.stderr
    assert "invengine transfer list" in invengine.run("transfer", "show", "nobody", exit_code=3).stderr


def test_a_receipt_is_taken_in_whole_without_naming_its_lines(invengine: CommandLine) -> None:
    for sku, units in (("tr-d", "5"), ("tr-e", "3")):
        invengine.run("incoming", "set", "po-all", sku, "WH1", units, "2099-01-01")
    taken = cells(invengine.run("incoming", "receive", "po-all").stdout)
    assert taken == [
        ["sku", "location", "quantity", "on_hand", "reserved"],
        ["tr-d", "WH1", "5", "5", "0"],
        ["tr-e", "WH1", "3", "3", "0"],
    ]
    assert "invengine incoming list" in invengine.run("incoming", "receive", "po-all", exit_code=3).stderr
    assert "together" in invengine.run("incoming", "receive", "po-all", "tr-d", exit_code=2).stderr
