"""Real processes killed at the worst moments: what was acknowledged is there, exactly once; nothing is sold twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from invengine.v1 import admin_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.cli.servers import Server
from tests.rpc.engines import Stubs, client, create

pytestmark = pytest.mark.asyncio

SKUS = [f"S{n}" for n in range(8)]
OPENING = 100_000
BATCH = 40
APPLIED, REPEATED = 1, 2
DONE = (APPLIED, REPEATED)  # repeated by the store itself, when the answer of the first time was lost with Redis
SEED = 7


@dataclass
class Journal:
    """What a client sent, and what it was told."""

    sent: list[pb.CreateReservationRequest] = field(default_factory=list)
    told: dict[str, pb.Reservation] = field(default_factory=dict)
    moved: dict[str, bool] = field(default_factory=dict)  # event -> acknowledged
    failures: list[grpc.StatusCode] = field(default_factory=list)


async def work(address: str, name: str, journal: Journal, stop: asyncio.Event) -> None:
    """Sends batches until told to stop or the server is gone."""
    async with client(address) as stubs:
        while not stop.is_set():
            number = len(journal.sent)
            requests = [create(f"{name}/{number + n}", sku=SKUS[(number + n) % len(SKUS)]) for n in range(BATCH)]
            event = f"{name}/{number}"
            journal.sent += requests
            journal.moved[event] = False
            try:
                response = await stubs.reservations.BatchCreateReservations(
                    pb.BatchCreateReservationsRequest(requests=requests), timeout=20
                )
                for request, outcome in zip(requests, response.outcomes, strict=True):
                    assert outcome.HasField("reservation"), outcome
                    journal.told[request.request_id] = outcome.reservation
                assert await moved(stubs, event) in DONE
                journal.moved[event] = True
            except grpc.aio.AioRpcError as error:
                journal.failures.append(error.code())
                await asyncio.sleep(0.02)


async def prepared(server: Server) -> None:
    async with client(server.address) as stubs:
        await stubs.apply_network()
        for sku in SKUS:
            await stubs.receive(sku, OPENING)
        await stubs.receive("MOVED", 1)


async def audited(address: str, journals: list[Journal]) -> None:
    """Acknowledged writes are there; what nobody knows of is settled by sending it again; all of it exactly once."""
    async with client(address) as stubs:
        replayed = 0
        for journal in journals:
            for start in range(0, len(journal.sent), 500):
                requests = journal.sent[start : start + 500]
                response = await stubs.reservations.BatchCreateReservations(
                    pb.BatchCreateReservationsRequest(requests=requests)
                )
                for request, outcome in zip(requests, response.outcomes, strict=True):
                    assert outcome.HasField("reservation"), outcome
                    told = journal.told.get(request.request_id)
                    if told is not None:
                        assert outcome.replayed
                        assert outcome.reservation == told
                    replayed += outcome.replayed
            for event, acknowledged in journal.moved.items():
                assert await moved(stubs, event) == REPEATED or not acknowledged
        assert replayed >= sum(len(journal.told) for journal in journals) > 0
        sent = sum(len(journal.sent) for journal in journals)
        reserved = 0
        for sku in SKUS:
            on_hand, units, _ = await stubs.position(sku)
            assert on_hand == OPENING
            reserved += units
        assert reserved == sent
        assert (await stubs.position("MOVED"))[0] == 1 + sum(len(journal.moved) for journal in journals)
        report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
        assert report.reservations_checked == sent
        assert not report.violations


async def moved(stubs: Stubs, event: str) -> int:
    movement = stock_service_pb2.Movement(
        source="tests", event_id=event, kind=1, sku="MOVED", location="DC", quantity=1
    )
    response = await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))
    return response.outcomes[0].result


async def test_a_server_killed_in_the_middle_of_batches_loses_nothing(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    journals = [Journal() for _ in range(3)]
    server = start_server(tmp_path)
    await prepared(server)
    for _ in range(3):
        stop = asyncio.Event()
        workers = [
            asyncio.create_task(work(server.address, f"w{n}", journal, stop)) for n, journal in enumerate(journals)
        ]
        await asyncio.sleep(chance.uniform(0.15, 0.5))  # the moment of the crash
        server.stop(signal.SIGKILL)
        stop.set()
        await asyncio.gather(*workers)
        server = start_server(tmp_path)
    failures = {code for journal in journals for code in journal.failures}
    assert grpc.StatusCode.UNAVAILABLE in failures
    assert failures <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}
    await audited(server.address, journals)


async def test_a_redis_killed_in_the_middle_of_batches_loses_nothing(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    journals = [Journal() for _ in range(3)]
    server = start_server(tmp_path)
    await prepared(server)
    stop = asyncio.Event()
    workers = [asyncio.create_task(work(server.address, f"w{n}", journal, stop)) for n, journal in enumerate(journals)]
    for _ in range(4):
        before = sum(len(journal.told) for journal in journals)
        await asyncio.sleep(chance.uniform(0.15, 0.4))  # the moment of the crash
        os.kill(await redis_of(server), signal.SIGKILL)
        async with asyncio.timeout(30):
            while sum(len(journal.told) for journal in journals) <= before + 3 * BATCH:
                await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*workers)
    await audited(server.address, journals)
    assert server.stop() == 0


async def redis_of(server: Server) -> int:
    """The process id of the embedded Redis, the server's only child, as soon as there is one."""
    pid = server.process.pid
    async with asyncio.timeout(30):
        while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            await asyncio.sleep(0.01)
    return int(children[0])


async def test_a_server_that_is_asked_to_stop_answers_what_it_took_and_leaves_with_0(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server(tmp_path)
    await prepared(server)
    answered: list[str] = []
    refused: list[grpc.StatusCode] = []
    enough = asyncio.Event()

    async def calls(stubs: Stubs, name: str) -> None:
        for n in range(10_000):
            request_id = f"{name}/{n}"
            try:
                await stubs.reservations.CreateReservation(create(request_id, sku=SKUS[0]), timeout=20)
            except grpc.aio.AioRpcError as error:
                refused.append(error.code())
                return
            answered.append(request_id)
            if len(answered) > 300:
                enough.set()

    async with client(server.address) as one, client(server.address) as other:
        callers = [asyncio.create_task(calls((one, other)[n % 2], f"c{n}")) for n in range(50)]
        stream = one.availability.StreamAvailability()
        await enough.wait()
        assert await asyncio.to_thread(server.stop, signal.SIGTERM) == 0
        await asyncio.gather(*callers)
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert refused == [grpc.StatusCode.UNAVAILABLE] * 50
    server = start_server(tmp_path)
    async with client(server.address) as stubs:
        assert (await stubs.position(SKUS[0]))[1] == len(answered)
        assert server.stop() == 0


async def test_of_200_requests_for_the_last_unit_exactly_one_wins_each_of_100_times(server: Server) -> None:
    async with client(server.address) as a, client(server.address) as b:
        await a.apply_network()
        for n in range(100):
            sku = f"LAST{n}"
            await a.receive(sku, 1)
            requests = [create(f"{n}/{k}", sku=sku) for k in range(200)]
            responses = await asyncio.gather(
                *(
                    (a, b)[k % 2].reservations.BatchCreateReservations(
                        pb.BatchCreateReservationsRequest(requests=requests[k::20])
                    )
                    for k in range(20)
                )
            )
            outcomes = [outcome for response in responses for outcome in response.outcomes]
            lost = [outcome.refusal for outcome in outcomes if outcome.HasField("refusal")]
            assert (len(outcomes), len(lost)) == (200, 199)
            assert {refusal.message for refusal in lost} == {
                f"1 {sku} wanted at all its locations, 0 available to sell"
            }
            assert (await a.position(sku))[:2] == (1, 1)
        report = await a.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
        assert not report.violations
