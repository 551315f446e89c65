"""Redis away, busy or full: what is repeated, and what callers are told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from invengine import errors
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store.records import StoreSettings
from invengine.store.redis_store import RedisStore
from tests.redis_servers import RunningRedis
from tests.store.making import change, line, movement, request

pytestmark = pytest.mark.asyncio


def _is_whole(request: bytes) -> bool:
    """Whether these are commands from beginning to end."""
    at = 0
    while at < len(request):
        end = request.find(b"\r\n", at)
        if end < 0:
            return False
        words, at = int(request[at + 1 : end]), end + 2
        for _ in range(words):
            end = request.find(b"\r\n", at)
            if end < 0:
                return False
            at = end + 2 + int(request[at + 1 : end]) + 2
    return at == len(request)


class Proxy:
    """Between store and server; cuts connections when told."""

    def __init__(self, server: Path, path: Path) -> None:
        self._server, self.path = server, path
        self.cut_requests = 0  # so many requests are thrown away, connection and all
        self.cut_replies = 0  # so many requests reach the server, and their replies are thrown away
        self.requests = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        await self.listen()
        return self

    async def listen(self) -> None:
        self._listener = await asyncio.start_unix_server(self._serve, self.path, limit=2**24)

    async def stop_listening(self) -> None:
        """Refuse new connections and end the open ones."""
        self._listener.close()
        for writer in self._writers:
            writer.close()
        self.path.unlink(missing_ok=True)

    async def __aexit__(self, *_: object) -> None:
        await self.stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_unix_connection(self._server)
        self._writers |= {writer, server_writer}
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while request := await reader.read(2**24):
                while not _is_whole(request):  # the library is longer than what a socket takes at once
                    request += await reader.read(2**24)
                if b"FCALL\r\n" in request:  # not the greeting of a new connection, an FCALL_RO
                    self.requests += 1
                    if self.cut_requests:
                        self.cut_requests -= 1
                        break
                server_writer.write(request)
                reply = await server_reader.read(2**24)
                if b"FCALL\r\n" in request and self.cut_replies:
                    self.cut_replies -= 1
                    break
                writer.write(reply)
        writer.close()
        server_writer.close()


@pytest_asyncio.fixture
async def proxy(redis_server: RunningRedis, tmp_path: Path) -> AsyncIterator[Proxy]:
    redis_server.empty()
    async with Proxy(redis_server.socket, Path("/tmp") / f"proxy-{time.monotonic_ns()}") as proxy:
        yield proxy


@pytest_asyncio.fixture
async def open_store(proxy: Proxy) -> AsyncIterator[Callable]:
    clients = []

    async def open_one(retry_seconds: float = 5.0) -> RedisStore:
        clients.append(redis.asyncio.Redis(unix_socket_path=str(proxy.path)))
        store = await RedisStore.open(clients[-1], settings=StoreSettings(retry_seconds=retry_seconds))
        await store.post_movements([movement("RECEIPT", 10, await store.now_ms())])
        proxy.requests = 0
        return store

    yield open_one
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize("lost", ["cut_requests", "cut_replies"])
async def test_lost_connection_is_repeated_and_done_once(proxy: Proxy, open_store, lost: str) -> None:
    store = await open_store()
    setattr(proxy, lost, 2)
    written = await store.reserve([request(4, reservation_id="A")])
    assert proxy.requests == 3
    assert written.outcomes[0].replayed == (lost == "cut_replies")
    assert (await store.position("LAMP", "AMS1")).reserved == 4
    proxy.requests, proxy.cut_replies = 0, 1
    (outcome,) = (await store.post_movements([movement("SALE", 1, await store.now_ms())])).outcomes
    assert (outcome.result, outcome.on_hand) == ("REPEATED", 9)


async def test_a_repeated_call_says_the_time_at_which_it_is_sent_again(proxy: Proxy, open_store) -> None:
    """The time that the first attempt said may be minutes old by then."""
    store = await open_store()
    times = iter((-1_000_000_000_000, -2_000_000_000_000))
    store.go_by(lambda: next(times))
    proxy.cut_requests = 1
    written = await store.reserve([request(4)])
    assert written.now_ms == 2_000_000_000_000


async def test_outcome_is_unknown_when_no_answer_came_in_time(proxy: Proxy, open_store) -> None:
    store = await open_store(retry_seconds=0.1)
    wanted = request(4)
    proxy.cut_replies = 1_000_000
    with pytest.raises(errors.OutcomeUnknown):
        await store.reserve([wanted])
    proxy.cut_replies = 0
    (outcome,) = (await store.reserve([wanted])).outcomes
    assert outcome.replayed
    assert (await store.position("LAMP", "AMS1")).reserved == 4


async def test_store_that_was_never_reached_is_unavailable(proxy: Proxy, open_store) -> None:
    store = await open_store(retry_seconds=0.1)
    await proxy.stop_listening()
    with pytest.raises(errors.StoreUnavailable):
        await store.position("LAMP", "AMS1")
    with pytest.raises(errors.StoreUnavailable):  # by now no connection is left: nothing can have been sent
        await store.reserve([request(4)])


async def test_store_that_comes_back_in_time_is_waited_for(proxy: Proxy, open_store) -> None:
    store = await open_store()
    await proxy.stop_listening()
    waiting = asyncio.create_task(store.reserve([request(4)]))
    reading = asyncio.create_task(store.position("LAMP", "AMS1"))
    await asyncio.wait([waiting], timeout=0.05)
    await proxy.listen()
    assert isinstance((await waiting).outcomes[0], ReservationAnswer)
    assert (await reading).on_hand == 10


async def test_part_of_a_long_batch_done_is_never_told_as_nothing_changed(proxy: Proxy, open_store) -> None:
    store = await open_store(retry_seconds=0.05)
    wanted = [movement("RECEIPT", 1, await store.now_ms()) for _ in range(600)]

    async def stop_after_the_first_part() -> None:
        while proxy.requests < 2:
            await asyncio.sleep(0)
        await proxy.stop_listening()

    stopping = asyncio.create_task(stop_after_the_first_part())
    with pytest.raises(errors.OutcomeUnknown):
        await store.post_movements(wanted)
    await stopping
    await proxy.listen()
    written = await store.post_movements(wanted)
    assert len(written.outcomes) == 600
    assert (await store.position("LAMP", "AMS1")).on_hand == 610


async def test_cancelled_call_leaves_no_reply_behind(proxy: Proxy, open_store) -> None:
    store = await open_store()
    for _ in range(20):
        task = asyncio.create_task(store.now_ms())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert (await store.position("LAMP", "AMS1")).on_hand == 10


async def test_busy_server_is_waited_for(start_redis: Callable[..., RunningRedis]) -> None:
    """A function that runs too long: everybody else hears BUSY until it is over."""
    server = start_redis("redis", busy_reply_threshold="20")
    async with redis.asyncio.from_url(server.url) as client:
        store = await RedisStore.open(client)
        await store.post_movements([movement("RECEIPT", 10, await store.now_ms())])
        impatient = await RedisStore.open(client, settings=StoreSettings(retry_seconds=0.0))
        other = redis.asyncio.from_url(server.url)
        hog = asyncio.create_task(
            other.eval("local t = redis.call('TIME')[1] * 1 for n = 1, 3e7 do t = t + n end return 'done'", 0)
        )
        while True:
            try:
                await client.ping()
                await asyncio.sleep(0)
            except ResponseError as error:
                assert str(error).startswith("BUSY") or "busy" in str(error)  # noqa: PT017
                break
        with pytest.raises(errors.StoreUnavailable):
            await impatient.reserve([request(1)])
        assert isinstance((await store.reserve([request(1)])).outcomes[0], ReservationAnswer)
        assert await hog == b"done"
        await other.aclose()


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_full_server_takes_nothing_new_and_gives_back(
    start_redis: Callable[..., RunningRedis], kind: str
) -> None:
    server = start_redis(kind)
    async with redis.asyncio.from_url(server.url) as client:
        store = await RedisStore.open(client)
        now_ms = await store.now_ms()
        await store.post_movements([movement("RECEIPT", 10, now_ms)])
        await store.reserve([request(2, reservation_id=name) for name in "ABC"])
        await client.config_set("maxmemory", 1)
        with pytest.raises(errors.StoreFull):
            await store.reserve([request(1)])
        with pytest.raises(errors.StoreFull):
            await store.post_movements([movement("RECEIPT", 1, now_ms)])
        assert isinstance((await store.release([change("A")])).outcomes[0], ReservationAnswer)
        assert isinstance((await store.confirm([change("B")])).outcomes[0], ReservationAnswer)
        assert isinstance((await store.fulfil([change("B")])).outcomes[0], ReservationAnswer)
        await store.expire_due(0)
        await store.forget_old(0)
        assert (await store.position("LAMP", "AMS1")).reserved == 2
        await client.config_set("maxmemory", 0)
        assert isinstance((await store.reserve([request(1)])).outcomes[0], ReservationAnswer)


async def test_missing_permission_is_a_fault_and_told_at_once(redis_server: RunningRedis) -> None:
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url) as client:
        await RedisStore.open(client)
        await client.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-fcall"])
        async with redis.asyncio.from_url(redis_server.url, username="guest", password="x") as guest:
            store = await RedisStore.open(guest)
            with pytest.raises(NoPermissionError):
                await store.reserve([request(1)])
        await client.acl_deluser("guest")


async def test_nothing_of_a_damaged_batch_is_written(redis_server: RunningRedis) -> None:
    """A number that is none stops the call before its first write, and the next call works."""
    redis_server.empty()
    async with redis.asyncio.from_url(redis_server.url) as client:
        store = await RedisStore.open(client)
        await store.post_movements([movement("RECEIPT", 10, await store.now_ms())])
        with pytest.raises(ResponseError, match="not a whole number"):
            await store.reserve([request(1), request(line(1.5))])  # type: ignore[arg-type]
        assert (await store.position("LAMP", "AMS1")).reserved == 0
        assert isinstance((await store.reserve([request(1)])).outcomes[0], ReservationAnswer)
