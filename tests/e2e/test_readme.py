"""The first look of the README, typed in as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.servers import CommandLine, Server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_look_works(start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    server = start_server()
    line = CommandLine(server.address)
    typed = re.findall(r"^\$ invengine (.*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
    assert typed[0] == "serve &"
    assert len(typed) >= 6
    reservation = ""
    for text in typed[1:]:
        output = line.run(*shlex.split(text.replace(" ID ", f" {reservation} "))).stdout
        if text.startswith("reserve "):
            reservation = output.split()[1]
    assert reservation

    code = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert code
    exec(compile(code[1].replace("127.0.0.1:50051", server.address), "README.md", "exec"), {})
    listed = line.json("reservation", "list", "--order", "order-1")["reservations"]
    assert [entry["state"] for entry in listed] == ["STATE_CONFIRMED"]
