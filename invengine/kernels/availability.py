"""What a channel can take, position by position, with unreserved = on_hand - live reserved:

    available = max(0, min(unreserved - safety stock - uncertain,
                           own ring-fence + max(0, unreserved - all ring-fences)))

or, where the channel may take from its own only, without what stands behind the `+`; uncertain are the units that rules
for confidence keep from being offered. Most positions have no ring-fence, most channels may take from what is fenced
for nobody, and most networks have no such rules: for these it is max(0, unreserved - safety stock). The hot loops work
that out, and leave a SKU where it is not all to a second loop. A loop over ring-fences inside the first one, even one
that is never entered, would make every position several times as dear.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.fences import fenced_units
from invengine.kernels.layout import (
    CAREFUL,
    CHANNEL,
    EXPIRED,
    FENCES,
    FIRST_ROW,
    FLOOR_PARTS,
    FLOOR_UNITS,
    IGNORED_FENCED,
    IGNORED_OWN,
    IGNORED_UNITS,
    INDEX,
    KIT_PARTS,
    KIT_UNITS,
    KNOWN,
    LEVEL_IN_STOCK,
    LEVEL_LOW,
    LEVEL_OUT,
    LOCATION,
    NOW,
    ON_HAND,
    OWN_ONLY,
    PARTS_BITS,
    PARTS_MASK,
    RANK,
    REASON_CONFIDENCE,
    REASON_RESERVED,
    REASON_RING_FENCE,
    REASON_SAFETY_STOCK,
    REASON_SHORTFALL,
    RESERVED,
    ROWS,
    RULE,
    RULE_AGE,
    RULE_FEWER,
    RULE_NEXT,
    RULE_PARTS,
    RULE_UNITS,
    SAFETY_PARTS,
    SAFETY_UNITS,
    TERM_AVAILABLE,
    TERM_COLUMNS,
    TERM_FENCED,
    TERM_ON_HAND,
    TERM_OWN_FENCE,
    TERM_RANK,
    TERM_REASONS,
    TERM_RESERVED,
    TERM_SAFETY,
    TERM_UNCERTAIN,
    TOTAL_MAX,
    UNITS_MAX,
    UNKNOWN_SKU,
    WHY_NOT,
)
from invengine.kernels.text import prefetch

_BLOCK = "int64[:, ::1]"
_SKUS_AHEAD, _ROWS_AHEAD = 16, 8  # far enough for memory to answer, near enough to be still in the cache
_ROWS_FETCHED_MAX = 32


@njit(nogil=True)
def safety_units(on_hand, units, parts):
    """Units kept back: the larger of `units` and `parts` ten-thousandths of `on_hand`, rounded up.

    Split at 10,000 so that nothing leaves int64 up to 2^53-1 units.
    """
    if parts == 0:
        return units
    return max(units, on_hand // 10_000 * parts + (on_hand % 10_000 * parts + 9_999) // 10_000)


@njit(nogil=True)
def _safety(positions, row, selection, location):
    return safety_units(
        positions[row, ON_HAND],
        max(positions[row, SAFETY_UNITS], selection[location, FLOOR_UNITS]),
        max(positions[row, SAFETY_PARTS] & PARTS_MASK, selection[location, FLOOR_PARTS]),
    )


@njit(nogil=True)
def uncertain_units(on_hand, counted_at, selection, location):
    """Units that the location's rules for confidence keep from being offered: the most that one of them says.

    `counted_at` is the millisecond of the last count, 0 for none.
    """
    most = 0
    line = selection[location, RULE]
    while line > 0:
        age, fewer = selection[line, RULE_AGE], selection[line, RULE_FEWER]
        is_old = age == 0 or counted_at + age <= selection[0, NOW]
        if is_old and (fewer == 0 or on_hand < fewer):
            most = max(most, safety_units(on_hand, selection[line, RULE_UNITS], selection[line, RULE_PARTS]))
        line = selection[line, RULE_NEXT]
    return min(most, on_hand)


@njit(nogil=True)
def _uncertain(positions, row, selection, location):
    counted_at = positions[row, SAFETY_PARTS] >> PARTS_BITS
    return uncertain_units(positions[row, ON_HAND], counted_at, selection, location)


@njit(nogil=True)
def fence_limit(unreserved, others, own, own_only):
    """Units that ring-fences leave to a channel: its own, and unless `own_only` what is fenced for nobody."""
    return own if own_only else own + max(unreserved - others - own, 0)


@njit(nogil=True)
def _careful(selection):
    """Whether no position can be left to the hot loop: every line says it."""
    return selection.shape[0] > 0 and selection[0, CAREFUL] != 0


@njit(nogil=True)
def _unfenced(positions, row, selection, location):
    """Units that can be taken as far as neither ring-fences nor confidence matter."""
    unreserved = positions[row, ON_HAND] - max(positions[row, RESERVED] - positions[row, EXPIRED], 0)
    return max(unreserved - _safety(positions, row, selection, location), 0)


@njit(nogil=True)
def _available(positions, fences, row, selection, location):
    """Units that can be taken."""
    unreserved = positions[row, ON_HAND] - max(positions[row, RESERVED] - positions[row, EXPIRED], 0)
    others, own = fenced_units(positions, fences, row, selection[location, CHANNEL])
    limit = fence_limit(unreserved, others, own, selection[location, OWN_ONLY])
    kept = _safety(positions, row, selection, location) + _uncertain(positions, row, selection, location)
    return min(max(unreserved - kept, 0), limit)


@njit(f"int64(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def available_positions(sku, positions, skus, fences, selection, ignored, terms):
    """Fill `terms` with the positions of one SKU that were asked about, by rank of location; returns how many.

      sku        its number
      selection  int64 [lines, 10]     what is asked of each location; locations beyond it are not asked about
      ignored    int64 [asked, 3]      by rank: reserved by the one who asks, and so free to them
      terms      int64 [>= rows of the SKU, 9]  rank, available, on_hand, live reserved, safety stock, reasons (bits),
                                                in ring-fences of others, in the own one, uncertain
    Rows are few, so sorting by insertion costs less than anything cleverer.
    """
    count = 0
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        location = positions[row, LOCATION]
        if location >= selection.shape[0] or selection[location, RANK] < 0:
            continue
        rank = selection[location, RANK]
        on_hand = positions[row, ON_HAND]
        reserved = max(positions[row, RESERVED] - positions[row, EXPIRED] - ignored[rank, IGNORED_UNITS], 0)
        safety = _safety(positions, row, selection, location)
        others = own = 0
        if positions[row, FENCES] != 0:
            others, own = fenced_units(positions, fences, row, selection[location, CHANNEL])
        others += ignored[rank, IGNORED_FENCED] - ignored[rank, IGNORED_OWN]
        own += ignored[rank, IGNORED_OWN]
        uncertain = _uncertain(positions, row, selection, location)
        above_safety = max(on_hand - reserved - safety, 0)
        trusted = max(above_safety - uncertain, 0)
        available = min(trusted, fence_limit(on_hand - reserved, others, own, selection[location, OWN_ONLY]))
        reasons = 0
        if selection[location, WHY_NOT] != 0:
            available = 0
            reasons = 1 << selection[location, WHY_NOT]
        else:
            if above_safety < on_hand - reserved:
                reasons |= 1 << REASON_SAFETY_STOCK
            if reserved > on_hand:
                reasons |= 1 << REASON_SHORTFALL
            if reserved > 0:
                reasons |= 1 << REASON_RESERVED
            if trusted < above_safety:
                reasons |= 1 << REASON_CONFIDENCE
            if available < trusted:
                reasons |= 1 << REASON_RING_FENCE
        slot = count
        while slot > 0 and terms[slot - 1, TERM_RANK] > rank:
            for column in range(TERM_COLUMNS):
                terms[slot, column] = terms[slot - 1, column]
            slot -= 1
        terms[slot, TERM_RANK] = rank
        terms[slot, TERM_AVAILABLE] = available
        terms[slot, TERM_ON_HAND] = on_hand
        terms[slot, TERM_RESERVED] = reserved
        terms[slot, TERM_SAFETY] = safety
        terms[slot, TERM_REASONS] = reasons
        terms[slot, TERM_FENCED] = min(others, TOTAL_MAX)
        terms[slot, TERM_OWN_FENCE] = min(own, UNITS_MAX)
        terms[slot, TERM_UNCERTAIN] = uncertain
        count += 1
    return count


@njit(nogil=True)
def _fenced_total(sku, positions, skus, fences, selection):
    total = 0
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        location = positions[row, LOCATION]
        if location < selection.shape[0] and selection[location, INDEX] >= 0:
            total = min(total + _available(positions, fences, row, selection, location), TOTAL_MAX)
    return total


@njit(nogil=True)
def _plain_total(sku, positions, skus, selection):
    """The units of a SKU as far as neither ring-fences nor confidence matter; -1 when ring-fences do."""
    total = fenced = 0
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        location = positions[row, LOCATION]
        if location < selection.shape[0] and selection[location, INDEX] >= 0:
            total = min(total + _unfenced(positions, row, selection, location), TOTAL_MAX)
            fenced |= positions[row, FENCES]
    return -1 if fenced else total


@njit(f"int64(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def available_total(sku, positions, skus, fences, selection):
    """Units of one SKU, by its number, that can be taken now: the sum over its usable positions, not over 2^62."""
    total = np.int64(-1) if _careful(selection) else _plain_total(sku, positions, skus, selection)
    return _fenced_total(sku, positions, skus, fences, selection) if total < 0 else total


@njit(nogil=True)
def _fetch_ahead(numbers, i, positions, skus):
    """Has the CPU fetch what the SKUs after the i-th need: with a million positions, memory is what takes the time."""
    if i + _SKUS_AHEAD < numbers.size:
        sku = numbers[i + _SKUS_AHEAD]
        if sku >= 0:
            prefetch(skus, sku)
    if i + _ROWS_AHEAD < numbers.size:
        sku = numbers[i + _ROWS_AHEAD]
        if sku >= 0:
            first = skus[sku, FIRST_ROW]
            for row in range(first, first + min(skus[sku, ROWS], _ROWS_FETCHED_MAX)):
                prefetch(positions, row)


@njit(f"void(int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, uint8[::1], int64[::1])", nogil=True, cache=True)
def available_totals(numbers, positions, skus, fences, selection, status, totals):
    """Fill, for each SKU, `status` with KNOWN or UNKNOWN_SKU and `totals` with the units that can be taken now.

    numbers    int64 [n]   of the SKUs, -1 for one that is not known
    selection  int64 [lines, 10]
    status     uint8 [n]   totals  int64 [n]  >= 0, and not over 2^62
    """
    careful = _careful(selection)
    left = 0
    for i in range(numbers.size):
        _fetch_ahead(numbers, i, positions, skus)
        if numbers[i] < 0:
            status[i] = UNKNOWN_SKU
            totals[i] = 0
            continue
        status[i] = KNOWN
        totals[i] = -1 if careful else _plain_total(numbers[i], positions, skus, selection)
        left += totals[i] < 0
    if left > 0:  # in a loop of its own, so that what it needs weighs nothing in the one above
        for i in range(numbers.size):
            if totals[i] < 0:
                totals[i] = _fenced_total(numbers[i], positions, skus, fences, selection)


@njit(f"int64(int64[::1], {_BLOCK})", nogil=True, cache=True)
def rows_at_most(numbers, skus):
    """How many positions the SKUs have, by their numbers, -1 for one that is not known: no answer has more rows."""
    rows = 0
    for i in range(numbers.size):
        if i + _SKUS_AHEAD < numbers.size and numbers[i + _SKUS_AHEAD] >= 0:
            prefetch(skus, numbers[i + _SKUS_AHEAD])
        if numbers[i] >= 0:
            rows += skus[numbers[i], ROWS]
    return rows


@njit(nogil=True)
def _fenced_rows(sku, positions, skus, fences, selection, location_available, filled):
    """As `_fenced_total`, and write the units of the SKU's usable positions from line `filled` on."""
    total = 0
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        location = positions[row, LOCATION]
        if location < selection.shape[0] and selection[location, INDEX] >= 0:
            available = _available(positions, fences, row, selection, location)
            total = min(total + available, TOTAL_MAX)
            location_available[filled] = available
            filled += 1
    return total


@njit(
    f"int64(int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, uint8[::1], int64[::1], int32[::1], int32[::1], "
    "int64[::1])",
    nogil=True,
    cache=True,
)
def available_rows(
    numbers, positions, skus, fences, selection, status, totals, row_counts, location_index, location_available
):
    """As `available_totals`, and fill a row per usable position, in the order of the SKUs; returns how many rows.

    row_counts          int32 [n]     how many rows each SKU has
    location_index      int32 [rows]  place among the usable locations; `rows_at_most` says how much room is enough
    location_available  int64 [rows]  units that can be taken there now
    """
    filled = 0
    for i in range(numbers.size):
        _fetch_ahead(numbers, i, positions, skus)
        sku = numbers[i]
        total = fenced = 0
        begin = filled
        if sku < 0:
            status[i] = UNKNOWN_SKU
        else:
            status[i] = KNOWN
            first = skus[sku, FIRST_ROW]
            for row in range(first, first + skus[sku, ROWS]):
                location = positions[row, LOCATION]
                if location < selection.shape[0] and selection[location, INDEX] >= 0:
                    available = _unfenced(positions, row, selection, location)
                    fenced |= positions[row, FENCES]
                    total = min(total + available, TOTAL_MAX)
                    location_index[filled] = selection[location, INDEX]
                    location_available[filled] = available
                    filled += 1
            if fenced or _careful(selection):
                total = _fenced_rows(sku, positions, skus, fences, selection, location_available, begin)
        totals[i] = total
        row_counts[i] = filled - begin
    return filled


@njit("void(int64[::1], int64, uint8[::1])", nogil=True, cache=True)
def stock_levels(totals, threshold, levels):
    """Fill `levels` with LEVEL_OUT for 0 units, LEVEL_LOW up to `threshold`, LEVEL_IN_STOCK above.

    totals  int64 [n] >= 0   threshold >= 0   levels  uint8 [n]
    """
    for i in range(totals.size):
        if totals[i] == 0:
            levels[i] = LEVEL_OUT
        else:
            levels[i] = LEVEL_LOW if totals[i] <= threshold else LEVEL_IN_STOCK


@njit(f"int64(int64[::1], int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def available_kits(numbers, units, positions, skus, fences, selection, kits):
    """Fill `kits` with what can be taken of a kit at each usable location; returns the sum, not over 2^62.

    A kit comes together at one location: there is as much of it as of the component that is there the least.
      numbers  int64 [components]   of their SKUs, -1 for one that is not known
      units    int64 [components]   >= 1: of each component in one kit
      kits     int64 [usable, 2]    by INDEX: kits, and how many of the components have a position there
    """
    for index in range(kits.shape[0]):
        kits[index, KIT_UNITS] = TOTAL_MAX
        kits[index, KIT_PARTS] = 0
    for component in range(numbers.size):
        sku = numbers[component]
        if sku < 0:
            continue
        first = skus[sku, FIRST_ROW]
        for row in range(first, first + skus[sku, ROWS]):
            location = positions[row, LOCATION]
            if location < selection.shape[0] and selection[location, INDEX] >= 0:
                index = selection[location, INDEX]
                whole = _available(positions, fences, row, selection, location) // units[component]
                kits[index, KIT_UNITS] = min(kits[index, KIT_UNITS], whole)
                kits[index, KIT_PARTS] += 1
    total = 0
    for index in range(kits.shape[0]):
        if kits[index, KIT_PARTS] < numbers.size:
            kits[index, KIT_UNITS] = 0
        total = min(total + kits[index, KIT_UNITS], TOTAL_MAX)
    return total
