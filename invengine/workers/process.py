"""The process of a worker: `invengine.workers.process NUMBER PARENT_PID DESCRIPTOR`, its settings on its input."""

from __future__ import annotations

import gc
import pickle
import socket
import sys

from invengine.compiling import in_company
from invengine.store.child import end_with


def main() -> None:
    """Serves until the supervisor says otherwise, or is gone."""
    number, parent, descriptor = map(int, sys.argv[1:])
    end_with(parent)
    settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # of our supervisor, and of nobody else
    end = socket.socket(fileno=descriptor)
    gc.disable()  # what is imported stays: looking through it for garbage is an eighth of the start
    with in_company():
        from invengine import bootstrap  # which compiles the kernels, or loads them
    gc.enable()
    bootstrap.work(settings, number, end)


if __name__ == "__main__":
    main()
