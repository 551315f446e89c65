"""Where compiled kernels are kept between starts.

Numba's cache notices a change in the file of a kernel, but not in one that the kernel calls from another file, and then
runs the stale machine code. So the kernels of a module have a folder of their own, whose name holds a hash of the
module and of all that it imports of our package, directly or not: an edit compiles anew what it can change, and no
more. What a module imports is read from its source. Folders that no start has used for weeks are taken away, when no
other process is about to read or write there.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

import numba
import numpy
from numba.core import caching

try:
    import fcntl
except ImportError:  # not on Windows: there nothing is tidied up
    fcntl = None  # type: ignore[assignment]

config: Any = numba.config  # numba declares no types
UNUSED_DAYS_MAX: Final = 21
_DAY: Final = 24 * 60 * 60
_FOLDER: Final = re.compile(r"[\w.]+-[0-9a-f]{16}")
_chosen: list[Path] = []  # by the `kernel_cache` that is entered


def sources_hash(module: str, source: Path) -> str:
    """16 hex digits that change with the module, with what it imports of its package, with Python, numba and numpy.

    Numba itself minds the CPU. Raises OSError or SyntaxError when a source cannot be read.
    """
    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {numpy.__version__} {module}".encode())
    for name, path in sorted(_reached(module, source).items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def cache_folder(beside: Path) -> Path:
    """A writable folder of our own for compiled kernels, `beside` being where their sources are.

    The first that works of: NUMBA_CACHE_DIR, XDG_CACHE_HOME/invengine or ~/.cache/invengine, the package itself, a
    folder for this user among the temporary files; `kernels` in there. Last, a fresh temporary folder: then every start
    compiles.
    """
    for base in _bases(beside):
        if (found := _own_folder(base / "kernels")) is not None:
            return found
    return Path(tempfile.mkdtemp(prefix="invengine-"))


@contextmanager
def kernel_cache(beside: Path) -> Iterator[Path]:
    """Kernels that are declared inside keep their code in `cache_folder`; other users of numba keep their setting."""
    folder = cache_folder(beside)
    before = config.CACHE_LOCATOR_CLASSES
    with (folder / "lock").open("a") as lock:
        _lock(lock, is_shared=True)
        config.CACHE_LOCATOR_CLASSES = f"{KernelLocator.__module__}.{KernelLocator.__name__}"
        _chosen.append(folder)
        try:
            yield folder
        finally:
            _chosen.pop()
            config.CACHE_LOCATOR_CLASSES = before
        if _lock(lock, is_shared=False):
            tidy_up(folder, time.time())


def tidy_up(folder: Path, now: float) -> None:
    """Take away what no start has used for `UNUSED_DAYS_MAX` days. Nobody else may be reading or writing there."""
    for path in folder.iterdir():
        with suppress(OSError):  # a folder that cannot be taken away stays
            if _FOLDER.fullmatch(path.name) and path.stat().st_mtime < now - UNUSED_DAYS_MAX * _DAY:
                shutil.rmtree(path)


class KernelLocator(caching.UserProvidedCacheLocator):
    """Tells numba where the code of a kernel is kept: what NUMBA_CACHE_LOCATOR_CLASSES names, see its manual."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        self._hash = _hash_of(py_func.__module__, Path(py_file))
        self._cache_path = str(_chosen[-1] / f"{py_func.__module__}-{self._hash}")

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> KernelLocator:
        """As numba wants it; an unwritable folder raises OSError."""
        locator = cls(py_func, py_file)
        locator.ensure_cache_path()
        os.utime(locator._cache_path)  # it is used: not to be tidied up
        return locator

    def get_source_stamp(self) -> str:
        """What the code must have been made from to be taken."""
        return self._hash


@lru_cache
def _hash_of(module: str, source: Path) -> str:
    return sources_hash(module, source)


def _reached(module: str, source: Path) -> dict[str, Path]:
    """The sources that a module is made from, by module: its own, and what it imports of its top package."""
    found, left = {}, [(module, source)]
    while left:
        name, path = left.pop()
        if name not in found:
            found[name] = path
            left += _imported(name, path)
    return found


def _imported(module: str, source: Path) -> list[tuple[str, Path]]:
    """(module, source) of what a source imports of its own top package, anywhere in it."""
    package = tuple(module.split(".") if source.name == "__init__.py" else module.split(".")[:-1])
    top, own = source.parents[len(package)], module.split(".", maxsplit=1)[0]  # where the top package is, and its name
    names, has_whole = _names_imported(source.read_bytes(), package, own)
    found = _all_of(top, own) if has_whole else []
    for name in names:
        if name.split(".")[0] == own and (one := _source_of(name.split("."), top)) is not None:
            found.append(one)
    return found


@lru_cache
def _names_imported(content: bytes, package: tuple[str, ...], own: str) -> tuple[list[str], bool]:
    """(dotted names that a source imports; whether it has its top package by name, and so all that is loaded of it)."""
    names, has_whole = [], False
    for node in _statements(ast.parse(content).body):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
            has_whole |= any(alias.asname is None and alias.name.split(".")[0] == own for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = (*base, *(node.module.split(".") if node.module else ()))
            names += [".".join((*base, alias.name)) for alias in node.names]
    return names, has_whole


def _statements(block: list[Any]) -> Iterator[Any]:
    """The statements of a block and of the blocks in them; what calculates is passed over, it imports nothing."""
    for statement in block:
        yield statement
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(statement, inner, []))


def _all_of(top: Path, package: str) -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__"), path)
        for path in (top / package).rglob("*.py")
    ]


def _source_of(parts: list[str], top: Path) -> tuple[str, Path] | None:
    """(module, source) of a dotted name: of the module itself, or of the one that has the name; None for neither."""
    for end in (len(parts), len(parts) - 1):
        path = top.joinpath(*parts[:end])
        for source in (path.with_suffix(".py"), path / "__init__.py"):
            if end > 0 and source.is_file():
                return ".".join(parts[:end]), source
    return None


def _bases(beside: Path) -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    home = os.environ.get("HOME", "")
    cache_home = os.environ.get("XDG_CACHE_HOME", "") or (f"{home}/.cache" if home else "")
    if cache_home:
        yield Path(cache_home) / "invengine"
    yield beside / "__pycache__"
    yield Path(tempfile.gettempdir()) / f"invengine-{os.getuid() if hasattr(os, 'getuid') else 0}"


def _own_folder(path: Path) -> Path | None:
    """`path`, made if need be; None unless it is writable and nobody else's: cached code is run as it is found."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        status = path.stat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        return None
    return path


def _lock(file: IO[str], *, is_shared: bool) -> bool:
    """Whether the lock is had: shared by all that read and write, exclusive (if at once) for who tidies up."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody else has it, or the file system knows no locks: then nothing is tidied up
        return False
    return True
