"""Two processes compile kernels: one begins where the other would end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from invengine import compiling


def kept(folder: Path) -> set[str]:
    """The modules of which compiled code is there."""
    return {path.parent.name.partition("-")[0] for path in folder.rglob("*.nbc")}


def wait_for(folder: Path, module: str, process: subprocess.Popen[bytes]) -> None:
    while module not in kept(folder):
        assert process.poll() is None
        time.sleep(0.05)


def test_a_helper_begins_with_the_last_module_and_ends_with_who_asked_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from invengine import compiling; compiling.help_from_the_end()"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as helper:
        wait_for(tmp_path, "invengine.kernels.wire", helper)
        assert helper.stdin is not None
        helper.stdin.close()
        assert helper.wait(60) == 0
    assert "invengine.kernels.allocation" not in kept(tmp_path)


def test_what_is_quickly_there_needs_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    told: list[None] = []
    with compiling.in_company(lambda: told.append(None)):
        pass
    assert told == []


def test_what_takes_long_is_told_and_helped_with_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiling, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    helpers: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*args: object, **options: object) -> subprocess.Popen[bytes]:
        helpers.append(start(*args, **options))  # type: ignore[call-overload]
        return helpers[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    told: list[None] = []
    with compiling.in_company(lambda: told.append(None)):
        while not helpers:
            time.sleep(0.01)
        assert helpers[0].poll() is None
    assert (len(told), len(helpers)) == (1, 1)
    assert helpers[0].poll() is not None
