"""Back-ups: of one instant while others write, whole or not there, damaged ones noticed, restored as what they were."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio

from invengine.store import keys
from invengine.store.backup import BackupFailed, Manifest, check_files, make_backup
from invengine.store.embedded import EmbeddedRedis
from invengine.store.opening import open_topology
from invengine.store.redis_store import RedisStore
from invengine.store.restoring import check_backup, restore
from invengine.v1 import admin_service_pb2, availability_service_pb2
from tests import redis_servers
from tests.redis_clusters import RedisCluster
from tests.redis_servers import RunningRedis
from tests.rpc.engines import create, engine, refused
from tests.store.making import movement, request

pytestmark = pytest.mark.asyncio


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path, for data folders and back-ups."""
    folder = Path(tempfile.mkdtemp(prefix="inv-backup-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


async def backed_up(url: str, folder: Path) -> Manifest:
    topology = open_topology(url)
    try:
        return await make_backup(topology, folder)
    finally:
        await topology.aclose()


CONTENT = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"set": ("SMEMBERS",),
    b"list": ("LRANGE", 0, -1),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    b"stream": ("XRANGE", "-", "+"),
}


async def everything(url: str) -> dict[bytes, object]:
    """Every key with its content, but for the store's own key."""
    async with redis.asyncio.from_url(url, protocol=3) as client:
        found = {}
        async for name in client.scan_iter(count=1000):
            command, *more = CONTENT[await client.type(name)]
            found[name] = await client.execute_command(command, name, *more)
        del found[keys.STORE]
        return found


async def traded(store: RedisStore, count: int = 5) -> None:
    now_ms = await store.now_ms()
    await store.post_movements([movement("RECEIPT", 100, now_ms, sku=f"S{n}") for n in range(count)])
    await store.reserve([request(2) for _ in range(count)])


async def test_what_is_restored_is_what_was_there(redis_server: RunningRedis, place: Path) -> None:
    redis_server.empty()
    binary = redis_servers.binary(redis_server.kind)
    async with redis.asyncio.from_url(redis_server.url) as client:
        store = await RedisStore.open(client, partitions=3)
        await store.post_movements([movement("RECEIPT", 100, await store.now_ms())])
        await traded(store)
        before = await everything(redis_server.url)
        manifest = await backed_up(redis_server.url, place / "b")
        await traded(store)
        assert (manifest.partitions, bytes.fromhex(manifest.store_id)) == (3, store.store_id)
        assert manifest.library == store.own_library
        assert manifest == Manifest.read(place / "b") == check_files(place / "b")
        loaded = await check_backup(place / "b", binary)
        assert loaded.keys == len(before) + 1
    restored = await restore(place / "b", place / "data", binary)
    assert sorted(path.name for path in place.iterdir()) == ["b", "data"]
    embedded = EmbeddedRedis(place / "data", server=binary)
    url = await embedded.start()
    try:
        assert await everything(url) == before
        async with redis.asyncio.from_url(url) as client:
            again = await RedisStore.open(client)
            assert again.store_id.hex() == restored.store_id != manifest.store_id
            await traded(again)
    finally:
        await embedded.stop()


async def test_a_back_up_under_load_is_of_one_instant(redis_url: str, place: Path) -> None:
    """Whatever was written meanwhile: the restored store is sound, and its tokens are not those of the former one."""
    async with engine(redis_url, partitions=4) as (_, stubs):
        await stubs.apply_network()
        await stubs.receive("LAMP", 10_000)
        done = asyncio.Event()

        async def shop(name: str) -> int:
            count = 0
            while not done.is_set():
                await stubs.reservations.CreateReservation(create(f"{name}/{count}"))
                count += 1
            return count

        shoppers = [asyncio.create_task(shop(name)) for name in "abc"]
        await asyncio.sleep(0)
        await stubs.reservations.CreateReservation(create("before"))
        await backed_up(redis_url, place / "b")
        done.set()
        sold = sum([await shopper for shopper in shoppers])
        token = await stubs.receive("LAMP", 1, event_id="after the back-up")
    await restore(place / "b", place / "data")
    async with engine("", data_dir=place / "data") as (_, stubs):
        report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
        assert not report.violations, report
        on_hand, reserved, _ = await stubs.position("LAMP")
        assert on_hand == 10_000
        assert 1 <= reserved <= sold + 1
        assert report.reservations_checked == reserved
        asked = availability_service_pb2.GetAvailabilityRequest(
            sku="LAMP", channel="web", consistency={"at_least_as_fresh": token}
        )
        refusal = await refused(stubs.availability.GetAvailability(asked))
        assert (refusal.reason, "another store" in refusal.message) == ("INVALID_ARGUMENT", True)


async def test_a_back_up_of_a_cluster_has_a_part_of_each_master(valkey_cluster: RedisCluster, place: Path) -> None:
    topology = open_topology(valkey_cluster.url)
    try:
        store = await RedisStore.open(topology, partitions=8)
        await traded(store)
        manifest = await make_backup(topology, place / "b")
    finally:
        await topology.aclose()
    assert {part.server for part in manifest.parts} == {member.address for member in valkey_cluster.primaries()}
    for part in manifest.parts:
        member = next(each for each in valkey_cluster.members if each.address == part.server)
        ranges = [[int(n) for n in words.split("-")] for words in part.slots.split()]
        assert {n for first, *last in ranges for n in range(first, (last or [first])[0] + 1)} == (
            valkey_cluster.slots_of(member)
        )
    stored = sum(member.do("DBSIZE") for member in valkey_cluster.primaries())
    assert (await check_backup(place / "b")).keys == stored
    with pytest.raises(BackupFailed, match="a Cluster of 3 masters"):
        await restore(place / "b", place / "data")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda b: flipped(b / "stock-0.rdb"), "its checksum is another one"),
        (lambda b: (b / "stock-0.rdb").write_bytes((b / "stock-0.rdb").read_bytes()[:-5]), "bytes, not"),
        (lambda b: (b / "stock-0.rdb").unlink(), "cannot be read"),
        (lambda b: (b / "backup.json").unlink(), "is no back-up"),
        (lambda b: (b / "backup.json").write_text("{}"), "cannot be read"),
        (lambda b: (b / "backup.json").write_text('{"layout": 9}'), "made by a newer release"),
    ],
)
async def test_a_damaged_back_up_is_noticed(
    redis_url: str, place: Path, damage: Callable[[Path], object], said: str
) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await RedisStore.open(client, partitions=1)
    await backed_up(redis_url, place / "b")
    damage(place / "b")
    for judged in (check_backup(place / "b"), restore(place / "b", place / "data")):
        with pytest.raises(BackupFailed, match=said):
            await judged
    assert not (place / "data").exists()


async def test_data_that_redis_does_not_read_are_noticed_whatever_the_checksum_says(
    redis_url: str, place: Path
) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await RedisStore.open(client, partitions=1)
    manifest = await backed_up(redis_url, place / "b")
    flipped(place / "b" / "stock-0.rdb")
    _with_true_checksum(place / "b", manifest)
    with pytest.raises(BackupFailed, match=r"stock-0.rdb cannot be loaded"):
        await check_backup(place / "b")
    with pytest.raises(BackupFailed, match=r"stock-0.rdb cannot be loaded"):
        await restore(place / "b", place / "data")
    assert [path.name for path in place.iterdir()] == ["b"]


def _with_true_checksum(folder: Path, manifest: Manifest) -> None:
    import hashlib

    digest = hashlib.sha256((folder / "stock-0.rdb").read_bytes()).hexdigest()
    stored = json.loads((folder / "backup.json").read_text())
    stored["parts"][0]["sha256"] = digest
    (folder / "backup.json").write_text(json.dumps(stored))
    assert check_files(folder) == replace(manifest, parts=(replace(manifest.parts[0], sha256=digest),))


async def test_a_back_up_of_another_store_under_this_name_is_noticed(redis_url: str, place: Path) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await RedisStore.open(client, partitions=1)
    await backed_up(redis_url, place / "b")
    stored = json.loads((place / "b" / "backup.json").read_text())
    (place / "b" / "backup.json").write_text(json.dumps(stored | {"store_id": "0123456789abcdef"}))
    with pytest.raises(BackupFailed, match="is of the store 0123456789abcdef, and its data are of"):
        await check_backup(place / "b")


async def test_what_is_interrupted_leaves_nothing_under_the_name(redis_url: str, place: Path) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await RedisStore.open(client, partitions=1)
    seen = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Between the back-up and Redis; the data end after their first 3,000 bytes."""
        nonlocal seen
        server_reader, server_writer = await asyncio.open_unix_connection(redis_url.removeprefix("unix://"))

        async def requests() -> None:
            while chunk := await reader.read(65536):
                server_writer.write(chunk)

        asking = asyncio.create_task(requests())
        while (chunk := await server_reader.read(1000)) and seen < 3000:
            writer.write(chunk)
            await writer.drain()
            seen += len(chunk) if b"REDIS0" in chunk or seen else 0
        asking.cancel()
        for each in (writer, server_writer):
            each.close()

    async with await asyncio.start_unix_server(cut, place / "proxy"):
        with pytest.raises(BackupFailed, match="lost before the end of its data"):
            await backed_up(f"unix://{place}/proxy", place / "b")
    assert seen >= 3000
    assert [path.name for path in place.iterdir() if path.name != "proxy"] == []

    (place / "b.partial").mkdir()  # as of a process that was killed
    (place / "b.partial" / "stock-0.rdb").write_bytes(b"half")
    await backed_up(redis_url, place / "b")
    assert not (place / "b.partial").exists()
    with pytest.raises(BackupFailed, match="is there already"):
        await backed_up(redis_url, place / "b")
    await check_backup(place / "b")


async def test_nothing_is_restored_over_something(redis_url: str, place: Path) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await RedisStore.open(client, partitions=1)
    await backed_up(redis_url, place / "b")
    (place / "data").mkdir()
    await restore(place / "b", place / "data")  # empty, so it may
    for again in (place / "data", place):
        with pytest.raises(BackupFailed, match="is not empty"):
            await restore(place / "b", again)


async def test_a_redis_without_a_store_gives_no_back_up(redis_url: str, place: Path) -> None:
    with pytest.raises(BackupFailed, match="there is no store in this Redis"):
        await backed_up(redis_url, place / "b")
    with pytest.raises(BackupFailed, match="did not give its data"):
        await backed_up(f"unix://{place}/nobody", place / "b")
    assert not list(place.iterdir())
