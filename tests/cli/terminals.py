"""A terminal without a screen: a program at a pseudo-terminal, what it shows, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pyte


class Terminal:
    """`invengine ...` at a terminal of some size. Use it in a `with` block."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NO_COLOR", "FORCE_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "invengine", *arguments],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)},
            start_new_session=True,
        )
        os.close(inner)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        os.close(self._fd)

    def shown(self) -> str:
        """What stands on the screen, its lines without blanks at their ends."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._fd, keys.encode())

    def until(self, is_there: Callable[[str], bool], *, seconds: float = 120.0) -> str:
        """The screen once it shows what is waited for; AssertionError with what it shows when it never does."""
        given_up_at = time.monotonic() + seconds
        while not is_there(self.shown()):
            assert time.monotonic() < given_up_at, self.shown()
            self._read()
        return self.shown()

    def ended(self, *, seconds: float = 120.0) -> int:
        """The exit code, once the program has ended."""
        given_up_at = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < given_up_at, self.shown()
            self._read()
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self._fd], [], [], 0.1)[0]:
            try:
                self._stream.feed(os.read(self._fd, 65536))
            except OSError:  # the program has ended
                self.process.wait(10)
