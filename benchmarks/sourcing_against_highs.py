"""How long does one basket take to be sourced, proved to be the best, and how long does HiGHS take for it?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import highspy
import numpy as np

from benchmarks.figures import Figure, say
from invengine import kernels
from invengine.kernels.layout import NO_LIMIT, SOURCED, SOURCED_COLUMNS, SOURCED_COST, SOURCED_STATUS, WHOLE
from tests.kernels.sourcing_highs import Model
from tests.kernels.sourcing_worlds import World, broken_rules, cost_of

LINES, LOCATIONS = 5, 50
NODES_MAX = 100_000


def basket(seed: int, *, may_split: bool) -> World:
    """5 lines, each in stock at about half of 50 locations; those that may split want up to 6 of 0 to 3."""
    draw = np.random.default_rng(seed)
    pairs = (LINES, LOCATIONS)
    wanted = draw.integers(1, 7 if may_split else 4, LINES)
    available = draw.integers(1, 4 if may_split else 20, pairs) * (draw.random(pairs) < 0.5)
    arrays = (
        wanted,
        np.arange(LINES),
        np.full(LINES, may_split),
        np.full(LINES, WHOLE),
        available,
        draw.integers(1_000, 25_000, pairs),  # lane, handling, distance, what is scarce: 0.10 to 2.50 a unit
        np.zeros(pairs),
        draw.integers(35_000, 70_000, LOCATIONS),  # 3.50 to 7 a parcel
        draw.permutation(LOCATIONS),
        np.full(LOCATIONS, NO_LIMIT),
        np.zeros(pairs),
    )
    return World(*(np.ascontiguousarray(array, np.int64) for array in arrays), 0)


class Sourced:
    """A basket and room for the kernel's answer to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.arguments = world.arguments()
        self.units = np.empty((2, LINES, LOCATIONS), np.int64)
        self.ruled = np.empty((LINES, LOCATIONS), np.int64)
        self.out = np.empty((2, SOURCED_COLUMNS), np.int64)

    def run(self, wants_next: int) -> None:
        """The kernel, once."""
        kernels.source_basket(*self.arguments, NODES_MAX, wants_next, self.units, self.ruled, self.out)

    def by_highs(self) -> float:
        """Seconds of CPU that HiGHS takes, its model being there; the answers must be the same."""
        model = Model(self.world)
        solver: highspy.Highs = model.solver()
        began = time.process_time()
        solver.run()
        seconds = time.process_time() - began
        units = model.units(solver)
        self.run(0)
        if units is None or broken_rules(self.world, units) or broken_rules(self.world, self.units[0]):
            raise RuntimeError(f"no plan, or one that breaks rules: {units}")
        answer = (SOURCED, cost_of(self.world, units))
        if answer != (self.out[0, SOURCED_STATUS], self.out[0, SOURCED_COST]):
            raise RuntimeError(f"HiGHS says {answer}, the kernel {self.out[0]}")
        return seconds


def _seconds(call: Callable[[], None], rounds: int) -> float:
    call()
    taken = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(rounds):
            call()
        taken.append((time.process_time() - began) / rounds)
    return statistics.median(taken)


def _compare(count: int, *, may_split: bool) -> tuple[float, float, float]:
    """Medians over the baskets of: HiGHS over the kernel, seconds of the kernel, and with the next plan."""
    ratios, alone, both = [], [], []
    for seed in range(count):
        sourced = Sourced(basket(seed, may_split=may_split))
        by_highs = sourced.by_highs()
        rounds = 20 if may_split else 200
        kernel = _seconds(lambda made=sourced: made.run(0), rounds)  # type: ignore[misc]
        alone.append(kernel)
        both.append(_seconds(lambda made=sourced: made.run(1), rounds))  # type: ignore[misc]
        ratios.append(by_highs / kernel)
    return statistics.median(ratios), statistics.median(alone), statistics.median(both)


def run(*, quick: bool) -> list[Figure]:
    """Baskets whose lines come whole from one place, then of lines that may split; one thread each."""
    count = 20 if quick else 200
    times, alone, both = _compare(count, may_split=False)
    say(
        "how many times faster than HiGHS is a basket sourced, to proven optimality?",
        "50 locations x 5 lines x 32 sets, 8,000 steps of 1 ns: 10 us; HiGHS 10 to 50 ms: 1,000 to 5,000 times",
        f"{times:,.0f} times: {alone * 1e6:.1f} us, with the next plan {both * 1e6:.1f} us",
    )
    split_times, split_alone, split_both = _compare(count, may_split=True)
    say(
        "and when each line has to be split?",
        "a search of some hundred bounds of 1 us: 0.5 ms; HiGHS 20 to 200 ms: 100 times",
        f"{split_times:,.0f} times: {split_alone * 1e6:.0f} us, with the next plan {split_both * 1e6:.0f} us",
    )
    setup = f"{LINES} lines, {LOCATIONS} locations, same model and cost, gap 0, {count} baskets, one thread"
    return [
        Figure("sourcing one basket: HiGHS / kernel", times, "", "higher", 1_000, setup),
        Figure("sourcing one basket", alone, "s", "lower", 50e-6, setup),
        Figure("sourcing one basket of lines that split: HiGHS / kernel", split_times, "", "higher", 10, setup),
    ]
