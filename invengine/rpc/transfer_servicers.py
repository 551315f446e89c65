"""The methods of TransferService, each one a translation: message -> use case -> message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.rpc.convert_incoming import broken_to_proto
from invengine.rpc.convert_transfers import transfer_to_proto
from invengine.v1 import transfer_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.rpc.endpoints import Context
    from invengine.services.transfers import Transfers


class TransferServicer:
    """TransferService on the wire. Decides nothing and catches nothing."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def CreateTransfer(self, request: pb.CreateTransferRequest, _: Context) -> pb.CreateTransferResponse:
        """Units are set aside at the source."""
        transfer, token, replayed = await self._transfers.create(request)
        return pb.CreateTransferResponse(
            transfer=transfer_to_proto(transfer), consistency_token=token, replayed=replayed
        )

    async def GetTransfer(self, request: pb.GetTransferRequest, _: Context) -> pb.GetTransferResponse:
        """One transfer as it is now."""
        transfer, token = await self._transfers.get(request.transfer_id)
        return pb.GetTransferResponse(transfer=transfer_to_proto(transfer), consistency_token=token)

    async def ListTransfers(self, request: pb.ListTransfersRequest, _: Context) -> pb.ListTransfersResponse:
        """A page of transfers."""
        found, next_page_token, token = await self._transfers.list(request)
        return pb.ListTransfersResponse(
            transfers=map(transfer_to_proto, found), next_page_token=next_page_token, consistency_token=token
        )

    async def ShipTransfer(self, request: pb.ShipTransferRequest, _: Context) -> pb.ShipTransferResponse:
        """Units left the source."""
        transfer, broken, token, replayed = await self._transfers.ship(request)
        return pb.ShipTransferResponse(
            transfer=transfer_to_proto(transfer),
            broken_promises=map(broken_to_proto, broken),
            consistency_token=token,
            replayed=replayed,
        )

    async def ReceiveTransfer(self, request: pb.ReceiveTransferRequest, _: Context) -> pb.ReceiveTransferResponse:
        """Units arrived."""
        transfer, broken, token, replayed = await self._transfers.receive(request)
        return pb.ReceiveTransferResponse(
            transfer=transfer_to_proto(transfer),
            broken_promises=map(broken_to_proto, broken),
            consistency_token=token,
            replayed=replayed,
        )

    async def CancelTransfer(self, request: pb.CancelTransferRequest, _: Context) -> pb.CancelTransferResponse:
        """What has not left goes back."""
        transfer, token, replayed = await self._transfers.cancel(request)
        return pb.CancelTransferResponse(
            transfer=transfer_to_proto(transfer), consistency_token=token, replayed=replayed
        )
