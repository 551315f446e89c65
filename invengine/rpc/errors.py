"""Refusals on the wire: one table says which status code a reason has; details carry the facts for programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from invengine.errors import (
    DocumentInvalid,
    Exhausted,
    InsufficientStock,
    InvalidArgument,
    InventoryError,
    TransitInvalid,
    Unavailable,
)
from invengine.services.days import date_or_none
from invengine.v1 import common_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

DOMAIN: Final = "invengine"

STATUS_CODES: Final[dict[str, grpc.StatusCode]] = {
    "INVALID_ARGUMENT": grpc.StatusCode.INVALID_ARGUMENT,
    "MALFORMED_MESSAGE": grpc.StatusCode.INVALID_ARGUMENT,
    "REQUEST_MISMATCH": grpc.StatusCode.INVALID_ARGUMENT,
    "NETWORK_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "TRANSIT_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "PROFILE_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "UNKNOWN_SKU": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_LOCATION": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_GROUP": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_CHANNEL": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_SERVICE": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_PROFILE": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_STATE": grpc.StatusCode.NOT_FOUND,
    "POSITION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "RESERVATION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "LINE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "RECEIPT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "TRANSFER_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "RETURN_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "PLAN_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "INSUFFICIENT_STOCK": grpc.StatusCode.FAILED_PRECONDITION,
    "LOCATION_NOT_USABLE": grpc.StatusCode.FAILED_PRECONDITION,
    "CHANNEL_DISABLED": grpc.StatusCode.FAILED_PRECONDITION,
    "GROUP_NOT_USABLE": grpc.StatusCode.FAILED_PRECONDITION,
    "RESERVATION_EXPIRED": grpc.StatusCode.FAILED_PRECONDITION,
    "RESERVATION_CLOSED": grpc.StatusCode.FAILED_PRECONDITION,
    "RESERVATION_CONFIRMED": grpc.StatusCode.FAILED_PRECONDITION,
    "RESERVATION_NOT_CONFIRMED": grpc.StatusCode.FAILED_PRECONDITION,
    "QUANTITY_EXCEEDS_OPEN": grpc.StatusCode.FAILED_PRECONDITION,
    "QUANTITY_EXCEEDS_FULFILLED": grpc.StatusCode.FAILED_PRECONDITION,
    "TIME_TO_LIVE_TOO_LONG": grpc.StatusCode.FAILED_PRECONDITION,
    "QUANTITY_OUT_OF_RANGE": grpc.StatusCode.FAILED_PRECONDITION,
    "COUNT_TOO_OLD": grpc.StatusCode.FAILED_PRECONDITION,
    "TOO_MANY_PARCELS": grpc.StatusCode.FAILED_PRECONDITION,
    "PROMISE_TOO_LATE": grpc.StatusCode.FAILED_PRECONDITION,
    "CAPACITY_EXHAUSTED": grpc.StatusCode.FAILED_PRECONDITION,
    "PROMISE_UNKNOWN": grpc.StatusCode.FAILED_PRECONDITION,
    "DAY_NOT_RECORDED": grpc.StatusCode.FAILED_PRECONDITION,
    "HANDLES_UNKNOWN": grpc.StatusCode.FAILED_PRECONDITION,
    "NO_PLAN": grpc.StatusCode.FAILED_PRECONDITION,
    "TOO_MANY_PROFILES": grpc.StatusCode.FAILED_PRECONDITION,
    "PLAN_STALE": grpc.StatusCode.FAILED_PRECONDITION,
    "TRANSFER_CLOSED": grpc.StatusCode.FAILED_PRECONDITION,
    "OF_TRANSFER": grpc.StatusCode.FAILED_PRECONDITION,
    "NETWORK_MISSING": grpc.StatusCode.FAILED_PRECONDITION,
    "OLDER_COUNT": grpc.StatusCode.FAILED_PRECONDITION,
    "COVERED_BY_COUNT": grpc.StatusCode.FAILED_PRECONDITION,
    "RESERVATION_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "RETURN_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "LINE_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "TRANSFER_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "REVISION_MISMATCH": grpc.StatusCode.ABORTED,
    "OUTCOME_UNKNOWN": grpc.StatusCode.ABORTED,
    "STORE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "REPLICA_BEHIND": grpc.StatusCode.UNAVAILABLE,
    "SHUTTING_DOWN": grpc.StatusCode.UNAVAILABLE,
    "STORE_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "UNAUTHENTICATED": grpc.StatusCode.UNAUTHENTICATED,
    "ROLE_MISSING": grpc.StatusCode.PERMISSION_DENIED,
    "CHANNEL_NOT_ALLOWED": grpc.StatusCode.PERMISSION_DENIED,
    "RATE_LIMITED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "TOKEN_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "TOO_MANY_TOKENS": grpc.StatusCode.FAILED_PRECONDITION,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}

MESSAGE_BYTES_MAX: Final = 400
FACT_BYTES_MAX: Final = 256
LIST_BYTES_MAX: Final = 1200
"""A status travels in trailing metadata, of which peers refuse more than 8 KiB, and much of it stands there twice. Long
texts and lists are cut; the metadata says how many elements there are."""


def caller_was_gone(fault: BaseException | None) -> bool:
    """Whether an answer could not be sent because nobody is there to take it any more."""
    return type(fault).__name__ == "ExecuteBatchError"  # of the inside of gRPC: known by its name only


def code_name(code: grpc.StatusCode) -> str:
    """The code as metrics spell it: `FailedPrecondition`; `OK` and `Canceled` as the dashboards expect them."""
    if code is grpc.StatusCode.OK:
        return "OK"
    if code is grpc.StatusCode.CANCELLED:
        return "Canceled"
    return "".join(word.capitalize() for word in code.name.split("_"))


CODE_NAMES: Final = {reason: code_name(code) for reason, code in STATUS_CODES.items()}
"""What metrics call the code of each reason."""


def refusal_to_proto(refusal: InventoryError) -> common_pb2.Refusal:
    """The refusal as outcomes of batches and streams carry it, whole."""
    return _refusal(refusal, cut=False)


def refusal_to_status(refusal: InventoryError, beside: tuple[tuple[str, str], ...] = ()) -> grpc.Status:
    """The refusal as the status of a call, and what its trailing metadata tell beside."""
    code = STATUS_CODES[refusal.reason]
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=_metadata(refusal))
    ]
    violations = _field_violations(refusal)
    if violations:
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(refusal, Unavailable | Exhausted):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(refusal.retry_after_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    details.append(_refusal(refusal, cut=True))
    status = status_pb2.Status(
        code=getattr(code_pb2, code.name), message=_cut(str(refusal)), details=[_packed(detail) for detail in details]
    )
    converted = rpc_status.to_status(status)
    with_more: grpc.Status = converted._replace(trailing_metadata=(*converted.trailing_metadata, *beside))
    return with_more


def _refusal(refusal: InventoryError, *, cut: bool) -> common_pb2.Refusal:
    message = common_pb2.Refusal(
        reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}"),
        message=_cut(str(refusal)),
        metadata=_metadata(refusal),
    )
    if isinstance(refusal, InsufficientStock):
        room = LIST_BYTES_MAX
        for line in refusal.short_lines:
            short = message.short_lines.add(
                line_id=line.line_id,
                sku=line.sku,
                location=line.location,
                wanted=line.wanted,
                available=line.available,
                next_date=date_or_none(line.next_day),
                component=line.component,
            )
            room -= short.ByteSize()
            if cut and room < 0:
                del message.short_lines[-1]
                break
    return message


def _field_violations(refusal: InventoryError) -> list[error_details_pb2.BadRequest.FieldViolation]:
    if isinstance(refusal, InvalidArgument):
        return [_violation(refusal.field, refusal.problem)]
    if isinstance(refusal, TransitInvalid):
        return [_violation("document", f"{refusal.path}: {refusal.problem}")]
    violations: list[error_details_pb2.BadRequest.FieldViolation] = []
    if isinstance(refusal, DocumentInvalid):
        room = LIST_BYTES_MAX
        for fault in refusal.faults:
            violation = _violation(
                f"document:{fault.line}" if fault.line else "document", f"{fault.path}: {fault.problem}"
            )
            room -= violation.ByteSize()
            if room < 0 and violations:
                break
            violations.append(violation)
    return violations


def _violation(field: str, problem: str) -> error_details_pb2.BadRequest.FieldViolation:
    return error_details_pb2.BadRequest.FieldViolation(field=_cut(field, FACT_BYTES_MAX), description=_cut(problem))


def _metadata(refusal: InventoryError) -> dict[str, str]:
    return {name: _cut(value, FACT_BYTES_MAX) for name, value in refusal.metadata.items()}


def _cut(text: str, bytes_max: int = MESSAGE_BYTES_MAX) -> str:
    if len(text) * 4 <= bytes_max or len(encoded := text.encode()) <= bytes_max:
        return text
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
