"""The command line is one language: words of options and columns, what every kind of command has, older spellings."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import invengine.cli
from invengine.cli.app import app
from invengine.cli.spellings import COMMANDS as OLD_COMMANDS
from invengine.cli.spellings import EVERYWHERE, OPTIONS, in_words_of_today
from tests.cli import reference
from tests.cli.servers import CommandLine, Server, command
from tests.cli.vocabulary import COMMON, SERVING, WORDS

TREE = dict(reference.commands())
PAGES = list(Path(invengine.cli.__file__).parent.rglob("*.py"))
WRITES = {
    *("reserve", "repromise", "rebalance", "network apply", "lane learn", "lane forget", "stock post"),
    *("profile put", "profile activate", "profile deactivate", "shortfall resource", "wave plan", "wave commit"),
    *(f"reservation {verb}" for verb in ("confirm", "extend", "release", "fulfil", "amend", "rebind", "hand-over")),
    *(f"incoming {verb}" for verb in ("set", "slip", "cancel", "receive")),
    *(f"transfer {verb}" for verb in ("create", "ship", "receive", "cancel")),
    *(f"return {verb}" for verb in ("receive", "dispose")),
    *("token issue", "token revoke"),
}
VALIDATED = {
    "token issue",
    "network apply",
    "lane learn",
    "lane forget",
    "profile put",
    "profile activate",
    "profile deactivate",
}
NO_TABLE = {
    "token issue",
    "token revoke",
    "serve",
    "demo",
    "network show",
    "network check",
    "stock export",
    "ledger export",
    "health",
    *(f"backup {verb}" for verb in ("make", "verify", "restore")),
}


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_options_are_words_of_the_vocabulary(path: tuple[str, ...]) -> None:
    """A word that is not there yet is added with the one thing that it means."""
    if path[0] not in SERVING:
        assert set(reference.options_of(TREE[path])) <= set(COMMON) | set(WORDS)


def test_every_word_is_used_and_no_two_mean_the_same() -> None:
    used = {name for path, entry in TREE.items() if path[0] not in SERVING for name in reference.options_of(entry)}
    assert (set(COMMON) | set(WORDS)) - used == set()
    meanings = [*COMMON.values(), *WORDS.values()]
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_a_command_is_a_word_or_a_noun_and_a_verb(path: tuple[str, ...]) -> None:
    assert len(path) in (1, 2)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", word) for word in path)
    if len(path) == 2:
        assert not path[0].endswith("s"), "nouns are singular"


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_a_table_is_also_csv_and_json(path: tuple[str, ...]) -> None:
    options = set(reference.options_of(TREE[path]))
    assert ("--csv" in options) == (" ".join(path) not in NO_TABLE)
    assert "--json" in options or path == ("serve",)
    assert "--no-color" in options or path == ("serve",)


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_a_write_has_a_name_and_can_be_tried_where_the_server_tries_it(path: tuple[str, ...]) -> None:
    options, words = set(reference.options_of(TREE[path])), " ".join(path)
    assert ("--request-id" in options) == (words in WRITES)
    assert words not in VALIDATED or "--dry-run" in options


def columns_in(path: Path) -> list[str]:
    """The names of columns that stand in a call of `table`, or in a constant of columns."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "table":
            head = node.args[0] if node.args else None
        elif isinstance(node, ast.Assign | ast.AnnAssign) and "COLUMNS" in ast.dump(getattr(node, "target", node)):
            head = node.value
        else:
            continue
        parts = head.elts if isinstance(head, ast.Tuple | ast.List) else []
        for part in parts:
            inner = part.value if isinstance(part, ast.Starred) else part
            texts = inner.elts if isinstance(inner, ast.Tuple | ast.List) else [inner]
            found += [one.value for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return found


def test_columns_have_names_of_fields() -> None:
    named = {name for page in PAGES for name in columns_in(page)}
    assert {"reservation_id", "on_hand", "expected_date", "order_ref"} <= named
    assert {name for name in named if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)} == set()


def test_the_reference_is_that_of_the_program() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.text(), "python -m tests.cli.reference writes it"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lanes list --most 3", "lane list --limit 3"),
        ("--no-color stock feeds", "--no-color feed list"),
        ("export positions a.csv", "stock export a.csv"),
        ("export history a.csv", "ledger export a.csv"),
        ("rebalance --to A --from=B --days 3", "rebalance --to-location A --from-location=B --days-max 3"),
        ("promise LAMP --to DE:1 --from X --within 3", "promise LAMP --to DE:1 --location X --within-km 3"),
        ("reservation rebind r --location A", "reservation rebind r --to-location A"),
        ("check --timeout 3 --most=4", "check --timeout-seconds 3 --limit=4"),
        ("stock post SALE A B 1 -- --most", "stock post SALE A B 1 -- --most"),
    ],
)
def test_older_spellings_are_understood(old: str, new: str) -> None:
    assert in_words_of_today(old.split()) == new.split()


def test_older_spellings_lead_to_what_there_is() -> None:
    groups = {path[:1] for path in TREE}
    assert all(new in TREE or new in groups for new in OLD_COMMANDS.values())
    assert not any(old in TREE for old in OLD_COMMANDS)
    for path, renamed in OPTIONS.items():
        assert set(renamed.values()) <= set(reference.options_of(TREE[path])), path
    assert set(EVERYWHERE.values()) <= set(COMMON) | set(WORDS)


def test_an_older_spelling_runs(invengine: CommandLine) -> None:
    assert invengine.json("stock", "feeds", "--timeout", "5") == invengine.json("feed", "list")


def test_what_is_misspelled_is_suggested(invengine: CommandLine) -> None:
    """By typer for commands and options, by what the server knows for names."""
    runner = CliRunner()
    assert "Did you mean 'reserve'" in runner.invoke(app, ["reservee"]).stderr
    assert "--location" in runner.invoke(app, ["availability", "A", "--locatoin", "B"]).stderr
    invengine.run("stock", "post", "RECEIPT", "la-lamp", "WH1", "1")
    near = {
        ("stock", "show", "la-lmap", "WH1"): "Did you mean la-lamp?",
        ("availability", "LA-LAMP", "--channel", "web"): "Did you mean la-lamp?",
        ("availability", "la-lamp", "--channel", "wbe"): "Did you mean web?",
        ("availability", "la-lamp", "--channel", "web", "--group", "store"): "Did you mean stores?",
        ("stock", "post", "RECEIPT", "la-lamp", "wh1", "1"): "Did you mean WH1",
    }
    for words, told in near.items():
        assert told in invengine.run(*words, exit_code=3).stderr
    assert "Did you mean" not in invengine.run("stock", "show", "zz-unlike", "WH1", exit_code=3).stderr


def test_csv_is_quoted_whole_and_one_table(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "ADJUSTMENT", "la-csv", "WH1", "3", "--reason", 'found, "behind" it')
    printed = invengine.run("stock", "show", "la-csv", "WH1", "--csv").stdout
    assert printed.splitlines()[0] == "sku,location,on_hand,reserved,safety_stock,shortfall,backordered,revision"
    assert printed.splitlines()[1].startswith("la-csv,WH1,3,0,0,0,0,")
    assert '"found, ""behind"" it"' in invengine.run("history", "la-csv", "--csv").stdout
    none = invengine.run("incoming", "list", "--sku", "la-csv", "--csv")
    assert (len(none.stdout.splitlines()), none.stderr) == (1, "")
    assert invengine.run("incoming", "list", "--sku", "la-csv").stdout == ""
    assert "not both" in invengine.run("check", "--csv", "--json", exit_code=2).stderr


def test_a_reader_that_ends_ends_the_command_without_a_word(invengine: CommandLine, engine: Server) -> None:
    """As `| head -1` does: the pipe is closed before anything is written."""
    process = command("feed", "list", "--json", server=engine.address)
    assert process.stdout
    assert process.stderr
    with process.stderr as stderr:
        process.stdout.close()
        assert (process.wait(30), stderr.read()) == (141, "")


def test_ctrl_c_says_how_a_write_is_finished(tmp_path: Path) -> None:
    """Nobody answers at a socket that listens: the write waits until it is cut short."""
    import socket

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        words = ("reserve", "LAMP", "1", "--channel", "web", "--request-id", "la-cut")
        process = command(*words, server=f"unix:{tmp_path / 'silent.sock'}")
        called, _ = silent.accept()
        with called:
            called.recv(1)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.startswith("Interrupted.\nIf it was done is not known: again with --request-id la-cut")


@pytest.mark.parametrize(("no_color", "force", "is_coloured"), [("", "", False), ("1", "1", False), ("", "1", True)])
def test_colours_are_for_terminals_or_on_request(
    invengine: CommandLine, engine: Server, no_color: str, force: str, is_coloured: bool
) -> None:
    invengine.run("stock", "post", "RECEIPT", "la-color", "WH1", "1")
    environment = {name: value for name, value in (("NO_COLOR", no_color), ("FORCE_COLOR", force)) if value}
    done = subprocess.run(
        [sys.executable, "-m", "invengine", "stock", "show", "la-color", "WH1"],
        env={"PATH": os.environ["PATH"], "INVENGINE_SERVER": engine.address, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("\x1b[" in done.stdout) == is_coloured


def test_refusals_in_json_say_what_next(invengine: CommandLine) -> None:
    refused: dict[str, Any] = json.loads(invengine.run("stock", "show", "zz-none", "WH1", "--json", exit_code=3).stderr)
    assert set(refused) == {"reason", "message", "metadata", "advice"}
