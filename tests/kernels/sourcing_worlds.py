"""Baskets to source, with every rule on and off, and what the kernel makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invengine import kernels
from invengine.kernels.layout import NO_LIMIT, SOURCED_COLUMNS, WHOLE

NODES_MAX = 200_000


@dataclass(frozen=True)
class World:
    """The arguments of `kernels.source_basket`, in its words."""

    wanted: np.ndarray
    sku: np.ndarray
    may_split: np.ndarray
    shortage: np.ndarray
    available: np.ndarray
    unit_cost: np.ndarray
    line_cost: np.ndarray
    parcel_cost: np.ndarray
    rank: np.ndarray
    capacity: np.ndarray
    forbidden: np.ndarray
    parcels_max: int

    def arguments(self) -> tuple:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True)
class Answer:
    """What the kernel filled: the best plan and the next one."""

    units: np.ndarray
    ruled: np.ndarray
    out: np.ndarray


def sourced(world: World, *, nodes_max: int = NODES_MAX, wants_next: bool = True) -> Answer:
    """The kernel's answer, every number of which it has to write."""
    lines, locations = world.unit_cost.shape
    answer = Answer(
        np.full((2, lines, locations), -9, np.int64),
        np.full((lines, locations), -9, np.int64),
        np.full((2, SOURCED_COLUMNS), -9, np.int64),
    )
    kernels.source_basket(*world.arguments(), nodes_max, 1 if wants_next else 0, answer.units, answer.ruled, answer.out)
    return answer


def cost_of(world: World, units: np.ndarray) -> int:
    """What a plan costs, from the definition."""
    used = units.sum(axis=0) > 0
    missing = world.wanted - units.sum(axis=1)
    cost = (world.parcel_cost * used).sum() + (world.unit_cost * units).sum() + (world.line_cost * (units > 0)).sum()
    return int(cost + (np.maximum(world.shortage, 0) * missing).sum())


def broken_rules(world: World, units: np.ndarray) -> list[str]:
    """What a plan does that it may not."""
    capacity = np.where(world.capacity == NO_LIMIT, world.wanted.sum(), world.capacity)
    missing = world.wanted - units.sum(axis=1)
    of_sku = np.stack([units[world.sku == number].sum(axis=0) for number in range(len(world.available))])
    parcels = int((units.sum(axis=0) > 0).sum())
    rules = {
        "less than nothing": (units < 0).any(),
        "more than wanted": (missing < 0).any(),
        "units missing": ((missing > 0) & (world.shortage == WHOLE)).any(),
        "more than there is": (of_sku > world.available).any(),
        "capacity": (units.sum(axis=0) > capacity).any(),
        "forbidden": ((units > 0) & (world.forbidden > 0)).any(),
        "split": (((units > 0).sum(axis=1) > 1) & (world.may_split == 0)).any(),
        "parcels": world.parcels_max > 0 and parcels > world.parcels_max,
    }
    return [rule for rule, is_broken in rules.items() if is_broken]


def random_world(seed: int, lines_max: int = 8, locations_max: int = 60) -> World:
    """A basket by its number: costs as shops have them, stock sometimes scarce, each rule in some of them."""
    draw = np.random.default_rng(seed)
    lines, locations = int(draw.integers(1, lines_max + 1)), int(draw.integers(2, locations_max + 1))
    skus = lines if draw.random() < 0.6 else int(draw.integers(1, lines + 1))
    sku = np.arange(lines) if skus == lines else draw.integers(0, skus, lines)
    wanted = draw.integers(1, (2, 4, 30)[draw.integers(3)] + 1, lines)
    may_split = np.full(lines, draw.random() < 0.5) if draw.random() < 0.6 else draw.random(lines) < 0.5
    shortage = np.full(lines, WHOLE)
    best_effort = draw.random(lines) < (0, 0.5, 1)[draw.integers(3)]
    shortage[best_effort] = draw.integers(1_000, 300_000, lines)[best_effort]
    available = draw.integers(0, (2, 10, 60)[draw.integers(3)], (skus, locations))
    available[draw.random(available.shape) < draw.random() * 0.9] = 0
    coarse = 10_000 if draw.random() < 0.3 else 1  # costs that are often equal
    unit_cost = draw.integers(0, 30_000, (lines, locations)) // coarse * coarse
    line_cost = draw.integers(0, 20_000, (lines, locations)) * (draw.random() < 0.4) // coarse * coarse
    parcel_cost = draw.integers(20_000, 90_000, locations) // coarse * coarse
    capacity = np.full(locations, NO_LIMIT)
    if draw.random() < 0.4:
        limited = draw.random(locations) < draw.random()
        capacity[limited] = draw.integers(0, wanted.sum() + 1, locations)[limited]
    forbidden = draw.integers(1, 7, (lines, locations)) * (draw.random((lines, locations)) < draw.random() * 0.5)
    parcels_max = int(draw.integers(1, 5)) if draw.random() < 0.4 else 0
    arrays = (
        wanted, sku, may_split, shortage, available, unit_cost, line_cost, parcel_cost, draw.permutation(locations),
        capacity, forbidden,
    )  # fmt: skip
    return World(*(np.ascontiguousarray(array, np.int64) for array in arrays), parcels_max)
