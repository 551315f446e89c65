"""The live reservations behind the reserved units of SKUs. No index says which they are, so they are looked for:

first in the log of the SKU's partition, newest entries first, whose rows name the reservation that set units aside;
and where that does not account for all units (the log was trimmed, or is long), among all live records, unless these
are too many. Each record is read as it is now, and the units of all of them are what the positions have reserved.

On one Redis a record is at the home of its reservation, so all homes are looked through; on a Cluster its piece is in
the SKU's own partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from invengine.domain.orders import ReservationState
from invengine.store import keys
from invengine.store.ledger import Ledger
from invengine.store.records import open_allocations

LOG_CHUNK = 100
LOG_ENTRIES_MAX = 2_000
"""Entries of the log that are looked through."""

NAMED_MAX = 5_000
"""Reservations named by the log that are read."""

LIVE_MAX = 50_000
"""Live records that are looked through where the log does not do."""

_RECORDS_A_CALL = 500
_LOCATION = 2  # columns of a P row
_SET_ASIDE = 7
_CAUSE = 10


@dataclass(frozen=True, slots=True)
class HeldUnits:
    """Open units on hand of one allocation of a live reservation; `state` and `expires_at` (seconds) as stored."""

    reservation_id: str
    channel: str
    state: ReservationState
    created_at_ms: int
    expires_at: int
    line_id: str
    location: str
    units: int
    fenced: int = 0
    fence_channel: str = ""


class Behind(Ledger):
    """Adds the search for what is behind reserved units."""

    async def behind(self, reserved: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[list[HeldUnits], bool]]:
        """Per SKU what holds units of it on hand, and whether that is all: `reserved` are the units to account for, by
        SKU and location. Nothing is locked: what moves meanwhile may be seen before or after.
        """
        searches = [_Search(sku, units) for sku, units in reserved.items()]
        for search in searches:
            if search.missing:
                await self._by_log(search)
        missing = [search for search in searches if search.missing]
        is_complete = not missing or await self._by_records(missing)
        return {search.sku: (search.found, is_complete or search not in missing) for search in searches}

    async def _by_log(self, search: _Search) -> None:
        partition = self._of(search.sku)
        needle, newest = f"P\t{search.sku}\t".encode(), "+"
        for _ in range(0, LOG_ENTRIES_MAX, LOG_CHUNK):
            (chunk,) = await self._calls.read(("XREVRANGE", keys.log(partition), newest, "-", "COUNT", LOG_CHUNK))
            named: dict[str, None] = {}
            for _, (_, _, _, rows) in chunk:
                for line in rows.split(b"\n") if needle in rows else ():
                    if line.startswith(needle):
                        columns = line.split(b"\t")
                        if int(columns[_SET_ASIDE]) > 0 and search.wants(columns[_LOCATION].decode()):
                            named.setdefault(columns[_CAUSE].decode())
            await self._read(search, named)
            if not search.missing or len(chunk) < LOG_CHUNK or len(search.seen) >= NAMED_MAX:
                return
            newest = f"({chunk[-1][0].decode()}"

    async def _read(self, search: _Search, named: Iterable[str]) -> None:
        new = [name for name in named if name not in search.seen]
        for first in range(0, len(new), _RECORDS_A_CALL):
            part = new[first : first + _RECORDS_A_CALL]
            texts = await self._calls.read(
                *(("HGET", keys.reservations(self._home_of(search.sku, name)), name) for name in part)
            )
            for name, text in zip(part, texts, strict=True):
                search.take(name, text.decode() if text else "")
            if not search.missing:
                return

    async def _by_records(self, searches: Sequence[_Search]) -> bool:
        """Looks through all live records, once for all searches; False where they are too many."""
        wanted: dict[int, list[_Search]] = {}
        for search in searches:
            for home in (self._of(search.sku),) if self.in_pieces else range(self.partitions):
                wanted.setdefault(home, []).append(search)
        sizes = await self._calls.read(*(("HLEN", keys.reservations(home)) for home in wanted))
        if sum(sizes) > LIVE_MAX:
            return False
        for (home, its), size in zip(wanted.items(), sizes, strict=True):
            if size and any(search.missing for search in its):
                async for records in self.live_records(home):
                    for name, text in records:
                        for search in its:
                            if search.needle in text:
                                search.take(name, text)
        return True

    def _home_of(self, sku: str, reservation_id: str) -> int:
        return self._of(sku if self.in_pieces else reservation_id)


class _Search:
    """What was found so far of a SKU, and the units that nothing accounts for yet."""

    def __init__(self, sku: str, reserved: Mapping[str, int]) -> None:
        self.sku = sku
        self.needle = f"\t{sku}\t"  # of the records that may be about it
        self.found: list[HeldUnits] = []
        self.seen: set[str] = set()
        self._left = Counter(reserved)

    @property
    def missing(self) -> bool:
        """Whether units are reserved somewhere that nothing accounts for."""
        return any(units > 0 for units in self._left.values())

    def wants(self, location: str) -> bool:
        """Whether anything is reserved there that was asked about."""
        return location in self._left

    def take(self, reservation_id: str, text: str) -> None:
        """Notes a record; an empty text: there is none any more."""
        if reservation_id in self.seen:
            return
        self.seen.add(reservation_id)
        if not text:
            return
        state, expires_at, allocations = open_allocations(reservation_id, text)
        _, channel, created_at_ms, _ = text.split("\t", 3)
        for its in allocations:
            if its.sku == self.sku and its.is_on_hand and self.wants(its.location):
                self._left[its.location] -= its.units
                self.found.append(
                    HeldUnits(
                        reservation_id,
                        channel,
                        state,
                        int(created_at_ms),
                        expires_at,
                        its.line_id,
                        its.location,
                        its.units,
                        its.source.fenced,
                        its.source.fence_channel,
                    )
                )
