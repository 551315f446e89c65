"""What a history of sales is to the loader, whatever file it came from."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol


class EventKind(IntEnum):
    """What happened to the stock."""

    SALE = 1
    RETURN = 2
    SHRINK = 3
    """A correction downwards."""
    FOUND = 4
    """A correction upwards."""


class HistoryEvent(NamedTuple):
    """One line of a history, in the order of the file."""

    row: int
    """The data row of the file, counted from 1."""
    document: str
    """The invoice or receipt that the line stands on."""
    occurred_at_ms: int
    kind: EventKind
    sku: str
    quantity: int
    """Whole units, 1 or more."""
    channel: str
    home_key: str
    """Who decides the location: all events with one key happen at one place."""


class HistoryFault(Exception):
    """A history file that cannot be read; the message names the row and the column."""


class HistoryFormat(Protocol):
    """Reads one kind of file."""

    @property
    def name(self) -> str:
        """The word for `--format`; also the source of the movements that a load posts."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that its events name."""

    @property
    def order_channels(self) -> frozenset[str]:
        """Of these, the channels whose documents are orders: reserved, confirmed and fulfilled instead of rung up."""

    def events(self, path: Path) -> Iterator[HistoryEvent]:
        """The events of a file, in its order. HistoryFault at the first row that cannot be read."""
