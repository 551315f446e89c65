"""The bytes of a file, plain or gzip, or of the standard input; as often as they are wanted, from the beginning."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

STDIN: Final = Path("-")
_GZIP_MAGIC: Final = b"\x1f\x8b"


class PackedFile:
    """A file, or for `-` the standard input. Use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spooled: IO[bytes] | None = None

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._spooled is not None:
            self._spooled.close()

    @contextmanager
    def content(self) -> Iterator[IO[bytes]]:
        """The bytes of the file, from its beginning, unpacked."""
        with self._opened() as raw:
            is_packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not is_packed:
                yield raw
                return
            with gzip.open(raw) as unpacked:
                yield unpacked  # type: ignore[misc]  # a file of bytes like the other

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if self.path != STDIN:
            with self.path.open("rb") as raw:
                yield raw
            return
        if self._spooled is None:  # it is read more than once, and may be larger than memory
            self._spooled = tempfile.TemporaryFile()  # noqa: SIM115  # closed at the end of the `with` block
            shutil.copyfileobj(sys.stdin.buffer, self._spooled)
            self._spooled.flush()
        with os.fdopen(os.dup(self._spooled.fileno()), "rb") as raw:
            raw.seek(0)
            yield raw
