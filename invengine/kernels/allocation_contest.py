"""Orders that take units from others: tried out, kept where all of them together are better off.

An order chooses by prices, as if it could have any unit that its class has; only what is free costs it nothing. Where
units are held by others, those give way that lose least by it: they give back all they have, and are placed anew on
what is left once the order has its own. If that costs more than before, everything is put back.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.allocation_order import CONTEST, choose, lay_order
from invengine.kernels.allocation_place import (
    clear_order,
    cost_of,
    lift,
    missing_units,
    put_back,
    serve,
    top_up,
    worth_left_out,
)
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
    take,
    units_left,
)
from invengine.kernels.layout_wave import (
    OPTION_UNIT_COST,
    WAVE_LINE_FIRST,
    WAVE_LINE_OPTIONS,
    WAVE_ORDER_FIRST,
    WAVE_ORDER_LINES,
    WAVE_ORDER_PLACES,
    WAVE_ORDER_WHOLE,
)
from invengine.kernels.steps import kernel, part

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"
GIVE_WAY_MAX = 12  # orders that one order may make give way


def by_position(wave: Wave, turns: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(options of some orders by pool and location, where those of each begin [W * N + 1])."""
    takes_part = np.zeros(len(wave.orders), bool)
    takes_part[turns] = True
    options = np.flatnonzero(takes_part[wave.now[wave.at[:, AT_LINE], NOW_ORDER]])
    n_locations = shape[1]
    position = wave.at[options, AT_SKU] * n_locations + wave.at[options, AT_LOCATION]
    first = np.searchsorted(np.sort(position), np.arange(shape[0] * n_locations + 1))
    return options[np.argsort(position, kind="stable")], np.asarray(first, np.int64)


@part
def loss_of(wave, left, units, r, wanted):
    """About what it costs that the line of an option gives its units back: for each of those that are wanted."""
    line = wave.at[r, AT_LINE]
    least = wave.now[line, NOW_WORTH]
    option = wave.lines[line, WAVE_LINE_FIRST]
    for other in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
        if other != r and units_left(wave.at, left, other) >= units[r]:
            least = min(least, wave.options[other, OPTION_UNIT_COST])
    return (least - wave.options[r, OPTION_UNIT_COST]) * units[r] // min(units[r], wanted)


@part
def can_have(at, beyond, r, holder):
    """Whether units that another option of the position has given back are for an option, not for a channel only."""
    own = at[holder, AT_KEPT]
    return own < 0 or own == at[r, AT_KEPT] or beyond[own, at[holder, AT_LOCATION]] > 0


@part
def who_gives_way(wave, left, beyond, units, holders, first, r, wanted, orders, n_orders):
    """The order, not yet among `orders`, that loses least by giving units of an option's position back; -1."""
    position = wave.at[r, AT_SKU] * left.shape[1] + wave.at[r, AT_LOCATION]
    chosen, least = -1, 0
    for i in range(first[position], first[position + 1]):
        if units[holders[i]] > 0 and can_have(wave.at, beyond, r, holders[i]):
            order = wave.now[wave.at[holders[i], AT_LINE], NOW_ORDER]
            is_in = False
            for j in range(n_orders):
                is_in = is_in or orders[j] == order
            if not is_in:
                loss = loss_of(wave, left, units, holders[i], wanted)
                if chosen < 0 or loss < least:
                    chosen, least = order, loss
    return chosen


@part
def set_targets(wave, given, left, prices, order, targets, room):
    """Fill targets [m] with the options that an order would choose; (how many, what the order then costs by prices)."""
    whole, n_places = wave.orders[order, WAVE_ORDER_WHOLE] == 1, wave.orders[order, WAVE_ORDER_PLACES]
    count = lay_order(wave, given, left, prices, order, CONTEST, room)
    cost = worth_left_out(wave, order) + choose(room, count, n_places, whole, False)
    n_targets = 0
    for i in range(count):
        option = wave.lines[room.line[i], WAVE_LINE_FIRST]
        for r in range(option, option + wave.lines[room.line[i], WAVE_LINE_OPTIONS]):
            if room.choice[i] >= 0 and wave.at[r, AT_LOCAL] == room.choice[i]:
                targets[n_targets] = r
                n_targets += 1
    return n_targets, cost


@part
def fill_up(wave, left, beyond, prices, units, order, room):
    """Give the lines of an order what they miss, where it is worth it; whether the order may stay so."""
    first, all_whole = wave.orders[order, WAVE_ORDER_FIRST], True
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        may_stay = top_up(wave, left, beyond, prices, units, line, room.open, room.parcel)
        all_whole = all_whole and may_stay and missing_units(wave, units, line) == 0
    return all_whole or wave.orders[order, WAVE_ORDER_WHOLE] == 0


@kernel(
    f"int64({WAVE_TYPES}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {_ROW}, {_ROW}, {_ROW},"
    f" {_BLOCK}, {_ROW}, {_ROW}, {_ROW}, {ROOM_TYPES})"
)
def contest_orders(
    wave_orders, lines, places, options, at, now, given, left, beyond, prices, no_prices, units, turns, holders, first,
    orders, saved, costs, targets, spare,
    cost, skip, line, parcel, best, here, served, choice, opened, before,
):  # fmt: skip
    """Let orders take units from others where that saves, one after another; returns what it saved in all.

    turns [n]: the orders     given: what their class began with     holders, first: see `by_position`
    orders, costs [1 + GIVE_WAY_MAX], saved [the same, m * j], targets [m], spare [j]: room to work in
    """
    wave = Wave(wave_orders, lines, places, options, at, now)
    room = Room(cost, skip, line, parcel, best, here, served, choice, opened, before)
    total = 0
    for order in turns:
        was = cost_of(wave, units, no_prices, order, room.open)
        lift(wave, left, beyond, units, order, saved[0])
        n_targets, promised = set_targets(wave, given, left, prices, order, targets, room)
        orders[0], n_orders = order, 1
        is_done = n_targets > 0 and promised < was
        room.open[: wave.orders[order, WAVE_ORDER_PLACES]] = 0
        for i in range(n_targets if is_done else 0):
            r = targets[i]
            wanted = min(units_left(at, given, r), now[at[r, AT_LINE], NOW_WANTED])
            while is_done and units_left(at, left, r) < wanted:
                lacking = wanted - units_left(at, left, r)
                other = -1
                if n_orders <= GIVE_WAY_MAX:
                    other = who_gives_way(wave, left, beyond, units, holders, first, r, lacking, orders, n_orders)
                is_done = other >= 0
                if is_done:
                    orders[n_orders] = other
                    costs[n_orders] = cost_of(wave, units, no_prices, other, spare)
                    lift(wave, left, beyond, units, other, saved[n_orders])
                    n_orders += 1
            if is_done:
                take(at, left, beyond, r, wanted)
                units[r] = wanted
                room.open[at[r, AT_LOCAL]] = 1
        saves = was
        if is_done and fill_up(wave, left, beyond, no_prices, units, order, room):
            saves -= cost_of(wave, units, no_prices, order, room.open)
            for i in range(1, n_orders):
                saves += costs[i] - serve(wave, left, beyond, no_prices, units, orders[i], room)
        else:
            saves = 0
        if saves > 0:
            total += saves
            continue
        for i in range(n_orders):
            clear_order(wave, left, beyond, units, orders[i])
        for i in range(n_orders):
            put_back(wave, left, beyond, units, orders[i], saved[i])
    return total
