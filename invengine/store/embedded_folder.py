"""The data folder of an embedded Redis: made, locked, and cleared of what a killed engine left behind.

lock             held with flock by the engine that uses the folder; holds its process id
redis.conf       written anew at every start
redis.log        the server's own words
redis.pid        process id of the server, written by the server
redis.socket     path of the server's socket, while an engine uses the folder
appendonlydir/   the data
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

SOCKET_PATH_BYTES = 103  # 104 with the ending zero on macOS, 108 on Linux
LOG_BYTES = 10 * 1024 * 1024
FORMER_SECONDS = 10.0
POLL_SECONDS = 0.02


class EmbeddedError(Exception):
    """The embedded Redis cannot be used; the text is a sentence for the operator."""


class FolderUnusable(EmbeddedError):
    """The data folder cannot be made, written or locked."""


class DataFolder:
    """One data folder, from `take` to `give_back` this process's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        # Names the folder in the socket's path, and so in the server's command line, whatever its own path is.
        self.mark = f"invengine-{os.getuid()}-{hashlib.sha256(bytes(self.path)).hexdigest()[:16]}"
        self._lock: int | None = None
        self._socket_folder: Path | None = None

    @property
    def config_file(self) -> Path:
        """Path of the server's configuration."""
        return self.path / "redis.conf"

    @property
    def log_file(self) -> Path:
        """Path of the server's log."""
        return self.path / "redis.log"

    @property
    def pid_file(self) -> Path:
        """Path of the file into which the server writes its process id."""
        return self.path / "redis.pid"

    @property
    def socket_file(self) -> Path:
        """Path of the file that says where the socket is."""
        return self.path / "redis.socket"

    @property
    def socket(self) -> Path:
        """Path of the server's unix socket; only while the folder is taken."""
        if self._socket_folder is None:
            raise RuntimeError("the data folder is not taken")
        return self._socket_folder / "redis.sock"

    async def take(self) -> None:
        """Make the folder, lock it, and end a server that still runs in it; FolderUnusable says why not."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._locked()
            await self._end_former_server()
            for left in self.path.glob("temp-*"):  # of a rewrite that was cut short
                left.unlink(missing_ok=True)
            if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
            self._socket_folder = self._private_short_folder()
            self.socket_file.write_text(str(self.socket), errors="surrogateescape")
        except OSError as error:
            self.give_back()
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {error}") from error
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Let other engines use the folder; safe to repeat."""
        if self._socket_folder is not None:
            with suppress(OSError):  # best effort: an empty private folder harms nobody
                (self._socket_folder / "redis.sock").unlink(missing_ok=True)
                self._socket_folder.rmdir()
                self.socket_file.unlink(missing_ok=True)
            self._socket_folder = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def log_tail(self, since: int = 0, lines: int = 12) -> str:
        """The last lines of the server's log, of what it wrote after its first `since` bytes."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(since, self.log_file.stat().st_size - 32768))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _locked(self) -> int:
        """An open descriptor that holds the folder's lock; the kernel frees it with the process, however it ends."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            who = f"process {holder}" if holder else "another process"
            raise FolderUnusable(
                f"the data folder {self.path} is in use by {who}: stop that engine, or give this one a folder of "
                "its own with INVENGINE_DATA_DIR"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    async def _end_former_server(self) -> None:
        """End the server of an engine that was killed, where the kernel did not: two on one folder would ruin it."""
        pid = self._former_server()
        if pid is None:
            return
        log.warning("the Redis of a former engine (process %d) still runs in %s: ending it", pid, self.path)
        for sign, seconds in ((signal.SIGTERM, FORMER_SECONDS), (signal.SIGKILL, FORMER_SECONDS)):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._former_server() == pid:  # noqa: ASYNC110  # not our child: nobody signals its end
                        await asyncio.sleep(POLL_SECONDS)
                return
        raise FolderUnusable(f"the former Redis of {self.path}, process {pid}, does not end: stop it")

    def _former_server(self) -> int | None:
        """Process id of a server that runs in this folder; a process that only inherited the number is not one."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if self.mark in _command_line(pid) else None

    def _private_short_folder(self) -> Path:
        """A folder of this user alone whose path leaves room for a socket name: data folders' paths may be too long."""
        for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108  # checked below
            if not parent or not os.access(parent, os.W_OK | os.X_OK):
                continue
            folder = Path(parent).absolute() / self.mark
            if len(bytes(folder / "redis.sock")) > SOCKET_PATH_BYTES:
                continue
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
                return folder
            # Somebody else took the name in a folder open to all.
            return Path(tempfile.mkdtemp(prefix=f"{self.mark}-", dir=parent))
        raise FolderUnusable("no writable temporary folder with a path short enough for a unix socket: set TMPDIR")


def _command_line(pid: int) -> str:
    """The command line of a process; empty when it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout
