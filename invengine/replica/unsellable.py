"""Units that are there and not sellable, as the change log has them: few beside the positions, so plain objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from invengine.domain.stock import UNITS_MAX, Unsellable
from invengine.replica.rows import RowMalformed, columns_of, number_in

_COLUMNS: Final = 8  # of a U row, what stands behind its last TAB among them

Key = tuple[str, str]
"""Location and state."""


class UnsellableUnits:
    """Units in states. A row that is older than what is known changes nothing."""

    def __init__(self) -> None:
        self._by_sku: dict[str, dict[Key, Unsellable]] = {}

    def at(self, sku: str, location: str) -> tuple[tuple[str, int], ...]:
        """The states with units at a position, (state, units), by state."""
        kept = self._by_sku.get(sku, {})
        found = [(state, one.units) for (place, state), one in kept.items() if place == location and one.units]
        return tuple(sorted(found))

    def units(self, sku: str, location: str, state: str) -> int:
        """Units in one state."""
        found = self._by_sku.get(sku, {}).get((location, state))
        return found.units if found else 0

    def used_at(self, location: str) -> list[tuple[str, str]]:
        """SKUs and states that were ever used at a location, also without units now. Looks at all of them."""
        return [(sku, state) for sku, kept in self._by_sku.items() for place, state in kept if place == location]

    def all(self) -> list[Unsellable]:
        """Everything that is known, also states without units."""
        return [one for kept in self._by_sku.values() for one in kept.values()]

    def load(self, found: Iterable[Unsellable]) -> None:
        """Takes in what the store has."""
        for one in found:
            self._keep(one)

    def apply(self, revision: int, row: bytes) -> None:
        """Takes in a U row, without its line feed, of an entry of this revision. RowMalformed."""
        _, sku, location, state, units, _change, counted_at_ms, _ = columns_of(row, "U", _COLUMNS)
        if not sku or not location or not state:
            raise RowMalformed
        self._keep(
            Unsellable(sku, location, state, number_in(units, UNITS_MAX), revision, number_in(counted_at_ms, UNITS_MAX))
        )

    def _keep(self, one: Unsellable) -> None:
        kept = self._by_sku.setdefault(one.sku, {})
        key = one.location, one.state
        if key not in kept or kept[key].revision <= one.revision:
            kept[key] = one
