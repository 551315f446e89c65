"""The append-only file cut anywhere, and where fsync had made it durable: a prefix of what happened, no half step."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store.records import StoreSettings
from invengine.store.redis_store import RedisStore
from tests.redis_servers import RunningRedis
from tests.rpc.engines import create, engine
from tests.store.making import change, line, movement, request

pytestmark = pytest.mark.asyncio

SEED = 17
OPENING = 1000


def requests() -> list[Any]:
    """Baskets over several SKUs, each one write."""
    return [
        request(
            line(1 + n),
            line(2, sku="SOFA", line_id="2"),
            reservation_id=f"R{n}",
            request_id=f"r{n}",
            time_to_live_seconds=86_400,
        )
        for n in range(4)
    ]


async def digest(server: RunningRedis) -> bytes:
    async with redis.asyncio.from_url(server.url) as client:
        return bytes(await client.execute_command("DEBUG", "DIGEST"))


def log_of(server: RunningRedis) -> Path:
    (log,) = (server.folder / "appendonlydir").glob("*.incr.aof")
    return log


async def written(server: RunningRedis) -> tuple[list[bytes], int]:
    """Four reservations and a confirmation; the digest before and after each, and how long the log was before."""
    async with redis.asyncio.from_url(server.url) as client:
        store = await RedisStore.open(client, settings=StoreSettings())
        now = await store.now_ms()
        await store.post_movements([movement("RECEIPT", OPENING, now), movement("RECEIPT", OPENING, now, sku="SOFA")])
        digests, before = [await digest(server)], log_of(server).stat().st_size
        for one in requests():
            assert isinstance((await store.reserve([one])).outcomes[0], ReservationAnswer)
            digests.append(await digest(server))
        assert isinstance((await store.confirm([change("R1")])).outcomes[0], ReservationAnswer)
        digests.append(await digest(server))
    return digests, before


async def repeated(server: RunningRedis) -> bytes:
    """All of it sent once more; what there is then."""
    async with redis.asyncio.from_url(server.url) as client:
        store = await RedisStore.open(client)
        for one in requests():
            assert isinstance((await store.reserve([one])).outcomes[0], ReservationAnswer)
        wanted = sum(1 + n for n in range(4)), 2 * 4
        found = [await store.position(sku, "AMS1") for sku in ("LAMP", "SOFA")]
        assert tuple(position.reserved for position in found if position) == wanted
        assert all(position and position.on_hand == OPENING for position in found)
        return await digest(server)


@pytest.mark.parametrize(
    ("kind", "cuts"), [("valkey", 24), pytest.param("redis", 4096, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
async def test_a_log_that_is_cut_anywhere_leaves_a_prefix_of_what_happened(
    start_redis: Callable[..., RunningRedis], kind: str, cuts: int
) -> None:
    """Each write is there whole, with the record of its request, or not at all: asked again, it is done once."""
    server = start_redis(kind)
    digests, least = await written(server)
    server.kill()
    log = log_of(server)
    whole = log.read_bytes()
    places = range(least, len(whole))
    chosen = sorted({*random.Random(SEED).sample(places, min(cuts, len(places))), least, len(whole) - 1})
    seen = set()
    for cut in chosen:
        log.write_bytes(whole[:cut])
        server.launch()
        found = await digest(server)
        assert found in digests, f"cut at {cut} of {len(whole)}: a state that never was"
        seen.add(digests.index(found))
        if len(chosen) < 100 or cut % 16 == 0:
            await repeated(server)
        server.kill()
    assert seen >= {0, 1, 2, 3, 4}


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that notes what fsync made durable."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the library that notes what fsync made durable")
    path = tmp_path_factory.mktemp("powerloss") / "powerloss.so"
    source = Path(__file__).with_name("powerloss.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"], check=True)
    return path


def cut_power(server: RunningRedis) -> int:
    """Kills the server and takes from its data what was not durable; so many bytes."""
    server.kill()
    lost = 0
    for file in (server.folder / "appendonlydir").glob("*.aof"):
        noted = file.with_name(f"{file.name}.durable")
        durable = int(noted.read_text()) if noted.exists() else 0
        lost += file.stat().st_size - durable
        with file.open("r+b") as log:
            log.truncate(durable)
    return lost


@pytest.mark.parametrize("appendfsync", ["always", "everysec"])
async def test_a_power_cut_takes_nothing_acknowledged_or_only_the_last(
    start_redis: Callable[..., RunningRedis], shim: Path, monkeypatch: pytest.MonkeyPatch, appendfsync: str
) -> None:
    """`always` loses nothing; `everysec` the last of it, and what is left is whole and a prefix."""
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    server = start_redis("valkey", appendfsync=appendfsync)
    monkeypatch.delenv("LD_PRELOAD")
    told: list[str] = []
    async with engine(server.url) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", OPENING * 10)
        async with asyncio.timeout(60):
            while len(told) < 300 or (appendfsync == "everysec" and not durable_since(server, len(told))):
                name = f"R{len(told)}"
                await stubs.reservations.CreateReservation(create(name, reservation_id=name))
                told.append(name)
    lost_bytes = cut_power(server)
    server.launch()
    async with engine(server.url) as (running, stubs):
        found = [name for name in told if await running.store.reservation(name) is not None]
        assert found == told[: len(found)]
        assert (await stubs.position("LAMP"))[:2] == (OPENING * 10, len(found))
        if appendfsync == "always":
            assert len(found) == len(told)
        else:
            assert len(found) < len(told)
            assert lost_bytes > 0
        for name in told:
            answer = await stubs.reservations.CreateReservation(create(name, reservation_id=name))
            assert answer.replayed == (name in found)
        assert (await stubs.position("LAMP"))[1] == len(told)


def durable_since(server: RunningRedis, count: int) -> bool:
    """Whether an fsync of the running second has noted something, and more than that was written since."""
    noted = log_of(server).with_name(f"{log_of(server).name}.durable")
    return count >= 300 and noted.exists() and int(noted.read_text()) + 20_000 < log_of(server).stat().st_size
