"""What each location could give a basket: as the replica has it now, or as a caller of sourcing brings it along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.kernels.layout import IGNORED_COLUMNS, TERM_AVAILABLE, TERM_COLUMNS, TERM_RANK
from invengine.services.promisable import Promisable
from invengine.services.selection import select

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica
    from invengine.services.promisable import Step
    from invengine.services.selection import Selection

Block = npt.NDArray[np.int64]


class Lent(NamedTuple):
    """Reserved units of a position that count as free for this question: those that are to be moved, for example.

    `fenced` of them came out of a ring-fence, `own` of these out of that of the channel that asks.
    """

    units: int
    fenced: int = 0
    own: int = 0


Loans = Mapping[tuple[str, str], Lent]
"""By (SKU, location)."""


class Offers(Protocol):
    """What there is to be sourced, to one channel at one moment."""

    def on_hand(self, skus: Sequence[str]) -> Block:
        """int64 [SKUs, locations]: units that can be taken now, at the locations of the network by priority and id."""

    def steps(self, sku: str, location: str) -> Sequence[Step]:
        """(day, units) by the end of which day so many can be had: of today, then of the days on which there are more.

        Asked about locations of the network only, and for lines that may wait.
        """

    def today(self, location: str) -> int:
        """What day it is at a location."""

    def knows(self, sku: str) -> bool:
        """Whether there is such a SKU: anything of it was ever recorded or is expected."""


class Stock:
    """The stock of the replica, to be offered; what a network says about it is worked out once."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._network: Network | None = None
        self._seen: dict[str, Seen] = {}

    def offers(
        self, network: Network, channel: str, locations: Sequence[str], now_ms: int, loans: Loans | None = None
    ) -> LiveOffers:
        """What a channel could take at these locations, all of the network; UnknownChannel."""
        if self._network is not network:
            self._seen.clear()
            self._network = network
        seen = self._seen.get(channel)
        if seen is None or seen.locations is not locations:
            seen = self._seen[channel] = self._see(network, channel, locations)
        self._replica.advance(now_ms)
        return LiveOffers(self._replica, seen, now_ms, loans or {})

    def _see(self, network: Network, channel: str, locations: Sequence[str]) -> Seen:
        replica = self._replica
        selection = select(network, replica.locations, replica.channels, channel, locations=tuple(locations))
        rank = {name: place for place, name in enumerate(selection.asked)}
        return Seen(selection, locations, np.array([rank[name] for name in locations], np.int64))


class Seen(NamedTuple):
    """How a channel sees locations: `ranks` int64 [locations] are their places in the selection."""

    selection: Selection
    locations: Sequence[str]
    ranks: Block


class LiveOffers:
    """The stock of the replica as one channel sees it at one moment."""

    def __init__(self, replica: Replica, seen: Seen, now_ms: int, loans: Loans) -> None:
        self._replica = replica
        self._seen = seen
        self._now_ms = now_ms
        self._loans = loans
        self._promisable: Promisable | None = None

    def on_hand(self, skus: Sequence[str]) -> Block:
        """int64 [SKUs, locations]: units that can be taken now."""
        selection, columns = self._seen.selection, self._replica.columns
        block = selection.at(self._now_ms)
        by_rank = np.zeros((len(skus), len(selection.asked)), np.int64)
        terms = np.empty((len(selection.asked), TERM_COLUMNS), np.int64)
        for row, sku in enumerate(skus):
            number = columns.find_sku(sku)
            if number < 0:
                continue
            count = kernels.available_positions(
                number, columns.positions, columns.skus, columns.fences, block, self._free(sku), terms
            )
            by_rank[row, terms[:count, TERM_RANK]] = terms[:count, TERM_AVAILABLE]
        return by_rank[:, self._seen.ranks]

    def steps(self, sku: str, location: str) -> Sequence[Step]:
        """What can be promised by the end of each day; what is lent comes on top, from the first of them on."""
        steps = self._ahead().at(sku, location).steps
        lent = self._loans.get((sku, location))
        return steps if lent is None else [(day, units + lent.units) for day, units in steps]

    def today(self, location: str) -> int:
        """What day it is at a location."""
        return self._ahead().today(location)

    def knows(self, sku: str) -> bool:
        """Whether anything of it was ever recorded or is expected."""
        return self._replica.columns.find_sku(sku) >= 0 or sku in self._replica.incoming

    def _ahead(self) -> Promisable:
        if self._promisable is None:
            network, channel = self._seen.selection.network, self._seen.selection.channel
            borrows = network.channel(channel).borrows
            self._promisable = Promisable(self._replica, network, channel, self._now_ms, borrows)
        return self._promisable

    def _free(self, sku: str) -> Block:
        selection = self._seen.selection
        if not self._loans:
            return selection.nothing_ignored
        found = np.zeros((len(selection.asked), IGNORED_COLUMNS), np.int64)
        for rank, location in enumerate(selection.asked):
            lent = self._loans.get((sku, location))
            if lent is not None:
                found[rank] = lent
        return found
