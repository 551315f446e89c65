"""A wave as its kernels see it: the caller's blocks, and what is looked up for every option of every line.

Stock is held in pools, a row of N locations each: one for each SKU with what everybody may take, one for each minimum
share with what is kept for a channel, and the last with the units that may still leave the location.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_PLACE,
    OPTION_UNIT_COST,
    PLACE_LOCATION,
    PLACE_PARCEL_COST,
    WAVE_LINE_OPTIONS,
    WAVE_LINE_SKU,
    WAVE_ORDER_CHANNEL,
    WAVE_ORDER_FIRST_PLACE,
    WAVE_ORDER_LINES,
    WAVE_ORDER_PLACES,
)
from invengine.kernels.steps import part

FAR_COST = 2**60  # stands for "cannot be"; no plan costs as much
COSTS_MAX = 2.0**50  # what all costs and all worth of a wave together must stay below
UNITS_OF_SKU_MAX = 2.0**29  # likewise all units of one SKU that are wanted
PLENTY = 2**53  # units that a location without a limit may send
SETS_LINES = 7  # lines of an order for which all sets are gone through

# columns of `at`, by option
AT_SKU = 0  # its pool
AT_KEPT = 1  # the pool kept for the order's channel, -1 for none
AT_LOCATION = 2
AT_LOCAL = 3  # which of the order's places
AT_LINE = 4
AT_COLUMNS = 5
# columns of `now`, by line
NOW_WANTED = 0  # units that it may have
NOW_WORTH = 1  # what each of them is worth
NOW_ORDER = 2
NOW_COLUMNS = 3

# O orders, L lines, P places, R options, W pools, N locations; int64
#   orders, lines, places, options  the caller's, see layout     at [R, AT_COLUMNS]     now [L, NOW_COLUMNS]
Wave = namedtuple("Wave", "orders lines places options at now")

# Room to work in on one order of up to m lines and j places:
#   cost [j, m] of a line at a place     skip [m] what it costs to leave a line out     line [m] which line
#   parcel [j]     best, here [sets]     served [j, sets]     choice [m] place of a line, -1     open [j]
#   before [m * j] units that the order had, by option
Room = namedtuple("Room", "cost skip line parcel best here served choice open before")

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"
WAVE_TYPES = ", ".join([_BLOCK] * 6)  # of the fields, in signatures
ROOM_TYPES = ", ".join([_BLOCK, _ROW, _ROW, _ROW, _ROW, _ROW, _BLOCK, _ROW, _ROW, _ROW])


def lay_out(
    orders: np.ndarray,
    lines: np.ndarray,
    places: np.ndarray,
    options: np.ndarray,
    shares: np.ndarray,
    wanted: np.ndarray,
    worth: np.ndarray,
) -> Wave:
    """The wave with what is looked up for each option; the pools kept for channels are numbered as in `shares`."""
    row_of = np.where(shares > 0, np.cumsum(shares > 0).reshape(shares.shape) - 1 + shares.shape[1], -1)
    now = np.empty((len(lines), NOW_COLUMNS), np.int64)
    now[:, NOW_WANTED], now[:, NOW_WORTH] = wanted, worth
    now[:, NOW_ORDER] = np.repeat(np.arange(len(orders)), orders[:, WAVE_ORDER_LINES])
    at = np.empty((len(options), AT_COLUMNS), np.int64)
    at[:, AT_LINE] = line = np.repeat(np.arange(len(lines)), lines[:, WAVE_LINE_OPTIONS])
    order = now[line, NOW_ORDER]
    at[:, AT_SKU] = lines[line, WAVE_LINE_SKU]
    at[:, AT_KEPT] = row_of[orders[order, WAVE_ORDER_CHANNEL], at[:, AT_SKU]]
    at[:, AT_LOCATION] = places[options[:, OPTION_PLACE], PLACE_LOCATION]
    at[:, AT_LOCAL] = options[:, OPTION_PLACE] - orders[order, WAVE_ORDER_FIRST_PLACE]
    return Wave(orders, lines, places, options, at, now)


def make_room(orders: np.ndarray) -> Room:
    """Room for the largest order."""
    lines = int(orders[:, WAVE_ORDER_LINES].max(initial=1))
    places = int(orders[:, WAVE_ORDER_PLACES].max(initial=1))
    sets = 1 << min(lines, SETS_LINES)
    shapes = [(places, lines), (lines,), (lines,), (places,), (sets,), (sets,), (places, sets), (lines,), (places,)]
    return Room(*(np.empty(shape, np.int64) for shape in [*shapes, (places * lines,)]))


def with_wanted(wave: Wave, wanted: np.ndarray) -> Wave:
    """The same wave whose lines want other units."""
    now = wave.now.copy()
    now[:, NOW_WANTED] = wanted
    return Wave(wave.orders, wave.lines, wave.places, wave.options, wave.at, now)


def is_too_large(wave: Wave, whole_price: float) -> bool:
    """Whether costs, or units times units of one SKU, could leave int64; a unit may count as the whole price too."""
    wanted, worth = (wave.now[:, column].astype(float) for column in (NOW_WANTED, NOW_WORTH))
    once = wave.options[:, OPTION_LINE_COST].astype(float)
    parcels = wave.places[:, PLACE_PARCEL_COST].astype(float)
    dearest = (wave.options[:, OPTION_UNIT_COST] + once).max(initial=0.0) + parcels.max(initial=0.0)
    worst = (wanted * (np.maximum(worth, whole_price) + 8 * dearest)).sum() + once.sum() + parcels.sum()
    of_sku = np.bincount(wave.lines[:, WAVE_LINE_SKU], weights=wanted)
    return bool(worst >= COSTS_MAX or of_sku.max(initial=0.0) >= UNITS_OF_SKU_MAX)


@part
def units_left(at, left, r):
    """Units that can be taken by an option: of everybody's and of those kept for its channel."""
    n = at[r, AT_LOCATION]
    units = left[at[r, AT_SKU], n]
    if at[r, AT_KEPT] >= 0:
        units += left[at[r, AT_KEPT], n]
    return min(units, left[left.shape[0] - 1, n])


@part
def take(at, left, beyond, r, units):
    """Take units by an option, or give them back (less than 0); units kept for the channel are taken first.

    beyond [W, N]: of a pool kept for a channel, what the channel took from everybody's besides: given back first.
    """
    n, own = at[r, AT_LOCATION], at[r, AT_KEPT]
    left[left.shape[0] - 1, n] -= units
    if own < 0:
        left[at[r, AT_SKU], n] -= units
        return
    more = max(units - left[own, n], 0) if units > 0 else -min(-units, beyond[own, n])
    beyond[own, n] += more
    left[at[r, AT_SKU], n] -= more
    left[own, n] -= units - more
