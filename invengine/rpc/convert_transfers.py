"""Domain -> wire for transfers. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from invengine.domain.transfers import TransferState
from invengine.rpc.convert_incoming import timestamp
from invengine.services.days import date_or_none
from invengine.v1 import transfer_service_pb2

if TYPE_CHECKING:
    from invengine.domain.transfers import Transfer

STATE_NUMBERS: Final = {
    TransferState.PLANNED: 1,
    TransferState.PARTLY_SHIPPED: 2,
    TransferState.IN_TRANSIT: 3,
    TransferState.CLOSED: 4,
    TransferState.CANCELLED: 5,
}


def transfer_to_proto(transfer: Transfer) -> transfer_service_pb2.Transfer:
    """A transfer as it is."""
    return transfer_service_pb2.Transfer(
        transfer_id=transfer.transfer_id,
        state=STATE_NUMBERS[transfer.state],  # type: ignore[arg-type]  # enums are numbers on the wire
        from_location=transfer.from_location,
        to_location=transfer.to_location,
        lines=[
            transfer_service_pb2.TransferLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                planned=line.planned,
                shipped=line.shipped,
                cancelled=line.cancelled,
                in_transit=line.in_transit,
                pegged=line.pegged,
                expected_date=date_or_none(line.expected_day),
            )
            for line in transfer.lines
        ],
        source=transfer.source,
        reason=transfer.reason,
        reference=transfer.reference,
        create_time=timestamp(transfer.created_at_ms),
        revision=transfer.revision,
    )
