"""The SKUs that a view watches: slots of their own, whatever numbers the replica has for them.

A replica that is loaded anew numbers its SKUs anew; what watchers were told is kept by slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from invengine.services.watch_network import NamedSkus, NetworkSlots, find_numbers

if TYPE_CHECKING:
    from invengine.replica.columns import Columns
    from invengine.services.watch_network import Slots


class WatchedNames:
    """Names by slot, and the number that each has in `columns`, -1 while it is not known there.

    `in_network` says which of them are kits, and which have rules for low stock.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.names: list[bytes] = []
        self.in_network = NetworkSlots(NamedSkus())
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
        slots = self._slot_of_each(numbers)
        return slots[slots >= 0]

    def use(self, named: NamedSkus) -> None:
        """Takes over what a network says of single SKUs."""
        self.in_network = NetworkSlots(named)
        self.in_network.take(enumerate(self.names))

    def know(self, created: Sequence[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number, in the order of their numbers."""
        raise NotImplementedError

    def find_anew(self, columns: Columns) -> None:
        """Takes over other columns, and their numbers."""
        self.columns = columns
        self.numbers[:] = find_numbers(self.names, columns)
        self._by_number = None
        self.in_network.find_anew()

    def _slot_of_each(self, numbers: Slots) -> Slots:
        """The slot of each of the numbers, -1 for one that is not watched; some slot of an unknown one for -1."""
        if self._by_number is None:
            order = np.argsort(self.numbers, kind="stable")
            self._by_number = self.numbers[order], order
        ordered, order = self._by_number
        if not ordered.size:
            return np.full(numbers.size, -1, np.int64)
        places = np.minimum(np.searchsorted(ordered, numbers), ordered.size - 1)
        return np.where(ordered[places] == numbers, order[places], -1)

    def _append(self, names: Sequence[bytes], numbers: Slots) -> None:
        used = len(self.names)
        if used + len(names) > self._numbers.size:
            longer = np.empty(max(2 * self._numbers.size, used + len(names)), np.int64)
            longer[:used] = self.numbers
            self._numbers = longer
        self.names += names
        self.numbers[used:] = numbers
        self._by_number = None
        self.in_network.take(enumerate(names, used))


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
        self.in_network.keep(kept.tolist())
        return kept

    def know(self, created: Sequence[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number."""
        self.in_network.know(created)
        for number, name in created:
            slot = self._slots.get(name, -1)
            if slot >= 0:
                self.numbers[slot] = number
                self._by_number = None


class AllNames(WatchedNames):
    """Every SKU that the columns know, those that they knew before they were loaded anew, and kits."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        names = list(columns.index.names(columns.sku_count))
        self._append(names, np.arange(len(names)))
        self._next = len(names)  # the number of the next SKU to be created
        self._lost: dict[bytes, int] = {}  # slots of SKUs without a number: kits, and what other columns knew

    def use(self, named: NamedSkus) -> None:
        """Takes over what a network says of single SKUs; its kits are watched from now on."""
        self.in_network = NetworkSlots(named)
        if not named.names:
            return
        names = list(named.names)
        numbers = find_numbers(names, self.columns)
        by_number = self._slot_of_each(numbers).tolist()
        slots = [
            by if number >= 0 and by >= 0 else self._lost.get(name, -1)
            for name, number, by in zip(names, numbers.tolist(), by_number, strict=True)
        ]
        self.in_network.take((slot, name) for slot, name in zip(slots, names, strict=True) if slot >= 0)
        # a kit that has a number and no slot is a SKU that `know` is still to be told of
        new = [
            name
            for name, number, slot in zip(names, numbers.tolist(), slots, strict=True)
            if number < 0 and slot < 0 and name in named.kits
        ]
        self._lost.update(zip(new, range(len(self.names), len(self.names) + len(new)), strict=True))
        self._append(new, np.full(len(new), -1))

    def know(self, created: Sequence[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number, in the order of their numbers."""
        self.in_network.know(created)
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
