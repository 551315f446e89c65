"""The folder of compiled kernels: another one for other sources, always writable, nobody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from invengine import kernels
from invengine.kernels import cache


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernel sources of the test's own, and no folder set by the environment."""
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "one.py").write_text("a = 1\n")
    (folder / "two.py").write_text("b = 2\n")
    return folder


def test_any_edit_of_any_source_changes_the_folder(sources: Path) -> None:
    first = cache.sources_hash(sources)
    assert first == cache.sources_hash(sources)
    (sources / "two.py").write_text("b = 3\n")
    second = cache.sources_hash(sources)
    (sources / "three.py").write_text("")
    third = cache.sources_hash(sources)
    assert len({first, second, third}) == 3
    assert cache.sources_hash(sources) in cache.cache_folder(sources).name


def test_the_users_cache_folder_is_taken(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.cache_folder(sources).parent == tmp_path / "home" / ".cache" / "invengine"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder(sources).parent == tmp_path / "xdg" / "invengine"
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path / "numba"))
    assert cache.cache_folder(sources).parent == tmp_path / "numba"


def test_a_folder_that_cannot_be_written_gives_way(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file where a folder is wanted")
    assert cache.cache_folder(sources).parent == sources / "__pycache__"
    shutil.rmtree(sources / "__pycache__")
    (sources / "__pycache__").write_text("a file here too")
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert cache.cache_folder(sources).parent == tmp_path / "temporary" / f"invengine-{os.getuid()}"


def test_a_folder_that_others_may_write_is_not_trusted(sources: Path, tmp_path: Path) -> None:
    """Cached machine code is run as it is found."""
    first = cache.cache_folder(sources)
    first.chmod(0o777)
    second = cache.cache_folder(sources)
    assert second != first
    assert second.stat().st_mode & 0o022 == 0


def test_numba_keeps_its_setting_for_others(sources: Path) -> None:
    with cache.kernel_cache(sources) as chosen:
        assert str(chosen) == cache.config.CACHE_DIR
    assert cache.config.CACHE_DIR == ""


def test_compiled_kernels_are_in_the_folder_and_warm() -> None:
    kernels.warm_up()
    assert any(kernels.CACHE_FOLDER.rglob("*.nbi"))


def test_a_change_in_a_callee_is_not_answered_by_stale_code(tmp_path: Path) -> None:
    """The trap that the hash is for: the caller's file is the same, what it calls in another file is not."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import importlib.util\n"
        "from pathlib import Path\n"
        f"spec = importlib.util.spec_from_file_location('cache', {cache.__file__!r})\n"  # alone: no kernels of ours
        "cache = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(cache)\n"
        "with cache.kernel_cache(Path(__file__).parent):\n"
        "    from pack.caller import caller\n"
    )
    (package / "caller.py").write_text(
        "from numba import njit\nfrom pack.callee import callee\n\n"
        "@njit('int64()', cache=True)\ndef caller():\n    return callee()\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Python's own cache looks at size and second alone
    answers = []
    for answer in (1, 1, 2):
        (package / "callee.py").write_text(f"from numba import njit\n\n@njit\ndef callee():\n    return {answer}\n")
        run = subprocess.run(
            [sys.executable, "-c", "import pack; print(pack.caller())"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(run.stdout.strip())
    assert answers == ["1", "1", "2"]
