"""Ring-fences: units of a position that are kept for one channel, chained behind the position that has any.

A line of `fences` is found by walking the chain of its position, which has a line per channel: few. It stays while it
has units, while holds that are over have units to give back to it, and while holds that may end refer to it.
"""

from __future__ import annotations

from numba import njit

from invengine.kernels.layout import (
    FENCE_CHANNEL,
    FENCE_FREE,
    FENCE_HOLDS,
    FENCE_NEXT,
    FENCE_OVER,
    FENCE_SLOTS,
    FENCE_UNITS,
    FENCES,
    TOTAL_MAX,
)


@njit(nogil=True)
def fence_of(positions, fences, row, channel):
    """The line of a channel's ring-fence at the position in `row`, -1 when there is none."""
    line = positions[row, FENCES] - 1
    while line >= 0 and fences[line, FENCE_CHANNEL] != channel:
        line = fences[line, FENCE_NEXT] - 1
    return line


@njit(nogil=True)
def make_fence(positions, fences, counters, row, channel):
    """The line of a channel's ring-fence, an empty one when it is new; -1 when `fences` has no room for it."""
    line = fence_of(positions, fences, row, channel)
    if line >= 0:
        return line
    line = counters[FENCE_FREE] - 1
    if line >= 0:
        counters[FENCE_FREE] = fences[line, FENCE_NEXT]
    else:
        line = counters[FENCE_SLOTS]
        if line == fences.shape[0]:
            return -1
        counters[FENCE_SLOTS] = line + 1
    fences[line, FENCE_CHANNEL] = channel
    fences[line, FENCE_UNITS] = 0
    fences[line, FENCE_OVER] = 0
    fences[line, FENCE_HOLDS] = 0
    fences[line, FENCE_NEXT] = positions[row, FENCES]
    positions[row, FENCES] = line + 1
    return line


@njit(nogil=True)
def drop_fences(positions, fences, counters, row):
    """Take the lines out of the position's chain that have nothing to say any more."""
    before = -1
    line = positions[row, FENCES] - 1
    while line >= 0:
        following = fences[line, FENCE_NEXT]
        if fences[line, FENCE_UNITS] == 0 and fences[line, FENCE_HOLDS] == 0:  # what is over is of a hold
            if before < 0:
                positions[row, FENCES] = following
            else:
                fences[before, FENCE_NEXT] = following
            fences[line, FENCE_NEXT] = counters[FENCE_FREE]
            counters[FENCE_FREE] = line + 1
        else:
            before = line
        line = following - 1


@njit(nogil=True)
def clear_fences(positions, fences, row):
    """Let every ring-fence of the position have 0 units: those that it still has are set next."""
    line = positions[row, FENCES] - 1
    while line >= 0:
        fences[line, FENCE_UNITS] = 0
        line = fences[line, FENCE_NEXT] - 1


@njit(nogil=True)
def fenced_units(positions, fences, row, channel):
    """(units in the ring-fences of other channels, units in the channel's own), holds that are over given back.

    The sum of the others stops at 2^62 instead of wrapping.
    """
    others = own = 0
    line = positions[row, FENCES] - 1
    while line >= 0:
        units = fences[line, FENCE_UNITS] + fences[line, FENCE_OVER]
        if fences[line, FENCE_CHANNEL] == channel:
            own = units
        else:
            others = min(others + units, TOTAL_MAX)
        line = fences[line, FENCE_NEXT] - 1
    return others, own
