"""Domain -> wire for promises that cannot be kept. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.errors import refusal_to_proto
from invengine.services.broken_wire import REASON_NUMBERS
from invengine.services.days import date_or_none
from invengine.v1 import promise_service_pb2

if TYPE_CHECKING:
    from invengine.services.repromise_requests import Outcome
    from invengine.services.repromising import Answer


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
