"""Help: every command says what it does and gives an example that can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from invengine.cli.app import app


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the tree with its path."""
    for name, entry in (group or typer.main.get_command(app)).commands.items():
        if hasattr(entry, "commands"):
            yield from commands(entry, (*path, name))
        else:
            yield (*path, name), entry


COMMANDS = dict(commands())


def example_of(entry: Any) -> str:
    found = re.search(r"Example: (invengine .*)", entry.help)
    assert found, entry.help
    return found[1]


def test_the_commands_are_these() -> None:
    assert {" ".join(path) for path in COMMANDS} == {
        *(
            "serve",
            "demo",
            "load",
            "check",
            "health",
            "availability",
            "atp",
            "calendar",
            "promise",
            "source",
            "reserve",
            "explain",
            "history",
            "watch",
            "top",
            "broken",
            "repromise",
            "rebalance",
            "whatif",
        ),
        "size",
        *(f"backup {name}" for name in ("make", "verify", "restore")),
        "stock export",
        "ledger export",
        "feed list",
        *(f"token {name}" for name in ("issue", "revoke", "list")),
        *(f"network {name}" for name in ("apply", "show", "check")),
        *(f"lane {name}" for name in ("learn", "report", "list", "show", "forget")),
        *(f"profile {name}" for name in ("list", "show", "put", "activate", "deactivate", "history", "diff")),
        *(f"shortfall {name}" for name in ("list", "resource")),
        *(f"wave {name}" for name in ("plan", "show", "commit")),
        "snapshot apply",
        *(f"stock {name}" for name in ("import", "post", "show", "history")),
        *(f"reservation {name}" for name in ("show", "list", "confirm", "release", "fulfil", "extend")),
        *(f"reservation {name}" for name in ("amend", "rebind", "hand-over")),
        *(f"return {name}" for name in ("receive", "dispose", "show", "list")),
        *(f"incoming {name}" for name in ("set", "slip", "cancel", "receive", "list")),
        *(f"transfer {name}" for name in ("create", "ship", "receive", "cancel", "show", "list")),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_has_help_with_an_example_of_itself(path: tuple[str, ...]) -> None:
    words = shlex.split(example_of(COMMANDS[path]))
    assert words[1 : 1 + len(path)] == list(path)
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    used = {word for word in words if word.startswith("--")}
    assert used <= options


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        if parameter.param_type_name == "option":
            assert getattr(parameter, "help", ""), (path, parameter.opts)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_json_is_everywhere_where_there_is_something_to_print(path: tuple[str, ...]) -> None:
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert ("--json" in options) == (path != ("serve",))


def test_without_arguments_the_help_is_shown() -> None:
    result = CliRunner().invoke(app, [])
    assert "availability" in result.output
    assert result.exit_code == 2


def test_what_is_misspelled_ends_with_2() -> None:
    assert CliRunner().invoke(app, ["stock", "post", "RECEIPT", "A", "B", "1", "--jsn"]).exit_code == 2
    assert CliRunner().invoke(app, ["avail"]).exit_code == 2
