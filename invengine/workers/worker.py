"""One worker as its supervisor sees it: a process that is started again whenever it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from invengine.workers.link import Broken, Link, Message

if TYPE_CHECKING:
    from invengine.settings import Settings
    from invengine.workers.joining import Family

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = (0.1, 10.0)
"""Before a worker is started again: the first time, and at most."""

STEADY_SECONDS: Final = 60.0
"""A worker that lived so long begins with the first pause again."""

EXIT_SECONDS: Final = 5.0
"""Of a worker that has ended its link already."""

COMMAND: Final = (sys.executable, "-P", "-m", "invengine.workers.process")

ANSWER_SECONDS: Final = 2.0
"""A worker that does not tell its figures within this time counts with those that it told last."""


class Worker:
    """`run` it as a task. Calls `on_change` when it begins or ends to serve, and when it is warm or gone."""

    def __init__(self, number: int, settings: Settings, on_change: Callable[[Worker], None]) -> None:
        self.number = number
        self._settings = pickle.dumps(settings)
        self._on_change = on_change
        self._process: Process | None = None
        self._link: Link | None = None
        self._asked: asyncio.Future[Sequence[Family] | None] | None = None
        self._stopping = asyncio.Event()
        self.is_warm = False
        self.is_serving = False
        self.starts = 0
        self.broken: Broken | None = None
        """Why it ended, where it said so."""

    @property
    def pid(self) -> int | None:
        """Of its process, None while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def run(self) -> None:
        """Keeps it running until `stop`."""
        pause = PAUSE_SECONDS[0]
        while not self._stopping.is_set():
            began = monotonic()
            try:
                why = f"it ended with status {await self._live()}"
            except OSError as fault:
                why = f"it cannot be started: {fault.strerror or fault}"
            if self._stopping.is_set():
                return
            if monotonic() - began > STEADY_SECONDS:
                pause = PAUSE_SECONDS[0]
            logger.error("worker %d is gone: %s; starting it again in %.1f s", self.number, self.broken or why, pause)
            self._on_change(self)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, PAUSE_SECONDS[1])

    def stop(self) -> None:
        """Asks it to answer what it has accepted and end; `run` returns when it has."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def lead(self) -> None:
        """Has it do what is done once for all workers."""
        if self._link is not None:
            self._link.tell("lead")

    async def figures(self) -> Sequence[Family] | None:
        """What it has counted; None when it is not there or too busy to say."""
        if self._link is None or not self.is_warm:
            return None
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._link.tell("metrics")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.shield(self._asked)
        except TimeoutError:
            return None

    async def _live(self) -> int:
        """One life: from the start of the process to its end; its status."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(*COMMAND, str(self.number), str(os.getpid()), str(theirs.fileno())),
                stdin=PIPE,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which ends its workers politely
            )
        process, self.broken = self._process, None
        self.starts += 1
        try:
            self._link = await Link.over(ours)
            if self._stopping.is_set():  # told so while there was nothing to tell it to
                self._signal(signal.SIGTERM)
            assert process.stdin is not None
            with suppress(ConnectionError):
                process.stdin.write(self._settings)
                process.stdin.close()
            async for message in self._link.heard():
                self._take(message)
            self._gone()
            with suppress(TimeoutError):
                async with asyncio.timeout(EXIT_SECONDS):
                    return await process.wait()
        finally:
            self._gone()
            if process.returncode is None:
                process.kill()
        return await process.wait()

    def _take(self, message: Message) -> None:
        word = message["word"]
        if word == "metrics":
            if self._asked is not None:
                self._asked.set_result(message["families"])
                self._asked = None
            return
        if word == "broken":
            self.broken = Broken(message["sentence"], is_lasting=message["is_lasting"])
            return
        self.is_warm = True
        self.is_serving = word == "serving"
        self._on_change(self)

    def _gone(self) -> None:
        if self._link is None:
            return
        self._link.close()
        self._link = None
        self.is_warm = self.is_serving = False
        if self._asked is not None:
            self._asked.set_result(None)
            self._asked = None

    def _signal(self, signum: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):  # it ended this moment
                self._process.send_signal(signum)
