"""What a channel can take, position by position, with unreserved = on_hand - live reserved:

    available = max(0, min(unreserved - safety stock, own ring-fence + max(0, unreserved - all ring-fences)))

or, where the channel may take from its own only, without what stands behind the `+`. Most positions have no ring-fence
and most channels may take from what is fenced for nobody: for these it is max(0, unreserved - safety stock). The hot
loops work that out, and leave a SKU where it is not all to a second loop. A loop over ring-fences inside the first one,
even one that is never entered, would make every position several times as dear.
"""

from __future__ import annotations

from numba import njit

from invengine.kernels.fences import fenced_units
from invengine.kernels.layout import (
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
    KNOWN,
    LOCATION,
    ON_HAND,
    OWN_ONLY,
    RANK,
    REASON_RESERVED,
    REASON_RING_FENCE,
    REASON_SAFETY_STOCK,
    REASON_SHORTFALL,
    RESERVED,
    ROWS,
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
        max(positions[row, SAFETY_PARTS], selection[location, FLOOR_PARTS]),
    )


@njit(nogil=True)
def _fence_limit(unreserved, others, own, own_only):
    """Units that ring-fences leave to a channel: its own, and unless `own_only` what is fenced for nobody."""
    return own if own_only else own + max(unreserved - others - own, 0)


@njit(nogil=True)
def _own_only(selection):
    """Whether the channel that asks may take from its own ring-fence only: every line says it."""
    return selection.shape[0] > 0 and selection[0, OWN_ONLY] != 0


@njit(nogil=True)
def _unfenced(positions, row, selection, location):
    """Units that can be taken as far as ring-fences do not matter."""
    unreserved = positions[row, ON_HAND] - max(positions[row, RESERVED] - positions[row, EXPIRED], 0)
    return max(unreserved - _safety(positions, row, selection, location), 0)


@njit(nogil=True)
def _available(positions, fences, row, selection, location):
    """Units that can be taken."""
    unreserved = positions[row, ON_HAND] - max(positions[row, RESERVED] - positions[row, EXPIRED], 0)
    others, own = fenced_units(positions, fences, row, selection[location, CHANNEL])
    limit = _fence_limit(unreserved, others, own, selection[location, OWN_ONLY])
    return min(_unfenced(positions, row, selection, location), limit)


@njit(f"int64(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def available_positions(sku, positions, skus, fences, selection, ignored, terms):
    """Fill `terms` with the positions of one SKU that were asked about, by rank of location; returns how many.

      sku        its number
      selection  int64 [locations, 7]  what is asked of each location; locations beyond it are not asked about
      ignored    int64 [asked, 3]      by rank: reserved by the one who asks, and so free to them
      terms      int64 [>= rows of the SKU, 8]  rank, available, on_hand, live reserved, safety stock, reasons (bits),
                                                in ring-fences of others, in the own one
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
        unfenced = max(on_hand - reserved - safety, 0)
        available = min(unfenced, _fence_limit(on_hand - reserved, others, own, selection[location, OWN_ONLY]))
        reasons = 0
        if selection[location, WHY_NOT] != 0:
            available = 0
            reasons = 1 << selection[location, WHY_NOT]
        else:
            if unfenced < on_hand - reserved:
                reasons |= 1 << REASON_SAFETY_STOCK
            if reserved > on_hand:
                reasons |= 1 << REASON_SHORTFALL
            if reserved > 0:
                reasons |= 1 << REASON_RESERVED
            if available < unfenced:
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
def _total(sku, positions, skus, fences, selection):
    total = fenced = 0
    first = skus[sku, FIRST_ROW]
    for row in range(first, first + skus[sku, ROWS]):
        location = positions[row, LOCATION]
        if location < selection.shape[0] and selection[location, INDEX] >= 0:
            total = min(total + _unfenced(positions, row, selection, location), TOTAL_MAX)
            fenced |= positions[row, FENCES]
    if fenced or _own_only(selection):
        return _fenced_total(sku, positions, skus, fences, selection)
    return total


@njit(f"int64(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def available_total(sku, positions, skus, fences, selection):
    """Units of one SKU, by its number, that can be taken now: the sum over its usable positions, not over 2^62."""
    return _total(sku, positions, skus, fences, selection)


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
    selection  int64 [locations, 7]
    status     uint8 [n]   totals  int64 [n]  >= 0, and not over 2^62
    """
    for i in range(numbers.size):
        _fetch_ahead(numbers, i, positions, skus)
        if numbers[i] < 0:
            status[i] = UNKNOWN_SKU
            totals[i] = 0
        else:
            status[i] = KNOWN
            totals[i] = _total(numbers[i], positions, skus, fences, selection)


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
            if fenced or _own_only(selection):
                total = _fenced_rows(sku, positions, skus, fences, selection, location_available, begin)
        totals[i] = total
        row_counts[i] = filled - begin
    return filled
