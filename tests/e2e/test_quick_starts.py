"""The quick starts for channels, run as they stand in docs/channels.md."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from invengine.client import Movement, Tls
from tests.certificates import Authority
from tests.cli.servers import CommandLine, Server
from tests.rpc.tokens import guarded

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


def node_says(node_modules: Path, folder: Path, **environment: str) -> str:
    """What the script of the page prints, once it was right."""
    script = folder / "channel.js"
    script.write_text(code_of("javascript"))
    done = subprocess.run(
        ["node", script],
        env={**os.environ, "NODE_PATH": str(node_modules), "INVENGINE_PROTO": str(ROOT / "proto"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def check_what_node_said(said: str) -> None:
    """It reserved, and was told of that by its watch."""
    reserved, told = said.splitlines()
    assert re.fullmatch(r"reserved \S+ until \d+", reserved)
    before, after = re.fullmatch(r"available (\d+) then (\d+)", told).groups()  # type: ignore[union-attr]
    assert int(before) - int(after) == 2


def test_the_node_quick_start_runs(shop: Server, node_modules: Path, tmp_path: Path) -> None:
    check_what_node_said(node_says(node_modules, tmp_path, INVENGINE_SERVER=shop.address))


@pytest.mark.asyncio
async def test_the_node_quick_start_runs_with_tls_and_a_token(
    redis_url: str, node_modules: Path, tmp_path: Path
) -> None:
    """As a channel that may reserve and nothing else."""
    authority = Authority(tmp_path)
    certificate, key = authority.server()
    tls = Tls.read(ca=authority.ca)
    async with guarded(redis_url, tmp_path, tls, tls_certificate=certificate, tls_key=key) as server:
        await server.admin.apply_network((ROOT / "bench_data/small/network.yaml").read_text())
        receipt = Movement(kind="KIND_RECEIPT", sku="BENCH-OAK-1", location="DC-DAVENTRY", quantity=40, source="test")
        await server.admin.post_movements([receipt])
        token = await server.token("web-shop", "reserve", channel="web")
        said = await asyncio.to_thread(
            node_says,
            node_modules,
            tmp_path,
            INVENGINE_SERVER=server.address.replace("127.0.0.1", "localhost"),
            INVENGINE_CA=str(authority.ca),
            INVENGINE_TOKEN=token,
        )
    check_what_node_said(said)


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
