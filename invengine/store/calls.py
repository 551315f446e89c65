"""Talking to Redis: one exchange at a time, repeated while Redis is away, every failure told as what it is.

A write may be repeated because every function remembers what it answered. What is not known is told as such: when an
attempt may have reached Redis and no later one got an answer, the outcome is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ResponseError,
    TimeoutError,
)

from invengine.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from invengine.store.library import Library

Command = Sequence[str | bytes | int]

PAUSE_SECONDS = 0.01
PAUSE_SECONDS_MAX = 0.25
_LATER = ("BUSY ", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "LOADING")


class _Fate(Enum):
    """What a failed attempt means."""

    NOT_DONE = auto()  # surely not executed; may work in a moment
    UNKNOWN = auto()  # sent, and no answer came
    FULL = auto()  # refused for want of memory or disk
    NO_FUNCTION = auto()  # the library is not there
    FAULT = auto()  # a fault of the caller, the set-up or the engine


class _Unsent(Exception):
    """No connection: nothing was sent."""


def _fate(error: BaseException) -> _Fate:
    if isinstance(error, AuthenticationError | AuthorizationError):
        return _Fate.FAULT
    if isinstance(error, _Unsent | BusyLoadingError):
        return _Fate.NOT_DONE
    if isinstance(error, ConnectionError | TimeoutError | OSError | asyncio.IncompleteReadError):
        return _Fate.UNKNOWN
    said = str(error)
    if isinstance(error, OutOfMemoryError) or said.startswith(("OOM", "MISCONF")):
        return _Fate.FULL
    if "Function not found" in said:
        return _Fate.NO_FUNCTION
    return _Fate.NOT_DONE if _is_later(error, said) else _Fate.FAULT


def _is_later(error: BaseException, said: str) -> bool:
    # redis-py takes the code off the messages of errors for which it has classes, so both are looked at
    return said.startswith(_LATER) or type(error).__name__ in {
        "ReadOnlyError",
        "MasterDownError",
        "ClusterDownError",
        "TryAgainError",
    }


class Calls:
    """The commands of one store. `client` is only asked for its connections."""

    def __init__(self, client: Redis, retry_seconds: float, library: Library) -> None:
        client.set_retry(Retry(NoBackoff(), 0))  # repeating is decided here, where it is known what a repeat means
        self._pool: ConnectionPool = client.connection_pool
        self._retry_seconds = retry_seconds
        self._library = library

    async def write(self, function: str, keys: Sequence[str | bytes], *arguments: str | bytes) -> Any:
        """The reply of a function. StoreUnavailable, StoreFull, OutcomeUnknown."""
        return (await self._repeated([("FCALL", function, len(keys), *keys, *arguments)], is_write=True))[0]

    async def read(self, *commands: Command, block_seconds: float = 0.0) -> list[Any]:
        """The replies of commands that change nothing, in one round trip. StoreUnavailable."""
        return await self._repeated(commands, is_write=False, block_seconds=block_seconds)

    async def load_library(self) -> None:
        """Put the function library into Redis unless it has this version or a newer one."""
        (listed,) = await self.read(("FUNCTION", "LIST", "LIBRARYNAME", self._library.name, "WITHCODE"))
        if self._library.is_wanted(listed):
            await self._repeated([("FUNCTION", "LOAD", "REPLACE", self._library.code)], is_write=True)

    async def write_once(self, *commands: Command) -> list[Any]:
        """The replies of commands in one transaction, each safe to repeat."""
        return await self._repeated([("MULTI",), *commands, ("EXEC",)], is_write=True)

    async def _repeated(self, commands: Sequence[Command], *, is_write: bool, block_seconds: float = 0.0) -> list[Any]:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._retry_seconds, PAUSE_SECONDS
        may_be_done = loaded = False
        while True:
            try:
                return await self._exchange(commands, block_seconds)
            except Exception as error:  # noqa: BLE001  # judged below; a fault is raised again
                fate, failure = _fate(error), error
            if fate is _Fate.NO_FUNCTION and not loaded:
                loaded = True
                await self.load_library()
                continue
            if fate in (_Fate.FAULT, _Fate.NO_FUNCTION):
                raise failure
            may_be_done |= is_write and fate is _Fate.UNKNOWN
            if fate is _Fate.FULL or loop.time() + pause > deadline:
                raise _refusal(fate, may_be_done, failure) from failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _exchange(self, commands: Sequence[Command], block_seconds: float) -> list[Any]:
        """Send commands and read their replies. The first error among the replies is raised once all are read."""
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError):
            raise
        except (ConnectionError, TimeoutError, OSError) as error:
            raise _Unsent(str(error)) from error
        replies: list[Any] = []
        failure: ResponseError | None = None
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    if block_seconds:
                        replies.append(await connection.read_response(timeout=block_seconds + 5.0))
                    else:
                        replies.append(await connection.read_response())
                except ResponseError as error:
                    failure = failure or error
        except BaseException:
            await connection.disconnect(nowait=True)  # replies may be under way that belong to nobody
            raise
        finally:
            await self._pool.release(connection)
        if failure is not None:
            raise failure
        return replies


def _refusal(fate: _Fate, may_be_done: bool, failure: Exception) -> OutcomeUnknown | StoreFull | StoreUnavailable:
    detail = str(failure)
    if may_be_done:
        return OutcomeUnknown(detail)
    return StoreFull(detail) if fate is _Fate.FULL else StoreUnavailable(detail)
