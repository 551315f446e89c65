"""Calls about stock: movements, positions, what is expected, promises that cannot be kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from datetime import date
from typing import Final, TypedDict, Unpack

from google.protobuf import timestamp_pb2

from invengine.client.connection import Connection, new_request_id
from invengine.client.feeding import BATCH, PATIENCE_SECONDS, UNACKNOWLEDGED_MAX, FeedAck, Feeding, FeedSource
from invengine.client.refusals import CallFailed
from invengine.v1 import common_pb2, incoming_service_pb2, stock_service_pb2

Movement = stock_service_pb2.Movement
SnapshotRow = stock_service_pb2.SnapshotRow

SNAPSHOT_ROWS_PER_MESSAGE: Final = 5_000
_EXPORT_PAGE: Final = 2000


class IncomingChange(TypedDict, total=False):
    """What every change of the schedule may say; the fields of the request messages."""

    source: str
    request_id: str
    expected_revision: int | None


class LedgerFilter(TypedDict, total=False):
    """Which part of a ledger; the fields of ListMovementsRequest."""

    location: str
    page_size: int
    page_token: str
    since: timestamp_pb2.Timestamp | None
    until: timestamp_pb2.Timestamp | None
    kinds: Sequence[str]
    actor: str


def as_date(day: date) -> common_pb2.Date:
    """A day as the API says it."""
    return common_pb2.Date(year=day.year, month=day.month, day=day.day)


class _SnapshotParts:
    """The messages of a snapshot; a call that is repeated sends them anew."""

    def __init__(
        self, header: stock_service_pb2.ApplySnapshotRequest, rows: Sequence[SnapshotRow], order_refs: Sequence[str]
    ) -> None:
        self.request_id = header.request_id  # it is a write: no answer means that its outcome is not known
        self._header = header
        self._rows = rows
        self._order_refs = order_refs

    def __iter__(self) -> Iterator[stock_service_pb2.ApplySnapshotRequest]:
        first = stock_service_pb2.ApplySnapshotRequest(contains_order_refs=self._order_refs, row_count=len(self._rows))
        first.MergeFrom(self._header)
        yield first
        for start in range(0, len(self._rows), SNAPSHOT_ROWS_PER_MESSAGE):
            rows = self._rows[start : start + SNAPSHOT_ROWS_PER_MESSAGE]
            yield stock_service_pb2.ApplySnapshotRequest(rows=rows)


class StockCalls(Connection):
    """Calls of StockService, IncomingService and PromiseService."""

    # Stock

    async def post_movements(
        self, movements: Iterable[Movement], *, request_id: str = ""
    ) -> stock_service_pb2.PostMovementsResponse:
        """Up to 5,000 movements, one outcome each, in order."""
        request = stock_service_pb2.PostMovementsRequest(request_id=request_id or new_request_id(), movements=movements)
        return await self._call(self._stock.PostMovements, request)

    async def apply_snapshot(
        self,
        location: str,
        rows: Iterable[SnapshotRow],
        *,
        as_of: timestamp_pb2.Timestamp,
        source: str = "",
        snapshot_id: str = "",
        contains_order_refs: Iterable[str] = (),
        partial: bool = False,
    ) -> stock_service_pb2.ApplySnapshotResponse:
        """What a location had at an instant. Large ones take a while: the client's `timeout_seconds` bounds the call.

        Sent again with the same source and snapshot_id (empty: as_of stands for it) it goes on where it was cut off.
        """
        header = stock_service_pb2.ApplySnapshotRequest(
            source=source or self.channel or "client",
            snapshot_id=snapshot_id,
            location=location,
            as_of=as_of,
            partial=partial,
        )
        return await self._call(
            self._stock.ApplySnapshot, _SnapshotParts(header, list(rows), list(contains_order_refs))
        )

    async def feed(
        self,
        movements: FeedSource,
        *,
        name: str = "",
        batch: int = BATCH,
        unacknowledged_max: int = UNACKNOWLEDGED_MAX,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncGenerator[FeedAck, None]:
        """Streams movements, each with an event_id, and yields what became of them, request by request, in order.

        Items are movements, or (position, movement). A server that goes away is waited for, until nothing was
        acknowledged for `patience_seconds`; then what was not acknowledged is sent again. With a `name` the engine
        keeps the position of the last acknowledged movement: items up to there are passed over, so a feeder that
        starts anew simply begins at its beginning, or asks `feed_position` and goes on from there.
        """
        feeding = Feeding(
            self._stock.StreamMovements,
            self.server,
            movements,
            name=name,
            batch=batch,
            unacknowledged_max=unacknowledged_max,
            patience_seconds=patience_seconds,
        )
        acknowledgements = feeding.run()
        try:
            async for acknowledged in acknowledgements:
                yield acknowledged
        finally:
            await acknowledgements.aclose()

    async def feed_position(self, name: str) -> stock_service_pb2.Feed:
        """How far the feed of this name is; position 0 where nothing of it was ever acknowledged."""
        request = stock_service_pb2.StreamMovementsRequest(feed=name)

        async def asked(
            question: stock_service_pb2.StreamMovementsRequest,
            timeout: float,  # noqa: ASYNC109  # as every method of a stub takes it
        ) -> stock_service_pb2.Feed:
            call = self._stock.StreamMovements(timeout=timeout)
            try:
                await call.write(question)
                answer = await call.read()
            finally:
                call.cancel()
            if not isinstance(answer, stock_service_pb2.StreamMovementsResponse):
                raise CallFailed("UNKNOWN", "the stream ended without an answer")
            return answer.feed

        return await self._call(asked, request)

    async def list_feeds(self, *, page_size: int = 0, page_token: str = "") -> stock_service_pb2.ListFeedsResponse:
        """A page of the feeds that have a name, by name."""
        request = stock_service_pb2.ListFeedsRequest(page_size=page_size, page_token=page_token)
        return await self._call(self._stock.ListFeeds, request)

    async def get_position(
        self, sku: str, location: str, *, consistency: common_pb2.Consistency | None = None
    ) -> stock_service_pb2.GetPositionResponse:
        """One position as it is."""
        request = stock_service_pb2.GetPositionRequest(sku=sku, location=location, consistency=consistency)
        return await self._call(self._stock.GetPosition, request)

    async def list_movements(self, sku: str, **which: Unpack[LedgerFilter]) -> stock_service_pb2.ListMovementsResponse:
        """A page of the ledger of a SKU, newest first; all filters that are set must match."""
        request = stock_service_pb2.ListMovementsRequest(sku=sku, **which)
        return await self._call(self._stock.ListMovements, request)

    async def list_positions(
        self,
        *,
        sku_prefix: str = "",
        location: str = "",
        page_size: int = 0,
        page_token: str = "",
        consistency: common_pb2.Consistency | None = None,
    ) -> stock_service_pb2.ListPositionsResponse:
        """A page of all positions; all filters that are set must match."""
        request = stock_service_pb2.ListPositionsRequest(
            sku_prefix=sku_prefix,
            location=location,
            page_size=page_size,
            page_token=page_token,
            consistency=consistency,
        )
        return await self._call(self._stock.ListPositions, request)

    async def export_movements(
        self,
        *,
        after_token: str = "",
        until_token: str = "",
        page_size: int = 0,
        sku_prefix: str = "",
        location: str = "",
    ) -> stock_service_pb2.ExportMovementsResponse:
        """The next part of the ledger of all SKUs: hand its tokens in for the next one, until it is `done`."""
        request = stock_service_pb2.ExportMovementsRequest(
            after_token=after_token,
            until_token=until_token,
            page_size=page_size,
            sku_prefix=sku_prefix,
            location=location,
        )
        return await self._call(self._stock.ExportMovements, request)

    async def position_pages(
        self, *, sku_prefix: str = "", location: str = "", consistency: common_pb2.Consistency | None = None
    ) -> AsyncGenerator[stock_service_pb2.ListPositionsResponse, None]:
        """All positions, page by page; an outage between two pages is waited for like any other."""
        token = ""
        while True:
            page = await self.list_positions(
                sku_prefix=sku_prefix,
                location=location,
                page_size=_EXPORT_PAGE,
                page_token=token,
                consistency=consistency,
            )
            yield page
            token = page.next_page_token
            if not token:
                return

    async def movement_pages(
        self, *, after_token: str = "", sku_prefix: str = "", location: str = ""
    ) -> AsyncGenerator[stock_service_pb2.ExportMovementsResponse, None]:
        """The ledger of all SKUs up to now, part by part. The `consistency_token` of the last part that was used, as
        `after_token`, goes on from there: then, or any day later.
        """
        until_token = ""
        while True:
            part = await self.export_movements(
                after_token=after_token,
                until_token=until_token,
                page_size=_EXPORT_PAGE,
                sku_prefix=sku_prefix,
                location=location,
            )
            yield part
            if part.done:
                return
            after_token, until_token = part.consistency_token, part.until_token

    # What is expected

    async def set_incoming(
        self,
        receipt_id: str,
        sku: str,
        location: str,
        *,
        quantity: int,
        expected_date: date,
        **change: Unpack[IncomingChange],
    ) -> incoming_service_pb2.SetIncomingResponse:
        """Say what a receipt brings and when, anew or instead of what was said before."""
        request = incoming_service_pb2.SetIncomingRequest(
            receipt_id=receipt_id,
            sku=sku,
            location=location,
            quantity=quantity,
            expected_date=as_date(expected_date),
            **self._incoming_change(change),
        )
        return await self._call(self._incoming.SetIncoming, request)

    async def slip_incoming(
        self, receipt_id: str, sku: str, location: str, *, expected_date: date, **change: Unpack[IncomingChange]
    ) -> incoming_service_pb2.SlipIncomingResponse:
        """Move a receipt to another day."""
        request = incoming_service_pb2.SlipIncomingRequest(
            receipt_id=receipt_id,
            sku=sku,
            location=location,
            expected_date=as_date(expected_date),
            **self._incoming_change(change),
        )
        return await self._call(self._incoming.SlipIncoming, request)

    async def cancel_incoming(
        self, receipt_id: str, sku: str, location: str, **change: Unpack[IncomingChange]
    ) -> incoming_service_pb2.CancelIncomingResponse:
        """Nothing more of a receipt will come."""
        request = incoming_service_pb2.CancelIncomingRequest(
            receipt_id=receipt_id, sku=sku, location=location, **self._incoming_change(change)
        )
        return await self._call(self._incoming.CancelIncoming, request)

    async def receive_incoming(
        self,
        receipt_id: str,
        sku: str,
        location: str,
        *,
        quantity: int,
        closes: bool = False,
        occurred_at: timestamp_pb2.Timestamp | None = None,
        **change: Unpack[IncomingChange],
    ) -> incoming_service_pb2.ReceiveIncomingResponse:
        """Units of a receipt arrived; with `closes` nothing more of it will come."""
        request = incoming_service_pb2.ReceiveIncomingRequest(
            receipt_id=receipt_id,
            sku=sku,
            location=location,
            quantity=quantity,
            closes=closes,
            occurred_at=occurred_at,
            **self._incoming_change(change),
        )
        return await self._call(self._incoming.ReceiveIncoming, request)

    async def list_incoming(
        self,
        *,
        sku: str = "",
        location: str = "",
        receipt_id: str = "",
        overdue_only: bool = False,
        page_size: int = 0,
        page_token: str = "",
        consistency: common_pb2.Consistency | None = None,
    ) -> incoming_service_pb2.ListIncomingResponse:
        """A page of open receipts, by day; all filters that are set must match."""
        request = incoming_service_pb2.ListIncomingRequest(
            sku=sku,
            location=location,
            receipt_id=receipt_id,
            overdue_only=overdue_only,
            page_size=page_size,
            page_token=page_token,
            consistency=consistency,
        )
        return await self._call(self._incoming.ListIncoming, request)

    def _incoming_change(self, change: IncomingChange) -> IncomingChange:
        return {
            **change,
            "request_id": change.get("request_id") or new_request_id(),
            "source": change.get("source") or self.channel or "client",
        }
