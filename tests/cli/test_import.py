"""invengine stock import."""

from __future__ import annotations

import csv
import gzip
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from invengine.cli import stock_import
from invengine.cli.sample_data import make_retailer
from invengine.client import FeedAck, connect
from tests.cli.servers import CommandLine, Server, command

GOOD = "sku,location,quantity,kind,reason\n"


def write(folder: Path, content: str, name: str = "stock.csv") -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def on_hand(invengine: CommandLine, sku: str, location: str = "WH1") -> int:
    units = invengine.json("stock", "show", sku, location, "--fresh", "latest")["position"]["onHand"]
    assert isinstance(units, int)
    return units


def test_a_file_is_posted_once_however_often_it_is_imported(invengine: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, "\ufeffsku,location,quantity\nim-a,WH1,5\nim-b,ST1,7\n\n")
    first = invengine.run("stock", "import", file, "--kind", "receipt")
    assert [line.split() for line in first.stdout.splitlines()] == [
        ["rows", "bad", "applied", "repeated", "stale", "refused"],
        ["2", "0", "2", "0", "0", "0"],
    ]
    again = invengine.json("stock", "import", file, "--kind", "receipt")
    assert again["results"] == {"APPLIED": 0, "REPEATED": 2, "STALE": 0, "REFUSED": 0}
    assert (on_hand(invengine, "im-a"), on_hand(invengine, "im-b", "ST1")) == (5, 7)
    other_content = write(tmp_path, "sku,location,quantity\nim-a,WH1,5\n", "more.csv")
    assert invengine.json("stock", "import", other_content, "--kind", "receipt")["results"]["APPLIED"] == 1
    assert on_hand(invengine, "im-a") == 10


def test_rows_are_counts_unless_they_say_otherwise(invengine: CommandLine, tmp_path: Path) -> None:
    rows = ("8,RECEIPT,", "-1,adjustment,broken", "2,SALE,", "1,RETURN,", "4,,")
    file = write(tmp_path, GOOD + "".join(f"im-k,WH1,{row}\n" for row in rows))
    assert invengine.json("stock", "import", file)["results"]["APPLIED"] == 5
    assert on_hand(invengine, "im-k") == 4
    kinds = [entry["kind"] for entry in invengine.json("stock", "history", "im-k")["entries"]]
    assert kinds == ["COUNT", "RETURN", "SALE", "ADJUSTMENT", "RECEIPT"]


BAD_ROWS = (
    "im-bad,WH1,x,,\n im-bad,WH1,1,,\nim-bad,WH1,1,GIFT,\nim-bad,WH1,-1,ADJUSTMENT,\nim-bad,WH1\n"
    "im-bad,WH1,0,RECEIPT,\nim-bad,WH1,9007199254740992,,\nim-bad,WH1,0,ADJUSTMENT,why\nim-good,WH1,4,,\n"
)


def test_bad_rows_are_named_and_nothing_is_posted(invengine: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + BAD_ROWS)
    refused = invengine.run("stock", "import", file, exit_code=2)
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "row 2, column quantity: 'x' is not a whole number of units",
        "row 3, column sku: an id has no space at its ends",
        "row 4, column kind: 'GIFT' is none of RECEIPT, SALE, ADJUSTMENT, COUNT, RETURN, RING_FENCE, STATE_CHANGE",
        "row 5, column reason: an adjustment needs a reason",
        "row 6: 2 columns, the header has 5",
        "row 7, column quantity: 0 is outside 1 to 9007199254740991",
        "row 8, column quantity: 9007199254740992 is outside 0 to 9007199254740991",
        "row 9, column quantity: ADJUSTMENT by 0 changes nothing",
        "Nothing was posted: 8 bad rows. Correct them, or post the others with --skip-bad.",
    ]
    invengine.run("stock", "show", "im-good", "WH1", exit_code=3)
    dry = invengine.json("stock", "import", file, "--skip-bad", "--dry-run")
    assert (dry["rows"], len(dry["bad"]), dry["results"]["APPLIED"]) == (9, 8, 0)
    invengine.run("stock", "show", "im-good", "WH1", exit_code=3)
    assert invengine.json("stock", "import", file, "--skip-bad")["results"]["APPLIED"] == 1
    assert on_hand(invengine, "im-good") == 4


def test_rows_that_the_engine_refuses_are_named_and_the_others_stay(invengine: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "im-r,WH1,5,RECEIPT,\nim-r,WH1,9,SALE,\nim-r,WH1,1,SALE,\n")
    done = invengine.run("stock", "import", file, exit_code=4)
    assert done.stderr == "row 3: 9 im-r wanted at WH1, 5 available to sell\n"
    assert on_hand(invengine, "im-r") == 4


def test_occurred_at_is_read_as_utc(invengine: CommandLine, tmp_path: Path) -> None:
    rows = "im-o,WH1,1,2026-01-31T09:30:00\nim-o,WH1,1,2026-01-31T10:30:00+01:00\n"
    file = write(tmp_path, "sku,location,quantity,occurred_at\n" + rows)
    invengine.run("stock", "import", file, "--kind", "RECEIPT")
    moments = {entry["occurredAt"] for entry in invengine.json("stock", "history", "im-o")["entries"]}
    assert moments == {"2026-01-31T09:30:00Z"}
    bad = write(tmp_path, "sku,location,quantity,reason\nim-o,WH1,1, x\n")
    assert invengine.run("stock", "import", bad, exit_code=2).stderr.startswith("row 2, column reason: ")
    bad = write(tmp_path, "sku,location,quantity,occurred_at\nim-o,WH1,1,soon\n")
    told = invengine.run("stock", "import", bad, exit_code=2).stderr
    assert told.startswith("row 2, column occurred_at: 'soon' is not an instant")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sku,place,quantity\n", "location missing"),
        ("sku,location,quantity,colour\n", "colour not understood"),
        ("sku,sku,location,quantity\n", "not understood"),
        ("", "sku, location, quantity missing"),
    ],
)
def test_a_header_that_cannot_be_read_ends_with_2(content: str, told: str, tmp_path: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    assert told in nowhere.run("stock", "import", write(tmp_path, content), exit_code=2).stderr
    assert "No such file" in nowhere.run("stock", "import", str(tmp_path / "none.csv"), exit_code=2).stderr


def test_more_rows_than_fit_into_one_call(invengine: CommandLine, tmp_path: Path) -> None:
    rows = "".join(f"im-many-{number % 50},WH1,1\n" for number in range(9_001))
    file = write(tmp_path, "sku,location,quantity\n" + rows)
    assert invengine.json("stock", "import", file, "--kind", "RECEIPT")["results"]["APPLIED"] == 9_001
    assert on_hand(invengine, "im-many-0") == 181


def test_the_files_of_the_sample_retailer_are_understood(invengine: CommandLine, tmp_path: Path) -> None:
    """Its stock file is read as it is; its locations are not in this network."""
    network, stock = make_retailer(skus=10, locations=6).write(tmp_path)
    assert "No faults" in invengine.run("network", "check", str(network)).stdout
    assert invengine.json("stock", "import", str(stock), "--dry-run")["bad"] == []


def test_ring_fences_are_imported_with_their_channel(invengine: CommandLine, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "sku,location,quantity,kind,channel\nim-f,ST1,5,RECEIPT,\nim-f,ST1,3,RING_FENCE,till\nim-f,ST1,-1,RING_FENCE,till\n"
        "im-f,ST1,1,SALE,till\n",
    )
    assert invengine.json("stock", "import", file)["results"]["APPLIED"] == 4
    position = invengine.json("stock", "show", "im-f", "ST1")["position"]
    assert (position["onHand"], position["ringFences"]) == (4, [{"channel": "till", "quantity": 1}])
    bad = write(
        tmp_path,
        "sku,location,quantity,kind,channel\nim-f,ST1,3,RING_FENCE,\nim-f,ST1,0,RING_FENCE,till\nim-f,ST1,5,RECEIPT,till\n"
        "im-f,ST1,1,SALE, till\n",
        "bad.csv",
    )
    refused = invengine.run("stock", "import", bad, exit_code=2)
    assert refused.stderr.splitlines()[:4] == [
        "row 2, column channel: RING_FENCE needs a channel",
        "row 3, column quantity: RING_FENCE by 0 changes nothing",
        "row 4, column channel: a channel does not go with RECEIPT",
        "row 5, column channel: an id has no space at its ends",
    ]


def test_gzip_and_stdin_are_the_same_file(invengine: CommandLine, tmp_path: Path) -> None:
    content = "sku,location,quantity\nim-z,WH1,5\n"
    packed = tmp_path / "stock.csv.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    assert invengine.json("stock", "import", str(packed), "--kind", "RECEIPT")["results"]["APPLIED"] == 1
    piped = invengine.run("stock", "import", "-", "--kind", "RECEIPT", "--json", stdin=content)
    assert '"REPEATED": 1' in piped.stdout
    plain = write(tmp_path, content)
    assert invengine.json("stock", "import", plain, "--kind", "RECEIPT")["results"]["REPEATED"] == 1
    assert on_hand(invengine, "im-z") == 5
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(packed.read_bytes()[:-12])
    assert "cut.csv.gz" in invengine.run("stock", "import", str(cut), exit_code=2).stderr


def test_reasons_are_counted(invengine: CommandLine, tmp_path: Path) -> None:
    rows = "im-w,WH1,5,RECEIPT,\nim-w,WH1,9,SALE,\nim-w,NOWHERE,1,RECEIPT,\nim-w,WH1,8,SALE,\n"
    file = write(tmp_path, GOOD + rows)
    done = invengine.json("stock", "import", file, exit_code=4)
    assert done["results"] == {"APPLIED": 1, "REPEATED": 0, "STALE": 0, "REFUSED": 3}
    assert done["reasons"] == {"INSUFFICIENT_STOCK": 2, "UNKNOWN_LOCATION": 1}
    assert [problem.partition(":")[0] for problem in done["refused"]] == ["row 3", "row 4", "row 5"]
    table = invengine.run("stock", "import", file, exit_code=4).stdout.splitlines()
    assert [line.split() for line in table[2:]] == [
        ["reason", "rows"],
        ["INSUFFICIENT_STOCK", "2"],
        ["UNKNOWN_LOCATION", "1"],
    ]


def test_what_was_not_taken_is_written_down_and_can_be_corrected_in_place(
    invengine: CommandLine, tmp_path: Path
) -> None:
    file = write(
        tmp_path, GOOD + "im-x,WH1,5,RECEIPT,\nim-x,WH1,x,RECEIPT,\nim-x,WH1\nim-x,WH1,9,SALE,\nim-x,WH1,1,SALE,\n"
    )
    rejects = tmp_path / "rejects.csv"
    invengine.run("stock", "import", file, "--rejects", str(rejects), exit_code=2)
    assert [row["row"] for row in csv.DictReader(rejects.read_text().splitlines())] == ["3", "4"]
    assert "write over" in invengine.run("stock", "import", file, "--rejects", file, exit_code=2).stderr
    invengine.run("stock", "import", file, "--skip-bad", "--rejects", str(rejects), exit_code=4)
    found = list(csv.DictReader(rejects.read_text().splitlines()))
    assert [(row["row"], row["quantity"], row["problem"]) for row in found] == [
        ("3", "x", "row 3, column quantity: 'x' is not a whole number of units"),
        ("4", "", "row 4: 2 columns, the header has 5"),
        ("5", "9", "9 im-x wanted at WH1, 5 available to sell"),
    ]
    corrected = rejects.read_text().replace(",x,", ",10,").replace("im-x,WH1,,,", "im-x,WH1,1,RETURN,")
    again = write(tmp_path, corrected, "corrected.csv")
    assert invengine.json("stock", "import", again)["results"]["APPLIED"] == 3
    assert on_hand(invengine, "im-x") == 4 + 10 + 1 - 9
    nowhere = invengine.run("stock", "import", file, "--rejects", str(tmp_path / "no" / "where.csv"), exit_code=2)
    assert "--rejects" in nowhere.stderr


def test_a_feed_goes_on_after_its_last_acknowledged_row(invengine: CommandLine, tmp_path: Path) -> None:
    rows = [f"im-n,WH1,1,RECEIPT,e{number}" for number in range(1, 11)]
    head = "sku,location,quantity,kind,event_id\n"
    file = write(tmp_path, head + "\n".join(rows[:6]) + "\n")
    assert invengine.json("stock", "import", file, "--feed", "im-feed")["results"]["APPLIED"] == 6
    longer = write(tmp_path, head + "\n".join(rows) + "\n", "longer.csv")
    done = invengine.json("stock", "import", longer, "--feed", "im-feed")
    assert (done["earlierRows"], done["results"]["APPLIED"], done["results"]["REPEATED"]) == (6, 4, 0)
    nothing = invengine.run("stock", "import", longer, "--feed", "im-feed").stdout.splitlines()
    assert [line.split() for line in nothing] == [
        ["rows", "bad", "earlier", "applied", "repeated", "stale", "refused"],
        ["10", "0", "10", "0", "0", "0", "0"],
    ]
    assert on_hand(invengine, "im-n") == 10
    listed = [feed for feed in invengine.json("feed", "list")["feeds"] if feed["feed"] == "im-feed"]
    assert [(feed["position"], feed["eventId"]) for feed in listed] == [(11, "e10")]
    assert any(line.startswith("im-feed ") for line in invengine.run("feed", "list").stdout.splitlines())
    other = write(tmp_path, head + "im-n,WH1,1,RECEIPT,x\n", "other.csv")
    refused = invengine.run("stock", "import", other, "--feed", "im-feed", exit_code=2)
    assert "was at row 11 of another file (event 'e10')" in refused.stderr
    assert on_hand(invengine, "im-n") == 10


def test_a_run_that_is_killed_is_gone_on_with(engine: Server, invengine: CommandLine, tmp_path: Path) -> None:
    rows = "".join(f"im-killed-{number % 9},WH1,1\n" for number in range(20_000))
    file = write(tmp_path, "sku,location,quantity\n" + rows)
    arguments = ("stock", "import", file, "--kind", "RECEIPT", "--feed", "im-killed")
    first = command(*arguments, server=engine.address)
    while not (earlier := feed_position(engine.address, "im-killed")):
        assert first.poll() is None, first.communicate()
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    done = invengine.json(*arguments)
    assert done["earlierRows"] >= earlier - 1
    assert done["results"]["APPLIED"] + done["results"]["REPEATED"] == 20_000 - done["earlierRows"]
    assert sum(on_hand(invengine, f"im-killed-{n}") for n in range(9)) == 20_000


def feed_position(address: str, name: str) -> int:
    with connect(address) as client:
        return client.feed_position(name).position


def test_rows_are_read_only_as_far_ahead_as_the_engine_follows(
    invengine: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the file: what is read and not acknowledged is all that is in memory."""
    read, acknowledged, ahead = 0, 0, 0
    real_rows, real_note = stock_import.MovementFile.rows, stock_import._note

    def rows(file: stock_import.MovementFile) -> Iterator[Any]:
        nonlocal read, ahead
        read = 0
        for entry in real_rows(file):
            read += 1
            ahead = max(ahead, read - acknowledged if acknowledged else 0)
            yield entry

    def note(ack: FeedAck, *rest: Any) -> None:
        nonlocal acknowledged
        acknowledged += len(ack.items)
        real_note(ack, *rest)

    monkeypatch.setattr(stock_import.MovementFile, "rows", rows)
    monkeypatch.setattr(stock_import, "_note", note)
    file = write(tmp_path, "sku,location,quantity\n" + "".join(f"im-long-{n % 7},WH1,1\n" for n in range(24_000)))
    invengine.run("stock", "import", file, "--kind", "RECEIPT")
    assert acknowledged == read == 24_000
    assert 1_000 < ahead <= 10_000 + 500 + 1  # room is made before the acknowledgement is noted here
