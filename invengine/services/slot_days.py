"""Days of capacity: on which day a location has prepared units, and which days have room for them.

The first steps of a promise: an order is accepted before the cut-off of a working day, else on the next one; handling
takes working time; then the first working day with room prepares it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.calendars import ALWAYS, local_time, utc_minute
from invengine.domain.capacity import capacity_day, capacity_sku, slot_line_id
from invengine.domain.orders import Candidate, Fulfilment, PlacedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invengine.domain.calendars import Calendar
    from invengine.domain.network_parts import Location

HORIZON_DAYS: Final = 730
"""Days after the day of asking that are looked at."""


class SlotPlace(NamedTuple):
    """Where slots are taken: a location and a way, the slots that a day has, and whether they are orders."""

    location: str
    fulfilment: Fulfilment
    capacity: int
    by_order: bool

    @property
    def sku(self) -> str:
        """The SKU of its slots."""
        return capacity_sku(self.location, self.fulfilment.value)


def done_day(place: Location, fulfilment: Fulfilment, service: str, start: int) -> int:
    """The local day on which units that are there from the UTC minute `start` on have been handled; 0 for never.

    A location without a calendar works always.
    """
    calendar, zone = place.calendar or ALWAYS, place.time_zone
    preparation = place.preparation[fulfilment]
    day, minute = local_time(start, zone)
    last = day + HORIZON_DAYS
    spans, cut_off = calendar.spans(day), preparation.cut_off_of(service)
    if not spans or minute >= (spans[-1][1] if cut_off is None else cut_off):
        day += 1
        while day <= last and not calendar.is_open(day):
            day += 1
    left = preparation.handling_minutes
    while day <= last:
        for from_minute, to_minute in calendar.spans(day):
            begin, end = utc_minute(day, from_minute, zone), utc_minute(day, to_minute, zone)
            begin = max(begin, start)
            if begin >= end:
                continue
            if left <= end - begin:
                return day
            left -= end - begin
        day += 1
    return 0


def days_with_room(
    calendar: Calendar | None, first: int, units: int, capacity: int, taken: Mapping[int, int]
) -> list[tuple[int, int]]:
    """Working days from `first` on and the slots to take on each: all on the first day with room, or of more than a
    whole day's capacity what is left day after day. Empty when there is no room within the horizon.
    """
    works = calendar or ALWAYS
    found: list[tuple[int, int]] = []
    for day in range(first, first + HORIZON_DAYS):
        if not works.is_open(day):
            continue
        room = max(0, capacity - taken.get(day, 0))
        if units <= capacity:
            if room >= units:
                return [(day, units)]
        elif room:
            left = units - sum(count for _, count in found)
            found.append((day, min(room, left)))
            if room >= left:
                return found
    return []


def slot_line(place: SlotPlace, line_id: str, days: Mapping[int, int]) -> PlacedRequest:
    """The line that takes slots of days; without a line_id the slot of an order."""
    units = sum(days.values())
    return PlacedRequest(
        slot_line_id(place.location, place.fulfilment.value, line_id),
        place.sku,
        units,
        slot_candidates(place.capacity, days),
        place.fulfilment,
        asked=units,
        units_at=tuple(days.values()),
    )


def slot_candidates(capacity: int, days: Mapping[int, int]) -> tuple[Candidate, ...]:
    """Days as the store takes them: what must stay there is minus the capacity."""
    return tuple([Candidate(capacity_day(day), -capacity) for day in days])
