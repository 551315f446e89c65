"""The workers of a server: begun one after another, kept running, one of them leading, their figures as one."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, GCCollector, PlatformCollector, ProcessCollector

from invengine import service_manager
from invengine.server_metrics import RedisMetrics
from invengine.workers.joining import Joined, told
from invengine.workers.link import Broken
from invengine.workers.worker import Worker

if TYPE_CHECKING:
    from invengine.settings import Settings

logger = logging.getLogger(__name__)

STARTS_MAX: Final = 5
"""Of one worker, before any has served: an engine that never runs is not started for ever."""

STOP_SECONDS: Final = 15.0
"""Beyond what accepted calls may take, until a worker that does not end is killed."""


class Crew:
    """All workers. `broken` gets the fault by which they cannot go on."""

    def __init__(self) -> None:
        self._stop_seconds = STOP_SECONDS
        self._on_warm: Callable[[], None] = lambda: None
        self._warm = asyncio.Event()
        self._leader: Worker | None = None
        self._has_served = False
        self._is_stopping = False
        self._joined = Joined()
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._restarts = Counter(
            "invengine_worker_restarts_total", "Processes that ended and were started again.", registry=self._registry
        )
        self.redis = RedisMetrics()
        self._registry.register(self.redis)
        self.data_dir: Path | None = None
        """Of the Redis that the supervisor runs, where it does."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.workers: Sequence[Worker] = ()
        self.broken: asyncio.Future[Broken] = asyncio.get_running_loop().create_future()

    def start(self, settings: Settings, *, on_warm: Callable[[], None]) -> None:
        """Starts the first; the others begin when it has the kernels, so that one compiles them and not all."""
        self._stop_seconds += settings.grace_seconds + settings.store_retry_seconds
        self._on_warm = on_warm
        self.workers = [Worker(number, settings, self._changed) for number in range(settings.workers)]
        for worker in self.workers:
            task = asyncio.get_running_loop().create_task(self._run(worker), name=f"worker {worker.number}")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Has all answer what they have accepted, and end; those that take too long are killed."""
        self._is_stopping = True
        service_manager.stopping()
        self._warm.set()
        for worker in self.workers:
            worker.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._stop_seconds)
            if late:
                logger.warning("%d workers do not end: killing them", len(late))
                for worker in self.workers:
                    worker.kill()
                await asyncio.wait(late)

    @property
    def serving(self) -> list[Worker]:
        """Those that serve now."""
        return [worker for worker in self.workers if worker.is_serving]

    def health(self) -> tuple[bool, str]:
        """Whether calls are answered, and how each worker is."""
        is_serving = bool(self.serving)
        lines = [
            f"worker {worker.number} {_status(worker.is_serving)} process {worker.pid or 'none'}"
            + (", leads" if worker is self._leader else "")
            for worker in self.workers
        ]
        return is_serving, "\n".join([_status(is_serving), *lines, ""])

    async def page(self) -> bytes:
        """The figures of all, in the text format of Prometheus."""
        said = await asyncio.gather(*(worker.figures() for worker in self.workers))
        for worker, families in zip(self.workers, said, strict=True):
            if families is not None and worker.is_warm:
                self._joined.of[worker.number] = families
        if self.data_dir is not None:
            try:
                usage = await asyncio.to_thread(shutil.disk_usage, self.data_dir)
                self.redis.set_disk(usage.free, usage.total)
            except OSError as fault:
                logger.warning("the disk of %s cannot be looked at: %s", self.data_dir, fault.strerror)
        self._joined.own = told(self._registry, self.redis.set_at())
        return self._joined.page()

    async def _run(self, worker: Worker) -> None:
        if worker is not self.workers[0]:
            await self._warm.wait()
        if not self._is_stopping:
            await worker.run()

    def _changed(self, worker: Worker) -> None:
        if worker.is_warm and not self._warm.is_set():
            self._warm.set()
            self._on_warm()
        if worker.is_serving:
            if not self._has_served:
                service_manager.ready("the first worker serves")
            self._has_served = True
            logger.info("worker %d serves (process %s)", worker.number, worker.pid)
        if not worker.is_warm:
            self._lost(worker)
        if not self._is_stopping and (self._leader is None or not self._leader.is_serving):
            self._leader = next(iter(self.serving), None)
            if self._leader is not None:
                self._leader.lead()

    def _lost(self, worker: Worker) -> None:
        self._joined.lose(worker.number)
        self._restarts.inc()
        fault = worker.broken
        if fault is not None and (fault.is_lasting or not self._has_served):
            self.end(fault)
        elif not self._has_served and worker.starts >= STARTS_MAX:
            self.end(Broken("no worker lives until it serves; what they logged says why"))

    def end(self, fault: Broken) -> None:
        """They cannot go on."""
        if not self.broken.done():
            self.broken.set_result(fault)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (fault := task.exception()) is None:
            return
        logger.critical("the keeper of %s failed", task.get_name(), exc_info=fault)
        self.end(Broken(f"the keeper of {task.get_name()} failed: {fault!r}"))


def _status(is_serving: bool) -> str:
    return "SERVING" if is_serving else "NOT_SERVING"
