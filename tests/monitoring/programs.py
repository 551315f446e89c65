"""Programs of Prometheus, where the machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "monitoring"


def program(name: str) -> str:
    """The path of `promtool` or `prometheus`; the test is skipped where it is not installed."""
    variable = f"INVENGINE_{name.upper()}"
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (Debian: prometheus), and {variable} does not name it")
    return found


def promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """What it says of files in docs/monitoring, or of `text`."""
    return subprocess.run(
        [program("promtool"), *arguments], cwd=PAGES, input=text, capture_output=True, text=True, check=False
    )
