"""From the messages of TransferService to what the store takes: checked, told apart by their content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.incoming import IncomingChange, IncomingKind
from invengine.domain.orders import (
    Candidate,
    Destination,
    Fulfilment,
    LineRequest,
    LineUnits,
    Reservation,
    ReservationChange,
    ReserveRequest,
)
from invengine.errors import InvalidArgument
from invengine.services.days import optional_day, required_day
from invengine.services.kit_lines import LINES_MAX
from invengine.services.reservation_ids import ReservationIds
from invengine.services.reservation_requests import fingerprint
from invengine.services.stock import FUTURE_MS_MAX, REASON_BYTES_MAX
from invengine.services.validation import count_of, expected_revision, milliseconds, optional_text, required_id, units

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.v1 import transfer_service_pb2 as pb

NOT_KNOWN: Final = "is not a SKU of the transfer"


def check_create(message: pb.CreateTransferRequest, ids: ReservationIds) -> ReserveRequest:
    """The transfer that is asked for; InvalidArgument names the field that does not obey the contract."""
    request_id, source = _who(message)
    transfer_id = optional_text("transfer_id", message.transfer_id)
    start = required_id("from_location", message.from_location)
    end = required_id("to_location", message.to_location)
    if start == end:
        raise InvalidArgument("to_location", "is where the units are already")
    count_of("lines", len(message.lines), LINES_MAX)
    day = required_day(message, "expected_date")
    candidates, to = (Candidate(start),), Destination(location=end)
    lines = []
    for place, line in enumerate(message.lines):
        path = f"lines[{place}]"
        lines.append(
            LineRequest(
                optional_text(f"{path}.line_id", line.line_id) or str(place + 1),
                required_id(f"{path}.sku", line.sku),
                units(f"{path}.quantity", line.quantity),
                candidates,
                Fulfilment.TRANSFER,
                to,
                named_location=start,
                expected_day=day,
            )
        )
    _refuse_twice("line_id", [line.line_id for line in lines])
    _refuse_twice("sku", [line.sku for line in lines])
    reason = optional_text("reason", message.reason)
    reference = optional_text("reference", message.reference)
    text = f"transfer\t{transfer_id}\t{start}\t{end}\t{day}\t{reason}\t{reference}\n"
    text += "".join([f"{line.line_id}\t{line.sku}\t{line.quantity}\n" for line in lines])
    return ReserveRequest(
        request_id,
        fingerprint(text),
        transfer_id or ids.derived(source, request_id, lines[0].sku),
        source,
        tuple(lines),
        0,
        order_ref=reference,
        cart_ref=reason,
        is_transfer=True,
    )


def check_ship(message: pb.ShipTransferRequest) -> ReservationChange:
    """The shipment that is asked for."""
    request_id, source = _who(message)
    transfer_id = required_id("transfer_id", message.transfer_id)
    count_of("lines", len(message.lines), LINES_MAX, least=0)
    lines = tuple(
        LineUnits(
            required_id(f"lines[{place}].line_id", line.line_id),
            "",
            units(f"lines[{place}].quantity", line.quantity, least=0),
        )
        for place, line in enumerate(message.lines)
    )
    day = optional_day(message, "expected_date")
    revision = _revision(message)
    text = f"ship\t{transfer_id}\t{day}\t{revision}\n"
    text += "".join([f"{line.line_id}\t{line.quantity}\n" for line in lines])
    return ReservationChange(
        request_id, fingerprint(text), transfer_id, source, revision, lines=lines, expected_day=day
    )


def check_cancel(message: pb.CancelTransferRequest) -> ReservationChange:
    """The cancellation that is asked for."""
    request_id, source = _who(message)
    transfer_id = required_id("transfer_id", message.transfer_id)
    revision = _revision(message)
    return ReservationChange(
        request_id, fingerprint(f"cancel\t{transfer_id}\t{revision}\n"), transfer_id, source, revision
    )


class Arrivals:
    """A request to receive, checked but for the transfer itself."""

    def __init__(self, message: pb.ReceiveTransferRequest, now_ms: int) -> None:
        self.request_id, self.source = _who(message)
        self.transfer_id = required_id("transfer_id", message.transfer_id)
        self.closes = message.closes
        self.reason = optional_text("reason", message.reason, REASON_BYTES_MAX)
        if self.closes and not self.reason:
            raise InvalidArgument("reason", "is required with closes")
        if self.reason and not self.closes:
            raise InvalidArgument("reason", "goes with closes only")
        count_of("arrivals", len(message.arrivals), LINES_MAX, least=0)
        self.units: dict[str, int] = {}
        for place, arrival in enumerate(message.arrivals):
            path = f"arrivals[{place}]"
            sku = required_id(f"{path}.sku", arrival.sku)
            if sku in self.units:
                raise InvalidArgument(f"{path}.sku", f"{sku!r} is that of an earlier arrival")
            self.units[sku] = units(f"{path}.quantity", arrival.quantity, least=0 if self.closes else 1)
        self.occurred_at_ms = now_ms
        if message.HasField("occurred_at"):
            self.occurred_at_ms = milliseconds("occurred_at", message.occurred_at, now_ms + FUTURE_MS_MAX)

    @property
    def takes_all(self) -> bool:
        """Everything that is on the way arrived."""
        return not self.units and not self.closes

    def of(self, transfer: Reservation) -> list[IncomingChange]:
        """What it changes of the receipts of a transfer. InvalidArgument for a SKU that it does not move."""
        skus = [line.sku for line in transfer.lines]
        for place, sku in enumerate(self.units):
            if sku not in skus:
                raise InvalidArgument(f"arrivals[{place}].sku", NOT_KNOWN)
        return [
            IncomingChange(
                self.source,
                f" receive {self.request_id} {line.line_id}",  # no caller's id begins with a space
                IncomingKind.RECEIVE,
                line.sku,
                line.destination.location,
                self.transfer_id,
                self.units.get(line.sku, 0),
                closes=self.closes,
                occurred_at_ms=self.occurred_at_ms,
                of_transfer=True,
                all_there_is=self.takes_all,
                reason=self.reason,
            )
            for line in transfer.lines
            if line.sku in self.units or self.closes or self.takes_all
        ]


def slips_of(change: ReservationChange, shipped: Reservation) -> list[IncomingChange]:
    """The day of a shipment, told to what of its SKUs was on the way before."""
    named = {line.line_id for line in change.lines}
    return [
        IncomingChange(
            change.channel,
            f" ship {change.request_id} {line.line_id}",
            IncomingKind.SLIP,
            line.sku,
            line.destination.location,
            change.reservation_id,
            expected_day=change.expected_day,
        )
        for line in shipped.lines
        if change.expected_day
        and line.expected_day == change.expected_day
        and (not named or line.line_id in named)
        and any(allocation.fulfilled for allocation in line.allocations)
    ]


def _who(
    message: pb.CreateTransferRequest | pb.ShipTransferRequest | pb.ReceiveTransferRequest | pb.CancelTransferRequest,
) -> tuple[str, str]:
    return required_id("request_id", message.request_id), required_id("source", message.source)


def _revision(message: pb.ShipTransferRequest | pb.CancelTransferRequest) -> int | None:
    if message.HasField("expected_revision"):
        return expected_revision("expected_revision", message.expected_revision)
    return None


def _refuse_twice(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            raise InvalidArgument(f"lines[{place}].{field}", f"{name!r} is that of an earlier line")
        seen.add(name)
