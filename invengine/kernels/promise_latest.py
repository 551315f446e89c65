"""The last minute to order for a day: the chain of `promise`, backwards.

Of each step, what comes after it bounds the latest that it may be. `too_late` is the first minute beyond that bound, so
the date is kept by whoever orders before it.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.layout import (
    ASKED_DAY,
    ASKED_OPTION,
    ASKED_SOURCE,
    BY_PICKUP,
    BY_SHIPPING,
    BY_STORE,
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
from invengine.kernels.steps import kernel, part

_BLOCK = "int64[:, ::1]"


@part
def room_needed(routes, route, units):
    """How much of a day's capacity units take: themselves, or one order."""
    return np.int64(1) if routes[route, ROUTE_BY_ORDER] else units


@part
def _last_that_begins_before(days, spans, calendar, day, minute):
    """The last span of the calendar, of `day` or earlier, that begins before `minute`."""
    span = days[calendar, day + 1] - 1
    while spans[span, SPAN_START] >= minute:
        span -= 1
    return span


@part
def _too_late_to_begin(days, spans, calendar, day, limit, minutes):
    """(minute, day): the first minute for handling to begin from which it is over after `day`, or not before `limit`;
    the day is that of the span in or with which the minute before it lies. (0, -1): none of the window is early enough.
    """
    span = _last_that_begins_before(days, spans, calendar, day, limit)
    minute = min(spans[span, SPAN_END], limit)
    if minutes > 0:
        worked = spans[span, SPAN_BEFORE] + min(limit - 1, minute) - spans[span, SPAN_START]
        worked -= minutes - 1  # to begin when so much is worked is one minute too late
        if worked <= 0:
            return np.int64(0), np.int64(-1)
        while spans[span, SPAN_BEFORE] >= worked:
            span -= 1
        minute = spans[span, SPAN_START] + worked - spans[span, SPAN_BEFORE]
    if spans[span, SPAN_DAY] < 0:
        return np.int64(0), np.int64(-1)
    return minute, spans[span, SPAN_DAY]


@part
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


@part
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


@part
def too_late(days, spans, routes, route, units, target):
    """The first minute of ordering from which units by this route come after `target`, a day of the window.

    0 when no minute of the window is early enough.
    """
    kind, calendar = routes[route, ROUTE_KIND], routes[route, ROUTE_CALENDAR]
    slot, limit = target, np.int64(FAR)  # prepared on that day or before, and before that minute
    if kind != BY_SHIPPING:
        opening = routes[route, ROUTE_OPENING]
        limit = spans[days[opening, target + 1] - 1, SPAN_END]
    if kind == BY_STORE:
        store = routes[route, ROUTE_STORE]
        limit, slot = _too_late_to_begin(days, spans, store, target, limit, routes[route, ROUTE_STORE_HANDLING])
    if kind != BY_PICKUP and slot >= 0:
        slot = _latest_slot(days, routes, route, slot)
    if slot >= 0:
        slot = spans[_last_that_begins_before(days, spans, calendar, slot, limit), SPAN_DAY]
    if slot >= 0:
        slot = _latest_done(days, spans, routes, route, slot, units)
    if slot < 0:
        return np.int64(0)
    minute, day = _too_late_to_begin(days, spans, calendar, slot, limit, routes[route, ROUTE_HANDLING])
    return min(minute, days[routes[route, ROUTE_CUT_OFF], day]) if day >= 0 else minute


@kernel(f"void(int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, int64[::1])")
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
