"""What other processes cost: seconds of CPU, read from the kernel while they run."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system seconds that a process has used so far, all threads; exact to a microsecond."""
    return time.clock_gettime((~pid << 3) | 2)  # the clock id of another process's CPU clock, clock_getcpuclockid(3)


def children(pid: int) -> list[int]:
    """The processes that any thread of `pid` has started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def tree_cpu_seconds(pid: int) -> float:
    """Seconds of a process, of its children that ended, and of those that run; exact to a hundredth."""
    total = 0.0
    for process in (pid, *children(pid)):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a child that ended between the two looks counts with its parent
        total += sum(map(int, fields[11:15] if process == pid else fields[11:13])) / _TICKS
    return total
