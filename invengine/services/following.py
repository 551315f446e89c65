"""What is the same on every server: read from the store, followed when another server changes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from typing import ClassVar, Final

from invengine.errors import Unavailable

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0


class Followed(ABC):
    """Something of the store that this server holds: `load` at the start, `run` as a task."""

    name: ClassVar[str]
    """What it is, in sentences of the log."""

    def __init__(self, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._poll_seconds = poll_seconds
        self._one_at_a_time = asyncio.Lock()  # else an older answer of the store could arrive after a newer one
        self._wake = asyncio.Event()
        self._is_away = False

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next look."""
        return self._poll_seconds

    @abstractmethod
    async def look(self) -> None:
        """Takes over what the store has now; one call at a time."""

    async def load(self) -> None:
        """Takes over what the store has now. What this version cannot read is logged and not taken over."""
        async with self._one_at_a_time:
            await self.look()

    def wake(self) -> None:
        """Makes `run` look now: somebody says that it changed."""
        self._wake.set()

    async def run(self) -> None:
        """Follows the store until cancelled: looks every second and when woken, also after the store was away."""
        while True:
            with contextlib.suppress(TimeoutError):  # nobody woke it: time to look anyway
                await asyncio.wait_for(self._wake.wait(), self.pause_seconds)
            self._wake.clear()
            try:
                await self.load()
            except Unavailable as away:
                if not self._is_away:
                    _log.warning("the %s cannot be followed for now: %s", self.name, away)
                self._is_away = True
            else:
                self._is_away = False
