"""Where orders come from, and what it costs to serve them from each location: what scarcity prices rest on."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from invengine import kernels
from invengine.kernels.layout import NO_WAY
from invengine.services.demand_rates import Forecast

Columns = NDArray[np.int64]
WEIGHTS: Final = 1_000_000
"""Weights of the regions of one home add up to this."""
JOINED_PERCENT: Final = 50
"""How much is counted of what an order's lines save when they come in one parcel from their region's first location."""


class Regions(NamedTuple):
    """R parts of the land that orders come from; each belongs to one of the H homes. N locations."""

    home: Columns
    """[R] the location that serves it at the least cost, as forecasts number homes."""
    weight: Columns
    """[R] how much of its home's demand comes from there, of `WEIGHTS`."""
    parcel_cost: Columns
    """[R, N] of a parcel, ten-thousandths; NO_WAY where nothing goes from the location to the region."""
    unit_cost: Columns
    """[R, N] of a unit."""

    def line_cost(self, lines_an_order: float) -> Columns:
        """[R, N] of a line: a parcel of its own, but at the region's first location it shares one with others."""
        cost = self.parcel_cost.copy()
        whole = np.where(cost == NO_WAY, np.iinfo(np.int64).max, cost)
        rows, first = np.arange(len(cost)), whole.argmin(axis=1)
        saved = cost[rows, first] * (1.0 - 1.0 / lines_an_order) * JOINED_PERCENT / 100
        there = cost[rows, first] != NO_WAY
        cost[rows[there], first[there]] -= saved[there].astype(np.int64)
        return cost


def prices_of(forecast: Forecast, regions: Regions, lines_an_order: float, stock: Columns, minutes: Columns) -> Columns:
    """[K, N] what a unit of K SKUs is worth at each location, by stock and minutes to the next receipt [K, N]."""
    out = np.zeros(stock.shape, np.int64)
    kernels.scarcity_prices(
        np.ascontiguousarray(stock),
        np.ascontiguousarray(minutes),
        np.ascontiguousarray(forecast.rate[:, regions.home] * regions.weight // WEIGHTS),
        forecast.spread,
        forecast.line_units,
        regions.line_cost(lines_an_order),
        regions.unit_cost,
        out,
    )
    return out
