"""Single units that change hands: where a few are better elsewhere than all that a line has.

A line that misses units takes some of a line that has them: this one then takes as many from another place, or misses
them itself. Whole orders that give way (allocation_contest) cannot find that.
"""

from __future__ import annotations

from invengine.kernels.allocation_order import may_be_short
from invengine.kernels.allocation_place import missing_units
from invengine.kernels.allocation_wave import (
    AT_KEPT,
    AT_LINE,
    AT_LOCAL,
    AT_LOCATION,
    AT_SKU,
    NOW_ORDER,
    NOW_WORTH,
    WAVE_TYPES,
    Wave,
    take,
    units_left,
)
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_PLACE,
    OPTION_UNIT_COST,
    PLACE_PARCEL_COST,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_ORDER_FIRST,
    WAVE_ORDER_LINES,
)
from invengine.kernels.steps import kernel, part

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"


@part
def opening_cost(wave, units, r):
    """What the first unit of an option costs once: its line there, and the parcel if the order has none from there."""
    if units[r] > 0:
        return 0
    order = wave.now[wave.at[r, AT_LINE], NOW_ORDER]
    first = wave.orders[order, WAVE_ORDER_FIRST]
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        option = wave.lines[line, WAVE_LINE_FIRST]
        for other in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
            if units[other] > 0 and wave.at[other, AT_LOCAL] == wave.at[r, AT_LOCAL]:
                return wave.options[r, OPTION_LINE_COST]
    return wave.options[r, OPTION_LINE_COST] + wave.places[wave.options[r, OPTION_PLACE], PLACE_PARCEL_COST]


@part
def may_take(wave, units, r):
    """Whether a line may have some more units of an option, as far as its rules go."""
    line = wave.at[r, AT_LINE]
    if not may_be_short(wave, line):
        return False
    if wave.lines[line, WAVE_LINE_MAY_SPLIT] == 1:
        return True
    option = wave.lines[line, WAVE_LINE_FIRST]
    for other in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
        if units[other] > 0 and other != r:
            return False
    return True


@part
def may_lie_elsewhere(left, is_even, own):
    """Whether units kept for a channel, that a line of it has, may as well lie where that line could have others.

    So it is if all lines of the channel may use the same locations, or if they have all that is kept.
    """
    idle = 0
    for n in range(left.shape[1]):
        idle += left[own, n]
    return is_even[own] == 1 or idle == 0


@part
def move_kept(at, given, left, beyond, giver, instead, units):
    """What a line gave back was kept for its channel, and what it took instead was not: now it is the other way."""
    own, sku, n, to = at[giver, AT_KEPT], at[giver, AT_SKU], at[giver, AT_LOCATION], at[instead, AT_LOCATION]
    left[own, n] -= units
    left[sku, n] += units
    beyond[own, to] -= units
    given[own, n] -= units
    given[sku, n] += units
    given[own, to] += units
    given[sku, to] -= units


@part
def best_giver(wave, left, beyond, is_even, units, holders, first, r, missing):
    """(who gives, where it takes instead, units, saving): the exchange that saves most; -1 instead: nowhere."""
    line, own, n = wave.at[r, AT_LINE], wave.at[r, AT_KEPT], wave.at[r, AT_LOCATION]
    position = wave.at[r, AT_SKU] * left.shape[1] + n
    each = wave.now[line, NOW_WORTH] - wave.options[r, OPTION_UNIT_COST]
    once = opening_cost(wave, units, r)
    giver, instead, most, best = -1, -1, 0, 0
    for i in range(first[position], first[position + 1]):
        h = holders[i]
        other = wave.at[h, AT_LINE]
        if units[h] == 0 or other == line:
            continue
        may_give, theirs, moves_kept = min(units[h], missing), wave.at[h, AT_KEPT], False
        if theirs >= 0 and theirs != own:
            moves_kept = beyond[theirs, n] == 0
            may_give = may_give if moves_kept else min(may_give, beyond[theirs, n])
            if moves_kept and not may_lie_elsewhere(left, is_even, theirs):
                continue
        if not moves_kept and may_be_short(wave, other):
            saving = may_give * (each + wave.options[h, OPTION_UNIT_COST] - wave.now[other, NOW_WORTH]) - once
            if saving > best:
                giver, instead, most, best = h, -1, may_give, saving
        if wave.lines[other, WAVE_LINE_MAY_SPLIT] == 1:
            option = wave.lines[other, WAVE_LINE_FIRST]
            for to in range(option, option + wave.lines[other, WAVE_LINE_OPTIONS]):
                more = min(may_give, units_left(wave.at, left, to)) if to != h else 0
                if more > 0 and not (moves_kept and left[theirs, wave.at[to, AT_LOCATION]] > 0):
                    saving = more * (each + wave.options[h, OPTION_UNIT_COST] - wave.options[to, OPTION_UNIT_COST])
                    if saving - once > best:
                        saving -= once + opening_cost(wave, units, to)
                        if saving > best:
                            giver, instead, most, best = h, to, more, saving
    return giver, instead, most, best


@kernel(f"int64({WAVE_TYPES}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {_ROW}, {_ROW}, {_ROW})")
def shift_units(orders, lines, places, options, at, now, given, left, beyond, is_even, units, turns, holders, first):
    """Let lines that miss units take some from others where that saves; returns what it saved at least.

    turns [n]: the orders     given: what their class began with     holders, first: see `by_position`
    is_even [W]: 1 for a pool kept for a channel whose lines may all use the same locations
    """
    wave = Wave(orders, lines, places, options, at, now)
    total = 0
    for order in turns:
        begin = orders[order, WAVE_ORDER_FIRST]
        for line in range(begin, begin + orders[order, WAVE_ORDER_LINES]):
            option = lines[line, WAVE_LINE_FIRST]
            for r in range(option, option + lines[line, WAVE_LINE_OPTIONS]):
                missing = missing_units(wave, units, line) if may_take(wave, units, r) else 0
                while missing > 0:
                    giver, instead, most, saving = best_giver(
                        wave, left, beyond, is_even, units, holders, first, r, missing
                    )
                    if giver < 0:
                        break
                    theirs, n = at[giver, AT_KEPT], at[giver, AT_LOCATION]
                    moves_kept = theirs >= 0 and theirs != at[r, AT_KEPT] and beyond[theirs, n] == 0
                    take(at, left, beyond, giver, -most)
                    units[giver] -= most
                    if instead >= 0:
                        take(at, left, beyond, instead, most)
                        units[instead] += most
                    if moves_kept:
                        move_kept(at, given, left, beyond, giver, instead, most)
                    take(at, left, beyond, r, most)
                    units[r] += most
                    missing -= most
                    total += saving
    return total
