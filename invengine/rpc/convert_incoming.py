"""Domain -> wire for receipts, promises and instants. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import timestamp_pb2

from invengine.domain.incoming import SECONDS_OF_DAY, BrokenPromise, Receipt, effective_day
from invengine.domain.kept import BreakReason, BrokenLine
from invengine.services.broken_wire import REASON_NUMBERS, broken_line_to_proto
from invengine.services.days import date_or_none
from invengine.v1 import incoming_service_pb2

if TYPE_CHECKING:
    from collections.abc import Container

    from invengine.domain.incoming import IncomingOutcome


def timestamp(milliseconds: int) -> timestamp_pb2.Timestamp:
    """An instant of milliseconds since 1970."""
    seconds, rest = divmod(milliseconds, 1000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def receipt_to_proto(receipt: Receipt, today: int, stopping: Container[str]) -> incoming_service_pb2.Receipt:
    """A receipt as it is; `today` says whether it is overdue, `stopping` where such do not count."""
    stops = receipt.location in stopping
    day = effective_day(receipt.expected_day, today * SECONDS_OF_DAY * 1000, overdue_stops=stops)
    return incoming_service_pb2.Receipt(
        receipt_id=receipt.receipt_id,
        sku=receipt.sku,
        location=receipt.location,
        quantity=receipt.quantity,
        pegged=receipt.pegged,
        expected_date=date_or_none(receipt.expected_day),
        overdue=receipt.expected_day < today,
        revision=receipt.revision,
        from_location=receipt.from_location,
        effective_date=date_or_none(day),
    )


def broken_to_proto(broken: BrokenPromise | BrokenLine) -> incoming_service_pb2.BrokenPromise:
    """One broken promise, with what was promised to whom where that is known."""
    if isinstance(broken, BrokenLine):
        return broken_line_to_proto(broken)
    return incoming_service_pb2.BrokenPromise(
        reservation_id=broken.reservation_id,
        line_id=broken.line_id,
        sku=broken.sku,
        location=broken.location,
        quantity=broken.quantity,
        receipt_id=broken.receipt_id,
        reason=REASON_NUMBERS[BreakReason(broken.reason)],  # type: ignore[arg-type]  # enums are numbers on the wire
        due_date=date_or_none(broken.due_day),
        expected_date=date_or_none(broken.expected_day),
        break_time=timestamp(broken.broken_at_ms),
    )


def change_to_proto(outcome: IncomingOutcome, consistency_token: str) -> dict[str, Any]:
    """What the answers to all changes of the schedule have."""
    return {
        "broken_promises": [broken_to_proto(broken) for broken in outcome.broken],
        "consistency_token": consistency_token,
        "replayed": outcome.replayed,
    }
