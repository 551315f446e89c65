"""Where compiled kernels are kept between starts.

Numba's cache notices a change in the file of a kernel, but not in one that the kernel calls from another file, and then
runs the stale machine code. So the folder's name holds a hash of all kernel sources: any edit starts a new folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba

config: Any = numba.config  # numba declares no types


def sources_hash(folder: Path) -> str:
    """16 hex digits that change with any kernel source in `folder`, with Python and with numba; numba minds the CPU."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__}".encode())
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def cache_folder(folder: Path) -> Path:
    """A writable folder of our own for the kernels in `folder`.

    The first that works of: NUMBA_CACHE_DIR, XDG_CACHE_HOME/invengine or ~/.cache/invengine, the package itself, a
    folder for this user among the temporary files. Last, a fresh temporary folder: then every start compiles.
    """
    name = f"kernels-{sources_hash(folder)}"
    for base in _bases(folder):
        if (found := _own_folder(base / name)) is not None:
            return found
    return Path(tempfile.mkdtemp(prefix="invengine-"))


@contextmanager
def kernel_cache(folder: Path) -> Iterator[Path]:
    """Kernels that are declared inside keep their code in `cache_folder`; other users of numba keep their setting."""
    chosen = cache_folder(folder)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(chosen)
    try:
        yield chosen
    finally:
        config.CACHE_DIR = before


def _bases(folder: Path) -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    home = os.environ.get("HOME", "")
    cache_home = os.environ.get("XDG_CACHE_HOME", "") or (f"{home}/.cache" if home else "")
    if cache_home:
        yield Path(cache_home) / "invengine"
    yield folder / "__pycache__"
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
