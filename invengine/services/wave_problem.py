"""A wave as arrays, for the kernel that shares units out; and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from invengine.kernels.layout_wave import (
    OPTION_COLUMNS,
    PLACE_COLUMNS,
    WAVE_LINE_COLUMNS,
    WAVE_LINE_WORTH,
    WAVE_ORDER_COLUMNS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Block = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WaveProblem:
    """All int64, columns as in kernels.layout; K SKUs, N columns of stock, C channels.

    `orders` [O, WAVE_ORDER_COLUMNS]  `lines` [L, WAVE_LINE_COLUMNS]  `places` [P, PLACE_COLUMNS]
    `options` [R, OPTION_COLUMNS]     `stock` [K, N] units            `shares` [C, K] units that a channel gets at least
    """

    orders: Block
    lines: Block
    places: Block
    options: Block
    stock: Block
    shares: Block
    is_fair: bool


class Allocated(NamedTuple):
    """Who gets what: units by option, int64 [R]; what was to be least, cost and what missing units are worth (of fair
    shares the cost), and what no plan has less of.
    """

    units: Block
    objective: int
    bound: int


class Allocator(Protocol):
    """Shares units out. Runs in a thread of its own, so it touches nothing but the problem.

    `goes_on` is asked now and then whether anybody wants the answer, and told how far the work is: done, of so many.
    """

    def __call__(self, problem: WaveProblem, goes_on: Callable[[int, int], bool]) -> Allocated | None:
        """None where nobody wants it any more."""


class Rows:
    """Rows that are gathered in parts, so that no conversion to an array takes long."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._parts: list[Block] = []
        self._rows: list[Sequence[int]] = []
        self.count = 0

    def add(self, *row: int) -> int:
        """One row; its place."""
        self._rows.append(row)
        self.count += 1
        return self.count - 1

    def settle(self) -> None:
        """Turns what was added since the last time into an array."""
        if self._rows:
            self._parts.append(np.array(self._rows, np.int64))
            self._rows = []

    def block(self) -> Block:
        """All rows."""
        self.settle()
        return np.concatenate(self._parts) if self._parts else np.empty((0, self._columns), np.int64)


class ProblemRows:
    """The rows of a problem, as they are gathered."""

    def __init__(self) -> None:
        self.orders = Rows(WAVE_ORDER_COLUMNS)
        self.lines = Rows(WAVE_LINE_COLUMNS)
        self.places = Rows(PLACE_COLUMNS)
        self.options = Rows(OPTION_COLUMNS)

    def settle(self) -> None:
        """Turns what was added since the last time into arrays."""
        for rows in (self.orders, self.lines, self.places, self.options):
            rows.settle()

    def problem(self, stock: Block, untold_worth: int, *, is_fair: bool) -> WaveProblem:
        """The problem without shares; lines of worth 0 are worth `untold_worth`."""
        lines = self.lines.block()
        worth = lines[:, WAVE_LINE_WORTH]
        worth[worth == 0] = untold_worth
        shares = np.zeros((1, len(stock)), np.int64)
        return WaveProblem(
            self.orders.block(), lines, self.places.block(), self.options.block(), stock, shares, is_fair
        )
