"""The store: batches of writes in domain words, each item decided by a Redis Function. Decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis

from invengine.domain.orders import (
    LinePlacement,
    LineRequest,
    ReservationAnswer,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.stock import Movement, MovementOutcome
from invengine.errors import Exhausted, InventoryError, OutcomeUnknown, RevisionMismatch, Unavailable
from invengine.store import keys, payload
from invengine.store.calls import Calls
from invengine.store.listing import Listing
from invengine.store.payload import Answer, Packer
from invengine.store.pieces import Pieces
from invengine.store.records import Atomicity, LogEntry, LogTrimmed, StoreSettings, Written
from invengine.store.startup import StoreIdentity, open_calls
from invengine.store.topology import Topology

__all__ = ["Atomicity", "LogEntry", "LogTrimmed", "RedisStore", "StoreSettings", "Written"]

ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")

RESERVATIONS_PER_CALL = 100
LINES_PER_CALL = 500
CANDIDATES_PER_CALL = 20_000
MOVEMENTS_PER_CALL = 250
SWEEP_LIMIT = 500
DEFAULT_SETTINGS = StoreSettings()

_SWEEP_FIRST = b"SWEEP_FIRST"
_PREFIX = "invengine_"


class RedisStore(Listing):
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
            return await self._post_by_partition(movements)
        return await self._write(
            "invengine_post_movements", movements, _movements_that_fit, self._packer.movements, payload.moved
        )

    async def reserve(self, requests: Sequence[ReserveRequest]) -> Written[ReservationAnswer | InventoryError]:
        """Set units aside, each request on its own."""
        if self._pieces is not None:
            return await self._pieces.reserve(requests)
        return await self._write(
            "invengine_reserve", requests, _requests_that_fit, self._packer.reserve, payload.reserved
        )

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
            "invengine_hand_over", changes, _changes_that_fit, self._packer.hand_over, payload.changed
        )

    async def expire_due(self, partition: int, limit: int = SWEEP_LIMIT) -> tuple[Written[str], bool]:
        """Expire up to `limit` holds of a partition whose time is over: their ids, and whether more are due."""
        if self._pieces is not None:
            return await self._pieces.expire_due(partition, limit)
        touched, message = self._packer.sweep(partition, limit)
        tally: _Tally[str] = _Tally()
        more, *expired = tally.note(await self._call("invengine_expire", touched, message))
        tally.outcomes.extend(reservation_id.decode() for reservation_id in expired)
        return tally.written(), more == 1

    async def finish_unfinished(self, partition: int) -> Written[str]:
        """Bring to an end what servers that are gone began and left at a partition; the reservations.

        There is such only where a reservation takes several steps.
        """
        return Written([]) if self._pieces is None else await self._pieces.finish_unfinished(partition)

    async def forget_old(self, partition: int) -> int:
        """Drop what is past retention from a partition; how many closed reservations that were."""
        forgotten, more = 0, 1
        while more:
            touched, message = self._packer.sweep(partition, self._first_period)
            more, count = _Tally[None]().note(await self._call("invengine_forget", touched, message))
            forgotten += count
        return forgotten

    async def apply_network(self, document: str, expected_revision: int | None) -> int:
        """Store the network document; its revision. One equal to the stored one changes nothing. RevisionMismatch."""
        expected = "" if expected_revision is None else str(expected_revision)
        word, revision = await self._calls.write("invengine_apply_network", [keys.NETWORK], document, expected)
        if word == b"REVISION_MISMATCH":
            raise RevisionMismatch(expected_revision or 0, int(revision))
        return int(revision)

    async def _change(
        self, function: str, changes: Sequence[ReservationChange]
    ) -> Written[ReservationAnswer | InventoryError]:
        if self._pieces is not None:
            return await self._pieces.change(function.removeprefix(_PREFIX), changes)
        return await self._write(function, changes, _changes_that_fit, self._packer.change, payload.changed)

    async def _place(
        self, function: str, changes: Sequence[ReservationChange]
    ) -> Written[ReservationAnswer | InventoryError]:
        if self._pieces is not None:
            return await self._pieces.change(function.removeprefix(_PREFIX), changes)
        return await self._write(function, changes, _placings_that_fit, self._packer.place, payload.changed)

    async def _post_by_partition(self, movements: Sequence[Movement]) -> Written[MovementOutcome]:
        """Apply movements with one sequence of calls per partition, all partitions at once."""
        places: dict[int, list[int]] = {}
        for place, movement in enumerate(movements):
            places.setdefault(self._of(movement.sku), []).append(place)
        parts: list[Written[MovementOutcome] | BaseException] = await asyncio.gather(
            *(
                self._write(
                    "invengine_post_movements_of_one",
                    [movements[place] for place in of_partition],
                    _movements_that_fit,
                    self._packer.movements_of_one,
                    payload.moved,
                )
                for of_partition in places.values()
            ),
            return_exceptions=True,
        )
        failed = [part for part in parts if isinstance(part, BaseException)]
        if failed:
            if len(failed) < len(parts) and isinstance(failed[0], Unavailable | Exhausted):
                raise OutcomeUnknown(str(failed[0])) from failed[0]  # other partitions have theirs
            raise failed[0]
        outcomes: dict[int, MovementOutcome] = {}
        written: Written[MovementOutcome] = Written([])
        for of_partition, part in zip(places.values(), parts, strict=True):
            assert isinstance(part, Written)
            outcomes.update(zip(of_partition, part.outcomes, strict=True))
            written.revisions.update(part.revisions)
            written.entries.extend(part.entries)
        now_ms = max((part.now_ms for part in parts if isinstance(part, Written)), default=0)
        in_order = [outcomes[place] for place in range(len(movements))]
        return Written(in_order, written.revisions, written.entries, now_ms)

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
        tally: _Tally[OutcomeT] = _Tally()
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
                if tally.sweep_first is not None:
                    await self._sweep(tally, tally.sweep_first)
            except (Unavailable, Exhausted) as error:
                if start:  # parts of the batch are written, so "nothing was changed" would be untrue
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

    async def _sweep(self, tally: _Tally[OutcomeT], partition: int) -> None:
        more = True
        while more:
            swept, more = await self.expire_due(partition)
            tally.entries.extend(swept.entries)
            tally.revisions.update(swept.revisions)


class _Tally(Generic[OutcomeT]):
    """Adds up the replies of one batch."""

    def __init__(self) -> None:
        self.outcomes: list[OutcomeT] = []
        self.revisions: dict[int, int] = {}
        self.entries: list[LogEntry] = []
        self.now_ms = 0
        self.unread: list[tuple[Any, Answer]] = []  # items and their answers, of the newest reply
        self.sweep_first: int | None = None  # the partition to sweep before the item after those can be decided

    def note(self, reply: bytes) -> list[Any]:
        """Note what a reply says of partitions; its answers to the items."""
        self.now_ms, partitions, answers = payload.read_reply(reply)
        for partition, revision, rows in partitions:
            self.revisions[partition] = revision
            if rows:
                self.entries.append(LogEntry(partition, revision, self.now_ms, rows))
        return answers

    def add(self, part: Sequence[Any], reply: bytes) -> None:
        """Note a reply to the first items of a part, whose answers are read later."""
        answers = self.note(reply)
        last = answers[-1]
        self.sweep_first = None
        if isinstance(last, list) and last[0] == _SWEEP_FIRST:
            self.sweep_first = last[1]
            answers.pop()
        self.unread = list(zip(part, answers))  # noqa: B905  # the items not got to are sent again

    def read(self, outcome: Callable[[Any, Answer], OutcomeT]) -> None:
        """Turn the answers that were noted last into outcomes."""
        self.outcomes.extend(outcome(item, answer) for item, answer in self.unread)
        self.unread = []

    def written(self) -> Written[OutcomeT]:
        """The answer to the whole batch."""
        return Written(self.outcomes, self.revisions, self.entries, self.now_ms)


def _requests_that_fit(requests: Sequence[ReserveRequest], start: int) -> int:
    return _lines_that_fit([request.lines for request in requests[start : start + RESERVATIONS_PER_CALL]], start)


def _placings_that_fit(changes: Sequence[ReservationChange], start: int) -> int:
    part = changes[start : start + RESERVATIONS_PER_CALL]
    return _lines_that_fit([(*change.placements, *change.added) for change in part], start)


def _lines_that_fit(items: Iterable[Sequence[LineRequest | LinePlacement]], start: int) -> int:
    """Where a call ends that has items with these lines from `start` on: bounded in lines and candidates."""
    lines = candidates = 0
    end = start
    for of_item in items:
        lines += len(of_item)
        candidates += sum(len(line.candidates) for line in of_item)
        if end > start and (lines > LINES_PER_CALL or candidates > CANDIDATES_PER_CALL):
            break
        end += 1
    return end


def _changes_that_fit(changes: Sequence[ReservationChange], start: int) -> int:
    return min(start + RESERVATIONS_PER_CALL, len(changes))


def _movements_that_fit(movements: Sequence[Movement], start: int) -> int:
    return min(start + MOVEMENTS_PER_CALL, len(movements))
