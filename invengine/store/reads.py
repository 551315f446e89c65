"""Questions to the store that change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from invengine.domain.orders import Reservation, ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.stock import Feed, FeedMark, Position
from invengine.store import keys
from invengine.store.calls import Calls
from invengine.store.heads import Head
from invengine.store.node import Command
from invengine.store.records import (
    LogEntry,
    LogTrimmed,
    OpenAllocation,
    open_allocations,
    read_feed,
    read_position,
    read_reservation,
)
from invengine.store.server_facts import SECTIONS, StoreFacts, read_facts
from invengine.store.snapshot import SCAN_COUNT, hash_keys
from invengine.store.startup import StoreIdentity, as_dict

_STAMP = "revision", "applied_at_ms"  # of two documents never the same, also when a store was emptied in between
POLL_SECONDS = 0.002
POLL_SECONDS_MAX = 0.025
"""Between two looks at the logs of a Cluster: the first pause, and the longest."""


class ReservationReader(Protocol):
    """Reads reservations that are not kept as one record."""

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """A reservation, live or closed within retention."""

    async def head(self, home: int, reservation_id: str) -> Head | None:
        """The head of a reservation, live or closed within retention."""

    async def faults(self, partition: int) -> list[str]:
        """What heads and pieces of a partition do not agree about."""


class Reads:
    """The reading half of the store."""

    def __init__(self, calls: Calls, identity: StoreIdentity) -> None:
        self._calls = calls
        self._retention_seconds = identity.retention_seconds
        self._pieces: ReservationReader | None = None
        self._documents: dict[bytes, tuple[list[bytes], tuple[str, int]]] = {}  # by key: stamp; document and revision
        self.partitions = identity.partitions
        self.store_id = identity.store_id
        self.is_whole = calls.topology.is_whole
        """Whether one call sees and changes any partitions in one step."""

    @property
    def own_library(self) -> int:
        """The version of the function library that this engine brings along."""
        return self._calls.own_library

    async def loaded_library(self) -> int:
        """The version of the function library in Redis; on a Cluster the oldest there is. Never older than the own one:
        where it was, the own one is loaded first.
        """
        return await self._calls.loaded_library()

    async def now_ms(self) -> int:
        """Redis's clock; in a Cluster that of the node which serves the store's own key."""
        return milliseconds((await self._calls.read(("TIME",)))[0])

    def go_by(self, clock: Callable[[], int]) -> None:
        """Judge by this estimate of the store's time from now on, and have the functions do so: milliseconds, 0 where
        it is not known, less than 0 where it goes before Redis's clock however near that is.
        """
        self._calls.clock = clock

    async def trusted_ms(self) -> int:
        """The store's time: the estimate, where there is one, else Redis's clock."""
        return abs(self._calls.clock()) or await self.now_ms()

    async def revisions(self) -> list[int]:
        """The newest revision of every partition, in one round trip per server."""
        names = [keys.revision(partition) for partition in range(self.partitions)]
        if self._calls.topology.is_whole:
            (texts,) = await self._calls.read(("MGET", *names))
        else:
            texts = await self._calls.read(*(("GET", name) for name in names))
        return [int(text or 0) for text in texts]

    async def position(self, sku: str, location: str) -> Position | None:
        """One position, or None where the SKU was never stocked. `reserved` still counts unswept holds."""
        (text,) = await self._calls.read(("HGET", keys.stock(self._of(sku), sku), location))
        return read_position(text) if text else None

    async def positions(self, sku: str) -> dict[str, Position]:
        """All positions of a SKU by location; empty when it is unknown."""
        (stored,) = await self._calls.read(("HGETALL", keys.stock(self._of(sku), sku)))
        return {location.decode(): read_position(text) for location, text in as_dict(stored).items()}

    async def feed(self, name: str) -> Feed:
        """How far a feed is; at 0 where nothing of it was ever acknowledged."""
        (text,) = await self._calls.read(("HGET", keys.feeds(self._of(name)), name))
        return read_feed(name, text.decode()) if text else Feed(FeedMark(name, 0))

    async def feeds(self) -> list[Feed]:
        """All feeds of which anything was acknowledged, by name."""
        stored = await self._calls.read(*(("HGETALL", keys.feeds(n)) for n in range(self.partitions)))
        texts = {name.decode(): text.decode() for there in stored for name, text in as_dict(there).items()}
        return [read_feed(name, text) for name, text in sorted(texts.items())]

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """A reservation, live or closed within retention. `state` is as stored: see Reservation.state_at."""
        if self._pieces is not None:
            return await self._pieces.reservation(reservation_id)
        return await self.record(self._of(reservation_id), reservation_id)

    @property
    def in_pieces(self) -> bool:
        """Whether a reservation is a head and its pieces, not one record."""
        return self._pieces is not None

    async def record(self, home: int, reservation_id: str) -> Reservation | None:
        """The record with this id at a partition, live or closed within retention: a reservation or a piece of one."""
        text, time = await self._calls.read(("HGET", keys.reservations(home), reservation_id), ("TIME",))
        if text is None:
            now_ms = abs(self._calls.clock()) or milliseconds(time)
            found = await self._calls.read(
                *(("HGET", keys.closed(home, period), reservation_id) for period in self.periods(now_ms))
            )
            text = next(filter(None, found), None)
        return read_reservation(reservation_id, text.decode()) if text else None

    async def read_log(self, after: Sequence[int], block_ms: int, count: int = 1000) -> list[LogEntry]:
        """Entries after these revisions, of all partitions, at most `count` of each; waits `block_ms` for the first.

        LogTrimmed when entries between `after` and the first that is left are gone.
        """
        if self._calls.topology.is_whole:
            command: list[str | int] = ["XREAD", "COUNT", count]
            if block_ms:
                command += ["BLOCK", block_ms]
            command += ["STREAMS", *map(keys.log, range(self.partitions)), *(f"{revision}-0" for revision in after)]
            replies = await self._calls.read(command, block_seconds=block_ms / 1000)
        else:
            replies = await self._polled(
                [
                    ("XREAD", "COUNT", count, "STREAMS", keys.log(n), f"{revision}-0")
                    for n, revision in enumerate(after)
                ],
                block_ms / 1000,
            )
        found = []
        for reply in replies:
            for name, entries in reply.items() if isinstance(reply, dict) else reply or ():
                partition = int(name[2 : name.index(b"}")])
                # RESP3 replies may wrap the entries of a stream once more
                listed = [log_entry(partition, entry_id, fields) for entry_id, fields in _unwrapped(entries)]
                if listed[0].revision != after[partition] + 1:
                    raise LogTrimmed(partition)
                found += listed
        return found

    async def _polled(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """The replies as soon as one is not empty, or those after so many seconds.

        One XREAD cannot block on the logs of several slots.
        """
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + seconds, POLL_SECONDS
        while True:
            replies = await self._calls.read(*commands)
            left = end - loop.time()
            if left <= 0 or any(replies):
                return replies
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, POLL_SECONDS_MAX)

    async def snapshot_positions(self) -> AsyncIterator[list[tuple[str, dict[bytes, bytes]]]]:
        """All positions in chunks of (SKU, location -> text). A SKU may come twice: note revisions() before, then read
        the log from there.
        """
        async for names in hash_keys(self._calls, self.partitions, keys.STOCK_PATTERN):
            hashes = await self._calls.read(*(("HGETALL", name) for name in names))
            yield [(keys.sku_of_stock(name), as_dict(stored)) for name, stored in zip(names, hashes, strict=True)]

    async def live_records(self, partition: int) -> AsyncIterator[list[tuple[str, str]]]:
        """Id and record of the live reservations of a home partition, in chunks; one may come twice."""
        async for chunk in self._scan_hash(keys.reservations(partition)):
            yield chunk

    async def live_heads(self, partition: int) -> AsyncIterator[list[tuple[str, str]]]:
        """Id and head of the live reservations in pieces of a home partition, in chunks; one may come twice."""
        async for chunk in self._scan_hash(keys.heads(partition)):
            yield chunk

    async def head(self, partition: int, reservation_id: str) -> Head | None:
        """The head of a reservation in pieces, live or closed within retention."""
        return None if self._pieces is None else await self._pieces.head(partition, reservation_id)

    async def torn_reservations(self, partition: int) -> list[str]:
        """Sentences about the heads and pieces of a partition that do not agree; none where there are no such."""
        return [] if self._pieces is None else await self._pieces.faults(partition)

    async def snapshot_holds(self) -> AsyncIterator[list[LogEntry]]:
        """Rows `H` of all held units, in chunks: entries of revision 0 whose partition is that of the SKU."""
        for home in range(self.partitions):
            async for records in self.live_records(home):
                rows: dict[int, list[str]] = {}
                for reservation_id, text in records:
                    state, expires_at, found = open_allocations(reservation_id, text)
                    if state is ReservationState.HELD:
                        for held in found:
                            if held.is_on_hand:
                                rows.setdefault(held.partition, []).append(_row_of_hold(held, expires_at))
                if rows:
                    yield [LogEntry(partition, 0, 0, "".join(lines).encode()) for partition, lines in rows.items()]

    async def states(self) -> dict[str, int]:
        """How many reservations are HELD and CONFIRMED now, and how many became FULFILLED, RELEASED and EXPIRED so far.

        A hold whose time is over counts as HELD until it is swept.
        """
        counters = await self._calls.read(*(("HGETALL", keys.states(n)) for n in range(self.partitions)))
        totals = {state.value: 0 for state in ReservationState}
        for counter in counters:
            for state, count in as_dict(counter).items():
                totals[state.decode()] += int(count)
        return totals

    async def log_length(self) -> int:
        """Entries in the change logs of all partitions."""
        return sum(await self._calls.read(*(("XLEN", keys.log(n)) for n in range(self.partitions))))

    async def servers(self) -> StoreFacts:
        """What every primary says of itself. StoreUnavailable when one does not answer."""
        return StoreFacts([read_facts(info) for info in await self._calls.read_everywhere(SECTIONS)])

    async def network(self) -> tuple[str, int] | None:
        """The network document and its revision, or None when none was applied."""
        return await self._document(keys.NETWORK)

    async def transit(self) -> tuple[str, int] | None:
        """The document of transit times and its revision, or None when none was applied."""
        return await self._document(keys.TRANSIT)

    async def _document(self, key: bytes) -> tuple[str, int] | None:
        """It may be megabytes and is asked for every second: only one that is not the last one known is fetched."""
        known = self._documents.get(key)
        if known is not None:
            (stamp,) = await self._calls.read(("HMGET", key, *_STAMP))
            if stamp == known[0]:
                return known[1]
        ((document, *stamp),) = await self._calls.read(("HMGET", key, "document", *_STAMP))
        if document is None:
            return None
        found = document.decode(), int(stamp[0])
        if None not in stamp:
            self._documents[key] = stamp, found
        return found

    def _of(self, name: str) -> int:
        return partition_of(name, self.partitions)

    def periods(self, now_ms: int) -> tuple[int, int, int]:
        """Where something closed within retention may be."""
        # the next one too: the clock may have passed its start since it was asked
        current = now_ms // 1000 // self._retention_seconds
        return current, current - 1, current + 1

    async def _scan_hash(self, key: str) -> AsyncIterator[list[tuple[str, str]]]:
        async for chunk in self.scan_hash(key):
            yield [(name.decode(), text.decode()) for name, text in chunk]

    async def scan_hash(self, key: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Fields and values of a hash, in chunks; one may come twice."""
        async for flat in self._calls.scan(("HSCAN", key), ("COUNT", SCAN_COUNT), key=key):
            if flat:
                yield list(as_dict(flat).items())


def log_entry(partition: int, entry_id: bytes, fields: Any) -> LogEntry:
    """One entry of a log stream: fields `at`, `rows` and perhaps `by`."""
    _, at, _, rows, *more = fields
    return LogEntry(partition, int(entry_id.split(b"-")[0]), int(at), rows, more[1].decode() if more else "")


def _row_of_hold(held: OpenAllocation, expires_at: int) -> str:
    return (
        f"H\t{held.leg}\t{held.sku}\t{held.location}\t{held.units}\t{expires_at}"
        f"\t{held.source.fenced}\t{held.source.fence_channel}\t\n"
    )


def _unwrapped(entries: Any) -> Any:
    return entries[0] if entries and len(entries) == 1 and isinstance(entries[0][0], list | tuple) else entries


def milliseconds(time: Any) -> int:
    """The answer of TIME, in milliseconds."""
    return int(time[0]) * 1000 + int(time[1]) // 1000
