"""Networks that break between a server and Redis, and between callers and a server: typed answers, no double effect."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.store import opening, topology
from invengine.v1 import admin_service_pb2, availability_service_pb2, stock_service_pb2
from tests.faults.proxy import FaultProxy, Way
from tests.redis_servers import RunningRedis
from tests.rpc.engines import Stubs, client, create, engine

pytestmark = pytest.mark.asyncio

CALLS = 20
OPENING = 100_000
DEADLINE_SECONDS = 30
"""Many times what a server may take: it must have answered by itself before."""

TYPED = {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}
FRESH: dict[str, Any] = {"fully_consistent": True}

Fault = Callable[[FaultProxy, RunningRedis], None]


def after(count: int, way: Way) -> Fault:
    """Each connection is reset after so many bytes that way."""

    def strike(proxy: FaultProxy, _: RunningRedis) -> None:
        proxy.reset_after[way] = count
        proxy.reset()

    return strike


def half_open(proxy: FaultProxy, redis: RunningRedis) -> None:
    proxy.keeps_dead = True
    redis.kill()


def slow(proxy: FaultProxy, _: RunningRedis) -> None:
    proxy.delay_seconds = 0.05


FAULTS: dict[str, Fault] = {
    "black hole": lambda proxy, _: proxy.stall(),
    "answers are lost": lambda proxy, _: proxy.stall(Way.DOWN),
    "requests are lost": lambda proxy, _: proxy.stall(Way.UP),
    "reset in an answer": after(700, Way.DOWN),
    "reset in a request": after(1500, Way.UP),
    "reset": lambda proxy, _: proxy.reset(),
    "half open": half_open,
    "slow": slow,
}


async def outcome(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest_asyncio.fixture
async def behind(
    start_redis: Callable[..., RunningRedis], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[FaultProxy, RunningRedis, Stubs]]:
    """An engine that reaches its Redis through a proxy, and gives an answer of it half a second."""
    for module in (opening, topology):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    redis = start_redis()
    async with (
        FaultProxy(str(redis.socket), str(redis.folder / "proxy")) as proxy,
        engine(f"unix://{proxy.address}", store_retry_seconds=1) as (_, stubs),
    ):
        await stubs.apply_network()
        await stubs.receive("LAMP", OPENING)
        yield proxy, redis, stubs


@pytest.mark.parametrize("name", FAULTS)
async def test_between_server_and_redis(behind: tuple[FaultProxy, RunningRedis, Stubs], name: str) -> None:
    """While it lasts every call is answered by the server, afterwards all is as if it had not been."""
    proxy, redis, stubs = behind
    FAULTS[name](proxy, redis)
    requests = [create(f"{name} {n}") for n in range(CALLS)]
    fresh = stock_service_pb2.GetPositionRequest(sku="LAMP", location="DC", consistency=FRESH)
    told = await asyncio.gather(
        *(outcome(stubs.reservations.CreateReservation(each, timeout=DEADLINE_SECONDS)) for each in requests),
        *(outcome(stubs.stock.GetPosition(fresh, timeout=DEADLINE_SECONDS)) for _ in range(5)),
    )
    assert set(told) <= TYPED
    asked = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web")
    assert (await stubs.availability.GetAvailability(asked)).available > 0  # answered from memory whatever is broken
    if name in ("black hole", "answers are lost", "requests are lost", "half open"):
        assert grpc.StatusCode.OK not in told
    proxy.heal()
    if redis.process.poll() is not None:
        redis.launch()
    await settled(stubs, requests)


async def settled(stubs: Stubs, requests: list[Any]) -> None:
    """What nobody knows of is settled by asking again; each is done once."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        left = list(requests)
        while left:
            told = await asyncio.gather(*(outcome(stubs.reservations.CreateReservation(each)) for each in left))
            assert set(told) <= TYPED
            left = [each for each, code in zip(left, told, strict=True) if code is not grpc.StatusCode.OK]
    assert (await stubs.position("LAMP"))[:2] == (OPENING, len(requests))
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert report.reservations_checked == len(requests)
    assert not report.violations


async def test_between_caller_and_server(redis_url: str) -> None:
    """Answers that never arrive, connections that are reset in the middle, callers that go at any moment."""
    chance = random.Random(3)
    async with engine(redis_url) as (running, stubs), FaultProxy(running.address) as proxy:
        await stubs.apply_network()
        await stubs.receive("LAMP", OPENING)
        requests = []
        for number, (fault, code) in enumerate(
            (
                (lambda: proxy.stall(Way.DOWN), grpc.StatusCode.DEADLINE_EXCEEDED),
                (lambda: proxy.stall(Way.UP), grpc.StatusCode.DEADLINE_EXCEEDED),
                (lambda: proxy.reset_after.update({Way.DOWN: 900}), grpc.StatusCode.UNAVAILABLE),
                (lambda: proxy.reset_after.update({Way.UP: 1200}), grpc.StatusCode.UNAVAILABLE),
            )
        ):
            its = [create(f"{number} {n}") for n in range(CALLS)]
            async with client(proxy.address) as through:
                await through.channel.channel_ready()
                fault()
                calls = [outcome(through.reservations.CreateReservation(each, timeout=0.5)) for each in its]
                assert code in await asyncio.gather(*calls)
            proxy.heal()
            requests += its
        chance.shuffle(requests)
        await settled(stubs, requests)


async def test_callers_that_cancel_or_run_out_of_time_at_any_moment(redis_url: str) -> None:
    """2,000 calls, of which some are given up after 0 to 20 ms: asked again, each was done once or is done now."""
    chance = random.Random(5)
    calls = 2000
    ended: set[grpc.StatusCode] = set()
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", OPENING)
        requests = [create(f"r {n}", quantity=1 + n % 3) for n in range(calls)]

        async def impatient(request: Any) -> None:
            how = chance.random()
            call = stubs.reservations.CreateReservation(
                request, timeout=chance.uniform(0.001, 0.02) if how < 0.15 else 20
            )
            if how > 0.85:
                asyncio.get_running_loop().call_later(chance.uniform(0, 0.02), call.cancel)
            try:
                ended.add(await outcome(call))
            except asyncio.CancelledError:
                ended.add(grpc.StatusCode.CANCELLED)

        for start in range(0, calls, 100):
            await asyncio.gather(*(impatient(each) for each in requests[start : start + 100]))
        assert {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED} <= ended
        assert ended <= TYPED | {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
        for start in range(0, calls, 100):
            again = requests[start : start + 100]
            told = await asyncio.gather(*(outcome(stubs.reservations.CreateReservation(each)) for each in again))
            assert set(told) == {grpc.StatusCode.OK}
        assert (await stubs.position("LAMP"))[:2] == (OPENING, sum(each.lines[0].quantity for each in requests))
        report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
        assert report.reservations_checked == calls
        assert not report.violations
