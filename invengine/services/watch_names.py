"""The SKUs that a view watches: slots of their own, whatever numbers the replica has for them.

A replica that is loaded anew numbers its SKUs anew; what watchers were told is kept by slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.replica.index import as_bytes

if TYPE_CHECKING:
    from invengine.replica.columns import Columns

Slots = npt.NDArray[np.int64]


class WatchedNames:
    """Names by slot, and the number that each has in `columns`, -1 while it is not known there."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.names: list[bytes] = []
        self._numbers: Slots = np.empty(16, np.int64)
        self._by_number: tuple[Slots, Slots] | None = None  # numbers in order, and the slot of each

    def __len__(self) -> int:
        return len(self.names)

    @property
    def numbers(self) -> Slots:
        """By slot; a view."""
        return self._numbers[: len(self.names)]

    def slots_of(self, numbers: Slots) -> Slots:
        """The slots of those numbers that are watched."""
        if self._by_number is None:
            order = np.argsort(self.numbers, kind="stable")
            self._by_number = self.numbers[order], order
        ordered, order = self._by_number
        if not ordered.size:
            return ordered
        places = np.minimum(np.searchsorted(ordered, numbers), ordered.size - 1)
        slots: Slots = order[places[ordered[places] == numbers]]
        return slots

    def know(self, created: Iterable[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number, in the order of their numbers."""
        raise NotImplementedError

    def find_anew(self, columns: Columns) -> None:
        """Takes over other columns, and their numbers."""
        self.columns = columns
        self.numbers[:] = find_numbers(self.names, columns)
        self._by_number = None

    def _append(self, names: Sequence[bytes], numbers: Slots) -> None:
        used = len(self.names)
        if used + len(names) > self._numbers.size:
            longer = np.empty(max(2 * self._numbers.size, used + len(names)), np.int64)
            longer[:used] = self.numbers
            self._numbers = longer
        self.names += names
        self.numbers[used:] = numbers
        self._by_number = None


class ListedNames(WatchedNames):
    """SKUs that were asked for by name, known or not. Those that nobody asks for any more give way."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self._slots: dict[bytes, int] = {}
        self._watchers: Slots = np.zeros(0, np.int64)  # how many watch each slot
        self._unwatched = 0

    def add(self, names: Iterable[bytes]) -> Slots:
        """One watcher more for each of these, all different; their slots."""
        asked = list(names)
        new = [name for name in asked if name not in self._slots]
        self._slots.update(zip(new, range(len(self.names), len(self.names) + len(new)), strict=True))
        self._append(new, find_numbers(new, self.columns))
        slots = np.array([self._slots[name] for name in asked], np.int64)
        if new:
            self._watchers = np.concatenate((self._watchers, np.zeros(len(new), np.int64)))
        self._unwatched += len(new) - int(np.count_nonzero(self._watchers[slots] == 0))
        self._watchers[slots] += 1
        return slots

    def slot(self, name: bytes) -> int:
        """The slot of a name, or -1."""
        return self._slots.get(name, -1)

    def drop(self, slots: Slots) -> None:
        """One watcher less for each of these."""
        self._watchers[slots] -= 1
        self._unwatched += int(np.count_nonzero(self._watchers[slots] == 0))

    def compact(self) -> Slots | None:
        """Forgets what nobody watches, when that is more than half: which slots stay, in order, or None: all do.

        Those that stay are then slots 0, 1, 2...; whoever keeps something by slot keeps it for these only.
        """
        if 2 * self._unwatched <= len(self.names):
            return None
        kept = np.flatnonzero(self._watchers)
        numbers = self.numbers[kept]
        self.names = [self.names[slot] for slot in kept.tolist()]
        self._slots = {name: slot for slot, name in enumerate(self.names)}
        self._watchers = self._watchers[kept]
        self._numbers = numbers
        self._by_number = None
        self._unwatched = 0
        return kept

    def know(self, created: Iterable[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number."""
        for number, name in created:
            slot = self._slots.get(name, -1)
            if slot >= 0:
                self.numbers[slot] = number
                self._by_number = None


class AllNames(WatchedNames):
    """Every SKU that the columns know, and those that they knew before they were loaded anew."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        names = list(columns.index.names(columns.sku_count))
        self._append(names, np.arange(len(names)))
        self._next = len(names)  # the number of the next SKU to be created
        self._lost: dict[bytes, int] = {}  # slots of kits, and of SKUs that other columns knew, that have no number

    def know(self, created: Iterable[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number, in the order of their numbers."""
        new = []
        for number, name in created:
            if number < self._next:
                continue
            self._next = number + 1
            if name in self._lost:
                self.numbers[self._lost.pop(name)] = number
                self._by_number = None
            else:
                new.append((number, name))
        if new:
            self._append([name for _, name in new], np.array([number for number, _ in new], np.int64))

    def add_kits(self, kits: Iterable[str]) -> None:
        """Kits are among all SKUs too, though they have no positions."""
        names = [name for name in map(str.encode, kits) if name not in self._lost]
        new = [names[i] for i in np.flatnonzero(find_numbers(names, self.columns) < 0).tolist()]
        first = len(self.names)
        self._append(new, np.full(len(new), -1))
        self._lost.update(zip(new, range(first, len(self.names)), strict=True))

    def find_anew(self, columns: Columns) -> None:
        """Takes over other columns, their numbers and their SKUs."""
        super().find_anew(columns)
        names = list(columns.index.names(columns.sku_count))
        is_new = np.ones(len(names), bool)
        is_new[self.numbers[self.numbers >= 0]] = False
        new = np.flatnonzero(is_new)
        self._lost = {self.names[slot]: slot for slot in np.flatnonzero(self.numbers < 0).tolist()}
        self._append([names[number] for number in new.tolist()], new)
        self._next = len(names)


def find_numbers(names: Sequence[bytes], columns: Columns) -> Slots:
    """The number of each name in the columns, -1 where it is not known."""
    numbers = np.empty(len(names), np.int64)
    ends = np.cumsum([len(name) for name in names], dtype=np.int64)
    spans = np.empty((len(names), 2), np.int64)
    spans[:, 1] = [len(name) for name in names]
    spans[:, 0] = ends - spans[:, 1]
    kernels.find_names(as_bytes(b"".join(names)), spans, columns.index.slots, columns.index.arena, numbers)
    return numbers
