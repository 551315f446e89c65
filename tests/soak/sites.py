"""The processes of a soak: engines on one Redis behind proxies, or one that brings its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc

from invengine.v1 import stock_service_pb2
from tests import redis_servers
from tests.faults.memory import resident_bytes
from tests.faults.proxy import FaultProxy
from tests.rpc.engines import Stubs

UP_SECONDS = 120
SOON_AGAIN = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),  # gRPC's own waits grow to two minutes
)


class Engine:
    """One server process, behind a proxy that its callers use."""

    def __init__(self, folder: Path, name: str, redis_url: str) -> None:
        self.name, self._folder, self._redis_url = name, folder, redis_url
        self.address = f"unix:{folder / name}"
        self.has_served = False
        self.start()

    def start(self) -> None:
        """Another process in its place."""
        self.has_served = False
        environment = {
            **os.environ,
            "INVENGINE_LOG_ENTRIES_MAX": "1000000",
            "INVENGINE_STORE_RETRY_SECONDS": "2",
        }
        if self._redis_url:
            environment["INVENGINE_REDIS_URL"] = self._redis_url
        else:
            environment.pop("INVENGINE_REDIS_URL", None)
            environment["INVENGINE_DATA_DIR"] = str(self._folder / f"{self.name}.data")
        command = [sys.executable, "-m", "invengine", "serve", "--listen", self.address, "--metrics-listen", ""]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        """Its exit code after the signal."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return await asyncio.to_thread(self.process.wait, 60)

    @property
    def log(self) -> str:
        return (self._folder / f"{self.name}.log").read_text(errors="replace")

    def child(self) -> int | None:
        """The process id of its own Redis, where there is one now."""
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None


class Site:
    """Engines of one store, and everything between them that can break."""

    def __init__(self, name: str, folder: Path, count: int) -> None:
        """`count` engines on one Redis; 0: one engine with a Redis of its own."""
        self.name, self._folder, self._count = name, folder, count
        self.redis: redis_servers.RunningRedis | None = None
        self.engines: list[Engine] = []
        self.to_redis: list[FaultProxy] = []
        self.to_engines: list[FaultProxy] = []
        self.stubs: list[Stubs] = []
        self._closing: list[Callable[[], Awaitable[object]]] = []

    async def start(self) -> None:
        """Everything up and answering."""
        if self._count:
            self.redis = redis_servers.start("valkey")
        for number in range(self._count or 1):
            url = ""
            if self.redis is not None:
                proxy = FaultProxy(str(self.redis.socket), str(self.redis.folder / f"p{number}"))
                await proxy.__aenter__()
                self._closing.append(proxy.__aexit__)
                self.to_redis.append(proxy)
                url = f"unix://{proxy.address}"
            self.engines.append(Engine(self._folder, f"{self.name}{number}", url))
            front = FaultProxy(self.engines[-1].address.removeprefix("unix:"))
            await front.__aenter__()
            self.to_engines.append(front)
            channel = grpc.aio.insecure_channel(front.address, options=SOON_AGAIN)
            self.stubs.append(Stubs(channel))
            self._closing += [channel.close, front.__aexit__]
        assert await self.up() == []

    async def up(self) -> list[str]:
        """Until all engines answer. One that found its Redis away when it began is begun again; logs of those that
        ended without being asked to, though they had served.
        """
        ended = []
        for engine, stubs in zip(self.engines, self.stubs, strict=True):
            async with asyncio.timeout(UP_SECONDS):
                while not await answers(stubs):
                    if engine.process.poll() is not None:
                        if engine.has_served:
                            ended.append(f"{engine.name} ended by itself:\n{engine.log[-3000:]}")
                        engine.start()
                    await asyncio.sleep(0.05)
            engine.has_served = True
        return ended

    async def close(self) -> list[int]:
        """Everything down; the exit codes of the engines."""
        exits = [await engine.stop() for engine in self.engines]
        for close in self._closing:
            await close()
        self._closing.clear()
        return exits

    async def kill(self) -> None:
        """Whatever still runs or listens, at once; after `close` nothing does."""
        for engine in self.engines:
            engine.process.kill()
            engine.process.wait()
        for close in self._closing:
            await close()
        if self.redis is not None:
            self.redis.stop()

    def redis_pid(self) -> int | None:
        """The process that keeps the stock: below the watchdog that started it, or of the engine."""
        return self.redis.process.pid if self.redis is not None else self.engines[0].child()

    def memory(self) -> dict[str, int]:
        """Resident bytes by process, of those that run."""
        found = {}
        for name, pid in [(engine.name, engine.process.pid) for engine in self.engines] + [
            (f"{self.name} redis", self.redis_pid())
        ]:
            try:
                if pid is not None:
                    found[name] = resident_bytes(pid)
            except (FileNotFoundError, ValueError):
                continue
        return found


async def answers(stubs: Stubs) -> bool:
    """Whether a server answers what it has to ask Redis for."""
    try:
        await stubs.stock.ListFeeds(stock_service_pb2.ListFeedsRequest(page_size=1), timeout=5)
    except grpc.aio.AioRpcError:
        return False
    return True
