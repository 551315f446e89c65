"""Stores for tests: opened on a server of the suite, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import redis.asyncio
from redis.asyncio import Redis

from invengine.errors import InventoryError
from invengine.store.library import Library
from invengine.store.redis_store import Atomicity, RedisStore, StoreSettings

CLOCK_KEY = "test:clock"
_CLOCK = b"""  local time = call('TIME')
  return time[1] * 1000 + floor(time[2] / 1000)
"""
_TEST_CLOCK = b"""  return number(call('GET', 'test:clock'))
"""
_FIXED_CLOCK = """  return {now_ms}
"""


@cache
def with_test_clock(library: Library) -> Library:
    """The library with its one clock replaced by a key that the test sets."""
    assert library.code.count(_CLOCK) == 1
    return Library(library.code.replace(_CLOCK, _TEST_CLOCK))


@cache
def with_fixed_clock(library: Library, now_ms: int) -> Library:
    """The library with its one clock standing still, for servers where a function cannot read a key of the test."""
    assert library.code.count(_CLOCK) == 1
    return Library(library.code.replace(_CLOCK, _FIXED_CLOCK.format(now_ms=now_ms).encode()))


class Clock:
    """Redis's clock as the functions see it."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.now_ms = 0

    async def set(self, now_ms: int) -> None:
        self.now_ms = now_ms
        await self._client.set(CLOCK_KEY, now_ms)

    async def advance(self, milliseconds: int) -> None:
        await self.set(self.now_ms + milliseconds)


class CodedClock(Clock):
    """A clock that is part of the library of each of these servers, which keep functions from reading other keys."""

    def __init__(self, clients: Sequence[Redis]) -> None:
        super().__init__(clients[0])
        self._clients = clients
        self._library = Library.packaged()

    @property
    def library(self) -> Library:
        """The library with the clock standing at its instant."""
        return with_fixed_clock(self._library, self.now_ms)

    async def set(self, now_ms: int) -> None:
        self.now_ms = now_ms
        for client in self._clients:
            await client.function_load(self.library.code.decode(), replace=True)


class World:
    """A store, its clock and a plain client."""

    def __init__(self, store: RedisStore, clock: Clock, client: Redis) -> None:
        self.store, self.clock, self.client = store, clock, client


def opened(
    url: str,
    monkeypatch: Any,
    *,
    partitions: int = 4,
    settings: StoreSettings | None = None,
    atomicity: Atomicity = Atomicity.WHOLE,
    **replaced: str,
) -> AbstractAsyncContextManager[World]:
    """A new store in the (empty) server at `url`; `replaced` are other numbers for constants of the library."""
    settings = settings or StoreSettings(retention_seconds=864_000, count_window_seconds=3_600)
    return _opened(url, monkeypatch, partitions, settings, atomicity, replaced)


@asynccontextmanager
async def _opened(
    url: str,
    monkeypatch: Any,
    partitions: int,
    settings: StoreSettings,
    atomicity: Atomicity,
    replaced: dict[str, str],
):
    client = redis.asyncio.from_url(url)
    try:
        library = with_test_clock(Library.packaged())
        for name, value in replaced.items():
            library = with_constant(library, name, value)
        monkeypatch.setattr("invengine.store.startup.Library.packaged", lambda: library)
        clock = Clock(client)
        seconds, _ = await client.time()
        await clock.set(int(seconds) * 1000)
        store = await RedisStore.open(client, partitions=partitions, settings=settings, atomicity=atomicity)

        async def now_ms() -> int:
            return clock.now_ms

        monkeypatch.setattr(store, "now_ms", now_ms)
        yield World(store, clock, client)
    finally:
        monkeypatch.undo()
        await client.aclose()


def with_constant(library: Library, name: str, value: str) -> Library:
    """The library with `local NAME = value`."""
    head = f"local {name} = ".encode()
    before, after = library.code.split(head)
    return Library(before + head + value.encode() + after[after.index(b" --") :])


def told(outcome: Any) -> Any:
    """An outcome in a form that compares by value: refusals are exceptions, equal only to themselves."""
    if isinstance(outcome, InventoryError):
        return type(outcome).__name__, vars(outcome)
    if isinstance(getattr(outcome, "refusal", None), InventoryError):
        return told(outcome.refusal), replace(outcome, refusal=None)
    return outcome


Opened = Callable[..., AbstractAsyncContextManager[World]]
