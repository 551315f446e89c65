"""The days on which units that were promised would be there now, by the network in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from invengine.domain.kept import NO_DATES, NewDates
from invengine.domain.orders import Fulfilment
from invengine.services.dating import Dating, Part, StandingPart
from invengine.services.promise_routes import Option

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Destination
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.dating import Redated
    from invengine.services.networks import Networks
    from invengine.services.promise_routes import TransitDays


MINUTE_MS: Final = 60_000


class Transit(Protocol):
    """Where learnt transit times are found."""

    @property
    def times(self) -> TransitDays:
        """Those in force."""


class Promised(NamedTuple):
    """Units of a promised line at one location, with all that decides when they are there.

    `from_day`      from which they are at the location; 0: they are there, and the order was accepted
    `start_minute`  at which the order was made, in minutes since 1970 UTC
    `ship_day`      on which they were to leave, 0 where they are collected there; they do not leave before
    `slot_day`      for which the reservation holds capacity, 0 for none
    `ready_minute`  at which they were to be ready to be collected, 0 for none; they are not before
    """

    location: str
    option: Option
    destination: Destination
    confidence_parts: int
    units: int
    from_day: int
    start_minute: int
    ship_day: int = 0
    slot_day: int = 0
    ready_minute: int = 0


class KeptDates:
    """Dates what was promised by the network and the transit times in force."""

    def __init__(self, replica: Replica, clock: StoreClock, networks: Networks, transit: Transit) -> None:
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._transit = transit
        self._of: tuple[Network, TransitDays] | None = None
        self._dating: Dating | None = None

    @property
    def dating(self) -> Dating:
        """What dates by them. NetworkMissing."""
        network, times = self._networks.required(), self._transit.times
        if self._dating is None or self._of is None or self._of[0] is not network or self._of[1] is not times:
            self._dating = Dating(network, times, self._replica, self._clock)
            self._of = network, times
        return self._dating

    @property
    def basis(self) -> object:
        """The network and the transit times that count now; equal as long as both are the same."""
        return id(self._networks.current), id(self._transit.times)

    def dates(self, promised: Sequence[Promised]) -> list[NewDates]:
        """As `dates_of`."""
        return dates_of(self.dating, promised) if promised else []

    def dates_of_new(self, wanted: Sequence[Promised]) -> list[NewDates]:
        """The dates of orders that would be made now: by the cut-off, and with what is left of the capacity."""
        found = [NO_DATES] * len(wanted)
        _fill(found, range(len(wanted)), self.dating.redate(_parts(self.dating, wanted)))
        return found


def option_of(fulfilment: Fulfilment, service: str) -> Option:
    """The way in which a line comes to its customer; of one that left it open: shipped."""
    if fulfilment in (Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE):
        return Option(fulfilment)
    return Option(Fulfilment.SHIP, service)


def dates_of(dating: Dating, promised: Sequence[Promised]) -> list[NewDates]:
    """The dates of each, NO_DATES where there are none. Two calls of kernels in all.

    Units that are there are dated from when the order was made, but no earlier than they were promised: a cut-off does
    not undo an order that was accepted. Units that are still to come go the whole way from the day on which they come.
    """
    found = [NO_DATES] * len(promised)
    there = [place for place, one in enumerate(promised) if not one.from_day]
    coming = [place for place, one in enumerate(promised) if one.from_day]
    if there:
        standing = []
        for one in map(promised.__getitem__, there):
            way = one.location, one.option, one.destination
            standing.append(StandingPart(*way, one.start_minute, one.ship_day, one.ready_minute, one.confidence_parts))
        _fill(found, there, dating.restate(standing))
    if coming:
        _fill(found, coming, dating.redate(_parts(dating, [promised[place] for place in coming])))
    return found


def _parts(dating: Dating, promised: Sequence[Promised]) -> list[Part]:
    """Units that go the whole way: from the day on which they come, or from when the order is made."""
    starts: dict[tuple[str, int], int] = {}
    parts = []
    for one in promised:
        key = one.location, one.from_day
        if key not in starts:
            starts[key] = dating.start_of(*key) if one.from_day else 0
        start = max(starts[key], one.start_minute)
        parts.append(
            Part(one.location, one.option, one.destination, one.units, start, one.slot_day, one.confidence_parts)
        )
    return parts


def _fill(found: list[NewDates], places: Sequence[int], dated: Redated) -> None:
    columns = (dated.delivery_day, dated.ship_day, dated.slot_day, dated.ready)
    for place, *dates in zip(places, *(column.tolist() for column in columns), strict=True):
        if dates[0]:
            found[place] = NewDates(*dates)
