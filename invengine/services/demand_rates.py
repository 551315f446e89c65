"""Forecast demand: units a day of each SKU from each home, later demand counting more than earlier."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from invengine.kernels.layout import MILLIONTHS, THOUSANDTHS

Columns = NDArray[np.int64]

DAY_MS: Final = 86_400_000
HALF_LIVES_MAX: Final = 16
"""Weights grow with time, so that nothing has to be aged; after so many half-lives they are scaled back."""
HOMES_WEIGHT: Final = 20
"""Lines of all SKUs together that count beside those of one: a SKU with few lines is wanted where all others are."""
DAYS_LEAST: Final = 1.0
RATE_MAX: Final = 2**40


class Forecast(NamedTuple):
    """Of K SKUs at H homes, as `kernels.scarcity_prices` takes them."""

    rate: Columns
    """[K, H] millionths of a unit a day."""
    spread: Columns
    """[K] thousandths: the mean size of a line, each counted by its units."""
    line_units: Columns
    """[K] thousandths: the mean size of a line."""


class DemandRates:
    """Demand seen so far, exponentially weighted: what is `half_life_days` old counts half.

    SKUs and homes are numbers that the caller gives, from 0 on.
    Memory is `4 * homes + 16` bytes a SKU, doubled when it is full.
    """

    def __init__(self, homes: int, half_life_days: float) -> None:
        self._half_life_ms = half_life_days * DAY_MS
        self._lines = np.zeros((0, homes), np.float32)
        self._units = np.zeros(0)
        self._squares = np.zeros(0)
        self._homes = np.zeros(homes)
        self._orders = self._order_lines = 0.0
        self._epoch_ms = self._began_ms = -1

    @property
    def memory_bytes(self) -> int:
        """Bytes of the columns."""
        return self._lines.nbytes + self._units.nbytes + self._squares.nbytes

    @property
    def lines_an_order(self) -> float:
        """The mean number of lines of an order; 1.0 where none was seen."""
        return max(self._order_lines / self._orders, 1.0) if self._orders > 0 else 1.0

    def begin(self, at_ms: int) -> None:
        """Says since when demand is seen, if nothing was seen yet: a time without demand counts from there on."""
        if self._began_ms < 0:
            self._began_ms = self._epoch_ms = at_ms

    def add(self, skus: Columns, homes: Columns, units: Columns, at_ms: Columns, orders: int) -> None:
        """Takes in lines of `orders` orders, all arrays [lines]; `units` 1 or more."""
        if not skus.size:
            return
        self.begin(int(at_ms.min()))
        newest = int(at_ms.max())
        if newest - self._epoch_ms > HALF_LIVES_MAX * self._half_life_ms:
            self._scale(newest)
        self._make_room(int(skus.max()) + 1)
        weight = np.exp2((at_ms - self._epoch_ms) / self._half_life_ms)
        wanted = units.astype(np.float64)
        np.add.at(self._lines, (skus, homes), weight.astype(np.float32))
        np.add.at(self._units, skus, weight * wanted)
        np.add.at(self._squares, skus, weight * wanted * wanted)
        np.add.at(self._homes, homes, weight)
        mean_weight = float(weight.mean())
        self._orders += orders * mean_weight
        self._order_lines += skus.size * mean_weight

    def forecast(self, skus: Columns, now_ms: int) -> Forecast:
        """What is expected of SKUs [K]; nothing of one that was never seen (or has a number below 0)."""
        known = (skus >= 0) & (skus < self._units.size)
        rows = np.where(known, skus, 0)
        if not self._units.size:
            shape = (skus.size, self._homes.size)
            ones = np.full(skus.size, THOUSANDTHS, np.int64)
            return Forecast(np.zeros(shape, np.int64), ones, ones.copy())
        lines = self._lines[rows].astype(np.float64)
        units = np.where(known, self._units[rows], 0.0)
        by_sku = lines.sum(axis=1)
        weight = self._weight_of(1.0, now_ms)  # of a line that is seen now
        everywhere = self._homes / max(float(self._homes.sum()), 1e-300)
        extra = HOMES_WEIGHT * weight
        share = (lines + extra * everywhere) / (by_sku + extra)[:, None]
        a_day = units / (weight * self._days(now_ms))
        rate = np.minimum(np.rint(share * a_day[:, None] * MILLIONTHS), RATE_MAX)
        seen = units > 0
        spread = np.where(seen, self._squares[rows] / np.where(seen, units, 1.0), 1.0)
        size = np.where(seen, units / np.maximum(by_sku, 1e-300), 1.0)
        return Forecast(
            rate.astype(np.int64),
            np.maximum(np.rint(spread * THOUSANDTHS), 1).astype(np.int64),
            np.maximum(np.rint(size * THOUSANDTHS), 1).astype(np.int64),
        )

    def widen(self, homes: int) -> None:
        """Makes room for homes that are new; the numbers of the others stay."""
        more = homes - self._homes.size
        if more > 0:
            self._homes = np.concatenate((self._homes, np.zeros(more)))
            self._lines = np.concatenate((self._lines, np.zeros((len(self._lines), more), np.float32)), axis=1)

    def lines_of(self, skus: Columns) -> NDArray[np.float64]:
        """[K] how many lines wanted SKUs [K], the later ones counting more: good for comparing them."""
        return np.asarray(self._lines[skus].sum(axis=1, dtype=np.float64))

    def forget(self, skus: Columns) -> None:
        """Their numbers may be given to other SKUs."""
        self._lines[skus] = 0
        self._units[skus] = self._squares[skus] = 0

    def _weight_of(self, units: float, at_ms: int) -> float:
        return units * math.exp(math.log(2) * (at_ms - self._epoch_ms) / self._half_life_ms)

    def _days(self, now_ms: int) -> float:
        """The days that demand was seen on, weighted as demand is."""
        half_lives = max(now_ms - self._began_ms, 0) / self._half_life_ms
        days: float = self._half_life_ms / DAY_MS / math.log(2) * (1.0 - 0.5**half_lives)
        return max(days, DAYS_LEAST)

    def _scale(self, epoch_ms: int) -> None:
        factor = self._weight_of(1.0, epoch_ms)
        self._epoch_ms = epoch_ms
        self._lines /= np.float32(factor)
        for column in (self._units, self._squares, self._homes):
            np.divide(column, factor, out=column)
        self._orders, self._order_lines = self._orders / factor, self._order_lines / factor

    def _make_room(self, skus: int) -> None:
        if skus <= self._units.size:
            return
        size = max(skus, 2 * self._units.size, 1024)
        more = size - self._units.size
        self._lines = np.concatenate((self._lines, np.zeros((more, self._homes.size), np.float32)))
        self._units = np.concatenate((self._units, np.zeros(more)))
        self._squares = np.concatenate((self._squares, np.zeros(more)))
