"""Texts of positions while a log is replayed: as the store keeps them, numbers and then ring-fences by channel.

A log that was trimmed does not say which ring-fences there were before. A text that begins with ~ tells only those that
changed since, also those of 0 units.
"""

from __future__ import annotations

from typing import Final

from invengine.domain.stock import Position

NUMBERS: Final = ("on_hand", "reserved", "revision", "counted_at_ms")
"""The numbers of a position's text, in order."""


def text_of(position: Position) -> str:
    """A position as the store keeps it."""
    numbers = f"{position.on_hand},{position.reserved},{position.revision},{position.counted_at_ms}"
    return numbers + "".join(f"\t{channel}\t{units}" for channel, units in position.fences)


def with_numbers(before: str, numbers: str) -> str:
    """The text with other numbers."""
    _, tab, fences = before.partition("\t")
    return ("~" if before[:1] == "~" else "") + numbers + tab + fences


def with_fence(before: str, channel: str, units: int) -> str:
    """The text with another ring-fence of a channel."""
    numbers, fences = _parts(before)
    fences[channel] = units
    is_partial = numbers[:1] == "~"
    kept = sorted((name, left) for name, left in fences.items() if left or is_partial)
    return numbers + "".join(f"\t{name}\t{left}" for name, left in kept)


def difference(replayed: str, stored: str) -> tuple[str, int, int] | None:
    """What differs first between a replayed text and a stored one: its name, what the log comes to, what is stored."""
    numbers, fences = _parts(replayed)
    stored_numbers, stored_fences = _parts(stored)
    pairs = zip(NUMBERS, numbers.lstrip("~").split(","), stored_numbers.split(","), strict=True)
    for name, expected, actual in pairs:
        if expected != actual:
            return name, int(expected), int(actual)
    is_partial = numbers[:1] == "~"
    for channel in sorted(fences if is_partial else fences.keys() | stored_fences.keys()):
        if fences.get(channel, 0) != stored_fences.get(channel, 0):
            return f"the ring-fence of {channel}", fences.get(channel, 0), stored_fences.get(channel, 0)
    return None


def _parts(text: str) -> tuple[str, dict[str, int]]:
    """Numbers, with their ~, and units by channel."""
    numbers, *fences = text.split("\t")
    return numbers, {channel: int(units) for channel, units in zip(fences[::2], fences[1::2], strict=True)}
