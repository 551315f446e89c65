"""Values by SKU and location: what watchers of single locations were told."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Final

NO_PLACE: Final = -1  # of a SKU that has no position that can be used
_WIDTH: Final = 4  # number of the location, units, code, count of the look when it became this


class Cells:
    """The cells of each slot, flat in one array: small lists of small numbers, of which there may be many."""

    def __init__(self) -> None:
        self._of: dict[int, array[int]] = {}

    def take(
        self, slot: int, status_code: int, rows: Sequence[tuple[int, int, int]], count: int, *, is_all: bool
    ) -> bool:
        """Takes in the rows of a SKU: location, units, level. Whether a value became another one.

        What was told and has no row any more offers nothing. A SKU without rows is told without a location, unless all
        SKUs are watched (`is_all`): then only those that have rows, or had, are told.
        """
        cells = self._of.get(slot)
        known = {} if cells is None else {cells[at]: at for at in range(0, len(cells), _WIDTH)}
        wanted = {place: (units, status_code + level) for place, units, level in rows}
        for place in known:
            if place != NO_PLACE:
                wanted.setdefault(place, (0, status_code + 1))  # OUT
        if not wanted:
            if is_all:
                return False
            wanted[NO_PLACE] = (0, status_code + 1)
        changed = False
        fresh = array("q")
        for place, (units, code) in wanted.items():
            at = known.get(place, -1)
            since = count
            if at >= 0 and cells is not None and cells[at + 1] == units and cells[at + 2] == code:
                since = cells[at + 3]
            else:
                changed = True
            fresh.extend((place, units, code, since))
        self._of[slot] = fresh
        return changed

    def told_after(self, slot: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Location, units and code of the cells that became what they are after the look of this count."""
        cells = self._of[slot]
        for at in range(0, len(cells), _WIDTH):
            if cells[at + 3] > count:
                yield cells[at], cells[at + 1], cells[at + 2]

    def keep(self, kept: Sequence[int]) -> None:
        """Only these slots stay, as slots 0, 1, 2..."""
        self._of = {new: self._of[old] for new, old in enumerate(kept) if old in self._of}
