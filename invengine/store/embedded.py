"""The Redis that the engine starts itself when it is given no other: a child process on a private unix socket.

Its data folder is kept: what was acknowledged is there again at the next start. One engine at a time uses a folder.
The server ends with the engine, however that ends, and is started again when it dies on its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from invengine.store.embedded_binary import ServerBinary, find_server
from invengine.store.embedded_folder import DataFolder, EmbeddedError

log = logging.getLogger(__name__)

CHILD = Path(__file__).with_name("child.py")
ANSWER_SECONDS = 30.0  # a started server answers in 0.05 s, if only that it is loading
POLL_SECONDS = 0.01
BACKOFF_SECONDS = (0.05, 5.0)  # first, longest
FREE_BYTES_MIN = 1 << 20  # of a disk that still takes writes
STEADY_SECONDS = 60.0  # a server that lived so long starts the backoff anew
# Words of a server that will not start on these data however often it is asked (the folder needs a person).
REFUSES_DATA = (
    "reading the append only file",
    "Fatal error loading the DB",
    "Can't handle RDB format version",
    "AOF manifest",
    "Wrong signature",
)


class RedisFailed(EmbeddedError):
    """The server did not start; `tail` is the end of its log."""

    def __init__(self, sentence: str, tail: str) -> None:
        super().__init__(f"{sentence}; the end of its log:\n{tail}" if tail else sentence)
        self.tail = tail

    @property
    def refuses_data(self) -> bool:
        """Whether it will refuse for ever, since its data cannot be read."""
        return any(words in self.tail for words in REFUSES_DATA)


class EmbeddedRedis:
    """A supervised server. Start it from the main thread: on Linux the child ends with the thread that started it.

    on_restart   called each time that a server which died is serving again
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        server: Path | None = None,
        durability: Literal["always", "everysec"] = "always",
        stop_seconds: float = 20.0,
        on_restart: Callable[[], None] | None = None,
    ) -> None:
        self._folder = DataFolder(data_dir)
        self._explicit_server = server
        self._durability = durability
        self._stop_seconds = stop_seconds
        self._on_restart = on_restart
        self._binary: ServerBinary | None = None
        self._process: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[RedisFailed] | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the server, None when none was started."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        """What redis-py's from_url takes; only while started."""
        return f"unix://{quote(str(self._folder.socket))}"

    async def start(self) -> str:
        """Start the server and return its url once it serves; loading much data takes as long as it takes.

        Raises EmbeddedError (FolderUnusable, ServerNotFound, RedisFailed); then nothing runs and nothing is locked.
        """
        if self._supervisor is not None:
            raise RuntimeError("the embedded Redis is started already")
        await self._folder.take()
        try:
            self._binary = await asyncio.to_thread(find_server, self._explicit_server)
            self._write_config()
            log.info("starting %s on %s", self._binary, self._folder.path)
            await self._launch()
        except BaseException:
            await self._end_process()
            self._folder.give_back()
            raise
        self._broken = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(), name="embedded-redis")
        self._supervisor.add_done_callback(self._supervisor_ended)
        return self.url

    async def stop(self) -> None:
        """End the server cleanly (killed when it takes longer than `stop_seconds`), free the folder; safe to repeat."""
        try:
            if self._supervisor is not None:
                self._supervisor.cancel()
                await asyncio.wait({self._supervisor})
                self._supervisor = None
        finally:
            await self._end_process()
            self._folder.give_back()

    async def broken(self) -> RedisFailed:
        """Wait until the server cannot be started again (its data cannot be read), and say why."""
        if self._broken is None:
            raise RuntimeError("the embedded Redis is not started")
        return await asyncio.shield(self._broken)

    def config(self) -> dict[str, str]:
        """The server's settings: reachable by nothing but its socket, every write on disk before it is answered."""
        return {
            "port": "0",
            "unixsocketperm": "700",
            "daemonize": "no",
            "databases": "1",
            "dir": str(self._folder.path),
            "pidfile": str(self._folder.pid_file),
            "logfile": str(self._folder.log_file),
            "loglevel": "notice",
            "proc-title-template": "{title} {unixsocket} {config-file}",
            "appendonly": "yes",
            "appendfsync": self._durability,
            "aof-load-truncated": "yes",  # the last command of a power cut was never acknowledged
            "auto-aof-rewrite-min-size": "256mb",  # reading back a raw log is slower than serving was: cap it
            "save": "",
            "repl-diskless-sync-delay": "0",  # a back-up is taken at once
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-entries": "256",  # a SKU in 256 places still costs 18 bytes a position
            "hash-max-listpack-value": "512",
            "busy-reply-threshold": "250",  # ms
        }

    def _write_config(self) -> None:
        lines = [f"{name} {_quoted(value)}\n" for name, value in self.config().items()]
        descriptor = os.open(self._folder.config_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(["# Written by invengine at every start.\n", *lines])

    async def _launch(self) -> None:
        """Start the process and wait until it serves; RedisFailed when it ends before or never answers."""
        assert self._binary is not None
        folder = self._folder
        with open(folder.log_file, "ab") as output:  # noqa: ASYNC230  # also takes complaints about the settings
            logged = output.tell()
            self._process = await asyncio.create_subprocess_exec(
                # -I -S: nothing of the environment or of site-packages runs in the child.
                *(sys.executable, "-I", "-S", str(CHILD), str(os.getpid())),
                *(str(self._binary.path), str(folder.config_file), "--unixsocket", str(folder.socket)),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in a terminal is for the engine, which stops its server last
            )
        ended = asyncio.create_task(self._process.wait())
        try:
            await self._serving(ended, logged)
        finally:
            ended.cancel()

    async def _serving(self, ended: asyncio.Task[int], logged: int) -> None:
        """Wait until the server answers PONG."""
        loop = asyncio.get_running_loop()
        deadline, told = loop.time() + ANSWER_SECONDS, loop.time()
        while True:
            answer = await self._ping()
            if answer.startswith(b"+PONG"):
                return
            if answer:  # -LOADING: as long as it takes
                deadline = loop.time() + ANSWER_SECONDS
                if loop.time() - told > 5:
                    told = loop.time()
                    log.info("Redis is loading its data")
            await asyncio.wait({ended}, timeout=POLL_SECONDS)
            if ended.done():
                raise RedisFailed(
                    f"{self._binary} ended with status {ended.result()} while starting on {self._folder.path}",
                    self._folder.log_tail(logged),
                )
            if loop.time() > deadline:
                raise RedisFailed(f"{self._binary} does not answer on its socket", self._folder.log_tail(logged))

    async def _ping(self) -> bytes:
        """The answer to PING, empty when nobody listens or answers within a second."""
        writer = None
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_unix_connection(self._folder.socket)
                writer.write(b"PING\r\n")
                return await reader.readline()
        except (OSError, TimeoutError):
            return b""
        finally:
            if writer is not None:
                writer.close()

    async def _supervise(self) -> None:
        """Start the server again whenever it ends, until its data cannot be read."""
        assert self._process is not None
        assert self._broken is not None
        loop = asyncio.get_running_loop()
        delay, began = BACKOFF_SECONDS[0], loop.time()
        while True:
            status = await self._process.wait()
            if loop.time() - began > STEADY_SECONDS:
                delay = BACKOFF_SECONDS[0]
            log.error(
                "the embedded Redis ended with status %s%s: starting it again in %.2f s", status, self._why(), delay
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF_SECONDS[1])
            try:
                await self._launch()
            except (RedisFailed, OSError) as failed:
                await self._end_process()
                log.error("the embedded Redis did not come back: %s", failed)
                if isinstance(failed, RedisFailed) and failed.refuses_data:
                    self._broken.set_result(failed)
                    return
                continue
            began = loop.time()
            self.restarts += 1
            log.warning("the embedded Redis is back (restart %d)", self.restarts)
            if self._on_restart is not None:
                self._on_restart()

    def _why(self) -> str:
        """What a person must do something about; a full disk takes no last words in the server's log either."""
        if shutil.disk_usage(self._folder.path).free < FREE_BYTES_MIN:
            return f", for there is no space left on the disk of {self._folder.path}"
        return ""

    def _supervisor_ended(self, supervisor: asyncio.Task[None]) -> None:
        """Nobody starts the server again from here on: whoever waits for `broken` must hear of it."""
        if supervisor.cancelled() or (error := supervisor.exception()) is None:
            return
        log.error("the supervisor of the embedded Redis failed", exc_info=error)
        assert self._broken is not None
        self._broken.set_result(RedisFailed(f"the supervisor of the embedded Redis failed: {error!r}", ""))

    async def _end_process(self) -> None:
        """SIGTERM, which Redis takes as SHUTDOWN: it writes out its log; SIGKILL when it does not end in time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            with suppress(ProcessLookupError):  # it ended this moment
                process.terminate()
            async with asyncio.timeout(self._stop_seconds):
                await process.wait()
        except TimeoutError:
            log.warning("the embedded Redis did not end in %.0f s: killing it", self._stop_seconds)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _quoted(value: str) -> str:
    """A value as one word of redis.conf."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
