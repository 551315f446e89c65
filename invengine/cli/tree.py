"""The command tree as a whole: it understands older words, and ends quietly where nobody reads on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from invengine.cli.exits import ExitCode
from invengine.cli.spellings import in_words_of_today


class Tree(TyperGroup):
    """The top of the commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments in the words of today."""
        with _ends_when_unread():
            return super().parse_args(ctx, in_words_of_today(args))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        with _ends_when_unread():
            return super().invoke(ctx)


@contextmanager
def _ends_when_unread() -> Iterator[None]:
    """Ends without a word when what reads the output has ended, as `head` does."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered goes nowhere
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
