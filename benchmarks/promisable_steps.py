"""What can be promised over two years: a row of 730 days for each position, or only the days on which something comes?

Both are given the same receipts and must say the same; the time is that of filling their arrays and of the kernel.
"""

from __future__ import annotations

import random
from time import perf_counter

import numpy as np

from benchmarks import engine, memory_replica
from benchmarks.figures import Figure, compare, say
from invengine import kernels
from invengine.domain.incoming import Receipt
from invengine.domain.network import Network
from invengine.domain.orders import Candidate
from invengine.kernels.layout import ARRIVAL_COLUMNS, FLOOR_UNITS, LOCATION, ON_HAND, STEP_COLUMNS
from invengine.replica.replica import Replica
from invengine.services.promisable import Promisable
from invengine.services.selection import select

DAYS, LOCATIONS, UNITS, RECEIPTS = 730, 10, 20, 3
NOW_MS = 1_800_000_000_000
TODAY = NOW_MS // 86_400_000


class Shop:
    """One SKU at ten locations, three of which expect some in the next two years."""

    def __init__(self, skus: int) -> None:
        self.network = Network.parse(engine.network_document(LOCATIONS), 1)
        self.replica = Replica(memory_replica.PARTITIONS, bytes(8))
        memory_replica.fill(self.replica, skus, LOCATIONS, UNITS)
        self.replica.set_network(self.network)
        self.skus = [engine.sku(number) for number in range(skus)]
        chance = random.Random(1)
        self.receipts = {
            sku: [
                (engine.location(place), TODAY + chance.randint(1, DAYS - 1), chance.randint(1, 50))
                for place in chance.sample(range(LOCATIONS), RECEIPTS)
            ]
            for sku in self.skus
        }
        self.replica.incoming.load(
            Receipt(sku, location, f"po-{number}", day, units, 0, 1)
            for sku, receipts in self.receipts.items()
            for number, (location, day, units) in enumerate(receipts)
        )
        channel = next(iter(self.network.channels))
        self.selection = select(self.network, self.replica.locations, self.replica.channels, channel)
        self.channel = channel

    def by_steps(self, sku: str) -> dict[int, list[tuple[int, int]]]:
        """By number of the location (days from today, units)."""
        columns, numbers = self.replica.columns, self.replica.locations
        number = columns.find_sku(sku)
        lines = []
        for location, day, units in self.receipts[sku]:
            place = numbers.number(location)
            lines += [(place, 0, 0, 0, 0), (place, day, units, 0, 0)]
        arrivals = np.array(sorted(lines), np.int64).reshape(-1, ARRIVAL_COLUMNS)
        steps = np.empty((LOCATIONS + len(arrivals), STEP_COLUMNS), np.int64)
        block, nobody = self.selection.block, self.selection.nothing_ignored
        count = kernels.promisable_steps(
            number, columns.positions, columns.skus, columns.fences, block, nobody, arrivals, steps
        )
        found: dict[int, list[tuple[int, int]]] = {}
        for place, day, units in steps[:count].tolist():
            found.setdefault(place, []).append((day - TODAY if day else 0, units))
        return found

    def by_days(self, sku: str) -> dict[int, list[tuple[int, int]]]:
        """The same, by a row of all days for each location."""
        rows = self.replica.columns.rows(self.replica.columns.find_sku(sku))
        places = rows[:, LOCATION].tolist()
        receipts, commitments = np.zeros((2, LOCATIONS, DAYS), np.int64)
        for location, day, units in self.receipts[sku]:
            receipts[places.index(self.replica.locations.number(location)), day - TODAY] += units
        out = np.empty_like(receipts)
        on_hand, safety = rows[:, ON_HAND].copy(), self.selection.block[rows[:, LOCATION], FLOOR_UNITS].copy()
        kernels.available_to_promise(on_hand, safety, receipts, commitments, out)
        found = {place: [(0, units)] for place, units in zip(places, out[:, 0].tolist(), strict=True)}
        for row, day in zip(*np.nonzero(np.diff(out)), strict=True):
            found[places[row]].append((int(day) + 1, int(out[row, day + 1])))
        return found


def run(*, quick: bool) -> list[Figure]:
    """Both forms against each other, and how many (SKU, location) are dated in a second."""
    skus = 200 if quick else 2_000
    shop = Shop(skus)
    for sku in shop.skus:
        assert shop.by_steps(sku) == shop.by_days(sku)

    def rate(form: object) -> float:
        begun = perf_counter()
        for sku in shop.skus:
            form(sku)  # type: ignore[operator]
        return len(shop.skus) / (perf_counter() - begun)

    measured = compare(lambda: rate(shop.by_steps), lambda: rate(shop.by_days), 9)
    say(
        "one SKU at 10 locations, 3 receipts in two years: only days with receipts, or all 730?",
        "7,300 cells are filled and looked through for 13 steps: 3 to 10 times",
        str(measured),
    )
    candidates = [Candidate(engine.location(place)) for place in range(LOCATIONS)]

    def dated(wanted: int) -> float:
        begun = perf_counter()
        promisable = Promisable(shop.replica, shop.network, shop.channel, NOW_MS, True)
        for sku in shop.skus:
            for candidate in candidates:
                promisable.day_of(sku, candidate, wanted)
        return len(shop.skus) * LOCATIONS / (perf_counter() - begun)

    per_second = float(np.median([dated(UNITS + 1) for _ in range(9)]))
    say(
        "how many (SKU, location) are dated in a second, each SKU asked about for the first time by this promise?",
        "1 us for each of them and 10 us for the SKU: 500,000",
        f"{per_second:,.0f}/s",
    )
    setup = "10 locations, 3 receipts in 730 days, answers compared"
    return [Figure("promisable by day: days with receipts / all days", measured.median, "x", "higher", 2, setup)]
