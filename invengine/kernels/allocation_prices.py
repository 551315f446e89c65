"""Prices of units in a wave, and the bound that they prove.

Whoever takes a unit pays a price for it; then orders no longer mind each other, and each chooses for itself. What all
orders then pay and lose, less the prices of all units there are, is never more than what a plan costs, whatever the
prices (Lagrange's relaxation of "no more units than there are"; A. M. Geoffrion, *Lagrangean relaxation for integer
programming*, Mathematical Programming Study 2, 1974). Prices are whole numbers, and so is the bound. They are raised
where more is wanted than there is and lowered where units are left.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.allocation_keep import Keeping, cheapest, merged
from invengine.kernels.allocation_order import BOUND, choose, lay_order
from invengine.kernels.allocation_place import worth_left_out
from invengine.kernels.allocation_wave import (
    AT_KEPT,
    AT_LINE,
    AT_LOCAL,
    AT_LOCATION,
    AT_SKU,
    NOW_ORDER,
    NOW_WANTED,
    NOW_WORTH,
    ROOM_TYPES,
    WAVE_TYPES,
    Room,
    Wave,
    units_left,
)
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_PLACE,
    OPTION_UNIT_COST,
    PLACE_PARCEL_COST,
    WAVE_BEST_PRICES,
    WAVE_GIVEN,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_MOVES,
    WAVE_ORDER_LINES,
    WAVE_ORDER_PLACES,
    WAVE_ORDER_WHOLE,
    WAVE_PRICES,
    WAVE_SIDES,
)
from invengine.kernels.steps import kernel, part

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"
STEPS = 256  # a step of a price is counted in so many parts of a ten-thousandth


@part
def demand(wave, left, room, count, used):
    """Add up in `used` what an order takes by its choice."""
    for i in range(count):
        if room.choice[i] >= 0:
            line = room.line[i]
            option = wave.lines[line, WAVE_LINE_FIRST]
            for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
                if wave.at[r, AT_LOCAL] == room.choice[i]:
                    units = wave.now[line, NOW_WANTED]
                    if wave.lines[line, WAVE_LINE_MAY_SPLIT] == 0:
                        units = min(units, units_left(wave.at, left, r))
                    n, own = wave.at[r, AT_LOCATION], wave.at[r, AT_KEPT]
                    used[used.shape[0] - 1, n] += units
                    used[wave.at[r, AT_SKU] if own < 0 else own, n] += units


@kernel(f"int64({WAVE_TYPES}, {_BLOCK}, {_BLOCK}, {_ROW}, {_BLOCK}, {_ROW}, {ROOM_TYPES})")
def choose_by_prices(
    orders, lines, places, options, at, now, left, prices, turns, used, gains,
    cost, skip, line, parcel, best, here, served, choice, opened, before,
):  # fmt: skip
    """What some orders cost at least when each pays the prices; adds what they would take to `used` [W, N].

    turns [n]: the orders     gains [O]: filled with what each gains by its choice, 0 or less
    """
    wave = Wave(orders, lines, places, options, at, now)
    room = Room(cost, skip, line, parcel, best, here, served, choice, opened, before)
    total = 0
    for order in turns:
        whole = wave.orders[order, WAVE_ORDER_WHOLE] == 1
        count = lay_order(wave, left, left, prices, order, BOUND, room)
        gains[order] = choose(room, count, wave.orders[order, WAVE_ORDER_PLACES], whole, True)
        total += worth_left_out(wave, order) + gains[order]
        demand(wave, left, room, count, used)
    return total


def begin_prices(wave: Wave, turns: np.ndarray, pools: np.ndarray, scale: np.ndarray, keeping: Keeping) -> None:
    """Prices to begin with: of each SKU, what its last unit is worth when those get units to whom they are worth most.

    Where there is plenty for all, units have no price and never get one. scale [L]: steps are parts of it.
    """
    left, moves, prices = merged(pools[WAVE_GIVEN], keeping), pools[WAVE_MOVES], pools[WAVE_PRICES]
    pools[[WAVE_MOVES, WAVE_PRICES, WAVE_SIDES, WAVE_BEST_PRICES]] = 0
    takes_part = np.zeros(len(wave.orders), bool)
    takes_part[turns] = True
    takes_part = (
        takes_part[wave.now[:, NOW_ORDER]] & (wave.now[:, NOW_WANTED] > 0) & (wave.lines[:, WAVE_LINE_OPTIONS] > 0)
    )
    mine = np.flatnonzero(takes_part[wave.at[:, AT_LINE]])
    if len(mine) == 0:
        return
    line, n = wave.at[mine, AT_LINE], wave.at[mine, AT_LOCATION]
    wanted = np.zeros_like(left)
    length = scale[line] * STEPS // 32
    for row, step in ((wave.at[mine, AT_SKU], length), (wave.at[mine, AT_KEPT], length), (len(left) - 1, length // 4)):
        has = row >= 0 if isinstance(row, np.ndarray) else np.ones(len(mine), bool)
        rows = np.broadcast_to(row, len(mine))[has]
        np.add.at(wanted, (rows, n[has]), wave.now[line[has], NOW_WANTED])
        np.maximum.at(moves, (rows, n[has]), step[has])
    late = keeping.late
    where = (wave.at[late, AT_SKU], wave.at[late, AT_LOCATION])
    np.add.at(wanted, where, wave.now[wave.at[late, AT_LINE], NOW_WANTED])
    np.maximum.at(moves, where, scale[wave.at[late, AT_LINE]] * STEPS // 32)
    moves[wanted <= left] = 0
    prices[: len(left) - 1] = _last_worth(wave, mine, left, AT_SKU)[:, None]
    kept = mine[wave.at[mine, AT_KEPT] >= 0]
    if len(kept):
        prices[keeping.own] = _last_worth(wave, kept, pools[WAVE_GIVEN], AT_KEPT)[keeping.own, None]
    prices[moves == 0] = 0
    _level(wave, prices)


def _last_worth(wave: Wave, mine: np.ndarray, left: np.ndarray, which: int) -> np.ndarray:
    """By pool: what its last unit gains, over all locations.

    mine: the options that take part     which: AT_SKU, or AT_KEPT of options that have one
    """
    line, option = wave.at[mine, AT_LINE], wave.options[mine]
    in_order = wave.orders[wave.now[line, NOW_ORDER], WAVE_ORDER_LINES]
    once = option[:, OPTION_LINE_COST] + wave.places[option[:, OPTION_PLACE], PLACE_PARCEL_COST] // in_order
    cost = option[:, OPTION_UNIT_COST] + once // wave.now[line, NOW_WANTED]
    first = np.flatnonzero(np.diff(line, prepend=-1))  # options of a line are adjacent
    pool = wave.at[mine[first], which]
    line, gain = line[first], wave.now[line[first], NOW_WORTH] - np.minimum.reduceat(cost, first)
    by_gain = np.lexsort((line, -gain, pool))
    line, gain, pool = line[by_gain], gain[by_gain], pool[by_gain]
    total = np.cumsum(wave.now[line, NOW_WANTED])
    starts = np.flatnonzero(np.diff(pool, prepend=-1))
    before = np.repeat(np.concatenate([[0], total[starts[1:] - 1]]), np.diff(starts, append=len(pool)))
    is_short = total - before > left[pool].sum(axis=1)
    worth = np.zeros(len(left) - 1, np.int64)
    np.maximum.at(worth, pool[is_short], np.maximum(gain[is_short], 0))
    return worth


def _spill(wave: Wave, left: np.ndarray, prices: np.ndarray, used: np.ndarray) -> None:
    """What a channel wants beyond its own units counts as wanted of everybody's, where these are as cheap."""
    has = wave.at[:, AT_KEPT] >= 0
    if has.any():
        own, row, n = np.unique(wave.at[has][:, [AT_KEPT, AT_SKU, AT_LOCATION]], axis=0).T
        more = np.maximum(used[own, n] - left[own, n], 0) * (prices[own, n] >= prices[row, n])
        np.add.at(used, (row, n), more)
        np.subtract.at(used, (own, n), more)


def _level(wave: Wave, prices: np.ndarray) -> None:
    """No unit kept for a channel is dearer than one that everybody may take."""
    has = wave.at[:, AT_KEPT] >= 0
    own, row, n = wave.at[has, AT_KEPT], wave.at[has, AT_SKU], wave.at[has, AT_LOCATION]
    prices[own, n] = np.minimum(prices[own, n], prices[row, n])


def _together(side: np.ndarray, used: np.ndarray, left: np.ndarray, keeping: Keeping) -> None:
    """A channel that wants more than it keeps pays no less anywhere, and no more where it wants less.

    It takes a kept unit from wherever that is cheapest: prices that only changed places would go nowhere.
    """
    own = keeping.own
    excess = np.sign(used[own].sum(axis=1) - left[own].sum(axis=1))[:, None]
    side[own] = np.where(side[own] == -excess, 0, side[own])


def price_round(wave: Wave, turns: np.ndarray, pools: np.ndarray, room: Room, keeping: Keeping) -> int:
    """The bound by the prices as they are; then each is moved by its step.

    Steps get longer as long as a price goes one way, and half as long when it turns.
    """
    left, prices, moves, sides = (pools[layer] for layer in (WAVE_GIVEN, WAVE_PRICES, WAVE_MOVES, WAVE_SIDES))
    used, gains = np.zeros_like(left), np.empty(len(wave.orders), np.int64)
    total = merged(left, keeping)
    bound = choose_by_prices(*wave, total, prices, turns, used, gains, *room)
    left = cheapest(left, total, prices, keeping)
    priced = prices > 0
    bound -= int((prices[priced] * left[priced]).sum())
    _spill(wave, left, prices, used)
    side = np.sign(used - left)
    _together(side, used, left, keeping)
    side[(side < 0) & (prices == 0) | (moves == 0)] = 0
    turned = side * sides < 0
    moves[turned] = np.maximum(moves[turned] // 2, STEPS // 2)
    goes_on = (side != 0) & (side == sides)
    moves[goes_on] = np.minimum(moves[goes_on] * 9 // 8, (prices[goes_on] // 4 + 1) * STEPS)
    sides[side != 0] = side[side != 0]
    prices += side * (moves // STEPS)
    np.maximum(prices, 0, out=prices)
    _level(wave, prices)
    return int(bound)
