"""The text of a file that a command is given, `-` for the standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

STDIN: Final = "-"


def text_of(file: str | Path) -> str:
    """The whole text, which is UTF-8, with or without a mark in front. OSError, UnicodeDecodeError."""
    raw = sys.stdin.buffer.read() if str(file) == STDIN else Path(file).read_bytes()
    return raw.decode("utf-8-sig")
