"""Names and their numbers: SKUs by the million in arrays, locations by the thousand in a list beside theirs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.kernels.layout import INLINE_BYTES, SLOT_WORDS
from invengine.replica.memory import zeros


def as_bytes(text: bytes) -> npt.NDArray[np.uint8]:
    """The bytes as an array, not copied."""
    return np.frombuffer(text, np.uint8)


class NameIndex:
    """Names (UTF-8) -> numbers 0, 1, 2... in arrays that the kernels read and fill; `count` is the caller's."""

    def __init__(self, slots: int = 1024, arena_bytes: int = 1024) -> None:
        self.slots = np.zeros((slots, SLOT_WORDS), np.uint64)
        self.arena = np.empty(arena_bytes, np.uint8)

    def find(self, name: bytes) -> int:
        """The number of a name, or -1."""
        return int(kernels.find_name(as_bytes(name), self.slots, self.arena))

    def insert(self, name: bytes, number: int, arena_used: int) -> int:
        """Adds a name that is not there yet; returns the bytes of the arena that are in use then."""
        self.make_room(number + 1, arena_used, len(name))
        return int(kernels.insert_name(as_bytes(name), number, self.slots, self.arena, arena_used))

    def make_room(self, count: int, arena_used: int, name_bytes: int) -> None:
        """Sees to it that `count` names fit, and one of `name_bytes` into the arena."""
        if 2 * count > self.slots.shape[0]:
            wider = zeros((1 << (2 * count - 1).bit_length(), SLOT_WORDS), np.uint64)
            kernels.rehash_names(self.slots, wider)
            self.slots = wider
        if name_bytes > INLINE_BYTES and arena_used + name_bytes > self.arena.size:
            longer = zeros((2 * self.arena.size + name_bytes,), np.uint8)
            longer[:arena_used] = self.arena[:arena_used]
            self.arena = longer

    def names_at(self, places: npt.NDArray[np.int64]) -> list[str]:
        """The names in these slots."""
        found = self.slots[places]
        lengths = found[:, 3] >> np.uint64(32)
        found[:, 3] = (lengths << np.uint64(32)) | np.arange(1, len(places) + 1, dtype=np.uint64)
        spans = np.zeros((len(places), 2), np.int64)
        out = np.empty(int(lengths.sum()), np.uint8)
        kernels.list_names(found, self.arena, spans, out)
        text = out.tobytes()
        return [text[at : at + length].decode() for at, length in spans.tolist()]

    def names(self, count: int, numbers: npt.NDArray[np.int64] | None = None) -> Iterator[bytes]:
        """All `count` names, by number, or those of some numbers. Walks the whole index: not for requests."""
        spans = np.zeros((count, 2), np.int64)
        lengths = self.slots[:, 3] >> np.uint64(32)
        out = np.empty(int(lengths.sum()), np.uint8)
        kernels.list_names(self.slots, self.arena, spans, out)
        text = out.tobytes()
        wanted = spans if numbers is None else spans[numbers]
        return (text[at : at + length] for at, length in wanted.tolist())


class Numbers:
    """A few names <-> small numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.index = NameIndex(64, 64)
        self._numbers: dict[str, int] = {}
        self._arena_used = 0

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """The number of a name, which it gets when it is new."""
        known = self._numbers.get(name)
        if known is not None:
            return known
        number = len(self.names)
        self._arena_used = self.index.insert(name.encode(), number, self._arena_used)
        self.names.append(name)
        self._numbers[name] = number
        return number

    def known(self, name: str) -> int:
        """The number of a name, or -1."""
        return self._numbers.get(name, -1)


class Locations(Numbers):
    """Names of locations."""


class Channels(Numbers):
    """Names of channels."""
