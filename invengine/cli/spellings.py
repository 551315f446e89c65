"""Words of the command line that were written another way once: they are still understood, and not shown.

Arguments are put into the words of today before they are read, so no command knows about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

COMMANDS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("lanes",): ("lane",),
    ("stock", "feeds"): ("feed", "list"),
    ("export", "positions"): ("stock", "export"),
    ("export", "history"): ("ledger", "export"),
}
"""The words that a command, or a group of commands, began with, and those of today."""

EVERYWHERE: Final[Mapping[str, str]] = {"--timeout": "--timeout-seconds", "--most": "--limit"}
"""Options of many commands."""

OPTIONS: Final[Mapping[tuple[str, ...], Mapping[str, str]]] = {
    ("demo",): {"--seconds": "--measure-seconds"},
    ("explain",): {"--reservations": "--limit"},
    ("load",): {"--state": "--state-file"},
    ("profile", "activate"): {"--by": "--actor"},
    ("profile", "deactivate"): {"--by": "--actor"},
    ("profile", "put"): {"--by": "--actor"},
    ("promise",): {"--from": "--location", "--within": "--within-km"},
    ("rebalance",): {"--days": "--days-max", "--from": "--from-location", "--to": "--to-location"},
    ("reservation", "list"): {"--channel": "--of-channel"},
    ("reservation", "rebind"): {"--group": "--to-group", "--location": "--to-location"},
    ("watch",): {"--for": "--for-seconds", "--resume": "--resume-token"},
    ("whatif",): {"--orders-max": "--limit"},
}
"""Options of one command, named by its words of today."""


def in_words_of_today(arguments: Sequence[str]) -> list[str]:
    """The arguments of the program, with what was renamed under its name of today."""
    current = list(arguments)
    start = next((place for place, word in enumerate(current) if not word.startswith("-")), len(current))
    for old, new in COMMANDS.items():
        if tuple(current[start : start + len(old)]) == old:
            current[start : start + len(old)] = new
            break
    words = tuple(current[start : start + 2])
    renamed = {**EVERYWHERE, **OPTIONS.get(words[:1], {}), **OPTIONS.get(words, {})}
    end = current.index("--") if "--" in current else len(current)
    for place in range(start, end):
        name, equals, value = current[place].partition("=")
        if name in renamed:
            current[place] = renamed[name] + equals + value
    return current
