"""The pages say what is so: commands, exit codes, settings, metrics."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest

from invengine.cli.exits import ExitCode
from invengine.settings import Settings
from tests.cli.servers import CommandLine
from tests.cli.test_help import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_are_shown_exist(name: str) -> None:
    shown = re.findall(r"(?:^ {4}|`|\$ )invengine ([a-z][a-z -]*)", page(name), flags=re.MULTILINE)
    for words in shown:
        first, second, *_ = [*words.split(), "", ""]
        assert (first,) in COMMANDS or (first, second) in COMMANDS, words


def examples(name: str) -> list[list[str]]:
    """The commands in the blocks of a page, up to a pipe or a comment."""
    lines = re.findall(r"^ {4,}(?:\$ )?invengine ([a-z].*)$", page(name), flags=re.MULTILINE)
    return [re.split(r" [|>&;#]", line)[0].split() for line in lines]


@pytest.mark.parametrize("name", [name for name in PAGES if name != "docs/commands.md"])
def test_commands_that_are_shown_can_be_typed(name: str) -> None:
    """With the options and kinds of arguments that they have; nothing is run."""
    for words in examples(name):
        path = next(path for path in (tuple(words[:2]), tuple(words[:1])) if path in COMMANDS)
        COMMANDS[path].make_context(" ".join(path), shlex.split(" ".join(words[len(path) :])))


def test_an_order_goes_as_its_page_says(invengine: CommandLine) -> None:
    """The commands are run, and print what stands below them."""
    text = page("docs/cli.md").split("## An order, from its stock to its shipment")[1].split("\n## ")[0]
    steps = re.findall(r"^ {4}\$ invengine (.*)\n((?: {4}[^$ ].*\n)*)", text, flags=re.MULTILINE)
    assert len(steps) == 7
    for words, printed in steps:
        shown = invengine.run(*shlex.split(words)).stdout
        assert textwrap.dedent(printed) in shown, words


def test_every_command_is_on_its_page() -> None:
    text = page("docs/cli.md")
    for path in COMMANDS:
        *group, name = path
        rows = [row for row in text.splitlines() if row.startswith("| `" + " ".join([*group, ""]).lstrip())]
        assert any(re.search(rf"[` ]{name}[` ]", row) for row in rows), path


def test_the_exit_codes_are_listed() -> None:
    assert re.findall(r"^\| (\d+) \|", page("docs/cli.md"), flags=re.MULTILINE) == [str(int(code)) for code in ExitCode]


def test_every_setting_is_listed_and_no_other() -> None:
    listed = re.findall(r"^\| `(INVENGINE_\w+)`", page("docs/operations.md"), flags=re.MULTILINE)
    assert listed == [f"INVENGINE_{name.upper()}" for name in Settings.model_fields]


def test_the_defaults_of_numbers_and_addresses_are_told() -> None:
    rows = re.findall(r"^\| `INVENGINE_(\w+)` \| ([^|]+) \|", page("docs/operations.md"), flags=re.MULTILINE)
    told = {name.lower(): text.strip().strip("`") for name, text in rows}
    for name, field in Settings.model_fields.items():
        default = field.default
        if name == "message_bytes_max":
            default = f"{default // 2**20} MiB"
        if isinstance(default, bool):
            default = str(default).lower()
        if isinstance(default, tuple):
            default = ",".join(default)
        if isinstance(default, int | float):
            default = f"{default:,.0f}" if default == int(default) else f"{default}"
        if isinstance(default, str) and default:
            assert told[name] == default, name


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/monitoring.md"])
def test_the_metrics_that_are_named_are_served(name: str) -> None:
    """All of them are in docs/metrics.md, which is written from what is served: tests/monitoring/test_scrape.py."""
    named = set(re.findall(r"`((?:invengine|grpc)_\w+)`", page(name)))
    assert named - set(re.findall(r"`(\w+)`", page("docs/metrics.md"))) == set()
