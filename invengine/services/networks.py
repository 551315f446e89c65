"""The network in force: read from the store, put there as one step, followed when another server changes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from invengine.domain.delivery_gaps import delivery_gaps
from invengine.domain.network import Change, Network, diff
from invengine.errors import (
    InvalidArgument,
    NetworkFault,
    NetworkInvalid,
    NetworkMissing,
    RevisionMismatch,
    Unavailable,
)
from invengine.services import validation
from invengine.services.days import today
from invengine.services.working_time import WorkingTime, working_time

if TYPE_CHECKING:
    Listener = Callable[[Network], None]

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
_RACES_MAX = 10  # documents of other servers that may come between looking and writing before the caller is told


def _machine_ms() -> int:
    return time.time_ns() // 1_000_000


class NetworkStore(Protocol):
    """What is needed of the store."""

    async def network(self) -> tuple[str, int] | None:
        """The document in force and its revision from 1, or None."""

    async def apply_network(self, document: str, expected_revision: int | None) -> int:
        """Puts a document in force and answers its revision. The one in force, sent again, keeps its revision, else
        RevisionMismatch when `expected_revision` is not the one in force (0: none is).
        """


@dataclass(frozen=True, slots=True)
class Applied:
    """The network that the document means, what it changes and what it leaves open about delivery.

    `revision` is the one in force after the call.
    """

    network: Network
    changes: tuple[Change, ...]
    revision: int
    gaps: tuple[NetworkFault, ...]


class Networks:
    """Holds the network in force as `current`, None until there is one.

    `load` at the start, `run` as a task. Listeners are called with every network that comes into force, in order.
    """

    def __init__(
        self, store: NetworkStore, *, poll_seconds: float = POLL_SECONDS, now_ms: Callable[[], int] = _machine_ms
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._poll_seconds = poll_seconds
        self._listeners: list[Listener] = []
        self._stored: tuple[str, int] | None = None
        self._one_at_a_time = asyncio.Lock()  # else an older answer of the store could arrive after a newer one
        self._wake = asyncio.Event()
        self._is_away = False
        self.current: Network | None = None

    def add_listener(self, listener: Listener) -> None:
        """Calls the listener for every network from now on, and at once for the one in force."""
        self._listeners.append(listener)
        if self.current is not None:
            listener(self.current)

    def required(self) -> Network:
        """The network in force, or NetworkMissing."""
        if self.current is None:
            raise NetworkMissing
        return self.current

    def working_time(self, location: str, *, first_day: int, days: int) -> WorkingTime:
        """When a location works, from a local day on; 0: from today. NetworkMissing, and as `working_time`."""
        return working_time(self.required(), location, first_day=first_day, days=days, now_ms=self._now_ms())

    async def load(self) -> None:
        """Takes over what the store has now. A document that this version cannot read is logged and not taken over."""
        async with self._one_at_a_time:
            await self._look()

    def wake(self) -> None:
        """Makes `run` look now: somebody says that the network changed."""
        self._wake.set()

    async def run(self) -> None:
        """Follows the store until cancelled: looks every second and when woken, also after the store was away."""
        while True:
            with contextlib.suppress(TimeoutError):  # nobody woke it: time to look anyway
                await asyncio.wait_for(self._wake.wait(), self._poll_seconds)
            self._wake.clear()
            try:
                await self.load()
            except Unavailable as away:
                if not self._is_away:
                    _log.warning("the network cannot be followed for now: %s", away)
                self._is_away = True
            else:
                self._is_away = False

    async def apply(
        self, document: str, *, request_id: str, expected_revision: int | None = None, validate_only: bool = False
    ) -> Applied:
        """Puts a document in force on every server as one step, or only says what it would change.

        The document in force, sent again, changes nothing whatever revision is expected, so a repeat is safe.
        InvalidArgument, NetworkInvalid, RevisionMismatch, and what the store raises.
        """
        validation.required_id("request_id", request_id)
        if not document:
            raise InvalidArgument("document", "is required")
        if expected_revision is not None:
            validation.expected_revision("expected_revision", expected_revision)
        network, gaps = await asyncio.to_thread(
            self._checked, document
        )  # may take a second: others are served meanwhile
        async with self._one_at_a_time:
            for _ in range(_RACES_MAX):
                await self._look()
                revision = self._stored[1] if self._stored else 0
                if self._stored and self._stored[0] == document:
                    return Applied(network, (), revision, gaps)
                if expected_revision not in (None, revision):
                    break
                changes = tuple(diff(self.current, network))
                if validate_only:
                    return Applied(network, changes, revision, gaps)
                try:
                    revision = await self._store.apply_network(document, revision)
                except RevisionMismatch:
                    continue  # another document came between: the difference to that one is wanted
                network = Network(document, revision, network.parsed)
                self._take(network)
                return Applied(network, changes, revision, gaps)
        raise RevisionMismatch(revision if expected_revision is None else expected_revision, revision)

    def _checked(self, document: str) -> tuple[Network, tuple[NetworkFault, ...]]:
        network = Network.parse(document)
        return network, delivery_gaps(network, today(self._now_ms()))

    async def _look(self) -> None:
        stored = await self._store.network()
        if stored is None:  # an emptied store: what was in force stays until there is another
            self._stored = None
            return
        if stored == self._stored:
            return
        document, revision = stored
        try:
            network = await asyncio.to_thread(Network.parse, document, revision)
        except NetworkInvalid as faults:
            self._stored = stored
            _log.error(
                "network revision %d cannot be read by this version and is not in force here: %s", revision, faults
            )
            return
        self._take(network)

    def _take(self, network: Network) -> None:
        self._stored = (network.document, network.revision)
        self.current = network
        _log.info("network revision %d is in force", network.revision)
        for listener in self._listeners:
            listener(network)
