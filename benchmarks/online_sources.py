"""Orders sourced one after the other as they come, each by what is known then: the online side of the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.online_world import DAY, SHORTAGE, Columns, World
from invengine import kernels
from invengine.kernels.layout import NO_LIMIT, SOURCED, SOURCED_COLUMNS, SOURCED_STATUS, SOURCED_WITHIN
from invengine.services.demand_rates import DemandRates
from invengine.services.demand_regions import prices_of

NODES_MAX = 2_000
MINUTE_MS = 60_000
ABOVE_ALL = 10**8  # what a missing unit costs a plan: nothing is left out to save stock
HALF_LIFE_DAYS = 28.0

Worth = Callable[[Columns, Columns, int], Columns]
"""What units of SKUs are worth, [K, N]: of the SKUs, the stock [K, N] and the minute."""


class Basket:
    """One order at a time, sourced by the kernel."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.places = np.arange(world.levels.shape[2])
        self.unlimited = np.full(self.places.size, NO_LIMIT, np.int64)
        self.out = np.zeros((2, SOURCED_COLUMNS), np.int64)

    def skus(self, order: int) -> Columns:
        """[lines]"""
        orders = self.world.orders
        return orders.sku[orders.first[order] : orders.first[order + 1]]

    def units(self, order: int) -> Columns:
        """[lines]"""
        orders = self.world.orders
        return orders.units[orders.first[order] : orders.first[order + 1]]

    def source(self, order: int, stock: Columns, worth: Columns, shortage: int) -> Columns:
        """[lines, N] units of the best plan. Lines may split; `worth` is what each unit costs besides."""
        wanted, point = self.units(order), self.world.orders.point[order]
        shape = (wanted.size, self.places.size)
        units, ruled = np.zeros((2, *shape), np.int64), np.zeros(shape, np.int64)
        kernels.source_basket(
            wanted,
            np.arange(wanted.size),
            np.ones(wanted.size, np.int64),
            np.full(wanted.size, shortage, np.int64),
            np.ascontiguousarray(stock),
            self.world.unit_cost[point] + worth,
            np.zeros(shape, np.int64),
            self.world.parcel_cost[point],
            self.places,
            self.unlimited,
            np.zeros(shape, np.int64),
            0,
            NODES_MAX,
            0,
            units,
            ruled,
            self.out,
        )
        if self.out[0, SOURCED_STATUS] not in (SOURCED, SOURCED_WITHIN):
            raise RuntimeError(f"order {order} has no plan: {self.out[0]}")
        return units[0]


class Outcome(NamedTuple):
    """What orders cost, in ten-thousandths: parcels, units, and those that nobody had."""

    cost: int
    parcels: int
    missing: int


def simulate(world: World, first: int, last: int, worth: Worth, seen: Callable[[int], None]) -> Outcome:
    """Source the orders from `first` to before `last`; `seen` is told of each once it is sourced."""
    basket, stock = Basket(world), np.zeros(world.levels.shape[1:], np.int64)
    cost = parcels = missing = 0
    filled = np.full(basket.places.size, -1, np.int64)
    for order in range(first, last):
        minute, point = int(world.orders.minute[order]), world.orders.point[order]
        cycle = world.cycle_of(minute)
        for n in np.flatnonzero(cycle != filled):
            stock[:, n] = world.levels[cycle[n], :, n]
        filled = cycle
        skus = basket.skus(order)
        units = basket.source(order, stock[skus], worth(skus, stock[skus], minute), ABOVE_ALL)
        stock[skus] -= units
        if stock.min() < 0:
            raise RuntimeError(f"order {order} took more than there was")
        used = units.sum(axis=0) > 0
        short = int(basket.units(order).sum() - units.sum())
        cost += int(world.parcel_cost[point][used].sum() + (units * world.unit_cost[point]).sum()) + short * SHORTAGE
        parcels, missing = parcels + int(used.sum()), missing + short
        seen(order)
    return Outcome(cost, parcels, missing)


def myopic(world: World, first: int, last: int) -> Outcome:
    """Each order at least cost, whatever comes after it."""
    n_locations = world.levels.shape[2]
    return simulate(world, first, last, lambda skus, *_: np.zeros((skus.size, n_locations), np.int64), lambda _: None)


def priced(world: World, first: int, last: int) -> Outcome:
    """The same with the price of scarce stock, from orders that were seen before only."""
    orders, homes = world.orders, world.home[world.orders.point]
    rates = DemandRates(world.levels.shape[2], HALF_LIFE_DAYS)

    def see(begin: int, end: int) -> None:
        lines = slice(orders.first[begin], orders.first[end])
        by_line = np.repeat(np.arange(begin, end), np.diff(orders.first[begin : end + 1]))
        at_ms = orders.minute[by_line] * MINUTE_MS
        rates.add(orders.sku[lines], homes[by_line], orders.units[lines], at_ms, end - begin)

    def pricing(skus: Columns, stock: Columns, minute: int) -> Columns:
        minutes = np.tile(world.minutes_to_receipt(minute), (skus.size, 1))
        return prices_of(rates.forecast(skus, minute * MINUTE_MS), world.regions, rates.lines_an_order, stock, minutes)

    rates.begin(0)
    begin = int(np.searchsorted(orders.minute, max(orders.minute[first] - 200 * DAY, 0)))
    see(begin, first)
    return simulate(world, first, last, pricing, lambda order: see(order, order + 1))
