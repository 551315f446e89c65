"""Looks: what changed in the replica, taken now and then, and worked out for every view that somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from invengine.errors import InventoryError, NetworkMissing
from invengine.services.watch_names import AllNames, ListedNames
from invengine.services.watch_network import NamedSkus
from invengine.services.watch_subscribers import Look
from invengine.services.watch_views import View, ViewQuestion

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.metrics import Metrics
    from invengine.replica.changes import Changes
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.questions import Networks
    from invengine.services.watch_network import Slots

_STEP_SECONDS: Final = 0.002
"""After so long in one look, others have their turn."""


class Looks:
    """The views that are watched. Whoever looks, adds a view or has one worked out holds `lock`.

    `look` is the state of the replica that all views show.
    """

    def __init__(self, replica: Replica, clock: StoreClock, networks: Networks, metrics: Metrics) -> None:
        self.views: dict[ViewQuestion, View] = {}
        self.lock = asyncio.Lock()
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._metrics = metrics
        self._all_names: AllNames | None = None
        self._network: Network | None = None
        self._named = NamedSkus()  # by this network
        self._is_interrupted = False  # the newest look was not done to its end
        self.look = self._captured()

    @property
    def network(self) -> Network | None:
        """By which all views are worked out."""
        return self._network

    def begin(self) -> None:
        """Somebody watches from now on: the replica notes what changes."""
        self._replica.note_changes(True)
        self._use(self._networks.current)
        self.look = self._captured()

    def end(self) -> None:
        """Nobody watches any more."""
        self._replica.note_changes(False)

    def view_of(self, question: ViewQuestion) -> View:
        """The view that answers it. UnknownChannel, UnknownLocation, UnknownGroup, GroupNotUsable."""
        found = self.views.get(question)
        if found is not None:
            return found
        assert self._network is not None
        names: AllNames | ListedNames | None = self._all_names if question.is_all else None
        if names is None:
            names = (AllNames if question.is_all else ListedNames)(self._replica.columns)
            names.use(self._named)
        view = View(question, names, self._replica, self._network, self._named.ruled)
        if isinstance(names, AllNames):
            self._all_names = names
        self.views[question] = view
        return view

    def drop(self, view: View) -> None:
        """Nobody watches it any more."""
        if self.views.get(view.question) is view:
            del self.views[view.question]
        if not any(question.is_all for question in self.views):
            self._all_names = None

    async def again(self) -> None:
        """Brings every view up to the replica as it is now. Tokens name that state when all views have it."""
        self._compact()
        began = step_began = perf_counter()
        replica, network, now_ms = self._replica, self._networks.current, self._clock.now_ms()
        replica.advance(now_ms)
        is_same = not replica.has_changes and network is self._network and not self._is_interrupted
        if is_same and not any(view.is_due(now_ms) for view in self.views.values()):
            self.look = self._captured()
            return
        changes = replica.take_changes()
        look = self._captured()
        everything = changes.everything or network is not self._network or self._is_interrupted
        self._is_interrupted = True  # by whoever looks and is cancelled
        self._rename(changes)
        self._use(network)
        self._metrics.watch.coalesced += max(0, changes.rows - changes.numbers.size)
        for view in list(self.views.values()):
            before = view.values.count
            slots = self._asked_anew(view) if everything else _changed_slots(view, changes)
            if not everything and view.is_due(now_ms):
                begun, step_began = await self._begun(view, now_ms, step_began)
                slots = np.union1d(slots, begun)
            if slots.size:
                step_began = await self.work_out(view, slots, now_ms, step_began)
                view.values.looked(before, changes.since)
        self._is_interrupted = False
        self.look = look
        self._metrics.kernel_seconds["watch"].observe(perf_counter() - began)

    async def work_out(self, view: View, slots: Slots, now_ms: int, began: float | None = None) -> float:
        """Works out these slots, others having their turn now and then; when the newest step began."""
        began = perf_counter() if began is None else began
        for _ in view.steps(slots, now_ms):
            began = await turn_of_others(began)
        return began

    def _rename(self, changes: Changes) -> None:
        columns = self._replica.columns
        for names in {id(view.names): view.names for view in self.views.values()}.values():
            if names.columns is not columns:  # the replica was loaded anew
                names.find_anew(columns)
            else:
                names.know(changes.created)

    def _use(self, network: Network | None) -> None:
        """Takes over a network, and what it says of single SKUs."""
        if network is not self._network:
            self._network, self._named = network, NamedSkus(network)
            for names in {id(view.names): view.names for view in self.views.values()}.values():
                names.use(self._named)

    def _asked_anew(self, view: View) -> Slots:
        """All slots of the view under the network in force; none when that does not have what the view asks about."""
        try:
            if self._network is None:
                raise NetworkMissing
            view.ask(self._network, self._named.ruled)
        except InventoryError as refusal:
            self.views.pop(view.question, None)
            for subscriber in list(view.subscribers):
                subscriber.end(refusal)
            return np.empty(0, np.int64)
        return np.arange(len(view.names))

    async def _begun(self, view: View, now_ms: int, began: float) -> tuple[Slots, float]:
        """The slots that time alone may have changed; others have their turn as in `work_out`."""
        found = [np.empty(0, np.int64)]
        for slots in view.begun(now_ms):
            found.append(slots)
            began = await turn_of_others(began)
        return np.concatenate(found), began

    def _compact(self) -> None:
        """Views forget SKUs that nobody watches any more."""
        for view in self.views.values():
            size = len(view.names)
            kept = view.names.compact() if isinstance(view.names, ListedNames) else None
            if kept is not None:
                view.values.keep(kept)
                places = np.full(size, -1, np.int64)
                places[kept] = np.arange(kept.size)
                for subscriber in view.subscribers:
                    subscriber.move(places)

    def _captured(self) -> Look:
        state, network = self._replica.state, self._networks.current
        return Look(self._replica, list(state.applied), list(state.newest), network.revision if network else 0)


async def turn_of_others(began: float) -> float:
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
