"""Completion in a shell: installed by the program itself, then asked as bash asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server

BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="no bash here")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with the program in its `bin`, as an installed package has it."""
    folder = tmp_path_factory.mktemp("home")
    program = folder / "bin" / "invengine"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom invengine.cli import main\nmain()\n")
    program.chmod(0o755)
    return folder


def bash(home: Path, script: str, **environment: str) -> str:
    """What bash prints, without an rc file."""
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    python_path = os.environ.get("PYTHONPATH", "")
    done = subprocess.run(
        [str(BASH), "--norc", "-c", script],
        env={"HOME": str(home), "PATH": path, "PYTHONPATH": python_path, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout


@needs_bash
def test_bash_completes_commands_options_and_what_the_server_knows(
    home: Path, invengine: CommandLine, engine: Server
) -> None:
    invengine.run("network", "show")
    bash(home, "invengine --install-completion; true")
    ask = """
    source "$HOME/.bash_completions/invengine.sh"
    for line in "lan" "lane le" "stock show --timeout-s" "availability A --channel w" "availability A --group s" \\
        "transfer list --location S"; do
        COMP_WORDS=(invengine $line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
        _invengine_completion invengine
        echo "$line: ${COMPREPLY[*]}"
    done
    """
    assert bash(home, ask, INVENGINE_SERVER=engine.address).splitlines() == [
        "lan: lane",
        "lane le: learn",
        "stock show --timeout-s: --timeout-seconds",
        "availability A --channel w: web",
        "availability A --group s: stores",
        "transfer list --location S: ST1 ST2 ST3",
    ]


@needs_bash
def test_without_a_server_there_is_nothing_to_choose_from_and_no_error(home: Path) -> None:
    ask = 'COMP_WORDS="invengine availability A --channel w" COMP_CWORD=4 _INVENGINE_COMPLETE=complete_bash invengine'
    assert bash(home, f"{ask}; true", INVENGINE_SERVER="127.0.0.1:1").strip() == ""


@needs_bash
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(home: Path, shell: str) -> None:
    script = bash(home, f"_INVENGINE_COMPLETE=source_{shell} invengine")
    assert "_INVENGINE_COMPLETE=complete_" + shell in script
