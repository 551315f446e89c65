"""What a command prints as it happens: a table that is drawn again and again, or lines that are written at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import typer

from invengine.cli.output import Cell, console, csv_line, is_csv

if TYPE_CHECKING:
    from rich.table import Table

Key = tuple[str, str]
Row = tuple[Cell, ...]
Show = Callable[[Mapping[Key, Row], Sequence[Key]], None]
"""Takes all rows by their keys, and which of them are news."""

_DRAWINGS_A_SECOND: Final = 10
_MARGIN_LINES: Final = 5  # of the terminal that are not rows: heading, what is left out, the prompt


def json_line(value: Any) -> None:
    """One JSON document on a line of its own, written at once."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def is_live() -> bool:
    """Whether what changes is drawn again and again: on a terminal, unless CSV is wanted."""
    return sys.stdout.isatty() and not is_csv()


@contextmanager
def lines(columns: Sequence[str]) -> Iterator[Show]:
    """A heading, then a line per row that is news; its values are separated by TAB, or as in CSV."""

    def write(row: Sequence[Cell]) -> None:
        typer.echo(csv_line(row) if is_csv() else "\t".join(map(str, row)) + "\n", nl=False)

    write(columns)

    def show(known: Mapping[Key, Row], news: Sequence[Key]) -> None:
        for key in news:
            write(known[key])

    yield show


@contextmanager
def live_table(columns: Sequence[str]) -> Iterator[Show]:
    """A table of all rows, by key, news drawn bold; as many as the terminal has room for, the newest kept in view."""
    from rich.live import Live

    drawn_on = console()
    changed: dict[Key, None] = {}  # in the order of their last change

    with Live(console=drawn_on, refresh_per_second=_DRAWINGS_A_SECOND) as live:

        def show(known: Mapping[Key, Row], news: Sequence[Key]) -> None:
            for key in news:
                changed.pop(key, None)
                changed[key] = None
            if len(changed) > len(known):
                for key in [key for key in changed if key not in known]:
                    del changed[key]
            room = max(1, drawn_on.size.height - _MARGIN_LINES)
            shown = sorted(islice(reversed(changed), room))
            fresh = {known[key] for key in news}
            live.update(_drawn(columns, [known[key] for key in shown], fresh, len(known) - len(shown)))

        yield show


def _drawn(columns: Sequence[str], rows: Sequence[Row], fresh: set[Row], left_out: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = f"and {left_out} more that did not change lately" if left_out else None
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", caption=caption, caption_justify="left")
    for number, column in enumerate(columns):
        numeric = bool(rows) and isinstance(rows[0][number], int)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text(str(cell), style="bold" if row in fresh else "") for cell in row))  # Text: ids may hold [
    return table
