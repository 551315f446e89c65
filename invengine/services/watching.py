"""Watching: who watches what, and the looks at what changed that keep them told.

Every tick one look takes what changed in the replica, and works out each view once for all who share it. Subscribers
that have taken their last message are then told; the others are told the newest state when they come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine.errors import InventoryError, NetworkMissing, Overloaded
from invengine.services.questions import WATCH, Networks, parsed
from invengine.services.watch_names import AllNames, ListedNames
from invengine.services.watch_network import NamedSkus
from invengine.services.watch_resuming import Asked, Log, Resuming
from invengine.services.watch_subscribers import Look, Subscriber
from invengine.services.watch_views import View, ViewQuestion
from invengine.services.watch_wire import Seen
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.metrics import Metrics
    from invengine.replica.changes import Changes
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.watch_network import Slots

_WOKEN_AT_ONCE: Final = 32
_STEP_SECONDS: Final = 0.002
"""After so long in one look, others have their turn."""


class Watching:
    """All who watch this server. `run` as a task; `watch` for each call."""

    def __init__(
        self,
        replica: Replica,
        log: Log,
        clock: StoreClock,
        networks: Networks,
        metrics: Metrics,
        *,
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
        self._views: dict[ViewQuestion, View] = {}
        self._subscribers: dict[View, set[Subscriber]] = {}
        self._waiting: dict[View, set[Subscriber]] = {}
        self._all_names: AllNames | None = None
        self._resuming = Resuming(replica, log, clock, networks)
        self._watchers = 0
        self._watched = asyncio.Event()
        self._one_look = asyncio.Lock()
        self._network: Network | None = None
        self._named = NamedSkus()  # by this network
        self._is_interrupted = False  # the newest look was not done to its end
        self.look = self._captured()

    def waiting(self, view: View) -> set[Subscriber]:
        """Those of a view who have been told all that it knows."""
        return self._waiting[view]

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

    async def tick(self) -> None:
        """One look at what changed, told to whoever waits."""
        async with self._one_look:
            await self._look_again()
        await self._tell()

    @property
    def behind(self) -> int:
        """How many have something to be told, or have not taken it yet."""
        return self._watchers - sum(map(len, self._waiting.values()))

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
        async with self._one_look:
            await self._look_again()
            assert self._network is not None
            view = self._views.get(asked.question) or self._made(asked.question, self._network)
            subscriber = Subscriber(self, view, asked.digest, self._metrics)
            self._subscribers[view].add(subscriber)
            try:
                await self._add(subscriber, asked.names, seen)
            except BaseException:
                self._leave(subscriber)
                raise
        return subscriber

    def _made(self, question: ViewQuestion, network: Network) -> View:
        names: AllNames | ListedNames | None = self._all_names if question.is_all else None
        if names is None:
            names = (AllNames if question.is_all else ListedNames)(self._replica.columns)
            names.use(self._named)
        view = View(question, names, self._replica, network, self._named.ruled)
        if isinstance(names, AllNames):
            self._all_names = names
        self._views[question] = view
        self._subscribers[view], self._waiting[view] = set(), set()
        return view

    async def _add(self, subscriber: Subscriber, names: Sequence[bytes], seen: Seen | None) -> None:
        """Works out what the view does not know yet, and what the subscriber is told first."""
        view = subscriber.view
        if isinstance(view.names, ListedNames):
            subscriber.slots = view.names.add(names)
            new = view.never_told(subscriber.slots)
        else:
            new = np.arange(len(view.names) if view.count else 0, len(view.names))
        await self._work_out(view, new, self._clock.now_ms())
        first = view.told_after(0, subscriber.slots)
        is_whole = seen is None or self._resuming.is_changed_since(seen)
        if not is_whole:
            assert seen is not None
            first = self._resuming.changed(view, first, seen)
        subscriber.begin(first, is_whole=is_whole)

    def _leave(self, subscriber: Subscriber) -> None:
        view = subscriber.view
        mates = self._subscribers.get(view)
        if mates is None or subscriber not in mates:
            return
        mates.remove(subscriber)
        self._waiting[view].discard(subscriber)
        if isinstance(view.names, ListedNames) and subscriber.slots is not None:
            view.names.drop(subscriber.slots)
        if not mates:
            self._drop(view)

    def _drop(self, view: View) -> None:
        del self._subscribers[view], self._waiting[view]
        if self._views.get(view.question) is view:
            del self._views[view.question]
        if not any(question.is_all for question in self._views):
            self._all_names = None

    def _count(self, change: int) -> None:
        """One watches more or less; nothing is noted and nobody looks while nobody watches."""
        self._watchers += change
        self._metrics.watch.subscribers = self._watchers
        if change > 0 and self._watchers == 1:
            self._replica.note_changes(True)
            self._use(self._networks.current)
            self.look = self._captured()
            self._watched.set()
        elif self._watchers == 0:
            self._replica.note_changes(False)
            self._watched.clear()
            self._metrics.watch.behind = 0

    # Looking and telling

    async def _look_again(self) -> None:
        """Brings every view up to the replica as it is now. Tokens name that state when all views have it."""
        self._compact()
        began = step_began = perf_counter()
        replica, network, now_ms = self._replica, self._networks.current, self._clock.now_ms()
        replica.advance(now_ms)
        is_same = not replica.has_changes and network is self._network and not self._is_interrupted
        if is_same and not any(view.is_due(now_ms) for view in self._views.values()):
            self.look = self._captured()
            return
        changes = replica.take_changes()
        look = self._captured()
        everything = changes.everything or network is not self._network or self._is_interrupted
        self._is_interrupted = True  # by whoever looks and is cancelled
        self._rename(changes)
        self._use(network)
        self._metrics.watch.coalesced += max(0, changes.rows - changes.numbers.size)
        for view in list(self._views.values()):
            before = view.count
            slots = self._asked_anew(view) if everything else _changed_slots(view, changes)
            if not everything and view.is_due(now_ms):
                begun, step_began = await self._begun(view, now_ms, step_began)
                slots = np.union1d(slots, begun)
            if slots.size:
                step_began = await self._work_out(view, slots, now_ms, step_began)
                view.looked(before, changes.since)
        self._is_interrupted = False
        self.look = look
        self._metrics.kernel_seconds["watch"].observe(perf_counter() - began)

    def _rename(self, changes: Changes) -> None:
        columns = self._replica.columns
        for names in {id(view.names): view.names for view in self._views.values()}.values():
            if names.columns is not columns:  # the replica was loaded anew
                names.find_anew(columns)
            else:
                names.know(changes.created)

    def _use(self, network: Network | None) -> None:
        """Takes over a network, and what it says of single SKUs."""
        if network is not self._network:
            self._network, self._named = network, NamedSkus(network)
            for names in {id(view.names): view.names for view in self._views.values()}.values():
                names.use(self._named)

    def _asked_anew(self, view: View) -> Slots:
        """All slots of the view under the network in force; none when that does not have what the view asks about."""
        try:
            if self._network is None:
                raise NetworkMissing
            view.ask(self._network, self._named.ruled)
        except InventoryError as refusal:
            self._views.pop(view.question, None)
            for subscriber in list(self._subscribers.get(view, ())):
                subscriber.end(refusal)
            return np.empty(0, np.int64)
        return np.arange(len(view.names))

    async def _begun(self, view: View, now_ms: int, began: float) -> tuple[Slots, float]:
        """The slots that time alone may have changed; others have their turn as in `_work_out`."""
        found = [np.empty(0, np.int64)]
        for slots in view.begun(now_ms):
            found.append(slots)
            began = await _turn_of_others(began)
        return np.concatenate(found), began

    async def _work_out(self, view: View, slots: Slots, now_ms: int, began: float | None = None) -> float:
        """Works out these slots, others having their turn now and then; when the newest step began."""
        began = perf_counter() if began is None else began
        for _ in view.steps(slots, now_ms):
            began = await _turn_of_others(began)
        return began

    def _compact(self) -> None:
        """Views forget SKUs that nobody watches any more."""
        for view in self._views.values():
            size = len(view.names)
            kept = view.names.compact() if isinstance(view.names, ListedNames) else None
            if kept is not None:
                view.keep(kept)
                places = np.full(size, -1, np.int64)
                places[kept] = np.arange(kept.size)
                for subscriber in self._subscribers[view]:
                    subscriber.move(places)

    async def _tell(self) -> None:
        """Wakes those who wait and have something to be told, a few at a time: others have their turn in between."""
        self._metrics.watch.behind = self.behind
        woken = 0
        for view, waiting in list(self._waiting.items()):
            if view.count_told != view.count:
                view.count_told = view.count
                for subscriber in list(waiting):
                    woken += subscriber in waiting and subscriber.notice()  # it may have left since
                    if woken >= _WOKEN_AT_ONCE:
                        woken = 0
                        await asyncio.sleep(0)

    def _beat(self) -> None:
        before = monotonic() - self._heartbeat_seconds
        for waiting in self._waiting.values():
            for subscriber in list(waiting):
                subscriber.beat(before)

    def _captured(self) -> Look:
        state, network = self._replica.state, self._networks.current
        return Look(self._replica, list(state.applied), list(state.newest), network.revision if network else 0)


async def _turn_of_others(began: float) -> float:
    """Lets others have their turn when the step that began then has lasted; when the newest one began."""
    if perf_counter() - began <= _STEP_SECONDS:
        return began
    await asyncio.sleep(0)
    return perf_counter()


def _changed_slots(view: View, changes: Changes) -> Slots:
    slots = view.names.slots_of(changes.numbers)
    kits = view.names.in_network.kits_with(changes.numbers, view.names.columns)
    if kits.size:
        slots = np.union1d(slots, kits)
    if changes.expected and isinstance(view.names, ListedNames):
        expected = _known_slots(view.names, changes.expected)
        slots = np.union1d(slots, np.array(expected, np.int64))
    return slots


def _known_slots(names: ListedNames, skus: Iterable[str]) -> list[int]:
    return [slot for slot in (names.slot(sku.encode()) for sku in skus) if slot >= 0]
