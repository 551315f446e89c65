"""How far a load came: a bar for people, a small file for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from invengine.cli.output import say

_SAVE_EVERY_SECONDS: Final = 0.25
_SAY_EVERY_SECONDS: Final = 10.0


class Shows(Protocol):
    """Takes note of work done."""

    def add(self, count: int) -> None:
        """So many more units of work are done."""


def state_path(identity: str) -> Path:
    """Where the state of the load with this identity is kept: in the user's state folder."""
    shared = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(shared) if os.path.isabs(shared) else Path.home() / ".local" / "state"
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return folder / "invengine" / f"load-{name}.json"


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class Ledger:
    """Remembers, in a file, below which row everything is acknowledged. Lanes report; the slowest one counts."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self._identity = identity
        self._lanes: dict[int, int] = {}
        self._saved_at = 0.0

    def read(self) -> int:
        """The row to continue from; 1 when there is no file, or it belongs to another load."""
        try:
            state = json.loads(self.path.read_text(encoding="utf-8"))
            return int(state["next_row"]) if state["identity"] == self._identity else 1
        except FileNotFoundError:
            return 1
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"{self.path}: not a state file of a load ({error}); starting from the first row.")
            return 1

    def begin(self, rows: dict[int, int]) -> None:
        """Lane number -> the first row that is not acknowledged."""
        self._lanes = dict(rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.save()

    def acknowledge(self, lane: int, next_row: int) -> None:
        """Everything of the lane before `next_row` is done."""
        self._lanes[lane] = next_row
        if time.monotonic() - self._saved_at > _SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Put the state in place of the old one, in one step."""
        state = {"identity": self._identity, "next_row": min(self._lanes.values(), default=1)}
        beside = self.path.with_name(self.path.name + f".{os.getpid()}")
        beside.write_text(json.dumps(state) + "\n", encoding="utf-8")
        beside.replace(self.path)
        self._saved_at = time.monotonic()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.save()


class _Lines:
    """Progress where no terminal is: a line now and then."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._said_at = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said_at > _SAY_EVERY_SECONDS:
            self._said_at = time.monotonic()
            say(f"{self._title}: {self._done} of {self._total}")


@contextmanager
def shown(title: str, total: int) -> Iterator[Shows]:
    """Progress on stderr while the block runs: a bar on a terminal, else a line every ten seconds."""
    if not sys.stderr.isatty():
        yield _Lines(title, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)

        class Bar:
            def add(self, count: int) -> None:
                progress.advance(task, count)

        yield Bar()
