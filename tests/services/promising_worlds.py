"""Small worlds to be promised from, and what they promise by the definition: dates walked with the standard library,
every combination of locations tried.

A world is plain data. Its network file, stock and receipts are made from it; the definition reads nothing but it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SKUS = ("LAMP", "SOFA", "CUSHION")
SET = {"SOFA": 1, "CUSHION": 2}
SERVICES = ("slow", "fast")
HOURS = (
    {"mon-sun": "00:00-24:00"},
    {"mon-fri": "08:00-18:00"},
    {"mon-thu": ["08:00-12:00", "13:00-17:30"], "sat": "09:00-13:00"},
    {"tue-sun": "10:00-20:00"},
)
ZONES = ("Europe/Berlin", "America/New_York", "Pacific/Auckland")
# Near nights on which clocks change, the end of a year, a leap day.
MOMENTS = ((2026, 10, 24), (2026, 11, 1), (2027, 3, 27), (2027, 12, 30), (2028, 2, 27), (2026, 11, 23))


@dataclass(frozen=True)
class Place:
    """A location; `cut_offs` by service, "" for all others; `capacity` (what, how many) a day."""

    name: str
    zone: str
    calendar: str
    handling: int
    cut_offs: dict[str, int]
    capacity: tuple[str, int] | None
    opening: str
    pickup_handling: int


@dataclass(frozen=True)
class Lane:
    """The way to the customer, or from one place to another; `days` and `pickups` are calendars, "" for every day."""

    transit: int
    days: str
    pickups: str
    cost: int
    cost_per_unit: int


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: int
    may_split: bool


@dataclass(frozen=True)
class World:
    now: datetime
    calendars: dict[str, dict[str, Any]]
    holidays: dict[str, set[date]]
    places: dict[str, Place]
    lanes: dict[tuple[str, str], Lane]
    transfers: dict[str, Lane]
    on_hand: dict[tuple[str, str], int]
    receipts: list[tuple[str, str, date, int]]
    basket: list[Line]
    store: str

    # The network file

    def document(self) -> str:
        """JSON, which is YAML."""
        locations = {}
        for priority, place in enumerate(self.places.values()):
            ship: dict[str, Any] = {"handling": f"{place.handling}m"}
            if "" in place.cut_offs:
                ship["cut_off"] = clock(place.cut_offs[""])
            own = {name: clock(minute) for name, minute in place.cut_offs.items() if name}
            if own:
                ship["cut_offs"] = own
            if place.capacity:
                ship["capacity"] = {place.capacity[0]: place.capacity[1]}
            locations[place.name] = {
                "kind": "store",
                "priority": priority,
                "fulfilments": ["ship", "pickup"],
                "time_zone": place.zone,
                "calendar": place.calendar,
                "opening": place.opening,
                "ship": ship,
                "pickup": {"handling": f"{place.pickup_handling}m"},
            }
        return json.dumps(
            {
                "currency": "EUR",
                "calendars": {
                    name: {"hours": hours, "exceptions": {day.isoformat(): "closed" for day in self.holidays[name]}}
                    for name, hours in self.calendars.items()
                },
                "services": {
                    name: ({"carrier": "any", "calendar": days} if (days := self.days_of(name)) else {"carrier": "any"})
                    for name in SERVICES
                },
                "zones": {"here": [{"country": "DE"}]},
                "locations": locations,
                "groups": {"all": list(self.places)},
                "channels": {"web": {"groups": ["all"]}},
                "kits": {"SET": SET},
                "lanes": [
                    {"from": name, "zone": "here", "service": service, **lane_entry(lane, with_days=False)}
                    for (name, service), lane in self.lanes.items()
                ],
                "transfer_lanes": [
                    {"from": name, "to": self.store, **lane_entry(lane)} for name, lane in self.transfers.items()
                ],
            }
        )

    def days_of(self, service: str) -> str:
        """The calendar of a service."""
        return next((lane.days for (_, name), lane in self.lanes.items() if name == service), "")

    # The definition

    def spans(self, calendar: str, day: date) -> list[tuple[int, int]]:
        """Local minutes of a day that are worked."""
        if not calendar:
            return [(0, 1440)]
        if day in self.holidays[calendar]:
            return []
        for days, hours in self.calendars[calendar].items():
            first, _, last = days.partition("-")
            if WEEK.index(first) <= day.weekday() <= WEEK.index(last or first):
                texts = [hours] if isinstance(hours, str) else hours
                return [tuple(map(minute, text.split("-"))) for text in texts]  # type: ignore[misc]
        return []

    def work(self, calendar: str, zone: str, day: date) -> Iterator[tuple[datetime, datetime]]:
        """Working time from a day on."""
        for ahead in range(45):  # further than any of these worlds is closed
            for first, last in self.spans(calendar, day + ahead * DAY):
                begin, end = instant(day + ahead * DAY, first, zone), instant(day + ahead * DAY, last, zone)
                if begin < end:
                    yield begin, end

    def is_open(self, calendar: str, day: date) -> bool:
        return bool(self.spans(calendar, day))

    def chain(
        self, name: str, way: tuple[str, str], start: datetime, units: int, *, orders: int = 1
    ) -> dict[str, Any] | None:
        """The steps from a location; None beyond the horizon. `units`: of the day's capacity."""
        place, (fulfilment, service) = self.places[name], way
        is_here = fulfilment == "SHIP_TO_STORE" and name == self.store
        picks = fulfilment == "PICKUP" or is_here
        steps: dict[str, Any] = {"start": start}
        today = local(start, place.zone)
        cut_offs = {} if picks else place.cut_offs
        ends = cut_offs.get(service, cut_offs.get(""))
        spans = list(self.work(place.calendar, place.zone, today))
        mine = [(begin, end) for begin, end in spans if local(begin, place.zone) == today]
        limit = (instant(today, ends, place.zone) if ends is not None else mine[-1][1]) if mine else start
        later = [begin for begin, _ in spans if local(begin, place.zone) > today]
        taken_up = max(start, mine[0][0]) if mine and start < limit else later[0]
        steps["accepted"] = next(max(begin, taken_up) for begin, end in spans if end > taken_up)
        handling = place.pickup_handling if picks else place.handling
        steps["handled"], slot = self.worked(place.calendar, place.zone, steps["accepted"], handling)
        over, capacity = slot, None if picks else place.capacity
        if capacity:
            slot = self.slot(place.calendar, slot, capacity[1], units if capacity[0] == "units" else orders)
        done = steps["handled"]
        if slot > over:
            done = instant(slot, self.spans(place.calendar, slot)[0][0], place.zone)
        steps["slot"] = slot
        if picks:
            return self.ready(steps, name, done)
        lane = self.lanes.get((name, service)) if fulfilment == "SHIP" else self.transfers.get(name)
        if lane is None:
            return None
        ship = slot
        while not (self.is_open(place.calendar, ship) and self.is_open(lane.pickups, ship)):
            ship += DAY
        arrival = ship
        if lane.transit == 0:
            while not self.is_open(lane.days, arrival):
                arrival += DAY
        for _ in range(lane.transit):
            arrival += DAY
            while not self.is_open(lane.days, arrival):
                arrival += DAY
        steps["shipped"], steps["arrived"] = ship, arrival
        if fulfilment == "SHIP":
            steps["day"] = arrival
            return self.within(steps)
        store = self.places[self.store]
        begin = next(begin for begin, _ in self.work(store.calendar, store.zone, arrival))
        begin = max(begin, done)  # where clocks differ, a day of arrival may begin before it has left
        steps["prepared"], _ = self.worked(store.calendar, store.zone, begin, store.pickup_handling)
        return self.ready(steps, self.store, steps["prepared"])

    def ready(self, steps: dict[str, Any], name: str, done: datetime) -> dict[str, Any] | None:
        """Within the opening hours."""
        place = self.places[name]
        for begin, end in self.work(place.opening, place.zone, local(done, place.zone) - DAY):
            if done < end:
                steps["ready"] = max(begin, done)
                steps["day"] = local(steps["ready"], place.zone)
                return self.within(steps)
        return None

    def within(self, steps: dict[str, Any]) -> dict[str, Any] | None:
        return steps if steps["day"] <= self.now.date() + 730 * DAY else None

    def worked(self, calendar: str, zone: str, begin: datetime, minutes: int) -> tuple[datetime, date]:
        """When so many minutes of working time from `begin` on are over, and the working day on which they are."""
        left = minutes * MINUTE
        for first, end in self.work(calendar, zone, local(begin, zone) - DAY):
            if end <= begin:
                continue
            if max(first, begin) + left <= end:
                return max(first, begin) + left, local(first, zone)
            left -= end - max(first, begin)
        raise AssertionError("never worked")

    def slot(self, calendar: str, day: date, capacity: int, need: int) -> date:
        """The first working day with room, or the last of those that more than a day's worth takes."""
        fits = need <= capacity
        while True:
            if self.is_open(calendar, day):
                if fits:
                    return day
                need -= capacity
                if need <= 0:
                    return day
            day += DAY

    def there(self, sku: str, name: str, units: int) -> date | None:
        """The day by which so many units are there; the day of now when they are; None for never."""
        stock = self.on_hand.get((sku, name), 0)
        today = local(self.now, self.places[name].zone)
        if stock >= units:
            return today
        for day in sorted({day for of, at, day, _ in self.receipts if (of, at) == (sku, name)}):
            come = sum(count for of, at, due, count in self.receipts if (of, at) == (sku, name) and due <= day)
            if stock + come >= units:
                return max(day, today)
        return None

    def combinations(self) -> Iterator[list[dict[str, int]]]:
        """Every way to take the lines: of each, units by location."""
        yield from product(*(list(shares(line, list(self.places))) for line in self.basket))  # type: ignore[misc]

    def outcome(self, way: tuple[str, str], combination: list[dict[str, int]]) -> tuple[date, int, int] | None:
        """(day, cost, parcels) of one combination; None where it cannot be had."""
        taken: dict[tuple[str, str], int] = {}
        busy: dict[str, int] = {}
        last, cost = date(1970, 1, 1), 0
        for line, parts in zip(self.basket, combination, strict=True):
            for name, quantity in sorted(parts.items(), key=lambda part: list(self.places).index(part[0])):
                found = self.part(way, line.sku, name, quantity, taken, busy)
                if found is None:
                    return None
                day, price = found
                last, cost = max(last, day), cost + price
        used = {name for parts in combination for name in parts}
        lanes = {name: self.lane(name, way) for name in used}
        return last, cost + sum(lane.cost for lane in lanes.values() if lane), len(used)

    def part(
        self,
        way: tuple[str, str],
        sku: str,
        name: str,
        quantity: int,
        taken: dict[tuple[str, str], int],
        busy: dict[str, int],
    ) -> tuple[date, int] | None:
        """(day, cost of the units) of a part, after what others take; notes what it takes."""
        units = {part: count * quantity for part, count in (SET if sku == "SET" else {sku: 1}).items()}
        start = self.now
        for part, count in units.items():
            taken[part, name] = taken.get((part, name), 0) + count
            day = self.there(part, name, taken[part, name])
            if day is None:
                return None
            if day > local(self.now, self.places[name].zone):
                start = max(start, instant(day, 0, self.places[name].zone))
        busy[name] = busy.get(name, 0) + sum(units.values())
        steps = self.chain(name, way, start, busy[name])
        if steps is None:
            return None
        lane = self.lane(name, way)
        return steps["day"], (lane.cost_per_unit if lane else 0) * sum(units.values())

    def lane(self, name: str, way: tuple[str, str]) -> Lane | None:
        if way[0] == "SHIP":
            return self.lanes.get((name, way[1]))
        return self.transfers.get(name) if way[0] == "SHIP_TO_STORE" and name != self.store else None


def shares(line: Line, places: list[str]) -> Iterator[dict[str, int]]:
    """Every way to take a line: all from one location, or (split) its units from several."""
    for counts in product(range(line.quantity + 1), repeat=len(places)):
        parts = {name: count for name, count in zip(places, counts, strict=True) if count}
        if sum(counts) == line.quantity and (line.may_split or len(parts) == 1):
            yield parts


def lane_entry(lane: Lane, *, with_days: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "transit": lane.transit,
        "cost": f"{lane.cost / 10_000:.4f}",
        "cost_per_unit": f"{lane.cost_per_unit / 10_000:.4f}",
    }
    if lane.pickups:
        found["pickups"] = lane.pickups
    if lane.days and with_days:
        found["calendar"] = lane.days
    return found


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def local(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def instant(day: date, minutes: int, zone: str) -> datetime:
    """The instant at which the clocks of a zone show a time of day."""
    wall = datetime.combine(day, time()) + minutes * MINUTE
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def world(random: Random) -> World:
    """A small world."""
    calendars = {f"c{number}": hours for number, hours in enumerate(random.sample(HOURS, 3))}
    year, month, day = random.choice(MOMENTS)
    now = datetime(year, month, day, random.randrange(24), random.randrange(60), tzinfo=UTC)
    now += random.randrange(5) * DAY
    days = [now.date() + ahead * DAY for ahead in range(-1, 12)]
    holidays = {name: set(random.sample(days, random.choice((0, 0, 1, 3)))) for name in calendars}
    names = ["A", "B", "C"][: random.choice((2, 3))]

    def lane() -> Lane:
        return Lane(
            random.randrange(4),
            random.choice(["", *calendars]),
            random.choice(["", "", *calendars]),
            random.randrange(4) * 10_000,
            random.randrange(3) * 1_000,
        )

    days_of = {service: random.choice(["", *calendars]) for service in SERVICES}
    lanes = {}
    for name in names:
        for service in SERVICES:
            if random.random() < 0.8:
                found = lane()
                lanes[name, service] = Lane(
                    found.transit, days_of[service], pickups(random, calendars), found.cost, found.cost_per_unit
                )
    places = {
        name: Place(
            name,
            random.choice(ZONES),
            random.choice(list(calendars)),
            random.choice((0, 0, 30, 240, 900)),
            random.choice(({}, {"": 900}, {"": 720, "fast": 1020})),
            random.choice((None, None, None, ("units", 2), ("units", 50), ("orders", 1))),
            random.choice(list(calendars)),
            random.choice((0, 120)),
        )
        for name in names
    }
    transfers = {name: lane() for name in names if name != names[-1] and random.random() < 0.8}
    on_hand = {(sku, name): random.randrange(4) for sku in SKUS for name in names if random.random() < 0.7}
    receipts = [
        (random.choice(SKUS), random.choice(names), now.date() + random.randrange(2, 9) * DAY, random.randrange(1, 4))
        for _ in range(random.randrange(4))
    ]
    wanted = random.choice((SKUS, (*SKUS, "SET"), ("LAMP",)))
    lines = [
        Line(random.choice(wanted), random.randrange(1, 4), random.random() < 0.3)
        for _ in range(random.choice((1, 1, 2, 3)))
    ]
    return World(now, calendars, holidays, places, lanes, transfers, on_hand, receipts, lines, names[-1])


def pickups(random: Random, calendars: dict[str, Any]) -> str:
    return random.choice(["", "", *calendars])
