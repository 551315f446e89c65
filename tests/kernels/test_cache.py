"""The folders of compiled kernels: another one for other sources, always writable, nobody else's, not piling up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from invengine import kernels
from invengine.kernels import cache

DAY = 24 * 60 * 60


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the test's own, and no folder set by the environment."""
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "pack" / "kernels"
    folder.mkdir(parents=True)
    for name in ("__init__", "one", "two", "three", "other"):
        (folder / f"{name}.py").write_text(f"{name} = 1\n")
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "rules.py").write_text("most = 1\n")
    return folder


def hash_of(sources: Path, module: str = "one") -> str:
    return cache.sources_hash(f"pack.kernels.{module}", sources / f"{module}.py")


@pytest.mark.parametrize(
    "imports",
    [
        "from pack.kernels.two import two",
        "from pack.kernels.two import *",
        "from pack.kernels import other, two",
        "from pack.kernels import (\n    two as second,\n)",
        "from . import two",
        "from .two import two",
        "from ..kernels.two import two",
        "import pack.kernels.two as second",
        "import sys, pack.kernels.two",
        "import pack.kernels",
        "def late():\n    from pack.kernels.two import two\n    return two",
        "if True: from .two import two",
        "try:\n    from .three import three\nexcept ImportError:\n    from .two import two",
        "match 1:\n    case 1:\n        from .two import two",
        "class Late:\n    while 1:\n        pass\n    else:\n        from .two import two",
        "from pack.kernels.three import three",  # which has it of `two`
        "from pack.kernels import two_of_the_package",
    ],
)
def test_an_edit_of_what_is_imported_changes_the_hash_however_it_is_imported(sources: Path, imports: str) -> None:
    (sources / "one.py").write_text(f"{imports}\n")
    (sources / "three.py").write_text("from .two import two as three\n")
    (sources / "__init__.py").write_text("from pack.kernels.two import two as two_of_the_package\n")
    (sources / "two.py").write_text("from pack.rules import most as two\nfrom . import one\n")  # round in a circle
    first = hash_of(sources)
    assert first == hash_of(sources)
    (sources / "two.py").write_text("from pack.rules import most as two\nfrom . import one \n")
    second = hash_of(sources)
    (sources.parent / "rules.py").write_text("most = 2\n")
    third = hash_of(sources)
    (sources / "one.py").write_text(f"{imports}\n\n")
    assert len({first, second, third, hash_of(sources)}) == 4


def test_an_edit_of_another_module_leaves_the_hash(sources: Path) -> None:
    (sources / "one.py").write_text("import numpy as np\nfrom pack.kernels.two import two\n")
    first = hash_of(sources)
    (sources / "other.py").write_text("other = 2\n")
    (sources / "__init__.py").write_text("from pack.kernels.one import two\nfrom pack.kernels.other import other\n")
    (sources / "new.py").write_text("new = 2\n")
    assert hash_of(sources) == first
    assert hash_of(sources, "two") != hash_of(sources, "three")


def test_modules_of_the_same_words_have_other_hashes(sources: Path) -> None:
    """Compiled code knows its module by name."""
    shutil.copy(sources / "one.py", sources / "two.py")
    assert hash_of(sources, "one") != hash_of(sources, "two")


def test_every_kernel_of_the_package_is_seen() -> None:
    """What sourcing is made from: if it moves, the reader of imports has to find it there."""
    reached = cache._reached("invengine.kernels.sourcing", Path(kernels.sourcing.__file__))
    parts = {"basket", "search", "sets", "bound", "flow", "assign", "hopeless"}
    assert {f"invengine.kernels.sourcing_{part}" for part in parts} <= set(reached)
    assert {"invengine.kernels.steps", "invengine.kernels.layout"} <= set(reached)
    assert not {"invengine.kernels.promise", "invengine.kernels"} & set(reached)


def test_the_users_cache_folder_is_taken(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.cache_folder(sources) == tmp_path / "home" / ".cache" / "invengine" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder(sources) == tmp_path / "xdg" / "invengine" / "kernels"
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path / "numba"))
    assert cache.cache_folder(sources) == tmp_path / "numba" / "kernels"


def test_a_folder_that_cannot_be_written_gives_way(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file where a folder is wanted")
    assert cache.cache_folder(sources) == sources / "__pycache__" / "kernels"
    shutil.rmtree(sources / "__pycache__")
    (sources / "__pycache__").write_text("a file here too")
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert cache.cache_folder(sources) == tmp_path / "temporary" / f"invengine-{os.getuid()}" / "kernels"


def test_a_folder_that_others_may_write_is_not_trusted(sources: Path) -> None:
    """Cached machine code is run as it is found."""
    first = cache.cache_folder(sources)
    first.chmod(0o777)
    second = cache.cache_folder(sources)
    assert second != first
    assert second.stat().st_mode & 0o022 == 0


def folders_of_ages(folder: Path) -> list[str]:
    """Folders not used for 0, 20 and 22 days, and things that are none of ours and as old."""
    for name, days in {"now": 0, "lately": 20, "long": 22}.items():
        made = folder / f"pack.{name}-0123456789abcdef"
        made.mkdir()
        (made / "code.nbc").write_text("")
        os.utime(made, (time.time() - days * DAY,) * 2)
    (folder / "somebody-elses").mkdir()
    (folder / "pack.file-0123456789abcdef").write_text("")
    for other in ("somebody-elses", "pack.file-0123456789abcdef"):
        os.utime(folder / other, (time.time() - 99 * DAY,) * 2)
    return sorted(path.name for path in folder.iterdir())


def test_folders_not_used_for_weeks_are_taken_away_by_a_start(sources: Path) -> None:
    with cache.kernel_cache(sources) as folder:
        before = folders_of_ages(folder)
    after = sorted(path.name for path in folder.iterdir())
    assert sorted(set(before) - set(after)) == ["pack.long-0123456789abcdef"]
    assert set(after) <= set(before)


def test_nothing_is_taken_away_while_another_process_reads_or_writes(sources: Path) -> None:
    with cache.kernel_cache(sources) as folder, cache.kernel_cache(sources):  # as two processes: a lock of each
        before = folders_of_ages(folder)
        with cache.kernel_cache(sources):
            pass
        assert sorted(path.name for path in folder.iterdir()) == before


def test_numba_keeps_its_setting_for_others(sources: Path) -> None:
    before = cache.config.CACHE_LOCATOR_CLASSES
    with cache.kernel_cache(sources):
        assert before != cache.config.CACHE_LOCATOR_CLASSES
    assert (before, "") == (cache.config.CACHE_LOCATOR_CLASSES, cache.config.CACHE_DIR)


def test_compiled_kernels_are_in_the_folder_and_warm() -> None:
    kernels.warm_up()
    assert any(kernels.CACHE_FOLDER.rglob("*.nbi"))


def write_package(package: Path) -> None:
    """Two kernels: `caller`, which calls what is in another file, and `other`, which does not."""
    package.mkdir()
    shutil.copy(cache.__file__, package / "cache.py")  # alone: no kernels of ours
    (package / "__init__.py").write_text(
        "from pathlib import Path\n"
        "from pack.cache import kernel_cache\n\n"
        "with kernel_cache(Path(__file__).parent):\n"
        "    from pack.caller import caller\n"
        "    from pack.other import other\n"
    )
    (package / "caller.py").write_text(
        "from numba import njit\nfrom pack.callee import callee\n\n"
        "@njit('int64()', cache=True)\ndef caller():\n    return callee()\n"
    )
    (package / "other.py").write_text(
        "from numba import njit\n\n@njit('int64()', cache=True)\ndef other():\n    return 7\n"
    )


def test_a_change_in_a_callee_compiles_its_callers_anew_and_nothing_else(tmp_path: Path) -> None:
    """The trap that the hash is for: the caller's file is the same, what it calls in another file is not."""
    package = tmp_path / "pack"
    write_package(package)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Python's own cache looks at size and second alone
    script = "import pack; print(*((f(), sum(f.stats.cache_hits.values())) for f in (pack.caller, pack.other)))"
    answers = []
    for answer in (1, 1, 2):
        (package / "callee.py").write_text(f"from numba import njit\n\n@njit\ndef callee():\n    return {answer}\n")
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        answers.append(run.stdout.strip())
    assert answers == ["(1, 0) (7, 0)", "(1, 1) (7, 1)", "(2, 0) (7, 1)"]  # what they answer, loaded how often
