"""The follower: loads the replica from the store, then applies the change log as it grows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from invengine.errors import Unavailable
from invengine.replica.clock import StoreClock
from invengine.replica.columns import Columns, LogMalformed
from invengine.replica.replica import Replica
from invengine.replica.state import Entry, State

_log = logging.getLogger(__name__)

CLOCK_SECONDS: Final = 1.0  # how often the store is asked for its time
RETRY_SECONDS: Final = 0.05  # pause after the store was away, doubled up to
RETRY_SECONDS_MAX: Final = 1.0


class Source(Protocol):
    """What the follower asks of the store."""

    async def now_ms(self) -> int:
        """The store's clock."""

    async def revisions(self) -> list[int]:
        """The newest revision of every partition."""

    def snapshot_positions(self) -> AsyncIterator[list[tuple[str, dict[bytes, bytes]]]]:
        """Every SKU with its stock hash, in chunks."""

    def snapshot_holds(self) -> AsyncIterator[Sequence[Entry]]:
        """H rows of every hold that is not swept, in chunks."""

    async def read_log(self, after: Sequence[int], block_ms: int, count: int = ...) -> Sequence[Entry]:
        """Entries after these revisions, at most `count` a partition; waits up to `block_ms` when there are none."""


class _HistoryLost(Exception):
    """The log does not continue what is applied here: entries are gone, or the store went back to an older state."""


def _nothing(_: object) -> None:
    """The hook of those who do not listen."""


class Follower:
    """Keeps a replica equal to its store. `load` first, then `run` as a task.

    `trimmed` is the exception by which `source.read_log` says that entries after a revision are gone. `on_lag` is told
    seconds since the replica was known to be caught up, after every look at the log; `on_reload` why it is loaded anew.
    """

    def __init__(
        self,
        replica: Replica,
        source: Source,
        clock: StoreClock,
        *,
        trimmed: type[Exception],
        block_ms: int = 100,
        entries_a_read: int = 1000,
        on_lag: Callable[[float], None] = _nothing,
        on_reload: Callable[[str], None] = _nothing,
    ) -> None:
        self._replica = replica
        self._source = source
        self._clock = clock
        self._trimmed = trimmed
        self._block_ms = block_ms
        self._count = entries_a_read
        self._on_lag = on_lag
        self._on_reload = on_reload
        self._stopping = asyncio.Event()
        self._clock_read_at = float("-inf")

    async def load(self) -> None:
        """Loads the whole state aside, then swaps it in; until then the replica answers as before.

        Revisions are noted before the first position is read, so that whatever changed meanwhile is in the log after
        them. Raises what the store raises; LogMalformed when its data cannot be decoded.
        """
        while True:
            try:
                state = await self._loaded()
            except (self._trimmed, _HistoryLost) as lost:
                _log.warning("the log was trimmed while the replica was loading; it begins again: %s", lost)
                continue
            break
        self._replica.become(state)

    async def run(self) -> None:
        """Follows the log until `stop`, over lost connections and lost history."""
        pause = RETRY_SECONDS
        connected = True
        while not self._stopping.is_set():
            try:
                if not connected:
                    await self._check_history()
                    connected, pause = True, RETRY_SECONDS
                await self._follow()
            except (self._trimmed, _HistoryLost, LogMalformed) as lost:
                await self._reload(lost)
            except Unavailable as away:
                if connected:
                    _log.warning("the store is away; the replica answers from what it has: %s", away)
                connected = False
                await self._pause(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            self._on_lag(self._replica.staleness_ms() / 1000)

    def stop(self) -> None:
        """Lets `run` return after the look at the log that it is waiting for."""
        self._stopping.set()

    async def _loaded(self) -> State:
        source = self._source
        await self._read_clock()
        state = State(Columns(self._replica.locations), await source.revisions())
        async for chunk in source.snapshot_positions():
            state.columns.load(chunk, self._replica.partitions)
        async for holds in source.snapshot_holds():
            if holds:
                state.apply_rows(holds)
        began = monotonic()
        wanted = await source.revisions()
        while not state.is_at(wanted):
            entries = await source.read_log(list(state.applied), self._block_ms, self._count)
            if not state.apply(entries):
                raise _HistoryLost(f"the log ends before revisions that the store has, or has a gap: {wanted}")
        self._replica.caught_up(began)
        return state

    async def _follow(self) -> None:
        """One look at the log."""
        replica = self._replica
        if monotonic() - self._clock_read_at > CLOCK_SECONDS:
            await self._read_clock()
        began = monotonic()
        entries = await self._source.read_log(list(replica.applied), self._block_ms, self._count)
        replica.apply(entries)
        if replica.fault is not None:
            raise replica.fault
        if replica.state.has_gap(entries):
            raise _HistoryLost("the log has a gap")
        if len(entries) < self._count:
            replica.caught_up(began)

    async def _check_history(self) -> None:
        """After a lost connection: is the entry that was applied last still there, the same? Failovers lose some."""
        state = self._replica.state
        applied, newest = list(state.applied), list(state.newest)
        entries = await self._source.read_log([max(0, revision - 1) for revision in applied], 1, 1)
        found = {entry.partition: entry for entry in entries}
        for partition, revision in enumerate(applied):
            entry, known = found.get(partition), newest[partition]
            if revision == 0:
                continue
            if entry is None or entry.revision != revision:
                raise _HistoryLost(f"partition {partition} has no revision {revision} any more")
            if known is not None and (entry.recorded_at_ms, entry.rows) != (known.recorded_at_ms, known.rows):
                raise _HistoryLost(f"revision {revision} of partition {partition} is another one now")

    async def _reload(self, lost: Exception) -> None:
        _log.warning("the replica is loaded anew: %s", lost)
        self._on_reload(type(lost).__name__)
        try:
            await self.load()
        except LogMalformed:
            _log.exception("the store holds data that cannot be decoded; trying again")
            await self._pause(RETRY_SECONDS_MAX)

    async def _read_clock(self) -> None:
        sent = monotonic()
        store_ms = await self._source.now_ms()
        received = monotonic()
        self._clock.observe(store_ms, sent, received)
        self._clock_read_at = received

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
