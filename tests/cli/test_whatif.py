"""What-ifs at the command line: profiles side by side, as a table, as JSON, as a picture."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine


@pytest.fixture
def profiles(invengine: CommandLine, tmp_path: Path) -> CommandLine:
    """Two profiles, and 2 units at WH1 and at ST1."""
    for name, excluded in (("wi-any", "[]"), ("wi-stores", "[WH1]")):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\ncosts: {{parcel: 2}}\nrules: {{exclude: {excluded}}}\n")
        invengine.run("profile", "put", str(tmp_path / f"{name}.yaml"))
    for place in ("WH1", "ST1"):
        invengine.run("stock", "post", "RECEIPT", "wi-a", place, "2", "--event-id", f"wi {place}")
    return invengine


def orders(path: Path, *quantities: int) -> str:
    lines = [
        json.dumps({"channel": "web", "bestEffort": True, "lines": [{"sku": "wi-a", "quantity": quantity}]})
        for quantity in quantities
    ]
    path.write_text("\n".join(lines) + "\n\n")
    return str(path)


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_profiles_stand_side_by_side(profiles: CommandLine, tmp_path: Path) -> None:
    file = orders(tmp_path / "orders.jsonl", 2, 2)
    shown = profiles.run("whatif", "wi-any", "wi-stores@1", "--orders", file)
    rows = {" ".join(row[:-2]): row[-2:] for row in cells(shown.stdout)}
    assert rows["measure"] == ["wi-any@1", "wi-stores@1"]
    assert rows["orders that got everything"] == ["2", "1"]
    assert rows["orders refused: INSUFFICIENT_STOCK"] == ["0", "1"]
    assert rows["units unfilled"] == ["0", "2"]
    assert rows["units filled, %"] == ["100.0", "50.0"]
    assert rows["parcels"] == ["2", "1"]
    assert rows["WH1 2"] == ["0", "2"]
    assert rows["ST1 2"] == ["0", "0"]
    assert shown.stderr.startswith("2 orders on the stock of 20")
    told = profiles.json("whatif", "wi-any", "wi-stores", "--orders", file)
    assert [(one["profile"], one["ordersWhole"], one["parcels"]) for one in told["results"]] == [
        ("wi-any@1", 2, 2),
        ("wi-stores@1", 1, 1),
    ]


def test_orders_of_a_day_and_recent_ones(profiles: CommandLine) -> None:
    profiles.run("stock", "post", "RECEIPT", "wi-day", "WH1", "5")
    for number in range(2):
        profiles.run("reserve", "wi-day", "2", "--channel", "web", "--reservation-id", f"wi-day-{number}")
    today = datetime.now(UTC).date().isoformat()
    told = profiles.json("whatif", "--active", "wi-any", "--day", today)
    assert [one["profile"] for one in told["results"]] == ["", "wi-any@1"]
    assert told["orders"] >= 2
    first = profiles.run("whatif", "wi-any", "--day", today, "--limit", "1")
    assert f"{told['orders'] - 1} more were made that day" in first.stderr
    drawn = profiles.json("whatif", "wi-any", "--recent-days", "1", "--limit", "5", "--seed", "3")
    assert drawn["orders"] == 5


def test_a_picture_is_drawn(profiles: CommandLine, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "what.png"
    file = orders(tmp_path / "orders.jsonl", 1)
    profiles.run("whatif", "wi-any", "wi-stores", "--orders", file, "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    nowhere = str(tmp_path / "no" / "where.png")
    profiles.run("whatif", "wi-any", "--orders", file, "--plot", nowhere, exit_code=2)


def test_what_cannot_be_used_is_said(profiles: CommandLine, tmp_path: Path) -> None:
    assert "say --active" in profiles.run("whatif", exit_code=2).stderr
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"channel": "web"}\n{"chanel": "web"}\n')
    assert "bad.jsonl, line 2" in profiles.run("whatif", "wi-any", "--orders", str(bad), exit_code=2).stderr
    bad.write_text("\n")
    assert "has no orders" in profiles.run("whatif", "wi-any", "--orders", str(bad), exit_code=2).stderr
    profiles.run("whatif", "wi-any", "--orders", str(tmp_path / "none"), exit_code=2)
    profiles.run("whatif", "wi-any", "--orders", str(bad), "--recent-days", "3", exit_code=2)
    profiles.run("whatif", "nobody", exit_code=3)


def test_orders_are_csv_too_as_those_of_a_wave(profiles: CommandLine) -> None:
    """Rows of one order_id are one order; it takes what there is, unless it is all or nothing."""
    rows = ["order_id,sku,quantity,class,all_or_nothing", "a,wi-a,3,1,no", "b,wi-a,9,0,yes", "b,wi-a,1,0,yes"]
    text = "\n".join(rows)
    told = profiles.run("whatif", "wi-any", "--orders", "-", "--channel", "web", "--json", stdin=text)
    (result,) = json.loads(told.stdout)["results"]
    assert (result["ordersInPart"] + result["ordersWhole"], [one["orders"] for one in result["refused"]]) == (1, [1])
    unnamed = profiles.run("whatif", "wi-any", "--orders", "-", stdin=text, exit_code=2)
    assert "names no channel: name one with --channel" in unnamed.stderr
    wrong = profiles.run("whatif", "wi-any", "--orders", "-", stdin="order_id,sku\n", exit_code=2)
    assert "quantity missing" in wrong.stderr
