"""Servers of several workers as processes, what they say of themselves, and which worker a connection is with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

SECONDS = 90.0
"""Until a test gives up: no test is decided by it, and the machine may be busy."""

Key = tuple[str, tuple[tuple[str, str], ...]]


def until(is_so: Callable[[], object], what: str, log: Path | None = None) -> None:
    """Returns when it is so; AssertionError, with the server's log, when it does not come to be."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what}\n{log.read_text() if log else ''}"
        time.sleep(0.02)  # other processes: there is nothing to await


class Server:
    """`invengine serve --workers COUNT` with an embedded Redis in `folder`, on any free ports."""

    def __init__(self, folder: Path, *options: str, workers: int = 2) -> None:
        self.log = folder / "server.log"
        command = [sys.executable, "-m", "invengine", "serve", "--workers", str(workers)]
        command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
        if "--redis-url" not in options:
            command += ["--data-dir", str(folder / "data")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log)

    def _of_log(self, pattern: str) -> str:
        found: list[str] = []

        def is_there() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            found[:] = re.findall(pattern, self.log.read_text())
            return bool(found)

        until(is_there, f"no {pattern} in the log", self.log)
        return found[0]

    @property
    def address(self) -> str:
        """Where its API listens."""
        return self._of_log(r"workers on (\S+);")

    def page(self, path: str) -> tuple[int, str]:
        """A page of the metrics address."""
        try:
            with urllib.request.urlopen(f"http://{self._of_log('metrics on (.+)')}{path}", timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def serving(self) -> dict[int, int]:
        """Process ids of the workers that serve, by their numbers."""
        lines = re.findall(r"worker (\d+) SERVING process (\d+)", self.page("/healthz")[1])
        return {int(number): int(pid) for number, pid in lines}

    def leader(self) -> int:
        """The number of the worker that leads, -1 while none does."""
        found = re.search(r"worker (\d+) SERVING .*leads", self.page("/healthz")[1])
        return int(found[1]) if found else -1

    def wait(self, workers: int = 2) -> None:
        """Until so many serve."""
        until(lambda: len(self.serving()) == workers, "not all workers serve", self.log)

    def samples(self) -> dict[Key, float]:
        """Every sample of /metrics, by name and labels."""
        return {
            (one.name, tuple(sorted(one.labels.items()))): one.value
            for family in text_string_to_metric_families(self.page("/metrics")[1])
            for one in family.samples
        }

    def processes(self) -> set[int]:
        """Its processes, Redis included."""
        return {self.process.pid, *children(self.process.pid)}

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Its exit code after the signal; none of its processes is left."""
        processes = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        status = self.process.wait(timeout=SECONDS)
        until(lambda: not any(map(is_running, processes)), "processes are left", self.log)
        return status


def children(pid: int) -> set[int]:
    """Processes whose parent it is."""
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return set()


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that ended and that nobody has asked about does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def connections(pid: int, port: int) -> set[str]:
    """The callers' ends of the connections that a process has accepted on a port of 127.0.0.1."""
    links = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(os.readlink(descriptor))
        except FileNotFoundError:  # closed meanwhile
            continue
    found = set()
    lines = [
        line for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    for _, local, remote, state, *rest in map(str.split, lines):
        if local.endswith(f":{port:04X}") and state == "01" and f"socket:[{rest[5]}]" in links:
            found.add(remote)
    return found
