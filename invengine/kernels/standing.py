"""When a customer has units that were promised and are there: the chain of `promise`, for orders that stand already."""

from __future__ import annotations

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
from invengine.kernels.steps import kernel, step

_BLOCK = "int64[:, ::1]"
_CUBE = "int64[:, :, ::1]"


@step
def _date(first_day, last, i, standing, routes, days, spans, answers):
    """Fill the answer of one."""
    route = standing[i, STANDING_ROUTE]
    if routes[route, ROUTE_STATUS] != DATED:
        answers[i, 0, ANSWER_STATUS] = routes[route, ROUTE_STATUS]
        return
    answers[i, 0, ANSWER_STATUS] = BEYOND_HORIZON
    calendar = routes[route, ROUTE_CALENDAR]
    day = local_day(days, routes[route, ROUTE_ZONE], standing[i, STANDING_START])
    if day > last:
        return
    begin, done, span = handled(
        spans, days[calendar, max(day, 0)], standing[i, STANDING_START], routes[route, ROUTE_HANDLING]
    )
    slot, prepared = spans[span, SPAN_DAY], done
    held = standing[i, STANDING_DAY] - first_day
    if routes[route, ROUTE_KIND] == BY_PICKUP:
        prepared = max(prepared, standing[i, STANDING_READY])
    elif held > slot:
        if held > last:
            return
        span = days[calendar, held]
        slot, prepared = spans[span, SPAN_DAY], spans[span, SPAN_START]
    if slot > last:
        return
    answers[i, 0, ANSWER_BEGIN] = begin
    answers[i, 0, ANSWER_DONE] = done
    answers[i, 0, ANSWER_SLOT] = first_day + slot
    deliver(first_day, last, days, spans, routes, route, slot, prepared, answers, i, 0)


@kernel(f"void(int64, int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_CUBE})")
def date_standing(first_day, last_day, standing, routes, days, spans, answers):
    """Fill `answers` with the dates of units that are there, of orders that were accepted.

    first_day  of the window of the tables, since 1970    last_day  of the horizon: no later date is answered
    standing   int64 [n, 4]    routes  int64 [r, 16]    days  int64 [lines, D + 2]    spans  int64 [s, 4]
    answers    int64 [n, 1, 10]   as in `promise.date_sources`
    A cut-off is behind such an order, and capacity it has: what counts is the working time from its start on, and that
    nothing leaves, or can be collected, before it was to.
    """
    last = min(last_day - first_day, days.shape[1] - DAYS_MORE - 1)
    for i in range(standing.shape[0]):
        for column in range(ANSWER_COLUMNS):
            answers[i, 0, column] = 0
        _date(first_day, last, i, standing, routes, days, spans, answers)
