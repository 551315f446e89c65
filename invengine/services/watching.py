"""Watching: who watches, and that they are told.

Every tick one look takes what changed in the replica, and works out each view once for all who share it. Subscribers
that have taken their last message are then told; the others are told the newest state when they come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine.errors import NetworkMissing, Overloaded
from invengine.services.questions import WATCH, Networks, parsed
from invengine.services.watch_looks import Looks, turn_of_others
from invengine.services.watch_names import ListedNames
from invengine.services.watch_news import PromiseNews
from invengine.services.watch_promises import PromiseQueue
from invengine.services.watch_resuming import Asked, Log, Resuming
from invengine.services.watch_subscribers import Subscriber
from invengine.services.watch_wire import Seen
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.broken import BrokenPromises

_WOKEN_AT_ONCE: Final = 32


class Watching:
    """All who watch this server. `run` and `run_promises` as tasks; `watch` for each call."""

    def __init__(
        self,
        replica: Replica,
        log: Log,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics,
        *,
        promises: BrokenPromises,
        watchers_max: int,
        tick_seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._metrics = metrics
        self._watchers_max = watchers_max
        self._tick_seconds = tick_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._looks = Looks(replica, clock, networks, metrics)
        self._news = PromiseNews(promises, self._tell_promises)
        self._readers: set[Subscriber] = set()  # of promises
        self._network_told: Network | None = None  # to these
        self._resuming = Resuming(replica, log, clock, networks)
        self._watchers = 0
        self._watched = asyncio.Event()

    async def run(self) -> None:
        """Looks every tick while somebody watches; less often where that would take more than half of the time."""
        beats_at, pause = 0.0, self._tick_seconds
        while True:
            await self._watched.wait()
            await asyncio.sleep(pause)
            began = monotonic()
            await self.tick()
            pause = max(self._tick_seconds, monotonic() - began)
            if monotonic() >= beats_at:
                beats_at = monotonic() + self._heartbeat_seconds / 4
                self._beat()

    async def run_promises(self) -> None:
        """Follows broken promises while somebody wants to be told of them."""
        await self._news.run()

    async def tick(self) -> None:
        """One look at what changed, told to whoever waits."""
        async with self._looks.lock:
            await self._looks.again()
        await self._tell()
        if self._readers and self._looks.network is not self._network_told:
            await self._tell_promises()  # a kit may have other components

    @property
    def behind(self) -> int:
        """How many have something to be told, or have not taken it yet."""
        return self._watchers - sum(len(view.waiting) for view in self._looks.views.values())

    async def watch(self, request: bytes, timeout_seconds: float | None = None) -> AsyncGenerator[bytes, None]:
        """WatchAvailabilityRequest -> WatchAvailabilityResponse, again and again, until the caller has enough.

        InvalidArgument, MalformedMessage, NetworkMissing, UnknownChannel, UnknownGroup, UnknownLocation,
        GroupNotUsable, Overloaded; ReplicaBehind when the replica does not reach the token in time.
        """
        if self._networks.current is None:
            raise NetworkMissing
        asked = Asked(parsed(request, pb.WatchAvailabilityRequest, WATCH))
        if self._watchers >= self._watchers_max:
            raise Overloaded(self._watchers, "callers watch already")
        self._count(1)
        try:
            subscriber = await self._subscribed(asked, timeout_seconds)
            del asked, request  # a stream may live long
            try:
                while True:
                    yield await subscriber.next_message()
            finally:
                self._leave(subscriber)
        finally:
            self._count(-1)

    # Coming and going

    async def _subscribed(self, asked: Asked, timeout_seconds: float | None) -> Subscriber:
        seen = await self._resuming.seen(asked, timeout_seconds) if asked.resume_token else None
        async with self._looks.lock:
            await self._looks.again()
            view = self._looks.view_of(asked.question)
            promises = None
            if asked.include_promises:
                promises = PromiseQueue(self._news.board, asked.question.channel, asked.names)
            subscriber = Subscriber(self._looks, view, asked.digest, self._metrics, promises)
            view.subscribers.add(subscriber)
            if promises is not None:
                self._readers.add(subscriber)
                self._news.count(1)
            try:
                await self._add(subscriber, asked.names, seen)
            except BaseException:
                self._leave(subscriber)
                raise
        return subscriber

    async def _add(self, subscriber: Subscriber, names: Sequence[bytes], seen: Seen | None) -> None:
        """Works out what the view does not know yet, and what the subscriber is told first."""
        view = subscriber.view
        if isinstance(view.names, ListedNames):
            subscriber.slots = view.names.add(names)
            new = view.values.never_told(subscriber.slots)
        else:
            new = np.arange(len(view.names) if view.values.count else 0, len(view.names))
        await self._looks.work_out(view, new, self._clock.now_ms())
        first = view.values.told_after(0, subscriber.slots)
        is_whole = seen is None or self._resuming.is_changed_since(seen)
        if not is_whole:
            assert seen is not None
            first = self._resuming.changed(view, first, seen)
        subscriber.begin(first, is_whole=is_whole)

    def _leave(self, subscriber: Subscriber) -> None:
        view = subscriber.view
        if subscriber not in view.subscribers:
            return
        view.subscribers.remove(subscriber)
        if subscriber in self._readers:
            self._readers.remove(subscriber)
            self._news.count(-1)
        view.waiting.discard(subscriber)
        if isinstance(view.names, ListedNames) and subscriber.slots is not None:
            view.names.drop(subscriber.slots)
        if not view.subscribers:
            self._looks.drop(view)

    def _count(self, change: int) -> None:
        """One watches more or less; nothing is noted and nobody looks while nobody watches."""
        self._watchers += change
        self._metrics.watch.subscribers = self._watchers
        if change > 0 and self._watchers == 1:
            self._looks.begin()
            self._watched.set()
        elif self._watchers == 0:
            self._looks.end()
            self._watched.clear()
            self._metrics.watch.behind = 0

    # Telling

    async def _tell(self) -> None:
        """Wakes those who wait and have something to be told, a few at a time: others have their turn in between."""
        self._metrics.watch.behind = self.behind
        woken = 0
        for view in list(self._looks.views.values()):
            values = view.values
            if values.count_told != values.count:
                values.count_told = values.count
                for subscriber in list(view.waiting):
                    woken += subscriber in view.waiting and subscriber.notice()  # it may have left since
                    if woken >= _WOKEN_AT_ONCE:
                        woken = 0
                        await asyncio.sleep(0)

    async def _tell_promises(self) -> None:
        """Wakes those who wait and have to be told of promises, others having their turn in between."""
        began, self._network_told = perf_counter(), self._looks.network
        for subscriber in list(self._readers):
            subscriber.notice_promises()
            began = await turn_of_others(began)

    def _beat(self) -> None:
        before = monotonic() - self._heartbeat_seconds
        for view in self._looks.views.values():
            for subscriber in list(view.waiting):
                subscriber.beat(before)
