"""The ages of counts: what time alone changes, where rules for confidence look at them."""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import (
    FIRST_ROW,
    INDEX,
    LOCATION,
    MOMENTS_END,
    NOW,
    ON_HAND,
    PARTS_BITS,
    ROWS,
    RULE,
    RULE_AGE,
    RULE_FEWER,
    RULE_NEXT,
    SAFETY_PARTS,
)

_BLOCK = "int64[:, ::1]"


@njit(f"int64(int64[::1], {_BLOCK}, {_BLOCK}, {_BLOCK}, int64, int64, uint8[::1])", nogil=True, cache=True)
def rules_begun(numbers, positions, skus, selection, after, until, out):
    """Fill `out` with 1 for each SKU that time alone may have changed: a rule for confidence of a usable position of it
    began to hold after the millisecond `after` and not after `until`. Else with 0.

    Returns the first millisecond after NOW at which a rule begins to hold for one of them, 2^63-1 when none does.
      numbers  int64 [n]  of the SKUs, -1 for one that is not known, which has no positions
      out      uint8 [n]
    """
    first_coming = np.int64(MOMENTS_END)
    now = selection[0, NOW] if selection.shape[0] > 0 else np.int64(0)
    for i in range(numbers.size):
        out[i] = 0
        sku = numbers[i]
        if sku < 0:
            continue
        first = skus[sku, FIRST_ROW]
        for row in range(first, first + skus[sku, ROWS]):
            location = positions[row, LOCATION]
            line = 0
            if location < selection.shape[0] and selection[location, INDEX] >= 0:
                line = selection[location, RULE]
            while line > 0:
                age, fewer = selection[line, RULE_AGE], selection[line, RULE_FEWER]
                if age > 0 and (fewer == 0 or positions[row, ON_HAND] < fewer):
                    begins = (positions[row, SAFETY_PARTS] >> PARTS_BITS) + age
                    if after < begins <= until:
                        out[i] = 1
                    if begins > now:
                        first_coming = min(first_coming, begins)
                line = selection[line, RULE_NEXT]
    return first_coming
