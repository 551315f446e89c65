"""How many baskets a second does one core date, how long do 100,000 open orders take, and the tables of a network?"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import delivery_network
from benchmarks.figures import Figure, say
from invengine import kernels
from invengine.domain.days import day_number
from invengine.domain.network import Network
from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.transit import NOTHING_LEARNT
from invengine.kernels.layout import ANSWER_COLUMNS, BASKET_COLUMNS, DATED, LINE_COLUMNS, PROMISE_COLUMNS
from invengine.replica.replica import Replica
from invengine.services.dates import MINUTE_MS, NOW, DatedLine
from invengine.services.dating import Dating, Part
from invengine.services.promise_routes import Option, PromiseRoutes
from invengine.services.promise_tables import HORIZON_DAYS, PromiseTables, Window
from tests.kernels import promise_reference as definition

TODAY = date(2026, 11, 20)
BASKETS, LINES, LOCATIONS, SERVICES = 1_000, 3, 20, 4
ORDERS = 100_000
MANY_LOCATIONS = 1_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Baskets:
    """Baskets of 3 lines in arrays: every line at every location, now or on a later day, in any week of two months."""

    def __init__(self, network: Network, seed: int = 7) -> None:
        random_of = random.Random(seed)
        self.network = network
        self.tables = PromiseTables(Window.around(day_number(TODAY)))
        self.routes = PromiseRoutes(network, NOTHING_LEARNT, self.tables)
        self.options = tuple(Option(Fulfilment.SHIP, name) for name in network.delivery.services)
        self.places = tuple(network.locations)
        self.asked: list[tuple[Destination, list[list[definition.Source]]]] = []
        sources = []
        for _ in range(BASKETS):
            at = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
            at += timedelta(minutes=random_of.randrange(60 * 1440))
            destination = Destination("DE", f"{random_of.randrange(1, 10)}0000")
            lines = []
            for _ in range(LINES):
                coming = at + timedelta(days=random_of.randrange(1, 20)) if random_of.random() < 0.2 else at
                line = [definition.Source(name, coming, random_of.randrange(1, 4)) for name in self.places]
                lines.append(line)
                for source in line:
                    first = self.routes.line(source.location, self.options, destination, 0)
                    sources.append((_minute(coming), source.units, first, 0))
            self.asked.append((destination, lines))
        self.sources = np.array(sources, np.int64)
        ends = np.arange(BASKETS * LINES)
        self.lines = np.stack((ends * LOCATIONS, np.full(ends.size, LOCATIONS)), axis=1).reshape(-1, LINE_COLUMNS)
        firsts = np.arange(BASKETS) * LINES
        self.baskets = np.stack((firsts, np.full(BASKETS, LINES)), axis=1).reshape(-1, BASKET_COLUMNS)
        for rule in self.routes.slot_rules.values():
            self.tables.days[rule.line] = rule.capacity
            self.tables.days[rule.line, 92:95] = 0  # three days that are full
        self.answers = np.empty((len(sources), SERVICES, ANSWER_COLUMNS), np.int64)
        self.chosen = np.empty((BASKETS * LINES, SERVICES), np.int64)
        self.promises = np.empty((BASKETS, SERVICES, PROMISE_COLUMNS), np.int64)
        self.last_day = day_number(TODAY) + HORIZON_DAYS

    def date(self) -> None:
        """All of them in one call of the kernel."""
        kernels.date_baskets(
            self.tables.window.first_day,
            self.last_day,
            self.baskets,
            self.lines,
            self.sources,
            self.routes.block,
            self.tables.days,
            self.tables.spans,
            self.answers,
            self.chosen,
            self.promises,
        )

    def check(self, count: int) -> None:
        """Some of the answers against the definition of a promise."""
        full = {}
        for rule in self.routes.slot_rules.values():
            _, way, name = rule.sku.split()
            for place in range(92, 95):
                when = EPOCH.date() + timedelta(days=self.tables.window.first_day + place)
                full[name, Fulfilment(way), when] = 0
        last_day = EPOCH.date() + timedelta(days=self.last_day)
        world = definition.World(self.network.locations, self.network.delivery, last_day, full)
        for number in range(0, BASKETS, BASKETS // count):
            destination, lines = self.asked[number]
            for option, promise in zip(self.options, self.promises[number].tolist(), strict=True):
                expected = definition.basket(world, lines, (option.fulfilment, option.service), destination)
                day = definition.number(expected.day) if expected.day else 0
                if [expected.status, day, _minute(expected.order_before)] != [promise[0], promise[1], promise[3]]:
                    raise RuntimeError(f"basket {number} by {option}: {promise}, not {expected}")
        if not (self.promises[..., 0] == DATED).mean() > 0.9:
            raise RuntimeError("hardly any basket has a date")


def _minute(moment: datetime | None) -> int:
    return 0 if moment is None else int((moment - EPOCH) // timedelta(minutes=1))


def _seconds(call: Callable[[], object], rounds: int) -> float:
    """CPU seconds: the median of some rounds, after one that is not counted. Whatever else runs here takes its own."""
    call()
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def _dating(network: Network, at: datetime) -> Dating:
    replica = Replica(64, bytes(8))
    replica.set_network(network)
    clock: Any = SimpleNamespace(now_ms=lambda: _minute(at) * MINUTE_MS)
    return Dating(network, NOTHING_LEARNT, replica, clock)


def _redating(network: Network, rounds: int) -> float:
    """Seconds for 100,000 open orders of the last two months, each with its own way, place, age and slot."""
    random_of = random.Random(9)
    now = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
    services, places = list(network.delivery.services), list(network.locations)
    destinations = [Destination("DE", f"{first:02}{second:03}") for first in range(10, 100) for second in range(0, 60)]
    parts = [
        Part(
            random_of.choice(places),
            Option(Fulfilment.SHIP, random_of.choice(services)),
            random_of.choice(destinations),
            random_of.randrange(1, 4),
            _minute(now) - random_of.randrange(60 * 1440),
        )
        for _ in range(ORDERS)
    ]
    dating = _dating(network, now)
    found = dating.redate(parts)
    last_day = EPOCH.date() + timedelta(days=day_number(TODAY) + HORIZON_DAYS)
    world = definition.World(network.locations, network.delivery, last_day)
    for number in range(0, ORDERS, ORDERS // 50):
        part = parts[number]
        assert part.start is not None
        source = definition.Source(part.location, EPOCH + timedelta(minutes=part.start), part.units)
        expected = definition.chain(world, source, (Fulfilment.SHIP, part.option.service), part.destination)
        if (expected.status, expected.day and definition.number(expected.day)) != (
            found.status[number],
            found.delivery_day[number] or None,
        ):
            raise RuntimeError(f"{part}: {found.delivery_day[number]}, not {expected}")
    return _seconds(lambda: dating.redate(parts), rounds)


def _first_questions() -> tuple[float, float, float]:
    """A network of 1,000 locations met for the first time: the longest question in ms, all of them in s, and MB."""
    network = Network.parse(delivery_network.document(MANY_LOCATIONS, SERVICES))
    dating = _dating(network, datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC))
    dating.options([DatedLine(1, {"L000": NOW})], Destination("DE", "80331"))  # loads the holidays
    dating.set_network(network)
    taken = []
    places = list(network.locations)
    for first in range(0, MANY_LOCATIONS, LOCATIONS):
        line = DatedLine(1, dict.fromkeys(places[first : first + LOCATIONS], NOW))
        began = time.process_time()
        dating.options([line], Destination("DE", "80331"))
        taken.append(time.process_time() - began)
    return max(taken) * 1000, sum(taken), dating.memory_bytes / 1e6


def run(*, quick: bool) -> list[Figure]:
    """Baskets of 3 lines x 20 locations x 4 services; re-dating; tables."""
    rounds = 7 if quick else 31
    network = Network.parse(delivery_network.document(LOCATIONS, SERVICES))
    baskets = Baskets(network)
    seconds = _seconds(baskets.date, rounds)
    baskets.check(20)
    speed = BASKETS / seconds
    say(
        "baskets a second on one core, 3 lines x 20 locations x 4 services",
        "90,000: 60 fronts of 40 ns, 240 ways of 30 ns, 12 last minutes of 50 ns",
        f"{speed:,.0f}: {1e9 * seconds / BASKETS / (LINES * LOCATIONS * SERVICES):.1f} ns for each date",
    )
    redating = _redating(network, rounds)
    say("100,000 open orders dated again, s", "0.15: 1 us each to gather, 0.1 us to date", f"{redating:.3g}")
    longest, whole, megabytes = _first_questions()
    say(
        f"first questions about {MANY_LOCATIONS} locations, 20 at a time: longest in ms, all in s; memory in MB",
        "20 ms: twenty calendars of 1 ms; 0.2 s; 10 MB",
        f"{longest:.3g} ms; {whole:.3g} s; {megabytes:.3g} MB",
    )
    return [
        Figure(
            "baskets dated by the kernel, a core",
            speed,
            "/s",
            "higher",
            50_000,
            "3 lines, 20 locations, 4 services, 1,000 baskets a call; CPU time",
        ),
        Figure("100,000 open orders dated again", redating, "s", "lower", 2, "gathered and dated at once; CPU time"),
        Figure(
            "longest first question about a network",
            longest,
            "ms",
            "lower",
            50,
            "1,000 locations, 60 calendars, 4 time zones; 20 locations a question; CPU time",
        ),
    ]
