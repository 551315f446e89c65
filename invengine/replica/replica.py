"""The replica: the state of every partition up to a revision, kept by applying the change log in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic
from typing import Final, Protocol

from invengine import kernels
from invengine.domain.partitions import encode_token
from invengine.errors import ReplicaBehind
from invengine.replica.changes import NOTHING_SINCE, Changes
from invengine.replica.columns import Columns, CreatedPosition, LogMalformed
from invengine.replica.incoming import Incoming
from invengine.replica.index import Channels, Locations
from invengine.replica.slots import TakenSlots
from invengine.replica.state import Entry, State
from invengine.replica.unsellable import UnsellableUnits

_log = logging.getLogger(__name__)
_NEVER: Final = float("-inf")
STALENESS_UNKNOWN_MS: Final = 315_576_000_000_000  # the longest protobuf duration: nothing is known yet

Safety = tuple[int, int]


class SafetyRules(Protocol):
    """What the replica needs of a network: rules that name SKUs, as (units, ten-thousandths of on_hand)."""

    @property
    def locations(self) -> Mapping[str, object]:
        """The locations, by name."""

    @property
    def sku_safety(self) -> Mapping[str, Safety]:
        """Rules for a SKU at all locations."""

    @property
    def stopping(self) -> Collection[str]:
        """The locations where receipts stop counting when their day is over."""

    @property
    def position_safety(self) -> Mapping[tuple[str, str], Safety]:
        """Rules for a SKU at one location."""

    @property
    def kits(self) -> Mapping[str, object]:
        """The kits, by name."""


class Replica:
    """Columns, the revision that each partition is at, and who waits for which.

    Single-threaded: every method is called on the event loop. Entries are applied whole between two reads.
    """

    def __init__(self, partitions: int, store_id: bytes) -> None:
        self.partitions: Final = partitions
        self.store_id: Final = store_id
        self.locations: Final = Locations()
        self.channels: Final = Channels()
        self.state = State(Columns(self.locations, self.channels), [0] * partitions)
        self.fault: LogMalformed | None = None
        self._caught_up_at = _NEVER
        self._waiting: set[asyncio.Future[None]] = set()
        self.stopping: Collection[str] = frozenset()
        """The locations where overdue receipts do not count, by the network in force."""
        self._sku_rules: dict[str, list[tuple[str, Safety]]] = {}
        self._kits: Mapping[str, object] = {}
        self.kits_with_stock: set[int] = set()
        """Numbers of SKUs that are kits and have positions of their own all the same, which count for nothing."""

        self.on_entries: Callable[[Sequence[Entry] | None], object] | None = None
        """Is shown entries before they are applied, perhaps twice, and None when the replica was loaded anew."""
        self._tokens: list[tuple[int, str]] = [(-1, "")] * partitions
        self._token_of_all: tuple[int, str] = (-1, "")
        self._changes = 0
        self._notes = False
        self._everything = False
        self._created: list[tuple[int, bytes]] = []
        self._named = 0  # SKUs with smaller numbers are not new
        self._changed_since = NOTHING_SINCE

    @property
    def columns(self) -> Columns:
        """The arrays; another object after the replica was loaded anew."""
        return self.state.columns

    @property
    def incoming(self) -> Incoming:
        """What is expected and backordered; another object after the replica was loaded anew."""
        return self.state.incoming

    @property
    def unsellable(self) -> UnsellableUnits:
        """What is there and not sellable; another object after the replica was loaded anew."""
        return self.state.unsellable

    @property
    def slots(self) -> TakenSlots:
        """Slots of daily capacity that are taken; another object after the replica was loaded anew."""
        return self.state.slots

    @property
    def applied(self) -> list[int]:
        """The revision that each partition is at: every change up to it is in the columns, none after it."""
        return self.state.applied

    def apply(self, entries: Iterable[Entry]) -> None:
        """Applies entries in their order, skipping those that are applied; one behind a gap is left to the follower.

        A malformed row never fails the caller, whose write is done: `fault` is set, and the follower loads anew.
        """
        if self.fault is not None:
            return
        if self.on_entries is not None:
            entries = list(entries)
            self.on_entries(entries)
        try:
            if not self.state.apply(entries):
                return
        except LogMalformed as fault:
            _log.exception("the change log cannot be decoded; the replica loads anew")
            self.fault = fault
        self._changes += 1
        self._note()
        self._wake()

    def note_changes(self, wanted: bool) -> None:
        """Whether `take_changes` will be asked, from now on. Without that nothing is noted and nothing is paid for."""
        self._notes = wanted
        self._forget_changes()
        self._prepare(self.state)

    def take_changes(self) -> Changes:
        """What changed since the last call, or since `note_changes`."""
        numbers, rows = self.columns.take_changed()
        expected = frozenset(self.incoming.changed or ())
        changes = Changes(
            numbers, expected, tuple(self._created), self._everything, rows, min(self._changed_since, monotonic())
        )
        self._forget_changes()
        return changes

    @property
    def has_changes(self) -> bool:
        """Whether `take_changes` would have any."""
        return self._everything or self.columns.has_changed or bool(self.incoming.changed)

    def set_network(self, network: SafetyRules) -> None:
        """Takes over kits and rules that name SKUs; those for locations and channels come with each question."""
        for name in network.locations:
            self.locations.number(name)
        self.stopping = network.stopping
        self._sku_rules = {}
        for sku, safety in network.sku_safety.items():
            self._sku_rules.setdefault(sku, []).append(("", safety))
        for (sku, location), safety in network.position_safety.items():
            self._sku_rules.setdefault(sku, []).append((location, safety))
        self._kits = network.kits
        self._use_rules(self.columns)
        self._everything = True
        self._note()

    def advance(self, now_ms: int) -> None:
        """Holds that are over at `now_ms`, by the store's clock, stop counting. Cheap: called before each read."""
        second = now_ms // 1000
        columns = self.state.columns
        if second != columns.second:
            columns.advance(second)
            self.state.slots.advance(second)
            self._note()

    def behind(self, pairs: Iterable[tuple[int, int]]) -> bool:
        """Whether some partition is not at its (partition, revision) yet."""
        applied = self.state.applied
        return any(applied[partition] < revision for partition, revision in pairs)

    async def wait_for(self, pairs: Sequence[tuple[int, int]], timeout_seconds: float) -> None:
        """Returns when every partition is at its (partition, revision); ReplicaBehind when that takes too long."""
        if not self.behind(pairs):
            return
        began = monotonic()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.behind(pairs):
                    changed = loop.create_future()
                    self._waiting.add(changed)
                    try:
                        await changed
                    finally:
                        self._waiting.discard(changed)
        except TimeoutError:
            raise ReplicaBehind(monotonic() - began) from None

    def caught_up(self, at: float) -> None:
        """Notes that at this moment of the monotonic clock nothing was missing."""
        self._caught_up_at = max(self._caught_up_at, at)

    def staleness_ms(self) -> int:
        """Changes older than this are in the replica: time since it was last known to be caught up, rounded up."""
        if self._caught_up_at == _NEVER:
            return STALENESS_UNKNOWN_MS
        return max(0, int((monotonic() - self._caught_up_at) * 1000)) + 1

    def token(self, partitions: Iterable[int] | None = None) -> str:
        """The consistency token that names the state of these partitions, of all when none are named."""
        if partitions is not None:
            return encode_token(self.store_id, [(partition, self.applied[partition]) for partition in partitions])
        changes, token = self._token_of_all
        if changes != self._changes:
            token = encode_token(self.store_id, enumerate(self.applied))
            self._token_of_all = (self._changes, token)
        return token

    def token_of(self, partition: int) -> str:
        """The consistency token that names the state of one partition; remembered while that does not change."""
        applied = self.state.applied[partition]
        revision, token = self._tokens[partition]
        if revision != applied:
            token = encode_token(self.store_id, ((partition, applied),))
            self._tokens[partition] = (applied, token)
        return token

    def become(self, state: State) -> None:
        """Takes over a state that was loaded aside; its columns share this replica's locations and channels."""
        self._prepare(state)
        self._use_rules(state.columns)
        self.state = state
        if self.on_entries is not None:
            self.on_entries(None)
        self._tokens = [(-1, "")] * self.partitions
        self._changes += 1
        self.fault = None
        self._created.clear()
        self._everything = True
        self._note()
        self._wake()

    def _prepare(self, state: State) -> None:
        """Lets the state report what is wanted of it."""
        state.columns.note_changes(self._notes)
        state.columns.watch_created = self._note_created if self._sku_rules or self._notes or self._kits else None
        state.incoming.changed = set() if self._notes else None
        self._named = state.columns.sku_count

    def _note(self) -> None:
        if self._notes and self._changed_since == NOTHING_SINCE and self.has_changes:
            self._changed_since = monotonic()

    def _forget_changes(self) -> None:
        self._everything = False
        self._created.clear()
        self._changed_since = NOTHING_SINCE
        if self.incoming.changed:
            self.incoming.changed.clear()

    def _use_rules(self, columns: Columns) -> None:
        columns.watch_created = self._note_created if self._sku_rules or self._notes or self._kits else None
        self.kits_with_stock = {number for number in map(columns.find_sku, self._kits) if number >= 0}
        kernels.clear_safety(columns.positions, columns.skus, columns.counters)
        for sku, rules in self._sku_rules.items():
            number = columns.find_sku(sku)
            if number >= 0:
                for location, (units, parts) in rules:
                    place = self.locations.number(location) if location else -1
                    kernels.raise_safety(columns.positions, columns.skus, number, place, units, parts)

    def _note_created(self, created: list[CreatedPosition]) -> None:
        """New positions get the rules of their SKU; of new SKUs, which come by their numbers, the names are noted."""
        columns = self.columns
        for sku, number, location in created:
            if self._notes and number >= self._named:
                self._created.append((number, sku.encode()))
                self._named = number + 1
            if sku in self._kits:
                self.kits_with_stock.add(number)
            for name, (units, parts) in self._sku_rules.get(sku, ()):
                if not name or self.locations.number(name) == location:
                    kernels.raise_safety(columns.positions, columns.skus, number, location, units, parts)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)
