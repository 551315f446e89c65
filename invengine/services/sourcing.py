"""Which locations the lines of a basket may come from, and in which order they are tried.

Reservations, amendments and rebindings ask here what may serve a line at all. Where no profile is in force they hand
what they get to the store, which takes from the candidates in their order: a line names a location, or a group, or
nothing, and what is left open is ordered by the priority of the locations. Where one is, plans (sourcing_plans.py)
decide among the candidates: planned_reserving.py, planned_changes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Candidate, Destination, Fulfilment
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica


class Wanted(Protocol):
    """What sourcing needs to know of a line."""

    @property
    def sku(self) -> str:
        """What is wanted."""

    @property
    def quantity(self) -> int:
        """How many units of it."""

    @property
    def location(self) -> str:
        """The location that the caller named, or empty."""

    @property
    def group(self) -> str:
        """The group that the caller named, or empty."""

    @property
    def fulfilment(self) -> Fulfilment:
        """How the customer gets them."""

    @property
    def destination(self) -> Destination:
        """Where they go."""

    @property
    def allow_split(self) -> bool:
        """Whether they may come from several locations."""


class Sourcing:
    """Sources baskets of one engine."""

    def __init__(self, replica: Replica, clock: StoreClock) -> None:
        self._replica = replica
        self._clock = clock

    def candidates(self, channel: str, basket: Sequence[Wanted], network: Network) -> list[tuple[Candidate, ...]]:
        """Per line of the basket the locations that it may come from, best first, each with what must stay there.

        A location that a line names is refused where it cannot be used; of a group, or of all that the channel sees,
        those that cannot are left out, so a line may have none. UnknownChannel, ChannelDisabled, UnknownLocation,
        LocationNotUsable, UnknownGroup, GroupNotUsable.
        """
        found = []
        for line in basket:
            usable = network.usable(channel, location=line.location, group=line.group, fulfilment=line.fulfilment)
            found.append(network.candidates(channel, line.sku, usable))
        return found
