"""Runs an engine until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import uvloop

from invengine import __version__, service_manager
from invengine.bootstrap.first_token import FirstTokenUnwritten
from invengine.bootstrap.starting import Running, start
from invengine.errors import InventoryError
from invengine.rpc.logs import configure_logging
from invengine.rpc.server import AddressTaken
from invengine.rpc.tls import TlsUnusable
from invengine.rpc.traces import NotInstalled
from invengine.store.embedded_folder import EmbeddedError
from invengine.store.topology import StoreUnsuitable
from invengine.workers.link import Broken

if TYPE_CHECKING:
    from invengine.bootstrap.worker import Post
    from invengine.settings import Settings

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Runs the engine until SIGTERM or SIGINT. Broken when it cannot start or go on."""
    configure_logging(settings.log_level, as_json=settings.log_json, every_call=settings.access_log)
    uvloop.run(serving(settings))


async def serving(settings: Settings, post: Post | None = None) -> None:
    """Serves until SIGTERM or SIGINT; as a worker, at its `post`. Broken when it cannot start or go on."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    main = asyncio.current_task()
    assert main is not None
    started = False

    def signalled() -> None:
        stop.set()
        if not started:
            main.cancel()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, signalled)
    try:
        async with running(settings, post) as engine:
            started = True
            if post is not None:
                post.serving(engine.metrics)
            else:
                logger.info(
                    "invengine %s serving on %s; metrics on %s",
                    __version__,
                    ", ".join(engine.addresses),
                    engine.metrics_address or "no address",
                )
                service_manager.ready(f"serving on {', '.join(engine.addresses)}")
            engine.broken.add_done_callback(lambda _: stop.set())
            gc.collect()
            gc.freeze()  # what was imported and loaded stays: no collection needs to look at it again
            await stop.wait()
            logger.info("stopping")
            if post is not None:
                post.draining()
            else:
                service_manager.stopping()
        if engine.broken.done():
            raise Broken(engine.broken.result())
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        logger.info("stopped before it was serving")
    else:
        logger.info("stopped")


@asynccontextmanager
async def running(settings: Settings, post: Post | None = None) -> AsyncIterator[Running]:
    """An engine that serves until the block is left. Broken when it cannot start; then nothing is left running."""
    async with AsyncExitStack() as stack:
        try:
            engine = await start(settings, stack, lead=post.lead if post is not None else None)
        except (AddressTaken, NotInstalled, StoreUnsuitable) as fault:
            raise Broken(str(fault), is_lasting=True) from fault
        except (TlsUnusable, FirstTokenUnwritten, EmbeddedError, InventoryError) as fault:
            raise Broken(str(fault)) from fault
        yield engine
