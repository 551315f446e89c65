"""One server for all tests of commands; each test uses SKUs of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.servers import NETWORK, CommandLine, Server


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("engine"))
    try:
        server.wait()
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="session")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "shop.yaml"
    path.write_text(NETWORK)
    return path


@pytest.fixture(scope="session")
def invengine(engine: Server, network_file: Path) -> CommandLine:
    """The command line against a server with the test network in force."""
    line = CommandLine(engine.address)
    line.run("network", "apply", str(network_file))
    return line
