"""Orders of a wave placed on the stock that is left: what an order takes, gives back, and what its plan costs."""

from __future__ import annotations

from invengine.kernels.allocation_order import PLACE, choose, lay_order, may_be_short, price_of, unit_price
from invengine.kernels.allocation_wave import (
    AT_KEPT,
    AT_LOCAL,
    AT_LOCATION,
    NOW_ORDER,
    NOW_WANTED,
    NOW_WORTH,
    take,
    units_left,
)
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_UNIT_COST,
    PLACE_PARCEL_COST,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_ORDER_FIRST,
    WAVE_ORDER_FIRST_PLACE,
    WAVE_ORDER_LINES,
    WAVE_ORDER_PLACES,
    WAVE_ORDER_WHOLE,
)
from invengine.kernels.steps import part


@part
def worth_left_out(wave, order):
    """What it costs to leave all of an order out."""
    first = wave.orders[order, WAVE_ORDER_FIRST]
    total = 0
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        total += wave.now[line, NOW_WANTED] * wave.now[line, NOW_WORTH]
    return total


@part
def missing_units(wave, units, line):
    """Units of a line that come from nowhere."""
    missing = wave.now[line, NOW_WANTED]
    option = wave.lines[line, WAVE_LINE_FIRST]
    for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
        missing -= units[r]
    return missing


@part
def cost_of(wave, units, prices, order, opened):
    """What an order's plan costs, units at their prices, with what the missing ones are worth.

    opened [j]: filled with 1 where a parcel comes from.
    """
    first, n_places = wave.orders[order, WAVE_ORDER_FIRST], wave.orders[order, WAVE_ORDER_PLACES]
    opened[:n_places] = 0
    total = 0
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        total += missing_units(wave, units, line) * wave.now[line, NOW_WORTH]
        option = wave.lines[line, WAVE_LINE_FIRST]
        for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
            if units[r] > 0:
                opened[wave.at[r, AT_LOCAL]] = 1
                per_unit = wave.options[r, OPTION_UNIT_COST] + unit_price(wave.at, prices, r)
                total += units[r] * per_unit + wave.options[r, OPTION_LINE_COST]
    place = wave.orders[order, WAVE_ORDER_FIRST_PLACE]
    for j in range(n_places):
        if opened[j] == 1:
            total += wave.places[place + j, PLACE_PARCEL_COST]
    return total


@part
def lift(wave, left, beyond, units, order, before):
    """Give back all that an order has; `before` is filled with what that was."""
    first = wave.orders[order, WAVE_ORDER_FIRST]
    at = 0
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        option = wave.lines[line, WAVE_LINE_FIRST]
        for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
            before[at] = units[r]
            at += 1
            if units[r] > 0:
                take(wave.at, left, beyond, r, -units[r])
                units[r] = 0


@part
def put_back(wave, left, beyond, units, order, before):
    """Take again what `before` says, when the order has nothing."""
    first = wave.orders[order, WAVE_ORDER_FIRST]
    at = 0
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        option = wave.lines[line, WAVE_LINE_FIRST]
        for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
            if before[at] > 0:
                take(wave.at, left, beyond, r, before[at])
                units[r] = before[at]
            at += 1


@part
def clear_line(wave, left, beyond, units, line):
    """Give back what one line has."""
    option = wave.lines[line, WAVE_LINE_FIRST]
    for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
        if units[r] > 0:
            take(wave.at, left, beyond, r, -units[r])
            units[r] = 0


@part
def clear_order(wave, left, beyond, units, order):
    """Give back what all lines of an order have."""
    first = wave.orders[order, WAVE_ORDER_FIRST]
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        clear_line(wave, left, beyond, units, line)


@part
def best_more(wave, left, prices, units, line, missing, opened, parcel):
    """(option, units, cost): where more units of a line cost least each, if they are worth it; -1 for nowhere."""
    short, one_place = may_be_short(wave, line), wave.lines[line, WAVE_LINE_MAY_SPLIT] == 0
    chosen, units_there, paid = -1, 0, 0
    option = wave.lines[line, WAVE_LINE_FIRST]
    for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
        most = min(units_left(wave.at, left, r), missing)
        if most <= 0 or (one_place and not short and most < missing):
            continue
        once = 0 if units[r] > 0 else wave.options[r, OPTION_LINE_COST]
        once += 0 if opened[wave.at[r, AT_LOCAL]] == 1 else parcel[wave.at[r, AT_LOCAL]]
        while most > 0:
            cost = once + most * wave.options[r, OPTION_UNIT_COST] + price_of(wave.at, left, prices, r, most)
            if (not short or cost < most * wave.now[line, NOW_WORTH]) and (
                chosen < 0 or float(cost) * units_there < float(paid) * most
            ):
                chosen, units_there, paid = r, most, cost
            kept = left[wave.at[r, AT_KEPT], wave.at[r, AT_LOCATION]] if wave.at[r, AT_KEPT] >= 0 else 0
            most = kept if short and kept < most else 0  # those kept alone may be cheaper
    return chosen, units_there, paid


@part
def top_up(wave, left, beyond, prices, units, line, opened, parcel):
    """Give a line more units, from where each costs least; whether it may stay as it then is.

    A line that has to be whole gives all back if it cannot have all; or, when its order need not be whole, if what it
    lacked costs more than it is worth.
    """
    short, one_place = may_be_short(wave, line), wave.lines[line, WAVE_LINE_MAY_SPLIT] == 0
    lacked = missing_units(wave, units, line)
    missing = 0 if one_place and lacked < wave.now[line, NOW_WANTED] else lacked
    spent = 0
    while missing > 0:
        r, more, cost = best_more(wave, left, prices, units, line, missing, opened, parcel)
        if r < 0:
            break
        take(wave.at, left, beyond, r, more)
        units[r] += more
        opened[wave.at[r, AT_LOCAL]] = 1
        spent += cost
        missing = 0 if one_place else missing - more
    if short:
        return True
    is_whole = missing_units(wave, units, line) == 0
    order = wave.now[line, NOW_ORDER]
    is_dear = wave.orders[order, WAVE_ORDER_WHOLE] == 0 and spent > lacked * wave.now[line, NOW_WORTH]
    if not is_whole or is_dear:
        clear_line(wave, left, beyond, units, line)
    return is_whole and not is_dear


@part
def serve(wave, left, beyond, prices, units, order, room):
    """Give an order that has nothing the plan that costs it least, or nearly, on what is left; returns that cost.

    Lines come whole from one place at first, as `choose` says; then those that may split are topped up. An order that
    is all or nothing, and ends with a line that is not whole, has nothing; so has one for which that costs less.
    """
    whole = wave.orders[order, WAVE_ORDER_WHOLE] == 1
    n_places = wave.orders[order, WAVE_ORDER_PLACES]
    count = lay_order(wave, left, left, prices, order, PLACE, room)
    choose(room, count, n_places, whole, False)
    room.open[:n_places] = 0
    for i in range(count):
        if room.choice[i] >= 0:
            line = room.line[i]
            option = wave.lines[line, WAVE_LINE_FIRST]
            for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
                if wave.at[r, AT_LOCAL] == room.choice[i]:
                    most = min(units_left(wave.at, left, r), wave.now[line, NOW_WANTED])
                    if most > 0:
                        take(wave.at, left, beyond, r, most)
                        units[r] = most
                        room.open[room.choice[i]] = 1
    all_whole = True
    for i in range(count):
        may_stay = top_up(wave, left, beyond, prices, units, room.line[i], room.open, room.parcel)
        all_whole = all_whole and may_stay
    if whole and not all_whole:
        clear_order(wave, left, beyond, units, order)
    cost, nothing = cost_of(wave, units, prices, order, room.open), worth_left_out(wave, order)
    if cost > nothing:
        clear_order(wave, left, beyond, units, order)
        return nothing
    return cost
