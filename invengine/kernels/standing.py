"""When a customer has units that were promised and are there: the chain of `promise`, for orders that stand already."""

from __future__ import annotations

from numba import njit

from invengine.kernels.layout import (
    ANSWER_BEGIN,
    ANSWER_COLUMNS,
    ANSWER_DONE,
    ANSWER_SLOT,
    ANSWER_STATUS,
    BEYOND_HORIZON,
    BY_PICKUP,
    DATED,
    DAYS_MORE,
    ROUTE_CALENDAR,
    ROUTE_HANDLING,
    ROUTE_KIND,
    ROUTE_STATUS,
    ROUTE_ZONE,
    SPAN_DAY,
    SPAN_START,
    STANDING_DAY,
    STANDING_READY,
    STANDING_ROUTE,
    STANDING_START,
)
from invengine.kernels.promise import deliver, handled, local_day

_BLOCK = "int64[:, ::1]"


@njit(nogil=True)
def _date(first_day, last, standing, routes, days, spans, answer):
    """Fill the answer of one."""
    route = standing[STANDING_ROUTE]
    if routes[route, ROUTE_STATUS] != DATED:
        answer[ANSWER_STATUS] = routes[route, ROUTE_STATUS]
        return
    answer[ANSWER_STATUS] = BEYOND_HORIZON
    calendar = routes[route, ROUTE_CALENDAR]
    day = local_day(days, routes[route, ROUTE_ZONE], standing[STANDING_START])
    if day > last:
        return
    begin, done, span = handled(
        spans, days[calendar, max(day, 0)], standing[STANDING_START], routes[route, ROUTE_HANDLING]
    )
    slot, prepared = spans[span, SPAN_DAY], done
    held = standing[STANDING_DAY] - first_day
    if routes[route, ROUTE_KIND] == BY_PICKUP:
        prepared = max(prepared, standing[STANDING_READY])
    elif held > slot:
        if held > last:
            return
        span = days[calendar, held]
        slot, prepared = spans[span, SPAN_DAY], spans[span, SPAN_START]
    if slot > last:
        return
    answer[ANSWER_BEGIN] = begin
    answer[ANSWER_DONE] = done
    answer[ANSWER_SLOT] = first_day + slot
    deliver(first_day, last, days, spans, routes, route, slot, prepared, answer)


@njit(f"void(int64, int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK})", nogil=True, cache=True)
def date_standing(first_day, last_day, standing, routes, days, spans, answers):
    """Fill `answers` with the dates of units that are there, of orders that were accepted.

    first_day  of the window of the tables, since 1970    last_day  of the horizon: no later date is answered
    standing   int64 [n, 4]    routes  int64 [r, 16]    days  int64 [lines, D + 2]    spans  int64 [s, 4]
    answers    int64 [n, 10]   as in `promise.date_sources`
    A cut-off is behind such an order, and capacity it has: what counts is the working time from its start on, and that
    nothing leaves, or can be collected, before it was to.
    """
    last = min(last_day - first_day, days.shape[1] - DAYS_MORE - 1)
    for i in range(standing.shape[0]):
        for column in range(ANSWER_COLUMNS):
            answers[i, column] = 0
        _date(first_day, last, standing[i], routes, days, spans, answers[i])
