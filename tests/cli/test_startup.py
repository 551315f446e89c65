"""Commands start fast because they import little. (typer itself brings pydantic along.)"""

import subprocess
import sys

import pytest

from tests.cli.servers import CommandLine

HEAVY = {"numba", "numpy", "llvmlite", "redis", "hiredis", "pydantic_settings", "prometheus_client", "uvloop"}
HEAVY |= {"textual", "matplotlib", "pyarrow"}
PROBE = """
import atexit, sys
atexit.register(lambda: print("MODULES", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr))
from invengine.cli import main
sys.argv[0] = "invengine"
main()
"""


def modules(*arguments: str, server: str = "127.0.0.1:1") -> set[str]:
    """The packages that are loaded when the command has ended well."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env={"INVENGINE_SERVER": server, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    last = done.stderr.splitlines()[-1].split()
    assert last[0] == "MODULES"
    return set(last[1:])


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("stock", "post", "--help"), ("demo", "--help"), ("top", "--help")]
)
def test_help_needs_typer_only(arguments: tuple[str, ...]) -> None:
    loaded = modules(*arguments)
    assert loaded & (HEAVY | {"grpc", "google", "yaml"}) == set()


def test_a_client_command_needs_grpc_and_none_of_the_engine(invengine: CommandLine) -> None:
    invengine.run("stock", "post", "RECEIPT", "su-a", "WH1", "3")
    loaded = modules("availability", "su-a", "--channel", "web", server=invengine.address)
    assert "grpc" in loaded
    assert loaded & (HEAVY | {"yaml"}) == set()


def test_importing_the_client_loads_none_of_the_engine() -> None:
    code = "import sys, invengine.client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) & (HEAVY | {"pydantic", "typer", "rich"}) == set()
