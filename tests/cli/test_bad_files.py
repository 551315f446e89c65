"""Files that cannot be read, with every command that takes one: a sentence with the file's name, ends with 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.servers import CommandLine

COMMANDS = (
    ("network", "check"),
    ("network", "apply"),
    ("stock", "import"),
    ("snapshot", "apply", "--as-of", "2026-01-31T22:00:00Z", "--location", "WH1", "--source", "wms"),
    ("wave", "plan", "--channel", "web"),
    ("profile", "put"),
    ("load",),
)
UNPACKING = {"stock", "load"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_a_file_that_cannot_be_read_is_named_and_told_in_words(command: tuple[str, ...], tmp_path: Path) -> None:
    nowhere = CommandLine("127.0.0.1:1")
    (tmp_path / "latin-1").write_bytes("sku,location,quantity\nStühle,WH1,1\n".encode("latin-1"))
    (tmp_path / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b")
    cut_off = "the packed file is damaged or cut off" if command[0] in UNPACKING else "byte 1 is not UTF-8"
    for name, told in {
        "none": "No such file or directory",
        "": "Is a directory",
        "latin-1": "byte 24 is not UTF-8",
        "cut.csv.gz": cut_off,
    }.items():
        file = str(tmp_path / name) if name else str(tmp_path)
        assert nowhere.run(*command, file, exit_code=2).stderr.splitlines()[0] == f"{file}: {told}"
