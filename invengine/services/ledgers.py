"""The ledger as callers read it: of one SKU, newest first; of all SKUs, oldest first, up to a definite state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import decode_token, encode_token, partition_of
from invengine.domain.stock import LEDGER_KINDS, LedgerFilter
from invengine.errors import InvalidArgument
from invengine.services import validation
from invengine.store.ledger import ROWS_PER_ENTRY, changes_in

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from invengine.domain.stock import LedgerEntry
    from invengine.services.networks import Networks
    from invengine.store.ledger import LedgerStart
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import stock_service_pb2 as pb

KINDS_MAX: Final = 20
REVISION_MAX: Final = 2**53
EXPORT_SIZE_DEFAULT: Final = 1000
EXPORT_SIZE_MAX: Final = 2000
EXPORT_LOG_ENTRIES_MAX: Final = 2000
"""Entries of the log that one page looks at, whatever of them is wanted."""

_CHUNK_FIRST: Final = 20
_CHUNK_MAX: Final = 200
_CHANGES_A_TURN: Final = 250
"""Read before others have their turn: about a millisecond."""

_LATEST_MS: Final = validation.TIMESTAMP_SECONDS_MAX * 1000


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Changes of a SKU, newest first. `time_zones` by location of the entries."""

    entries: list[LedgerEntry]
    next_page_token: str
    consistency_token: str
    start: LedgerStart
    time_zones: dict[str, str]


@dataclass(frozen=True, slots=True)
class Gap:
    """Revisions of a partition, between these two, that the log has no longer."""

    partition: int
    after: int
    following: int


@dataclass(slots=True)
class ExportPage:
    """A part of the ledger of all SKUs; `reached` and `until` have a revision for every partition."""

    reached: list[int]
    until: list[int]
    entries: list[LedgerEntry] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether everything was handed out."""
        return all(reached >= until for reached, until in zip(self.reached, self.until, strict=True))


def ledger_filter(message: pb.ListMovementsRequest) -> LedgerFilter:
    """What a request wants of a ledger. InvalidArgument."""
    validation.count_of("kinds", len(message.kinds), KINDS_MAX, least=0)
    for place, kind in enumerate(message.kinds):
        if kind not in LEDGER_KINDS:
            raise InvalidArgument(f"kinds[{place}]", f"{kind!r} is not one of {', '.join(sorted(LEDGER_KINDS))}")
    return LedgerFilter(
        validation.optional_text("location", message.location),
        _instant("since", message.since) if message.HasField("since") else 0,
        _instant("until", message.until) if message.HasField("until") else 0,
        frozenset(message.kinds),
        validation.optional_text("actor", message.actor),
    )


class Ledgers:
    """The use cases of ListMovements and ExportMovements."""

    def __init__(self, store: RedisStore, networks: Networks) -> None:
        self._store = store
        self._networks = networks

    async def page(self, message: pb.ListMovementsRequest) -> LedgerPage:
        """A page of a SKU's changes."""
        store = self._store
        sku = validation.required_id("sku", message.sku)
        which = ledger_filter(message)
        size = validation.page_size("page_size", message.page_size)
        times = (str(which.since_ms), str(which.until_ms))
        bound = ("movements", sku, which.location, which.actor, *times, *sorted(which.kinds))
        cursor = validation.cursor_of("page_token", message.page_token, bound)
        if cursor and not (cursor.isdecimal() and int(cursor) < REVISION_MAX * ROWS_PER_ENTRY):
            raise InvalidArgument("page_token", "is not a page token")
        entries, below = await store.ledger(sku, before=int(cursor or 0), limit=size, which=which)
        newest = [(partition_of(sku, store.partitions), entries[0].revision)] if entries else []
        network = self._networks.current
        places = network.locations if network else {}
        return LedgerPage(
            entries,
            validation.page_token(bound, str(below) if below else ""),
            encode_token(store.store_id, newest),
            await store.ledger_start(sku),
            {name: places[name].time_zone for name in {entry.location for entry in entries} if name in places},
        )

    async def export(self, message: pb.ExportMovementsRequest) -> ExportPage:
        """The next part of the ledger of all SKUs."""
        prefix = validation.optional_prefix("sku_prefix", message.sku_prefix)
        location = validation.optional_text("location", message.location)
        size = validation.page_size("page_size", message.page_size, EXPORT_SIZE_DEFAULT, EXPORT_SIZE_MAX)
        after = [0] * self._store.partitions
        if message.after_token:
            after = self._revisions("after_token", message.after_token)
        if message.until_token:
            until = self._revisions("until_token", message.until_token)
        else:
            until = await self._store.revisions()
        page = ExportPage(after, [max(pair) for pair in zip(after, until, strict=True)])
        await self._fill(page, f"P\t{prefix}".encode(), location, size)
        return page

    async def _fill(self, page: ExportPage, needle: bytes, location: str, size: int) -> None:
        """Reads on, partition by partition, until the page is full at the end of an entry."""
        looked_at, count = 0, _CHUNK_FIRST
        for partition, until in enumerate(page.until):
            while page.reached[partition] < until:
                if len(page.entries) >= size or looked_at >= EXPORT_LOG_ENTRIES_MAX:
                    return
                found = await self._store.log_between(partition, page.reached[partition], until, count)
                first = found[0].revision if found else until + 1
                if first != page.reached[partition] + 1:
                    page.gaps.append(Gap(partition, page.reached[partition], first))
                if not found:
                    page.reached[partition] = until
                before, turn = len(page.entries), 0
                for entry in found:
                    page.entries += [
                        change for change in changes_in(entry, needle) if not location or change.location == location
                    ]
                    page.reached[partition] = entry.revision
                    looked_at += 1
                    if len(page.entries) >= size:
                        return
                    if len(page.entries) - before - turn > _CHANGES_A_TURN:
                        turn = len(page.entries) - before
                        await asyncio.sleep(0)
                per_entry = max(1, (len(page.entries) - before) // max(1, len(found)))
                count = max(1, min(_CHUNK_MAX, (size - len(page.entries)) // per_entry))

    def _revisions(self, name: str, token: str) -> list[int]:
        store = self._store
        pairs = dict(decode_token(token, store.store_id, store.partitions, name))
        if len(pairs) != store.partitions:
            raise InvalidArgument(name, "is no token of ExportMovements: it does not name every partition")
        if max(pairs.values()) > REVISION_MAX:
            raise InvalidArgument(name, "not a consistency token")
        return [pairs[partition] for partition in range(store.partitions)]

    def token(self, revisions: list[int]) -> str:
        """Names the state with these revisions."""
        return encode_token(self._store.store_id, enumerate(revisions))


def _instant(name: str, instant: Timestamp) -> int:
    return validation.milliseconds(name, instant, _LATEST_MS)
