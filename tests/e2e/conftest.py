"""Real server processes for the tests of the whole: `invengine serve` with an embedded Redis of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.servers import Server

NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share; at their end SIGTERM must make it leave with 0."""
    running = Server(tmp_path_factory.mktemp("e2e"))
    try:
        running.wait()
        yield running
    finally:
        exit_code = running.stop()
    assert exit_code == 0, (running.folder / "server.log").read_text()


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers of this test's own, each with a folder of its own or one that is given; they end with the test."""
    servers: list[Server] = []

    def start(folder: Path | None = None) -> Server:
        servers.append(Server(folder or tmp_path_factory.mktemp("e2e")))
        servers[-1].wait()
        return servers[-1]

    yield start
    for running in servers:
        running.stop()


def missing(reason: str) -> None:
    """A skip at home, a failure in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """The packages of package-lock.json, installed once per content of that file and kept beside pytest's cache."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    lock_file = NODE / "package-lock.json"
    cache: pytest.Cache = request.config.cache  # type: ignore[assignment]
    folder = cache.mkdir("node") / hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not (folder / "installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(NODE / name, folder / name)
            install = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=180,
            )
            if install.returncode != 0:
                missing(f"npm ci failed: {install.stderr[-2000:]}")
            (folder / "installed").touch()
    return folder / "node_modules"
