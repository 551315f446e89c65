"""Holds by expiry: a hold stops counting at once when the clock passes it, before any sweep of the store.

Units that it took out of a ring-fence are back in it at the same instant: FENCE_OVER has them until the store says so.

`holds` has one line per live leg. `hold_slots`, int64 [2^k, 2], finds it by key: (key, line + 1), 0 when empty, linear
probing with backward shifting, at most half full. `wheel`, int64 [WHEEL_SECONDS], has the first line of the holds that
end in a second, modulo its size, -1 for none: to put in, take out or end a hold costs the same however many there are.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.fences import drop_fences
from invengine.kernels.layout import (
    EXPIRED,
    FENCE_HOLDS,
    FENCE_OVER,
    HOLD_COUNT,
    HOLD_EXPIRES_AT,
    HOLD_FENCE,
    HOLD_FENCED,
    HOLD_FREE,
    HOLD_KEY,
    HOLD_LOCATION,
    HOLD_NEXT,
    HOLD_OVER,
    HOLD_PREVIOUS,
    HOLD_SKU,
    HOLD_SLOTS,
    HOLD_UNITS,
    SECOND,
)
from invengine.kernels.rows import note_change, row_of

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True)
def _home(key, mask):
    hashed = np.uint64(key) * _MIX
    return (hashed ^ (hashed >> np.uint64(32))) & mask


@njit(nogil=True)
def _slot_of(hold_slots, key):
    """The slot where `key` is, or the empty one where it would go."""
    mask = np.uint64(hold_slots.shape[0] - 1)
    slot = _home(key, mask)
    while hold_slots[slot, 1] != 0 and hold_slots[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(nogil=True)
def _vacate(hold_slots, slot):
    """Empty `slot`, and shift back the entries behind it that could not be found over the gap."""
    mask = np.uint64(hold_slots.shape[0] - 1)
    gap = slot
    slot = (slot + np.uint64(1)) & mask
    while hold_slots[slot, 1] != 0:
        home = _home(hold_slots[slot, 0], mask)
        if (slot - home) & mask >= (slot - gap) & mask:
            hold_slots[gap, 0] = hold_slots[slot, 0]
            hold_slots[gap, 1] = hold_slots[slot, 1]
            gap = slot
        slot = (slot + np.uint64(1)) & mask
    hold_slots[gap, 0] = 0
    hold_slots[gap, 1] = 0


@njit(nogil=True)
def _link(holds, wheel, hold):
    bucket = holds[hold, HOLD_EXPIRES_AT] % wheel.size
    following = wheel[bucket]
    holds[hold, HOLD_NEXT] = following
    holds[hold, HOLD_PREVIOUS] = -1
    if following >= 0:
        holds[following, HOLD_PREVIOUS] = hold
    wheel[bucket] = hold


@njit(nogil=True)
def _unlink(holds, wheel, hold):
    following, previous = holds[hold, HOLD_NEXT], holds[hold, HOLD_PREVIOUS]
    if previous >= 0:
        holds[previous, HOLD_NEXT] = following
    else:
        wheel[holds[hold, HOLD_EXPIRES_AT] % wheel.size] = following
    if following >= 0:
        holds[following, HOLD_PREVIOUS] = previous


@njit(nogil=True)
def _count_expired(positions, skus, fences, holds, hold, sign):
    row = row_of(positions, skus, holds[hold, HOLD_SKU], holds[hold, HOLD_LOCATION])
    positions[row, EXPIRED] += sign * holds[hold, HOLD_UNITS]
    if holds[hold, HOLD_FENCE] >= 0:
        fences[holds[hold, HOLD_FENCE], FENCE_OVER] += sign * holds[hold, HOLD_FENCED]


@njit(nogil=True)
def _start(positions, skus, fences, holds, wheel, second, hold):
    """Let a hold with its units and expiry set count: as over when its second has begun, else until then."""
    if holds[hold, HOLD_EXPIRES_AT] <= second:
        holds[hold, HOLD_OVER] = 1
        _count_expired(positions, skus, fences, holds, hold, 1)
    else:
        holds[hold, HOLD_OVER] = 0
        _link(holds, wheel, hold)


@njit(nogil=True)
def _stop(positions, skus, fences, holds, wheel, counters, hold):
    """Undo `_start`, and let go of the ring-fence."""
    if holds[hold, HOLD_OVER] == 1:
        _count_expired(positions, skus, fences, holds, hold, -1)
    else:
        _unlink(holds, wheel, hold)
    if holds[hold, HOLD_FENCE] >= 0:
        fences[holds[hold, HOLD_FENCE], FENCE_HOLDS] -= 1
        row = row_of(positions, skus, holds[hold, HOLD_SKU], holds[hold, HOLD_LOCATION])
        drop_fences(positions, fences, counters, row)


@njit(nogil=True)
def _has_room(holds, hold_slots, counters):
    """Whether there is room for one hold more."""
    if 2 * (counters[HOLD_COUNT] + 1) > hold_slots.shape[0]:
        return False
    return counters[HOLD_FREE] >= 0 or counters[HOLD_SLOTS] < holds.shape[0]


@njit(nogil=True)
def set_hold(
    positions, skus, fences, holds, hold_slots, wheel, counters, key, sku, location, units, expires_at, fenced, fence
):
    """Make, change or (units or expires_at 0) end the hold `key`, whose position exists.

    `fenced` of the units go back into the ring-fence in line `fence` when it is over; 0 and -1 when none do, and when
    it ends here. False when it is new and `holds` or its table has no room; nothing was changed then.
    """
    slot = _slot_of(hold_slots, key)
    hold = hold_slots[slot, 1] - 1
    ends = units == 0 or expires_at == 0
    if hold < 0 and (ends or not _has_room(holds, hold_slots, counters)):
        return ends
    if fence >= 0:
        fences[fence, FENCE_HOLDS] += 1  # first: else what is stopped could take the line away
    if hold >= 0:
        _stop(positions, skus, fences, holds, wheel, counters, hold)
        if ends:
            _vacate(hold_slots, slot)
            holds[hold, HOLD_NEXT] = counters[HOLD_FREE]
            counters[HOLD_FREE] = hold
            counters[HOLD_COUNT] -= 1
            return True
    else:
        hold = counters[HOLD_FREE]
        if hold >= 0:
            counters[HOLD_FREE] = holds[hold, HOLD_NEXT]
        else:
            hold = counters[HOLD_SLOTS]
            counters[HOLD_SLOTS] = hold + 1
        counters[HOLD_COUNT] += 1
        hold_slots[slot, 0] = key
        hold_slots[slot, 1] = hold + 1
        holds[hold, HOLD_KEY] = key
        holds[hold, HOLD_SKU] = sku
        holds[hold, HOLD_LOCATION] = location
    holds[hold, HOLD_UNITS] = units
    holds[hold, HOLD_EXPIRES_AT] = expires_at
    holds[hold, HOLD_FENCED] = fenced
    holds[hold, HOLD_FENCE] = fence
    _start(positions, skus, fences, holds, wheel, counters[SECOND], hold)
    return True


@njit(
    "void(int64, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], "
    "int64[:, ::1])",
    nogil=True,
    cache=True,
)
def advance_holds(second, positions, skus, fences, holds, hold_slots, wheel, counters, changed):
    """Set the clock to `second` (since 1970): holds that are over by then stop counting, which EXPIRED and
    FENCE_OVER say. Their SKUs are noted in `changed`.

    Forward, each second costs the holds that end in it. Backward (the store's clock was set back), all holds are judged
    anew, and so is what this clock had ended and the store has not.
    """
    before = counters[SECOND]
    counters[SECOND] = second
    if second < before:
        for slot in range(hold_slots.shape[0]):
            hold = hold_slots[slot, 1] - 1
            if hold >= 0 and holds[hold, HOLD_OVER] == 1 and holds[hold, HOLD_EXPIRES_AT] > second:
                _count_expired(positions, skus, fences, holds, hold, -1)
                note_change(changed, counters, holds[hold, HOLD_SKU])
                holds[hold, HOLD_OVER] = 0
                _link(holds, wheel, hold)
        return
    for bucket_second in range(max(before + 1, second - wheel.size + 1), second + 1):
        hold = wheel[bucket_second % wheel.size]
        while hold >= 0:
            following = holds[hold, HOLD_NEXT]
            if holds[hold, HOLD_EXPIRES_AT] <= second:
                _unlink(holds, wheel, hold)
                holds[hold, HOLD_OVER] = 1
                _count_expired(positions, skus, fences, holds, hold, 1)
                note_change(changed, counters, holds[hold, HOLD_SKU])
            hold = following


@njit("void(int64[:, ::1], int64[:, ::1])", nogil=True, cache=True)
def rehash_holds(hold_slots, wider):
    """Copy every key of `hold_slots` into `wider`, which is empty and has more lines."""
    for old in range(hold_slots.shape[0]):
        if hold_slots[old, 1] != 0:
            slot = _slot_of(wider, hold_slots[old, 0])
            wider[slot, 0] = hold_slots[old, 0]
            wider[slot, 1] = hold_slots[old, 1]
