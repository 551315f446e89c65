"""The watched SKUs of which the network file itself says something: kits, and SKUs with rules for low stock.

Everything is by slot, and a store without either pays for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.replica.index import as_bytes
from invengine.services.selection import RuledSkus

if TYPE_CHECKING:
    from invengine.domain.kits import Kit
    from invengine.domain.network import Network
    from invengine.replica.columns import Columns

Slots = npt.NDArray[np.int64]

_NONE: Final[Slots] = np.empty(0, np.int64)


class NamedSkus:
    """What a network says of single SKUs, by the bytes of their names: worked out once for all views."""

    def __init__(self, network: Network | None = None) -> None:
        self.kits: Final[dict[bytes, Kit]] = {}
        self.ruled: Final = RuledSkus(network.threshold_skus() if network is not None else ())
        if network is not None:
            self.kits.update((name.encode(), kit) for name, kit in network.kits.items())
        self.names: Final = frozenset((*self.kits, *(name.encode() for name in self.ruled.names)))


class NetworkSlots:
    """Which slots of some names are kits, which of these a component changes, and which have rules for low stock."""

    def __init__(self, named: NamedSkus) -> None:
        self._named = named
        self.kits: dict[int, Kit] = {}
        self._ruled: set[int] = set()
        self._kit_slots = self._ruled_slots = _NONE  # in order
        self._components: set[bytes] = set()
        self._pairs: tuple[Slots, Slots] | None = None

    def take(self, names: Iterable[tuple[int, bytes]]) -> None:
        """Takes in slots with their names, those that the network says nothing of too."""
        named = self._named
        found = [(slot, name) for slot, name in names if name in named.names] if named.names else []
        if not found:
            return
        self.kits.update((slot, named.kits[name]) for slot, name in found if name in named.kits)
        self._ruled.update(slot for slot, name in found if name.decode() in named.ruled.places)
        self._sort()

    def keep(self, kept: Sequence[int]) -> None:
        """Only these slots stay, as slots 0, 1, 2..."""
        self.kits, ruled, kits = {}, self._ruled, self.kits
        self.kits.update((new, kits[old]) for new, old in enumerate(kept) if old in kits)
        self._ruled = {new for new, old in enumerate(kept) if old in ruled}
        self._sort()

    def know(self, created: Sequence[tuple[int, bytes]]) -> None:
        """SKUs that came to have a number: components may be among them."""
        if self._pairs is not None and any(name in self._components for _, name in created):
            self._pairs = None

    def find_anew(self) -> None:
        """SKUs have other numbers from now on."""
        self._pairs = None

    def kits_among(self, slots: Slots) -> Slots:
        """At which places of `slots` there are kits."""
        return _places(slots, self._kit_slots)

    def ruled_among(self, slots: Slots) -> Slots:
        """At which places of `slots` there are SKUs with rules for low stock of their own."""
        return _places(slots, self._ruled_slots)

    def pairs(self, columns: Columns) -> tuple[Slots, Slots]:
        """The numbers of all components, -1 where one is not known, in order, and beside each the slot of its kit."""
        if not self.kits:
            return _NONE, _NONE
        if self._pairs is None:
            names = [part.sku.encode() for kit in self.kits.values() for part in kit]
            slots = np.repeat(np.array(list(self.kits), np.int64), [len(kit) for kit in self.kits.values()])
            numbers = find_numbers(names, columns)
            order = np.argsort(numbers, kind="stable")
            self._components = set(names)
            self._pairs = numbers[order], slots[order]
        return self._pairs

    def kits_with(self, numbers: Slots, columns: Columns) -> Slots:
        """The slots of the kits that have one of these numbers among their components."""
        components, slots = self.pairs(columns)
        if not components.size:
            return _NONE
        first, end = np.searchsorted(components, numbers, "left"), np.searchsorted(components, numbers, "right")
        spans = [slots[first[i] : end[i]] for i in np.flatnonzero(end > first).tolist()]
        return np.unique(np.concatenate(spans)) if spans else _NONE

    def _sort(self) -> None:
        self._kit_slots = np.array(sorted(self.kits), np.int64)
        self._ruled_slots = np.array(sorted(self._ruled), np.int64)
        self._pairs = None


def _places(slots: Slots, marked: Slots) -> Slots:
    if not marked.size:
        return _NONE
    return np.flatnonzero(marked[np.minimum(np.searchsorted(marked, slots), marked.size - 1)] == slots)


def find_numbers(names: Sequence[bytes], columns: Columns) -> Slots:
    """The number of each name in the columns, -1 where it is not known."""
    numbers = np.empty(len(names), np.int64)
    ends = np.cumsum([len(name) for name in names], dtype=np.int64)
    spans = np.empty((len(names), 2), np.int64)
    spans[:, 1] = [len(name) for name in names]
    spans[:, 0] = ends - spans[:, 1]
    kernels.find_names(as_bytes(b"".join(names)), spans, columns.index.slots, columns.index.arena, numbers)
    return numbers
