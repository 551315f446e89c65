"""Broken promises as messages: the list of them and those who watch tell them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.kept import BreakReason
from invengine.services.days import date_or_none
from invengine.v1 import incoming_service_pb2

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine

REASON_NUMBERS: Final = {reason: number for number, reason in enumerate(BreakReason, 1)}


def broken_line_to_proto(broken: BrokenLine) -> incoming_service_pb2.BrokenPromise:
    """One broken promise, with what was promised to whom."""
    promise = incoming_service_pb2.BrokenPromise(
        reservation_id=broken.reservation_id,
        line_id=broken.line_id,
        sku=broken.sku,
        location=broken.location,
        quantity=broken.quantity,
        receipt_id=broken.receipt_id,
        reason=REASON_NUMBERS[broken.reason],  # type: ignore[arg-type]  # enums are numbers on the wire
        due_date=date_or_none(broken.due_day),
        expected_date=date_or_none(broken.expected_day),
        promised_delivery_date=date_or_none(broken.promised_day),
        new_delivery_date=date_or_none(broken.new_day),
        channel=broken.channel,
        customer_ref=broken.customer_ref,
        order_ref=broken.order_ref,
    )
    if broken.broken_at_ms:
        promise.break_time.FromMilliseconds(broken.broken_at_ms)
    return promise
