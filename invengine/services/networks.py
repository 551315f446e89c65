"""The network in force: read from the store, put there as one step, followed when another server changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from invengine.domain.network import Change, Network, diff
from invengine.errors import NetworkInvalid, NetworkMissing
from invengine.services.documents import POLL_SECONDS, Documents


class NetworkStore(Protocol):
    """What is needed of the store."""

    async def network(self) -> tuple[str, int] | None:
        """The document in force and its revision from 1, or None."""

    async def apply_network(self, document: str, expected_revision: int | None) -> int:
        """Puts a document in force: see Documents.write."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The network that the document means, and what it changes; `revision` is the one in force after the call."""

    network: Network
    changes: tuple[Change, ...]
    revision: int


class Networks(Documents[Network]):
    """Holds the network in force as `current`, None until there is one."""

    name = "network"
    unreadable = NetworkInvalid

    def __init__(self, store: NetworkStore, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store

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
        return Applied(*put)

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
