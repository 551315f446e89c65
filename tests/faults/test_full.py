"""Disks and memory that are full: typed refusals, reads go on, nothing acknowledged is lost, no order is half taken."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis.asyncio

from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import admin_service_pb2, availability_service_pb2, wave_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.redis_servers import RunningRedis
from tests.rpc.engines import Stubs, create, engine, refused
from tests.rpc.waves import line, order

pytestmark = pytest.mark.asyncio

OPENING = 1_000_000
AWAY = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 8 MB."""
    folder = Path(tempfile.mkdtemp(prefix="inv-disk-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


async def planned(stubs: Stubs, request_id: str) -> wave_pb2.WavePlan:
    """A plan of 300 orders."""
    orders = [order(f"o{n}", line("LAMP", 1), customer_ref="c" * 60) for n in range(300)]
    request = wave_pb2.PlanWaveRequest(request_id=request_id, orders=orders)
    told = [message async for message in stubs.allocation.PlanWave(request)]
    return told[-1].plan


async def in_the_end(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, once it is not refused any more."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                assert error.code() in AWAY, error  # noqa: PT017
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("durability", ["always", "everysec"])
async def test_a_disk_that_is_full_takes_nothing_and_loses_nothing(small_disk: Path, durability: str) -> None:
    """The plan of a wave is kept whole or not at all, too."""
    ballast, data = small_disk / "ballast", small_disk / "data"
    settings = {"redis_url": "", "data_dir": data, "durability": durability, "store_retry_seconds": 0.2}
    async with engine(**settings) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", OPENING)
        early = await planned(stubs, "early")
        told: list[pb.CreateReservationRequest] = []
        ballast.write_bytes(bytes(7 << 20))

        async def reserve(number: int) -> None:
            requests = [create(f"{number}/{n}", customer_ref="c" * 64) for n in range(100)]
            batch = pb.BatchCreateReservationsRequest(requests=requests)
            answer = await stubs.reservations.BatchCreateReservations(batch, timeout=20)
            assert all(outcome.HasField("reservation") for outcome in answer.outcomes)
            told.extend(requests)

        async def reserve_until_it_is_full() -> None:
            for number in range(1000):
                await reserve(number)

        with pytest.raises(grpc.aio.AioRpcError) as full:
            await reserve_until_it_is_full()
        assert full.value.code() in AWAY
        if durability == "everysec":  # of `always` Redis was started again, and has room for a little more
            with pytest.raises(grpc.aio.AioRpcError) as no_plan:
                await planned(stubs, "late")
            assert no_plan.value.code() in AWAY
        asked = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web")
        assert (await stubs.availability.GetAvailability(asked)).available > 0
        ballast.unlink()
        late = await in_the_end(lambda: planned(stubs, "late"))
        for plan in (early, late):
            shown = await stubs.allocation.GetPlan(wave_pb2.GetPlanRequest(plan_id=plan.plan_id, page_size=1000))
            assert len(shown.orders) == 300
        again = pb.BatchCreateReservationsRequest(requests=told[-500:])
        answer = await in_the_end(lambda: stubs.reservations.BatchCreateReservations(again))
        assert all(outcome.replayed for outcome in answer.outcomes)
        await in_the_end(partial(reserve, len(told) // 100))  # the one that was refused: done now, or replayed
        assert (await stubs.position("LAMP"))[:2] == (OPENING, len(told))
        report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
        assert report.reservations_checked == len(told)
        assert not report.violations


@pytest.mark.parametrize("atomicity", Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def test_memory_that_runs_out_again_and_again_halves_no_order(
    start_redis: Callable[..., RunningRedis], monkeypatch: pytest.MonkeyPatch, atomicity: Atomicity
) -> None:
    """Baskets of several partitions while the limit goes up and down, then giving back while it is reached."""
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=atomicity))
    server = start_redis()
    async with engine(server.url, store_retry_seconds=0) as (_, stubs), redis.asyncio.from_url(server.url) as client:
        await stubs.apply_network()
        skus = [f"S{n}" for n in range(6)]
        for sku in skus:
            await stubs.receive(sku, OPENING)
        lines = [pb.ReservationLineRequest(line_id=sku, sku=sku, quantity=1) for sku in skus]
        requests = [
            pb.CreateReservationRequest(request_id=f"r{n}", reservation_id=f"R{n}", channel="web", lines=lines)
            for n in range(120)
        ]
        codes: list[grpc.StatusCode] = []

        async def reserve(request: pb.CreateReservationRequest) -> None:
            try:
                await stubs.reservations.CreateReservation(request)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
            else:
                codes.append(grpc.StatusCode.OK)

        for start in range(0, len(requests), 10):
            load = asyncio.gather(*(reserve(each) for each in requests[start : start + 10]))
            while not load.done():
                await client.config_set("maxmemory", 1)
                await asyncio.sleep(0.001)
                await client.config_set("maxmemory", 0)
                await asyncio.sleep(0.001)
            await load
        assert set(codes) <= AWAY | {grpc.StatusCode.OK}
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
        await asyncio.gather(*(in_the_end(partial(stubs.reservations.CreateReservation, each)) for each in requests))
        assert {(await stubs.position(sku))[:2] for sku in skus} == {(OPENING, len(requests))}
        await client.config_set("maxmemory", 1)
        why = await refused(stubs.reservations.CreateReservation(create("one more", "S0")))
        assert (why.code, why.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_FULL")
        common = {"reservation_id": "R0", "channel": "web"}
        await stubs.reservations.ConfirmReservation(pb.ConfirmReservationRequest(request_id="c", **common))
        await stubs.reservations.ReleaseReservation(pb.ReleaseReservationRequest(request_id="d", **common))
        assert {(await stubs.position(sku))[1] for sku in skus} == {len(requests) - 1}
        await client.config_set("maxmemory", 0)
        report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
        assert not report.violations
