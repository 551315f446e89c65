"""The day on which units that a line was promised would be there now, by the network in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Destination, Fulfilment


class Question(NamedTuple):
    """All that decides a day; many lines share one.

    `from_day`      from which the units are at the location; 0: they are there, and the order was accepted
    `ship_day`      on which they were to leave (SHIP, SHIP_TO_STORE); they do not leave before
    `ready_minute`  at which they were to be ready to be collected; they are not before
    """

    location: str
    fulfilment: Fulfilment
    service: str
    destination: Destination
    confidence_parts: int
    from_day: int
    ship_day: int
    ready_minute: int


class Dates(Protocol):
    """Answers such questions, many at once."""

    def days(self, network: Network, questions: Sequence[Question]) -> list[int]:
        """The day of each: delivered, or ready to be collected; 0 where there is none."""
