"""The process above the workers: it holds what there is once, and keeps them running until it is told to stop.

Start:  addresses -> metrics pages -> Redis, where it is our own -> the first worker -> the others
Stop:   workers answer what they have accepted, and end -> Redis -> metrics pages -> addresses
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from invengine import __version__
from invengine.rpc.logs import configure_logging
from invengine.rpc.metrics_http import MetricsHttp
from invengine.store.embedded import EmbeddedRedis
from invengine.store.embedded_folder import EmbeddedError
from invengine.workers.addresses import HeldAddresses
from invengine.workers.crew import Crew
from invengine.workers.link import Broken

if TYPE_CHECKING:
    from invengine.settings import Settings

logger = logging.getLogger(__name__)

QUIET_SECONDS: Final = 4.0
"""A first worker that takes longer to get its kernels is compiling them."""


def supervise(settings: Settings, *, on_compiling: Callable[[], None]) -> None:
    """Runs `settings.workers` workers until SIGTERM or SIGINT. Broken when they cannot start or go on.

    `on_compiling` is called when the start takes long since the kernels are compiled.
    """
    configure_logging(settings.log_level, as_json=settings.log_json, every_call=settings.access_log)
    asyncio.run(_supervise(settings, on_compiling))


async def _supervise(settings: Settings, on_compiling: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    told, main = asyncio.Event(), asyncio.current_task()
    assert main is not None
    starting = True

    def signalled() -> None:
        told.set()
        if starting:
            main.cancel()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, signalled)
    try:
        async with AsyncExitStack() as stack:
            broken = await _start(settings, on_compiling, stack)
            starting = False
            broken.add_done_callback(lambda _: told.set())
            await told.wait()
            logger.info("stopping")
        if broken.done():
            raise broken.result()
    except asyncio.CancelledError:
        if not told.is_set():
            raise
    logger.info("stopped")


async def _start(settings: Settings, on_compiling: Callable[[], None], stack: AsyncExitStack) -> asyncio.Future[Broken]:
    """Starts everything; the future gets the fault by which it cannot go on."""
    held, crew = HeldAddresses(), Crew()
    stack.callback(held.close)
    addresses = held.hold(settings.listen)
    metrics_address = await _serve_pages(settings, crew, stack)
    url = settings.redis_url or await _start_redis(settings, crew, stack)
    quiet = asyncio.get_running_loop().call_later(QUIET_SECONDS, on_compiling)
    stack.callback(quiet.cancel)
    stack.push_async_callback(crew.stop)
    crew.start(
        settings.model_copy(update={"listen": addresses, "metrics_listen": "", "redis_url": url}),
        on_warm=quiet.cancel,
    )
    logger.info(
        "invengine %s starts %d workers on %s; metrics on %s",
        __version__,
        settings.workers,
        ", ".join(addresses),
        metrics_address or "no address",
    )
    return crew.broken


async def _serve_pages(settings: Settings, crew: Crew, stack: AsyncExitStack) -> str:
    """Serves /metrics and the pages of health of all workers; the address as bound, empty where none is wanted."""
    if not settings.metrics_listen:
        return ""
    pages = MetricsHttp(crew.page, crew.health)
    stack.push_async_callback(pages.stop)
    try:
        return await pages.start(settings.metrics_listen)
    except OSError as fault:
        raise Broken(f"cannot listen on {settings.metrics_listen}: {fault.strerror or fault}") from None


async def _start_redis(settings: Settings, crew: Crew, stack: AsyncExitStack) -> str:
    """Starts a Redis of our own; its url."""
    assert settings.durability != "replicated"  # the settings refuse it without a url

    def restarted() -> None:
        crew.redis.restarts += 1

    redis = EmbeddedRedis(
        settings.data_dir, server=settings.redis_server, durability=settings.durability, on_restart=restarted
    )
    stack.push_async_callback(redis.stop)
    try:
        url = await redis.start()
    except EmbeddedError as fault:
        raise Broken(str(fault)) from fault
    crew.data_dir = settings.data_dir

    async def watch() -> None:
        crew.end(Broken(str(await redis.broken())))

    stack.callback(asyncio.create_task(watch()).cancel)
    return url
