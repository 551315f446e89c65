"""invengine incoming, and the promises that receipts break."""

from __future__ import annotations

from tests.cli.servers import CommandLine


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_receipt_is_set_slips_and_arrives(invengine: CommandLine) -> None:
    made = invengine.run("incoming", "set", "po-7", "in-a", "WH1", "40", "2099-12-24")
    header, row = cells(made.stdout)
    assert header == ["receipt_id", "sku", "location", "expected_date", "quantity", "pegged", "revision"]
    assert row[:6] == ["po-7", "in-a", "WH1", "2099-12-24", "40", "0"]
    slipped = invengine.json("incoming", "slip", "po-7", "in-a", "WH1", "2099-12-31")
    assert slipped["receipt"]["expectedDate"] == {"year": 2099, "month": 12, "day": 31}
    part = invengine.run("incoming", "receive", "po-7", "in-a", "WH1", "15")
    assert cells(part.stdout)[:2] == [["sku", "location", "on_hand", "reserved"], ["in-a", "WH1", "15", "0"]]
    assert cells(part.stdout)[3][4] == "25"
    last = invengine.run("incoming", "receive", "po-7", "in-a", "WH1", "20", "--closes", "--request-id", "in-a-last")
    assert cells(last.stdout)[1] == ["in-a", "WH1", "35", "0"]
    assert last.stderr == "Nothing of this receipt is open any more.\n"
    again = invengine.run("incoming", "receive", "po-7", "in-a", "WH1", "20", "--closes", "--request-id", "in-a-last")
    assert cells(again.stdout)[1] == ["in-a", "WH1", "35", "0"]
    assert "answered before" in again.stderr
    gone = invengine.run("incoming", "cancel", "po-7", "in-a", "WH1", exit_code=3)
    assert "invengine incoming list" in gone.stderr


def test_receipts_are_listed(invengine: CommandLine) -> None:
    for receipt, day in (("po-2", "2099-02-02"), ("po-1", "2099-01-01"), ("po-0", "2020-01-01")):
        invengine.run("incoming", "set", receipt, "in-l", "WH1", "5", day)
    listed = cells(invengine.run("incoming", "list", "--sku", "in-l", "--fresh", "latest").stdout)
    assert [row[0] for row in listed[1:]] == ["po-0", "po-1", "po-2"]
    assert (listed[0][-1], listed[1][3:5], listed[1][7:]) == (
        "overdue",
        ["2020-01-01", "5"],
        ["yes"],
    )
    overdue = invengine.json("incoming", "list", "--sku", "in-l", "--overdue")["receipts"]
    assert [(receipt["receiptId"], receipt["overdue"]) for receipt in overdue] == [("po-0", True)]
    few = invengine.run("incoming", "list", "--sku", "in-l", "--limit", "2")
    assert (len(cells(few.stdout)), few.stderr) == (3, "There are more: raise --limit.\n")
    assert invengine.json("incoming", "list", "--sku", "in-l", "--receipt", "po-9")["receipts"] == []
    assert invengine.json("incoming", "list", "--sku", "in-l", "--location", "ST1")["receipts"] == []


def test_promises_that_a_receipt_broke(invengine: CommandLine) -> None:
    invengine.run("incoming", "set", "po-b", "in-b", "WH1", "5", "2099-01-01")
    for name, units in (("in-b-1", "3"), ("in-b-2", "2")):
        invengine.run("reserve", "in-b", units, "--channel", "web", "--allow-backorder", "--reservation-id", name)
    slipped = invengine.run("incoming", "slip", "po-b", "in-b", "WH1", "2099-03-03")
    assert "This broke 2 promises:" in slipped.stderr
    listed = cells(invengine.run("broken", "--sku", "in-b").stdout)
    assert listed[0][4:9] == ["quantity", "reason", "receipt_id", "due_date", "expected_date"]
    assert sorted(row[:9] for row in listed[1:]) == [
        ["in-b-1", "1", "in-b", "WH1", "3", "SLIPPED", "po-b", "2099-01-01", "2099-03-03"],
        ["in-b-2", "1", "in-b", "WH1", "2", "SLIPPED", "po-b", "2099-01-01", "2099-03-03"],
    ]
    few = invengine.run("broken", "--receipt", "po-b", "--location", "WH1", "--limit", "1")
    assert (len(cells(few.stdout)), few.stderr) == (2, "There are more: raise --limit.\n")
    invengine.run("incoming", "set", "po-b", "in-b", "WH1", "3", "2099-01-01")
    (broken,) = invengine.json("broken", "--sku", "in-b")["brokenPromises"]
    assert (broken["reservationId"], broken["reason"], broken["quantity"]) == ("in-b-2", "REASON_SHORTENED", 2)
    shown = invengine.run("reservation", "show", "in-b-2", "--channel", "web").stdout
    assert cells(shown)[-1][-1] == "backorder"
    cancelled = invengine.json("incoming", "cancel", "po-b", "in-b", "WH1")
    assert [(b["reservationId"], b["reason"]) for b in cancelled["brokenPromises"]] == [("in-b-1", "REASON_CANCELLED")]


def test_what_cannot_be_sent_ends_with_2(invengine: CommandLine) -> None:
    bad = invengine.run("incoming", "set", "po-7", "in-x", "WH1", "4", "2026-02-30", exit_code=2)
    assert "DAY: '2026-02-30' is not a day such as 2026-12-24" in bad.stderr
    invengine.run("incoming", "set", "po-7", "in-x", "WH1", "0", "2099-01-01", exit_code=2)
    when = invengine.run("incoming", "receive", "po-7", "in-x", "WH1", "1", "--occurred-at", "noon", exit_code=2)
    assert "2026-01-31T09:30:00Z" in when.stderr
    invengine.run("incoming", "set", "po-7", "in-x", "MARS", "4", "2099-01-01", exit_code=3)
    revision = invengine.run(
        "incoming", "set", "po-7", "in-x", "WH1", "4", "2099-01-01", "--expected-revision", "7", exit_code=4
    )
    assert "Read it again" in revision.stderr
