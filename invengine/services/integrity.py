"""The integrity check: does the live store hold what must hold, and is the replica equal to it?

Nothing is locked. A first look finds suspects, which may be mere changes between two reads. Each suspect is then looked
at again, between two reads of its position: when both give the same revision nothing moved in between, since every
write that changes units of a position raises its revision, and what differs then is wrong. What moved is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import partition_of
from invengine.domain.stock import Position
from invengine.errors import InvalidArgument, ReplicaBehind
from invengine.replica.columns import Columns, LogMalformed
from invengine.replica.index import Locations
from invengine.replica.state import State
from invengine.services.integrity_columns import Row, fences_of, rows_of
from invengine.services.integrity_promises import PromisesCheck
from invengine.services.integrity_report import (
    NOWHERE,
    POSITION_IS_LOGGED,
    READABLE,
    REPLICA_IS_STORE,
    RESERVED_IS_OPEN_UNITS,
    RING_FENCE_IS_POSSIBLE,
    Place,
    Report,
    Violation,
)
from invengine.services.integrity_states import StatesCheck
from invengine.services.integrity_units import open_units
from invengine.services.replay import Replay
from invengine.store.records import LogTrimmed, OpenAllocation, Unreadable, read_position

if TYPE_CHECKING:
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

VIOLATIONS_DEFAULT: Final = 100
VIOLATIONS_MAX: Final = 1000
ROUNDS_MAX: Final = 5
LOG_CHUNK: Final = 200
REPLICA_SECONDS_MAX: Final = 5.0
POSITIONS_A_TURN: Final = 500
"""Compared before others have their turn: half a millisecond."""

NOTHING: Final = Position(0, 0, 0)


class Integrity:
    """The use case of CheckIntegrity. `log_entries_kept` is how many entries each partition's log holds at least."""

    def __init__(
        self, store: RedisStore, replica: Replica, clock: StoreClock, metrics: Metrics, *, log_entries_kept: int
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._metrics = metrics
        self._log_entries_kept = log_entries_kept
        self._one_at_a_time = asyncio.Lock()

    async def check(self, violations_max: int = 0, *, replay: bool = False) -> Report:
        """Checks everything, with `replay` the whole log too; answers at most `violations_max` violations (0: 100)."""
        if not 0 <= violations_max <= VIOLATIONS_MAX:
            raise InvalidArgument("violations_max", f"is {violations_max}; 0 to {VIOLATIONS_MAX} are allowed")
        async with self._one_at_a_time:
            run = _Check(self._store, self._replica, self._log_entries_kept)
            report = await run.run(violations_max or VIOLATIONS_DEFAULT, replay=replay)
            self._metrics.set_violations(run.counts, self._clock.now_ms() / 1000, replayed=replay)
            return report


class _Check:
    """One run of the check."""

    def __init__(self, store: RedisStore, replica: Replica, log_entries_kept: int) -> None:
        self._store = store
        self._replica = replica
        self._log_entries_kept = log_entries_kept
        self._report = Report()
        self.counts: Counter[str] = Counter()
        """Violations by invariant, also those that are not told."""
        self._violations_max = 0
        self._unreadable: set[Place] = set()
        self._log_from: list[int] = []
        self._log = State(Columns(Locations()), [])

    async def run(self, violations_max: int, *, replay: bool) -> Report:
        """Looks at everything once, then at the suspects until they are settled; then replays the log if wanted."""
        self._violations_max = violations_max
        await self._read_log()
        units = await open_units(
            self._store,
            unreadable=lambda fault: self._violation(READABLE, NOWHERE, fault),
            unfenceable=self._unfenceable,
        )
        self._report.reservations_checked = units.reservations
        suspects = await self._suspects(units.on_hand)
        for _ in range(ROUNDS_MAX):
            if not suspects:
                break
            suspects = await self._settle(suspects)
        self._report.unsettled = len(suspects) + await PromisesCheck(self._store, self._violation, self._replica).run(
            units
        )
        self._report.unsettled += await StatesCheck(self._store, self._violation, self._replica).run()
        if self._report.unsettled:
            logger.warning("%d positions and promises changed too fast to be judged", self._report.unsettled)
        for partition in range(self._store.partitions):
            for fault in await self._store.torn_reservations(partition):
                self._violation(READABLE, NOWHERE, fault)
        if replay:
            self._report.replayed = await Replay(self._store, self._violation).run()
        return self._report

    async def _read_log(self) -> None:
        """Replays what the logs still hold into columns of their own."""
        kept = self._log_entries_kept
        while True:
            newest = await self._store.revisions()
            self._log_from = [max(0, revision - kept) for revision in newest]
            self._log = State(Columns(Locations()), self._log_from)
            try:
                await self._follow_log(newest)
            except LogTrimmed:
                kept //= 2  # writers were faster than this reading
                continue
            return

    async def _follow_log(self, wanted: list[int]) -> None:
        log = self._log
        while not log.is_at(wanted):
            entries = await self._store.read_log(log.applied, 0, LOG_CHUNK)
            try:
                progress = log.apply(entries)
            except LogMalformed as fault:
                self._violation(READABLE, NOWHERE, str(fault))
                progress = False
            if not progress:  # a log that ends early, or cannot be read: what it does not say cannot be compared
                self._log_from = [max(pair) for pair in zip(log.applied, wanted, strict=True)]
                log.applied[:] = self._log_from
                return

    async def _suspects(self, units: Counter[Place]) -> set[Place]:
        """Positions that do not agree with everything at a first look."""
        suspects: set[Place] = set()
        left = set(units)
        seen: set[str] = set()
        turn = 0
        async for chunk in self._store.snapshot_positions():
            for sku, stored in chunk:
                if sku in seen:
                    continue
                seen.add(sku)
                turn += len(stored)
                if turn > POSITIONS_A_TURN:
                    turn = 0
                    await asyncio.sleep(0)
                suspects |= self._suspects_of(sku, stored, units)
                left.difference_update([(sku, location.decode()) for location in stored])
        columns = self._replica.state.columns
        for number, name in enumerate(columns.index.names(columns.sku_count)):
            if number % POSITIONS_A_TURN == 0:
                await asyncio.sleep(0)
            sku = name.decode()
            if sku not in seen:
                suspects.update((sku, location) for location in rows_of(self._replica.state, sku))
        for sku, places in self._replica.state.slots.all().items():
            if sku not in seen:
                suspects.update((sku, place) for place in places)
        return (suspects | left) - self._unreadable

    def _suspects_of(self, sku: str, stored: dict[bytes, bytes], units: Counter[Place]) -> set[Place]:
        suspects: set[Place] = set()
        replicated = rows_of(self._replica.state, sku)
        fences = fences_of(self._replica.state.columns, sku)
        logged = rows_of(self._log, sku)
        log_from = self._log_from[partition_of(sku, self._store.partitions)]
        for name, text in stored.items():
            location = name.decode()
            self._report.positions_checked += 1
            try:
                position = read_position(text)
            except Unreadable as fault:
                self._violation(READABLE, (sku, location), str(fault))
                self._unreadable.add((sku, location))
                continue
            self._judge_fences((sku, location), position)
            row = (position.on_hand, position.reserved, position.revision)
            if (
                position.reserved != units[sku, location]
                or replicated.pop(location, None) != row
                or fences.get(location, ()) != position.fences
                or (position.revision > log_from and logged.get(location) != row)
            ):
                suspects.add((sku, location))
        suspects.update((sku, location) for location in replicated)
        return suspects

    def _judge_fences(self, place: Place, position: Position) -> None:
        """Ring-fences are of one channel each, by channel, none without units."""
        names = [channel for channel, _ in position.fences]
        for channel, kept in position.fences:
            if kept <= 0 or not channel or names.count(channel) > 1:
                self._violation(
                    RING_FENCE_IS_POSSIBLE, place, f"the ring-fence of {channel!r} has {kept} units", 1, kept
                )

    def _unfenceable(self, reservation_id: str, its: OpenAllocation) -> None:
        self._violation(
            RING_FENCE_IS_POSSIBLE,
            (its.sku, its.location),
            f"of {its.units} open units of reservation {reservation_id}, {its.source.fenced} are out of a ring-fence",
            its.units,
            its.source.fenced,
        )

    async def _settle(self, suspects: set[Place]) -> set[Place]:
        """Judges the suspects that stand still during this look; those that moved are left."""
        before = await self._positions(suspects)
        revisions = await self._store.revisions()
        replica_knows = True
        try:
            await self._replica.wait_for(list(enumerate(revisions)), REPLICA_SECONDS_MAX)
        except ReplicaBehind:
            replica_knows = False
        try:
            await self._follow_log(revisions)
        except LogTrimmed:
            await self._read_log()
        replicated = {place: rows_of(self._replica.state, place[0]).get(place[1]) for place in suspects}
        fences = {place: fences_of(self._replica.state.columns, place[0]).get(place[1], ()) for place in suspects}
        logged = {place: rows_of(self._log, place[0]).get(place[1]) for place in suspects}
        wanted = await open_units(self._store, wanted=lambda its: (its.sku, its.location) in suspects)
        units = wanted.on_hand
        after = await self._positions(suspects)
        moved = set()
        for place in sorted(suspects):
            position = after.get(place, NOTHING)
            if before.get(place, NOTHING).revision != position.revision:
                moved.add(place)
                continue
            if position.reserved != units[place]:
                what = f"reserved is {position.reserved}, live reservations have {units[place]} units open"
                self._violation(RESERVED_IS_OPEN_UNITS, place, what, units[place], position.reserved)
            if position.revision > self._log_from[partition_of(place[0], self._store.partitions)]:
                self._judge_row(POSITION_IS_LOGGED, place, position, logged[place], "the log")
            if replica_knows and (place in after or replicated[place] is not None):
                self._judge_row(REPLICA_IS_STORE, place, position, replicated[place], "the replica")
                if replicated[place] is not None and fences[place] != position.fences:
                    what = f"ring-fences are {position.fences} in the store and {fences[place]} in the replica"
                    self._violation(REPLICA_IS_STORE, place, what)
        return moved

    async def _positions(self, places: Iterable[Place]) -> dict[Place, Position]:
        """What the store has of these positions now."""
        found = {}
        for sku, location in sorted(places):
            position = await self._store.position(sku, location)
            if position is not None:
                found[sku, location] = position
        return found

    def _judge_row(self, invariant: str, place: Place, position: Position, row: Row | None, who: str) -> None:
        """Reports a row elsewhere that is not the position's: the numbers of the first column that differs."""
        names = ("on_hand", "reserved", "revision")
        stored = (position.on_hand, position.reserved, position.revision)
        if row is None:
            self._violation(invariant, place, f"{who} does not have this position", position.revision)
            return
        for name, expected, actual in zip(names, stored, row, strict=True):
            if expected != actual:
                what = f"{name} is {expected} in the store and {actual} in {who}"
                self._violation(invariant, place, what, expected, actual)
                return

    def _violation(self, invariant: str, place: Place, what: str, expected: int = 0, actual: int = 0) -> None:
        self.counts[invariant] += 1
        self._report.violations_count += 1
        violation = Violation(invariant, *place, expected, actual, what)
        logger.error("integrity: %s: %s", invariant, violation)
        if len(self._report.violations) < self._violations_max:
            self._report.violations.append(violation)
