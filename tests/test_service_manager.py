"""What the manager of services is told, the unit for systemd, and the container file."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from invengine import service_manager
from invengine.settings import Settings
from tests.cli.test_help import COMMANDS

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "docs" / "operations" / "invengine.service"
CONTAINER = ROOT / "Containerfile"


class Manager:
    """Listens as systemd does."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(60)

    def told(self) -> list[str]:
        """The lines of the next message."""
        return self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(tmp_path / "notify.sock")
    found = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    yield found
    found.close()


def test_it_is_told_when_the_service_is_ready_and_when_it_stops(manager: Manager) -> None:
    service_manager.ready("serving on here")
    assert manager.told() == ["READY=1", "STATUS=serving on here"]
    service_manager.stopping()
    assert manager.told() == ["STOPPING=1", "STATUS=answering what was accepted"]


def test_an_abstract_socket_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"invengine-test-{os.getpid()}"
    found = Manager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    service_manager.ready("x")
    assert found.told()[0] == "READY=1"
    found.close()


def test_where_nobody_wants_to_know_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    service_manager.ready("x")
    assert caplog.records == []


def test_a_manager_that_is_gone_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone.sock"))
    service_manager.ready("x")
    assert "cannot be told" in caplog.text


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_server_tells_it_once_it_serves(manager: Manager, tmp_path: Path, workers: int) -> None:
    """And with several workers once, by the process that was started: systemd hears no other."""
    listen = f"unix:{tmp_path}/engine.sock" if workers == 1 else "127.0.0.1:0"
    command = [sys.executable, "-m", "invengine", "serve", f"--listen={listen}", "--metrics-listen="]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, f"--workers={workers}", f"--data-dir={tmp_path}/data"], stdout=log, stderr=log
        )
    try:
        ready = manager.told()
        assert ready[0] == "READY=1", (tmp_path / "server.log").read_text()
        server.send_signal(signal.SIGTERM)
        assert manager.told()[0] == "STOPPING=1"
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.wait()


# --- the unit -------------------------------------------------------------------------------------------------------


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "invengine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "invengine.service"
    unit.write_text(UNIT.read_text().replace("/opt/invengine/bin/invengine", str(program)))
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def named_settings(text: str) -> set[str]:
    return {name.removeprefix("INVENGINE_").lower() for name in re.findall(r"\bINVENGINE_[A-Z_]+(?==)", text)}


@pytest.mark.parametrize("page", [UNIT, CONTAINER], ids=lambda path: path.name)
def test_the_settings_that_are_set_exist(page: Path) -> None:
    assert named_settings(page.read_text()) - set(Settings.model_fields) == set()


@pytest.mark.parametrize("page", [UNIT, CONTAINER], ids=lambda path: path.name)
def test_the_commands_that_are_run_exist(page: Path) -> None:
    called = re.findall(r"(?:bin/invengine |exec invengine |\"invengine\", \")([a-z]+)", page.read_text())
    assert "serve" in called
    assert {(name,) for name in called} - set(COMMANDS) == set()


# --- the container file ---------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Of the container file, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", CONTAINER.read_text(), flags=re.MULTILINE))
    return [(word, rest) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]]


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = set()
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *sources, _ = shlex.split(rest)
            copied |= set(sources)
    assert copied == kept
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    words = dict(instructions())
    assert words["USER"] not in ("", "0", "root")
    assert '"health"' in words["HEALTHCHECK"]
    assert words["STOPSIGNAL"] == "SIGTERM"
    assert "exec invengine serve" in words["CMD"]  # the signal reaches the server, not a shell before it
    assert words["VOLUME"] in re.findall(r"INVENGINE_DATA_DIR=(\S+)/data", CONTAINER.read_text())
