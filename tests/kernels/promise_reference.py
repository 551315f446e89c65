"""The chain from order to delivery as it is defined, step by step with dates and instants of the standard library.

Nothing here knows of tables: days are walked one after another, working time span after span, and the last minute to
order is looked for. Days are `date`s, instants aware `datetime`s in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from invengine.domain.calendars import Calendar
from invengine.domain.delivery import Delivery
from invengine.domain.network_parts import Location
from invengine.domain.orders import Destination, Fulfilment
from invengine.kernels.layout import (
    BEYOND_HORIZON,
    DATED,
    NO_CALENDAR,
    NO_LANE,
    NO_OPENING,
    NO_SLOT,
    NO_STORE_CALENDAR,
    NO_TRANSFER_LANE,
    NO_UNITS,
    NO_ZONE,
)

ONE_DAY = timedelta(days=1)
ONE_MINUTE = timedelta(minutes=1)
Way = tuple[Fulfilment, str]
"""How, and the service when shipped."""


@dataclass
class World:
    """Everything that dates depend on. `room`: what is left of capacities, by location, way and day.

    `last_day` is the end of the horizon; `learnt` the days of transit by (location, zone, service), which win.
    """

    locations: Mapping[str, Location]
    delivery: Delivery
    last_day: date
    room: Mapping[tuple[str, Fulfilment, date], int] = field(default_factory=dict)
    learnt: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass
class Answer:
    """The steps of one chain, as far as it came."""

    status: int
    begin: datetime | None = None
    done: datetime | None = None
    slot: date | None = None
    ship: date | None = None
    arrival: date | None = None
    store_begin: datetime | None = None
    store_done: datetime | None = None
    ready: datetime | None = None
    day: date | None = None


@dataclass
class Source:
    """Units from a location; `start` is None when they will not come, `held` the day of a slot that is held."""

    location: str
    start: datetime | None
    units: int
    held: date | None = None


@dataclass
class Promise:
    """What a basket can be promised by one way."""

    status: int
    day: date | None = None
    ready: datetime | None = None
    order_before: datetime | None = None
    chosen: tuple[int, ...] = ()
    """Of each line, the place of its source; -1 for none."""


def number(day: date) -> int:
    """Days since 1970, as the file's calendars count them."""
    return (day - date(1970, 1, 1)).days


def wall(day: date, minute: int, place: Location) -> datetime:
    """The instant at which clocks at the place show a time of day."""
    return wall_of(day, minute, place.time_zone)


@lru_cache(maxsize=4096)
def wall_of(day: date, minute: int, time_zone: str) -> datetime:
    """The same in a time zone; asked again and again for the same days."""
    local = datetime.combine(day, time()) + timedelta(minutes=minute)
    return local.replace(tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def local_date(moment: datetime, place: Location) -> date:
    """The date on the wall of the place."""
    return moment.astimezone(ZoneInfo(place.time_zone)).date()


def spans(calendar: Calendar, place: Location, day: date) -> list[tuple[datetime, datetime]]:
    """Working time of a day: what clocks skip is none, and no minute of it counts twice."""
    midnight = wall(day + ONE_DAY, 0, place)
    found: list[tuple[datetime, datetime]] = []
    for first, last in calendar.spans(number(day)):
        begin, end = wall(day, first, place), min(wall(day, last, place), midnight)
        if found:
            begin = max(begin, found[-1][1])
        if begin < end:
            found.append((begin, end))
    return found


def days_from(day: date, last_day: date) -> Iterator[date]:
    """Each day from one to the end of the horizon."""
    while day <= last_day:
        yield day
        day += ONE_DAY


def next_working_day(world: World, place: Location, day: date) -> date | None:
    """That day or the first after it on which the place works."""
    assert place.calendar is not None
    for candidate in days_from(day, world.last_day):
        if spans(place.calendar, place, candidate):
            return candidate
    return None


def opening(place: Location, day: date) -> datetime:
    """When work begins on a working day."""
    assert place.calendar is not None
    return spans(place.calendar, place, day)[0][0]


def accepted(world: World, place: Location, cut_off: int | None, start: datetime) -> tuple[date, datetime] | None:
    """The working day that the order counts as of, and the instant from which it is handled."""
    assert place.calendar is not None
    today = local_date(start, place)
    if hours := spans(place.calendar, place, today):
        latest = hours[-1][1] if cut_off is None else wall(today, cut_off, place)
        if start < latest:
            return today, max(start, hours[0][0])
    day = next_working_day(world, place, today + ONE_DAY)
    return None if day is None else (day, opening(place, day))


def handled(
    world: World, calendar: Calendar, place: Location, day: date, begin: datetime, minutes: int
) -> tuple[datetime, datetime, date] | None:
    """From when it is really worked on, when it is done, and on which day's working time."""
    first: datetime | None = None
    left = timedelta(minutes=minutes)
    for today in days_from(day, world.last_day):
        for opens, closes in spans(calendar, place, today):
            if closes <= begin:
                continue
            since = max(opens, begin)
            first = first or since
            if left <= closes - since:
                return first, since + left, today
            left -= closes - since
    return None


def slot(world: World, location: str, how: Fulfilment, day: date, units: int) -> date | None:
    """The working day with room."""
    place = world.locations[location]
    capacity = place.preparation[how].capacity
    if capacity is None:
        return day
    left = units if capacity.units else 1
    whole_day = capacity.units or capacity.orders
    fills_days = left > whole_day
    while True:
        room = world.room.get((location, how, day), whole_day)
        if not fills_days and room >= left:
            return day
        if fills_days:
            left -= max(0, room)
            if left <= 0:
                return day
        following = next_working_day(world, place, day + ONE_DAY)
        if following is None:
            return None
        day = following


def collected(world: World, place: Location, pickups: Calendar, day: date) -> date | None:
    """The day on which the carrier takes it along."""
    assert place.calendar is not None
    for candidate in days_from(day, world.last_day):
        if pickups.is_open(number(candidate)) and spans(place.calendar, place, candidate):
            return candidate
    return None


def arrived(world: World, calendar: Calendar, ship: date, transit: int) -> date | None:
    """The day by which the days of transit are over."""
    if transit == 0:
        return next((day for day in days_from(ship, world.last_day) if calendar.is_open(number(day))), None)
    for day in days_from(ship + ONE_DAY, world.last_day):
        transit -= calendar.is_open(number(day))
        if transit == 0:
            return day
    return None


def missing(world: World, location: str, way: Way, destination: Destination) -> int:
    """What the network lacks, DATED when nothing."""
    place, (how, service) = world.locations[location], way
    if place.calendar is None:
        return NO_CALENDAR
    if how is Fulfilment.SHIP_TO_STORE and destination.location == location:
        how = Fulfilment.PICKUP
    if how is Fulfilment.SHIP:
        zone = world.delivery.zone_of(destination.country, destination.postal_code)
        if not zone:
            return NO_ZONE
        return DATED if (location, zone, service) in world.delivery.lanes else NO_LANE
    if how is Fulfilment.PICKUP:
        return DATED if place.opening is not None else NO_OPENING
    if (location, destination.location) not in world.delivery.transfer_lanes:
        return NO_TRANSFER_LANE
    store = world.locations[destination.location]
    if store.calendar is None:
        return NO_STORE_CALENDAR
    return DATED if store.opening is not None else NO_OPENING


def chain(world: World, source: Source, way: Way, destination: Destination) -> Answer:
    """All steps for one location and one way."""
    gap = missing(world, source.location, way, destination)
    if gap != DATED:
        return Answer(gap)
    if source.start is None:
        return Answer(NO_UNITS)
    place, (how, service) = world.locations[source.location], way
    if how is Fulfilment.SHIP_TO_STORE and destination.location == source.location:
        how = Fulfilment.PICKUP
    assert place.calendar is not None
    preparation = place.preparation[how]
    begun = accepted(world, place, preparation.cut_offs.get(service, preparation.cut_off), source.start)
    if begun is None:
        return Answer(BEYOND_HORIZON)
    handling = handled(world, place.calendar, place, *begun, preparation.handling_minutes)
    if handling is None:
        return Answer(BEYOND_HORIZON)
    begin, done, day = handling
    held = source.held
    if (
        preparation.capacity is not None
        and held is not None
        and day <= held <= world.last_day
        and spans(place.calendar, place, held)
    ):
        prepared_on: date | None = held
    else:
        prepared_on = slot(world, source.location, how, day, source.units)
    if prepared_on is None:
        return Answer(NO_SLOT, begin, done)
    answer = Answer(BEYOND_HORIZON, begin, done, prepared_on)
    prepared = opening(place, prepared_on) if prepared_on > day else done
    if how is Fulfilment.PICKUP:
        return ready(world, place, prepared_on, prepared, answer)
    if how is Fulfilment.SHIP:
        return shipped(world, place, source.location, service, destination, answer)
    return sent_to_store(world, place, source.location, destination.location, prepared, answer)


def shipped(
    world: World, place: Location, location: str, service: str, destination: Destination, answer: Answer
) -> Answer:
    """From the slot to the door."""
    zone = world.delivery.zone_of(destination.country, destination.postal_code)
    lane = world.delivery.lanes[location, zone, service]
    transit = world.learnt.get((location, zone, service), lane.transit_days)
    assert answer.slot is not None
    answer.ship = collected(world, place, lane.pickups, answer.slot)
    if answer.ship is not None:
        answer.day = arrived(world, world.delivery.services[service].calendar, answer.ship, transit)
    if answer.day is not None:
        answer.status = DATED
    return answer


def sent_to_store(
    world: World, place: Location, location: str, store_name: str, prepared: datetime, answer: Answer
) -> Answer:
    """From the slot to the store's shelf. What a van brings the same day is not there before it was prepared."""
    lane, store = world.delivery.transfer_lanes[location, store_name], world.locations[store_name]
    assert answer.slot is not None
    assert store.calendar is not None
    answer.ship = collected(world, place, lane.pickups, answer.slot)
    if answer.ship is None:
        return answer
    answer.arrival = arrived(world, lane.calendar, answer.ship, lane.transit_days)
    if answer.arrival is None:
        return answer
    day = next_working_day(world, store, answer.arrival)
    if day is None:
        return answer
    begin = max(opening(store, day), prepared)
    minutes = store.preparation[Fulfilment.PICKUP].handling_minutes
    handling = handled(world, store.calendar, store, day, begin, minutes)
    if handling is None:
        return answer
    answer.store_begin, answer.store_done, day = handling
    return ready(world, store, day, answer.store_done, answer)


def ready(world: World, place: Location, day: date, done: datetime, answer: Answer) -> Answer:
    """The first instant at which somebody is there to hand it over."""
    assert place.opening is not None
    for today in days_from(day, world.last_day):
        for opens, closes in spans(place.opening, place, today):
            if done < closes:
                answer.ready = max(opens, done)
                answer.day = local_date(answer.ready, place)
                answer.status = DATED
                return answer
    return answer


def too_late(day_of: Callable[[datetime], date | None], start: datetime, day: date) -> datetime:
    """The first minute from `start` on for which `day_of` is later than the day: never earlier for a later minute."""

    def is_late(moment: datetime) -> bool:
        found = day_of(moment)
        return found is None or found > day

    step = ONE_MINUTE
    good = start
    while not is_late(good + step):
        good += step
        step *= 2
    bad = good + step
    while bad - good > ONE_MINUTE:
        middle = good + (bad - good) // ONE_MINUTE // 2 * ONE_MINUTE
        good, bad = (good, middle) if is_late(middle) else (middle, bad)
    return bad


def order_before(world: World, source: Source, way: Way, destination: Destination, day: date) -> datetime:
    """The first minute at which units from this source come after `day`."""

    def day_of(moment: datetime) -> date | None:
        return chain(world, Source(source.location, moment, source.units), way, destination).day

    assert source.start is not None
    return too_late(day_of, source.start, day)


def basket(world: World, lines: Sequence[Sequence[Source]], way: Way, destination: Destination) -> Promise:
    """All lines by one way, each from where it comes first: as late as the latest of them."""
    chosen, answers = [], []
    for sources in lines:
        found = [chain(world, source, way, destination) for source in sources]
        dated = [place for place, answer in enumerate(found) if answer.status == DATED]
        best = min(dated, key=lambda place: (found[place].day, found[place].ready or 0), default=-1)
        chosen.append(best)
        answers.append(found[best] if best >= 0 else Answer(min((one.status for one in found), default=NO_UNITS)))
    failed = next((answer.status for answer in answers if answer.status != DATED), None)
    if failed is not None:
        return Promise(failed, chosen=tuple(chosen))
    day = max(answer.day for answer in answers if answer.day is not None)
    before = min(
        order_before(world, sources[place], way, destination, day) for sources, place in zip(lines, chosen, strict=True)
    )
    latest = max((answer.ready for answer in answers if answer.ready is not None), default=None)
    return Promise(DATED, day, latest, before, tuple(chosen))


# The names of the kernels: what they are for many at once, these are for one.
date_sources = chain
date_baskets = basket
latest_orders = order_before
