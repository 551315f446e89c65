"""Where units that are kept for channels lie: where the others want them least, and never twice.

How many units each channel keeps is settled when a class begins; where they lie is not. While prices are looked for,
they lie where that costs the others least at the prices as they are. Before a class is placed they are laid so that all
fit together. After each pass, what a channel took of everybody's counts as kept, as far as it has left kept ones: these
go back to all. So a channel holds no more than the larger of what it keeps and what it has.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from invengine.kernels.allocation_share import Sharing, by_sku
from invengine.kernels.allocation_wave import AT_KEPT, AT_LINE, AT_LOCATION, NOW_ORDER, NOW_WANTED, Wave
from invengine.kernels.layout_wave import (
    WAVE_BEST_PRICES,
    WAVE_BEYOND,
    WAVE_GIVEN,
    WAVE_LEFT,
    WAVE_LINE_SKU,
    WAVE_ORDER_CLASS,
)

# S shares, of one channel and SKU each:
#   own [S] their pools     sku [S] those of everybody     reach [S, N] units that the channel's lines of this class and
#   later ones could have there     is_even [S] all these lines may use the same locations
#   late [R] options of lines of later classes, for which units may be kept
Keeping = namedtuple("Keeping", "own sku reach is_even late")


def keeping_of(wave: Wave, shares: np.ndarray, klass: int, shape: tuple[int, int]) -> Keeping:
    """The shares as a class finds them; shape: of the pools."""
    sku = np.nonzero(shares)[1]
    own = np.arange(len(sku)) + shares.shape[1]
    reach, lines = np.zeros((len(sku), shape[1]), np.int64), np.zeros((len(sku), shape[1]), np.int64)
    if not len(sku):
        return Keeping(own, sku, reach, np.zeros(0, bool), np.zeros(0, np.int64))
    line = wave.at[:, AT_LINE]
    its_class = wave.orders[wave.now[line, NOW_ORDER], WAVE_ORDER_CLASS]
    mine = np.flatnonzero((wave.at[:, AT_KEPT] >= 0) & (its_class >= klass))
    row, n = wave.at[mine, AT_KEPT] - shares.shape[1], wave.at[mine, AT_LOCATION]
    np.add.at(reach, (row, n), wave.now[line[mine], NOW_WANTED])
    np.add.at(lines, (row, n), 1)
    first = np.unique(line[mine], return_index=True)[1]
    count = np.bincount(row[first], minlength=len(sku))
    is_even = ((lines == 0) | (lines == count[:, None])).all(axis=1)
    return Keeping(own, sku, reach, is_even, mine[its_class[mine] > klass])


def fill_in_order(room: np.ndarray, order: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Units [S] put into room [S, N], place after place in an order [S, N]; what each place then has."""
    up_to = np.minimum(np.take_along_axis(room, order, axis=1).cumsum(axis=1), units[:, None])
    placed = np.zeros_like(room)
    np.put_along_axis(placed, order, np.diff(up_to, axis=1, prepend=0), axis=1)
    return placed


def merged(left: np.ndarray, keeping: Keeping) -> np.ndarray:
    """Pools where everybody's hold the kept units too."""
    total = left.copy()
    np.add.at(total, keeping.sku, left[keeping.own])
    total[keeping.own] = 0
    return total


def cheapest(left: np.ndarray, total: np.ndarray, prices: np.ndarray, keeping: Keeping) -> np.ndarray:
    """Pools where the kept units of each channel lie where they take least from others at the prices.

    What a kept unit takes from others is what it costs everybody less what it costs the channel. Each share is looked
    at for itself: everybody's pools may be less than 0, which makes the bound lower, never higher.
    """
    toll = prices[keeping.sku] - prices[keeping.own]
    lies = fill_in_order(
        np.minimum(keeping.reach, total[keeping.sku]), np.argsort(toll, axis=1, kind="stable"),
        left[keeping.own].sum(axis=1),
    )  # fmt: skip
    there = total.copy()
    there[keeping.own] = lies
    np.subtract.at(there, keeping.sku, lies)
    return there


def still_kept(left: np.ndarray, beyond: np.ndarray, keeping: Keeping) -> np.ndarray:
    """Units [S] of each share that its channel has not taken yet, from wherever."""
    return np.asarray(np.maximum(left[keeping.own].sum(axis=1) - beyond[keeping.own].sum(axis=1), 0))


def lay_kept(
    wave: Wave, shares: np.ndarray, units: np.ndarray, klass: int, left: np.ndarray, prices: np.ndarray
) -> None:
    """Move units that are kept for channels out of everybody's pools into theirs, where they are cheapest.

    units [S]: how many, if the lines of the class and of later ones want and can have them; if not, they are divided
    """
    if not len(units):
        return
    rows = np.cumsum(shares > 0).reshape(shares.shape) - 1 + shares.shape[1]
    minimum = np.zeros_like(shares)
    minimum[shares > 0] = units
    wanted = wave.now[:, NOW_WANTED] * (wave.orders[wave.now[:, NOW_ORDER], WAVE_ORDER_CLASS] >= klass)
    wants = np.zeros_like(left)
    np.add.at(
        wants, (wave.lines[wave.at[:, AT_LINE], WAVE_LINE_SKU], wave.at[:, AT_LOCATION]), wanted[wave.at[:, AT_LINE]]
    )
    n_classes = int(wave.orders[:, WAVE_ORDER_CLASS].max(initial=0)) + 1
    for sku, mine in by_sku(wave):
        has = minimum[:, sku] > 0
        if has.any():
            own = rows[has, sku]
            toll = (prices[sku] - prices[own]).sum(axis=0)
            rank = np.lexsort((wants[sku] - left[sku], prices[sku], toll)).astype(np.int64)
            sharing = Sharing(wave, mine, len(shares), n_classes, left.shape[1])
            kept = sharing.keep(wanted[mine], left[sku], minimum[:, sku], rank)
            left[sku] -= kept.sum(axis=0)
            left[own] += kept[has]


def begin_keeping(
    wave: Wave, shares: np.ndarray, klass: int, pools: np.ndarray, units: np.ndarray | None, prices: np.ndarray
) -> None:
    """Lay the kept units anew when nothing of the class is placed; `units` [S]: what is kept, None for what it was."""
    left, beyond = pools[WAVE_LEFT], pools[WAVE_BEYOND]
    keeping = keeping_of(wave, shares, klass, left.shape)
    units = still_kept(left, beyond, keeping) if units is None else units
    left[:], beyond[keeping.own] = merged(left, keeping), 0
    lay_kept(wave, shares, units, klass, left, prices)


def give_back(keeping: Keeping, pools: np.ndarray) -> bool:
    """Kept units that were not taken change places with those taken besides, or with idle ones; whether any did.

    What lies idle then goes where it is cheapest. All this only where the kept units surely fit the channel's lines
    still: if its lines may all use the same locations, or if all that is kept is then taken.
    """
    left, beyond, given = pools[WAVE_LEFT], pools[WAVE_BEYOND], pools[WAVE_GIVEN]
    prices, moved = pools[WAVE_BEST_PRICES], False
    idle, besides = left[keeping.own].sum(axis=1), beyond[keeping.own].sum(axis=1)
    for s in np.flatnonzero((idle > 0) & (keeping.is_even | (besides >= idle))):
        own, sku = keeping.own[s], keeping.sku[s]
        order = np.argsort(prices[sku], kind="stable")
        swap = np.minimum(idle[s], besides[s])[None]
        back = fill_in_order(left[own][None], order[None, ::-1], swap)[0]
        instead = fill_in_order(beyond[own][None], order[None, ::-1], swap)[0]
        left[own] -= back
        left[sku] += back
        beyond[own] -= instead
        given[own] += instead - back
        given[sku] -= instead - back
        stays, old = idle[s] - swap, left[own].copy()
        if stays[0] > 0:
            room = np.minimum(left[sku] + old, np.maximum(keeping.reach[s] - (given[own] - old), 0))
            new = fill_in_order(room[None], order[None], stays)[0]
            left[own] += new - old
            left[sku] -= new - old
            given[own] += new - old
            given[sku] -= new - old
            moved = moved or bool((new != old).any())
        moved = moved or bool(swap[0] > 0)
    return moved
