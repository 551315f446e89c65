"""What one who watches asks, and whether a watch that broke off can be taken up where it was."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from invengine import kernels
from invengine.errors import Unavailable
from invengine.services.availability import FRESHNESS_SECONDS_MAX
from invengine.services.availability_wire import SKUS_MAX
from invengine.services.questions import Networks, checked
from invengine.services.validation import count_of, required_id
from invengine.services.watch_views import ViewQuestion
from invengine.services.watch_wire import DIGEST_BYTES, Seen, decode_token, stamp_of
from invengine.store.records import LogTrimmed

if TYPE_CHECKING:
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.replica.state import Entry
    from invengine.services.watch_network import Slots
    from invengine.services.watch_views import View
    from invengine.v1 import availability_service_pb2 as pb


class Asked:
    """A request, checked: what the view has to answer, and of which SKUs, each once (none: of all). InvalidArgument."""

    def __init__(self, request: pb.WatchAvailabilityRequest) -> None:
        fulfilment = checked(request)
        count_of("skus", len(request.skus), SKUS_MAX, least=0)
        for i, sku in enumerate(request.skus):
            required_id(f"skus[{i}]", sku)
        self.question = ViewQuestion(
            request.channel,
            tuple(sorted(set(request.locations))),
            request.group,
            fulfilment,
            request.by_location,
            request.levels_only,
            not request.skus,
        )
        self.names = sorted({sku.encode() for sku in request.skus})
        self.digest = blake2b(repr((self.question, self.names)).encode(), digest_size=DIGEST_BYTES).digest()
        self.resume_token = request.resume_token
        self.include_promises = request.include_promises


class Log(Protocol):
    """What is asked of the store: whether what a token names is still its history."""

    async def read_log(self, after: Sequence[int], block_ms: int, count: int = 1000) -> Sequence[Entry]:
        """Entries after these revisions, at most `count` of each partition. LogTrimmed."""


class Resuming:
    """Judges tokens: a watch goes on from one only where everything that changed since can be known."""

    def __init__(self, replica: Replica, log: Log, clock: StoreClock, networks: Networks) -> None:
        self._replica = replica
        self._log = log
        self._clock = clock
        self._networks = networks

    async def seen(self, asked: Asked, timeout_seconds: float | None) -> Seen | None:
        """What the caller has seen, once the replica has it too; None when not all that changed since can be known."""
        replica = self._replica
        digest, seen = decode_token(asked.resume_token, replica.store_id, replica.partitions)
        if digest != asked.digest or self.is_changed_since(seen) or not await self._is_history(seen):
            return None
        patience = FRESHNESS_SECONDS_MAX if timeout_seconds is None else min(timeout_seconds, FRESHNESS_SECONDS_MAX)
        await replica.wait_for(list(enumerate(seen.revisions)), patience)
        return seen

    def is_changed_since(self, seen: Seen) -> bool:
        """Whether values may be others that no revision tells of: by another network, by a clock that went back."""
        network = self._networks.current
        clock_went_back = self._clock.now_ms() // 1000 < seen.second
        return network is None or network.revision != seen.network_revision or clock_went_back

    def changed(self, view: View, slots: Slots, seen: Seen) -> Slots:
        """Those of the slots whose values may be others than were seen: by a revision, or by the clock.

        A kit may have changed when a component of it may have.
        """
        columns, revisions, now_ms = view.names.columns, np.array(seen.revisions, np.int64), self._clock.now_ms()

        def may_differ(numbers: Slots) -> npt.NDArray[np.bool_]:
            out = np.empty(numbers.size, np.uint8)
            kernels.changed_since(numbers, revisions, columns.positions, columns.skus, out)
            return out.astype(np.bool_) | view.begun_since(numbers, 1000 * seen.second - 1, now_ms)

        chosen = may_differ(view.names.numbers[slots])
        kits = view.names.in_network.kits_among(slots)
        if kits.size:
            components, kit_slots = view.names.in_network.pairs(columns)
            chosen[kits] = np.isin(slots[kits], kit_slots[may_differ(components)])
        return slots[chosen]

    async def _is_history(self, seen: Seen) -> bool:
        """Whether the log still has what the caller saw last, of every partition: a failover may have lost it."""
        try:
            entries = await self._log.read_log([max(0, revision - 1) for revision in seen.revisions], 0, 1)
        except (LogTrimmed, Unavailable):
            return False
        there = {(entry.partition, entry.revision): stamp_of(entry.recorded_at_ms) for entry in entries}
        for partition, (revision, stamp) in enumerate(zip(seen.revisions, seen.stamps, strict=True)):
            found = there.get((partition, revision))
            if revision and (found is None or stamp not in (0, found)):
                return False
        return True
