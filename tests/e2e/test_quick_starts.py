"""The quick starts for channels, run as they stand in docs/channels.md."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")


@pytest.fixture
def shop(start_server: Callable[..., Server]) -> Server:
    """A server with the network and the stock that the page loads."""
    server = start_server()
    line = CommandLine(server.address)
    for text in re.findall(r"^    invengine ((?:network|stock) .*)$", PAGE, re.M):
        line.run(*[str(ROOT / word) if word.startswith("bench_data") else word for word in shlex.split(text)])
    return server


def code_of(language: str) -> str:
    """The one block of a language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return str(code)


def test_the_python_quick_start_runs(
    shop: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INVENGINE_SERVER", shop.address)
    exec(compile(code_of("python"), "channels.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    available = int(said[0].split()[0])
    assert available > 2
    assert re.fullmatch(r"\S+ \['[A-Z-]+'\]", said[1])
    most = int(re.fullmatch(r"one location has (\d+) at most", said[2])[1])  # type: ignore[index]
    assert 0 < most <= available - 2


def test_the_node_quick_start_runs(shop: Server, node_modules: Path, tmp_path: Path) -> None:
    script = tmp_path / "channel.js"
    script.write_text(code_of("javascript"))
    done = subprocess.run(
        ["node", script],
        env={
            **os.environ,
            "NODE_PATH": str(node_modules),
            "INVENGINE_SERVER": shop.address,
            "INVENGINE_PROTO": str(ROOT / "proto"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    reserved, told = done.stdout.splitlines()
    assert re.fullmatch(r"reserved \S+ until \d+", reserved)
    before, after = re.fullmatch(r"available (\d+) then (\d+)", told).groups()  # type: ignore[union-attr]
    assert int(before) - int(after) == 2


def test_the_shell_quick_start_runs(shop: Server) -> None:
    """By reflection: the tool knows nothing of the contract."""
    if shutil.which("grpcurl") is None:
        pytest.skip("grpcurl is not installed")
    code = code_of("sh").replace("127.0.0.1:50051", shop.address.removeprefix("unix:"))
    code = code.replace("-plaintext", "-plaintext -unix")
    done = subprocess.run(["sh", "-e"], input=code, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "invengine.v1.ReservationService" in done.stdout.splitlines()
    assert '"state": "STATE_HELD"' in done.stdout
