"""A server of a release to come: `python -m tests.e2e.newer_server BY serve ...`, its library BY versions newer."""

from __future__ import annotations

import sys

from invengine.cli.app import app
from invengine.store.library import Library
from tests.store.versions import newer

if __name__ == "__main__":
    to_come = newer(int(sys.argv.pop(1)))
    Library.packaged = classmethod(lambda _: to_come)  # type: ignore[method-assign]
    app()
