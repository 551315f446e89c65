"""What live reservations have open, added up from their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from invengine.services.integrity_report import Place
from invengine.store.records import OpenAllocation, Unreadable, open_allocations

if TYPE_CHECKING:
    from invengine.store.redis_store import RedisStore

Source = tuple[str, str, str]
"""SKU, location, receipt_id; without a receipt_id the units backordered at the position."""

Leg = tuple[int, str]
"""Partition of the SKU, and the leg as text."""


@dataclass(slots=True)
class OpenUnits:
    """Open units of live reservations.

    `on_hand` by position; `promised`, pegged or backordered, by their source; `waiting` says of each promised
    allocation whose it is: (reservation_id, line_id, sku, location).
    """

    reservations: int = 0
    on_hand: Counter[Place] = field(default_factory=Counter)
    promised: Counter[Source] = field(default_factory=Counter)
    waiting: dict[Leg, tuple[str, str, str, str]] = field(default_factory=dict)

    def add(self, reservation_id: str, its: OpenAllocation) -> None:
        """Counts one allocation."""
        if its.is_on_hand:
            self.on_hand[its.sku, its.location] += its.units
        else:
            self.promised[its.sku, its.location, its.source.receipt_id] += its.units
            self.waiting[its.partition, str(its.leg)] = (reservation_id, its.line_id, its.sku, its.location)


async def open_units(
    store: RedisStore,
    *,
    wanted: Callable[[OpenAllocation], bool] = lambda _: True,
    unreadable: Callable[[str], None] = lambda _: None,
    unfenceable: Callable[[str, OpenAllocation], None] = lambda _, __: None,
) -> OpenUnits:
    """The open units of the allocations that are `wanted`.

    `unreadable` is told what is wrong with a record, `unfenceable` (reservation_id, allocation) of an allocation with
    more units of a ring-fence than are open.
    """
    units = OpenUnits()
    seen: set[str] = set()
    for home in range(store.partitions):
        seen.clear()
        async for records in store.live_records(home):
            for reservation_id, text in records:
                if reservation_id in seen:
                    continue
                seen.add(reservation_id)
                try:
                    _, _, allocations = open_allocations(reservation_id, text)
                except Unreadable as fault:
                    unreadable(str(fault))
                    continue
                for its in allocations:
                    if wanted(its):
                        units.add(reservation_id, its)
                    if not 0 <= its.source.fenced <= its.units:
                        unfenceable(reservation_id, its)
        units.reservations += len(seen)
    return units
