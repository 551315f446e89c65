"""Who waits for units that are not there and rest on no receipt: what is short, what is backordered, until when.

At one position the units on hand belong to the oldest reservations, so those who reserved last go short (see
`domain.kept.who_is_short`). Units that arrive and are promised to nobody make that good first, then they go to
backorders in the order of their queue; a unit that was pegged goes to whom it was pegged for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from invengine.domain.incoming import effective_day
from invengine.domain.kept import Leg, Waiting, days_of_waiting, who_is_short
from invengine.domain.partitions import partition_of
from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, RESERVED
from invengine.replica.short import short_numbers
from invengine.store.promised import readable

if TYPE_CHECKING:
    from invengine.replica.replica import Replica
    from invengine.store.promised import PromisedRecord
    from invengine.store.redis_store import RedisStore

ROUNDS_MAX: Final = 3
"""Looks at the reservations while their positions move."""

Place = tuple[str, str]
"""SKU and location."""


@dataclass(slots=True)
class Shortages:
    """By allocation: units of it that are short, and the day on which one that waits has all its units."""

    short: dict[Leg, int] = field(default_factory=dict)
    days: dict[Leg, int] = field(default_factory=dict)
    reservations: set[str] = field(default_factory=set)
    """Of those that are short."""
    places: list[Reserved] = field(default_factory=list)

    def leave(self, legs: Iterable[Leg]) -> None:
        """Counts without these allocations, which are there no more: others may have their units now."""
        gone = set(legs)
        for place in self.places:
            if any(leg in gone for _, leg, _ in place.reserved):
                for _, leg, _ in place.reserved:
                    self.short.pop(leg, None)
                place.reserved = [one for one in place.reserved if one[1] not in gone]
                self.short.update({one.leg: one.units for one in who_is_short(place.on_hand, place.reserved)})


@dataclass(slots=True)
class Reserved:
    """What was found at one place: units on hand there; who has them reserved, see `domain.kept.who_is_short`."""

    place: Place
    on_hand: int = 0
    reserved: list[tuple[int, Leg, int]] = field(default_factory=list)
    backordered: dict[int, int] = field(default_factory=dict)
    owners: dict[Leg, str] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Reserved units on hand."""
        return sum(units for _, _, units in self.reserved)


class ShortageSearch:
    """Looks for shortages of one engine, in the replica first: most of the time there are none, and nothing is read."""

    def __init__(self, store: RedisStore, replica: Replica) -> None:
        self._store = store
        self._replica = replica

    async def find(self, now_ms: int, sku: str = "", location: str = "") -> Shortages:
        """All of them, or those of a SKU, at a location. The replica must be as fresh as the answer is to be.

        Nothing is locked: of a position whose reservations do not add up to what it has reserved, in several looks, the
        newest look is told.
        """
        self._replica.advance(now_ms)
        found: dict[Place, Reserved] = {}
        left = self._short(sku, location) | self._waiting(sku, location, now_ms)
        for _ in range(ROUNDS_MAX):
            if not left:
                break
            found |= await self._behind(left, now_ms)
            await self._replica.wait_for(list(enumerate(await self._store.revisions())), _SECONDS)
            self._replica.advance(now_ms)
            left = {place for place in left if found[place].units != self.numbers(place)[1]}
        return await self._add_up(found, now_ms)

    def _short(self, sku: str, location: str) -> set[Place]:
        places = short_numbers(self._replica.columns)
        return {place for place in places if _matches(place, sku, location)}

    def _waiting(self, sku: str, location: str, now_ms: int) -> set[Place]:
        """Where units are backordered, and some will come for them."""
        places = self._replica.incoming.all_backordered()
        return {place for place in places if _matches(place, sku, location) and self._coming(place, now_ms)}

    def numbers(self, place: Place) -> tuple[int, int]:
        """on_hand and reserved of a position, holds that are over aside."""
        columns, names = self._replica.columns, self._replica.locations.names
        number = columns.find_sku(place[0])
        for row in columns.rows(number).tolist() if number >= 0 else ():
            if names[row[LOCATION]] == place[1]:
                return row[ON_HAND], row[RESERVED] - row[EXPIRED]
        return 0, 0

    async def _behind(self, places: Iterable[Place], now_ms: int) -> dict[Place, Reserved]:
        """What live reservations have there; every live record is looked at, on a Cluster of the SKUs' partitions."""
        found = {place: Reserved(place) for place in places}
        needles = {f"\t{sku}\t" for sku, _ in found}
        partitions: Iterable[int] = range(self._store.partitions)
        if self._store.in_pieces:
            partitions = sorted({partition_of(sku, self._store.partitions) for sku, _ in found})
        seen: set[str] = set()
        for partition in partitions:
            seen.clear()
            async for chunk in self._store.live_records(partition):
                for name, text in chunk:
                    if name not in seen and (len(needles) > _NEEDLES_MAX or any(needle in text for needle in needles)):
                        seen.add(name)
                        if (record := readable(partition, name, text)) is not None:
                            _note(found, record, now_ms)
        return found

    async def _add_up(self, found: Mapping[Place, Reserved], now_ms: int) -> Shortages:
        shortages = Shortages()
        backordered = [place for place, its in found.items() if its.backordered]
        queues = await self._store.backorder_queues(backordered) if backordered else {}
        for place, its in found.items():
            partition = partition_of(place[0], self._store.partitions)
            its.on_hand = max(0, self.numbers(place)[0])
            short = who_is_short(its.on_hand, its.reserved)
            shortages.places.append(its)
            turn = {leg: number for number, leg in enumerate(queues.get(place, ()))}
            in_turn = sorted(its.backordered.items(), key=lambda one: (turn.get(one[0], len(turn)), one[0]))
            queue = [*short, *(Waiting((partition, leg), units) for leg, units in in_turn)]
            shortages.short.update({one.leg: one.units for one in short})
            shortages.reservations.update(its.owners[one.leg] for one in short)
            shortages.days.update(days_of_waiting(queue, self._coming(place, now_ms)))
        return shortages

    def _coming(self, place: Place, now_ms: int) -> list[tuple[int, int]]:
        """Days, and units that come there then and are promised to nobody."""
        stops = place[1] in self._replica.stopping
        dated = [
            (effective_day(receipt.expected_day, now_ms, overdue_stops=stops), receipt.quantity - receipt.pegged)
            for receipt in self._replica.incoming.receipts(place[0])
            if receipt.location == place[1] and receipt.quantity > receipt.pegged
        ]
        return [(day, units) for day, units in dated if day]


def _matches(place: Place, sku: str, location: str) -> bool:
    return sku in ("", place[0]) and location in ("", place[1])


def _note(found: Mapping[Place, Reserved], record: PromisedRecord, now_ms: int) -> None:
    if record.is_over(now_ms):
        return
    for line in record.lines:
        for its in line.allocations:
            there = found.get((its.sku, its.location))
            if there is None:
                continue
            leg = (its.partition, its.leg)
            if its.is_on_hand:
                there.reserved.append((record.created_at_ms, leg, its.units))
                there.owners[leg] = record.reservation_id
            elif its.source.backordered:
                there.backordered[its.leg] = its.units


_SECONDS: Final = 2.0
_NEEDLES_MAX: Final = 20
"""SKUs that are looked for in a record before it is read; with more of them each record is read."""
