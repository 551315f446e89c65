"""The server of the demo: `invengine serve` that also ends when the process that started it is gone.

Run as `python -m invengine.cli.demo_server FOLDER` with a pipe as stdin; the end of the pipe is the end of the server.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def address_in(folder: Path) -> str:
    """Where the demo's server with this folder listens."""
    return f"unix:{folder / 'engine.sock'}"


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main(folder: Path) -> None:
    """Serve until stdin ends."""
    from invengine import bootstrap
    from invengine.settings import Settings

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    settings = Settings.load(
        listen=(address_in(folder),),
        metrics_listen="",
        data_dir=folder / "data",
        redis_url="",
        log_level="WARNING",
        reflection=False,
    )
    bootstrap.serve(settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
