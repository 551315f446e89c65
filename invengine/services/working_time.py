"""When a location works, day by day, as people ask for it: hours, holidays, cut-offs, what is collected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from invengine.domain.calendars import Spans, local_day, utc_minute
from invengine.domain.orders import Fulfilment
from invengine.errors import InvalidArgument, UnknownLocation
from invengine.services import validation

if TYPE_CHECKING:
    from invengine.domain.network import Location, Network

DAYS_MAX: Final = 366
_DAY_MAX: Final = 2_932_000  # in the year 9997: no calendar of the machine ends within the answer


@dataclass(frozen=True, slots=True)
class DayCutOff:
    """Until when an order counts as of a working day: the local minute, and the same in minutes since 1970 UTC."""

    fulfilment: Fulfilment
    service: str  # empty: of every service without one of its own
    minute: int
    utc_minute: int


@dataclass(frozen=True, slots=True)
class WorkingDay:
    """One local day."""

    day: int
    working: Spans
    opening: Spans
    holiday: str
    is_exception: bool
    cut_offs: tuple[DayCutOff, ...]
    collected: tuple[str, ...]  # services


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """The days that were asked for, and the ways in which goods leave."""

    location: str
    place: Location
    days: tuple[WorkingDay, ...]
    fulfilments: tuple[Fulfilment, ...]


def working_time(network: Network, location: str, *, first_day: int, days: int, now_ms: int) -> WorkingTime:
    """Local days of a location from `first_day` on; 0: from today. UnknownLocation, InvalidArgument."""
    validation.required_id("location", location)
    validation.count_of("days", days, DAYS_MAX)
    place = network.locations.get(location)
    if place is None:
        raise UnknownLocation(location)
    first = first_day or local_day(now_ms // 60_000, place.time_zone)
    if first > _DAY_MAX:
        raise InvalidArgument("first_date", "is after the year 9996")
    sends_to_stores = any(start == location for start, _ in network.delivery.transfer_lanes)
    fulfilments = tuple(
        fulfilment
        for fulfilment in place.preparation
        if place.can_fulfil(fulfilment) and (fulfilment is not Fulfilment.SHIP_TO_STORE or sends_to_stores)
    )
    lanes = network.delivery.lanes_from.get(location, ())
    pickups = sorted({(lane.service, lane.pickups.name): lane.pickups for lane in lanes}.items())
    found = []
    for day in range(first, first + days):
        working = place.calendar.spans(day) if place.calendar else ()
        collected = dict.fromkeys(service for (service, _), calendar in pickups if working and calendar.is_open(day))
        found.append(
            WorkingDay(
                day,
                working,
                place.opening.spans(day) if place.opening else (),
                _holiday(place, day),
                any(calendar and day in calendar.exceptions for calendar in (place.calendar, place.opening)),
                tuple(_cut_offs(place, fulfilments, day, working)),
                tuple(collected),
            )
        )
    return WorkingTime(location, place, tuple(found), fulfilments)


def _holiday(place: Location, day: int) -> str:
    calendars = [calendar for calendar in (place.calendar, place.opening) if calendar is not None]
    return next((name for calendar in calendars if (name := calendar.holiday_name(day))), "")


def _cut_offs(place: Location, fulfilments: Iterable[Fulfilment], day: int, working: Spans) -> Iterator[DayCutOff]:
    """Of a working day; without a cut-off of its own it is the end of working time."""
    for fulfilment in fulfilments if working else ():
        preparation = place.preparation[fulfilment]
        services = sorted(preparation.cut_offs) if fulfilment is Fulfilment.SHIP else ()
        for service in ("", *services):
            minute = preparation.cut_off_of(service)
            minute = working[-1][1] if minute is None else minute
            yield DayCutOff(fulfilment, service, minute, utc_minute(day, minute, place.time_zone))
