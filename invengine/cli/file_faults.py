"""What is wrong with a file, in a few words that go behind its name and a colon."""

from __future__ import annotations

import csv
import zlib
from typing import Final

UNREADABLE: Final = (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error)
"""What reading a text file, packed or not, may raise."""


def problem_of(fault: Exception) -> str:
    """Why a file could not be read or written: `No such file or directory`, `byte 7 is not UTF-8`."""
    if isinstance(fault, UnicodeDecodeError):
        return f"byte {fault.start} is not UTF-8"
    if isinstance(fault, EOFError | zlib.error):
        return "the packed file is damaged or cut off"
    if isinstance(fault, OSError):
        return fault.strerror or str(fault)  # gzip.BadGzipFile has no number, and words of its own
    return str(fault)
