"""StreamMovements on the wire: bytes in, acknowledgements out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from invengine.errors import MalformedMessage
from invengine.rpc import convert
from invengine.v1 import stock_service_pb2

if TYPE_CHECKING:
    from invengine.rpc.endpoints import Read, Write
    from invengine.services.feeds import Acknowledgement, FeedStream

METHOD: Final = "/invengine.v1.StockService/StreamMovements"


class FeedExchange:
    """One feed on the wire. Decides nothing and catches nothing."""

    def __init__(self, stream: FeedStream) -> None:
        self._stream = stream

    def stop(self) -> None:
        """Reads nothing more; what was taken is acknowledged."""
        self._stream.stop()

    async def serve(self, read: Read, write: Write) -> None:
        """Until everything is acknowledged."""

        async def requests() -> AsyncIterator[stock_service_pb2.StreamMovementsRequest]:
            while (message := await read()) is not None:
                try:
                    yield stock_service_pb2.StreamMovementsRequest.FromString(message)
                except DecodeError:
                    raise MalformedMessage(METHOD) from None

        async def answer(acknowledgement: Acknowledgement) -> None:
            await write(convert.acknowledgement_to_proto(acknowledgement).SerializeToString())

        await self._stream.serve(requests(), answer)
