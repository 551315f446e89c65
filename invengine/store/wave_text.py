"""Plans of waves as they are stored: MessagePack lists, orders in chunks that are compressed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.waves import (
    CommitStart,
    CommittedOrder,
    Fill,
    Missing,
    Mode,
    PlannedLine,
    PlannedOrder,
    PlannedUnits,
    PlanSummary,
    RefusedLine,
    Target,
    WaveLine,
    WaveOrder,
)


def pack_summary(summary: PlanSummary) -> bytes:
    """Of a plan, all but its plan_id and its orders."""
    return _packed(
        [
            summary.fingerprint,
            summary.created_at_ms,
            summary.expires_at_ms,
            int(summary.mode),
            summary.profile,
            summary.orders,
            summary.orders_whole,
            summary.orders_without,
            summary.lines,
            summary.quantity,
            summary.planned,
            summary.worth,
            summary.cost,
            summary.objective,
            summary.bound,
            summary.fills,
            summary.steps,
        ]
    )


def read_summary(plan_id: str, content: bytes) -> PlanSummary:
    """What `pack_summary` made."""
    fingerprint, created_at_ms, expires_at_ms, mode, profile, *numbers, fills, steps = _read(content)
    orders, orders_whole, orders_without, lines, quantity, planned, worth, cost, objective, bound = numbers
    return PlanSummary(
        plan_id,
        fingerprint,
        created_at_ms,
        expires_at_ms,
        Mode(mode),
        profile,
        orders,
        orders_whole,
        orders_without,
        lines,
        quantity,
        planned,
        worth,
        cost,
        objective,
        bound,
        tuple([Fill(*fill) for fill in fills]),
        tuple([tuple(step) for step in steps]),
    )


def pack_orders(orders: Sequence[PlannedOrder]) -> bytes:
    """A chunk of orders."""
    return _packed([_order(one) for one in orders])


def read_orders(content: bytes) -> list[PlannedOrder]:
    """What `pack_orders` made."""
    return [_read_order(one) for one in _read(content)]


def pack_start(start: CommitStart) -> bytes:
    """How a commit was begun."""
    return _packed([start.request_id, int(start.target), start.seconds, start.begun_at_ms])


def read_start(content: bytes) -> CommitStart:
    """What `pack_start` made."""
    request_id, target, seconds, begun_at_ms = _read(content)
    return CommitStart(request_id, Target(target), seconds, begun_at_ms)


def pack_outcomes(outcomes: Mapping[int, CommittedOrder]) -> bytes:
    """What became of orders."""
    return _packed([[place, one.reservation_id, one.units, _refusals(one.refused)] for place, one in outcomes.items()])


def read_outcomes(content: bytes) -> dict[int, CommittedOrder]:
    """What `pack_outcomes` made."""
    return {place: CommittedOrder(name, units, _read_refusals(lines)) for place, name, units, lines in _read(content)}


def _order(one: PlannedOrder) -> list[Any]:
    order = one.order
    return [
        order.order_id,
        order.channel,
        order.priority_class,
        order.all_or_nothing,
        order.customer_ref,
        order.reservation_id,
        [_line(line) for line in one.lines],
    ]


def _line(planned: PlannedLine) -> list[Any]:
    line, to = planned.line, planned.line.destination
    return [
        line.line_id,
        line.sku,
        line.quantity,
        line.worth,
        line.location,
        line.group,
        line.fulfilment.value,
        to.country,
        to.postal_code,
        to.location,
        line.needed_by,
        line.service,
        line.allow_split,
        line.allow_partial,
        line.only_at,
        planned.units,
        int(planned.missing),
    ]


def _read_order(fields: Sequence[Any]) -> PlannedOrder:
    order_id, channel, priority_class, all_or_nothing, customer_ref, reservation_id, stored = fields
    lines = tuple([_read_line(line) for line in stored])
    wanted = tuple([planned.line for planned in lines])
    order = WaveOrder(order_id, channel, priority_class, wanted, all_or_nothing, customer_ref, reservation_id)
    return PlannedOrder(order, lines)


def _read_line(fields: Sequence[Any]) -> PlannedLine:
    line_id, sku, quantity, worth, location, group, fulfilment, country, postal_code, place, *rest = fields
    needed_by, service, allow_split, allow_partial, only_at, units, missing = rest
    line = WaveLine(
        line_id,
        sku,
        quantity,
        worth,
        location,
        group,
        Fulfilment(fulfilment),
        Destination(country, postal_code, place),
        needed_by,
        service,
        allow_split,
        allow_partial,
        tuple(only_at),
    )
    return PlannedLine(line, tuple([PlannedUnits(*part) for part in units]), Missing(missing))


def _refusals(lines: Mapping[int, RefusedLine]) -> list[Any]:
    return [[place, *refused] for place, refused in lines.items()]


def _read_refusals(stored: Sequence[Sequence[Any]]) -> dict[int, RefusedLine]:
    return {place: RefusedLine(*refused) for place, *refused in stored}


def _packed(content: Any) -> bytes:
    packed: bytes = msgpack.packb(content)
    return zlib.compress(packed, 1)


def _read(content: bytes) -> Any:
    return msgpack.unpackb(zlib.decompress(content), strict_map_key=False)
