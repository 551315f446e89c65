"""Becomes a Redis server that ends with the process that asked for it, even when that one is killed outright.

Run as a file by a bare interpreter (`python -I -S child.py PARENT_PID PROGRAM ARGUMENT...`): between fork and exec no
Python code of a process with threads is safe to run, so the asking for the signal is done here, in a process of its
own, which then turns into PROGRAM. Where the kernel has no such signal (macOS) the next start clears away what a killed
engine left (`embedded.py`).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with(parent: int) -> None:
    """Ask for SIGKILL at the parent's death; SystemExit when it is dead already."""
    if sys.platform == "linux":
        # SIGKILL, not SIGTERM: a busy or loading server answers late to the polite one, and what it has acknowledged
        # is with the kernel already, so nothing is lost.
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:  # it died before we asked: the signal will never come
            raise SystemExit(f"process {parent} ended before its child began")


def main() -> None:
    """Become the program that ends with its parent."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    end_with(parent)
    os.execv(program[0], program)  # noqa: S606  # no shell, on purpose


if __name__ == "__main__":
    main()
