"""invengine watch."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.servers import CommandLine, Server, command


@contextmanager
def watching(engine: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`invengine watch` in a process of its own."""
    process = command("watch", *arguments, "--channel", "web", server=engine.address, PYTHONUNBUFFERED="1")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def receive(invengine: CommandLine, sku: str, location: str, units: int) -> None:
    invengine.run("stock", "post", "RECEIPT", sku, location, str(units))


def line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n").split("\t")


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How it ends on Ctrl-C, and what it says then."""
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    return process.returncode, told


def test_piped_it_writes_a_line_per_change_until_ctrl_c(invengine: CommandLine, engine: Server) -> None:
    receive(invengine, "wa-1", "WH1", 5)
    with watching(engine, "wa-1", "wa-2") as process:
        assert line(process) == ["sku", "available", "level"]
        assert line(process) == ["wa-1", "5", "IN_STOCK"]
        assert line(process) == ["wa-2", "0", "UNKNOWN_SKU"]
        receive(invengine, "wa-2", "ST1", 2)
        assert line(process) == ["wa-2", "2", "LOW"]
        assert interrupted(process) == (0, "")


def test_by_location_and_levels(invengine: CommandLine, engine: Server) -> None:
    receive(invengine, "wa-3", "WH1", 5)
    receive(invengine, "wa-3", "ST1", 1)
    with watching(engine, "wa-3", "--by-location", "--levels", "--group", "stores") as process:
        assert line(process) == ["sku", "location", "level"]
        assert line(process) == ["wa-3", "ST1", "LOW"]
        receive(invengine, "wa-3", "ST2", 9)
        assert line(process) == ["wa-3", "ST2", "IN_STOCK"]
        assert interrupted(process)[0] == 0


def test_json_is_a_message_per_line_whose_token_takes_the_watch_up_again(
    invengine: CommandLine, engine: Server
) -> None:
    receive(invengine, "wa-4", "WH1", 5)
    with watching(engine, "wa-4", "--json") as process:
        first = json.loads("\t".join(line(process)))
        assert interrupted(process)[0] == 0
    change = {"sku": "wa-4", "location": "", "available": 5}
    assert first["changes"] == [{**change, "level": "LEVEL_IN_STOCK", "status": "AVAILABILITY_STATUS_KNOWN"}]
    assert (first["caughtUp"], first["beginsAnew"]) == (True, True)
    receive(invengine, "wa-4", "WH1", 1)
    with watching(engine, "wa-4", "--json", "--resume-token", first["resumeToken"]) as process:
        again = json.loads("\t".join(line(process)))
    assert [change["available"] for change in again["changes"]] == [6]
    assert (again["caughtUp"], again["beginsAnew"]) == (True, False)


def test_promises_are_told_as_they_break_and_are_mended(invengine: CommandLine, engine: Server) -> None:
    """A line per change; with --json the message."""
    invengine.run("incoming", "set", "wa-po", "wa-7", "WH1", "9", "2098-12-01")
    invengine.run("reserve", "wa-7", "2@WH1", "--allow-backorder", "--channel", "web", "--reservation-id", "wa-r")
    invengine.run("incoming", "slip", "wa-po", "wa-7", "WH1", "2098-12-04")
    broken = ["wa-r", "1", "wa-7", "WH1", "2", "BROKEN", "SLIPPED", "2098-12-01", "2098-12-04"]
    with watching(engine, "wa-7", "--promises") as process:
        assert line(process) == [
            *("reservation_id", "line_id", "sku", "location", "quantity", "state", "reason"),
            *("promised_delivery_date", "new_delivery_date"),
        ]
        assert line(process) == broken
        invengine.run("incoming", "slip", "wa-po", "wa-7", "WH1", "2098-12-05")
        assert line(process) == [*broken[:-1], "2098-12-05"]
        invengine.run("incoming", "slip", "wa-po", "wa-7", "WH1", "2098-12-01")
        assert line(process) == [*broken[:5], "MENDED", "SLIPPED", "2098-12-01", "2098-12-05"]
        assert interrupted(process) == (0, "")
    invengine.run("incoming", "slip", "wa-po", "wa-7", "WH1", "2098-12-04")
    with watching(engine, "wa-7", "--promises", "--json") as process:
        told = []
        while not told:
            told = json.loads("\t".join(line(process)))["promises"]
    (change,) = told
    assert (change["mended"], change["promise"]["reservationId"]) == (False, "wa-r")
    assert change["promise"]["reason"] == "REASON_SLIPPED"


def test_it_ends_by_itself_after_its_time(invengine: CommandLine) -> None:
    receive(invengine, "wa-5", "WH1", 5)
    result = invengine.run("watch", "wa-5", "--channel", "web", "--for-seconds", "1")
    assert result.stdout == "sku\tavailable\tlevel\nwa-5\t5\tIN_STOCK\n"


def test_what_it_cannot_watch_is_told_with_an_exit_code(invengine: CommandLine) -> None:
    assert "nowhere" in invengine.run("watch", "--channel", "web", "--group", "nowhere", exit_code=3).stderr
    assert "--channel" in invengine.run("watch", "wa-1", exit_code=2).stderr
    invengine.run("watch", "wa-1", "--channel", "web", "--resume-token", "nonsense", exit_code=2)
    nobody = invengine.run("watch", "wa-1", "--channel", "web", "--server", "unix:/nobody", exit_code=5)
    assert "no server answers" in nobody.stderr.lower()


def test_on_a_terminal_it_draws_a_table_that_changes(invengine: CommandLine, engine: Server) -> None:
    receive(invengine, "wa-6", "WH1", 4711)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "invengine", "watch", "wa-6", "--channel", "web"],
        env={**os.environ, "INVENGINE_SERVER": engine.address, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
    )
    os.close(theirs)
    try:
        seen = b""

        def until(words: bytes) -> None:
            nonlocal seen
            while words not in seen:
                ready, _, _ = select.select([ours], [], [], 60)
                assert ready, seen
                seen += os.read(ours, 65536)

        until(b"4711")
        assert b"wa-6" in seen
        receive(invengine, "wa-6", "WH1", 1)
        until(b"4712")
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # a terminal that nobody reads would hold it up
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    os.read(ours, 65536)
                except OSError:  # the terminal is gone with the process
                    break
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
