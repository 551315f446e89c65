"""Watching over servers that are killed: nothing is missed, whoever takes the watch up again, and under load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from benchmarks import engine as engines
from benchmarks.watch_load import Load, put_under
from invengine.client import Client, Movement, connect
from invengine.v1 import availability_service_pb2 as pb
from invengine.v1.common_pb2 import Consistency
from tests.cli.servers import NETWORK, Server
from tests.redis_servers import RunningRedis

SKUS = [f"S{number}" for number in range(40)]
PLACES = ("WH1", "ST1", "ST2")


class Known:
    """Watches until it is closed, and keeps the last units that it was told, by SKU and location."""

    def __init__(self, client: Client, **question: object) -> None:
        self.units: dict[tuple[str, str], int] = {}
        self.messages: list[pb.WatchAvailabilityResponse] = []
        self._client = client
        self._question = question
        self._news = asyncio.Event()
        self.reading = asyncio.ensure_future(self._read())

    async def until_right(self, channel: str) -> None:
        """Until what it was told is what a question is answered that sees every write."""
        by_location = bool(self._question.get("by_location"))
        async with asyncio.timeout(60):
            while True:
                answer = await self._client.batch_get_availability(
                    SKUS, channel=channel, consistency=Consistency(fully_consistent=True)
                )
                right = _by_location(answer) if by_location else _totals(answer)
                if {key: units for key, units in self.units.items() if units} == right:
                    return
                assert not self.reading.done(), self.reading
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self._news.wait()

    async def until_caught_up(self, times: int) -> None:
        """Until so many streams have said that they are: values may be right before, when nothing changed since."""
        async with asyncio.timeout(60):
            while sum(message.caught_up for message in self.messages) < times:
                assert not self.reading.done(), self.reading
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        self.reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reading

    async def _read(self) -> None:
        async with contextlib.aclosing(self._client.watch(**self._question)) as messages:  # type: ignore[arg-type]
            async for message in messages:
                self.messages.append(message)
                if message.begins_anew:
                    self.units.clear()
                self.units.update({(c.sku, c.location): c.available for c in message.changes})
                self._news.set()


def _totals(answer: pb.BatchGetAvailabilityResponse) -> dict[tuple[str, str], int]:
    return {(sku, ""): units for sku, units in zip(SKUS, answer.available, strict=True) if units}


def _by_location(answer: pb.BatchGetAvailabilityResponse) -> dict[tuple[str, str], int]:
    found, row = {}, 0
    for sku, count in zip(SKUS, answer.row_counts, strict=True):
        for at in range(row, row + count):
            found[sku, answer.locations[answer.location_index[at]]] = answer.location_available[at]
        row += count
    return {key: units for key, units in found.items() if units}


async def change(client: Client, chance: random.Random, count: int) -> None:
    """Counts at random positions."""
    for _ in range(count):
        movements = [
            Movement(
                kind=Movement.KIND_COUNT,
                sku=chance.choice(SKUS),
                location=chance.choice(PLACES),
                quantity=chance.randrange(9),
                source="t",
                event_id=f"{chance.random()}",
            )
            for _ in range(5)
        ]
        await client.post_movements(movements)


@contextlib.asynccontextmanager
async def watched(client: Client) -> AsyncIterator[list[Known]]:
    """The same from four sides: some SKUs, all, by location, a group."""
    watches = [
        Known(client, skus=SKUS, channel="web"),
        Known(client, channel="web"),
        Known(client, channel="web", by_location=True),
        Known(client, channel="till", skus=SKUS, group="stores"),
    ]
    try:
        yield watches
    finally:
        for watch in watches:
            await watch.close()


async def all_right(watches: list[Known]) -> None:
    for watch, channel in zip(watches, ("web", "web", "web", "till"), strict=True):
        await watch.until_right(channel)


@pytest.mark.asyncio
async def test_a_watch_survives_the_server_it_watches(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Killed again and again, started again on the same data; what happened in between is told."""
    chance = random.Random(4)
    server = start_server(tmp_path)
    options = {"timeout_seconds": 60, "retry_seconds": 60}
    async with Client(server.address, **options) as watching, Client(server.address, **options) as writing:  # type: ignore[arg-type]
        await writing.apply_network(NETWORK)
        await change(writing, chance, 5)
        async with watched(watching) as watches:
            await all_right(watches)
            for times in (2, 3):
                changing = asyncio.ensure_future(change(writing, chance, 30))
                while not changing.done() and sum(len(watch.messages) for watch in watches) < 20:
                    await asyncio.sleep(0.005)
                server.stop(signal.SIGKILL)
                server = await asyncio.to_thread(start_server, tmp_path)
                await changing
                await all_right(watches)
                for watch in watches:
                    await watch.until_caught_up(times)
            assert all(sum(message.caught_up for message in watch.messages) == 3 for watch in watches)
            anew = [sum(message.begins_anew for message in watch.messages) for watch in watches]
            assert anew == [1, 1, 1, 1], "taken up again, not begun anew"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(url: str, port: int, log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:  # type: ignore[misc]
    """A server on a Redis that others use too."""
    command = [sys.executable, "-m", "invengine", "serve", "--listen", f"127.0.0.1:{port}", "--metrics-listen", ""]
    with log.open("ab") as out:
        process = subprocess.Popen([*command, "--redis-url", url], stdout=out, stderr=out, env={**os.environ})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.asyncio
async def test_a_watch_goes_on_at_another_server(start_redis: Callable[..., RunningRedis], tmp_path: Path) -> None:
    chance = random.Random(9)
    url = start_redis().url
    first, second = free_port(), free_port()
    options = {"timeout_seconds": 60, "retry_seconds": 60}
    with serving(url, first, tmp_path / "1") as killed, serving(url, second, tmp_path / "2"):
        async with (
            Client(f"127.0.0.1:{second}", **options) as writing,  # type: ignore[arg-type]
            Client(f"ipv4:127.0.0.1:{first},127.0.0.1:{second}", **options) as watching,  # type: ignore[arg-type]
        ):
            await writing.apply_network(NETWORK)
            async with Client(f"127.0.0.1:{first}", **options) as there:  # type: ignore[arg-type]
                await there.apply_network(NETWORK)  # it knows it from then on
            await change(writing, chance, 5)
            async with watched(watching) as watches:
                await all_right(watches)
                killed.kill()
                await change(writing, chance, 20)
                await all_right(watches)
                assert all(sum(message.caught_up for message in watch.messages) >= 2 for watch in watches)
                assert [sum(message.begins_anew for message in watch.messages) for watch in watches] == [1, 1, 1, 1]


def test_without_asyncio(start_server: Callable[..., Server]) -> None:
    server = start_server()
    with connect(server.address, channel="web", timeout_seconds=60) as engine:
        engine.apply_network(NETWORK)
        changes = engine.watch(["S1"], by_location=True)
        assert next(changes).caught_up
        for units in (3, 4):
            movement = Movement(kind=Movement.KIND_COUNT, sku="S1", location="WH1", quantity=units, source="t")
            engine.post_movements([movement])
            message = next(message for message in changes if message.changes)
            assert [(change.location, change.available) for change in message.changes] == [("WH1", units)]
        changes.close()  # type: ignore[attr-defined]
        assert [answer.available for answer in engine.stream_availability(["S1", "S2"])] == [4, 0]


def resident_kilobytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(100, 500, 50, 1_000, 3.0), id="100"),
        pytest.param(
            Load(1_000, 2_000, 50, 5_000, 60.0), id="1000", marks=[pytest.mark.soak, pytest.mark.timeout(900)]
        ),
    ],
)
def test_many_subscribers_see_the_final_state_and_memory_is_bounded(load: Load) -> None:
    """`put_under` returns only when every one of them knows it."""
    with engines.process() as (address, pid):
        engines.fill(address, 0, 2)
        told = asyncio.run(put_under(address, load))
        print(f"\n  {load.subscribers} subscribers: {told}; {resident_kilobytes(pid):,} KB resident")
        assert told.written > 0
        assert len(told.changes) > 0
        assert resident_kilobytes(pid) < 400_000 + 200 * load.subscribers + load.subscribers * load.watched
