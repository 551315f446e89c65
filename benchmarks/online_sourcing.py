"""How much of what myopic sourcing costs too much does the price of scarce stock save, against knowing all orders?

`python -m benchmarks online_sourcing` makes its orders. With files it simulates a real year:
`python -m benchmarks.online_sourcing --sales SALES.csv.gz --stores STORES.csv --postal POSTAL.csv.gz`, where SALES has
the columns ts, invoice, sku, description, qty, price, customer, country; STORES: LAT, LON; POSTAL: zip, lat, lon.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, say
from benchmarks.online_hindsight import Bounds, bounds
from benchmarks.online_sources import Outcome, myopic, priced
from benchmarks.online_world import (
    DAY,
    Orders,
    World,
    made_positions,
    make_orders,
    make_world,
    positions,
    read_orders,
)

NETWORKS = ((10, 5), (40, 10))  # locations, and at how many of them each SKU is kept


class Compared(NamedTuple):
    """The same orders: without a price, with one, and the least they could have cost."""

    myopic: Outcome
    priced: Outcome
    bounds: Bounds

    @property
    def captured(self) -> float:
        """The share of the gap between myopic and the linear program that the price saves."""
        return (self.myopic.cost - self.priced.cost) / (self.myopic.cost - self.bounds.linear)

    @property
    def captured_whole(self) -> float:
        """The same with the bound of whole parcels, where that is the higher one."""
        least = max(self.bounds.linear, self.bounds.whole)
        return (self.myopic.cost - self.priced.cost) / (self.myopic.cost - least)


def compare(world: World, from_day: int, until_day: int) -> Compared:
    """All three over the orders of these days."""
    first, last = np.searchsorted(world.orders.minute, [from_day * DAY, until_day * DAY]).tolist()
    found = Compared(myopic(world, first, last), priced(world, first, last), bounds(world, first, last))
    if not max(found.bounds.linear * 0.9999, found.bounds.whole) <= min(found.myopic.cost, found.priced.cost):
        raise RuntimeError(f"cheaper than it can be: {found}")
    return found


def total(parts: list[Compared]) -> Compared:
    """Several stretches of time taken together."""
    return Compared(
        Outcome(*(sum(column) for column in zip(*(part.myopic for part in parts), strict=True))),
        Outcome(*(sum(column) for column in zip(*(part.priced for part in parts), strict=True))),
        Bounds(*(sum(column) for column in zip(*(part.bounds for part in parts), strict=True))),  # type: ignore[arg-type]
    )


def _told(compared: Compared) -> str:
    (cost, parcels, missing), (other, fewer, lost), least = compared
    return (
        f"{compared.captured:.1%} of the gap ({compared.captured_whole:.1%} of that to whole parcels): "
        f"{cost / 1e4:,.0f} -> {other / 1e4:,.0f}, bounds {least.linear / 1e4:,.0f} and {least.whole / 1e4:,.0f}; "
        f"{parcels:,} -> {fewer:,} parcels; {missing} -> {lost} units that nobody had"
    )


def _made(locations: int, kept_at: int, skus: int, days: int, seed: int) -> World:
    points = made_positions(4_000, 1)
    stores = points[np.random.default_rng(2).choice(len(points), locations, replace=False)]
    return make_world(make_orders(len(points), skus, days, seed), points, stores, kept_at, skus, seed + 1)


def run(*, quick: bool) -> list[Figure]:
    """Both networks over made-up orders."""
    skus, days, seeds = (20, 112, 3) if quick else (30, 140, 3)
    figures = []
    for locations, kept_at in NETWORKS:
        began = time.perf_counter()
        parts = [compare(_made(locations, kept_at, skus, days, seed), 56, days) for seed in range(5, 5 + seeds)]
        found = total(parts)
        say(
            f"share of the gap to hindsight that the price of scarce stock saves, {locations} locations",
            "0.36 to 0.40: what is published of prices from re-solved linear programs",
            f"{_told(found)}; {time.perf_counter() - began:.0f} s",
        )
        setup = f"{skus} SKUs, each at {kept_at} of {locations} locations; days 56 to {days}, made; {seeds} seeds"
        name = f"opportunity cost: gap to hindsight saved, {locations} locations"
        figures.append(Figure(name, found.captured, "", "higher", 0.4, setup))
    return figures


def _stretches(orders: Orders) -> Iterator[tuple[int, int]]:
    """Twelve weeks each, behind eight weeks of learning."""
    for day in range(56, int(orders.minute[-1]) // DAY - 60, 84):
        yield day, day + 84


def _choose(found: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    return found[np.random.default_rng(seed).choice(len(found), count, replace=False)]


def main() -> None:
    """A year that is read from files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online_sourcing", description=__doc__)
    parser.add_argument("--sales", type=Path, required=True)
    parser.add_argument("--stores", type=Path, required=True)
    parser.add_argument("--postal", type=Path, required=True)
    parser.add_argument("--skus", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    points, stores = positions(arguments.postal, "lat", "lon"), positions(arguments.stores, "LAT", "LON")
    orders = read_orders(arguments.sales, len(points), arguments.skus, arguments.seed)
    print(f"{orders.minute.size:,} orders, {orders.sku.size:,} lines, {orders.units.sum():,} units", flush=True)
    for locations, kept_at in NETWORKS:
        chosen = _choose(stores, locations, arguments.seed)
        world = make_world(orders, points, chosen, kept_at, arguments.skus, arguments.seed)
        parts = []
        for first, last in _stretches(orders):
            parts.append(compare(world, first, last))
            print(f"{locations} locations, days {first} to {last}: {_told(parts[-1])}", flush=True)
        print(f"{locations} locations, all: {_told(total(parts))}", flush=True)


if __name__ == "__main__":
    main()
