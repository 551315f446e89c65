"""The network in force: read from the store, put there as one step, followed when another server changes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from invengine.domain.delivery_gaps import delivery_gaps
from invengine.domain.network import Change, Network, diff
from invengine.errors import NetworkFault, NetworkInvalid, NetworkMissing
from invengine.services.days import today
from invengine.services.documents import Documents
from invengine.services.following import POLL_SECONDS
from invengine.services.working_time import WorkingTime, working_time

FIRST_POLL_SECONDS: Final = 0.05
"""How often a server looks for its first network."""


def _machine_ms() -> int:
    return time.time_ns() // 1_000_000


class NetworkStore(Protocol):
    """What is needed of the store."""

    async def network(self) -> tuple[str, int] | None:
        """The document in force and its revision from 1, or None."""

    async def apply_network(self, document: str, expected_revision: int | None) -> int:
        """Puts a document in force: see Documents.write."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The network that the document means, what it changes and what it leaves open about delivery.

    `revision` is the one in force after the call.
    """

    network: Network
    changes: tuple[Change, ...]
    revision: int
    gaps: tuple[NetworkFault, ...]


class Networks(Documents[Network]):
    """Holds the network in force as `current`, None until there is one."""

    name = "network"
    unreadable = NetworkInvalid

    def __init__(
        self, store: NetworkStore, *, poll_seconds: float = POLL_SECONDS, now_ms: Callable[[], int] = _machine_ms
    ) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store
        self._now_ms = now_ms

    @property
    def pause_seconds(self) -> float:
        """Short while there is none: what is done next through another server is refused for want of it."""
        return min(self._poll_seconds, FIRST_POLL_SECONDS) if self.current is None else self._poll_seconds

    def required(self) -> Network:
        """The network in force, or NetworkMissing."""
        if self.current is None:
            raise NetworkMissing
        return self.current

    async def apply(
        self, document: str, *, request_id: str, expected_revision: int | None = None, validate_only: bool = False
    ) -> Applied:
        """Puts a document in force on every server as one step, or only says what it would change.

        The document in force, sent again, changes nothing whatever revision is expected, so a repeat is safe.
        InvalidArgument, NetworkInvalid, RevisionMismatch, and what the store raises.
        """
        put = await self.put(
            document, request_id=request_id, expected_revision=expected_revision, validate_only=validate_only
        )
        gaps = await asyncio.to_thread(delivery_gaps, put[0], today(self._now_ms()))  # it reads the document once more
        return Applied(*put, gaps)

    def working_time(self, location: str, *, first_day: int, days: int) -> WorkingTime:
        """When a location works, from a local day on; 0: from today. NetworkMissing, and as `working_time`."""
        return working_time(self.required(), location, first_day=first_day, days=days, now_ms=self._now_ms())

    async def read(self) -> tuple[str, int] | None:
        """The document in the store."""
        return await self._store.network()

    async def write(self, document: str, expected_revision: int | None) -> int:
        """Puts a document into the store."""
        return await self._store.apply_network(document, expected_revision)

    def parse(self, document: str, revision: int) -> Network:
        """What a document means. NetworkInvalid."""
        return Network.parse(document, revision)

    def differences(self, before: Network | None, after: Network) -> Sequence[Change]:
        """What one network has that the other has not."""
        return diff(before, after)

    def in_force(self, meaning: Network, revision: int) -> Network:
        """The same network under this revision."""
        return Network(meaning.document, revision, meaning.parsed)
