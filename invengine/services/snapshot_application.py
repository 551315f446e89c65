"""One snapshot being applied, step by step. Every step may be done again, by the same or another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from invengine.domain.partitions import encode_token
from invengine.domain.snapshots import NOT_COUNTED, CountedOutcome, CountedSku, Snapshot
from invengine.domain.stock import MovementResult
from invengine.errors import CountTooOld, InventoryError, ShuttingDown
from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, RESERVED
from invengine.services import own_writes
from invengine.services.freshness import catch_up
from invengine.services.snapshot_orders import ContainedOrders, OpenUnits

if TYPE_CHECKING:
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.snapshot_staging import StagedSnapshot
    from invengine.store.records import Written
    from invengine.store.redis_store import RedisStore

ROWS_PER_STEP: Final = 4_000
TOLD_MAX: Final = 100
"""Refused rows, shortfalls and so on that the answer lists."""

CATCH_UP_SECONDS: Final = 10.0
NOT_LISTED: Final = "not in the snapshot"
ORDER_CONTAINED: Final = "left before the count"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that could not be applied: its place (-1: a position that is not listed), SKU and state, why."""

    place: int
    sku: str
    state: str
    refusal: InventoryError


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A position that has more reserved than there is, and had not before."""

    sku: str
    on_hand: int
    reserved: int


@dataclass(slots=True)
class Applied:
    """What a snapshot did; the lists have at most TOLD_MAX elements each."""

    snapshot_id: str
    consistency_token: str = ""
    applied: int = 0
    repeated: int = 0
    ignored: int = 0
    zeroed: int = 0
    refused: int = 0
    shortfalls: int = 0
    fulfilled: int = 0
    unknown_orders: int = 0
    refused_rows: list[RefusedRow] = field(default_factory=list)
    shortfall_positions: list[Shortfall] = field(default_factory=list)
    left_open: list[OpenUnits] = field(default_factory=list)
    unknown_order_refs: list[str] = field(default_factory=list)
    is_whole: bool = True
    """Nothing was refused that could be done if it is sent again."""


class Application:
    """The steps for one snapshot."""

    def __init__(
        self, store: RedisStore, replica: Replica, clock: StoreClock, snapshot: Snapshot, staged: StagedSnapshot
    ) -> None:
        self.snapshot = snapshot
        self._store = store
        self._replica = replica
        self._clock = clock
        self._staged = staged
        self._orders = ContainedOrders(store, snapshot)
        self._result = Applied(snapshot.snapshot_id)
        self._revisions: dict[int, int] = {}
        self._may_be_short: set[str] = set()
        self._stopped = False

    def stop(self) -> None:
        """Has it end with ShuttingDown before the next step."""
        self._stopped = True

    async def run(self) -> Applied:
        """Applies all of it."""
        snapshot, result = self.snapshot, self._result
        if snapshot.order_refs:
            await self._orders.find(self._clock.now_ms(), self._is_spoken_of)
        await self._count_listed()
        if not snapshot.partial:
            await self._count_the_rest()
        if snapshot.order_refs:
            async for written in self._orders.fulfil(self._clock.now_ms()):
                await self._take_in(written)
            await self._settle_again()
        self._tell_shortfalls()
        result.fulfilled = self._orders.fulfilled
        result.left_open = self._orders.left_open()[:TOLD_MAX]
        unknown = self._orders.unknown
        result.unknown_orders, result.unknown_order_refs = len(unknown), unknown[:TOLD_MAX]
        result.is_whole = not result.refused and not self._orders.refusals
        result.consistency_token = encode_token(self._store.store_id, sorted(self._revisions.items()))
        return result

    def _is_spoken_of(self, sku: str) -> bool:
        """Whether the snapshot says how many sellable units of a SKU there were."""
        return not self.snapshot.partial or self._staged.is_listed(sku)

    async def _count_listed(self) -> None:
        rows = ((place, self._counted(sku, units, state)) for place, sku, state, units in self._staged.rows())
        async for (place, row), outcome in self._applied(rows):
            self._count(place, row, outcome)

    def _count(self, place: int, row: CountedSku, outcome: CountedOutcome) -> None:
        result = self._result
        if outcome.result is MovementResult.APPLIED:
            result.applied += 1
        elif outcome.result is MovementResult.REPEATED:
            result.repeated += 1
        elif outcome.result is MovementResult.STALE or isinstance(outcome.refusal, CountTooOld):
            result.ignored += 1
        else:
            self._refuse(place, row, outcome)

    def _refuse(self, place: int, row: CountedSku, outcome: CountedOutcome) -> None:
        assert outcome.refusal is not None
        self._result.refused += 1
        if len(self._result.refused_rows) < TOLD_MAX:
            self._result.refused_rows.append(RefusedRow(place, row.sku, row.state, outcome.refusal))

    async def _count_the_rest(self) -> None:
        """Positions that are not listed had no units. A position that comes into being meanwhile is told so first."""
        await self._store.snapshots.note_full(self.snapshot)
        await catch_up(self._store, self._replica, CATCH_UP_SECONDS)
        names = self._replica.columns.skus_at(self._replica.locations.known(self.snapshot.location))
        shelves = chain(((sku, "") for sku in names), self._replica.unsellable.used_at(self.snapshot.location))
        rows = ((-1, self._counted(sku, 0, state)) for sku, state in shelves if not self._staged.is_listed(sku, state))
        async for (place, row), outcome in self._applied(rows, NOT_LISTED):
            if outcome.result is MovementResult.APPLIED and outcome.on_hand < outcome.on_hand_before:
                self._result.zeroed += 1
            elif outcome.result is MovementResult.REFUSED and not isinstance(outcome.refusal, CountTooOld):
                self._refuse(place, row, outcome)

    async def _settle_again(self) -> None:
        """Fulfilments that others made between the count and now are in the count as well."""
        rows = ((-1, CountedSku(sku, NOT_COUNTED, refs)) for sku, refs in self._orders.refs_by_sku())
        async for _ in self._applied(rows, ORDER_CONTAINED):
            pass

    async def _take_in(self, written: Written[Any]) -> None:
        for partition, revision in written.revisions.items():
            self._revisions[partition] = max(revision, self._revisions.get(partition, 0))
        await own_writes.take_in(self._replica, written)

    def _tell_shortfalls(self) -> None:
        """By the replica, which has all of the writes: holds that are over do not count."""
        self._replica.advance(self._clock.now_ms())
        columns, place = self._replica.columns, self._replica.locations.known(self.snapshot.location)
        for sku in sorted(self._may_be_short):
            number = columns.find_sku(sku)
            for row in columns.rows(number).tolist() if number >= 0 else ():
                on_hand, reserved = row[ON_HAND], row[RESERVED] - row[EXPIRED]
                if row[LOCATION] == place and reserved > on_hand:
                    self._result.shortfalls += 1
                    if len(self._result.shortfall_positions) < TOLD_MAX:
                        self._result.shortfall_positions.append(Shortfall(sku, on_hand, reserved))

    def _counted(self, sku: str, units: int, state: str) -> CountedSku:
        return CountedSku(sku, units, () if state else self._orders.refs_of(sku), state)

    async def _applied(
        self, rows: Iterator[tuple[int, CountedSku]], reason: str = ""
    ) -> AsyncIterator[tuple[tuple[int, CountedSku], CountedOutcome]]:
        """Applies rows, a step of some thousand at a time; each with what became of it."""
        while step := list(islice(rows, ROWS_PER_STEP)):
            if self._stopped:
                raise ShuttingDown
            written = await self._store.snapshots.apply(self.snapshot, [row for _, row in step], reason)
            await self._take_in(written)
            for numbered, outcome in zip(step, written.outcomes, strict=True):
                if outcome.makes_shortfall:
                    self._may_be_short.add(numbered[1].sku)
                yield numbered, outcome
            await asyncio.sleep(0)
