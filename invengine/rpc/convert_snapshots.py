"""Answers about snapshots -> wire. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.errors import refusal_to_proto
from invengine.v1 import stock_service_pb2

if TYPE_CHECKING:
    from invengine.services.snapshot_application import Applied


def applied_to_proto(applied: Applied) -> stock_service_pb2.ApplySnapshotResponse:
    """What a snapshot did."""
    response = stock_service_pb2.ApplySnapshotResponse(
        applied=applied.applied,
        ignored=applied.ignored,
        zeroed=applied.zeroed,
        shortfalls=applied.shortfalls,
        repeated=applied.repeated,
        refused=applied.refused,
        fulfilled=applied.fulfilled,
        unknown_orders=applied.unknown_orders,
        unknown_order_refs=applied.unknown_order_refs,
        snapshot_id=applied.snapshot_id,
        consistency_token=applied.consistency_token,
    )
    for row in applied.refused_rows:
        response.refused_rows.add(row=row.place, sku=row.sku, state=row.state, refusal=refusal_to_proto(row.refusal))
    for short in applied.shortfall_positions:
        response.shortfall_positions.add(sku=short.sku, on_hand=short.on_hand, reserved=short.reserved)
    for units in applied.left_open:
        wire = response.left_open.add(
            order_ref=units.order_ref, reservation_id=units.reservation_id, sku=units.sku, quantity=units.quantity
        )
        if units.refusal is not None:
            wire.refusal.CopyFrom(refusal_to_proto(units.refusal))
    return response
