"""Work that is done once for all workers of a server: one of them leads."""

from __future__ import annotations

import asyncio


class Lead:
    """Whether this process leads. A server of one process always does; a worker from when its supervisor says so."""

    def __init__(self, *, leads: bool = True) -> None:
        self._leading = asyncio.Event()
        if leads:
            self._leading.set()

    @property
    def is_ours(self) -> bool:
        """Whether it does now."""
        return self._leading.is_set()

    def take(self) -> None:
        """It does from now on, until it ends."""
        self._leading.set()

    async def ours(self) -> None:
        """Returns as soon as it does."""
        await self._leading.wait()
