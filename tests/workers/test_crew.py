"""Processes that are started again, and addresses that are held for them."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

import pytest

from invengine.settings import Settings
from invengine.workers import worker
from invengine.workers.addresses import HeldAddresses
from invengine.workers.crew import STARTS_MAX, Crew
from invengine.workers.link import Broken


def ordinary(port: int) -> None:
    """Another program that listens."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()


def of_worker(port: int) -> socket.socket:
    """A worker's socket that listens, as gRPC makes it."""
    made = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        made.setsockopt(socket.SOL_SOCKET, option, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


def with_connections_ending() -> int:
    """A port of a server that is gone, but for a connection that it closed."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            server.accept()[0].close()
            assert caller.recv(1) == b""
    return port


@pytest.mark.parametrize("is_used", [False, True], ids=["fresh", "connections ending"])
def test_only_workers_get_in_where_an_address_is_held(is_used: bool) -> None:
    held, second = HeldAddresses(), HeldAddresses()
    try:
        (address,) = held.hold([f"127.0.0.1:{with_connections_ending() if is_used else 0}"])
        port = int(address.rpartition(":")[2])
        for _ in range(2):  # before a worker listens, and while one does
            with pytest.raises(Broken, match=f"cannot listen on {address}: another program is listening there"):
                second.hold([address])
            with pytest.raises(OSError, match="in use"):
                ordinary(port)
            of_worker(port).close()
        with of_worker(port), of_worker(port), pytest.raises(Broken):
            second.hold([address])
        held.close()
        second.hold([address])
    finally:
        held.close()
        second.close()


def test_an_address_where_somebody_listens_is_not_held() -> None:
    held = HeldAddresses()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Broken, match="another program is listening there"):
            held.hold([f"127.0.0.1:{other.getsockname()[1]}"])
    held.close()


def test_a_name_is_held_at_all_its_addresses() -> None:
    held = HeldAddresses()
    try:
        (address,) = held.hold(["localhost:0"])
        with pytest.raises(OSError, match="in use"):
            ordinary(int(address.rpartition(":")[2]))
    finally:
        held.close()
    with pytest.raises(Broken, match=r"cannot listen on 203\.0\.113\.1:0"):
        held.hold(["203.0.113.1:0"])


@pytest.mark.asyncio
async def test_workers_that_never_serve_are_started_at_growing_pauses_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-I", "-S", "-c", "raise SystemExit(7)"))
    monkeypatch.setattr(worker, "PAUSE_SECONDS", (0.001, 0.004))
    crew = Crew()
    with caplog.at_level(logging.ERROR):
        crew.start(Settings(workers=2), on_warm=lambda: None)
        broken = await crew.broken
        await crew.stop()
    assert "no worker lives until it serves" in str(broken)
    told = [record.args for record in caplog.records if "is gone" in record.message]
    assert [one[0] for one in told] == [0] * STARTS_MAX  # the other waits for what the first brings along
    assert [one[2] for one in told] == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert {str(one[1]) for one in told} == {"it ended with status 7"}
    assert crew.health() == (
        False,
        "NOT_SERVING\nworker 0 NOT_SERVING process none\nworker 1 NOT_SERVING process none\n",
    )
    await asyncio.sleep(0)
