"""The wheel: what an installation needs is inside, and nothing of the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import invengine

ROOT = Path(invengine.__file__).parent.parent
LOAD_LUA = """
import sys
sys.path.insert(0, sys.argv[1])
import invengine
from invengine.store.library import Library
assert invengine.__file__.startswith(sys.argv[1]), invengine.__file__
sys.stdout.buffer.write(Library.packaged().code)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the repository gets no build folder."""
    source, target = tmp_path_factory.mktemp("source") / "invengine", tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "*.egg-info", "build", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left_out)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", target, source]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(target.glob("invengine-*.whl"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def test_every_module_and_data_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    package = ROOT / "invengine"
    wanted = {
        str(path.relative_to(ROOT))
        for path in package.rglob("*")
        if path.suffix in (".py", ".pyi", ".lua") or path.name == "py.typed"
    }
    assert {"invengine/py.typed", "invengine/v1/common_pb2.pyi", "invengine/store/child.py"} <= wanted
    assert any(name.endswith(".lua") for name in wanted)
    assert wanted - names_in(wheel) == set()


def test_nothing_but_the_package_and_its_licence_is_in_the_wheel(wheel: Path) -> None:
    version = invengine.__version__
    assert {name.split("/")[0] for name in names_in(wheel)} == {"invengine", f"invengine-{version}.dist-info"}
    assert f"invengine-{version}.dist-info/licenses/LICENSE" in names_in(wheel)


def test_the_functions_of_the_store_are_loaded_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_LUA, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert loaded.stderr == ""
    assert loaded.stdout.startswith("#!lua name=invengine\n")
    for path in sorted((ROOT / "invengine" / "store" / "lua").glob("*.lua")):
        assert path.read_text().strip() in loaded.stdout
