"""What keeps the code one thing: layers, one word per refusal, a definition per kernel, help with examples."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import invengine
from invengine import errors, kernels
from invengine.domain.incoming import BrokenReason, IncomingKind
from invengine.domain.orders import ReservationState
from invengine.domain.stock import MovementKind

PACKAGE = Path(invengine.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if PACKAGE / "v1" not in path.parents)
LUA = sorted((PACKAGE / "store" / "lua").glob("*.lua"))


def name_of(path: Path) -> str:
    """invengine/store/keys.py -> store/keys.py, the name of a test's case."""
    return str(path.relative_to(PACKAGE))


# --- layers ---------------------------------------------------------------------------------------------------------

# What each part may import of the package, besides itself. `invengine` stands for the version in invengine/__init__.py.
INNER = {"invengine", "errors", "domain"}
SERVER = INNER | {"redis_url", "kernels", "store", "replica", "services", "metric_kinds", "metrics", "settings", "v1"}
MAY_IMPORT = {
    "__init__": set(),
    "compiling": set(),
    "errors": set(),
    "v1": set(),
    "domain": {"errors"},
    "kernels": set(),
    "metric_kinds": set(),
    "metric_rules": set(),
    "metrics": INNER | {"metric_kinds", "server_metrics"},
    "redis_url": set(),
    "server_metrics": set(),
    "service_manager": set(),
    "settings": INNER | {"redis_url"},
    "store": INNER | {"redis_url", "kernels", "metrics", "settings"},
    "replica": INNER | {"kernels", "metrics", "settings", "store"},
    "services": SERVER - {"services"},
    "rpc": SERVER | {"metric_kinds"},
    "client": INNER | {"v1"},
    "cli": INNER | {"compiling", "v1", "client"},
    "workers": INNER | {"compiling", "metric_rules", "server_metrics", "service_manager", "settings", "store", "rpc"},
    "bootstrap": SERVER | {"rpc", "service_manager", "workers"},
    "__main__": {"cli"},
}
# `invengine serve` is the server: its command, and nothing at the top of a module, may reach it. A worker is one, once
# its supervisor knows of it.
INSIDE_A_COMMAND = {"cli": {"bootstrap", "settings", "store", "metrics", "workers"}, "workers": {"bootstrap"}}

# Libraries that belong to some parts only.
LIBRARIES = {
    "redis": {"store", "bootstrap"},
    "hiredis": {"store"},
    "holidays": {"domain"},
    "grpc": {"rpc", "client", "cli", "bootstrap", "v1"},
    "numba": {"kernels"},
    "numpy": {"kernels", "replica", "services", "rpc", "store"},
    "pydantic": {"domain", "settings"},
    "pydantic_settings": {"settings"},
    "prometheus_client": {"metric_kinds", "metrics", "server_metrics", "rpc", "workers", "bootstrap"},
    "opentelemetry": {"rpc"},
    "typer": {"cli"},
    "pyarrow": {"cli"},
    "matplotlib": {"cli"},
    "rich": {"cli"},
    "textual": {"cli"},
    "uvloop": {"bootstrap", "cli"},
}


def imports_of(path: Path) -> Iterator[tuple[str, bool, int]]:
    """Every module that this one imports: its dotted name, whether at the top, the line."""
    tree = ast.parse(path.read_text())
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in inside, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the layer"
            assert node.module is not None
            for alias in node.names if node.module == "invengine" else []:
                is_part = (PACKAGE / alias.name).is_dir() or (PACKAGE / f"{alias.name}.py").exists()
                yield f"invengine.{alias.name}" if is_part else "invengine", node not in inside, node.lineno
            if node.module != "invengine":
                yield node.module, node not in inside, node.lineno


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_layers_before_its_own(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert part in MAY_IMPORT, f"{part} has no place among the layers yet"
    wrong = []
    for module, is_top, line in imports_of(path):
        first, *rest = module.split(".")
        if first == "invengine":
            imported = rest[0] if rest else "invengine"
            allowed = {part} | MAY_IMPORT[part] | (set() if is_top else INSIDE_A_COMMAND.get(part, set()))
        else:
            imported, allowed = first, {first} if part in LIBRARIES.get(first, {part}) else set()
        if imported not in allowed:
            wrong.append(f"{name_of(path)}:{line} imports {module}")
    assert wrong == []


def test_every_part_of_the_picture_is_there() -> None:
    """A part that is renamed would take its rule out of force without a word."""
    there = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} | {"v1"}
    assert set(MAY_IMPORT) - there == set()


# --- kernels --------------------------------------------------------------------------------------------------------


def test_every_kernel_has_a_definition_in_plain_python() -> None:
    reference = importlib.import_module("tests.kernels.reference")
    assert len(kernels.__all__) > 0
    assert [kernel for kernel in kernels.__all__ if not callable(getattr(reference, kernel, None))] == []


# --- one word per refusal -------------------------------------------------------------------------------------------

# What the functions say besides refusals: outcomes, states, kinds of movements and changes; and to Redis.
OUTCOMES = {"APPLIED", "REPEATED", "SAME", "STALE", "REFUSED", "SWEEP_FIRST", "COVER_FIRST", "SEND_AGAIN"}
# What pieces and heads say to each other.
STEPS = {"TAKEN", "PREPARED", "UNDONE", "KEEP", "ABORT", "EXPIRE", "BEGUN", "BUSY", "GO", "UNDO", "ABANDON", "COMPLETE"}
RETURNS = {"OPEN"}  # a return of which something waits for a decision
CHANGES = {"RESERVE", "CONFIRM", "EXTEND", "RELEASE", "FULFIL", "AMEND", "REBIND", "HAND_OVER", "EXPIRE", "COVER"}
SLOTS = {"FORGET"}  # the kind of the rows of days that are over
# Of transfers: the kind of the rows of a shipment, the fulfilment of a line, what an item of one piece of several says.
TRANSFERS = {"TRANSFER_OUT", "TRANSFER", "PART"}
OF_REDIS = {"SADD", "SREM", "LIMIT", "MAXLEN", "NX", "XX", "WITHSCORES", "MATCH", "NOVALUES"}


def lua_words() -> set[str]:
    """The words in capitals that the functions write or say, without the commands they call."""
    text = "\n".join(re.sub(r"--.*", "", line) for path in LUA for line in path.read_text().splitlines())
    text = re.sub(r"""\b(?:p?call|redis\.p?call)\(\s*['"][A-Z]+['"]""", "", text)
    return set(re.findall(r"""['"]([A-Z][A-Z_]+)(?=['"\\])""", text))


def test_every_word_that_lua_says_is_known() -> None:
    assert LUA != []
    states = {state.name for state in ReservationState}
    kinds = {kind.name for words in (MovementKind, IncomingKind, BrokenReason) for kind in words}
    known = (
        OUTCOMES
        | STEPS
        | RETURNS
        | CHANGES
        | SLOTS
        | TRANSFERS
        | OF_REDIS
        | states
        | kinds
        | set(errors.all_refusals())
    )
    assert lua_words() - known == set()


def test_lua_says_refusals() -> None:
    """The pattern above still finds them: without any, the test before this one would prove nothing."""
    assert {"INSUFFICIENT_STOCK", "REQUEST_MISMATCH", "RESERVATION_CLOSED"} <= lua_words()


def test_the_contract_lists_exactly_the_refusals_of_the_engine() -> None:
    from invengine.v1 import common_pb2

    listed = {name.removeprefix("ERROR_REASON_") for name in common_pb2.ErrorReason.DESCRIPTOR.values_by_name}
    assert listed - {"UNSPECIFIED"} == set(errors.all_refusals())


def test_every_refusal_has_a_status_code() -> None:
    from invengine.rpc.errors import STATUS_CODES

    assert set(STATUS_CODES) == set(errors.all_refusals())


def test_the_contract_names_the_status_code_of_every_refusal() -> None:
    """The comment of each reason ends with it; what is stale is no failed call but an outcome."""
    from invengine.rpc.errors import STATUS_CODES

    text = (ROOT / "proto" / "invengine" / "v1" / "common.proto").read_text()
    told = {
        word: code
        for code, word in re.findall(r"\b([A-Z_]{5,})(?:, with RetryInfo)?\.\n\s*ERROR_REASON_(\w+) = \d+;", text)
    }
    outcomes = {reason for reason, refusal in errors.all_refusals().items() if issubclass(refusal, errors.Stale)}
    assert {word for word, code in told.items() if code == "STALE"} == outcomes
    codes = {reason: code.name for reason, code in STATUS_CODES.items()}
    assert {word: code for word, code in told.items() if word not in outcomes} == {
        reason: code for reason, code in codes.items() if reason not in outcomes
    }


# --- habits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_are_listed_in_order(path: Path) -> None:
    """Constants, classes, functions."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            names = ast.literal_eval(node.value)
            assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    """errors.py is one page on purpose, however long."""
    assert path == PACKAGE / "errors.py" or len(path.read_text().splitlines()) <= 400


def commands() -> dict[str, Any]:
    """Every command by the words that call it."""
    from invengine.cli.app import app

    found: dict[str, Any] = {}

    def walk(command: Any, words: str) -> None:
        if not hasattr(command, "commands"):
            found[words] = command
            return
        for name, child in command.commands.items():
            walk(child, f"{words} {name}")

    walk(typer.main.get_command(app), "invengine")
    return found


def test_every_command_has_help_with_an_example() -> None:
    found = commands()
    assert len(found) > 5
    assert [
        words for words, command in found.items() if words not in (command.help or "").partition("Example")[2]
    ] == []


def tracked_files() -> list[Path]:
    """The files that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_no_file_of_the_repository_is_larger_than_5_mb() -> None:
    files = tracked_files()
    assert len(files) > 50
    assert [path for path in files if path.exists() and path.stat().st_size > 5_000_000] == []
