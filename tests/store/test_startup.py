"""Opening a store: which servers and data are refused, and which library wins."""

from __future__ import annotations

import pytest
import redis.asyncio

from invengine.store.library import Library
from invengine.store.records import StoreSettings
from invengine.store.redis_store import RedisStore
from invengine.store.startup import StoreUnsuitable, check_server
from tests.redis_servers import RunningRedis
from tests.store.making import movement, request


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14 is too old"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.8", "server_name": "valkey"}, "Valkey 7.2.8 is too old"),
        ({"redis_version": "8.2.3", "redis_mode": "cluster"}, r"must begin with redis\+cluster://"),
        ({"redis_version": "8.2.3", "maxmemory_policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
    ],
)
def test_unfit_server_is_refused_with_the_reason(facts: dict[str, str], said: str) -> None:
    with pytest.raises(StoreUnsuitable, match=said):
        check_server(facts)


@pytest.mark.parametrize(
    "facts",
    [{"redis_version": "7.0.0"}, {"redis_version": "7.2.4", "valkey_version": "8.0.1"}, {"redis_version": "10.1"}],
)
def test_fit_server_is_taken(facts: dict[str, str]) -> None:
    check_server({"redis_mode": "standalone", "maxmemory_policy": "noeviction"} | facts)


@pytest.mark.asyncio
async def test_evicting_server_is_refused(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url) as client:
        await client.config_set("maxmemory-policy", "volatile-lru")
        try:
            with pytest.raises(StoreUnsuitable, match="set it to noeviction"):
                await RedisStore.open(client)
        finally:
            await client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data_format", "problem"),
    [(3, "format 3 of a newer release"), (1, "format 1 of an earlier release .* load the stock anew")],
)
async def test_data_of_another_format_are_left_alone(
    redis_server: RunningRedis, data_format: int, problem: str
) -> None:
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url) as client:
        await RedisStore.open(client)
        await client.hset("invengine:store", "format", data_format)
        await client.function_flush()
        with pytest.raises(StoreUnsuitable, match=problem):
            await RedisStore.open(client)
        assert await client.function_list() == []  # not even the library was loaded


@pytest.mark.asyncio
@pytest.mark.parametrize("partitions", [0, 1025])
async def test_impossible_number_of_partitions_is_refused(redis_url: str, partitions: int) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        with pytest.raises(StoreUnsuitable, match="1 to 1024 partitions"):
            await RedisStore.open(client, partitions=partitions)


@pytest.mark.asyncio
async def test_what_was_fixed_when_the_store_was_made_counts(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url) as client:
        first = await RedisStore.open(client, partitions=3, settings=StoreSettings(retention_seconds=77))
        second = await RedisStore.open(client, partitions=64, settings=StoreSettings(retention_seconds=88))
        assert (first.partitions, first.store_id) == (second.partitions, second.store_id)
        assert len(first.store_id) == 8
        assert await client.hget("invengine:store", "retention_seconds") == b"77"
        await first.post_movements([movement("RECEIPT", 1, await first.now_ms())])
        assert await second.position("LAMP", "AMS1") is not None


async def loaded(client: redis.asyncio.Redis) -> bytes:
    ((*_, code),) = [list(library.values()) for library in await client.function_list("invengine", withcode=True)]
    return code


@pytest.mark.asyncio
async def test_older_library_is_replaced_and_a_newer_one_stays(redis_server: RunningRedis) -> None:
    redis_server.empty()
    packaged = Library.packaged()
    head = f"-- Version {packaged.version}.".encode()
    assert packaged.code.count(head) == 1
    older = packaged.code.replace(head, b"-- Version 0.")
    newer = packaged.code.replace(head, b"-- Version 999999.")
    async with redis.asyncio.from_url(redis_server.url, protocol=3) as client:
        await client.function_load(older.decode())
        await RedisStore.open(client)
        assert await loaded(client) == packaged.code
        await client.function_load(newer.decode(), replace=True)
        await RedisStore.open(client)
        assert await loaded(client) == newer


@pytest.mark.asyncio
async def test_lost_library_is_loaded_again(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url) as client:
        store = await RedisStore.open(client)
        await store.post_movements([movement("RECEIPT", 1, await store.now_ms())])
        await client.function_flush()
        (outcome,) = (await store.reserve([request(1)])).outcomes
        assert outcome.reservation.lines[0].short_quantity == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", [2, 3])
async def test_both_protocols_read_alike(redis_server: RunningRedis, protocol: int) -> None:
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url, protocol=protocol) as client:
        store = await RedisStore.open(client, partitions=2)
        now_ms = await store.now_ms()
        await store.post_movements([movement("RECEIPT", 5, now_ms), movement("RECEIPT", 5, now_ms, location="BER1")])
        await store.reserve([request(1, customer_ref="C1")])
        assert set(await store.positions("LAMP")) == {"AMS1", "BER1"}
        assert len((await store.list_reservations(limit=9))[0]) == 1
        assert len((await store.list_reservations(customer_ref="C1", limit=9))[0]) == 1
        assert len(await store.read_log([0, 0], 0)) == await store.log_length()
        assert len((await store.ledger("LAMP"))[0]) == 3
        assert (await store.states())["HELD"] == 1
