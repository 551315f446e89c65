"""Libraries of adjacent releases in one store: which one is there, who may call it, what is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

import invengine.store
from invengine import errors
from invengine.store import keys
from invengine.store.library import Library
from invengine.store.opening import open_topology
from invengine.store.redis_store import RedisStore
from invengine.store.topology import StoreUnsuitable
from tests.redis_clusters import Member, RedisCluster
from tests.redis_servers import RunningRedis
from tests.store.making import line, movement, request
from tests.store.versions import newer, numbered, without

pytestmark = pytest.mark.asyncio

CALLED = re.compile(r"\binvengine_[a-z_]+\b")
PACKAGED = Library.packaged()


@asynccontextmanager
async def opened(url: str, library: Library, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisStore]:
    """A store as an engine opens it that brings this library along."""
    with monkeypatch.context() as patch:
        patch.setattr("invengine.store.startup.Library.packaged", lambda: library)
        topology = open_topology(url)
        try:
            yield await RedisStore.open(topology, partitions=4)
        finally:
            await topology.aclose()


@pytest.fixture
def emptied(redis_server: RunningRedis) -> RunningRedis:
    redis_server.empty()
    return redis_server


def there(server: RunningRedis | Member) -> bytes:
    """The code of the library that a server has."""
    with server.client() as client:
        ((*_, code),) = [list(library.values()) for library in client.function_list("invengine", withcode=True)]
        return code


def put(server: RunningRedis | Member, library: Library) -> None:
    with server.client() as client:
        client.function_load(library.code.decode(), replace=True)


def cut_off(server: RunningRedis) -> None:
    """End all connections, as a server does that takes over from another one."""
    with server.client() as client:
        client.client_kill_filter(_type="normal")


async def trades(store: RedisStore) -> None:
    """Stock comes in, and a unit of it is taken."""
    await store.post_movements([movement("RECEIPT", 5, await store.now_ms())])
    (outcome,) = (await store.reserve([request(1)])).outcomes
    assert outcome.reservation.lines[0].short_quantity == 0


async def test_names_of_functions_are_what_servers_of_other_releases_go_by() -> None:
    """All that the package calls is there; what is there and not called any more is kept for the release before."""
    package = Path(invengine.store.__file__).parent
    called = {name for path in package.glob("*.py") for name in CALLED.findall(path.read_text())} & PACKAGED.functions
    verbs = ("confirm", "extend", "release", "fulfil", "amend", "rebind", "hand_over", "repromise")
    transfers = ("ship_transfer", "cancel_transfer", "close_transfer")
    kept_for_the_release_before: set[str] = set()
    by_verb = {f"invengine_{verb}" for verb in (*verbs, *transfers)}
    profiles = {"invengine_put_profile", "invengine_activate_profile"}
    assert called | by_verb | profiles | kept_for_the_release_before == PACKAGED.functions
    assert len(PACKAGED.functions) > 40


async def test_an_older_server_goes_on_beside_a_newer_one(
    emptied: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_come = newer()
    async with opened(emptied.url, PACKAGED, monkeypatch) as old:
        await trades(old)
        async with opened(emptied.url, to_come, monkeypatch) as new:
            assert there(emptied) == to_come.code
            for store in (old, new):
                await trades(store)
            entries = await old.read_log([0] * 4, 0)
            assert any(entry.rows.endswith(b"Q\tof a newer release\t\n") for entry in entries)
            cut_off(emptied)
            await trades(old)
            assert await old.loaded_library() == await new.loaded_library() == to_come.version
        assert there(emptied) == to_come.code


async def test_a_newer_server_never_sends_anything_to_an_older_library(
    emptied: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a replica takes over that had not got the library yet, its connections are new ones."""
    async with opened(emptied.url, PACKAGED, monkeypatch) as store:
        for behind in (numbered(PACKAGED.version - 1), without(numbered(1), "invengine_library")):
            put(emptied, behind)
            cut_off(emptied)
            await trades(store)
            assert there(emptied) == PACKAGED.code


async def test_an_older_library_that_appears_is_replaced_within_seconds(
    emptied: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(emptied.url, PACKAGED, monkeypatch) as store:
        put(emptied, numbered(PACKAGED.version - 1))
        assert await store.loaded_library() == PACKAGED.version == store.own_library
        assert there(emptied) == PACKAGED.code


async def test_a_server_that_is_too_old_is_refused_and_one_that_runs_says_why(
    emptied: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = without(newer(), "invengine_reserve")
    said = f"version {far.version} and no invengine_reserve any more, .* own library has version {PACKAGED.version}"
    async with opened(emptied.url, PACKAGED, monkeypatch) as store:
        await trades(store)
        put(emptied, far)
        with pytest.raises(errors.StoreUnavailable, match=said):
            await store.reserve([request(1)])
        (outcome,) = (await store.post_movements([movement("RECEIPT", 5, await store.now_ms())])).outcomes
        assert outcome.result == "APPLIED"
        with pytest.raises(StoreUnsuitable, match=said):
            async with opened(emptied.url, PACKAGED, monkeypatch):
                pass
        assert there(emptied) == far.code


async def test_a_release_that_would_strand_servers_is_refused_while_they_are_connected(
    emptied: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = without(newer(2), "invengine_reserve")
    async with opened(emptied.url, PACKAGED, monkeypatch) as store:
        await trades(store)
        said = f"version {PACKAGED.version} of the function library are connected .* may call invengine_reserve"
        with pytest.raises(StoreUnsuitable, match=said):
            async with opened(emptied.url, far, monkeypatch):
                pass
        await trades(store)
    async with opened(emptied.url, far, monkeypatch):
        assert there(emptied) == far.code


async def test_connections_say_whose_they_are(emptied: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(emptied.url, PACKAGED, monkeypatch), redis.asyncio.from_url(emptied.url) as client:
        names = {each["name"] for each in await client.client_list()}
        assert names == {"", f"invengine-{PACKAGED.version}"}


async def test_a_replica_that_takes_over_with_an_older_library_gets_the_newer_one(
    valkey_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Primaries get it one after the other, and a replica may never get it: what is called has it all the same."""
    to_come = newer()
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(opened(valkey_cluster.url, PACKAGED, monkeypatch))
        await trades(old)
        doomed = await asyncio.to_thread(valkey_cluster.primary_of, keys.log(old._of("LAMP")))
        (replica,) = await asyncio.to_thread(valkey_cluster.replicas_of, doomed)
        await asyncio.to_thread(valkey_cluster.cut_replica_link, doomed)
        new = await stack.enter_async_context(opened(valkey_cluster.url, to_come, monkeypatch))
        await trades(new)
        are_there = (there(doomed), there(replica)) == (to_come.code, PACKAGED.code)
        assert are_there
        valkey_cluster.kill(doomed)
        await asyncio.to_thread(valkey_cluster.wait_promoted, replica)
        await trades(new)
        await trades(old)
        is_there = there(replica) == to_come.code  # told apart line by line, two libraries take minutes
        assert is_there
        valkey_cluster.restart(doomed)  # not in a thread: its process would end with that


async def test_primaries_may_have_different_libraries_for_a_while(
    valkey_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Baskets over all partitions, while each primary is given the newer or the older library every moment."""
    to_come = newer()
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(opened(valkey_cluster.url, library, monkeypatch))
            for library in (PACKAGED, to_come)
        ]
        skus = [f"SKU-{n}" for n in range(8)]
        now_ms = await stores[0].now_ms()
        await stores[0].post_movements([movement("RECEIPT", 1000, now_ms, sku=sku) for sku in skus])
        done = asyncio.Event()

        async def replacing() -> None:
            primaries = await asyncio.to_thread(valkey_cluster.primaries)
            for n in range(12):
                library = (PACKAGED, to_come)[(n + n // 3) % 2]
                await asyncio.to_thread(put, primaries[n % 3], library)
            done.set()

        async def shopping(store: RedisStore) -> int:
            count = 0
            while not done.is_set() or count < 3:
                (outcome,) = (await store.reserve([request(*(line(1, sku=sku, line_id=sku) for sku in skus))])).outcomes
                assert not isinstance(outcome, errors.InventoryError), outcome
                count += 1
            return count

        *counts, _ = await asyncio.gather(*(shopping(store) for store in stores), replacing())
        for sku in skus:
            found = await stores[0].position(sku, "AMS1")
            assert found is not None
            assert found.reserved == sum(counts)
