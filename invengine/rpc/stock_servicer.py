"""StockService on the wire: message -> use case -> message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from invengine.rpc import convert, convert_pages, convert_snapshots
from invengine.rpc.endpoints import Context, Exchange, exchanges
from invengine.rpc.feeds import FeedExchange
from invengine.v1 import stock_service_pb2

if TYPE_CHECKING:
    from invengine.services.feeds import Feeds
    from invengine.services.ledgers import Ledgers
    from invengine.services.position_pages import PositionPages
    from invengine.services.positions import Positions
    from invengine.services.snapshots import Snapshots
    from invengine.services.stock import Stock


class StockServicer:
    """StockService on the wire. Decides nothing and catches nothing."""

    def __init__(
        self,
        stock: Stock,
        positions: Positions,
        pages: PositionPages,
        ledgers: Ledgers,
        *,
        feeds: Feeds,
        snapshots: Snapshots,
    ) -> None:
        self._stock = stock
        self._feeds = feeds
        self._positions = positions
        self._pages = pages
        self._ledgers = ledgers
        self._snapshots = snapshots

    async def PostMovements(
        self, request: stock_service_pb2.PostMovementsRequest, _: Context
    ) -> stock_service_pb2.PostMovementsResponse:
        """Movements in, one outcome each."""
        outcomes, token = await self._stock.post(request.request_id, request.movements)
        return convert.movement_outcomes(outcomes, token)

    async def ApplySnapshot(
        self, requests: AsyncIterator[stock_service_pb2.ApplySnapshotRequest], _: Context
    ) -> stock_service_pb2.ApplySnapshotResponse:
        """What a location had at an instant."""
        return convert_snapshots.applied_to_proto(await self._snapshots.apply(requests))

    @exchanges
    def StreamMovements(self, _: Context) -> Exchange:
        """A feed, acknowledged in order."""
        return FeedExchange(self._feeds.open())

    async def ListFeeds(
        self, request: stock_service_pb2.ListFeedsRequest, _: Context
    ) -> stock_service_pb2.ListFeedsResponse:
        """A page of feeds, and how far each is."""
        feeds, next_page_token = await self._feeds.page(request)
        return stock_service_pb2.ListFeedsResponse(
            feeds=map(convert.feed_to_proto, feeds), next_page_token=next_page_token
        )

    async def GetPosition(
        self, request: stock_service_pb2.GetPositionRequest, context: Context
    ) -> stock_service_pb2.GetPositionResponse:
        """One position as it is now."""
        found = await self._positions.get(request, context.time_remaining())
        return convert.position_to_proto(found, self._stock.today())

    async def ListMovements(
        self, request: stock_service_pb2.ListMovementsRequest, _: Context
    ) -> stock_service_pb2.ListMovementsResponse:
        """A page of a SKU's ledger."""
        return convert_pages.ledger_page(await self._ledgers.page(request))

    async def ListPositions(
        self, request: stock_service_pb2.ListPositionsRequest, context: Context
    ) -> stock_service_pb2.ListPositionsResponse:
        """A page of all positions."""
        page = await self._pages.page(request, context.time_remaining())
        return convert_pages.position_page(page, self._stock.today())

    async def ExportMovements(
        self, request: stock_service_pb2.ExportMovementsRequest, _: Context
    ) -> stock_service_pb2.ExportMovementsResponse:
        """A part of the ledger of all SKUs."""
        page = await self._ledgers.export(request)
        return convert_pages.export_page(page, self._ledgers.token(page.reached), self._ledgers.token(page.until))
