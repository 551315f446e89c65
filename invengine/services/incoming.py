"""Incoming receipts: what is expected where and when, said, moved, cancelled, taken in, listed."""

from __future__ import annotations

import heapq
from functools import partial
from typing import TYPE_CHECKING, Final

from invengine.domain.incoming import IncomingChange, IncomingKind, IncomingOutcome
from invengine.domain.partitions import encode_token, partition_of
from invengine.errors import InvalidArgument, InventoryError, UnknownLocation
from invengine.services import own_writes, validation
from invengine.services.days import required_day, today
from invengine.services.freshness import be_fresh
from invengine.services.group_commit import GroupCommit
from invengine.services.stock import FUTURE_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from invengine.domain.incoming import Receipt
    from invengine.domain.network import Location
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.broken_told import BrokenTold
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import incoming_service_pb2 as pb

    Request = pb.SetIncomingRequest | pb.SlipIncomingRequest | pb.CancelIncomingRequest | pb.ReceiveIncomingRequest

CHANGES_PER_CALL: Final = 50
"""A change may touch hundreds of pegs, so few of them share a call."""

_ORDER_COLUMNS: Final = 4


def check_incoming(message: Request, kind: IncomingKind, now_ms: int, latest_ms: int) -> IncomingChange:
    """The change, if it obeys the contract; InvalidArgument names the field that does not. Units without a time of
    their own arrived at `now_ms`; what arrived later than `latest_ms` is still to come.
    """
    request_id = validation.required_id("request_id", message.request_id)
    source = validation.required_id("source", message.source)
    receipt_id = validation.required_id("receipt_id", message.receipt_id)
    sku = validation.required_id("sku", message.sku)
    location = validation.required_id("location", message.location)
    quantity = day = occurred_at_ms = 0
    closes = False
    match kind:
        case IncomingKind.SET:
            quantity = validation.units("quantity", message.quantity)  # type: ignore[union-attr]
            day = required_day(message, "expected_date")
        case IncomingKind.SLIP:
            day = required_day(message, "expected_date")
        case IncomingKind.RECEIVE:
            closes = message.closes  # type: ignore[union-attr]
            quantity = validation.units("quantity", message.quantity, least=0)  # type: ignore[union-attr]
            if not quantity and not closes:
                raise InvalidArgument("quantity", "is 0, which goes with closes only")
            occurred_at_ms = now_ms
            if message.HasField("occurred_at"):  # type: ignore[arg-type]
                latest = latest_ms + FUTURE_MS_MAX
                occurred_at_ms = validation.milliseconds("occurred_at", message.occurred_at, latest)  # type: ignore[union-attr]
    revision = None
    if message.HasField("expected_revision"):
        revision = validation.expected_revision("expected_revision", message.expected_revision)
    return IncomingChange(
        source,
        request_id,
        kind,
        sku,
        location,
        receipt_id,
        quantity,
        day,
        closes,
        occurred_at_ms,
        revision,
    )


class Incoming:
    """The use cases of IncomingService. Writes answer what became of them and the token that contains them."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics,
        *,
        told: BrokenTold,
        queue_max: int = 20_000,
    ) -> None:
        self._told = told
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._metrics = metrics
        self._queue: GroupCommit[IncomingChange, IncomingOutcome | InventoryError] = GroupCommit(
            "change_incoming",
            store.change_incoming,
            partial(own_writes.take_in, replica),
            metrics,
            queue_max=queue_max,
            items_per_call_max=CHANGES_PER_CALL,
        )

    async def set(self, message: pb.SetIncomingRequest) -> tuple[IncomingOutcome, str]:
        """Says what a receipt brings and when."""
        return await self._change(message, IncomingKind.SET)

    async def slip(self, message: pb.SlipIncomingRequest) -> tuple[IncomingOutcome, str]:
        """Moves a receipt to another day."""
        return await self._change(message, IncomingKind.SLIP)

    async def cancel(self, message: pb.CancelIncomingRequest) -> tuple[IncomingOutcome, str]:
        """Nothing more of a receipt will come."""
        return await self._change(message, IncomingKind.CANCEL)

    async def receive(self, message: pb.ReceiveIncomingRequest) -> tuple[IncomingOutcome, str]:
        """Units of a receipt arrived."""
        return await self._change(message, IncomingKind.RECEIVE)

    async def list(
        self, message: pb.ListIncomingRequest, remaining_seconds: float | None = None
    ) -> tuple[list[Receipt], str, str]:
        """A page of open receipts, the token of the next page, and the consistency token."""
        sku = validation.optional_text("sku", message.sku)
        location = validation.optional_text("location", message.location)
        receipt_id = validation.optional_text("receipt_id", message.receipt_id)
        size = validation.page_size("page_size", message.page_size)
        bound = ("incoming", sku, location, receipt_id, str(message.overdue_only))
        after = _place(validation.cursor_of("page_token", message.page_token, bound))
        replica = self._replica
        partitions = [partition_of(sku, replica.partitions)] if sku else None
        await be_fresh(self._store, replica, message.consistency, remaining_seconds, partitions)
        before = self.today() if message.overdue_only else None

        def matching() -> Iterator[Receipt]:
            for receipt in replica.incoming.receipts(sku) if sku else replica.incoming.all():
                if (location and receipt.location != location) or (receipt_id and receipt.receipt_id != receipt_id):
                    continue
                if before is not None and receipt.expected_day >= before:
                    continue
                if after is None or _order(receipt) > after:
                    yield receipt

        found = heapq.nsmallest(size + 1, matching(), key=_order)
        cursor = "\t".join(map(str, _order(found[size - 1]))) if len(found) > size else ""
        return found[:size], validation.page_token(bound, cursor), replica.token(partitions)

    async def apply(
        self, changes: Sequence[IncomingChange]
    ) -> tuple[Sequence[IncomingOutcome | InventoryError], dict[int, int]]:
        """Makes changes that were checked, each on its own: their outcomes, and the revisions that contain them."""
        answered = await self._queue.submit(changes)
        outcomes = [one if isinstance(one, InventoryError) else await self._told.told(one) for one in answered.outcomes]
        return outcomes, answered.revisions

    @property
    def locations(self) -> Mapping[str, Location]:
        """The locations of the network in force. NetworkMissing."""
        return self._networks.required().locations

    @property
    def stopping(self) -> frozenset[str]:
        """The locations where receipts stop counting when their day is over."""
        network = self._networks.current
        return network.stopping if network else frozenset()

    def today(self) -> int:
        """The day that counts as today, since 1970: the UTC day of the store's clock."""
        return today(self._clock.now_ms())

    async def close(self) -> None:
        """Takes no more changes and waits for those that were taken."""
        await self._queue.close()

    async def _change(self, message: Request, kind: IncomingKind) -> tuple[IncomingOutcome, str]:
        change = check_incoming(message, kind, self._clock.now_ms(), self._clock.latest_ms())
        if change.location not in self._networks.required().locations and kind in _ADDS:
            raise UnknownLocation(change.location)
        answered = await self._queue.submit((change,))
        (outcome,) = answered.outcomes
        if isinstance(outcome, InventoryError):
            raise outcome
        if outcome.replayed:
            self._metrics.replays.inc()
        home = partition_of(change.sku, self._store.partitions)
        pairs = [(home, answered.revisions[home])] if home in answered.revisions else []
        return await self._told.told(outcome), encode_token(self._store.store_id, pairs)


_ADDS: Final = (IncomingKind.SET, IncomingKind.RECEIVE)
"""What brings units to a location; what takes a receipt of a location away that left the network is allowed."""


def _order(receipt: Receipt) -> tuple[int, str, str, str]:
    return receipt.expected_day, receipt.sku, receipt.location, receipt.receipt_id


def _place(cursor: str) -> tuple[int, str, str, str] | None:
    """The place that a page token names, None for the first page."""
    if not cursor:
        return None
    columns = cursor.split("\t")
    if len(columns) != _ORDER_COLUMNS or not (columns[0].isascii() and columns[0].isdecimal()):
        raise InvalidArgument("page_token", "is not a page token")
    return int(columns[0]), columns[1], columns[2], columns[3]
