"""An engine as one of several workers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvloop

from invengine import kernels
from invengine.bootstrap.serving import serving
from invengine.rpc.logs import configure_logging
from invengine.services.lead import Lead
from invengine.workers.joining import told
from invengine.workers.link import Broken, Link

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.settings import Settings

logger = logging.getLogger(__name__)


class Post:
    """A worker's place under its supervisor."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._metrics: Metrics | None = None
        self.lead = Lead(leads=False)

    def serving(self, metrics: Metrics) -> None:
        """Says that it serves; from now on it tells its figures."""
        self._metrics = metrics
        self._link.tell("serving")

    def draining(self) -> None:
        """Says that it takes nothing new."""
        self._link.tell("draining")

    async def heed(self) -> None:
        """Does what the supervisor says. Ends the process when the supervisor is gone, where the kernel does not."""
        async for message in self._link.heard():
            if message["word"] == "lead":
                logger.info("this worker leads")
                self.lead.take()
            else:
                self._link.tell("metrics", families=await asyncio.to_thread(self._figures))
        os.kill(os.getpid(), signal.SIGKILL)

    def _figures(self) -> object:
        return [] if self._metrics is None else told(self._metrics.registry, self._metrics.set_at())


def work(settings: Settings, number: int, end: socket.socket) -> None:
    """Serves as worker `number` until it is told to stop; `end` is of the pair of sockets to the supervisor.

    SystemExit with 1 when it cannot start or go on; the supervisor has been told why.
    """
    configure_logging(settings.log_level, as_json=settings.log_json, every_call=settings.access_log)
    made = logging.getLogRecordFactory()

    def of_worker(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        record.worker = number
        return record

    logging.setLogRecordFactory(of_worker)
    uvloop.run(_work(settings, end))


async def _work(settings: Settings, end: socket.socket) -> None:
    link = await Link.over(end)
    post = Post(link)
    heeding = asyncio.get_running_loop().create_task(post.heed())
    kernels.warm_up()
    link.tell("warm")
    try:
        await serving(settings, post)
    except Broken as fault:
        link.tell("broken", sentence=str(fault), is_lasting=fault.is_lasting)
        await link.flush()
        raise SystemExit(1) from None
    finally:
        heeding.cancel()
