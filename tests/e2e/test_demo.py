"""The demo: the story comes out as it is told, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from invengine.cli.demo_server import address_for

DEMO = [sys.executable, "-m", "invengine", "demo", "--measure-seconds", "0.2"]


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    """The demo with its temporary files below `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen([*DEMO, *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_server_listens_where_it_can(tmp_path: Path) -> None:
    """A path that is too long for a socket gives way to a port of this machine."""
    assert address_for(Path("/tmp/demo")) == "unix:/tmp/demo/engine.sock"
    assert address_for(tmp_path / ("long" * 30)).startswith("127.0.0.1:")


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").glob("*"):  # nothing where there is no /proc
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it ended while we looked
            continue
    return found


def test_the_story_comes_out_as_it_is_told(tmp_path: Path) -> None:
    demo = start(tmp_path, "--json")
    stdout, stderr = demo.communicate(timeout=120)
    assert (demo.returncode, stderr) == (0, "")
    told = json.loads(stdout)
    assert (told["locations"], told["refused"], told["handedOver"]) == (40, "INSUFFICIENT_STOCK", "FULFILLED")
    ways = told["promise"]
    assert set(ways) == {"ship express", "ship standard", "pickup", "ship-to-store"}
    assert all(ways.values())
    assert ways["ship express"] <= ways["ship standard"]
    hold = told["hold"]
    assert (hold["before"] - hold["during"], hold["after"]) == (3, hold["before"])
    assert told["counted"] == hold["after"] - 5
    done = [kind for kind in told["history"] if kind != "EXPIRE"]  # the sweep tidies the hold when it gets to it
    assert done[:4] == ["COUNT", "RESERVE", "FULFIL", "RESERVE"]
    promised = told["promised"]
    assert promised["before"].endswith(" on hand are reserved, 2 are promised out of the receipt")
    assert promised["after"].endswith(" on hand are reserved")
    assert promised["free"] == 4
    sourced = told["sourced"]
    assert list(sourced) == ["none", "soon@1"]
    assert all(day for days in sourced.values() for day in days)
    assert told["activations"] == ["soon@1 by planner", "none by planner"]
    assert all(rate > 0 for rate in told["rates"].values())
    assert set(told["rates"]) == {"unary", "stream", "batch", "reservations"}
    assert told["check"]["positionsChecked"] == told["positions"]
    assert told["check"]["violationsCount"] == 0
    assert (list(tmp_path.iterdir()), processes_of(tmp_path)) == ([], [])


def test_people_read_a_story_with_the_commands_that_do_the_same(tmp_path: Path) -> None:
    demo = start(tmp_path)
    stdout, stderr = demo.communicate(timeout=120)
    assert (demo.returncode, stderr) == (0, "")
    for expected in (
        "\n10. ",
        "$ invengine availability ",
        "$ invengine reserve ",
        "$ invengine incoming receive po-1 ",
        "$ invengine profile activate app soon",
        "The till is refused: ",
        "0 violations",
    ):
        assert expected in stdout
    assert stdout.endswith("The engine is stopped, and its files are gone.\n")


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    while "2. " not in demo.stdout.readline():
        assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert (list(tmp_path.iterdir()), processes_of(tmp_path)) == ([], [])


def test_the_engine_of_a_demo_that_was_killed_ends_by_itself(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    while "2. " not in demo.stdout.readline():
        assert demo.poll() is None
    demo.kill()
    demo.communicate(timeout=30)
    given_up_at = time.monotonic() + 30
    while processes_of(tmp_path):
        assert time.monotonic() < given_up_at
        time.sleep(0.05)  # processes of a process that is gone: nobody tells us
