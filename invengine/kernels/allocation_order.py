"""One order of a wave, on its own: which of its lines come from which place at the least cost, units at given prices.

Lines come whole from one place here, in all sets of lines: a place stays closed, or opens and serves some of the set,
one place after another. Of an order of many lines it is found out more simply, see `choose_many`.
"""

from __future__ import annotations

from invengine.kernels.allocation_wave import (
    AT_KEPT,
    AT_LINE,
    AT_LOCAL,
    AT_LOCATION,
    AT_SKU,
    FAR_COST,
    NOW_ORDER,
    NOW_WANTED,
    NOW_WORTH,
    SETS_LINES,
    units_left,
)
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_UNIT_COST,
    PLACE_PARCEL_COST,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_PART,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_ORDER_FIRST,
    WAVE_ORDER_FIRST_PLACE,
    WAVE_ORDER_LINES,
    WAVE_ORDER_PLACES,
    WAVE_ORDER_WHOLE,
)
from invengine.kernels.steps import part

PLACE, BOUND, CONTEST = 0, 1, 2  # how an order is looked at: on what is left, at least, or against others


@part
def unit_price(at, prices, r):
    """What a unit of an option is to be paid: of the pools that it may come from the cheaper one, and the capacity."""
    n = at[r, AT_LOCATION]
    price = prices[at[r, AT_SKU], n]
    if at[r, AT_KEPT] >= 0:
        price = min(price, prices[at[r, AT_KEPT], n])
    return price + prices[prices.shape[0] - 1, n]


@part
def price_of(at, left, prices, r, units):
    """What so many units of an option are to be paid: those kept for the channel at their price, then others."""
    price, own = unit_price(at, prices, r), at[r, AT_KEPT]
    if own < 0:
        return units * price
    more = max(units - left[own, at[r, AT_LOCATION]], 0)
    return units * price + more * max(prices[at[r, AT_SKU], at[r, AT_LOCATION]] - prices[own, at[r, AT_LOCATION]], 0)


@part
def may_be_short(wave, line):
    """Whether a line may have some of its units and not the others."""
    order = wave.now[line, NOW_ORDER]
    return wave.lines[line, WAVE_LINE_MAY_PART] == 1 and wave.orders[order, WAVE_ORDER_WHOLE] == 0


@part
def cost_at(wave, left, prices, r, is_free, how):
    """What a line costs if it comes from the place of an option, parcel not counted; FAR_COST when it cannot.

    how BOUND: no plan in which the line has units from there costs less for the line, however it is split: of the units
    that come from elsewhere, each costs as much at least, or the order is better off with all of them there.
    Otherwise it is what the units cost that the place has now, and the missing ones if these may be missing.
    """
    line = wave.at[r, AT_LINE]
    wanted, worth = wave.now[line, NOW_WANTED], wave.now[line, NOW_WORTH]
    units = min(units_left(wave.at, left, r), wanted)
    if units <= 0:
        return FAR_COST
    once = wave.options[r, OPTION_LINE_COST]
    paid = units * wave.options[r, OPTION_UNIT_COST]
    if how == BOUND:
        paid += units * unit_price(wave.at, prices, r)
    elif not is_free:
        paid += price_of(wave.at, left, prices, r, units)
    if units == wanted:
        return paid + once
    splits = wave.lines[line, WAVE_LINE_MAY_SPLIT] == 1
    if how == BOUND and splits:
        return paid // units * wanted + wanted * once // units
    if not splits and not may_be_short(wave, line):
        return FAR_COST
    return paid + once + (wanted - units) * worth


@part
def lay_order(wave, left, free, prices, order, how, room):
    """Fill `room` with an order's lines and costs; returns how many lines may have units.

    Lines that no place serves at less than it costs to leave them out are left out, if the order may be short.
    free: as `left`; where that has all units that a line wants, they have no price. Only if `how` is CONTEST.
    """
    first, n_places = wave.orders[order, WAVE_ORDER_FIRST], wave.orders[order, WAVE_ORDER_PLACES]
    whole = wave.orders[order, WAVE_ORDER_WHOLE] == 1
    place = wave.orders[order, WAVE_ORDER_FIRST_PLACE]
    for j in range(n_places):
        room.parcel[j] = wave.places[place + j, PLACE_PARCEL_COST]
    count = 0
    for line in range(first, first + wave.orders[order, WAVE_ORDER_LINES]):
        if wave.now[line, NOW_WANTED] == 0:
            continue
        skip = wave.now[line, NOW_WANTED] * wave.now[line, NOW_WORTH]
        least = FAR_COST
        for j in range(n_places):
            room.cost[j, count] = FAR_COST
        option = wave.lines[line, WAVE_LINE_FIRST]
        for r in range(option, option + wave.lines[line, WAVE_LINE_OPTIONS]):
            is_free = how == CONTEST and units_left(wave.at, free, r) >= wave.now[line, NOW_WANTED]
            cost = cost_at(wave, left, prices, r, is_free, how)
            room.cost[wave.at[r, AT_LOCAL], count] = cost
            least = min(least, cost)
        if least < skip or whole:
            room.line[count], room.skip[count] = line, skip
            count += 1
    return count


@part
def choose_sets(room, count, n_places, whole):
    """The least cost of an order beyond leaving all of it out, 0 or less; `choice` has the place of each line."""
    sets = 1 << count
    room.best[0] = 0
    for s in range(1, sets):
        room.best[s] = FAR_COST
    for j in range(n_places):
        for s in range(sets):
            room.here[s] = room.best[s] + room.parcel[j]
            room.served[j, s] = 0
        for i in range(count):
            cost = room.cost[j, i]
            if cost >= FAR_COST or (cost >= room.skip[i] and not whole):
                continue
            bit = 1 << i
            for s in range(bit, sets):
                if s & bit and room.here[s ^ bit] + cost - room.skip[i] < room.here[s]:
                    room.here[s] = room.here[s ^ bit] + cost - room.skip[i]
                    room.served[j, s] = room.served[j, s ^ bit] | bit
        for s in range(sets):
            if room.served[j, s] and room.here[s] < room.best[s]:
                room.best[s] = room.here[s]
            else:
                room.served[j, s] = 0
    chosen = 0
    for s in range(sets):
        if room.best[s] < room.best[chosen] and (not whole or s == sets - 1):
            chosen = s
    least = room.best[chosen]
    for i in range(count):
        room.choice[i] = -1
    for j in range(n_places - 1, -1, -1):
        mine = room.served[j, chosen]
        for i in range(count):
            if mine >> i & 1:
                room.choice[i] = j
        chosen ^= mine
    return least


@part
def choose_one(room, n_places):
    """As `choose_sets`, of one line."""
    least = 0
    room.choice[0] = -1
    for j in range(n_places):
        if room.cost[j, 0] < FAR_COST and room.parcel[j] + room.cost[j, 0] - room.skip[0] < least:
            least = room.parcel[j] + room.cost[j, 0] - room.skip[0]
            room.choice[0] = j
    return least


@part
def share_parcels(room, count, n_places, whole):
    """A cost that no plan of an order of many lines is below, beyond leaving it out, and the places by it.

    Each line pays its part of a parcel, where that is shared by all lines that could come with it.
    """
    for j in range(n_places):
        lines = 0
        for i in range(count):
            lines += room.cost[j, i] < FAR_COST and (whole or room.cost[j, i] < room.skip[i])
        room.open[j] = room.parcel[j] // max(lines, 1)
    total = 0
    for i in range(count):
        least = FAR_COST if whole else 0
        room.choice[i] = -1
        for j in range(n_places):
            if room.cost[j, i] < FAR_COST and room.cost[j, i] + room.open[j] - room.skip[i] < least:
                least = room.cost[j, i] + room.open[j] - room.skip[i]
                room.choice[i] = j
        total = min(total + least, FAR_COST)
    if total >= 0:
        for i in range(count):
            room.choice[i] = -1
    return min(total, 0)


@part
def reassign(room, count, n_places, without, whole):
    """What an order costs beyond leaving it out if each line comes from the best open place, one of these closed."""
    total = 0
    for j in range(n_places):
        if room.open[j] == 1 and j != without:
            total += room.parcel[j]
    for i in range(count):
        least = FAR_COST if whole else 0
        for j in range(n_places):
            if room.open[j] == 1 and j != without and room.cost[j, i] < FAR_COST:
                least = min(least, room.cost[j, i] - room.skip[i])
        total = min(total + least, FAR_COST)
    return total


@part
def choose_many(room, count, n_places, whole):
    """As `choose_sets` for many lines, though not always the least: places are closed as long as that saves."""
    for j in range(n_places):
        room.open[j] = 1
    total = reassign(room, count, n_places, -1, whole)
    while True:
        closing, least = -1, total
        for j in range(n_places):
            if room.open[j] == 1:
                cost = reassign(room, count, n_places, j, whole)
                if cost < least:
                    closing, least = j, cost
        if closing < 0:
            break
        room.open[closing] = 0
        total = least
    for i in range(count):
        room.choice[i] = -1
        least = FAR_COST if whole else 0
        for j in range(n_places):
            is_open = total < 0 and room.open[j] == 1 and room.cost[j, i] < FAR_COST
            if is_open and room.cost[j, i] - room.skip[i] < least:
                least = room.cost[j, i] - room.skip[i]
                room.choice[i] = j
    return min(total, 0)


@part
def choose(room, count, n_places, whole, is_bound):
    """The least cost of an order beyond leaving it out, 0 or less, and `choice`; a bound that no plan is below."""
    if count == 0:
        return 0
    if count == 1:
        return choose_one(room, n_places)
    if count <= SETS_LINES:
        return choose_sets(room, count, n_places, whole)
    if is_bound:
        return share_parcels(room, count, n_places, whole)
    return choose_many(room, count, n_places, whole)
