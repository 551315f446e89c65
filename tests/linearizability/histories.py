"""Whole histories: opening stock, clients that trade, the state at the end, and the ledgers."""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from invengine.v1 import network_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2 as stock
from tests.cli.servers import Server
from tests.linearizability.answers import revision_of
from tests.linearizability.recording import RESERVATIONS, STOCK, Call, Recorder
from tests.linearizability.shop import LATE_SKUS, LOCATIONS, NETWORK, SKUS
from tests.linearizability.traders import trade
from tests.rpc.engines import Stubs, client, engine

PAGE = 1000
LOG_ENTRIES = 1_000_000  # kept, so that the ledgers tell everything


class Row(NamedTuple):
    """One change of one position, as the ledger of its SKU tells it."""

    revision: int
    at_ms: int
    kind: str
    actor: str
    cause: str
    location: str
    on_hand_before: int
    on_hand: int
    reserved_before: int
    reserved: int
    occurred_at_ms: int


@dataclass
class History:
    """All calls, and the ledger of every SKU, oldest change first, up to the closing movement."""

    calls: list[Call]
    ledgers: dict[str, list[Row]]


class Engine(Server):
    """A server process on a Redis that is given, with one partition."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self._redis_url = redis_url
        super().__init__(folder)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "INVENGINE_REDIS_URL": self._redis_url,
            "INVENGINE_PARTITIONS": "1",
            "INVENGINE_LOG_ENTRIES_MAX": str(LOG_ENTRIES),
        }
        command = [sys.executable, "-m", "invengine", "serve", "--listen", self.address, "--metrics-listen", ""]
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


async def in_processes(redis_url: str, seed: int, answers: int, *, clients: int, units: int) -> History:
    """A history of two processes of so many clients each, which all call two engine processes on one Redis."""
    with tempfile.TemporaryDirectory(prefix="inv-", dir="/tmp") as place:
        engines: list[Engine] = []
        try:
            for name in ("a", "b"):
                folder = Path(place, name)
                folder.mkdir()
                engines.append(Engine(folder, redis_url))
            for each in engines:
                each.wait()
            addresses = [each.address for each in engines]
            await _apply_network(addresses[0])
            await _in_force(addresses[1])
            calls = await _opened(addresses[0], units)
            calls += await _traded(Path(place), addresses, str(seed), str(answers // 2), str(clients), str(units))
            return await _closed(addresses, calls)
        finally:
            for each in engines:
                each.stop()


async def in_this_process(
    redis_url: str, seed: int, answers: int, *, clients: int, units: int, pause_seconds: float = 0
) -> History:
    """A small history of clients and two engines that share this process."""
    given = {"partitions": 1, "log_entries_max": LOG_ENTRIES}
    async with engine(redis_url, **given) as (one, _):
        await _apply_network(one.address)
        async with engine(redis_url, **given) as (other, _):
            addresses = [one.address, other.address]
            calls = await _opened(one.address, units)
            calls += await trade(
                addresses, "c", seed, answers, clients=clients, units=units, pause_seconds=pause_seconds
            )
            return await _closed(addresses, calls)


async def _apply_network(address: str) -> None:
    async with client(address) as stubs:
        await stubs.apply_network(NETWORK)


async def _in_force(address: str) -> None:
    """Until an engine knows the network that was applied through another one."""
    async with client(address) as stubs, asyncio.timeout(30):
        while True:
            try:
                await stubs.network.GetNetwork(network_service_pb2.GetNetworkRequest())
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(0.01)
            else:
                return


async def _opened(address: str, units: int) -> list[Call]:
    """The receipts of the opening stock."""
    async with client(address) as stubs:
        recorder = Recorder([stubs.channel])
        movements = [_receipt(f"{sku} {location}", sku, location, units) for sku in SKUS for location in LOCATIONS]
        request = stock.PostMovementsRequest(movements=movements)
        await recorder.call(0, STOCK + "PostMovements", request.SerializeToString())
        return recorder.calls


def _receipt(event_id: str, sku: str, location: str, quantity: int) -> stock.Movement:
    occurred_at = Timestamp()
    occurred_at.FromMilliseconds(time.time_ns() // 1_000_000 - 600_000)
    return stock.Movement(
        source="opening",
        event_id=event_id,
        kind=stock.Movement.KIND_RECEIPT,
        sku=sku,
        location=location,
        quantity=quantity,
        occurred_at=occurred_at,
    )


async def _traded(place: Path, addresses: list[str], *words: str) -> list[Call]:
    """What two processes of clients recorded; `words` are what each is told besides its name."""
    started: list[asyncio.subprocess.Process] = []
    try:
        for name in ("a", "b"):
            program = [sys.executable, "-m", "tests.linearizability.traders", str(place / f"{name}.calls"), name]
            started.append(await asyncio.create_subprocess_exec(*program, *words, *addresses))
        assert [await process.wait() for process in started] == [0, 0]
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return [Call(*call) for name in ("a", "b") for call in pickle.loads((place / f"{name}.calls").read_bytes())]


async def _closed(addresses: list[str], calls: list[Call]) -> History:
    """Everything is read once more, a last movement ends the history, and the ledgers are read up to it."""
    async with AsyncExitStack() as stack:
        stubs = [await stack.enter_async_context(client(address)) for address in addresses]
        recorder = Recorder([each.channel for each in stubs])
        for number, (sku, location) in enumerate(itertools.product(SKUS + LATE_SKUS, LOCATIONS)):
            asked = stock.GetPositionRequest(sku=sku, location=location)
            asked.consistency.fully_consistent = True
            await recorder.call(number % len(stubs), STOCK + "GetPosition", asked.SerializeToString())
        page_token = ""
        while True:
            page = pb.ListReservationsRequest(page_size=PAGE, page_token=page_token)
            path = RESERVATIONS + "ListReservations"
            response, _ = await recorder.call(0, path, page.SerializeToString())
            assert response is not None
            page_token = pb.ListReservationsResponse.FromString(response).next_page_token
            if not page_token:
                break
        closing = stock.PostMovementsRequest(movements=[_receipt("closing", "CLOSING", "DC", 1)])
        response, _ = await recorder.call(0, STOCK + "PostMovements", closing.SerializeToString())
        assert response is not None
        last = revision_of(stock.PostMovementsResponse.FromString(response).consistency_token)
        assert last is not None
        skus = [*SKUS, *LATE_SKUS, "CLOSING"]
        ledgers = await asyncio.gather(*(_ledger(stubs[n % len(stubs)], sku, last) for n, sku in enumerate(skus)))
        return History([*calls, *recorder.calls], dict(zip(skus, ledgers, strict=True)))


async def _ledger(stubs: Stubs, sku: str, last: int) -> list[Row]:
    """The changes of a SKU up to a revision, oldest first."""
    rows: list[Row] = []
    page_token = ""
    while True:
        request = stock.ListMovementsRequest(sku=sku, page_size=PAGE, page_token=page_token)
        page = await stubs.stock.ListMovements(request)
        rows += [_row(entry) for entry in page.entries if entry.revision <= last]
        page_token = page.next_page_token
        if not page_token:
            return rows[::-1]


def _row(entry: stock.LedgerEntry) -> Row:
    return Row(
        entry.revision,
        entry.record_time.ToMilliseconds(),
        entry.kind,
        entry.actor,
        entry.cause,
        entry.location,
        entry.on_hand_before,
        entry.on_hand_after,
        entry.reserved_before,
        entry.reserved_after,
        entry.occurred_at.ToMilliseconds(),
    )
