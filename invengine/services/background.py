"""Tasks that run as long as the engine does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class Background:
    """Tasks that run as long as the engine; one that ends by itself is a fault, and the engine cannot go on."""

    def __init__(self, broken: asyncio.Future[str]) -> None:
        self._broken = broken
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Runs until `stop`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def end_with(self, fault: Coroutine[Any, Any, Exception]) -> None:
        """Ends the engine when `fault` answers."""

        async def watch() -> None:
            sentence = str(await fault)
            if not self._broken.done():
                self._broken.set_result(sentence)
            await asyncio.Event().wait()  # until it is cancelled with the others

        self.run("fault", watch())

    async def stop(self) -> None:
        """Ends them all. Told again and again: a wait_for, which redis-py uses too, may lose one cancellation."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=0.05)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        fault = task.exception()
        logger.critical("the %s ended; the engine stops", task.get_name(), exc_info=fault)
        if not self._broken.done():
            self._broken.set_result(f"the {task.get_name()} ended: {fault!r}")
