"""Random networks, baskets and instants, most of them near what is hard: nights on which clocks change, year ends, leap
days, full capacities, closed weeks, no handling at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from types import MappingProxyType

from invengine.domain.calendars import ALWAYS, Calendar, Spans
from invengine.domain.delivery import Capacity, Delivery, Lane, Preparation, Service, TransferLane, Zones
from invengine.domain.network_document import LocationKind
from invengine.domain.network_parts import Location
from invengine.domain.orders import Destination, Fulfilment
from tests.kernels.promise_reference import ONE_DAY, Source, Way, World, number, wall

PLACES = ("A", "B", "C")
STORE = "C"
SERVICES = ("slow", "fast", "odd")
WAYS: tuple[Way, ...] = (
    *((Fulfilment.SHIP, service) for service in SERVICES),
    (Fulfilment.PICKUP, ""),
    (Fulfilment.SHIP_TO_STORE, ""),
)
DAYS_BEFORE = 4
HORIZON = 24
"""Days after the day of asking: chains end within it, or are beyond it often enough."""

# Zones and days on which their clocks change; nights, midnights, half hours, two hours, both halves of the world.
CHANGES = (
    ("Europe/Berlin", (date(2026, 3, 29), date(2026, 10, 25), date(2027, 3, 28))),
    ("Europe/London", (date(2027, 10, 31), date(2028, 3, 26))),
    ("America/New_York", (date(2026, 11, 1), date(2027, 3, 14))),
    ("America/Los_Angeles", (date(2026, 3, 8), date(2028, 11, 5))),
    ("America/St_Johns", (date(2026, 11, 1), date(2027, 3, 14))),
    ("America/Santiago", (date(2026, 4, 4), date(2026, 9, 5), date(2026, 9, 6))),
    ("America/Havana", (date(2026, 11, 1), date(2027, 3, 14))),
    ("America/Nuuk", (date(2026, 3, 28), date(2026, 10, 24))),
    ("Atlantic/Azores", (date(2026, 3, 29), date(2026, 10, 25))),
    ("Africa/Casablanca", (date(2026, 2, 15), date(2026, 3, 22))),
    ("Africa/Cairo", (date(2026, 4, 24), date(2026, 10, 29))),
    ("Asia/Beirut", (date(2026, 3, 29), date(2026, 10, 24))),
    ("Asia/Jerusalem", (date(2026, 3, 27), date(2026, 10, 25))),
    ("Australia/Sydney", (date(2026, 4, 5), date(2026, 10, 4))),
    ("Australia/Lord_Howe", (date(2026, 4, 5), date(2026, 10, 4), date(2027, 4, 4))),
    ("Pacific/Auckland", (date(2026, 4, 5), date(2026, 9, 27))),
    ("Pacific/Chatham", (date(2026, 4, 5), date(2026, 9, 27))),
    ("Antarctica/Troll", (date(2026, 3, 29), date(2026, 10, 25))),
    ("Asia/Kathmandu", ()),
    ("Pacific/Kiritimati", ()),
    ("UTC", ()),
)
ODD_DAYS = (date(2026, 12, 31), date(2027, 12, 30), date(2028, 2, 28), date(2028, 2, 29), date(2027, 2, 28))
HOURS: tuple[Spans, ...] = (
    ((480, 1080),),
    ((540, 720), (780, 1020)),
    ((0, 1440),),
    ((0, 150), (150 + 1, 180), (181, 1440)),  # across the hour that clocks skip or repeat
    ((150, 180),),  # nothing but that hour
    ((0, 30), (60, 90), (1380, 1440)),
    ((1320, 1440),),
    ((600, 601),),  # one minute
)


@dataclass
class Case:
    """A world, and a basket that is asked for at `at`; `confident`: with the learnt transit."""

    world: World
    lines: tuple[tuple[Source, ...], ...]
    destination: Destination
    at: datetime
    first_day: int
    confident: bool

    @property
    def last_day(self) -> int:
        """The end of the horizon, as days since 1970."""
        return number(self.world.last_day)


def case(seed: int) -> Case:
    """The case of a seed."""
    random = Random(seed)
    zone, changes = random.choice(CHANGES)
    today = random.choice((*changes, *ODD_DAYS, date(2026, 1, 1) + timedelta(days=random.randrange(1500))))
    today -= timedelta(days=random.choice((0, 0, 1, 1, 2, 5)))
    places = {
        name: location(random, zone if random.random() < 0.7 else random.choice(CHANGES)[0], today) for name in PLACES
    }
    at = instant(random, places["A"], today)
    delivery = deliveries(random, today)
    world = World(places, delivery, at.date() + timedelta(days=HORIZON))
    world.room = rooms(random, world, today)
    confident = random.random() < 0.3
    if confident:
        world.learnt = {lane: random.randrange(7) for lane in delivery.lanes if random.random() < 0.7}
    destination = Destination("DE", random.choice(("80331", "80331", "10115", "x")), STORE)
    lines = tuple(
        tuple(source(random, places[name], name, at, today) for name in random.sample(PLACES, random.randint(1, 3)))
        for _ in range(random.randint(1, 3))
    )
    return Case(world, lines, destination, at, number(today) - DAYS_BEFORE, confident)


def instant(random: Random, place: Location, today: date) -> datetime:
    """Any minute of the day or the night after, or one beside a time that somebody may have written down."""
    if random.random() < 0.5:
        minute = random.randrange(-120, 1440 + 240)
    else:
        minute = random.choice((0, 120, 150, 180, 480, 540, 720, 900, 1080, 1380, 1440)) + random.choice((-1, 0, 1))
    return wall(today, 0, place) + timedelta(minutes=minute)


def hours(random: Random) -> Spans:
    """The spans of a day."""
    if random.random() < 0.8:
        return random.choice(HOURS)
    ends = sorted(random.sample(range(1441), 2 * random.randint(1, 3)))
    return tuple((ends[place], ends[place + 1]) for place in range(0, len(ends), 2))


def calendar(random: Random, today: date, *, is_dates: bool = False) -> Calendar:
    """Hours by the day of the week, with days and weeks that are closed or different."""
    if random.random() < 0.15:
        return ALWAYS
    usual = ((0, 1440),) if is_dates else hours(random)
    closed = random.choice(
        ((), (6,), (5, 6), (5, 6), (0, 2, 4), (0, 1, 2, 3, 4, 5), tuple(range(7))[: random.choice((1, 7))])
    )
    week = [usual if random.random() < 0.85 or is_dates else hours(random) for _ in range(7)]
    for day in closed:
        week[day] = ()
    exceptions: dict[int, Spans] = {}
    for _ in range(random.choice((0, 0, 1, 3))):
        exceptions[number(today) + random.randrange(-2, 20)] = () if random.random() < 0.6 else hours(random)
    if random.random() < 0.15:
        first = number(today) + random.randrange(-3, 6)
        exceptions |= dict.fromkeys(range(first, first + random.choice((7, 10, 30))), ())
    return Calendar("c", tuple(week), None, MappingProxyType(exceptions))


def preparation(random: Random) -> Preparation:
    """Handling, cut-offs and capacity."""
    capacity = None
    if random.random() < 0.4:
        size = random.choice((1, 2, 5, 40))
        capacity = Capacity(units=size) if random.random() < 0.5 else Capacity(orders=size)
    return Preparation(
        random.choice((0, 0, 0, 1, 30, 60, 240, 600, 1440, 3000)),
        random.choice((None, None, 900, 1080, 150, 0, 1440, random.randrange(1441))),
        MappingProxyType({"fast": random.choice((1020, 1200, 60))} if random.random() < 0.4 else {}),
        capacity,
    )


def location(random: Random, time_zone: str, today: date) -> Location:
    """A location that may lack what it needs."""
    works = calendar(random, today) if random.random() < 0.96 else None
    opens = works if random.random() < 0.4 else calendar(random, today)
    ways = (Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)
    return Location(
        "",
        LocationKind.STORE,
        True,
        time_zone,
        frozenset(ways),
        0,
        None,
        None,
        "",
        "",
        calendar=works,
        opening=opens if random.random() < 0.96 else None,
        preparation=MappingProxyType({way: preparation(random) for way in ways}),
    )


def deliveries(random: Random, today: date) -> Delivery:
    """Services and lanes; some lanes are missing."""
    services = {name: Service(name, "", calendar(random, today, is_dates=True)) for name in SERVICES}
    lanes = {
        (place, zone, name): Lane(
            place, zone, name, random.choice((0, 1, 1, 2, 3, 5)), calendar(random, today, is_dates=True)
        )
        for place in PLACES
        for zone in ("south", "all")
        for name in SERVICES
        if random.random() < 0.9
    }
    transfers = {
        (place, STORE): TransferLane(
            place,
            STORE,
            random.choice((0, 0, 1, 2)),
            calendar(random, today, is_dates=True),
            calendar(random, today, is_dates=True),
        )
        for place in PLACES
        if random.random() < 0.9
    }
    zones = Zones({("DE", "8"): "south", ("DE", "1"): "all"})
    return Delivery({}, services, {}, lanes, transfers, "", zones)


def rooms(random: Random, world: World, today: date) -> dict[tuple[str, Fulfilment, date], int]:
    """What is left of the days' capacities, often nothing, now and then less."""
    found = {}
    for name, place in world.locations.items():
        for way, what in place.preparation.items():
            if what.capacity is None or random.random() < 0.3:
                continue
            whole = what.capacity.units or what.capacity.orders
            full = random.choice((0.3, 0.8, 1.0))
            for day in range(-DAYS_BEFORE, random.choice((10, HORIZON + 5))):
                left = random.choice((0, 0, -1)) if random.random() < full else random.randint(0, whole)
                found[name, way, today + day * ONE_DAY] = left
    return found


def source(random: Random, place: Location, name: str, at: datetime, today: date) -> Source:
    """Units that are there, come on a day, or never."""
    chance = random.random()
    start: datetime | None = at
    if chance > 0.95:
        start = None
    elif chance > 0.7:
        start = max(at, wall(today + random.randint(0, HORIZON) * ONE_DAY, 0, place))
    held = today + random.randint(-1, 8) * ONE_DAY if random.random() < 0.2 else None
    return Source(name, start, random.choice((1, 1, 2, 3, 10, 90)), held)


def at_noon(day: date) -> datetime:
    """An instant of no importance."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
