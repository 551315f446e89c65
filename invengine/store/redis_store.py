"""The store: batches of writes in domain words, each item decided by a Redis Function. Decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from redis.asyncio import Redis

from invengine.domain.incoming import IncomingChange, IncomingOutcome
from invengine.domain.orders import ReservationChange, ReserveRequest
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.snapshots import CountedSku
from invengine.domain.stock import FeedMark, Movement, MovementOutcome
from invengine.errors import (
    Exhausted,
    InventoryError,
    OutcomeUnknown,
    RevisionMismatch,
    Unavailable,
)
from invengine.store import answers, keys
from invengine.store.answers import Answer
from invengine.store.calls import Calls
from invengine.store.fitting import (
    MOVEMENTS_PER_CALL,
    RESERVATIONS_PER_CALL,
    changes_that_fit,
    movements_that_fit,
    placings_that_fit,
    requests_that_fit,
)
from invengine.store.location_snapshots import LocationSnapshots
from invengine.store.payload import Packer
from invengine.store.pieces import Pieces
from invengine.store.plain import PlainOutcomes, PlainReservations, PlainReserving
from invengine.store.profiles import StoredProfiles
from invengine.store.promise_writes import PromiseWrites
from invengine.store.records import Atomicity, LogEntry, LogTrimmed, StoreSettings, Written
from invengine.store.startup import StoreIdentity, open_calls
from invengine.store.tally import Tally
from invengine.store.tokens import StoredTokens
from invengine.store.topology import Topology
from invengine.store.wave_records import WaveRecords

__all__ = [
    "MOVEMENTS_PER_CALL",
    "RESERVATIONS_PER_CALL",
    "Atomicity",
    "LogEntry",
    "LogTrimmed",
    "RedisStore",
    "StoreSettings",
    "Written",
]

ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")
SkuItemT = TypeVar("SkuItemT", Movement, IncomingChange, CountedSku)

SWEEP_LIMIT = 500
SLOT_DAYS_PER_CALL = 200
DEFAULT_SETTINGS = StoreSettings()

_PREFIX = "invengine_"


class RedisStore(PromiseWrites):
    """Live stock in Redis or Valkey.

    Every batched write is done in parts that keep Redis busy for a few milliseconds at most, item by item in order. All
    are safe to repeat; while Redis is away they are repeated for `retry_seconds`. Refusals of items are outcomes; the
    call itself raises StoreUnavailable or StoreFull (nothing was changed) or OutcomeUnknown (repeat it).
    """

    def __init__(
        self, calls: Calls, identity: StoreIdentity, settings: StoreSettings, atomicity: Atomicity = Atomicity.WHOLE
    ) -> None:
        super().__init__(calls, identity)
        self._packer = Packer(identity.partitions, settings, identity.retention_seconds)
        self._pieces: Pieces | None = None
        if atomicity is Atomicity.PARTITION and identity.partitions > 1:  # a single one is the whole store
            self._pieces = Pieces(calls, self, self._packer.head)
        self.is_whole = self._pieces is None
        self.plain = PlainReserving(self.partitions, self._packer.head, self._call, self._settle)
        self.snapshots = LocationSnapshots(
            calls, self.partitions, self._packer.head, self._by_partition, in_pieces=not self.is_whole
        )
        self.profiles = StoredProfiles(calls)
        self.tokens = StoredTokens(calls)
        self.waves = WaveRecords(calls, self.partitions, identity.retention_seconds)
        self._first_period = identity.created_at_ms // 1000 // identity.retention_seconds - 1

    @classmethod
    async def open(
        cls,
        server: Redis | Topology,
        *,
        partitions: int = 64,
        settings: StoreSettings = DEFAULT_SETTINGS,
        atomicity: Atomicity | None = None,
    ) -> RedisStore:
        """The store in these servers, made with `partitions` where there is none yet.

        A client of one Redis answers bytes (decode_responses off); its own retries are switched off, since the store
        repeats by itself. StoreUnsuitable, StoreUnavailable.
        """
        calls, identity = await open_calls(server, partitions, settings)
        if atomicity is None:
            atomicity = Atomicity.WHOLE if calls.topology.is_whole else Atomicity.PARTITION
        return cls(calls, identity, settings, atomicity)

    async def post_movements(self, movements: Sequence[Movement]) -> Written[MovementOutcome]:
        """Apply movements in order, each on its own; where a call sees one partition, in order within each."""
        if self._pieces is not None:
            written = await self._by_partition(
                "invengine_post_movements_of_one", movements, self._packer.movements_of_one, answers.moved
            )
            try:
                await self.mark_feeds([movement.mark for movement in movements if movement.mark is not None])
            except (Unavailable, Exhausted) as error:
                raise OutcomeUnknown(str(error)) from error  # the movements are applied
            return written
        return await self._write(
            "invengine_post_movements", movements, movements_that_fit, self._packer.movements, answers.moved
        )

    async def mark_feeds(self, marks: Sequence[FeedMark]) -> None:
        """Keep how far feeds are; one that is further already stays there."""
        of_partition: dict[int, list[FeedMark]] = {}
        for mark in marks:
            of_partition.setdefault(self._of(mark.feed), []).append(mark)
        for partition, there in of_partition.items():
            await self._call("invengine_mark_feeds", *self._packer.feed_marks(partition, there))

    async def reserve(self, requests: Sequence[ReserveRequest]) -> Written[ReservationAnswer | InventoryError]:
        """Set units aside, each request on its own."""
        if self._pieces is not None:
            return await self._pieces.reserve(requests)
        return await self._write(
            "invengine_reserve", requests, requests_that_fit, self._packer.reserve, answers.reserved
        )

    async def reserve_plain(self, batches: Sequence[PlainReservations]) -> Written[PlainOutcomes]:
        """The same for batches of usual requests, where a call sees the whole store: one outcome per batch."""
        return await self.plain.reserve(batches)

    async def confirm(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Holds become firm."""
        return await self._change("invengine_confirm", changes)

    async def extend(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Holds get a new time to live, counted from now."""
        return await self._change("invengine_extend", changes)

    async def release(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Units are given back."""
        return await self._change("invengine_release", changes)

    async def fulfil(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Units of confirmed reservations leave their locations."""
        return await self._change("invengine_fulfil", changes)

    async def amend(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Lines get other quantities, and lines are added."""
        return await self._place("invengine_amend", changes)

    async def rebind(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Open units of lines move to other locations."""
        return await self._place("invengine_rebind", changes)

    async def hand_over(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Reservations get another channel or customer."""
        if self._pieces is not None:
            return await self._pieces.change("hand_over", changes)
        return await self._write(
            "invengine_hand_over", changes, changes_that_fit, self._packer.hand_over, answers.changed
        )

    async def repromise(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Lines get other promises; their units stay where they are."""
        return await self._change("invengine_repromise", changes)

    async def ship_transfer(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Units of transfers leave their source and are on the way; on a Cluster partition by partition."""
        return await self._transfer("ship_transfer", changes)

    async def cancel_transfer(
        self, changes: Sequence[ReservationChange]
    ) -> Written[ReservationAnswer | InventoryError]:
        """What of transfers has not left goes back."""
        return await self._transfer("cancel_transfer", changes)

    async def close_transfer(self, changes: Sequence[ReservationChange]) -> Written[ReservationAnswer | InventoryError]:
        """Transfers of which nothing is open become closed reservations; to be asked when nothing is on the way."""
        return await self._transfer("close_transfer", changes)

    async def expire_due(self, partition: int, limit: int = SWEEP_LIMIT) -> tuple[Written[str], bool]:
        """Expire up to `limit` holds of a partition whose time is over: their ids, and whether more are due."""
        if self._pieces is not None:
            return await self._pieces.expire_due(partition, limit)
        touched, message = self._packer.sweep(partition, limit)
        tally: Tally[str] = Tally()
        more, *expired = tally.note(await self._call("invengine_expire", touched, message))
        await self._cover(tally)
        tally.outcomes.extend(reservation_id.decode() for reservation_id in expired)
        return tally.written(), more == 1

    async def finish_unfinished(self, partition: int) -> Written[str]:
        """Bring to an end what servers that are gone began and left at a partition; the reservations.

        There are reservations of several steps only where one call sees one partition; returns always have several.
        """
        written = Written([]) if self._pieces is None else await self._pieces.finish_unfinished(partition)
        written.entries.extend((await self.finish_returns(partition)).entries)
        return written

    async def forget_old(self, partition: int) -> int:
        """Drop what is past retention from a partition; how many closed reservations that were."""
        forgotten, more = 0, 1
        while more:
            touched, message = self._packer.sweep(partition, self._first_period)
            more, count = Tally[None]().note(await self._call("invengine_forget", touched, message))
            forgotten += count
        return forgotten

    async def forget_slots(self, days: Iterable[tuple[str, str]]) -> Written[int]:
        """Drop days of slots, (SKU of slots, place), where nothing is held; how many that were, by partition."""
        by_partition: dict[int, list[str]] = {}
        for sku, place in days:
            by_partition.setdefault(partition_of(sku, self.partitions), []).extend((sku, place))
        tally = Tally[int]()
        for partition, named in sorted(by_partition.items()):
            for start in range(0, len(named), 2 * SLOT_DAYS_PER_CALL):
                touched, message = self._packer.slots(partition, named[start : start + 2 * SLOT_DAYS_PER_CALL])
                tally.outcomes += tally.note(await self._call("invengine_forget_slots", touched, message))
        return tally.written()

    async def change_incoming(self, changes: Sequence[IncomingChange]) -> Written[IncomingOutcome | InventoryError]:
        """Change the schedule of receipts, each on its own in order; one with many pegs is done in several steps.

        Where a call sees one partition, in order within each.
        """
        if self._pieces is not None:
            return await self._by_partition(
                "invengine_change_incoming_of_one", changes, self._packer.incoming_of_one, answers.rescheduled
            )
        return await self._write(
            "invengine_change_incoming", changes, movements_that_fit, self._packer.incoming, answers.rescheduled
        )

    async def apply_network(self, document: str, expected_revision: int | None) -> int:
        """Store the network document; its revision. One equal to the stored one changes nothing. RevisionMismatch."""
        return await self._apply("invengine_apply_network", keys.NETWORK, document, expected_revision)

    async def apply_transit(self, document: str, expected_revision: int | None) -> int:
        """Store the document of transit times, in the same way."""
        return await self._apply("invengine_apply_transit", keys.TRANSIT, document, expected_revision)

    async def _apply(self, function: str, key: bytes, document: str, expected_revision: int | None) -> int:
        expected = "" if expected_revision is None else str(expected_revision)
        word, revision = await self._calls.write(function, [key], document, expected)
        if word == b"REVISION_MISMATCH":
            raise RevisionMismatch(expected_revision or 0, int(revision))
        return int(revision)

    async def _change(
        self, function: str, changes: Sequence[ReservationChange]
    ) -> Written[ReservationAnswer | InventoryError]:
        if self._pieces is not None:
            return await self._pieces.change(function.removeprefix(_PREFIX), changes)
        return await self._write(function, changes, changes_that_fit, self._packer.change, answers.changed)

    async def _transfer(
        self, verb: str, changes: Sequence[ReservationChange]
    ) -> Written[ReservationAnswer | InventoryError]:
        if self._pieces is not None:
            return await self._pieces.change(verb, changes)
        return await self._write(_PREFIX + verb, changes, changes_that_fit, self._packer.ship, answers.changed)

    async def _place(
        self, function: str, changes: Sequence[ReservationChange]
    ) -> Written[ReservationAnswer | InventoryError]:
        if self._pieces is not None:
            return await self._pieces.change(function.removeprefix(_PREFIX), changes)
        return await self._write(function, changes, placings_that_fit, self._packer.place, answers.changed)

    async def _by_partition(
        self,
        function: str,
        items: Sequence[SkuItemT],
        pack: Callable[[Sequence[SkuItemT]], tuple[list[int], bytes]],
        outcome: Callable[[SkuItemT, Answer], OutcomeT],
    ) -> Written[OutcomeT]:
        """Have items written with one sequence of calls per partition of their SKUs, all partitions at once."""
        places: dict[int, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(self._of(item.sku), []).append(place)
        parts: list[Written[OutcomeT] | BaseException] = await asyncio.gather(
            *(
                self._write(function, [items[place] for place in there], movements_that_fit, pack, outcome)
                for there in places.values()
            ),
            return_exceptions=True,
        )
        failed = [part for part in parts if isinstance(part, BaseException)]
        if failed:
            if len(failed) < len(parts) and isinstance(failed[0], Unavailable | Exhausted):
                raise OutcomeUnknown(str(failed[0])) from failed[0]  # other partitions have theirs
            raise failed[0]
        outcomes: dict[int, OutcomeT] = {}
        written: Written[OutcomeT] = Written([])
        for there, part in zip(places.values(), parts, strict=True):
            assert isinstance(part, Written)
            outcomes.update(zip(there, part.outcomes, strict=True))
            written.revisions.update(part.revisions)
            written.entries.extend(part.entries)
        now_ms = max((part.now_ms for part in parts if isinstance(part, Written)), default=0)
        return Written([outcomes[place] for place in range(len(items))], written.revisions, written.entries, now_ms)

    async def _write(
        self,
        function: str,
        items: Sequence[ItemT],
        fitting: Callable[[Sequence[ItemT], int], int],
        pack: Callable[[Sequence[ItemT]], tuple[list[int], bytes]],
        outcome: Callable[[ItemT, Answer], OutcomeT],
    ) -> Written[OutcomeT]:
        """Have all items written. A call answers the items that it got to; the rest goes into the next one.

        While Redis works on one part of the batch, the answers before it are read and the next part is packed.
        """
        tally: Tally[OutcomeT] = Tally()
        start, end = 0, fitting(items, 0)
        message = pack(items[:end])
        while start < len(items):
            part = items[start:end]
            call = asyncio.create_task(self._call(function, *message))
            try:
                await asyncio.sleep(0)  # the call goes out
                tally.read(outcome)
                following = fitting(items, end)
                if end < len(items):
                    message = pack(items[end:following])
                tally.add(part, await call)
                await self._settle(tally)
            except (Unavailable, Exhausted) as error:
                if start or tally.entries:  # parts of the batch are written, so "nothing was changed" would be untrue
                    raise OutcomeUnknown(str(error)) from error
                raise
            finally:
                call.cancel()
            start += len(tally.unread)
            if start < end:  # the call stopped early, so what was packed starts too late
                following = fitting(items, start)
                message = pack(items[start:following])
            end = following
        tally.read(outcome)
        return tally.written()

    async def _call(self, function: str, touched: Sequence[int], message: bytes) -> bytes:
        reply: bytes = await self._calls.write(function, [keys.log(n) for n in touched], message)
        return reply

    async def _settle(self, tally: Tally[OutcomeT]) -> None:
        """Does what a call wants done before the next one."""
        await self._cover(tally)
        if tally.sweep_first is not None:
            await self._sweep(tally, tally.sweep_first)

    async def _cover(self, tally: Tally[OutcomeT]) -> None:
        function = "invengine_cover" if self._pieces is None else "invengine_cover_of_one"
        while tally.uncovered:
            touched, message = self._packer.cover(*tally.uncovered.pop(0))
            tally.note(await self._call(function, touched, message))

    async def _sweep(self, tally: Tally[OutcomeT], partition: int) -> None:
        more = True
        while more:
            swept, more = await self.expire_due(partition)
            tally.entries.extend(swept.entries)
            tally.revisions.update(swept.revisions)
