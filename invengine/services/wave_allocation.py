"""The kernel that shares units out, called a few steps at a time: between them it is asked whether anybody listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from invengine import kernels
from invengine.errors import InvalidArgument
from invengine.kernels.layout import NO_LIMIT
from invengine.kernels.layout_wave import (
    WAVE_BOUND,
    WAVE_FAIR,
    WAVE_FILL,
    WAVE_OBJECTIVE,
    WAVE_ORDER_CLASS,
    WAVE_OUT_COLUMNS,
    WAVE_POOL_LAYERS,
    WAVE_RUNNING,
    WAVE_STATE_COLUMNS,
    WAVE_STATUS,
    WAVE_STEPS_DONE,
    WAVE_STEPS_MORE,
    WAVE_TOO_LARGE,
)
from invengine.services.wave_problem import Allocated, WaveProblem

ROUNDS: Final = 100
"""Of prices, for each class: see docs/waves.md for what more of them bring."""

STEPS_A_CALL: Final = 2


def allocate(problem: WaveProblem, goes_on: Callable[[int, int], bool]) -> Allocated | None:
    """Who gets what; None where nobody wants to know any more. InvalidArgument where sums could leave int64."""
    units = np.zeros(len(problem.options), np.int64)
    if not len(problem.orders):
        return Allocated(units, 0, 0)
    orders = problem.orders.copy()
    classes, orders[:, WAVE_ORDER_CLASS] = np.unique(orders[:, WAVE_ORDER_CLASS], return_inverse=True)
    skus, columns = problem.stock.shape
    state = np.zeros(WAVE_STATE_COLUMNS, np.int64)
    pools = np.zeros((WAVE_POOL_LAYERS, skus + int((problem.shares > 0).sum()) + 1, columns), np.int64)
    quotas = np.zeros(len(problem.lines), np.int64)
    out = np.zeros((len(classes) + 1, WAVE_OUT_COLUMNS), np.int64)
    capacity = np.full(columns, NO_LIMIT, np.int64)
    while state[WAVE_STATUS] in (0, WAVE_RUNNING):
        kernels.allocate_wave(
            orders,
            problem.lines,
            problem.places,
            problem.options,
            problem.stock,
            capacity,
            problem.shares,
            WAVE_FAIR if problem.is_fair else WAVE_FILL,
            ROUNDS,
            STEPS_A_CALL,
            state,
            pools,
            units,
            quotas,
            out,
        )
        done, more = int(state[WAVE_STEPS_DONE]), int(state[WAVE_STEPS_MORE])
        if not goes_on(done, done + more):
            return None
    if state[WAVE_STATUS] == WAVE_TOO_LARGE:
        raise InvalidArgument("orders", "units, worth and costs together are larger than can be counted")
    return Allocated(units, int(out[-1, WAVE_OBJECTIVE]), int(out[-1, WAVE_BOUND]))
