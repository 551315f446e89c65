"""Dates of orders that stand, as they are defined: the chain of `promise_reference` without cut-off and slots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from invengine.domain.orders import Destination, Fulfilment
from invengine.kernels.layout import BEYOND_HORIZON, DATED
from tests.kernels.promise_reference import (
    Answer,
    Way,
    World,
    handled,
    local_date,
    missing,
    next_working_day,
    opening,
    ready,
    sent_to_store,
    shipped,
)


@dataclass
class Standing:
    """Units that are at a location since `start`; they do not leave before a day, nor are ready before an instant."""

    location: str
    start: datetime
    leaves: date | None = None
    ready: datetime | None = None


def date_standing(world: World, units: Standing, way: Way, destination: Destination) -> Answer:
    """All steps for one location and one way."""
    gap = missing(world, units.location, way, destination)
    if gap != DATED:
        return Answer(gap)
    place, (how, service) = world.locations[units.location], way
    if how is Fulfilment.SHIP_TO_STORE and destination.location == units.location:
        how = Fulfilment.PICKUP
    assert place.calendar is not None
    minutes = place.preparation[how].handling_minutes
    handling = handled(world, place.calendar, place, local_date(units.start, place), units.start, minutes)
    if handling is None:
        return Answer(BEYOND_HORIZON)
    begin, done, day = handling
    if how is Fulfilment.PICKUP:
        prepared = max(done, units.ready) if units.ready else done
        return ready(world, place, day, prepared, Answer(BEYOND_HORIZON, begin, done, day))
    prepared = done
    if units.leaves is not None and units.leaves > day:
        later = next_working_day(world, place, units.leaves)
        if later is None:
            return Answer(BEYOND_HORIZON)
        day, prepared = later, opening(place, later)
    answer = Answer(BEYOND_HORIZON, begin, done, day)
    if how is Fulfilment.SHIP:
        return shipped(world, place, units.location, service, destination, answer)
    return sent_to_store(world, place, units.location, destination.location, prepared, answer)
