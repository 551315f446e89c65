"""A CSV file of what a location had, row by row. Rows are numbered as a spreadsheet does: the header is row 1."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invengine.cli.file_faults import UNREADABLE, problem_of
from invengine.cli.movement_file import BadRow, FileUnreadable
from invengine.cli.text_file import text_of
from invengine.domain.identifiers import identifier_problem
from invengine.domain.stock import UNITS_MAX

if TYPE_CHECKING:
    from invengine.client import SnapshotRow

_REQUIRED: Final = ("sku", "quantity")
_OPTIONAL: Final = ("state",)


def read_rows(path: Path) -> Iterator[tuple[int, SnapshotRow | BadRow]]:
    """Every data row with its number, or what is wrong with it. FileUnreadable."""
    try:
        yield from _parsed(path, csv.reader(io.StringIO(text_of(path), newline=""), strict=True))
    except UNREADABLE as error:
        raise FileUnreadable(f"{path}: {problem_of(error)}") from None


def read_order_refs(path: Path) -> list[str]:
    """The order references of a file, one a line; empty lines are passed over. FileUnreadable."""
    try:
        lines = text_of(path).splitlines()
    except UNREADABLE as error:
        raise FileUnreadable(f"{path}: {problem_of(error)}") from None
    for number, line in enumerate(lines, 1):
        if line and (problem := identifier_problem(line)):
            raise FileUnreadable(f"{path}: line {number}: {problem}")
    return [line for line in lines if line]


def _parsed(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, SnapshotRow | BadRow]]:
    columns = next(reader, [])
    missing = [name for name in _REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in _REQUIRED + _OPTIONAL]
    if missing or unknown or len(set(columns)) != len(columns):
        fault = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown) or 'one name'} not understood"
        raise FileUnreadable(
            f"{path}: the header names the columns: {', '.join(_REQUIRED)}, and where wanted {_OPTIONAL[0]}; {fault}"
        )
    seen: dict[tuple[str, str], int] = {}
    for row, values in enumerate(reader, 2):
        if not values:  # an empty line
            continue
        if len(values) != len(columns):
            yield row, BadRow(f"row {row}: {len(values)} columns, the header has {len(columns)}")
            continue
        yield row, _row(row, dict(zip(columns, values, strict=True)), seen)


def _row(row: int, values: dict[str, str], seen: dict[tuple[str, str], int]) -> SnapshotRow | BadRow:
    from invengine.client import SnapshotRow

    sku, quantity, state = values["sku"], values["quantity"], values.get("state", "")
    if problem := identifier_problem(sku):
        return BadRow(f"row {row}, column sku: {problem}")
    if not (quantity.isascii() and quantity.isdigit()):
        return BadRow(f"row {row}, column quantity: {quantity!r} is not a whole number of units")
    if len(quantity) > 16 or int(quantity) > UNITS_MAX:
        return BadRow(f"row {row}, column quantity: {quantity} is outside 0 to {UNITS_MAX}")
    if state and (problem := identifier_problem(state)):
        return BadRow(f"row {row}, column state: {problem}")
    first = seen.setdefault((sku, "" if state == "on_hand" else state), row)
    if first != row:
        return BadRow(f"row {row}, column sku: {sku} is in row {first} already")
    return SnapshotRow(sku=sku, quantity=int(quantity), state=state)
