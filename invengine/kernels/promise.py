"""When a customer has the units: the chain from order to delivery on whole days and minutes, forwards and backwards.

    units there -> order accepted (cut-off) -> handled (working time) -> prepared (slot of a day)
    shipped:    -> collected by the carrier -> days of transit -> delivered
    collected:  -> ready within opening hours
    by store:   -> collected by the van -> days of transit -> handled at the store -> ready within opening hours

Everything that knows of calendars and clocks is in the tables (see layout): the loops look up and compare, and read
neither a clock nor a time zone. Each step is later, or the same, when the one before it is later: so the last minute to
order for a day is found by going the same steps backwards, and of several places each can be dated on its own.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.layout import (
    ANSWER_ARRIVAL,
    ANSWER_BEGIN,
    ANSWER_COLUMNS,
    ANSWER_DAY,
    ANSWER_DONE,
    ANSWER_READY,
    ANSWER_SHIP,
    ANSWER_SLOT,
    ANSWER_STATUS,
    ANSWER_STORE_BEGIN,
    ANSWER_STORE_DONE,
    BASKET_FIRST,
    BASKET_LINES,
    BEYOND_HORIZON,
    BY_PICKUP,
    BY_SHIPPING,
    DATED,
    DAYS_MORE,
    LINE_FIRST,
    LINE_SOURCES,
    NEVER,
    NO_SLOT,
    NO_UNITS,
    PROMISE_DAY,
    PROMISE_ORDER_BEFORE,
    PROMISE_READY,
    PROMISE_STATUS,
    ROUTE_CALENDAR,
    ROUTE_CAPACITY,
    ROUTE_CARRIER,
    ROUTE_CUT_OFF,
    ROUTE_FRONT,
    ROUTE_HANDLING,
    ROUTE_KIND,
    ROUTE_OPENING,
    ROUTE_PICKUPS,
    ROUTE_SLOTS,
    ROUTE_STATUS,
    ROUTE_STORE,
    ROUTE_STORE_HANDLING,
    ROUTE_TRANSIT,
    ROUTE_ZONE,
    SOURCE_ROUTES,
    SOURCE_SLOT,
    SOURCE_START,
    SOURCE_UNITS,
    SPAN_BEFORE,
    SPAN_DAY,
    SPAN_END,
    SPAN_START,
)
from invengine.kernels.promise_latest import room_needed, too_late
from invengine.kernels.steps import kernel, part, step

_BLOCK = "int64[:, ::1]"
_CUBE = "int64[:, :, ::1]"
_MINUTES_A_DAY = 1440


@step
def local_day(days, zone, minute):
    """The day on which a minute falls in a time zone: -1 before the window, D behind it."""
    size = days.shape[1] - DAYS_MORE
    day = (minute - days[zone, 0]) // _MINUTES_A_DAY  # clocks go forward and back: one off at most
    if day < 0:
        return np.int64(-1)
    day = min(day, size)
    while days[zone, day] > minute:
        day -= 1
    while day < size and days[zone, day + 1] <= minute:
        day += 1
    return day


@step
def handled(spans, span, begin, minutes):
    """(minute, minute, span) in which `minutes` of working time from `begin` on begin and are over.

    `span` is one that is not after `begin`. What ends with a span is over then, not with the beginning of the next.
    """
    while spans[span, SPAN_END] <= begin:
        span += 1
    begin = max(begin, spans[span, SPAN_START])
    if begin + minutes <= spans[span, SPAN_END]:
        return begin, begin + minutes, span
    wanted = spans[span, SPAN_BEFORE] + begin - spans[span, SPAN_START] + minutes
    while wanted > spans[span, SPAN_BEFORE] + spans[span, SPAN_END] - spans[span, SPAN_START]:
        span += 1
    return begin, spans[span, SPAN_START] + wanted - spans[span, SPAN_BEFORE], span


@step
def _slot(last, days, spans, routes, route, day, units):
    """The first working day from `day` on with room for the units; a day after `last` when there is none until then.

    More than a whole day's capacity takes what is left of one working day after another; the last one is the day.
    """
    calendar, slots = routes[route, ROUTE_CALENDAR], routes[route, ROUTE_SLOTS]
    need = room_needed(routes, route, units)
    fits_a_day = need <= routes[route, ROUTE_CAPACITY]
    while day <= last:
        room = days[slots, day]
        if fits_a_day:
            if room >= need:
                break
        else:
            need -= max(room, 0)
            if need <= 0:
                break
        day = spans[days[calendar, day + 1], SPAN_DAY]
    return day


@step
def _prepared(last, days, spans, routes, route, start, units, held):
    """Up to the slot: (status, minute handling begins, minute it is over, day of the slot, minute it is prepared).

    `held` is a day for which a slot is taken already, -1 for none: it is kept where handling is done by then.
    """
    calendar = routes[route, ROUTE_CALENDAR]
    day = local_day(days, routes[route, ROUTE_ZONE], start)
    if day >= 0 and start < days[routes[route, ROUTE_CUT_OFF], day]:
        span = days[calendar, day]
        begin = max(start, spans[span, SPAN_START])
    else:
        span = days[calendar, day + 1]
        begin = spans[span, SPAN_START]
    begin, done, span = handled(spans, span, begin, routes[route, ROUTE_HANDLING])
    slot = spans[span, SPAN_DAY]
    if slot > last:
        return BEYOND_HORIZON, 0, 0, 0, 0
    prepared = done
    if routes[route, ROUTE_SLOTS] >= 0:
        first = slot
        if first <= held <= last and spans[days[calendar, held], SPAN_DAY] == held:
            slot = held
        else:
            slot = _slot(last, days, spans, routes, route, first, units)
        if slot > last:
            return NO_SLOT, begin, done, 0, 0
        if slot > first:
            prepared = spans[days[calendar, slot], SPAN_START]
    return DATED, begin, done, slot, prepared


@step
def _arrival(days, routes, route, ship):
    """The day after `ship` by which the route's days of transit are over, D when that is behind the window."""
    size = days.shape[1] - DAYS_MORE
    carrier, transit = routes[route, ROUTE_CARRIER], routes[route, ROUTE_TRANSIT]
    place = days[carrier, ship] if transit == 0 else days[carrier, ship + 1] + transit - 1
    return days[carrier + 1, place] if place < size else size


@step
def deliver(first_day, last, days, spans, routes, route, slot, prepared, answers, source, option):
    """Fill what comes after the slot, and the status."""
    answers[source, option, ANSWER_STATUS] = BEYOND_HORIZON
    kind = routes[route, ROUTE_KIND]
    day = slot
    if kind != BY_PICKUP:
        pickups = routes[route, ROUTE_PICKUPS]
        ship = days[pickups + 1, days[pickups, slot]]
        if ship > last:
            return
        answers[source, option, ANSWER_SHIP] = first_day + ship
        day = _arrival(days, routes, route, ship)
        if day > last:
            return
        if kind == BY_SHIPPING:
            answers[source, option, ANSWER_DAY] = first_day + day
            answers[source, option, ANSWER_STATUS] = DATED
            return
        answers[source, option, ANSWER_ARRIVAL] = first_day + day
        span = days[routes[route, ROUTE_STORE], day]
        begin = max(spans[span, SPAN_START], prepared)  # the van that comes the same day brings nothing before it is
        begin, prepared, span = handled(spans, span, begin, routes[route, ROUTE_STORE_HANDLING])
        day = spans[span, SPAN_DAY]
        if day > last:
            return
        answers[source, option, ANSWER_STORE_BEGIN] = begin
        answers[source, option, ANSWER_STORE_DONE] = prepared
    begin, ready, span = handled(spans, days[routes[route, ROUTE_OPENING], day], prepared, 0)
    if spans[span, SPAN_DAY] <= last:
        answers[source, option, ANSWER_READY] = ready
        answers[source, option, ANSWER_DAY] = first_day + spans[span, SPAN_DAY]
        answers[source, option, ANSWER_STATUS] = DATED


@step
def _date_source(first_day, last_day, source, sources, routes, days, spans, answers):
    """Fill the answers of one source for each option."""
    start, units = sources[source, SOURCE_START], sources[source, SOURCE_UNITS]
    held = sources[source, SOURCE_SLOT] - first_day
    last = min(last_day - first_day, days.shape[1] - DAYS_MORE - 1)
    front = np.int64(-1)
    status, begin, done, slot, prepared = BEYOND_HORIZON, 0, 0, 0, 0
    for option in range(answers.shape[1]):
        for column in range(ANSWER_COLUMNS):
            answers[source, option, column] = 0
        route = sources[source, SOURCE_ROUTES] + option
        if routes[route, ROUTE_STATUS] != DATED:
            answers[source, option, ANSWER_STATUS] = routes[route, ROUTE_STATUS]
            continue
        if start >= NEVER:
            answers[source, option, ANSWER_STATUS] = NO_UNITS
            continue
        if routes[route, ROUTE_FRONT] != front:
            front = routes[route, ROUTE_FRONT]
            status, begin, done, slot, prepared = _prepared(last, days, spans, routes, route, start, units, held)
        answers[source, option, ANSWER_BEGIN] = begin
        answers[source, option, ANSWER_DONE] = done
        if status != DATED:
            answers[source, option, ANSWER_STATUS] = status
            continue
        answers[source, option, ANSWER_SLOT] = first_day + slot
        deliver(first_day, last, days, spans, routes, route, slot, prepared, answers, source, option)


@kernel(f"void(int64, int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_CUBE})")
def date_sources(first_day, last_day, sources, routes, days, spans, answers):
    """Fill `answers` with the dates of units from each source, by each option.

    first_day  of the window of the tables, since 1970    last_day  of the horizon: no later date is answered
    sources    int64 [n, 4]      when units are there, how many, their routes
    routes     int64 [r, 16]     days  int64 [lines, D + 2]    spans  int64 [s, 4]
    answers    int64 [n, options, 10]
    """
    for source in range(sources.shape[0]):
        _date_source(first_day, last_day, source, sources, routes, days, spans, answers)


@part
def _earliest(option, first, beyond, answers):
    """The source between `first` and `beyond` with the earliest date, or (-1, the least status)."""
    best, status = -1, NEVER
    for source in range(first, beyond):
        answer = answers[source, option]
        status = min(status, answer[ANSWER_STATUS])
        if answer[ANSWER_STATUS] == DATED and (
            best < 0
            or answer[ANSWER_DAY] < answers[best, option, ANSWER_DAY]
            or (
                answer[ANSWER_DAY] == answers[best, option, ANSWER_DAY]
                and answer[ANSWER_READY] < answers[best, option, ANSWER_READY]
            )
        ):
            best = source
    return best, status


@part
def _combine(first_day, option, first, beyond, lines, sources, routes, days, spans, answers, chosen, promise):
    """Choose the source of each line between `first` and `beyond`, and fill the promise of all of them together."""
    promise[PROMISE_STATUS] = DATED
    promise[PROMISE_DAY] = promise[PROMISE_READY] = promise[PROMISE_ORDER_BEFORE] = 0
    for line in range(first, beyond):
        begin = lines[line, LINE_FIRST]
        best, status = _earliest(option, begin, begin + lines[line, LINE_SOURCES], answers)
        chosen[line, option] = best
        if best >= 0:
            promise[PROMISE_DAY] = max(promise[PROMISE_DAY], answers[best, option, ANSWER_DAY])
            promise[PROMISE_READY] = max(promise[PROMISE_READY], answers[best, option, ANSWER_READY])
        elif promise[PROMISE_STATUS] == DATED:
            promise[PROMISE_STATUS] = NO_UNITS if status == NEVER else status
    if promise[PROMISE_STATUS] != DATED:
        promise[PROMISE_DAY] = promise[PROMISE_READY] = 0
        return
    before = np.int64(NEVER)
    for line in range(first, beyond):
        source = chosen[line, option]
        before = min(
            before,
            too_late(
                days,
                spans,
                routes,
                sources[source, SOURCE_ROUTES] + option,
                sources[source, SOURCE_UNITS],
                promise[PROMISE_DAY] - first_day,
            ),
        )
    promise[PROMISE_ORDER_BEFORE] = before


@kernel(f"void(int64, int64, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_CUBE}, {_BLOCK}, {_CUBE})")
def date_baskets(first_day, last_day, baskets, lines, sources, routes, days, spans, answers, chosen, promises):
    """As `date_sources`, and fill what each basket can be promised by each option.

    baskets   int64 [b, 2]           its lines    lines  int64 [m, 2]  its sources
    chosen    int64 [m, options]     the source of each line with the earliest date, of equal ones the earliest minute
                                     and then the first; -1 where none has a date
    promises  int64 [b, options, 4]  status, the latest day and minute of its lines, and the first minute that is too
                                     late to order for that day from the chosen sources
    """
    for basket in range(baskets.shape[0]):
        first = baskets[basket, BASKET_FIRST]
        beyond = first + baskets[basket, BASKET_LINES]
        for line in range(first, beyond):
            for source in range(lines[line, LINE_FIRST], lines[line, LINE_FIRST] + lines[line, LINE_SOURCES]):
                _date_source(first_day, last_day, source, sources, routes, days, spans, answers)
        for option in range(answers.shape[1]):
            _combine(
                first_day,
                option,
                first,
                beyond,
                lines,
                sources,
                routes,
                days,
                spans,
                answers,
                chosen,
                promises[basket, option],
            )
