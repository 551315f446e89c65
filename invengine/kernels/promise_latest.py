"""The last minute to order for a day: the chain of `promise`, backwards.

Of each step, what comes after it bounds the latest that it may be. `too_late` is the first minute beyond that bound, so
the date is kept by whoever orders before it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.layout import (
    ASKED_DAY,
    ASKED_OPTION,
    ASKED_SOURCE,
    BY_PICKUP,
    BY_SHIPPING,
    FAR,
    ROUTE_BY_ORDER,
    ROUTE_CALENDAR,
    ROUTE_CAPACITY,
    ROUTE_CARRIER,
    ROUTE_CUT_OFF,
    ROUTE_HANDLING,
    ROUTE_KIND,
    ROUTE_OPENING,
    ROUTE_PICKUPS,
    ROUTE_SLOTS,
    ROUTE_STORE,
    ROUTE_STORE_HANDLING,
    ROUTE_TRANSIT,
    SOURCE_ROUTES,
    SOURCE_UNITS,
    SPAN_BEFORE,
    SPAN_DAY,
    SPAN_END,
    SPAN_START,
)

_BLOCK = "int64[:, ::1]"


@njit(nogil=True)
def room_needed(routes, route, units):
    """How much of a day's capacity units take: themselves, or one order."""
    return np.int64(1) if routes[route, ROUTE_BY_ORDER] else units


@njit(nogil=True)
def _last_that_begins_before(days, spans, calendar, day, minute):
    """The last span of the calendar, of `day` or earlier, that begins before `minute`."""
    span = days[calendar, day + 1] - 1
    while spans[span, SPAN_START] >= minute:
        span -= 1
    return span


@njit(nogil=True)
def _worked(spans, span, minute):
    """Working time up to a minute that is not before `span`, nor behind the one after it."""
    return spans[span, SPAN_BEFORE] + min(minute, spans[span, SPAN_END]) - spans[span, SPAN_START]


@njit(nogil=True)
def _latest_store_day(days, spans, calendar, minutes, day, limit):
    """The latest working day of the store, not after `day`, with whose opening `minutes` of handling can begin and be
    over before `limit`; -1 for none within the window.
    """
    span = _last_that_begins_before(days, spans, calendar, day, limit)
    day = spans[span, SPAN_DAY]
    if minutes > 0:
        worked = _worked(spans, span, limit - 1) - minutes
        while day >= 0 and spans[days[calendar, day], SPAN_BEFORE] > worked:
            day = spans[days[calendar, day] - 1, SPAN_DAY]
    return day


@njit(nogil=True)
def _latest_slot(days, routes, route, day):
    """The latest day to be prepared on so that the units arrive by `day`; -1 for none within the window."""
    carrier, transit = routes[route, ROUTE_CARRIER], routes[route, ROUTE_TRANSIT]
    place = days[carrier, day + 1] - max(transit, 1)  # of the day by which they must have left, among the open ones
    if place < 0:
        return np.int64(-1)
    ship = days[carrier + 1, place]
    if transit > 0:
        ship -= 1
    pickups = routes[route, ROUTE_PICKUPS]
    place = days[pickups, ship + 1] - 1
    return days[pickups + 1, place] if place >= 0 else np.int64(-1)


@njit(nogil=True)
def _latest_done(days, spans, routes, route, slot, units):
    """The latest working day for handling to be over so that the slot is on `slot` or before; -1 for none."""
    calendar, slots = routes[route, ROUTE_CALENDAR], routes[route, ROUTE_SLOTS]
    day = spans[days[calendar, slot + 1] - 1, SPAN_DAY]
    if slots < 0:
        return day
    need = room_needed(routes, route, units)
    fits_a_day = need <= routes[route, ROUTE_CAPACITY]
    while day >= 0:
        room = days[slots, day]
        if fits_a_day:
            if room >= need:
                break
        else:
            need -= max(room, 0)
            if need <= 0:
                break
        day = spans[days[calendar, day] - 1, SPAN_DAY]
    return day


@njit(nogil=True)
def too_late(days, spans, routes, route, units, target):
    """The first minute of ordering from which units by this route come after `target`, a day of the window.

    0 when no minute of the window is early enough.
    """
    kind, slot, limit = routes[route, ROUTE_KIND], target, np.int64(FAR)
    if kind != BY_SHIPPING:
        opening = routes[route, ROUTE_OPENING]
        limit = spans[days[opening, target + 1] - 1, SPAN_END]  # ready by that day: prepared before this minute
        if kind == BY_PICKUP:
            calendar = routes[route, ROUTE_CALENDAR]
            slot = spans[_last_that_begins_before(days, spans, calendar, target, limit), SPAN_DAY]
        else:
            store, minutes = routes[route, ROUTE_STORE], routes[route, ROUTE_STORE_HANDLING]
            slot, limit = _latest_store_day(days, spans, store, minutes, target, limit), np.int64(FAR)
    if kind != BY_PICKUP and slot >= 0:
        slot = _latest_slot(days, routes, route, slot)
    if slot < 0:
        return np.int64(0)
    day = _latest_done(days, spans, routes, route, slot, units)
    if day < 0:
        return np.int64(0)
    return _last_minute(days, spans, routes, route, day, limit)


@njit(nogil=True)
def _last_minute(days, spans, routes, route, day, limit):
    """The first minute of ordering from which handling is over after `day`, or not before `limit`."""
    calendar, minutes = routes[route, ROUTE_CALENDAR], routes[route, ROUTE_HANDLING]
    span = _last_that_begins_before(days, spans, calendar, day, limit)
    minute = min(spans[span, SPAN_END], limit)
    if minutes > 0:
        worked = _worked(spans, span, limit - 1) - minutes + 1  # beginning when so much was worked is too late
        if worked <= 0:
            return np.int64(0)
        while spans[span, SPAN_BEFORE] >= worked:
            span -= 1
        minute = spans[span, SPAN_START] + worked - spans[span, SPAN_BEFORE]
    if spans[span, SPAN_DAY] < 0:
        return np.int64(0)
    return min(minute, days[routes[route, ROUTE_CUT_OFF], spans[span, SPAN_DAY]])


@njit(f"void(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, int64[::1])", nogil=True, cache=True)
def latest_orders(first_day, asked, sources, routes, days, spans, out):
    """Fill `out` with the first minute of ordering that is too late for a day, 0 when none is early enough.

    first_day  of the window of the tables, since 1970
    asked      int64 [n, 3]  source, option, day since 1970 within the horizon
    sources    int64 [m, 4]  routes  int64 [r, 16]  days  int64 [lines, D + 2]  spans  int64 [s, 4]
    out        int64 [n]     UTC minutes
    """
    for i in range(asked.shape[0]):
        source = asked[i, ASKED_SOURCE]
        route = sources[source, SOURCE_ROUTES] + asked[i, ASKED_OPTION]
        out[i] = too_late(days, spans, routes, route, sources[source, SOURCE_UNITS], asked[i, ASKED_DAY] - first_day)
