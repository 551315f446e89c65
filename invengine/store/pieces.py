"""Reservations in pieces: where one call can see one partition only, this is how they are made, changed and read.

Their truth is a head at their home, their units are in pieces beside the stock; `lua/README.md` tells how that works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from invengine.domain.orders import (
    Reservation,
    ReservationChange,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.errors import Exhausted, InventoryError, OutcomeUnknown, Unavailable
from invengine.store import keys
from invengine.store.attempts import Attempts
from invengine.store.calls import Calls
from invengine.store.expiring import Expiring
from invengine.store.heads import SHARED_FIELDS, Head, lines_in, read_head, whole_reservation
from invengine.store.operations import Operations
from invengine.store.reads import Reads
from invengine.store.records import Unreadable, Written
from invengine.store.turns import Batch

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT", ReserveRequest, ReservationChange)
OutcomeT = TypeVar("OutcomeT")
Outcome = ReservationAnswer | InventoryError

OPERATION_SECONDS: Final = 3
"""An operation that began longer ago is nobody's any more: whoever finds it goes on with it."""

UNCOMMITTED_SECONDS_MAX: Final = 60
"""A piece whose head nobody wrote is freed long before."""

READS_MAX: Final = 50
"""Looks at a reservation that changes all the time, before it is said that it cannot be read now."""


class Pieces:
    """Reservations of one store whose atomic unit is the partition. `reads` answers the plain questions."""

    def __init__(self, calls: Calls, reads: Reads, message_head: list[int]) -> None:
        self._calls = calls
        self._reads = reads
        self._message_head = message_head
        self._expiring = Expiring(reads.partitions)
        self._attempts = Attempts(reads.partitions, self._expiring)
        self._operations = Operations(reads.partitions)

    async def reserve(self, requests: Sequence[ReserveRequest]) -> Written[Outcome]:
        """Set units aside, each request on its own."""
        return await self._each(requests, self._attempts.reserve)

    async def change(self, verb: str, changes: Sequence[ReservationChange]) -> Written[Outcome]:
        """Change reservations, each on its own; several changes of one in their order."""

        async def one(batch: Batch[Any], change: ReservationChange) -> Outcome:
            return await self._operations.change(batch, verb, change)

        return await self._each(changes, one)

    async def expire_due(self, partition: int, limit: int) -> tuple[Written[str], bool]:
        """Look at up to `limit` entries of a partition that are due: what expired, and whether more are due."""
        async with self._batch() as batch:
            expired, more = await self._expiring.sweep_some(batch, partition, limit)
            return batch.written(expired), more

    async def finish_unfinished(self, partition: int) -> Written[str]:
        """Bring to an end what was begun at the heads of a partition and left; the reservations."""
        async with self._batch() as batch:
            found = []
            now_ms = await self._reads.trusted_ms()
            async for chunk in self._reads.scan_hash(keys.operations(partition)):
                for name, content in chunk:
                    if _began_ms(content) <= now_ms - OPERATION_SECONDS * 1000:
                        found.append(name.decode())
            for reservation_id in list(found):
                try:
                    await self._go_on(batch, partition, reservation_id)
                except (ResponseError, Unreadable):  # damaged data must not keep others waiting; the check names them
                    logger.exception("the change of reservation %s under way cannot be finished", reservation_id)
                    found.remove(reservation_id)
            return batch.written(found)

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """A reservation as it is, a change under way brought to its end first."""
        home = partition_of(reservation_id, self._reads.partitions)
        for _ in range(READS_MAX):
            head = await self.head(home, reservation_id)
            if head is None:
                return None
            if head.operation:
                async with self._batch() as batch:
                    await self._go_on(batch, home, reservation_id)
                continue
            pieces = await self._pieces_of(head)
            again = await self.head(home, reservation_id)
            if again is not None and again.text != head.text:
                continue
            if len(pieces) < len(head.partitions) and (again is None or not head.is_live):
                return None  # past retention, and partly forgotten
            return whole_reservation(head, pieces)
        raise Unreadable(f"reservation {reservation_id} changes faster than it can be read")

    async def settled_tokens(self, reservation_id: str) -> dict[int, str]:
        """By partition the tokens of its pieces, of changes that no head can take back any more; empty where it is
        not known. A change under way is brought to its end first.
        """
        home = partition_of(reservation_id, self._reads.partitions)
        for _ in range(READS_MAX):
            head = await self.head(home, reservation_id)
            if head is None:
                return {}
            if head.operation:
                async with self._batch() as batch:
                    await self._go_on(batch, home, reservation_id)
                continue
            pieces = await self._pieces_of(head)
            again = await self.head(home, reservation_id)
            if again is None or again.text == head.text:
                return {partition: text.split("\t")[SHARED_FIELDS] for partition, text in pieces.items()}
        raise Unreadable(f"reservation {reservation_id} changes faster than it can be read")

    async def head(self, home: int, reservation_id: str) -> Head | None:
        """The head of a reservation, live or closed within retention."""
        (text,) = await self._calls.read(("HGET", keys.heads(home), reservation_id))
        if text is None:
            periods = self._reads.periods(await self._reads.trusted_ms())
            closed = await self._calls.read(
                *(("HGET", keys.closed_heads(home, period), reservation_id) for period in periods)
            )
            text = next(filter(None, closed), None)
        return read_head(reservation_id, text.decode()) if text else None

    async def faults(self, partition: int) -> list[str]:
        """What does not agree between the heads of a partition and their pieces, and between its pieces and their
        heads. What is under way or moved meanwhile is not judged.
        """
        found = []
        async for chunk in self._reads.live_heads(partition):
            for reservation_id, text in chunk:
                found += await self._faults_of_head(partition, read_head(reservation_id, text))
        oldest = await self._reads.trusted_ms() - UNCOMMITTED_SECONDS_MAX * 1000
        async for chunk in self._reads.live_records(partition):
            for reservation_id, text in chunk:
                if int(text.split("\t", 3)[2]) < oldest:
                    found += await self._faults_of_piece(partition, reservation_id)
        return found

    async def _faults_of_head(self, home: int, head: Head) -> list[str]:
        if head.operation:
            return []
        pieces = await self._pieces_of(head)
        wrong = []
        for partition in head.partitions:
            wanted = {line_id for line_id, where in head.lines if where == partition}
            text = pieces.get(partition)
            if text is None:
                wrong.append(f"reservation {head.reservation_id} has no piece in partition {partition}")
            elif set(lines_in(text)) != wanted or text.split("\t", 1)[0] != head.state:
                wrong.append(
                    f"the piece of reservation {head.reservation_id} in partition {partition} is not its head's"
                )
        again = await self.head(home, head.reservation_id) if wrong else head
        return wrong if again is not None and again.text == head.text else []

    async def _faults_of_piece(self, partition: int, reservation_id: str) -> list[str]:
        head = await self.head(partition_of(reservation_id, self._reads.partitions), reservation_id)
        if head is not None and (head.operation or (head.is_live and partition in head.partitions)):
            return []
        if head is not None and head.state == ReservationState.EXPIRED.value:
            return []  # the sweep of its partition comes
        key = keys.reservations(partition)
        is_there = (await self._calls.read(("HEXISTS", key, reservation_id)))[0]
        return [f"partition {partition} has a piece of reservation {reservation_id}, no head does"] if is_there else []

    async def _pieces_of(self, head: Head) -> dict[int, str]:
        # live ones first: a piece that closes between two reads is then seen closed, not nowhere
        periods = self._reads.periods(await self._reads.trusted_ms())
        places = [
            [keys.reservations(partition), *(keys.closed(partition, period) for period in periods)]
            for partition in head.partitions
        ]
        commands = [("HGET", key, head.reservation_id) for of_partition in places for key in of_partition]
        texts = iter(await self._calls.read(*commands))
        found = {}
        for partition, of_partition in zip(head.partitions, places, strict=True):
            text = next(filter(None, [next(texts) for _ in of_partition]), None)
            if text is not None:
                found[partition] = text.decode()
        return found

    async def _go_on(self, batch: Batch[Any], home: int, reservation_id: str) -> None:
        """Go on with the operation under way, if there still is one."""
        content, text = await self._calls.read(
            ("HGET", keys.operations(home), reservation_id), ("HGET", keys.heads(home), reservation_id)
        )
        if content is None or text is None:
            return
        number, expires_at, _, _, packed = content.split(b"\t", 4)
        if read_head(reservation_id, text.decode()).operation.lstrip("+!") == number.decode():
            operation = self._operations.operation(reservation_id, text, int(expires_at), packed)
            await self._operations.go_on(batch, operation)

    def _batch(self) -> Batch[Any]:
        return Batch(self._calls, self._message_head, self._expiring.sweep)

    async def _each(
        self, items: Sequence[ItemT], one: Callable[[Batch[Any], ItemT], Awaitable[Outcome]]
    ) -> Written[Outcome]:
        """Have all items done at once, those of one reservation in their order.

        A partition that cannot be reached harms only the items that need it. When no item could be done, the call
        itself fails.
        """
        outcomes: dict[int, Outcome] = {}
        by_reservation: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            by_reservation.setdefault(item.reservation_id, []).append(place)
        async with self._batch() as batch:

            async def in_order(places: list[int]) -> None:
                for place in places:
                    outcomes[place] = await _told(batch, items[place], one)

            await asyncio.gather(*map(in_order, by_reservation.values()))
            failed = [outcome for outcome in outcomes.values() if isinstance(outcome, _FAILURES)]
            if failed and len(failed) == len(items):
                raise next((outcome for outcome in failed if isinstance(outcome, OutcomeUnknown)), failed[0])
            return batch.written([outcomes[place] for place in range(len(items))])


_FAILURES = (Unavailable, Exhausted, OutcomeUnknown)


async def _told(batch: Batch[Any], item: ItemT, one: Callable[[Batch[Any], ItemT], Awaitable[Outcome]]) -> Outcome:
    """The outcome of an item; where its calls failed after something may have been written, that nobody knows it."""
    before = len(batch.entries)
    try:
        return await one(batch, item)
    except (Unavailable, Exhausted) as error:
        return OutcomeUnknown(str(error)) if len(batch.entries) > before else error
    except OutcomeUnknown as error:
        return error


def _began_ms(content: bytes) -> int:
    return int(content.split(b"\t", 3)[2])
