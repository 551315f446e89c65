"""Runs a command; fails with it, and also when it leaves a process running (which is then ended).

    python3 .ci/alone.py COMMAND ARGUMENT...

On Linux orphans of the command become children of this process, whatever session they moved to, so none hides.
Elsewhere the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
END_SECONDS = 5.0  # what was told to end may need a moment


def children() -> dict[int, str]:
    """Process id and command line of every child that runs or waits to be reaped."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == os.getpid():
                found[int(stat.parent.name)] = (
                    (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def reap() -> bool:
    """Take in the children that have ended; whether any still runs."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def main() -> int:
    """Run the command of the command line."""
    if sys.platform != "linux":
        return subprocess.call(sys.argv[1:])  # noqa: S603  # what CI asked for
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("prctl(PR_SET_CHILD_SUBREAPER) failed")
    status = subprocess.call(sys.argv[1:])  # noqa: S603  # as above
    deadline = time.monotonic() + END_SECONDS
    while reap() and time.monotonic() < deadline:
        time.sleep(0.05)
    left = False
    while reap():  # ending one may hand us its children
        left = True
        for pid, command in children().items():
            print(f"left running by {' '.join(sys.argv[1:])}: process {pid}: {command}", file=sys.stderr)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return status or int(left)


if __name__ == "__main__":
    raise SystemExit(main())
