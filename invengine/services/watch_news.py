"""News of broken promises, followed while somebody who watches wants to be told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from invengine.services.watch_promises import Board

if TYPE_CHECKING:
    from invengine.services.broken import BrokenPromises

LINGER_SECONDS: Final = 10.0
"""So long they are followed after the last who wanted them left: one who comes back is not worth a new search."""


class PromiseNews:
    """Keeps `board` as it is while there are readers; `tell` is called after each change of it. `run` as a task."""

    def __init__(self, promises: BrokenPromises, tell: Callable[[], Awaitable[None]]) -> None:
        self.board = Board()
        self._promises = promises
        self._tell = tell
        self._readers = 0
        self._wanted, self._unwanted = asyncio.Event(), asyncio.Event()

    def count(self, change: int) -> None:
        """One reader more or less."""
        self._readers += change
        begun, ended = (self._wanted, self._unwanted) if self._readers else (self._unwanted, self._wanted)
        begun.set()
        ended.clear()

    async def run(self) -> None:
        """Follows while there are readers."""
        while True:
            await self._wanted.wait()
            try:
                await _first_of(self._follow(), self._given_up())
            finally:
                self.board.end()

    async def _follow(self) -> None:
        with self._promises.follow() as following:
            self.board.begin(await following.next())
            while True:
                await self._tell()
                self.board.take(await following.next())

    async def _given_up(self) -> None:
        """Until nobody has wanted any news for a while."""
        while self._readers:
            await self._unwanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._wanted.wait()


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Until one of them has ended; the others are cancelled. What it raises."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
