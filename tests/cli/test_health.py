"""`invengine health`, for scripts and containers."""

from __future__ import annotations

import asyncio
import json

import pytest

from invengine.cli.exits import ExitCode
from invengine.rpc import servicers
from invengine.rpc.server import Server
from tests.cli.servers import CommandLine
from tests.rpc.engines import settings_for


def test_a_server_that_serves_ends_it_with_0(invengine: CommandLine) -> None:
    assert invengine.run("health").stdout == "SERVING\n"
    assert invengine.run("health", "--service", "invengine.v1.StockService").stdout == "SERVING\n"
    assert json.loads(invengine.run("health", "--json").stdout) == {"status": "SERVING"}


def test_nobody_there_is_not_healthy(tmp_path: object) -> None:
    nobody = CommandLine(f"unix:{tmp_path}/nobody.sock")
    assert "no server answers" in nobody.run("health", exit_code=ExitCode.UNAVAILABLE).stderr.lower()


def test_a_service_that_it_does_not_know_is_said_to_be_none(invengine: CommandLine) -> None:
    answer = invengine.run("health", "--service", "invengine.v1.Nothing", exit_code=ExitCode.FAILURE)
    assert "no such service" in answer.stderr


@pytest.mark.asyncio
async def test_a_server_that_loads_its_data_is_not_healthy_yet() -> None:
    server = Server(settings_for(""), servicers.SERVICES, [path for path, _ in servicers.methods()])
    await server.start()
    try:
        loading = CommandLine(server.addresses[0])
        answer = await asyncio.to_thread(loading.run, "health", exit_code=ExitCode.UNAVAILABLE)
        assert answer.stdout == "NOT_SERVING\n"
    finally:
        await server.stop()
