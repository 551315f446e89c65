"""The server of the demo: `invengine serve` that also ends when the process that started it is gone.

Run as `python -m invengine.cli.demo_server FOLDER ADDRESS` with a pipe as stdin; the end of the pipe is the end of the
server.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path

from invengine.compiling import in_company

_SOCKET_PATH_BYTES_MAX = 100


def address_for(folder: Path) -> str:
    """Where a demo's server with this folder listens: a socket in it, or a loopback port where its path is too long."""
    path = folder / "engine.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES_MAX:
        return f"unix:{path}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(folder: Path, address: str) -> None:
    """Serve until stdin ends."""
    with in_company():
        from invengine import bootstrap
    from invengine.settings import Settings

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    settings = Settings.load(
        listen=(address,),
        metrics_listen="",
        data_dir=folder / "data",
        redis_url="",
        log_level="WARNING",
        reflection=False,
    )
    bootstrap.serve(settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
