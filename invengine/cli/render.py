"""What commands print: tables for people, JSON for programs. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from google.protobuf.message import Message

Cell = str | int | float


def say(text: str) -> None:
    """A message for people, on stderr."""
    typer.echo(text, err=True)


def show_json(value: Any) -> None:
    """One JSON document on stdout; messages by the rules of `as_json`."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def as_json(message: Message) -> dict[str, Any]:
    """The message by the proto JSON mapping, with every field present and int64 as numbers.

    Proto JSON writes int64 as text because a double ends at 2^53; so do our quantities, which makes numbers exact.
    """
    from google.protobuf.json_format import MessageToDict

    fields = MessageToDict(message, always_print_fields_with_no_presence=True)
    return _with_numbers(message, fields)


def _with_numbers(message: Message, fields: dict[str, Any]) -> dict[str, Any]:
    for field in message.DESCRIPTOR.fields:
        if field.json_name not in fields:
            continue
        value = fields[field.json_name]
        if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            fields[field.json_name] = [int(number) for number in value] if field.is_repeated else int(value)
        elif field.message_type is not None and field.message_type.file.package == message.DESCRIPTOR.file.package:
            inner = getattr(message, field.name)
            if field.message_type.GetOptions().map_entry:
                continue
            for part, told in zip(inner, value, strict=True) if field.is_repeated else ((inner, value),):
                _with_numbers(part, told)
    return fields


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Rows for people: drawn on a terminal, aligned plain text with a header line where the output is piped."""
    if sys.stdout.isatty():
        _drawn(columns, rows)
    else:
        _plain(columns, rows)


def _drawn(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, header_style="bold")
    content = [list(row) for row in rows]
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="right" if _is_numeric(content, number) else "left")
    for row in content:
        drawn.add_row(*(Text(str(cell)) for cell in row))  # Text: ids may hold square brackets
    Console(no_color=bool(os.environ.get("NO_COLOR"))).print(drawn)


def _plain(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    content = [list(row) for row in rows]
    widths = [max(len(column), *(len(str(row[n])) for row in content), 0) for n, column in enumerate(columns)]
    numeric = [_is_numeric(content, number) for number in range(len(columns))]
    everything: list[Sequence[Cell]] = [columns, *content]
    for row in everything:
        cells = (
            str(cell).rjust(width) if right else str(cell).ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        typer.echo("  ".join(cells).rstrip())


def _is_numeric(content: list[list[Cell]], column: int) -> bool:
    """Whether a column holds numbers, and nothing else but empty cells."""
    cells = [row[column] for row in content if row[column] != ""]
    return bool(cells) and all(isinstance(cell, int | float) for cell in cells)


def instant(moment: Any) -> str:
    """A proto Timestamp as ISO 8601 in UTC, empty when it is not set."""
    return moment.ToJsonString() if moment.seconds or moment.nanos else ""


def word(name: str, prefix: str) -> str:
    """An enum name without its prefix."""
    return name.removeprefix(prefix)


def counted(number: int, noun: str) -> str:
    """How many of something, as people say it: `1 parcel`, `2 parcels`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
