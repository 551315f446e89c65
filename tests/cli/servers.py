"""A server of the engine as its own process, and the command line against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
import typer.testing
from typer.testing import CliRunner, Result

from invengine.cli.app import app
from invengine.client import connect
from invengine.errors import NetworkMissing

# The runner makes the whole tree of commands anew for every command, which takes longer than most of them.
typer.testing._get_command = cache(typer.main.get_command)

NETWORK = """\
locations:
  WH1: {kind: warehouse, priority: 10}
  ST1: {kind: store, priority: 50, fulfilments: [ship, pickup]}
  ST2: {kind: store, priority: 60}
  ST3: {kind: store, priority: 70}
  OLD: {kind: store, enabled: false}
groups:
  everywhere: [WH1, ST1, ST2, ST3, OLD]
  stores: [ST1, ST2]
channels:
  web: {groups: [everywhere, stores], low_stock_threshold: 2, time_to_live: {default: 15m, maximum: 2h}}
  till: {groups: [stores]}
  closed: {groups: [stores], enabled: false}
safety_stock:
  - {location: ST2, units: 1}
kits:
  av-set: {av-sofa: 1, av-cushion: 4}
  ex-set: {ex-top: 1, ex-leg: 4}
confidence:
  - {location: ST3, fewer_than: 3, units: 1}
"""


class Server:
    """A server process on a unix socket, with an embedded Redis in `folder`; the caller stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix:{folder / 'engine.sock'}"
        self._log = folder / "server.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "invengine", "serve", "--listen", self.address, "--metrics-listen", ""]
        with self._log.open("ab") as log:
            return subprocess.Popen([*command, "--data-dir", str(self.folder / "data")], stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it answers; AssertionError with its log when it does not."""
        with connect(self.address, timeout_seconds=60, retry_seconds=60) as client:
            try:
                client.get_network()
            except NetworkMissing:
                pass
            except Exception as error:
                raise AssertionError(self._log.read_text()) from error

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Its exit code after the signal."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(timeout=30)


class CommandLine:
    """Runs commands against one server in this process."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._runner = CliRunner(env={"INVENGINE_SERVER": address, "INVENGINE_CHANNEL": None, "NO_COLOR": "1"})

    def run(self, *arguments: str, exit_code: int = 0, stdin: str | None = None) -> Result:
        """One command, which must end with `exit_code`."""
        result = self._runner.invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        """What the command prints on stdout with --json."""
        return json.loads(self.run(*arguments, "--json", exit_code=exit_code).stdout)


def command(*arguments: str, server: str, **environment: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "invengine", *arguments],
        env={**os.environ, "INVENGINE_SERVER": server, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
