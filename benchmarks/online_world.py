"""Orders of a year, customers with homes, a network with too little stock in some places: made, or read from files."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median_low
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from invengine.services.demand_regions import WEIGHTS, Regions

Columns = NDArray[np.int64]
DAY = 1_440
EARTH_KM = 6371.0088
REGIONS_A_HOME = 4
PARCEL, PARCEL_KM = 40_000, 40  # ten-thousandths: 4.00 and 0.004 a km
UNIT, UNIT_KM = 1_000, 3
SHORTAGE = 300_000  # 30.00 a unit: never worth it
PACKS_MAX, LINES_MAX = 3, 12
SKUS_SOLD_MOST = 100
CYCLE_DAYS = 28
STOCK, IMBALANCE = (
    1.2,
    0.5,
)  # stock over demand; deviation of the logarithm of what a location gets too much or too little


@dataclass
class Orders:
    """Lines of orders in the order of time: order o has the lines from first[o] to first[o + 1]."""

    minute: Columns
    point: Columns  # where the customer lives
    first: Columns
    sku: Columns
    units: Columns

    def of_lines(self, what: Columns) -> Columns:
        """What is known by order, by line."""
        return np.repeat(what, np.diff(self.first))


@dataclass
class World:
    """Orders, what it costs to serve them from N locations, and the stock that each location is filled up to."""

    orders: Orders
    parcel_cost: Columns  # [points, N]
    unit_cost: Columns  # [points, N]
    home: Columns  # [points]
    regions: Regions
    phase: Columns  # [N] minute of the first filling
    levels: Columns  # [cycles, SKUs, N] units after each filling

    def cycle_of(self, minute: Any) -> Columns:
        """[..., N] which filling is the last one before; -1 before the first."""
        return np.asarray((np.asarray(minute)[..., None] - self.phase) // (CYCLE_DAYS * DAY))

    def minutes_to_receipt(self, minute: int) -> Columns:
        """[N]"""
        return np.asarray(CYCLE_DAYS * DAY - (minute - self.phase) % (CYCLE_DAYS * DAY))


def kilometres(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, m] great circles between (latitude, longitude) pairs [n, 2] and [m, 2]."""
    one, other = np.radians(some)[:, None], np.radians(others)[None]
    north, east = np.sin((one - other) / 2)[..., 0] ** 2, np.sin((one - other) / 2)[..., 1] ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(north + np.cos(one[..., 0]) * np.cos(other[..., 0]) * east)))


def _text(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _sales(path: Path) -> Iterator[tuple[int, str, str, int, str]]:
    """Minute, invoice, SKU, quantity, customer of every sale of goods."""
    began = None
    with _text(path) as file:
        for row in csv.DictReader(file):
            sku, quantity = row["sku"].upper(), int(row["qty"])
            if not sku[:5].isdigit() or quantity <= 0 or (float(row["price"]) == 0 and not row["customer"]):
                continue
            at = datetime.fromisoformat(row["ts"])
            began = began or datetime(at.year, at.month, at.day)
            yield (
                int((at - began).total_seconds()) // 60,
                row["invoice"],
                sku,
                quantity,
                row["customer"] or row["invoice"],
            )


def read_orders(path: Path, points: int, skus: int, seed: int) -> Orders:
    """Orders for `skus` SKUs, drawn among those sold most. Who a customer is decides where.

    Units are packs, the usual quantity of a line of the SKU; lines of more than a few are wholesale and left out.
    """
    rows = list(_sales(path))
    sold = Counter(row[2] for row in rows)
    most = sorted(sold, key=lambda sku: (-sold[sku], sku))[:SKUS_SOLD_MOST]
    drawn = sorted(np.random.default_rng(seed).choice(len(most), skus, replace=False).tolist())
    number = {most[place]: n for n, place in enumerate(drawn)}
    quantities = defaultdict(list)
    for row in rows:
        quantities[row[2]].append(row[3])
    found: dict[str, tuple[int, int, Counter[int]]] = {}
    for minute, invoice, sku, quantity, customer in rows:
        if sku in number:
            point = zlib.crc32(customer.encode()) % points
            order = found.setdefault(invoice, (minute, point, Counter()))
            order[2][number[sku]] += -(-quantity // median_low(quantities[sku][:1000]))
    return _orders([(minute, point, dict(lines)) for minute, point, lines in found.values()])


def make_orders(points: int, skus: int, days: int, seed: int) -> Orders:
    """As many orders as a year of a mid-sized shop: some customers often, some SKUs much, seasons, baskets."""
    draw = np.random.default_rng(seed)
    popular = draw.gamma(2.0, 0.5, skus)
    popular /= popular.sum()
    customers = draw.integers(0, points, 2_000)
    often = draw.gamma(1.0, 1.0, customers.size)
    often /= often.sum()
    made = []
    for minute in np.sort(draw.integers(0, days * DAY, days * 25)).tolist():
        if draw.random() > 0.75 + 0.25 * np.sin(minute / DAY / 365 * 2 * np.pi):
            continue
        count = min(int(draw.geometric(0.4)), LINES_MAX, skus)
        wanted = draw.choice(skus, count, replace=False, p=popular)
        lines = {int(sku): int(draw.choice([1, 1, 1, 2, 2, 3])) for sku in wanted}
        made.append((minute, int(draw.choice(customers, p=often)), lines))
    return _orders(made)


def _orders(found: list[tuple[int, int, dict[int, int]]]) -> Orders:
    kept = []
    for minute, point, lines in found:
        small = {sku: units for sku, units in lines.items() if units <= PACKS_MAX}
        if 0 < len(small) <= LINES_MAX:
            kept.append((minute, point, sorted(small.items())))
    kept.sort(key=lambda order: order[0])
    lines_of = [len(lines) for *_, lines in kept]
    flat = [line for *_, lines in kept for line in lines]
    return Orders(
        np.array([order[0] for order in kept], np.int64),
        np.array([order[1] for order in kept], np.int64),
        np.concatenate(([0], np.cumsum(lines_of))).astype(np.int64),
        np.array([sku for sku, _ in flat], np.int64),
        np.array([units for _, units in flat], np.int64),
    )


def positions(path: Path, latitude: str, longitude: str) -> NDArray[np.float64]:
    """[n, 2] those of a CSV file that lie in the 48 contiguous states."""
    with _text(path) as file:
        read = [(row[latitude], row[longitude]) for row in csv.DictReader(file)]
    found = np.array([(float(one), float(other)) for one, other in read if one and other])
    inside = (found[:, 0] > 24) & (found[:, 0] < 50) & (found[:, 1] > -126) & (found[:, 1] < -66)
    return np.asarray(found[inside])


def made_positions(count: int, seed: int) -> NDArray[np.float64]:
    """[count, 2] around 40 towns on a land of 2,500 by 4,500 km."""
    draw = np.random.default_rng(seed)
    towns = np.stack((draw.uniform(26, 48, 40), draw.uniform(-122, -70, 40)), axis=1)
    return np.asarray(towns[draw.choice(40, count, p=draw.dirichlet(np.ones(40)))] + draw.normal(0, 1.2, (count, 2)))


def make_world(
    orders: Orders, points: NDArray[np.float64], stores: NDArray[np.float64], kept_at: int, skus: int, seed: int
) -> World:
    """A network of these stores; each SKU is kept at `kept_at` of them."""
    draw = np.random.default_rng(seed)
    far = kilometres(points, stores)
    home = far.argmin(axis=1)
    phase = draw.integers(0, CYCLE_DAYS, len(stores)) * DAY - CYCLE_DAYS * DAY
    share = _shares(orders, home, stores, kept_at, skus, draw)
    return World(
        orders,
        (PARCEL + PARCEL_KM * far).astype(np.int64),
        (UNIT + UNIT_KM * far).astype(np.int64),
        home,
        _regions(far, home),
        phase,
        _levels(orders, share, phase, draw),
    )


def _shares(
    orders: Orders, home: Columns, stores: NDArray[np.float64], kept_at: int, skus: int, draw: np.random.Generator
) -> NDArray[np.float64]:
    """[SKUs, N] how much of a SKU's stock is at a location: the demand nearest to it, times luck."""
    by_home = np.zeros((skus, len(stores)))
    np.add.at(by_home, (orders.sku, orders.of_lines(home[orders.point])), orders.units)
    all_homes = by_home.sum(axis=0) / by_home.sum()
    by_home += 0.2 * by_home.sum(axis=1, keepdims=True) * all_homes + 1e-9
    far, share = kilometres(stores, stores), np.zeros_like(by_home)
    for sku in range(skus):
        likely = np.sqrt(by_home[sku])
        keeps = np.zeros(len(stores), bool)
        keeps[draw.choice(len(stores), kept_at, replace=False, p=likely / likely.sum())] = True
        nearest = np.where(keeps, far, np.inf).argmin(axis=1)
        np.add.at(share[sku], nearest, by_home[sku])
    share *= np.exp(draw.normal(0, IMBALANCE, share.shape))
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _levels(orders: Orders, share: NDArray[np.float64], phase: Columns, draw: np.random.Generator) -> Columns:
    """[cycles, SKUs, N] levels that would do on average: the SKU's demand around that time, shared out, times STOCK."""
    length, minute = CYCLE_DAYS * DAY, orders.of_lines(orders.minute)
    end = int(minute.max()) + 1
    levels = np.zeros((-(-end // length) + 2, *share.shape), np.int64)
    for cycle in range(len(levels)):
        for n, begin in enumerate((phase + cycle * length).tolist()):
            low, high = max(begin - length // 2, 0), min(begin + length * 3 // 2, end)
            near = (minute >= low) & (minute < high)
            sold = np.bincount(orders.sku[near], orders.units[near], len(share)) * length / max(high - low, length / 2)
            levels[cycle, :, n] = np.floor(sold * share[:, n] * STOCK + draw.random(len(share)))
    return levels


def _regions(far: NDArray[np.float64], home: Columns) -> Regions:
    """Each home's land in parts with as many points each, by how much farther the second location is than the first."""
    two = np.partition(far, 1, axis=1)
    homes, weights, distances = [], [], []
    for n in range(far.shape[1]):
        there = np.flatnonzero(home == n)
        for part in np.array_split(there[np.argsort(two[there, 1] - two[there, 0], kind="stable")], REGIONS_A_HOME):
            if part.size:
                homes.append(n)
                weights.append(part.size * WEIGHTS // there.size)
                distances.append(far[part].mean(axis=0))
    mean = np.array(distances)
    return Regions(
        np.array(homes, np.int64),
        np.array(weights, np.int64),
        (PARCEL + PARCEL_KM * mean).astype(np.int64),
        (UNIT + UNIT_KM * mean).astype(np.int64),
    )
