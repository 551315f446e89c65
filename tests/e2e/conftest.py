"""Real server processes for the tests of the whole: `invengine serve` with an embedded Redis of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.servers import Server


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
