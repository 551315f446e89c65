"""What a load remembers of how far it came."""

from pathlib import Path

import pytest

from invengine.cli.loading.progress import Ledger, state_path


def test_the_slowest_lane_decides_where_the_next_run_begins(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    with Ledger(path, "this load") as ledger:
        ledger.begin({0: 1, 1: 5})
        ledger.acknowledge(0, 40)
        ledger.acknowledge(1, 30)
    assert Ledger(path, "this load").read() == 30
    assert [entry.name for entry in path.parent.iterdir()] == ["state.json"]


def test_the_state_is_saved_while_the_load_goes_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state.json", "this load")
    ledger.begin({0: 7})
    assert Ledger(ledger.path, "this load").read() == 7


def test_without_a_state_of_this_load_it_begins_at_the_first_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state.json"
    assert Ledger(path, "this load").read() == 1
    with Ledger(path, "another load") as ledger:
        ledger.begin({0: 9})
    assert Ledger(path, "this load").read() == 1
    path.write_text("{}")
    assert Ledger(path, "this load").read() == 1
    assert "not a state file" in capsys.readouterr().err


def test_each_load_has_a_state_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_path("a").parent == tmp_path / "invengine"
    assert state_path("a") != state_path("b")
