"""The command line of invengine. `main` is the entry point; nothing heavy is imported before a command needs it."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name."""
    if "--no-color" in sys.argv:
        os.environ["NO_COLOR"] = "1"  # also for help and errors, which are printed before any option is read
    from invengine.cli.app import app

    app()
