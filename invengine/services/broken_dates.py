"""The days on which units that were promised would be there now, by the network in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from invengine.services.dating import Part, StandingPart
from invengine.services.promise_routes import Option

if TYPE_CHECKING:
    from invengine.domain.orders import Destination
    from invengine.services.dating import Dating


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
    ship_day: int
    slot_day: int
    ready_minute: int


def days_of(dating: Dating, promised: Sequence[Promised]) -> list[int]:
    """The day of each: delivered, or ready to be collected; 0 where there is none. Two calls of kernels in all.

    Units that are there are dated from when the order was made, but no earlier than they were promised: a cut-off does
    not undo an order that was accepted. Units that are still to come go the whole way from the day on which they come.
    """
    found = [0] * len(promised)
    there = [place for place, one in enumerate(promised) if not one.from_day]
    coming = [place for place, one in enumerate(promised) if one.from_day]
    if there:
        standing = []
        for one in map(promised.__getitem__, there):
            way = one.location, one.option, one.destination
            standing.append(
                StandingPart(*way, one.start_minute, one.ship_day, one.ready_minute, one.confidence_parts)
            )
        for place, day in zip(there, dating.restate(standing).delivery_day.tolist(), strict=True):
            found[place] = day
    if coming:
        starts: dict[tuple[str, int], int] = {}
        again = []
        for one in map(promised.__getitem__, coming):
            key = one.location, one.from_day
            if key not in starts:
                starts[key] = dating.start_of(*key)
            start = max(starts[key], one.start_minute)
            option, to, parts_of = one.option, one.destination, one.confidence_parts
            again.append(Part(one.location, option, to, one.units, start, one.slot_day, parts_of))
        for place, day in zip(coming, dating.redate(again).delivery_day.tolist(), strict=True):
            found[place] = day
    return found
