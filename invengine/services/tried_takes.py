"""What lines would take, kept while a dry run goes on: the lines after them do not have it, whatever their channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invengine.domain.orders import KitRequest
from invengine.kernels.layout import LOCATION

if TYPE_CHECKING:
    from invengine.domain.orders import LineRequest
    from invengine.replica.replica import Replica
    from invengine.services.shelf import Shelf


class TriedTakes:
    """Takes that nobody wrote."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._units: dict[tuple[str, str], int] = {}
        self._fenced: dict[tuple[str, str], dict[str, int]] = {}

    def note(self, channel: str, line: LineRequest, parts: Iterable[tuple[str, int]]) -> None:
        """A channel would take so many units (or kits) at these locations: out of its own ring-fence first."""
        components = [(line.sku, 1)]
        if isinstance(line, KitRequest):
            components = [(one.sku, one.units) for one in line.components]
        for location, count in parts:
            for sku, units in components:
                place = sku, location
                self._units[place] = self._units.get(place, 0) + count * units
                fenced = self._fenced.setdefault(place, {})
                before = fenced.get(channel, 0)
                own = self._fence(sku, location, channel) - before
                fenced[channel] = before + min(own, count * units)

    def take_from(self, shelf: Shelf) -> None:
        """Takes all of it off a shelf."""
        for (sku, location), units in self._units.items():
            for channel, fenced in self._fenced[sku, location].items():
                shelf.give(sku, location, 0, -fenced, own=shelf.channel == channel)
            shelf.give(sku, location, -units)

    def _fence(self, sku: str, location: str, channel: str) -> int:
        """Units in the channel's ring-fence at a position."""
        columns, names = self._replica.columns, self._replica.locations.names
        number = columns.find_sku(sku)
        for row in columns.rows(number).tolist() if number >= 0 else ():
            if names[row[LOCATION]] == location:
                return {name: units + over for name, units, over in columns.ring_fences(row)}.get(channel, 0)
        return 0
