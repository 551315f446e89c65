"""Domain -> wire for promises that cannot be kept. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.kept import BreakReason
from invengine.rpc.convert_incoming import timestamp
from invengine.rpc.errors import refusal_to_proto
from invengine.services.days import date_or_none
from invengine.v1 import incoming_service_pb2, promise_service_pb2

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine
    from invengine.services.repromise_requests import Outcome
    from invengine.services.repromising import Answer

REASON_NUMBERS: Final = {reason: number for number, reason in enumerate(BreakReason, 1)}


def broken_line_to_proto(broken: BrokenLine) -> incoming_service_pb2.BrokenPromise:
    """One broken promise."""
    return incoming_service_pb2.BrokenPromise(
        reservation_id=broken.reservation_id,
        line_id=broken.line_id,
        sku=broken.sku,
        location=broken.location,
        quantity=broken.quantity,
        receipt_id=broken.receipt_id,
        reason=REASON_NUMBERS[broken.reason],  # type: ignore[arg-type]  # enums are numbers on the wire
        due_date=date_or_none(broken.due_day),
        expected_date=date_or_none(broken.expected_day),
        break_time=timestamp(broken.broken_at_ms) if broken.broken_at_ms else None,
        promised_delivery_date=date_or_none(broken.promised_day),
        new_delivery_date=date_or_none(broken.new_day),
        channel=broken.channel,
        customer_ref=broken.customer_ref,
        order_ref=broken.order_ref,
    )


def repromised_to_proto(answer: Answer) -> promise_service_pb2.RepromiseResponse:
    """What became of each line."""
    return promise_service_pb2.RepromiseResponse(
        outcomes=map(_outcome, answer.outcomes),
        has_more=answer.has_more,
        consistency_token=answer.consistency_token,
    )


def _outcome(outcome: Outcome) -> promise_service_pb2.RepromiseOutcome:
    return promise_service_pb2.RepromiseOutcome(
        reservation_id=outcome.reservation_id,
        line_id=outcome.line_id,
        sku=outcome.sku,
        quantity=outcome.quantity,
        result=int(outcome.result),  # type: ignore[arg-type]  # enums are numbers on the wire
        reason=REASON_NUMBERS[outcome.reason] if outcome.reason else 0,  # type: ignore[arg-type]
        promised_delivery_date=date_or_none(outcome.promised_day),
        new_delivery_date=date_or_none(outcome.new_day),
        delivery_date=date_or_none(outcome.delivery_day),
        from_locations=outcome.from_locations,
        to_locations=outcome.to_locations,
        refusal=refusal_to_proto(outcome.refusal) if outcome.refusal else None,
    )
