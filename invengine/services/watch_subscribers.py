"""One who watches: what it was told, what it has to be told, and the messages that do it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from invengine.services.watch_wire import Seen, encode_seen, encode_token, message, stamp_of

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.errors import InventoryError
    from invengine.metrics import Metrics
    from invengine.replica.replica import Replica
    from invengine.replica.state import Entry
    from invengine.services.watch_network import Slots
    from invengine.services.watch_promises import PromiseQueue
    from invengine.services.watch_views import View


_NOTHING: Final[Slots] = np.empty(0, np.int64)


class Look:
    """The state of the replica that all views show, and how old it may be."""

    def __init__(
        self, replica: Replica, applied: Sequence[int], newest: Sequence[Entry | None], network_revision: int
    ) -> None:
        self._store_id = replica.store_id
        self._applied = applied
        self._newest = newest
        self._network_revision = network_revision
        self._second = replica.columns.second
        self._text = ""
        self._staleness_ms = replica.staleness_ms()
        self._at = monotonic()

    def token(self, digest: bytes) -> str:
        """The token of a question for this state; written only when it is wanted."""
        if not self._text:
            stamps = [0 if entry is None else stamp_of(entry.recorded_at_ms) for entry in self._newest]
            self._text = encode_seen(self._store_id, Seen(self._applied, stamps, self._network_revision, self._second))
        return encode_token(digest, self._text)

    def staleness_ms(self) -> int:
        """Changes that are older than this are told."""
        return self._staleness_ms + int((monotonic() - self._at) * 1000)


class Desk(Protocol):
    """Where the newest look is found."""

    @property
    def look(self) -> Look:
        """The state that all views show."""

    @property
    def network(self) -> Network | None:
        """By which network."""


class Subscriber:
    """Tells one caller, a message at a time. What it still has to tell is a list of slots: values are the newest ones.

    While it waits it is among those of its view who do, and has been told all that the view knows.
    """

    def __init__(
        self, desk: Desk, view: View, digest: bytes, metrics: Metrics, promises: PromiseQueue | None = None
    ) -> None:
        self._desk = desk
        self.view = view
        self._values = view.values
        self.slots: Slots | None = None  # None: all of the view
        self._digest = digest
        self._promises = promises
        self._counts = metrics.watch
        question = view.question
        kind = "levels" if question.levels_only else "locations" if question.by_location else "totals"
        self._lag = metrics.watch_lag[kind]
        self._look = desk.look
        self._told = 0  # count of the look up to which it was told, or will be with the queue
        self._queue = _NOTHING
        self._at = 0
        self._after = 0
        self._is_shared = False  # the queue is what all have who ask the same and were told as much
        self._since = 0.0  # moment of the oldest change in the queue; 0: of the first state
        self._caught_up = False
        self._begins_anew = False
        self._beats = False
        self._told_at = 0.0
        self._sent_since = 0.0
        self._ended: InventoryError | None = None
        self._wake: asyncio.Future[None] | None = None

    def begin(self, first: Slots, *, is_whole: bool) -> None:
        """Has these slots told first: all that there is (`is_whole`), or what may have changed since a token."""
        self._queue, self._look = first, self._desk.look
        self._begins_anew = self._is_shared = is_whole
        self._told = self._values.count

    async def next_message(self) -> bytes:
        """The next message, as soon as there is one. The refusal that ended the watch."""
        if self._sent_since:
            self._lag.observe(monotonic() - self._sent_since)
            self._sent_since = 0.0
        while True:
            if self._ended is not None:
                raise self._ended
            has_promises = self._has_promises()
            if self._has_more() or self._fill() or self._beats or has_promises:
                self._told_at = monotonic()
                told = self._next()
                return told + self._next_promises() if has_promises else told
            waiting = self.view.waiting
            self._wake = asyncio.get_running_loop().create_future()
            waiting.add(self)
            try:
                await self._wake
            finally:
                waiting.discard(self)
                self._wake = None

    def notice(self) -> bool:
        """Takes in that the view may know more, and wakes when that has to be told; whether it does."""
        is_news = not self._has_more() and self._fill()
        if is_news:
            self._rouse()
        return is_news

    def notice_promises(self) -> bool:
        """Takes in that other promises may be broken, and wakes when that has to be told; whether it does."""
        is_news = self in self.view.waiting and self._has_promises()
        if is_news:
            self._rouse()
        return is_news

    def beat(self, before: float) -> None:
        """A sign of life, when the last message was before this moment."""
        if self._told_at < before and not self._has_more():
            self._beats = not self._fill()
            self._rouse()

    def end(self, refusal: InventoryError) -> None:
        """The view cannot be answered any more."""
        self._ended = refusal
        self._rouse()

    def move(self, places: Slots) -> None:
        """Slots of the view got other numbers: `places`, by their old ones."""
        if self.slots is not None:
            self.slots = places[self.slots]
        self._queue, self._at = places[self._queue[self._at :]], 0
        self._is_shared = False

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self.view.waiting.discard(self)
            self._wake.set_result(None)

    def _has_promises(self) -> bool:
        return self._promises is not None and self._promises.has_more(self._desk.network)

    def _next_promises(self) -> bytes:
        assert self._promises is not None
        fields, count = self._promises.take()
        self._counts.promises_told += count
        return fields

    def _has_more(self) -> bool:
        return self._at < self._queue.size or not self._caught_up

    def _fill(self) -> bool:
        """Queues what changed after what was told; whether there is any."""
        values = self._values
        if values.count == self._told:
            return False
        queue = values.told_after(self._told, self.slots)
        if queue.size:
            self._queue, self._at, self._look = queue, 0, self._desk.look
            self._after, self._is_shared = self._told, True
            self._since = values.since(self._told)
        self._told = values.count
        return bool(queue.size)

    def _next(self) -> bytes:
        """The next message of the queue, or a sign of life."""
        self._beats = False
        if not self._has_more():  # all is told: the newest look names it
            self._look = self._desk.look
            return message(b"", token=self._look.token(self._digest), staleness_ms=self._look.staleness_ms())
        key = (self._digest, self._after, self._told, self._at) if self._is_shared else None
        changes, count, self._at = self._values.piece(self._queue, self._at, self._after, key)
        self._counts.told += count
        anew, self._begins_anew = self._begins_anew, False
        if self._at < self._queue.size:
            return message(changes, anew=anew)
        first, self._caught_up = not self._caught_up, True
        self._sent_since, self._since = self._since, 0.0
        self._queue, self._at = _NOTHING, 0
        token, staleness_ms = self._look.token(self._digest), self._look.staleness_ms()
        return message(changes, token=token, staleness_ms=staleness_ms, caught_up=first, anew=anew)
