"""What went wrong with a call, as the class of the refusal: the way back from the wire to `invengine.errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import date
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from invengine.domain.days import day_number
from invengine.errors import (
    DocumentInvalid,
    InsufficientStock,
    InventoryError,
    NetworkFault,
    OutcomeUnknown,
    ShortLine,
    Unavailable,
    all_refusals,
)
from invengine.v1 import common_pb2

_STATUS_KEY = "grpc-status-details-bin"


@dataclass(eq=False)
class ServerUnreachable(Unavailable):
    """Nobody answers at the address; nothing was changed by this attempt."""

    server: str
    detail: str = ""

    def __str__(self) -> str:
        return f"no server answers at {self.server} ({self.detail})"


@dataclass(eq=False)
class CallFailed(Exception):
    """A call failed without a refusal of the engine: the gRPC status as it is."""

    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def error_from_refusal(refusal: common_pb2.Refusal) -> InventoryError | CallFailed:
    """The exception behind a refusal that came as part of an answer (an item of a batch)."""
    word = common_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")
    return _error(word, refusal.metadata, refusal.message, refusal.short_lines)


def error_from_call(failure: grpc.aio.AioRpcError, server: str, *, writes: bool) -> InventoryError | CallFailed:
    """The exception behind a failed call; a write that ran out of time is an OutcomeUnknown."""
    details = _details(failure)
    message = failure.details() or ""
    if details.refusal is not None:
        return error_from_refusal(details.refusal)
    if details.info is not None:
        return _error(details.info.reason, details.info.metadata, message)
    if failure.code() is grpc.StatusCode.UNAVAILABLE:
        return ServerUnreachable(server, message)
    if writes and failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return OutcomeUnknown("no answer within the time allowed")
    return CallFailed(failure.code().name, message)


@dataclass
class _Details:
    refusal: common_pb2.Refusal | None = None
    info: error_details_pb2.ErrorInfo | None = None


def _details(failure: grpc.aio.AioRpcError) -> _Details:
    found = _Details()
    for key, value in failure.trailing_metadata() or ():
        if key != _STATUS_KEY:
            continue
        raw = value if isinstance(value, bytes) else value.encode("latin-1")
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Is(common_pb2.Refusal.DESCRIPTOR):
                found.refusal = common_pb2.Refusal()
                detail.Unpack(found.refusal)
            elif detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                found.info = error_details_pb2.ErrorInfo()
                detail.Unpack(found.info)
    return found


def _error(
    word: str,
    metadata: Mapping[str, str],
    message: str,
    short_lines: Sequence[common_pb2.ShortLine] = (),
) -> InventoryError | CallFailed:
    kind = all_refusals().get(word)
    if kind is InsufficientStock and short_lines:
        return InsufficientStock(tuple(_short_line(short) for short in short_lines))
    if kind is not None and issubclass(kind, DocumentInvalid):
        return kind(tuple(_fault(text) for text in message.splitlines()) or (NetworkFault(0, "", message),))
    if kind is None or kind is InsufficientStock:  # a word of a newer server, or numbers left out
        return CallFailed(word, message)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # every concrete refusal is a dataclass
        if field.name in metadata:
            text = metadata[field.name]
            values[field.name] = int(text) if field.type == "int" else text
        elif field.default is MISSING:
            return CallFailed(word, message)
    return kind(**values)


def _short_line(short: common_pb2.ShortLine) -> ShortLine:
    then = short.next_date
    day = day_number(date(then.year, then.month, then.day)) if short.HasField("next_date") else 0
    return ShortLine(short.line_id, short.sku, short.location, short.wanted, short.available, day, short.component)


def _fault(text: str) -> NetworkFault:
    """The fault that a line `line N: path: problem` or `path: problem` tells."""
    head, _, rest = text.partition(": ")
    number = head.removeprefix("line ")
    if head != number and number.isdigit():
        path, _, problem = rest.partition(": ")
        return NetworkFault(int(number), path, problem)
    return NetworkFault(0, head, rest)
