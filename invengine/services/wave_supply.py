"""The units that a wave shares out, as its kernel wants them: a row for each SKU, a column for each place of stock.

What a channel can take at a position depends on the channel: safety stock, ring-fences, confidence. Where all channels
of the wave that want the SKU see the same, the position is one cell. Where they do not, it is several, each for those
who may have it: the own ring-fence of each channel, and layers of what is fenced for nobody. With the channels in
the order in which their orders are committed, and b the units that each can take beyond its own ring-fence,

    reach of a channel = the least b of the channel itself and of those after it

a channel may have the layers up to its reach. Then whatever is planned can be taken in that order: of what must stay
for one channel and not for another, nothing is taken before the former had its units. Where ring-fences and what must
stay get in each other's way all the same, the position is layered by all that each can take, as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.int64]


class Offer(NamedTuple):
    """What a channel could take at a position, the units of its own ring-fence, the units that need not stay there."""

    units: int
    fenced: int = 0
    room: int = 0


class Cell(NamedTuple):
    """Units at a location for some channels only; the column is that of the location's `layer`."""

    layer: int
    units: int
    channels: frozenset[str]


class Column(NamedTuple):
    """A column of the stock: layer 0 of each location, then more where channels see different stock."""

    location: str
    layer: int


def cells_of(offers: Mapping[str, Offer]) -> list[Cell]:
    """The cells of a position: `offers` of the channels, in the order of committing."""
    seen = {channel: offer for channel, offer in offers.items() if offer.units > 0}
    if not seen:
        return []
    own = {channel: min(offer.fenced, offer.units) for channel, offer in seen.items()}
    if len(seen) == 1 or not _are_apart(seen, own):
        own = dict.fromkeys(seen, 0)
    cells = [(units, frozenset((channel,))) for channel, units in own.items() if units]
    reach: dict[str, int] = {}
    least = max([offer.units for offer in seen.values()])
    for channel in reversed(seen):
        reach[channel] = least = min(least, seen[channel].units - own[channel])
    below = 0
    for units in sorted(set(reach.values())):
        if units > below:
            cells.append((units - below, frozenset([channel for channel in seen if reach[channel] >= units])))
            below = units
    return [Cell(layer, units, channels) for layer, (units, channels) in enumerate(cells)]


def _are_apart(seen: Mapping[str, Offer], own: Mapping[str, int]) -> bool:
    """Whether each channel can take all that it could alone after those before it took their ring-fences."""
    before = 0
    for channel, offer in seen.items():
        if before > offer.room - offer.units:
            return False
        before += own[channel]
    return True


class Stock:
    """The stock of a wave as it is gathered: cells by SKU and location."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._columns: dict[Column, int] = {}
        self._cells: dict[tuple[str, str], list[Cell]] = {}
        self._places: tuple[list[int], list[int]] = [], []  # rows and columns of
        self._units: list[int] = []

    @property
    def columns(self) -> Sequence[Column]:
        """The columns, in their order."""
        return tuple(self._columns)

    @property
    def has_layers(self) -> bool:
        """Whether channels see different stock anywhere."""
        return any(column.layer for column in self._columns)

    @property
    def rows(self) -> Mapping[str, int]:
        """The row of each SKU."""
        return self._rows

    def add(self, sku: str, location: str, cells: list[Cell]) -> None:
        """What there is of a SKU at a location."""
        row = self._rows.setdefault(sku, len(self._rows))
        if cells:
            self._cells[sku, location] = cells
            for cell in cells:
                self._places[0].append(row)
                self._places[1].append(self._columns.setdefault(Column(location, cell.layer), len(self._columns)))
                self._units.append(cell.units)

    def row(self, sku: str) -> int:
        """The row of a SKU that was added."""
        return self._rows[sku]

    def cells(self, sku: str, location: str) -> Sequence[Cell]:
        """What there is of a SKU at a location."""
        return self._cells.get((sku, location), ())

    def column(self, location: str, layer: int) -> int:
        """The column of a layer of a location."""
        return self._columns[Column(location, layer)]

    def block(self) -> Block:
        """Units, int64 [SKUs, columns]."""
        found = np.zeros((max(1, len(self._rows)), max(1, len(self._columns))), np.int64)
        found[self._places[0], self._places[1]] = self._units
        return found
