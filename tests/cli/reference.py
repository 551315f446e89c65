"""Writes docs/commands.md from the command tree and its vocabulary: `python -m tests.cli.reference`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from invengine.cli.app import app
from tests.cli.vocabulary import COMMON, SERVING, WORDS

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """\
# Commands

Every command with what it takes and prints; the words of their options follow. Written from the program itself
(`python -m tests.cli.reference`). [The command line](cli.md) says how they are used together.
"""


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the tree with its path."""
    for name, entry in (group or typer.main.get_command(app)).commands.items():
        if hasattr(entry, "commands"):
            yield from commands(entry, (*path, name))
        else:
            yield (*path, name), entry


def options_of(entry: Any) -> dict[str, Any]:
    """The options of a command by their names."""
    return {
        parameter.opts[0]: parameter
        for parameter in entry.params
        if parameter.param_type_name == "option" and parameter.opts[0] != "--help"
    }


def example_of(entry: Any) -> str:
    """The example in the help of a command."""
    found = re.search(r"Example: (invengine .*)", entry.help)
    assert found, entry.help
    return found[1]


def text() -> str:
    """The page."""
    return "\n".join([HEAD, *_commands(), "## Words of options", "", *_words(), ""])


def _commands() -> Iterator[str]:
    for path, entry in sorted(commands()):
        arguments = " ".join(_placeholder(each) for each in entry.params if each.param_type_name == "argument")
        options = options_of(entry)
        own = [] if path[0] in SERVING else [name for name in options if name not in COMMON]
        forms = [name for name in ("--json", "--csv") if name in options]
        yield f"## {' '.join(path)}"
        yield ""
        yield f"    invengine {' '.join(path)} {arguments}".rstrip()
        yield ""
        yield from _wrapped(" ".join(entry.help.split("\n\n")[0].split()))
        yield ""
        told = [f"Options: {', '.join(f'`{name}`' for name in own)}."] if own else []
        told += [f"Prints {' and '.join(f'`{name}`' for name in forms)}."] if forms else []
        told += [f"Example: `{example_of(entry)}`"]
        yield from _wrapped(" ".join(told))
        yield ""


def _placeholder(argument: Any) -> str:
    name = argument.metavar or argument.name.upper().rstrip("_")
    return name if argument.required or name.startswith("[") or "[" in name else f"[{name}]"


def _words() -> Iterator[str]:
    yield "| Option | Means | Of |"
    yield "|---|---|---|"
    used: dict[str, list[str]] = {}
    for path, entry in sorted(commands()):
        if path[0] not in SERVING:
            for name in options_of(entry):
                used.setdefault(name, []).append(" ".join(path))
    for name, meaning in sorted({**COMMON, **WORDS}.items()):
        where = "every command" if name in COMMON else ", ".join(f"`{one}`" for one in used.get(name, []))
        yield f"| `{name}` | {meaning} | {where} |"


def _wrapped(words: str, width: int = 120) -> Iterator[str]:
    """Lines that break between words, never within code."""
    line = ""
    for word in re.findall(r"`[^`]*`\S*|\S+", words):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".lstrip()
    yield line


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
