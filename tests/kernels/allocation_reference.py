"""What a wave is, from the definition: every plan looked at, and shares of whole fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, combinations, product

import numpy as np

from invengine.kernels.layout_wave import WAVE_LINE_OPTIONS, WAVE_LINE_WANTED
from tests.kernels.allocation_worlds import Wave, channel_of, class_of, lines_of, locations_of


def allocate_wave(wave: Wave) -> int:
    """The least objective of a wave of one class without shares: of all plans that keep the rules."""
    best = wave.missing_worth(np.zeros(len(wave.options), np.int64))
    most = np.minimum(
        wave.available[wave.lines[wave.line_of, 0], wave.location_of], wave.lines[wave.line_of, WAVE_LINE_WANTED]
    )
    for plan in product(*(range(int(units) + 1) for units in most)):
        units = np.array(plan, np.int64)
        if not wave.broken_rules(units):
            best = min(best, wave.cost(units) + wave.missing_worth(units))
    return best


def subsets(items: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All of them, the empty one first."""
    return chain.from_iterable(combinations(items, count) for count in range(len(items) + 1))


class Pool:
    """The stock of one SKU, the lines that claim it and where they may come from."""

    def __init__(self, stock: Sequence[int], lines: Sequence[tuple[int, frozenset[int]]]) -> None:
        self.stock, self.lines = stock, lines

    def most(self, lines: Sequence[int]) -> int:
        """The most units that some lines can have together: what the worst set of locations lets through."""
        return min(
            sum(self.stock[n] for n in chosen)
            + sum(self.lines[line][0] for line in lines if not self.lines[line][1] <= set(chosen))
            for chosen in subsets(range(len(self.stock)))
        )


def divide(claims: Sequence[int], most: Callable[[tuple[int, ...]], int]) -> list[int]:
    """Units of claimants in proportion to their claims, as far as `most` lets each set of them have.

    The set that can have least of what it claims has that part of it; then the others likewise, and so on. Then whole
    units: each has the whole part of its share, and one more in the order of the remainders, if that is possible.
    """
    shares = [Fraction(0)] * len(claims)
    settled: tuple[int, ...] = ()
    while open_ones := [i for i, claim in enumerate(claims) if i not in settled and claim > 0]:
        part, lean = min(
            (Fraction(most((*settled, *some)) - most(settled), sum(claims[i] for i in some)), some)
            for some in subsets(open_ones)
            if some
        )
        if part >= 1:
            lean = tuple(open_ones)
        for i in lean:
            shares[i] = claims[i] * min(part, Fraction(1))
        settled = (*settled, *lean)
    given = [int(share) for share in shares]
    for i in sorted(range(len(claims)), key=lambda i: (given[i] - shares[i], i)):
        if shares[i] > given[i]:
            given[i] += 1
            if any(sum(given[j] for j in some) > most(some) for some in subsets(range(len(claims)))):
                given[i] -= 1
    return given


def _after(most: Callable[[tuple[int, ...]], int], base: Sequence[int], mine: Sequence[int]) -> Callable[..., int]:
    """What sets of `mine` can have beyond their base when everybody has the base."""
    everybody = range(len(base))
    others = [i for i in everybody if i not in mine]

    def beyond(some: tuple[int, ...]) -> int:
        chosen = [mine[i] for i in some]
        return min(
            most((*chosen, *more)) - sum(base[i] for i in (*chosen, *more))
            for more in subsets([*others, *_rest(mine, chosen)])
        )

    return beyond


def _rest(mine: Sequence[int], chosen: Sequence[int]) -> list[int]:
    return [i for i in mine if i not in chosen]


def fair_shares(wave: Wave, sku: int, claims: Sequence[int]) -> dict[int, int]:
    """Units of each line of a SKU without minimum shares: by class, over channels, then over the lines of each."""
    lines = lines_of(wave, sku)
    pool = Pool(wave.available[sku].tolist(), [(int(claims[line]), locations_of(wave, line)) for line in lines])
    has = {int(line): 0 for line in lines}
    for klass in range(wave.classes):
        channels = sorted({channel_of(wave, line) for line in lines})
        groups = [
            [i for i, line in enumerate(lines) if class_of(wave, line) == klass and channel_of(wave, line) == channel]
            for channel in channels
        ]
        single = [[i] for i in range(len(lines)) if class_of(wave, lines[i]) < klass]
        totals = _divide_groups(pool, [*single, *groups], [has[int(lines[i[0]])] for i in single], claims, lines)
        for place, group in enumerate(groups):
            later = [(groups[j], totals[j]) for j in range(place + 1, len(groups)) if groups[j]]
            fixed = [([i], has[int(line)]) for i, line in enumerate(lines) if has[int(line)] and i not in group]
            everybody = [*later, *fixed, *(([i], 0) for i in group)]
            begin = len(later) + len(fixed)

            def most(some: tuple[int, ...], everybody: list[tuple[list[int], int]] = everybody) -> int:
                return pool.most([i for element in some for i in everybody[element][0]])

            beyond = _after(most, [base for _, base in everybody], range(begin, len(everybody)))
            for i, units in zip(group, divide([int(claims[lines[i]]) for i in group], beyond), strict=True):
                has[int(lines[i])] = units
    return has


def _divide_groups(
    pool: Pool, groups: list[list[int]], base: list[int], claims: Sequence[int], lines: np.ndarray
) -> list[int]:
    """Units of the groups behind those that have their base, in proportion to what their lines claim."""
    begin = len(base)
    have = [*base, *[0] * (len(groups) - begin)]
    beyond = _after(lambda some: pool.most([i for g in some for i in groups[g]]), have, range(begin, len(groups)))
    return divide([sum(int(claims[lines[i]]) for i in group) for group in groups[begin:]], beyond)


def claims_of(wave: Wave) -> np.ndarray:
    """What lines claim: what they want, if they may come from anywhere."""
    return np.where(wave.lines[:, WAVE_LINE_OPTIONS] > 0, wave.lines[:, WAVE_LINE_WANTED], 0)
