"""invengine snapshot apply."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine


def write(folder: Path, content: str, name: str = "snapshot.csv") -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def ago(**duration: float) -> str:
    return (datetime.now(UTC) - timedelta(**duration)).isoformat()


def position(invengine: CommandLine, sku: str, location: str = "ST1") -> tuple[int, int]:
    found = invengine.json("stock", "show", sku, location, "--fresh", "latest")["position"]
    return found["onHand"], found["reserved"]


def receive(invengine: CommandLine, sku: str, quantity: int, location: str = "ST1") -> None:
    invengine.run("stock", "post", "RECEIPT", sku, location, str(quantity), "--occurred-at", ago(hours=2))


def confirmed(invengine: CommandLine, sku: str, quantity: int, order: str) -> str:
    held = invengine.json("reserve", sku, f"{quantity}@ST1", "--channel", "web")["reservation"]["reservationId"]
    invengine.run("reservation", "confirm", held, "--order", order, "--channel", "web")
    return str(held)


OF = ("--location", "ST1", "--source", "erp")


def test_a_snapshot_is_applied_once_however_often_it_is_sent(invengine: CommandLine, tmp_path: Path) -> None:
    receive(invengine, "sn-a", 9, "OLD")  # nobody else's: what is not listed goes
    receive(invengine, "sn-gone", 4, "OLD")
    file = write(tmp_path, "\ufeffsku,quantity\nsn-a,5\nsn-b,7\n\n")
    at = ago(hours=1)
    arguments = ("snapshot", "apply", file, "--location", "OLD", "--source", "erp", "--as-of", at)
    first = invengine.run(*arguments)
    assert [line.split() for line in first.stdout.splitlines()] == [
        ["applied", "repeated", "ignored", "refused", "zeroed", "fulfilled", "shortfalls"],
        ["2", "0", "0", "0", "1", "0", "0"],
    ]
    again = invengine.json(*arguments)
    assert (again["applied"], again["repeated"], again["zeroed"]) == (0, 2, 0)
    positions = [position(invengine, sku, "OLD") for sku in ("sn-a", "sn-b", "sn-gone")]
    assert positions == [(5, 0), (7, 0), (0, 0)]


def test_orders_that_it_contains_are_fulfilled(invengine: CommandLine, tmp_path: Path) -> None:
    receive(invengine, "sn-o", 9)
    held = confirmed(invengine, "sn-o", 2, "order 1")
    file = write(tmp_path, "sku,quantity,state\nsn-o,7,on_hand\n")
    orders = write(tmp_path, "order 1\n\nnobody's\n", "orders.txt")
    done = invengine.run(
        "snapshot", "apply", file, *OF, "--as-of", ago(hours=1), "--partial", "--contains-orders", orders
    )
    assert done.stderr == "No reservation is known of 1 of the orders, such as nobody's.\n"
    assert position(invengine, "sn-o") == (7, 0)
    state = invengine.json("reservation", "show", held, "--channel", "web")["reservation"]["state"]
    assert state == "STATE_FULFILLED"


def test_states_are_counted_too(invengine: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, "sku,quantity,state\nsn-t,3,damaged\nsn-t,2,\n")
    told = invengine.json("snapshot", "apply", file, *OF, "--as-of", ago(hours=1), "--partial", "--snapshot-id", "t1")
    assert told["applied"] == 2
    position = invengine.json("stock", "show", "sn-t", "ST1", "--fresh", "latest")["position"]
    assert (position["onHand"], position["states"]) == (2, [{"state": "damaged", "quantity": 3}])
    unknown = write(tmp_path, "sku,quantity,state\n\nsn-t,3,damaged\nsn-t,3,wet\n", "wet.csv")
    refused = invengine.run("snapshot", "apply", unknown, *OF, "--as-of", ago(hours=1), exit_code=2)
    assert refused.stderr == "Row 4, column state: 'wet' is not a state of the network\n"


def test_a_partial_one_leaves_the_rest(invengine: CommandLine, tmp_path: Path) -> None:
    receive(invengine, "sn-p", 3)
    receive(invengine, "sn-q", 4)
    file = write(tmp_path, "sku,quantity\nsn-p,1\n")
    told = invengine.json("snapshot", "apply", file, *OF, "--as-of", ago(hours=1), "--partial", "--snapshot-id", "p1")
    assert (told["snapshotId"], told["zeroed"]) == ("p1", 0)
    assert [position(invengine, sku) for sku in ("sn-p", "sn-q")] == [(1, 0), (4, 0)]


BAD_ROWS = (
    "sn-bad,x,\n sn-bad,1,\nsn-bad,-1,\nsn-bad\nsn-bad,9007199254740992,\nsn-ok,1,\nsn-ok,2,on_hand\nsn-ok,2, damaged\n"
)


def test_bad_rows_are_named_and_nothing_is_sent(invengine: CommandLine, tmp_path: Path) -> None:
    file = write(tmp_path, "sku,quantity,state\n" + BAD_ROWS)
    refused = invengine.run("snapshot", "apply", file, *OF, "--as-of", ago(hours=1), exit_code=2)
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "row 2, column quantity: 'x' is not a whole number of units",
        "row 3, column sku: an id has no space at its ends",
        "row 4, column quantity: '-1' is not a whole number of units",
        "row 5: 1 columns, the header has 3",
        "row 6, column quantity: 9007199254740992 is outside 0 to 9007199254740991",
        "row 8, column sku: sn-ok is in row 7 already",
        "row 9, column state: an id has no space at its ends",
        "Nothing was sent: 7 bad rows.",
    ]
    invengine.run("stock", "show", "sn-ok", "ST1", exit_code=3)


def test_a_dry_run_only_reads(tmp_path: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    file = write(tmp_path, "sku,quantity\nsn-a,5\nsn-b,7\n")
    orders = write(tmp_path, "o-1\n", "orders.txt")
    arguments = ("snapshot", "apply", file, *OF, "--as-of", "2026-01-31T22:00:00Z", "--dry-run")
    assert nowhere.json(*arguments, "--contains-orders", orders) == {"rows": 2, "orders": 1}
    assert "Nothing was sent: this was a dry run." in nowhere.run(*arguments).stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sku,place\n", "quantity missing"),
        ("sku,quantity,colour\n", "colour not understood"),
        ("", "sku, quantity missing"),
    ],
)
def test_files_and_instants_that_cannot_be_read_end_with_2(content: str, told: str, tmp_path: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    file, at = write(tmp_path, content), ("--as-of", "2026-01-31T22:00:00Z")
    assert told in nowhere.run("snapshot", "apply", file, *OF, *at, exit_code=2).stderr
    assert "No such file" in nowhere.run("snapshot", "apply", str(tmp_path / "no"), *OF, *at, exit_code=2).stderr
    for wrong in ("soon", ""):
        assert "is not an instant" in nowhere.run("snapshot", "apply", file, *OF, "--as-of", wrong, exit_code=2).stderr
    good = write(tmp_path, "sku,quantity\n", "good.csv")
    orders = write(tmp_path, "o-1\n o-2\n", "orders.txt")
    bad_orders = nowhere.run("snapshot", "apply", good, *OF, *at, "--contains-orders", orders, exit_code=2)
    assert "line 2: an id has no space at its ends" in bad_orders.stderr


def test_what_is_refused_is_named_and_ends_with_4(invengine: CommandLine, tmp_path: Path) -> None:
    receive(invengine, "sn-r", 5)
    invengine.run("stock", "post", "ADJUSTMENT", "sn-r", "ST1", "-4", "--reason", "broken")
    file = write(tmp_path, "sku,quantity\nsn-r,2\n")
    done = invengine.run("snapshot", "apply", file, *OF, "--as-of", ago(hours=1), "--partial", exit_code=4)
    assert done.stderr == "sn-r: 2 sn-r on hand at ST1 cannot change by -4\n"
    unknown = invengine.run(
        "snapshot", "apply", file, "--location", "MARS", "--source", "erp", "--as-of", ago(hours=1), exit_code=3
    )
    assert "MARS" in unknown.stderr


def test_shortfalls_and_what_stays_open_are_named(invengine: CommandLine, tmp_path: Path) -> None:
    receive(invengine, "sn-s", 5)
    confirmed(invengine, "sn-s", 4, "order 2")
    file = write(tmp_path, "sku,quantity\nsn-s,3\n")
    done = invengine.run("snapshot", "apply", file, *OF, "--as-of", ago(hours=1), "--partial")
    assert done.stderr == "sn-s: 4 reserved, 3 on hand\n"
