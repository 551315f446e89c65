"""invengine export: what the files hold is what the engine has, exact to the last unit."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from pyarrow import types as arrow

from invengine.cli import row_files
from invengine.cli.export import LEDGER_COLUMNS, POSITION_COLUMNS, states_text
from invengine.cli.row_files import Kind, milliseconds, written
from invengine.client import SyncClient, connect
from tests.cli.servers import CommandLine

MOST = 2**53 - 1


@pytest.fixture
def filled(invengine: CommandLine) -> CommandLine:
    """Some positions with everything that a row may show; the fixture may run often, its events count once."""
    for words in (
        ("RECEIPT", "xp-a", "WH1", "12", "--reference", 'po "7", first'),
        ("RECEIPT", "xp-a", "ST1", "3"),
        ("RECEIPT", "xp-é", "WH1", str(MOST)),
        ("COUNT", "xp-b", "ST2", "2"),
        ("RECEIPT", "xp-a", "WH1", "5", "--state", "quarantine"),
    ):
        invengine.run("stock", "post", *words, "--source", "erp", "--event-id", "-".join(words)[:60])
    fence = ("RING_FENCE", "xp-a", "WH1", "4", "--channel", "till", "--event-id", "xp-f")
    invengine.run("stock", "post", *fence)
    invengine.run("reserve", "xp-a", "2@WH1", "--channel", "web", "--reservation-id", "xp-r", "--request-id", "xp-r")
    invengine.run("incoming", "set", "xp-po", "xp-a", "WH1", "7", "2099-12-24", "--request-id", "xp-po")
    return invengine


@pytest.fixture
def client(invengine: CommandLine) -> Iterator[SyncClient]:
    with connect(invengine.address) as client:
        yield client


def from_csv(path: Path, columns: Any) -> list[dict[str, Any]]:
    """The rows with the types that the columns have."""
    read = {
        Kind.TEXT: str,
        Kind.WHOLE: int,
        Kind.INSTANT: lambda text: datetime.fromisoformat(text).astimezone(UTC),
    }
    with path.open(encoding="utf-8", newline="") as stream:
        return [{name: read[kind](row[name]) for name, kind in columns} for row in csv.DictReader(stream)]


def from_parquet(path: Path, columns: Any) -> list[dict[str, Any]]:
    """The rows, after a look at the types."""
    table = parquet.read_table(path)
    assert table.column_names == [name for name, _ in columns]
    tests = {Kind.TEXT: arrow.is_string, Kind.WHOLE: arrow.is_int64, Kind.INSTANT: arrow.is_timestamp}
    for name, kind in columns:
        of = table.schema.field(name).type
        assert tests[kind](of), (name, of)
        if kind is Kind.INSTANT:
            assert (of.tz, of.unit) == ("UTC", "ms")
    return list(table.to_pylist())


READ = {"csv": from_csv, "parquet": from_parquet}
formats = pytest.mark.parametrize("ending", READ)


@formats
def test_a_file_of_positions_has_them_all(filled: CommandLine, client: SyncClient, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"stock.{ending}"
    done = filled.run("stock", "export", str(path), "--fresh", "latest", "--sku-prefix", "xp-")
    assert done.stderr == f"4 positions written to {path}.\n"
    rows = READ[ending](path, POSITION_COLUMNS)
    assert {(row["sku"], row["location"], row["on_hand"]) for row in rows} == {
        ("xp-a", "WH1", 12),
        ("xp-a", "ST1", 3),
        ("xp-é", "WH1", MOST),
        ("xp-b", "ST2", 2),
    }
    for row in rows:
        position = client.get_position(row["sku"], row["location"]).position
        assert row == {
            "sku": position.sku,
            "location": position.location,
            "on_hand": position.on_hand,
            "reserved": position.reserved,
            "safety_stock": position.safety_stock,
            "ring_fenced": sum(fence.quantity for fence in position.ring_fences),
            "shortfall": position.shortfall,
            "backordered": position.backordered,
            "expected": sum(receipt.quantity for receipt in position.incoming),
            "revision": position.revision,
            "unsellable": sum(one.quantity for one in position.states),
        }
    (a,) = [row for row in rows if (row["sku"], row["location"]) == ("xp-a", "WH1")]
    assert (a["reserved"], a["ring_fenced"], a["expected"]) == (2, 4, 7)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


@formats
def test_a_file_of_the_ledger_has_every_change(
    filled: CommandLine, client: SyncClient, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"changes.{ending}"
    filled.run("ledger", "export", str(path), "--sku-prefix", "xp-a")
    rows = READ[ending](path, LEDGER_COLUMNS)
    entries = list(reversed(client.list_movements("xp-a").entries))
    assert rows == [
        {
            name: at(getattr(entry, name)) if kind is Kind.INSTANT else getattr(entry, name)
            for name, kind in LEDGER_COLUMNS
            if name != "states"
        }
        | {"states": states_text(entry)}
        for entry in entries
    ]
    assert "quarantine 0 -> 5" in {row["states"] for row in rows}
    assert {row["reference"] for row in rows} >= {'po "7", first'}
    for location in ("WH1", "ST1"):
        of_location = [row for row in rows if row["location"] == location]
        assert of_location[0]["on_hand_before"] == 0
        assert of_location[-1]["on_hand_after"] == client.get_position("xp-a", location).position.on_hand


def at(instant: Any) -> datetime:
    return datetime.fromtimestamp(milliseconds(instant) / 1000, UTC)


@formats
def test_an_export_goes_on_from_a_token(filled: CommandLine, tmp_path: Path, ending: str) -> None:
    token = tmp_path / "last"
    files = [tmp_path / f"{n}.{ending}" for n in range(3)]
    first = filled.json("ledger", "export", str(files[0]), "--after-token", str(token))
    assert first["trimmed"] == []
    assert token.read_text() == first["consistencyToken"] + "\n"
    filled.run("stock", "post", "RECEIPT", "xp-new", "WH1", "1", "--source", ending)
    filled.run("ledger", "export", str(files[1]), "--after-token", str(token))
    assert [row["sku"] for row in READ[ending](files[1], LEDGER_COLUMNS)] == ["xp-new"]
    nothing = filled.run("ledger", "export", str(files[2]), "--after-token", str(token))
    assert nothing.stderr == f"0 changes written to {files[2]}.\n"
    assert READ[ending](files[2], LEDGER_COLUMNS) == []
    known = {(row["sku"], row["revision"], row["place"]) for row in READ[ending](files[0], LEDGER_COLUMNS)}
    assert len(known) == first["entries"]


def test_what_an_export_had_is_not_overwritten_by_the_next(filled: CommandLine, tmp_path: Path) -> None:
    words = ("ledger", "export", str(tmp_path / "a.csv"), "--after-token", str(tmp_path / "last"))
    filled.run(*words)
    assert "name another file" in filled.run(*words, exit_code=2).stderr
    filled.run(*words, "--overwrite")
    (tmp_path / "last").write_text("no token")
    refused = filled.run(*words, "--overwrite", exit_code=2)
    assert "not a consistency token" in refused.stderr
    assert (tmp_path / "last").read_text() == "no token"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "last"]


def test_stdout_gets_csv_and_nothing_else(filled: CommandLine, tmp_path: Path) -> None:
    done = filled.run("stock", "export", "-", "--sku-prefix", "xp-a", "--location", "ST1")
    (tmp_path / "out").write_text(done.stdout)
    (row,) = from_csv(tmp_path / "out", POSITION_COLUMNS)
    assert (row["sku"], row["on_hand"], done.stderr) == ("xp-a", 3, "1 positions written.\n")
    for words in (("--format", "parquet"), ("--json",)):
        assert "stdout gets CSV" in filled.run("stock", "export", "-", *words, exit_code=2).stderr


def test_where_pyarrow_is_missing_that_is_said(
    filled: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    missing = filled.run("stock", "export", str(tmp_path / "a.parquet"), exit_code=2)
    assert "pip install 'invengine[parquet]'" in missing.stderr
    filled.run("stock", "export", str(tmp_path / "a.csv"))
    filled.run("stock", "export", str(tmp_path / "a.parquet"), "--format", "csv")
    assert from_csv(tmp_path / "a.parquet", POSITION_COLUMNS) != []


@formats
def test_a_file_that_cannot_be_written_is_named(filled: CommandLine, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "nowhere" / f"a.{ending}"
    failed = filled.run("stock", "export", str(path), exit_code=1)
    assert f"{path} cannot be written" in failed.stderr


@formats
def test_half_a_file_never_appears(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_text("the file before")
    columns = (("n", Kind.WHOLE),)

    def interrupted() -> None:
        with written(str(path), columns, as_parquet=ending == "parquet") as rows:
            rows.write((1,))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        interrupted()
    assert path.read_text() == "the file before"
    assert list(tmp_path.iterdir()) == [path]


def test_row_groups_are_written_as_they_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory holds one of them, whatever the file's size."""
    monkeypatch.setattr(row_files, "ROWS_A_GROUP", 10)
    path = tmp_path / "a.parquet"
    columns = (("n", Kind.WHOLE), ("at", Kind.INSTANT), ("name", Kind.TEXT))
    rows = [(n * (MOST // 25), 1_700_000_000_123 + n, f"ü{n}") for n in range(25)]
    with written(str(path), columns, as_parquet=True) as file:
        for row in rows:
            file.write(row)
    about = parquet.ParquetFile(path)
    assert [about.metadata.row_group(n).num_rows for n in range(about.num_row_groups)] == [10, 10, 5]
    found = from_parquet(path, columns)
    assert [(row["n"], round(row["at"].timestamp() * 1000), row["name"]) for row in found] == rows


def test_csv_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    columns = (("n", Kind.WHOLE), ("at", Kind.INSTANT), ("name", Kind.TEXT))
    with written(str(path), columns, as_parquet=False) as file:
        file.write((MOST, 1_700_000_000_999, 'a "b", c'))
    assert path.read_text() == f'n,at,name\n{MOST},2023-11-14T22:13:20.999Z,"a ""b"", c"\n'
    assert json.loads(str(from_csv(path, columns)[0]["n"])) == MOST
