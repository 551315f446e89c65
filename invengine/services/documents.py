"""A document that is in force on every server: read from the store, put there as one step, followed when another
server changes it.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from invengine.domain.network import Change
from invengine.errors import InvalidArgument, InventoryError, RevisionMismatch
from invengine.services import validation
from invengine.services.following import POLL_SECONDS, Followed

_log = logging.getLogger(__name__)

_RACES_MAX = 10  # documents of other servers that may come between looking and writing before the caller is told


class Meaning(Protocol):
    """What a document means. A revision is from 1; 0 where it is not in force."""

    @property
    def document(self) -> str:
        """The text."""

    @property
    def revision(self) -> int:
        """Its number in the store."""


MeaningT = TypeVar("MeaningT", bound=Meaning)


class Documents(Followed, Generic[MeaningT]):
    """Holds what is in force as `current`, None until there is something.

    `load` at the start, `run` as a task. Listeners are called with everything that comes into force, in order.
    """

    unreadable: ClassVar[type[InventoryError]]
    """What `parse` raises."""

    def __init__(self, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._listeners: list[Callable[[MeaningT], None]] = []
        self._stored: tuple[str, int] | None = None
        self.current: MeaningT | None = None

    @abstractmethod
    async def read(self) -> tuple[str, int] | None:
        """The document in the store and its revision from 1, or None."""

    @abstractmethod
    async def write(self, document: str, expected_revision: int | None) -> int:
        """Puts a document into the store and answers its revision. The one that is there, sent again, keeps its
        revision, else RevisionMismatch when `expected_revision` is not the one in force (0: none is).
        """

    @abstractmethod
    def parse(self, document: str, revision: int) -> MeaningT:
        """What a document means. In a thread of its own, as it may take seconds: others are served meanwhile."""

    @abstractmethod
    def differences(self, before: MeaningT | None, after: MeaningT) -> Sequence[Change]:
        """What one has that the other has not. In a thread of its own, as it may take a second."""

    @abstractmethod
    def in_force(self, meaning: MeaningT, revision: int) -> MeaningT:
        """The same, as it is in force under this revision."""

    def add_listener(self, listener: Callable[[MeaningT], None]) -> None:
        """Calls the listener for everything from now on, and at once for what is in force."""
        self._listeners.append(listener)
        if self.current is not None:
            listener(self.current)

    async def put(
        self, document: str, *, request_id: str, expected_revision: int | None, validate_only: bool
    ) -> tuple[MeaningT, tuple[Change, ...], int]:
        """Puts a document in force on every server as one step, or only says what it would change: what it means, what
        it changes, and the revision in force after the call.

        The document in force, sent again, changes nothing whatever revision is expected, so a repeat is safe.
        InvalidArgument, what `parse` raises, RevisionMismatch, and what the store raises.
        """
        validation.required_id("request_id", request_id)
        if not document:
            raise InvalidArgument("document", "is required")
        if expected_revision is not None:
            validation.expected_revision("expected_revision", expected_revision)
        meaning = await asyncio.to_thread(self.parse, document, 0)
        async with self._one_at_a_time:
            for _ in range(_RACES_MAX):
                await self.look()
                revision = self._stored[1] if self._stored else 0
                if self._stored and self._stored[0] == document:
                    return meaning, (), revision
                if expected_revision not in (None, revision):
                    break
                changes = tuple(await asyncio.to_thread(self.differences, self.current, meaning))
                if validate_only:
                    return meaning, changes, revision
                try:
                    revision = await self.write(document, revision)
                except RevisionMismatch:
                    continue  # another document came between: the difference to that one is wanted
                meaning = self.in_force(meaning, revision)
                self._take(meaning)
                return meaning, changes, revision
        raise RevisionMismatch(revision if expected_revision is None else expected_revision, revision)

    async def look(self) -> None:
        """Takes over what the store has now; one call at a time."""
        stored = await self.read()
        if stored is None:  # an emptied store: what was in force stays until there is another
            self._stored = None
            return
        if stored == self._stored:
            return
        document, revision = stored
        try:
            meaning = await asyncio.to_thread(self.parse, document, revision)
        except self.unreadable as faults:
            self._stored = stored
            _log.error(
                "%s revision %d cannot be read by this version and is not in force here: %s",
                self.name,
                revision,
                faults,
            )
            return
        self._take(meaning)

    def _take(self, meaning: MeaningT) -> None:
        self._stored = (meaning.document, meaning.revision)
        self.current = meaning
        _log.info("%s revision %d is in force", self.name, meaning.revision)
        for listener in self._listeners:
            listener(meaning)
