"""The contract: linted, commented, and the code in invengine/v1 is what it generates."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import invengine

ROOT = Path(invengine.__file__).parent.parent
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture
def generator() -> None:
    """Skips at home and fails in CI where the tools of the extra `lint` are missing."""
    missing = [name for name in ("buf", "protoc-gen-mypy", "protoc-gen-mypy_grpc") if not (BUF.parent / name).exists()]
    if missing:
        problem = f"{', '.join(missing)} not installed: pip install -e '.[lint]'"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)


@pytest.mark.usefixtures("generator")
def test_the_contract_meets_the_rules_of_buf_and_comments_every_element(tmp_path: Path) -> None:
    """buf.yaml asks for STANDARD and COMMENTS."""
    assert "- COMMENTS" in (ROOT / "buf.yaml").read_text()
    environment = os.environ | {"BUF_CACHE_DIR": str(tmp_path)}
    linted = subprocess.run([BUF, "lint"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (linted.stdout + linted.stderr, linted.returncode) == ("", 0)


@pytest.mark.usefixtures("generator")
def test_buf_would_see_a_missing_comment(tmp_path: Path) -> None:
    """Otherwise the test before this one could not fail."""
    folder = tmp_path / "proto" / "invengine" / "v1"
    folder.mkdir(parents=True)
    (tmp_path / "buf.yaml").write_text((ROOT / "buf.yaml").read_text())
    (folder / "bare.proto").write_text('syntax = "proto3";\npackage invengine.v1;\nmessage Bare {}\n')
    environment = os.environ | {"BUF_CACHE_DIR": str(tmp_path / "cache")}
    linted = subprocess.run([BUF, "lint"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 'Message "Bare" should have a non-empty comment' in linted.stdout


@pytest.mark.usefixtures("generator")
def test_the_generated_code_is_what_the_contract_generates(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto" / "generate.py", tmp_path], check=True)
    made = {path.name: path.read_bytes() for path in (tmp_path / "invengine" / "v1").iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "invengine" / "v1").iterdir() if path.is_file()}
    assert sorted(made) == sorted(kept)
    assert [name for name in sorted(made) if made[name] != kept[name]] == [], "run `make proto`"


@pytest.mark.usefixtures("generator")
def test_the_reference_is_what_the_comments_say(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto" / "reference.py", tmp_path], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "docs" / "api").iterdir()}
    assert sorted(made) == sorted(kept)
    assert [name for name in sorted(made) if made[name] != kept[name]] == [], "run `make proto`"
