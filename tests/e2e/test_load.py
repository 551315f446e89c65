"""Loading a history through the public API: every unit where it belongs, whatever happens on the way.

The judge is bench_data/verify_online_retail.py, which computes every position by itself.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.history import write_history
from tests.cli.servers import NETWORK, CommandLine, Server, command

VERIFY = Path(__file__).parents[2] / "bench_data" / "verify_online_retail.py"
LOCATIONS = "6"
StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_history(tmp_path_factory.mktemp("history") / "history.csv.gz")


@pytest.fixture(scope="module")
def events(history: Path) -> int:
    from invengine.cli.formats import FORMATS

    return sum(1 for _ in FORMATS["online-retail"].events(history))


def verify(history: Path, server: Server, scale: str = "1") -> None:
    """Every position is as the independent script says; AssertionError with what differs."""
    arguments = [history, "--server", server.address, "--locations", LOCATIONS, "--scale", scale]
    done = subprocess.run([sys.executable, VERIFY, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def arguments(history: Path, tmp_path: Path, *more: str) -> tuple[str, ...]:
    return ("load", str(history), "--locations", LOCATIONS, "--state-file", str(tmp_path / "state.json"), *more)


def test_a_history_is_loaded_whole_and_loading_it_again_changes_nothing(
    start_server: StartServer, history: Path, events: int, tmp_path: Path
) -> None:
    server = start_server()
    line = CommandLine(server.address)
    first = line.json(*arguments(history, tmp_path))
    assert (first["events"], first["applied"], first["repeated"], first["refused"]) == (events, events, 0, {})
    assert first["orders"] > 10
    assert first["check"]["violationsCount"] == 0
    verify(history, server)

    again = line.json(*arguments(history, tmp_path))
    assert (again["applied"], again["repeated"], again["refused"]) == (0, events, {})
    assert again["openings"]["applied"] == 0
    resumed = line.json(*arguments(history, tmp_path, "--resume"))
    assert (resumed["posted"], resumed["skipped"]) == (0, events)
    verify(history, server)

    table = line.run(*arguments(history, tmp_path, "--resume")).stdout
    assert f"events of the history                  {events}" in table


def test_with_less_stock_than_was_sold_refusals_are_outcomes(
    start_server: StartServer, history: Path, events: int, tmp_path: Path
) -> None:
    server = start_server()
    done = CommandLine(server.address).json(*arguments(history, tmp_path, "--scale", "0.7"))
    assert done["refused"]["INSUFFICIENT_STOCK"] > 0
    assert done["applied"] + sum(done["refused"].values()) == events
    assert done["check"]["violationsCount"] == 0
    verify(history, server, "7/10")


def test_a_killed_load_goes_on_where_it_was(
    start_server: StartServer, history: Path, events: int, tmp_path: Path
) -> None:
    """At this speed the whole takes minutes; it is killed after a few seconds of it and finished at full speed."""
    server = start_server()
    slow = command(*arguments(history, tmp_path, "--speed", "1200"), server=server.address)
    state = tmp_path / "state.json"
    given_up_at = time.monotonic() + 60
    while not state.exists() or json.loads(state.read_text())["next_row"] < 100:
        assert slow.poll() is None, slow.communicate()
        assert time.monotonic() < given_up_at
        time.sleep(0.05)  # another process writes the file
    slow.kill()
    slow.communicate()
    reached = json.loads(state.read_text())["next_row"]

    resumed = CommandLine(server.address).json(*arguments(history, tmp_path, "--resume"))
    assert 0 < resumed["skipped"] < reached
    assert resumed["applied"] > 0
    assert resumed["refused"] == {}
    assert resumed["posted"] + resumed["skipped"] == events
    verify(history, server)


def test_ctrl_c_says_how_to_go_on(start_server: StartServer, history: Path, tmp_path: Path) -> None:
    server = start_server()
    slow = command(*arguments(history, tmp_path, "--speed", "1200"), server=server.address)
    given_up_at = time.monotonic() + 60
    while not (tmp_path / "state.json").exists():
        assert time.monotonic() < given_up_at
        time.sleep(0.05)  # another process writes the file
    slow.send_signal(signal.SIGINT)
    stdout, stderr = slow.communicate(timeout=30)
    assert (slow.returncode, stdout) == (130, "")
    assert "--resume goes on from there" in stderr


def test_a_server_that_is_killed_and_started_again_is_waited_for(
    start_server: StartServer, history: Path, tmp_path: Path
) -> None:
    server = start_server()
    load = command(*arguments(history, tmp_path, "--speed", "40000", "--json"), server=server.address)
    given_up_at = time.monotonic() + 60
    while not (tmp_path / "state.json").exists():
        assert time.monotonic() < given_up_at
        time.sleep(0.05)  # another process writes the file
    server.stop(signal.SIGKILL)
    start_server(server.folder)
    stdout, stderr = load.communicate(timeout=120)
    assert load.returncode == 0, stderr
    assert json.loads(stdout)["refused"] == {}
    verify(history, server)


def test_another_network_is_replaced_only_when_told_to(
    start_server: StartServer, history: Path, tmp_path: Path
) -> None:
    line = CommandLine(start_server().address)
    other = tmp_path / "shop.yaml"
    other.write_text(NETWORK)
    line.run("network", "apply", str(other))
    refused = line.run(*arguments(history, tmp_path), exit_code=4)
    assert "--replace-network" in refused.stderr
    assert line.run("network", "show").stdout == NETWORK
    assert line.json(*arguments(history, tmp_path, "--replace-network"))["refused"] == {}


def test_a_state_file_of_a_store_that_is_gone_is_noticed(
    start_server: StartServer, history: Path, events: int, tmp_path: Path
) -> None:
    first = start_server()
    CommandLine(first.address).run(*arguments(history, tmp_path))
    state = json.loads((tmp_path / "state.json").read_text())
    first.stop()
    second = start_server()
    state["identity"] = state["identity"].replace(first.address, second.address)
    (tmp_path / "state.json").write_text(json.dumps(state))
    done = CommandLine(second.address).run(*arguments(history, tmp_path, "--resume", "--json"))
    assert "starting from the first row" in done.stderr
    assert json.loads(done.stdout)["applied"] == events


def test_what_cannot_be_loaded_ends_with_2(history: Path, tmp_path: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    assert "there is online-retail" in nowhere.run("load", str(history), "--format", "sap", exit_code=2).stderr
    assert "not a number" in nowhere.run("load", str(history), "--scale", "-1", exit_code=2).stderr
    assert "No such file" in nowhere.run("load", str(tmp_path / "none.csv"), exit_code=2).stderr
    bad = tmp_path / "bad.csv"
    bad.write_text("ts,invoice,sku,description,qty,price,customer,country\n2010-12-01T08:26,1,22632,A,x,1.0,1,France\n")
    assert nowhere.run("load", str(bad), exit_code=2).stderr == "row 1, column qty: 'x' is not a whole number\n"
