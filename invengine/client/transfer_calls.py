"""Calls about transfers between locations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TypedDict, Unpack

from google.protobuf import timestamp_pb2

from invengine.client.connection import new_request_id
from invengine.client.stock_calls import StockCalls, as_date
from invengine.v1 import transfer_service_pb2


class TransferWrite(TypedDict, total=False):
    """What every write of a transfer may say; the fields of the request messages."""

    source: str
    request_id: str


class TransferCalls(StockCalls):
    """Calls of TransferService."""

    async def create_transfer(
        self,
        from_location: str,
        to_location: str,
        units: Mapping[str, int],
        *,
        expected_date: date,
        transfer_id: str = "",
        reason: str = "",
        reference: str = "",
        **write: Unpack[TransferWrite],
    ) -> transfer_service_pb2.CreateTransferResponse:
        """Set units (by SKU) aside at one location, to be shipped to another."""
        request = transfer_service_pb2.CreateTransferRequest(
            transfer_id=transfer_id,
            from_location=from_location,
            to_location=to_location,
            lines=[
                transfer_service_pb2.TransferLineRequest(sku=sku, quantity=quantity) for sku, quantity in units.items()
            ],
            expected_date=as_date(expected_date),
            reason=reason,
            reference=reference,
            **self._transfer_write(write),
        )
        return await self._call(self._transfers.CreateTransfer, request)

    async def ship_transfer(
        self,
        transfer_id: str,
        units: Mapping[str, int] | None = None,
        *,
        expected_date: date | None = None,
        expected_revision: int | None = None,
        **write: Unpack[TransferWrite],
    ) -> transfer_service_pb2.ShipTransferResponse:
        """Units left the source: all that are open, or those of `units` by line_id (0: all of that line)."""
        request = transfer_service_pb2.ShipTransferRequest(
            transfer_id=transfer_id,
            lines=[
                transfer_service_pb2.TransferLineUnits(line_id=line_id, quantity=quantity)
                for line_id, quantity in (units or {}).items()
            ],
            expected_date=as_date(expected_date) if expected_date else None,
            expected_revision=expected_revision,
            **self._transfer_write(write),
        )
        return await self._call(self._transfers.ShipTransfer, request)

    async def receive_transfer(
        self,
        transfer_id: str,
        units: Mapping[str, int] | None = None,
        *,
        closes: bool = False,
        reason: str = "",
        occurred_at: timestamp_pb2.Timestamp | None = None,
        **write: Unpack[TransferWrite],
    ) -> transfer_service_pb2.ReceiveTransferResponse:
        """Units arrived: all that are on the way, or those of `units` by SKU; with `closes` the others are lost."""
        request = transfer_service_pb2.ReceiveTransferRequest(
            transfer_id=transfer_id,
            arrivals=[
                transfer_service_pb2.TransferArrival(sku=sku, quantity=quantity)
                for sku, quantity in (units or {}).items()
            ],
            closes=closes,
            reason=reason,
            occurred_at=occurred_at,
            **self._transfer_write(write),
        )
        return await self._call(self._transfers.ReceiveTransfer, request)

    async def cancel_transfer(
        self, transfer_id: str, *, expected_revision: int | None = None, **write: Unpack[TransferWrite]
    ) -> transfer_service_pb2.CancelTransferResponse:
        """What has not left goes back."""
        request = transfer_service_pb2.CancelTransferRequest(
            transfer_id=transfer_id, expected_revision=expected_revision, **self._transfer_write(write)
        )
        return await self._call(self._transfers.CancelTransfer, request)

    async def get_transfer(self, transfer_id: str) -> transfer_service_pb2.GetTransferResponse:
        """One transfer as it is."""
        request = transfer_service_pb2.GetTransferRequest(transfer_id=transfer_id)
        return await self._call(self._transfers.GetTransfer, request)

    async def list_transfers(
        self,
        *,
        location: str = "",
        direction: transfer_service_pb2.ListTransfersRequest.Direction.ValueType = (
            transfer_service_pb2.ListTransfersRequest.DIRECTION_UNSPECIFIED
        ),
        state: transfer_service_pb2.Transfer.State.ValueType = transfer_service_pb2.Transfer.STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
    ) -> transfer_service_pb2.ListTransfersResponse:
        """A page of transfers, by id; all filters that are set must match."""
        request = transfer_service_pb2.ListTransfersRequest(
            location=location, direction=direction, state=state, page_size=page_size, page_token=page_token
        )
        return await self._call(self._transfers.ListTransfers, request)

    def _transfer_write(self, write: TransferWrite) -> TransferWrite:
        return {
            "request_id": write.get("request_id") or new_request_id(),
            "source": write.get("source") or self.channel or "client",
        }
