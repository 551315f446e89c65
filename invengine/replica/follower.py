"""The follower: loads the replica from the store, then applies the change log as it grows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from invengine.domain.incoming import Receipt
from invengine.domain.stock import Unsellable
from invengine.errors import Unavailable
from invengine.replica.clock import StoreClock
from invengine.replica.columns import Columns, LogMalformed
from invengine.replica.replica import Replica
from invengine.replica.state import Entry, State

_log = logging.getLogger(__name__)

VERIFY_SECONDS: Final = 1.0  # how often the store is asked for its time, and whether its log is still the same
RETRY_SECONDS: Final = 0.05  # pause after the store was away, doubled up to
RETRY_SECONDS_MAX: Final = 1.0
OWN_WRITES_PAUSE_SECONDS: Final = 0.005
"""After a look that found only what was applied already: a busy server reads its own writes back in larger pieces."""


class Source(Protocol):
    """What the follower asks of the store."""

    async def now_ms(self) -> int:
        """Redis's clock."""

    async def revisions(self) -> list[int]:
        """The newest revision of every partition."""

    def snapshot_positions(self) -> AsyncIterator[list[tuple[str, dict[bytes, bytes]]]]:
        """Every SKU with its stock hash, in chunks."""

    def snapshot_holds(self) -> AsyncIterator[Sequence[Entry]]:
        """H rows of every hold that is not swept, in chunks."""

    def snapshot_incoming(self) -> AsyncIterator[list[Receipt]]:
        """Every open receipt, in chunks; a backorder is one without a receipt_id whose `pegged` are its units."""

    def snapshot_unsellable(self) -> AsyncIterator[list[Unsellable]]:
        """Units in every state that was ever used, in chunks."""

    async def read_log(self, after: Sequence[int], block_ms: int, count: int = ...) -> Sequence[Entry]:
        """Entries after these revisions, at most `count` a partition; waits up to `block_ms` when there are none."""


class HistoryLost(Exception):
    """The log does not continue what is applied here: entries are gone, or the store went back to an older state."""


def _nothing(_: object) -> None:
    """The hook of those who do not listen."""


def _none() -> int:
    return 0


class Follower:
    """Keeps a replica equal to its store. `load` first, then `run` as a task.

    `trimmed` is the exception by which `source.read_log` says that entries after a revision are gone. `disruptions`
    counts the connections to the store that were lost: behind a new one may be a store that lost writes, so nothing is
    applied until it is clear that what was applied is still there. `on_lag` is told seconds since the replica was known
    to be caught up, after every look at the log; `on_reload` why it is loaded anew.
    """

    def __init__(
        self,
        replica: Replica,
        source: Source,
        clock: StoreClock,
        *,
        trimmed: type[Exception],
        disruptions: Callable[[], int] = _none,
        block_ms: int = 100,
        entries_a_read: int = 1000,
        on_lag: Callable[[float], None] = _nothing,
        on_reload: Callable[[str], None] = _nothing,
    ) -> None:
        self._replica = replica
        self._source = source
        self._clock = clock
        self._trimmed = trimmed
        self._disruptions = disruptions
        self._block_ms = block_ms
        self._count = entries_a_read
        self._on_lag = on_lag
        self._on_reload = on_reload
        self._stopping = asyncio.Event()
        self._verified_at = float("-inf")

    async def load(self) -> None:
        """Loads the whole state aside, then swaps it in; until then the replica answers as before.

        Revisions are noted before the first position is read, so that whatever changed meanwhile is in the log after
        them. What was read before a lost connection and after it may be of two histories, so it is read again. Raises
        what the store raises; LogMalformed when its data cannot be decoded.
        """
        await self._source.revisions()  # connects to every server that is not connected yet
        while True:
            disruptions = self._disruptions()
            try:
                state = await self._loaded()
                if self._disruptions() == disruptions:
                    break
                _log.info("connections were made while the replica was loading; it begins again")
            except (self._trimmed, HistoryLost) as lost:
                _log.warning("the log was cut while the replica was loading; it begins again: %s", lost)
        self._replica.become(state)

    async def run(self) -> None:
        """Follows the log until `stop`, over lost connections and lost history."""
        away, pause = False, RETRY_SECONDS
        lost: Exception | None = None
        while not self._stopping.is_set():
            try:
                if lost is not None:
                    await self._reload(lost)
                    lost = None
                await self._look()
                away, pause = False, RETRY_SECONDS
            except (self._trimmed, HistoryLost, LogMalformed) as fault:
                lost = fault
            except Unavailable as fault:
                if not away:
                    _log.warning("the store is away; the replica answers from what it has: %s", fault)
                away = True
                self._verified_at = float("-inf")
                await self._pause(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            self._on_lag(self._replica.staleness_ms() / 1000)

    def stop(self) -> None:
        """Lets `run` return after the look at the log that it is waiting for."""
        self._stopping.set()

    async def _loaded(self) -> State:
        source = self._source
        await self._read_clock()
        state = State(Columns(self._replica.locations, self._replica.channels), await source.revisions())
        async for chunk in source.snapshot_positions():
            state.load(chunk, self._replica.partitions)
        state.columns.settle()
        async for holds in source.snapshot_holds():
            state.apply_rows(holds)
        async for receipts in source.snapshot_incoming():
            state.incoming.load(receipts)
        async for unsellable in source.snapshot_unsellable():
            state.unsellable.load(unsellable)
        began = monotonic()
        wanted = await source.revisions()
        while not state.is_at(wanted):
            if not state.apply(await source.read_log(list(state.applied), 0, self._count)):
                raise HistoryLost("the log does not reach the revisions that the store has")
        self._replica.caught_up(began)
        return state

    async def _look(self) -> None:
        """One look at the log; every second, and after a lost connection, one that starts at what was applied last."""
        if monotonic() - self._verified_at > VERIFY_SECONDS:
            await self._read_clock()
            await self._verify()
            return
        disruptions, began = self._disruptions(), monotonic()
        entries = await self._source.read_log(list(self._replica.applied), self._block_ms, self._count)
        if self._disruptions() != disruptions:
            self._verified_at = float("-inf")
            return
        if entries and not self._apply(entries, began):
            await self._pause(OWN_WRITES_PAUSE_SECONDS)

    async def _verify(self) -> None:
        """A look that first compares what was applied last with what the log has there: a failover may lose some."""
        state = self._replica.state
        applied, newest = list(state.applied), list(state.newest)
        disruptions, began = self._disruptions(), monotonic()
        entries = await self._source.read_log([max(0, revision - 1) for revision in applied], 0, self._count)
        first: dict[int, Entry] = {}
        for entry in entries:
            first.setdefault(entry.partition, entry)
        for partition, revision in enumerate(applied):
            if revision and not _is_same(first.get(partition), revision, newest[partition]):
                raise HistoryLost(f"revision {revision} of partition {partition} is gone, or another one now")
            if revision and newest[partition] is None and state.applied[partition] == revision:
                state.newest[partition] = first[partition]  # loaded, not read from the log: known from now on
        self._apply(entries, began)
        if self._disruptions() == disruptions:
            self._verified_at = began

    def _apply(self, entries: Sequence[Entry], began: float) -> bool:
        """Applies what a look that began then has found; whether any of it was news."""
        replica = self._replica
        before = list(replica.applied)
        replica.apply(entries)
        if replica.fault is not None:
            raise replica.fault
        if replica.state.has_gap(entries):
            raise HistoryLost("the log has a gap")
        if len(entries) < self._count:
            replica.caught_up(began)
        return replica.applied != before

    async def _reload(self, lost: Exception) -> None:
        _log.warning("the replica is loaded anew: %s", lost)
        self._on_reload(type(lost).__name__)
        try:
            await self.load()
        except LogMalformed:
            _log.exception("the store holds what cannot be decoded; trying again")
            await self._pause(RETRY_SECONDS_MAX)
            raise

    async def _read_clock(self) -> None:
        sent = self._clock.local()
        redis_ms = await self._source.now_ms()
        self._clock.observe(redis_ms, sent, self._clock.local())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _is_same(entry: Entry | None, revision: int, known: Entry | None) -> bool:
    """Whether the log's entry is the one of this revision that was applied, as far as that is known."""
    if entry is None or entry.revision != revision:
        return False
    return known is None or (entry.recorded_at_ms, entry.rows) == (known.recorded_at_ms, known.rows)
