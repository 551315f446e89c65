"""invengine backup: make it while a server serves, kill that, restore, and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server

NOBODY = CommandLine("127.0.0.1:1")


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.stop(signal.SIGKILL)


def test_a_store_is_backed_up_while_it_serves_and_goes_on_from_there(
    engine: Server, invengine: CommandLine, tmp_path: Path, restored: list[Server]
) -> None:
    invengine.run("stock", "post", "RECEIPT", "bk-a", "WH1", "3")
    invengine.run("reserve", "bk-a", "2", "--channel", "web")
    folder = tmp_path / "backup"
    data = engine.folder / "data"
    made = NOBODY.run("backup", "make", str(folder), "--data-dir", str(data))
    assert made.stdout == ""
    assert made.stderr.startswith("Backed up the store ")
    invengine.run("stock", "post", "RECEIPT", "bk-a", "WH1", "5")
    whole = NOBODY.json("backup", "verify", str(folder))
    assert whole["keys"] > 5
    assert len(whole["parts"]) == 1

    refused = NOBODY.run("backup", "restore", str(folder), "--data-dir", str(data), exit_code=1)
    assert "is not empty" in refused.stderr
    said = NOBODY.run("backup", "restore", str(folder), "--data-dir", str(tmp_path / "data")).stderr
    assert "invengine check --replay" in said
    restored.append(Server(tmp_path))
    restored[0].wait()
    line = CommandLine(restored[0].address)
    assert line.json("availability", "bk-a", "--channel", "web")["available"] == 1
    assert line.json("check", "--replay")["violationsCount"] == 0
    # at rest too: nobody runs the folder, so the command does for as long as it takes
    assert restored[0].stop() == 0
    again = NOBODY.json("backup", "make", str(tmp_path / "second"), "--data-dir", str(tmp_path / "data"))
    assert again["store_id"] != whole["store_id"]
    assert again["partitions"] == whole["partitions"]


def test_what_cannot_be_backed_up_says_why(tmp_path: Path) -> None:
    nothing = NOBODY.run("backup", "make", str(tmp_path / "b"), "--data-dir", str(tmp_path / "none"), exit_code=1)
    assert "there is no store in the data folder" in nothing.stderr
    away = NOBODY.run("backup", "make", str(tmp_path / "b"), "--redis-url", f"unix://{tmp_path}/none", exit_code=1)
    assert "did not give its data" in away.stderr
    wrong = NOBODY.run("backup", "make", str(tmp_path / "b"), "--redis-url", "http://x", exit_code=2)
    assert "redis://HOST:PORT" in wrong.stderr
    assert "is no back-up" in NOBODY.run("backup", "verify", str(tmp_path), exit_code=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_back_up_that_is_killed_leaves_nothing_under_its_name(engine: Server, tmp_path: Path) -> None:
    """Killed the moment that it has begun to write; the next one of this name is whole."""
    folder, data = tmp_path / "b", str(engine.folder / "data")
    command = [sys.executable, "-m", "invengine", "backup", "make", str(folder), "--data-dir", data, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any(name.endswith(".partial") for name in os.listdir(tmp_path)):
            pass
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL)
    if not folder.exists():
        assert json.loads(NOBODY.run("backup", "make", str(folder), "--data-dir", data, "--json").stdout)["parts"]
    assert NOBODY.json("backup", "verify", str(folder))["keys"] > 0
    assert os.listdir(tmp_path) == ["b"]
