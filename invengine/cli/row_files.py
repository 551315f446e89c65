"""Rows into files, as they come: CSV, or Parquet with typed columns. A file appears when it is complete, else never.

An instant is a number of milliseconds since 1970, UTC; in CSV it is written as ISO 8601.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

STDOUT: Final = "-"
ROWS_A_GROUP: Final = 20_000
"""Rows of a row group of a Parquet file: what is kept in memory."""

Row = Sequence[Any]


class Kind(Enum):
    """What a column holds."""

    TEXT = auto()
    WHOLE = auto()
    INSTANT = auto()


Columns = Sequence[tuple[str, Kind]]


class ParquetMissing(Exception):
    """Parquet files cannot be written here; the message says what to install."""


class Rows(Protocol):
    """A file that takes rows."""

    def write(self, row: Row) -> None:
        """Adds a row."""


class CsvRows:
    """CSV with a header line."""

    def __init__(self, stream: TextIO, columns: Columns) -> None:
        self._instants = [place for place, (_, kind) in enumerate(columns) if kind is Kind.INSTANT]
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow([name for name, _ in columns])

    def write(self, row: Row) -> None:
        """Adds a row."""
        cells = list(row)
        for place in self._instants:
            cells[place] = iso(cells[place])
        self._writer.writerow(cells)


class ParquetRows:
    """Parquet, a row group at a time."""

    def __init__(self, path: Path, columns: Columns) -> None:
        pa, parquet = _pyarrow()
        types = {Kind.TEXT: pa.string(), Kind.WHOLE: pa.int64(), Kind.INSTANT: pa.timestamp("ms", tz="UTC")}
        self._pa = pa
        self._schema = pa.schema([pa.field(name, types[kind], nullable=False) for name, kind in columns])
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        """Adds a row."""
        self._rows.append(row)
        if len(self._rows) == ROWS_A_GROUP:
            self._write_group()

    def close(self, *, is_complete: bool) -> None:
        """Writes what is left where the file `is_complete`, and closes it."""
        if is_complete and self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        arrays = [
            self._pa.array(values, type=field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []


@contextmanager
def written(file: str, columns: Columns, *, as_parquet: bool) -> Iterator[Rows]:
    """Takes rows for a file, or for stdout. A file appears when the block ends well. ParquetMissing, OSError."""
    if file == STDOUT:
        yield CsvRows(sys.stdout, columns)
        return
    path = Path(file)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if as_parquet:
            parquet = ParquetRows(part, columns)
            try:
                yield parquet
            except BaseException:
                parquet.close(is_complete=False)
                raise
            parquet.close(is_complete=True)
        else:
            with part.open("w", encoding="utf-8", newline="") as stream:
                yield CsvRows(stream, columns)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def milliseconds(instant: Timestamp) -> int:
    """A proto Timestamp as milliseconds since 1970."""
    return instant.seconds * 1000 + instant.nanos // 1_000_000


def iso(moment_ms: int) -> str:
    """An instant as `2026-01-31T09:30:00.000Z`."""
    seconds, rest = divmod(moment_ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_parquet() -> None:
    """Checks that Parquet can be written here, before anything is asked. ParquetMissing."""
    _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ParquetMissing("Parquet needs pyarrow: pip install 'invengine[parquet]'. CSV needs nothing.") from None
    return pyarrow, parquet
