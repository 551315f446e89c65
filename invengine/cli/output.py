"""How commands print, in one place: tables for people, CSV and JSON for programs; data to stdout, all else to stderr.

A command says what it has, once: `table` for rows, `tell` for a line beside them, `show_json` for the whole answer,
`say` for a message. What becomes of that depends on how it was called: `--json` prints the answer and no table, `--csv`
the first table and nothing beside it, and without either a table is drawn on a terminal and plain where it is piped.
"""

from __future__ import annotations

import csv as csv_files
import inspect
import io
import json as json_documents
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from invengine.cli.exits import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | int | float

PANEL: Final = "Connection and output"
"""The part of every command's help that lists what all commands share."""

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, with the field names of proto JSON.", rich_help_panel=PANEL)
]
AsCsv = Annotated[
    bool, typer.Option("--csv", help="Print the table as CSV, a header row first.", rich_help_panel=PANEL)
]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; as NO_COLOR.", rich_help_panel=PANEL)]

_UNBOUNDED_WIDTH: Final = 10_000


class Rounded(float):
    """A number that people read as the format says, and programs with all its digits."""

    def __new__(cls, value: float, shown_as: str = ".2f") -> Rounded:
        """The number and the format that people read it in."""
        self = super().__new__(cls, value)
        self._shown_as = shown_as
        return self

    _shown_as: str

    def __str__(self) -> str:
        return format(float(self), self._shown_as)


class Form(Enum):
    """What a command prints."""

    TEXT = auto()
    JSON = auto()
    CSV = auto()


def options(*, has_table: bool) -> list[inspect.Parameter]:
    """The options of output, which every command has after its own."""
    shared: dict[str, Any] = {"json": AsJson, **({"csv": AsCsv} if has_table else {}), "no_color": NoColor}
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in shared.items()
    ]


@dataclass
class _Printing:
    form: Form = Form.TEXT
    has_colour: bool = True
    is_done: bool = False
    """Whether the one table of CSV was printed."""


_printing: Final[ContextVar[_Printing | None]] = ContextVar("printing", default=None)


@contextmanager
def printing(*, json: bool = False, csv: bool = False, no_color: bool = False) -> Iterator[Form]:
    """What is printed in this block is printed in this form. Both at once end the command."""
    if json and csv:
        fail_usage("--json or --csv, not both.")
    form = Form.JSON if json else Form.CSV if csv else Form.TEXT
    before = _printing.set(_Printing(form, not no_color))
    try:
        yield form
    finally:
        _printing.reset(before)


def is_csv() -> bool:
    """Whether the command prints its table as CSV."""
    return _current().form is Form.CSV


def _current() -> _Printing:
    return _printing.get() or _Printing()


def fail_usage(message: str) -> NoReturn:
    """End the command because its arguments or its input cannot be used."""
    say(message)
    raise typer.Exit(ExitCode.USAGE)


def say(message: str) -> None:
    """A message for people, on stderr."""
    typer.echo(message, err=True)


def show_json(value: Any) -> None:
    """One JSON document on stdout; messages by the rules of `render.as_json`."""
    typer.echo(json_documents.dumps(value, indent=2, ensure_ascii=False))


def tell(line: str = "", *, nl: bool = True) -> None:
    """A line beside the tables, on stdout: for people, so CSV has none of it."""
    if _current().form is Form.TEXT:
        typer.echo(line, nl=nl)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    optional: Sequence[str] = (),
    empty: str = "There is nothing to list.",
) -> None:
    """Rows under named columns: drawn on a terminal, aligned plain text where the output is piped, or CSV.

    `optional` columns are left out for people where no row has anything there; CSV always has them. Without a row
    there is no table: people read `empty` on stderr, CSV has its header. Of several tables of a command CSV is the
    first one.
    """
    content = [list(row) for row in rows]
    current = _current()
    if current.form is Form.CSV:
        if not current.is_done:
            current.is_done = True
            write_csv(columns, content)
        return
    if not content:
        if empty:
            say(empty)
        return
    kept = [n for n, column in enumerate(columns) if column not in optional or any(row[n] for row in content)]
    columns, content = [columns[n] for n in kept], [[row[n] for n in kept] for row in content]
    if is_drawn():
        _draw(columns, content)
    else:
        _print_plain(columns, content)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """A header and rows on stdout, quoted by RFC 4180; lines end with LF, as other tools of a pipe expect them.

    Numbers have all their digits.
    """
    typer.echo("".join(map(csv_line, (columns, *rows))), nl=False)


def csv_line(row: Sequence[Cell]) -> str:
    """A row as a line of CSV."""
    line = io.StringIO()
    csv_files.writer(line, lineterminator="\n").writerow(
        [repr(float(cell)) if isinstance(cell, float) else cell for cell in row]
    )
    return line.getvalue()


def is_drawn() -> bool:
    """Whether tables are drawn: on a terminal, or where FORCE_COLOR asks for it."""
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


def is_coloured() -> bool:
    """Whether colours may be used: on a terminal unless NO_COLOR says no, or where FORCE_COLOR says yes."""
    return is_drawn() and _current().has_colour and not os.environ.get("NO_COLOR")


def console() -> Console:
    """The console that draws on stdout. Where that is no terminal (FORCE_COLOR), lines are as long as they need."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNBOUNDED_WIDTH
    colours: Any = "auto" if is_coloured() else None
    return Console(color_system=colours, force_terminal=is_drawn() or None, width=width)


def _draw(columns: Sequence[str], content: list[list[Cell]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="right" if _is_numeric(content, number) else "left")
    for row in content:
        drawn.add_row(*(Text(str(cell)) for cell in row))  # Text: ids may hold square brackets
    console().print(drawn)


def _print_plain(columns: Sequence[str], content: list[list[Cell]]) -> None:
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
