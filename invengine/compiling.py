"""The first start on a machine compiles the kernels: two processes need little more than half the time of one.

Whoever imports the kernels does so inside `in_company`. When that takes longer than loading compiled ones does, a
second process begins at the other end of their modules; what one has compiled the other finds in the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

QUIET_SECONDS: Final = 4.0
"""Loading compiled kernels takes less."""

KERNELS: Final = Path(__file__).with_name("kernels")


def _nothing() -> None:
    """Nobody wants to be told."""


@contextmanager
def in_company(on_begin: Callable[[], None] = _nothing) -> Iterator[None]:
    """Helps with the kernels that are imported inside; `on_begin` is called when they turn out to be compiled."""
    helpers: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        on_begin()
        if (os.cpu_count() or 1) > 1:
            command = [sys.executable, "-c", "from invengine import compiling; compiling.help_from_the_end()"]
            helpers.append(
                subprocess.Popen(  # noqa: S603  # our own interpreter and words
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )

    timer = threading.Timer(QUIET_SECONDS, begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for helper in helpers:
            helper.kill()
            helper.communicate()


def help_from_the_end() -> None:
    """Compiles the modules of the kernels, the last first; ends at once when its input ends, with who asked for it."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    import importlib
    import types

    package = types.ModuleType("invengine.kernels")  # without its own code, which would import the first ones first
    package.__path__ = [str(KERNELS)]
    sys.modules[package.__name__] = package
    cache = importlib.import_module("invengine.kernels.cache")
    with cache.kernel_cache(KERNELS):
        for source in sorted(KERNELS.glob("[!_]*.py"), reverse=True):
            importlib.import_module(f"invengine.kernels.{source.stem}")


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)
