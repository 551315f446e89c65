"""What a wave is, from the definition: every plan looked at, and shares of whole fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, combinations, product

import numpy as np

from invengine.kernels.layout_wave import WAVE_LINE_OPTIONS, WAVE_LINE_SKU, WAVE_LINE_WANTED, WAVE_ORDER_CHANNEL
from tests.kernels.allocation_worlds import Wave, channel_of, class_of, lines_of, locations_of


def allocate_wave(wave: Wave) -> int:
    """The least objective of a wave of one class: of all plans that keep the rules and leave what is kept."""
    kept = kept_places(wave) if wave.shares.any() else {}
    best = wave.missing_worth(np.zeros(len(wave.options), np.int64))
    most = np.minimum(
        wave.available[wave.lines[wave.line_of, 0], wave.location_of], wave.lines[wave.line_of, WAVE_LINE_WANTED]
    )
    for plan in product(*(range(int(units) + 1) for units in most)):
        units = np.array(plan, np.int64)
        if not wave.broken_rules(units) and leaves_kept(wave, units, kept):
            best = min(best, wave.cost(units) + wave.missing_worth(units))
    return best


def kept_places(wave: Wave) -> dict[tuple[int, int], set[tuple[int, ...]]]:
    """By channel and SKU, where its kept units could lie: units of each location, as its lines could have them."""
    kept, line = kept_units(wave), wave.line_of
    channel = wave.orders[wave.order_of, WAVE_ORDER_CHANNEL]
    found: dict[tuple[int, int], set[tuple[int, ...]]] = {}
    for c, sku in zip(*(axis.tolist() for axis in np.nonzero(kept)), strict=True):
        mine = np.flatnonzero((channel[line] == c) & (wave.lines[line, WAVE_LINE_SKU] == sku))
        most = np.minimum(wave.available[sku, wave.location_of[mine]], wave.lines[line[mine], WAVE_LINE_WANTED])
        places = found[c, sku] = set()
        for some in product(*(range(int(units) + 1) for units in most)):
            by_line = np.bincount(line[mine], some, len(wave.lines))
            if sum(some) == kept[c, sku] and (by_line <= wave.lines[:, WAVE_LINE_WANTED]).all():
                places.add(
                    tuple(np.bincount(wave.location_of[mine], some, wave.available.shape[1]).astype(int).tolist())
                )
    return found


def leaves_kept(wave: Wave, units: np.ndarray, kept: dict[tuple[int, int], set[tuple[int, ...]]]) -> bool:
    """Whether all that is kept could lie somewhere; what a channel takes at a location may be of what is kept there."""
    sku, line = wave.lines[wave.line_of, WAVE_LINE_SKU], wave.line_of
    channel = wave.orders[wave.order_of[line], WAVE_ORDER_CHANNEL]
    for k in {sku for _, sku in kept}:
        taken = np.zeros((len(wave.shares), wave.available.shape[1]), np.int64)
        np.add.at(taken, (channel[sku == k], wave.location_of[sku == k]), units[sku == k])
        owners = [c for c, of in kept if of == k]
        for places in product(*(kept[c, k] for c in owners)):
            held = taken.copy()
            held[owners] = np.maximum(held[owners], np.array(places, np.int64))
            if (held.sum(axis=0) <= wave.available[k]).all():
                break
        else:
            return False
    return True


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
    """Units of each line of a SKU: by class, over channels, over the lines of each. Minimum shares: of one class."""
    minimum = kept_units(wave)[:, sku].tolist()
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
        least = [minimum[channel] for channel in channels]
        totals = _divide_groups(pool, [*single, *groups], [has[int(lines[i[0]])] for i in single], least, claims, lines)
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
    pool: Pool, groups: list[list[int]], base: list[int], least: list[int], claims: Sequence[int], lines: np.ndarray
) -> list[int]:
    """Units of the groups behind those that have their base: what is kept, and more by what they claim."""
    begin = len(base)
    have = [*base, *least]
    beyond = _after(lambda some: pool.most([i for g in some for i in groups[g]]), have, range(begin, len(groups)))
    more = [sum(int(claims[lines[i]]) for i in group) for group in groups[begin:]]
    more = divide([total - kept for total, kept in zip(more, least, strict=True)], beyond)
    return [kept + units for kept, units in zip(least, more, strict=True)]


def claims_of(wave: Wave) -> np.ndarray:
    """What lines claim: what they want, if they may come from anywhere."""
    return np.where(wave.lines[:, WAVE_LINE_OPTIONS] > 0, wave.lines[:, WAVE_LINE_WANTED], 0)


def kept_units(wave: Wave) -> np.ndarray:
    """Units [C, K] that are kept of the minimum shares of a wave of one class: as far as they are wanted and fit."""
    kept = np.zeros_like(wave.shares)
    for sku in range(len(wave.available)):
        lines = lines_of(wave, sku)
        wants = wave.lines[lines, WAVE_LINE_WANTED].tolist()
        pool = Pool(
            wave.available[sku].tolist(), [(w, locations_of(wave, i)) for w, i in zip(wants, lines, strict=True)]
        )
        groups = [[i for i, line in enumerate(lines) if channel_of(wave, line) == c] for c in range(len(wave.shares))]
        most = [
            min(int(share), sum(wants[i] for i in group))
            for share, group in zip(wave.shares[:, sku], groups, strict=True)
        ]
        kept[:, sku] = divide(most, _most_of_groups(pool, groups, most))
    return kept


def _most_of_groups(pool: Pool, groups: list[list[int]], claims: list[int]) -> Callable[[tuple[int, ...]], int]:
    """What some channels can have together, none of them more than it claims."""

    def most(some: tuple[int, ...]) -> int:
        return min(
            pool.most([i for g in part for i in groups[g]]) + sum(claims[g] for g in some if g not in part)
            for part in subsets(some)
        )

    return most
