"""invengine stock import."""

from __future__ import annotations

from pathlib import Path

import pytest

from invengine.cli.sample_data import make_retailer
from tests.cli.servers import CommandLine

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
