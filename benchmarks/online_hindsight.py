"""What orders would have cost at least, had all of them been known beforehand: two lower bounds.

The linear program takes units and parcels as divisible: a tenth of a parcel may carry a tenth of a line. With the
prices of stock that it ends with, each order is then sourced by itself with whole units and whole parcels, over the
full stock of its time; what that costs, less what the stock is worth at these prices, is a bound too (Lagrange's), in
whole numbers, whatever the prices: nothing rests on a solver's tolerance.
"""

from __future__ import annotations

from typing import NamedTuple

import highspy
import numpy as np

from benchmarks.online_sources import Basket
from benchmarks.online_world import SHORTAGE, Columns, World
from invengine.kernels.layout import SOURCED_BOUND


class Bounds(NamedTuple):
    """In ten-thousandths."""

    linear: float
    whole: int


def bounds(world: World, first: int, last: int) -> Bounds:
    """Of the orders from `first` to before `last`, each cycle's full stock being there for them."""
    linear, prices = _linear(world, first, last)
    whole = 0
    basket = Basket(world)
    cycles = world.cycle_of(world.orders.minute[first:last])
    places = np.arange(world.levels.shape[2])
    used = np.zeros(world.levels.shape, bool)
    for order in range(first, last):
        cycle = cycles[order - first]
        skus = basket.skus(order)
        stock = world.levels[cycle, skus[:, None], places]
        used[cycle, skus[:, None], places] = True
        basket.source(order, stock, prices[cycle, skus[:, None], places], SHORTAGE)
        whole += int(basket.out[0, SOURCED_BOUND])
    return Bounds(linear, whole - int((prices * world.levels)[used].sum()))


def _linear(world: World, first: int, last: int) -> tuple[float, Columns]:
    """The linear program of them all: its cost, and the price of a unit by cycle, SKU and location."""
    orders, (_, skus, n_locations) = world.orders, world.levels.shape
    lines = np.arange(orders.first[first], orders.first[last])
    order = orders.of_lines(np.arange(orders.minute.size))[lines]
    units, cycle = orders.units[lines].astype(float), world.cycle_of(orders.minute[order])
    stock = world.levels[cycle, orders.sku[lines][:, None], np.arange(n_locations)]
    line, place = np.nonzero(stock > 0)
    parcels, parcel = np.unique(order[line] * n_locations + place, return_inverse=True)
    position = (cycle[line, place] * skus + orders.sku[lines][line]) * n_locations + place
    positions, capacity = np.unique(position, return_inverse=True)
    most = np.minimum(units[line], stock[line, place])
    point = orders.point[order]
    pairs, count = line.size, lines.size
    cost = np.concatenate(
        (
            world.unit_cost[point[line], place],
            world.parcel_cost[orders.point[parcels // n_locations], parcels % n_locations],
            np.full(count, SHORTAGE),
        )
    )
    one, link = np.arange(pairs), count + np.arange(pairs)
    rows = np.concatenate((line, link, count + pairs + capacity, link, np.arange(count)))
    columns = np.concatenate((one, one, one, pairs + parcel, pairs + parcels.size + np.arange(count)))
    values = np.concatenate((np.ones(3 * pairs), -most, np.ones(count)))
    by_column = np.lexsort((rows, columns))
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = cost.size, count + pairs + positions.size
    model.col_cost_, model.col_lower_ = cost / 10_000.0, np.zeros(cost.size)
    model.col_upper_ = np.concatenate((most, np.ones(parcels.size), units))
    model.row_lower_ = np.concatenate((units, np.full(pairs + positions.size, -np.inf)))
    model.row_upper_ = np.concatenate((units, np.zeros(pairs), world.levels.reshape(-1)[positions].astype(float)))
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.searchsorted(columns[by_column], np.arange(cost.size + 1))
    model.a_matrix_.index_, model.a_matrix_.value_ = rows[by_column], values[by_column]
    solver = highspy.Highs()
    for option, value in {"output_flag": False, "threads": 1, "solver": "ipm", "run_crossover": "off"}.items():
        solver.setOptionValue(option, value)
    solver.passModel(model)
    solver.run()
    prices = np.zeros(world.levels.size, np.int64)
    worth = -np.array(solver.getSolution().row_dual[count + pairs :])
    prices[positions] = np.rint(np.maximum(worth, 0) * 10_000)
    return solver.getInfo().objective_function_value * 10_000, prices.reshape(world.levels.shape)
