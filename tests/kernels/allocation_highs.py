"""The model of a wave for HiGHS, a solver of mixed-integer programs: what the kernel's bound and plan have to fit.

It is written from the definition (docs/waves.md), for one class, and shares nothing with the kernel.
Columns: units x and use y of each option, parcels z, missing units s, lines filled f, orders filled g; with minimum
shares kept units q of each option, and t, what a channel holds of a SKU at a location: what it takes or what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from invengine.kernels.layout import NO_LIMIT
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_PLACE,
    OPTION_UNIT_COST,
    PLACE_PARCEL_COST,
    WAVE_LINE_MAY_PART,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_SKU,
    WAVE_LINE_WANTED,
    WAVE_LINE_WORTH,
    WAVE_ORDER_CHANNEL,
    WAVE_ORDER_WHOLE,
)
from tests.kernels.allocation_worlds import Wave


class Rows:
    """Rows of a model, many at a time."""

    def __init__(self) -> None:
        self.row: list[np.ndarray] = []
        self.column: list[np.ndarray] = []
        self.value: list[np.ndarray] = []
        self.lower: list[np.ndarray] = []
        self.upper: list[np.ndarray] = []
        self.count = 0

    def add(self, lower: object, upper: object, count: int, *entries: tuple[object, object, object]) -> None:
        """So many rows; entries are (which of these rows, column, value)."""
        for row, column, value in entries:
            rows, columns, values = np.broadcast_arrays(row, column, value)
            self.row.append(rows.ravel() + self.count)
            self.column.append(columns.ravel())
            self.value.append(values.ravel().astype(float))
        self.lower.append(np.broadcast_to(np.asarray(lower, float), count))
        self.upper.append(np.broadcast_to(np.asarray(upper, float), count))
        self.count += count


@dataclass(frozen=True)
class Solved:
    """What HiGHS came to, in ten-thousandths: a plan, if it has one, what it costs, and what none costs less than."""

    units: np.ndarray | None
    objective: float
    bound: float
    seconds: float
    is_proved: bool


def model_of(wave: Wave, *, whole: bool, kept: np.ndarray | None = None) -> highspy.HighsLp:
    """The model; where not `whole`, its relaxation: everything may be a fraction. kept [C, K]: units kept."""
    orders, lines, places, options = (len(rows) for rows in (wave.orders, wave.lines, wave.places, wave.options))
    line, order, n = wave.line_of, wave.order_of, wave.location_of
    sku, wanted = wave.lines[line, WAVE_LINE_SKU], wave.lines[:, WAVE_LINE_WANTED]
    capacity = np.where(wave.capacity == NO_LIMIT, wanted.sum(), wave.capacity)
    most = np.minimum(np.minimum(wave.available[sku, n], wanted[line]), capacity[n])
    x, y = np.arange(options), np.arange(options, 2 * options)
    z, s = 2 * options + np.arange(places), 2 * options + places + np.arange(lines)
    f, g = s + lines, 2 * options + places + 2 * lines + np.arange(orders)
    rows = Rows()
    rows.add(wanted, wanted, lines, (line, x, 1), (np.arange(lines), s, 1))
    one = np.flatnonzero(wave.lines[:, WAVE_LINE_MAY_SPLIT] == 0)
    of_one = np.isin(line, one)
    rows.add(-np.inf, 1, len(one), (np.searchsorted(one, line[of_one]), y[of_one], 1))
    in_whole = wave.orders[order, WAVE_ORDER_WHOLE] == 1
    tied = np.flatnonzero((wave.lines[:, WAVE_LINE_MAY_PART] == 0) | in_whole)
    by = np.where(in_whole, g[order], f)[tied]
    rows.add(
        wanted[tied],
        wanted[tied],
        len(tied),
        (np.arange(len(tied)), s[tied], 1),
        (np.arange(len(tied)), by, wanted[tied]),
    )
    rows.add(-np.inf, 0, options, (np.arange(options), x, 1), (np.arange(options), y, -most))
    rows.add(
        -np.inf, 0, options, (np.arange(options), y, 1), (np.arange(options), z[wave.options[:, OPTION_PLACE]], -1)
    )
    position, at = np.unique(sku * len(capacity) + n, return_inverse=True)
    stock = wave.available.ravel()[position]
    kept = np.zeros_like(wave.shares) if kept is None else kept
    channel = wave.orders[order[line], WAVE_ORDER_CHANNEL]
    has = kept[channel, sku] > 0
    q = 2 * options + places + 2 * lines + orders + np.arange(options)
    held, of = np.unique(np.stack([channel, at]).T[has], axis=0, return_inverse=True)
    of, t = of.ravel(), q[0] + options + np.arange(len(held))
    rows.add(-np.inf, stock, len(position), (at[~has], x[~has], 1), (held[:, 1], t, 1))
    rows.add(-np.inf, 0, len(held), (of, x[has], 1), (np.arange(len(held)), t, -1))
    rows.add(-np.inf, 0, len(held), (of, q[has], 1), (np.arange(len(held)), t, -1))
    rows.add(-np.inf, wanted, lines, (line[has], q[has], 1))
    owner, whose = np.unique(np.stack([channel, sku]).T[has], axis=0, return_inverse=True)
    share = kept[owner[:, 0], owner[:, 1]]
    rows.add(share, share, len(owner), (whose.ravel(), q[has], 1))
    rows.add(-np.inf, capacity, len(capacity), (n, x, 1))
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = int(q[0]) + options + len(held), rows.count
    cost = (
        wave.options[:, OPTION_UNIT_COST], wave.options[:, OPTION_LINE_COST], wave.places[:, PLACE_PARCEL_COST],
        wave.lines[:, WAVE_LINE_WORTH], np.zeros(lines + orders + options + len(held)),
    )  # fmt: skip
    lp.col_cost_ = np.concatenate(cost) / 10_000.0
    lp.col_lower_ = np.zeros(lp.num_col_)
    lp.col_upper_ = np.concatenate(
        [
            most,
            np.ones(options + places),
            wanted,
            np.ones(lines + orders),
            np.minimum(wave.available[sku, n], wanted[line]) * has,
            stock[held[:, 1]],
        ]
    ).astype(float)
    lp.row_lower_, lp.row_upper_ = np.concatenate(rows.lower), np.concatenate(rows.upper)
    by_row = np.argsort(np.concatenate(rows.row), kind="stable")
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.searchsorted(np.concatenate(rows.row)[by_row], np.arange(rows.count + 1))
    lp.a_matrix_.index_ = np.concatenate(rows.column)[by_row]
    lp.a_matrix_.value_ = np.concatenate(rows.value)[by_row]
    if whole:
        lp.integrality_ = [highspy.HighsVarType.kInteger] * lp.num_col_
    return lp


def solve(
    wave: Wave,
    *,
    whole: bool,
    gap: float = 0.0,
    seconds: float = float("inf"),
    kept: np.ndarray | None = None,
    interior: bool = False,
) -> Solved:
    """What HiGHS makes of it on one thread, stopped at a relative gap of its own bound, or after some seconds.

    `interior`: by the method of interior points, for relaxations too large for the simplex method.
    """
    solver = highspy.Highs()
    for option, value in {
        "output_flag": False,
        "mip_rel_gap": gap,
        "time_limit": seconds,
        "threads": 1,
        "random_seed": 1,
        **({"solver": "ipm", "run_crossover": "off"} if interior else {}),
    }.items():
        solver.setOptionValue(option, value)
    solver.passModel(model_of(wave, whole=whole, kept=kept))
    solver.run()
    info, status = solver.getInfo(), solver.getModelStatus()
    units = np.rint(np.array(solver.getSolution().col_value[: len(wave.options)])).astype(np.int64)
    return Solved(
        units if len(units) == len(wave.options) else None,
        info.objective_function_value * 10_000,
        (info.mip_dual_bound if whole else info.objective_function_value) * 10_000,
        solver.getRunTime(),
        status == highspy.HighsModelStatus.kOptimal,
    )
