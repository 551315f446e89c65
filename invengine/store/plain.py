"""Batches of usual reservations: packed as they came, for the function of lua/plain.lua."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from invengine.errors import Exhausted, OutcomeUnknown, Unavailable
from invengine.kernels.reservations import (
    CREATED_MS,
    EXPIRES_AT,
    HOME,
    ID_AT,
    ID_LENGTH,
    ITEM_AT,
    PARTITION,
    REQUEST_PARTITION,
    REVISION,
    TAKEN_COLUMNS,
    WAY,
)
from invengine.store.answers import Answer
from invengine.store.records import Written
from invengine.store.tally import Tally

Block = npt.NDArray[np.int64]
FUNCTION: Final = "invengine_reserve_plain"
RESERVATIONS_PER_CALL: Final = 400
"""A call of so many takes Redis about as long as one of half as many that are not usual."""


@dataclass(frozen=True, slots=True, eq=False)
class PlainReservations:
    """Requests of one batch, or a part of them: item n is that of row n of `asked` and `packed`.

    ways        per way: channel, seconds to live, fulfilment, 1 where a line may be split else 0, list of candidates
    items       all items of the batch, packed
    asked       [n, ASKED_COLUMNS], packed [n, PACKED_COLUMNS]: see kernels/reservations.py
    end         where the last item ends
    """

    ways: Sequence[tuple[str, int, str, int, tuple[object, ...]]]
    items: bytes
    asked: Block
    packed: Block
    end: int

    def __len__(self) -> int:
        return len(self.packed)

    def part(self, start: int, end: int) -> PlainReservations:
        """The items from `start` to before `end`."""
        behind = self.end if end >= len(self) else int(self.packed[end, ITEM_AT])
        return PlainReservations(self.ways, self.items, self.asked[start:end], self.packed[start:end], behind)

    @property
    def causes(self) -> list[str]:
        """The reservation_ids, which the rows of these items name."""
        spans = self.packed[:, (ID_AT, ID_LENGTH)].tolist()
        return [self.items[at : at + length].decode() for at, length in spans]

    @property
    def bytes_of_items(self) -> bytes:
        """The items, one behind the other."""
        return self.items[int(self.packed[0, ITEM_AT]) : self.end]


@dataclass(slots=True)
class PlainOutcomes:
    """What became of them: `taken` [n, TAKEN_COLUMNS]; by place what was answered to those that it says nothing of."""

    taken: Block
    others: dict[int, Answer] = field(default_factory=dict)

    def note(self, start: int, found: Sequence[Any], batch: PlainReservations, now_ms: int, revisions: Block) -> None:
        """Notes the answers to the items from `start` on, of one call."""
        end = start + len(found)
        rows = self.taken[start:end]
        live_seconds = np.array([way[1] for way in batch.ways], np.int64)
        rows[:, CREATED_MS] = now_ms
        rows[:, EXPIRES_AT] = -(-now_ms // 1000) + live_seconds[batch.asked[start:end, WAY]]
        rows[:, REVISION] = revisions[batch.packed[start:end, HOME]]
        if any(found):
            for place, answer in enumerate(found, start):
                if answer != 0:
                    self.taken[place] = 0
                    self.others[place] = answer


class PlainReserving:
    """Has batches written: `call` is the function by name, with partitions whose keys it declares and its message;
    `settle` what is to be done between two calls.
    """

    def __init__(
        self,
        partitions: int,
        head: list[int],
        call: Callable[[str, Sequence[int], bytes], Any],
        settle: Callable[[Tally[Any]], Any],
    ) -> None:
        self._partitions = partitions
        self._head = head
        self._call = call
        self._settle = settle

    async def reserve(self, batches: Sequence[PlainReservations]) -> Written[PlainOutcomes]:
        """Sets units aside, each item on its own, in order. What is left when a call stops early goes into the next."""
        tally: Tally[PlainOutcomes] = Tally()
        tally.outcomes = [PlainOutcomes(np.zeros((len(batch), TAKEN_COLUMNS), np.int64)) for batch in batches]
        place, start = 0, 0  # of the batch and the item that come next
        while place < len(batches):
            parts, room = [], RESERVATIONS_PER_CALL
            for number in range(place, len(batches)):
                begin = start if number == place else 0
                parts.append(batches[number].part(begin, min(len(batches[number]), begin + room)))
                room -= len(parts[-1])
                if room <= 0:
                    break
            try:
                found = tally.add_plain(await self._call(FUNCTION, *self.packed(parts)))
                revisions = np.zeros(self._partitions, np.int64)
                for partition, revision in tally.revisions.items():
                    revisions[partition] = revision
                done = 0
                while done < len(found):
                    batch = batches[place]
                    answered = found[done : done + len(batch) - start]
                    tally.outcomes[place].note(start, answered, batch, tally.now_ms, revisions)
                    done += len(answered)
                    start += len(answered)
                    if start == len(batch):
                        place, start = place + 1, 0
                await self._settle(tally)
            except (Unavailable, Exhausted) as error:
                if place or start or tally.entries:  # some are written, so "nothing was changed" would be untrue
                    raise OutcomeUnknown(str(error)) from error
                raise
        return tally.written()

    def packed(self, parts: Sequence[PlainReservations]) -> tuple[list[int], bytes]:
        """The partitions of one call, and its message."""
        columns = np.concatenate([part.packed[:, (HOME, PARTITION, REQUEST_PARTITION)] for part in parts])
        touched: list[int] = np.flatnonzero(np.bincount(columns[:, :2].ravel())).tolist()
        all_touched: list[int] = np.flatnonzero(np.bincount(columns.ravel())).tolist()
        told = [fact for part in parts for fact in (part.ways, len(part), part.bytes_of_items)]
        message: bytes = msgpack.packb([*self._head, touched, told], use_bin_type=False)
        return all_touched, message
