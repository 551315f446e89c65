"""Snapshots of locations: their rows as counts, and which snapshots were applied. See lua/snapshots.lua."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import msgpack

from invengine.domain.partitions import partition_of
from invengine.domain.snapshots import CountedOutcome, CountedSku, Snapshot
from invengine.domain.stock import MovementResult
from invengine.errors import CountTooOld, InventoryError, OlderCount, QuantityOutOfRange, RequestMismatch
from invengine.store import keys
from invengine.store.answers import Answer, read_reply
from invengine.store.calls import Calls
from invengine.store.payload_lines import checked
from invengine.store.records import Written

OutcomeT = TypeVar("OutcomeT")
CALLS_AT_ONCE = 16
NOT_APPLIED = -1


class ByPartition(Protocol):
    """Has items written with one sequence of calls per partition of their SKUs."""

    async def __call__(
        self,
        function: str,
        items: Sequence[CountedSku],
        pack: Callable[[Sequence[CountedSku]], tuple[list[int], bytes]],
        outcome: Callable[[CountedSku, Answer], OutcomeT],
        /,
    ) -> Written[OutcomeT]:
        """The outcomes in the order of the items."""


class LocationSnapshots:
    """The writes of snapshots. Each may be repeated; StoreUnavailable, StoreFull, OutcomeUnknown."""

    def __init__(
        self, calls: Calls, partitions: int, message_head: list[int], by_partition: ByPartition, *, in_pieces: bool
    ) -> None:
        self._calls = calls
        self._partitions = partitions
        self._message_head = message_head
        self._by_partition = by_partition
        self._function = "invengine_apply_snapshot_of_one" if in_pieces else "invengine_apply_snapshot"

    async def apply(self, snapshot: Snapshot, rows: Sequence[CountedSku], reason: str = "") -> Written[CountedOutcome]:
        """Rows of a snapshot, each on its own; `reason` is for the ledger."""
        pack = partial(self._pack, snapshot, reason)
        return await self._by_partition(self._function, rows, pack, partial(outcome_of, snapshot))

    async def note_full(self, snapshot: Snapshot) -> None:
        """Remember everywhere that what has no position at the location yet had no units at the instant either."""
        room = asyncio.Semaphore(CALLS_AT_ONCE)

        async def note(partition: int) -> None:
            async with room:
                await self._write(self._function, partition, self._message(snapshot, "", partition, 1, []))

        await asyncio.gather(*map(note, range(self._partitions)))

    async def note(self, snapshot: Snapshot, fingerprint: str, ignored: int = NOT_APPLIED) -> int:
        """Remember a snapshot, or that all of it is applied but for so many rows that it ignored.

        Returns how many those were; NOT_APPLIED where not all of it is applied. RequestMismatch when its id stood for
        other content.
        """
        name = f"{snapshot.source}\t{snapshot.snapshot_id}\t{snapshot.location}"
        partition = partition_of(name, self._partitions)
        message = [*self._message_head, [partition], partition, name, fingerprint, ignored]
        (first, *rest) = await self._write("invengine_note_snapshot", partition, msgpack.packb(message))
        if first == b"REQUEST_MISMATCH":
            raise RequestMismatch(snapshot.snapshot_id)
        return int(rest[0]) if first else NOT_APPLIED

    async def _write(self, function: str, partition: int, message: bytes) -> list[Any]:
        _, _, outcomes = read_reply(await self._calls.write(function, [keys.log(partition)], message))
        return outcomes

    def _pack(self, snapshot: Snapshot, reason: str, rows: Sequence[CountedSku]) -> tuple[list[int], bytes]:
        partition = partition_of(rows[0].sku, self._partitions)
        items: list[object] = []
        for row in rows:
            checked((row.sku, row.state, *row.order_refs))
            items += (row.sku, row.state, row.quantity, row.order_refs)
        return [partition], self._message(snapshot, reason, partition, 0, items)

    def _message(self, snapshot: Snapshot, reason: str, partition: int, is_full: int, items: list[object]) -> bytes:
        checked((snapshot.source, snapshot.snapshot_id, snapshot.location, reason))
        event = f"{snapshot.source}\t{snapshot.snapshot_id}"
        packed: bytes = msgpack.packb(
            [
                *self._message_head,
                [partition],
                partition,
                snapshot.location,
                snapshot.as_of_ms,
                event,
                reason,
                is_full,
                items,
            ]
        )
        return packed


def outcome_of(snapshot: Snapshot, row: CountedSku, answer: Answer) -> CountedOutcome:
    """What became of a row."""
    assert isinstance(answer, list)
    word, on_hand, reserved, revision, on_hand_before, reserved_before, *refusal = answer
    assert isinstance(word, bytes)
    return CountedOutcome(
        MovementResult(word.decode()),
        *cast("tuple[int, int, int, int, int]", (on_hand, reserved, revision, on_hand_before, reserved_before)),
        _refusal(snapshot, row, *refusal) if refusal else None,
    )


def _refusal(snapshot: Snapshot, row: CountedSku, word: int | bytes, *facts: int | bytes) -> InventoryError:
    numbers = [fact for fact in facts if isinstance(fact, int)]
    if word == b"OLDER_COUNT":
        return OlderCount(row.sku, snapshot.location, numbers[0])
    if word == b"COUNT_TOO_OLD":
        return CountTooOld(row.sku, snapshot.location, snapshot.as_of_ms, numbers[0])
    assert word == b"QUANTITY_OUT_OF_RANGE", word
    return QuantityOutOfRange(row.sku, snapshot.location, numbers[0], numbers[1])
