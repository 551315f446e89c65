"""One server of two workers for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from invengine.client import connect
from tests.workers.servers import Server, until

NETWORK = """\
locations: {DC: {}}
groups: {all: [DC]}
channels: {web: {groups: [all]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a network; at the end SIGTERM ends it with 0, and nothing of it is left."""
    started = Server(tmp_path_factory.mktemp("workers"))
    try:
        started.wait()
        with connect(started.address) as client:
            client.apply_network(NETWORK)
        in_force = "network revision 1 is in force"  # on the other worker within a second
        until(lambda: started.log.read_text().count(in_force) == 2, "no network", started.log)
        yield started
        assert started.end() == 0, started.log.read_text()
    finally:
        started.process.kill()
        started.process.wait()
