"""Making batches of usual reservations: written as they were packed, told apart only where one was not simply made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine.errors import InventoryError
from invengine.kernels.reservations import TAKEN_COLUMNS
from invengine.services.plain_requests import PlainBatch, PlainRequests
from invengine.services.reservation_requests import check_create
from invengine.services.reserving import Outcome, Reserving
from invengine.services.reserving_many import raise_if_all_failed
from invengine.store import answers
from invengine.store.answers import Answer
from invengine.store.plain import Block, PlainOutcomes, PlainReservations
from invengine.v1 import reservation_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.services.group_commit import GroupCommit

BLOCK: Final = 200
"""Requests of one message that are queued as one."""


@dataclass(frozen=True, slots=True, eq=False)
class PlainMade:
    """What became of a batch: `taken` [n, TAKEN_COLUMNS] says it of those that got what they asked for, as reservations
    of theirs that are new; `others` of the rest, by place.
    """

    batch: PlainBatch
    taken: Block
    others: dict[int, Outcome]
    revisions: dict[int, int]


class PlainMaking:
    """Makes the reservations of batches that are usual from end to end."""

    def __init__(
        self,
        requests: PlainRequests,
        reserving: Reserving,
        queue: GroupCommit[PlainReservations, PlainOutcomes],
    ) -> None:
        self._requests = requests
        self._reserving = reserving
        self._queue = queue

    def read(self, message: bytes, network: Network) -> PlainBatch | None:
        """The batch, None where the requests are to be read one by one."""
        return self._requests.read(message, network)

    async def make(self, batch: PlainBatch, network: Network) -> PlainMade:
        """One outcome each, as `ReservingMany` gives them."""
        all_of_them = batch.reservations
        size = len(all_of_them)
        blocks = [all_of_them.part(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
        revisions: dict[int, int] = {}
        done: Sequence[PlainOutcomes | InventoryError]
        try:
            answered = await self._queue.submit(blocks)
            done, revisions = answered.outcomes, answered.revisions
        except InventoryError as failure:  # none of them was taken into the queue
            done = [failure] * len(blocks)
        raise_if_all_failed([outcome for outcome in done if isinstance(outcome, InventoryError)], len(done))
        taken = np.zeros((size, TAKEN_COLUMNS), np.int64)
        others: dict[int, Outcome] = {}
        messages: Sequence[pb.CreateReservationRequest] = ()
        first = 0
        for block, outcome in zip(blocks, done, strict=True):
            if isinstance(outcome, InventoryError):
                others.update(dict.fromkeys(range(first, first + len(block)), outcome))
            else:
                taken[first : first + len(block)] = outcome.taken
                for place, answer in outcome.others.items():
                    messages = messages or pb.BatchCreateReservationsRequest.FromString(batch.message).requests
                    others[first + place] = self._told(messages[first + place], answer, network)
            first += len(block)
        return PlainMade(batch, taken, others, revisions)

    def _told(self, message: pb.CreateReservationRequest, answer: Answer, network: Network) -> Outcome:
        """What the store's answer to one request means, which is read as any other for it."""
        request = self._reserving.resolved(check_create(message, self._reserving.ids), network)
        return self._reserving.dated(request, answers.reserved(request, answer))
