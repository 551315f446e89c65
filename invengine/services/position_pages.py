"""All positions, in pages: by partition, then SKU, then location, the same on every server.

The replica keeps SKUs in the order in which it met them, so the names of one partition are sorted when a page needs
them, and kept for the pages that follow.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import encode_token
from invengine.errors import InvalidArgument
from invengine.kernels.layout import LOCATION
from invengine.services import validation
from invengine.services.freshness import be_fresh
from invengine.services.positions import PositionNow, position_now

if TYPE_CHECKING:
    from invengine.domain.incoming import Receipt
    from invengine.replica.clock import StoreClock
    from invengine.replica.columns import Columns
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import stock_service_pb2 as pb

SIZE_DEFAULT: Final = 1000
SIZE_MAX: Final = 2000
SKUS_LOOKED_AT_MAX: Final = 20_000
"""SKUs that one page looks at, whatever of them is wanted: some 20 ms."""

SLOTS_A_TURN: Final = 65_536
"""Of the index of names, read before others have their turn: about a millisecond."""


@dataclass(slots=True)
class PositionPage:
    """Some positions, and the state of the partitions that they are of."""

    positions: list[PositionNow] = field(default_factory=list)
    cursor: str = ""
    revisions: dict[int, int] = field(default_factory=dict)
    next_page_token: str = ""
    consistency_token: str = ""
    staleness_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which positions, and how many at most."""

    prefix: str
    location: str
    size: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: after a position, or at the beginning of a partition."""

    partition: int = 0
    sku: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class _Names:
    """The SKUs of a partition, sorted, as they were when the replica knew so many SKUs."""

    columns: Columns
    partition: int
    sku_count: int
    names: list[str]


class PositionPages:
    """The use case of ListPositions."""

    def __init__(self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._kept: _Names | None = None

    async def page(self, message: pb.ListPositionsRequest, remaining_seconds: float | None) -> PositionPage:
        """A page of positions. ReplicaBehind when it cannot be as fresh."""
        wanted = _Wanted(
            validation.optional_prefix("sku_prefix", message.sku_prefix),
            validation.optional_text("location", message.location),
            validation.page_size("page_size", message.page_size, SIZE_DEFAULT, SIZE_MAX),
        )
        bound = ("positions", wanted.prefix, wanted.location)
        at = _place(validation.cursor_of("page_token", message.page_token, bound), self._replica.partitions)
        self._networks.required()
        await be_fresh(self._store, self._replica, message.consistency, remaining_seconds)
        page = PositionPage()
        looked_at = 0
        while at.partition < self._replica.partitions:
            if len(page.positions) >= wanted.size or looked_at >= SKUS_LOOKED_AT_MAX:
                page.cursor = "\t".join((str(at.partition), at.sku, at.location))
                break
            names = await self._names(at.partition)
            at, count = self._fill(page, names, at, wanted, SKUS_LOOKED_AT_MAX - looked_at)
            looked_at += count + 1
        page.next_page_token = validation.page_token(bound, page.cursor)
        page.consistency_token = encode_token(self._replica.store_id, sorted(page.revisions.items()))
        page.staleness_ms = self._replica.staleness_ms()
        return page

    def _fill(
        self, page: PositionPage, names: list[str], at: _Place, wanted: _Wanted, looks: int
    ) -> tuple[_Place, int]:
        """Adds positions of one partition, all of one moment; where to go on, and how many SKUs were looked at."""
        replica = self._replica
        replica.advance(self._clock.now_ms())
        page.revisions[at.partition] = replica.applied[at.partition]
        first = bisect_left(names, max(at.sku, wanted.prefix))
        for count, sku in enumerate(names[first : first + looks], 1):
            if not sku.startswith(wanted.prefix):
                return _Place(at.partition + 1), count
            after = at.location if sku == at.sku else ""
            for position in self._positions(sku, wanted.location):
                if position.location > after:
                    if len(page.positions) == wanted.size:
                        return at, count
                    page.positions.append(position)
                    at = _Place(at.partition, sku, position.location)
            at = _Place(at.partition, sku, "\U0010ffff")
        return (at, looks) if first + looks < len(names) else (_Place(at.partition + 1), len(names) - first)

    def _positions(self, sku: str, location: str) -> list[PositionNow]:
        """The positions of a SKU, by location."""
        replica, network = self._replica, self._networks.required()
        columns, names = replica.columns, replica.locations.names
        receipts: dict[str, list[Receipt]] = {}
        if sku in replica.incoming:
            for receipt in replica.incoming.receipts(sku):
                receipts.setdefault(receipt.location, []).append(receipt)
        rows = {names[row[LOCATION]]: row for row in columns.rows(columns.find_sku(sku)).tolist()}
        return [
            position_now(replica, network, sku, place, row=rows[place], receipts=tuple(receipts.get(place, ())))
            for place in ([location] if location in rows else [] if location else sorted(rows))
        ]

    async def _names(self, partition: int) -> list[str]:
        """The SKUs of a partition, sorted."""
        while True:
            columns, kept = self._replica.columns, self._kept
            count = columns.sku_count
            if kept is None or (kept.columns, kept.partition, kept.sku_count) != (columns, partition, count):
                names: list[str] = []
                slots = columns.index.slots
                for first in range(0, len(slots), SLOTS_A_TURN):
                    names += columns.names_in(partition, first, first + SLOTS_A_TURN)
                    await asyncio.sleep(0)
                if columns is not self._replica.columns or slots is not columns.index.slots:
                    continue  # loaded anew, or made wider: names went elsewhere meanwhile
                self._kept = kept = _Names(columns, partition, count, sorted(names))
            return kept.names


def _place(cursor: str, partitions: int) -> _Place:
    if not cursor:
        return _Place()
    partition, *rest = cursor.split("\t")
    if len(rest) != 2 or not (partition.isascii() and partition.isdigit()) or int(partition) >= partitions:
        raise InvalidArgument("page_token", "is not a page token")
    return _Place(int(partition), *rest)
