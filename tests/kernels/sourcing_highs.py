"""The model of a basket for HiGHS, a solver of mixed-integer programs: what the kernel has to agree with.

It is written from the definition (docs/sourcing.md), and shares nothing with the kernel.
"""

from __future__ import annotations

import highspy
import numpy as np

from invengine.kernels.layout import NO_LIMIT, WHOLE
from tests.kernels.sourcing_worlds import World


class Model:
    """Units x and pairs z of each line and location, parcels y, missing units s."""

    def __init__(self, world: World) -> None:
        self.world = world
        lines, locations = world.unit_cost.shape
        pairs = lines * locations
        self.x, self.z, self.y, self.s = 0, pairs, 2 * pairs, 2 * pairs + locations
        count = self.s + lines
        self.rows: list[tuple[float, float, list[int], list[float]]] = []
        capacity = np.where(world.capacity == NO_LIMIT, world.wanted.sum(), world.capacity)
        upper = np.minimum(world.wanted[:, None], np.minimum(world.available[world.sku], capacity))
        upper = np.where(world.forbidden > 0, 0, upper)
        best_effort = world.shortage != WHOLE
        self.cost = np.concatenate(
            [world.unit_cost.ravel(), world.line_cost.ravel(), world.parcel_cost, np.maximum(world.shortage, 0)]
        )
        self.upper = np.concatenate([upper.ravel(), np.ones(pairs), np.ones(locations), world.wanted * best_effort])
        for line in range(lines):
            mine = [line * locations + n for n in range(locations)]
            self._row(world.wanted[line], world.wanted[line], [*mine, self.s + line], [1] * (locations + 1))
            if not world.may_split[line]:
                self._row(0, 1, [self.z + pair for pair in mine], [1] * locations)
            for n, pair in enumerate(mine):
                self._row(-np.inf, 0, [pair, self.z + pair], [1, -int(upper[line, n])])
                self._row(-np.inf, 0, [self.z + pair, self.y + n], [1, -1])
        for n in range(locations):
            for sku in range(len(world.available)):
                at = [line * locations + n for line in range(lines) if world.sku[line] == sku]
                if len(at) > 1:
                    self._row(0, world.available[sku, n], at, [1] * len(at))
            self._row(0, capacity[n], [line * locations + n for line in range(lines)], [1] * lines)
        if world.parcels_max:
            self._row(0, world.parcels_max, [self.y + n for n in range(locations)], [1] * locations)
        self.count = count

    def _row(self, lower: float, upper: float, columns: list[int], values: list[int]) -> None:
        self.rows.append((lower, upper, columns, values))

    def solver(self) -> highspy.Highs:
        """A solver that has the model, to be run to proven optimality on one thread."""
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.count, len(self.rows)
        lp.col_cost_ = self.cost / 10_000.0
        lp.col_lower_, lp.col_upper_ = np.zeros(self.count), self.upper.astype(float)
        lp.row_lower_ = np.array([row[0] for row in self.rows], float)
        lp.row_upper_ = np.array([row[1] for row in self.rows], float)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.cumsum([0, *(len(row[2]) for row in self.rows)])
        lp.a_matrix_.index_ = np.concatenate([row[2] for row in self.rows])
        lp.a_matrix_.value_ = np.concatenate([row[3] for row in self.rows]).astype(float)
        lp.integrality_ = [highspy.HighsVarType.kInteger] * self.count
        solver = highspy.Highs()
        for option, value in {
            "output_flag": False,
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 1e-6,
            "threads": 1,
            "random_seed": 1,
        }.items():
            solver.setOptionValue(option, value)
        solver.passModel(lp)
        return solver

    def units(self, solver: highspy.Highs) -> np.ndarray | None:
        """The plan that it found, in whole units; None when it has proved that there is none."""
        status = solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        if status != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS ended with {status}")
        values = np.array(solver.getSolution().col_value[: self.z])
        return np.rint(values).astype(np.int64).reshape(self.world.unit_cost.shape)


def solve(world: World) -> np.ndarray | None:
    """A plan that costs least, by HiGHS; None when there is none."""
    model = Model(world)
    solver = model.solver()
    solver.run()
    return model.units(solver)
