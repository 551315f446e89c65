"""The search for promises that cannot be kept: over the records of live reservations, partition by partition.

Nothing is stored of a promise but the promise: whether it can be kept is worked out when somebody asks, from what its
units rest on now (the replica's positions and receipts, the network in force). So no write pays for it. What is found
is looked at once more before it is told, since nothing is locked meanwhile.

    records of a partition -> open units -> from which day they are there -> dates, all at once -> later than promised?
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.incoming import effective_day
from invengine.domain.kept import NO_DATES, BreakReason, BrokenFilter, BrokenLine, Leg, NewDates
from invengine.domain.orders import Fulfilment
from invengine.errors import InvalidArgument
from invengine.services.broken_dates import MINUTE_MS, Promised, option_of
from invengine.services.shortages import Shortages, ShortageSearch
from invengine.store.promised import has_promise, readable, waits

if TYPE_CHECKING:
    from invengine.domain.incoming import Receipt
    from invengine.domain.network import Network
    from invengine.domain.promises import LinePromise
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.broken_dates import KeptDates
    from invengine.services.networks import Networks
    from invengine.store.promised import PromisedLine, PromisedRecord, SlotDays
    from invengine.store.records import OpenAllocation
    from invengine.store.redis_store import RedisStore

ROUNDS_MAX: Final = 3
RECORDS_A_TURN: Final = 250
"""Looked at before others have their turn: some 5 ms."""

FRESHNESS_SECONDS_MAX: Final = 2.0
ALL: Final = BrokenFilter()


class Page(NamedTuple):
    """A page of broken promises, where to go on ("" at the end), and the revisions of a state that it contains."""

    lines: list[BrokenLine]
    cursor: str
    revisions: list[int]


@dataclass(slots=True)
class _Units:
    """Open units of an allocation that may not be there as promised."""

    record: PromisedRecord
    line: PromisedLine
    its: OpenAllocation
    units: int
    reason: BreakReason | None = None
    receipt_id: str = ""
    due_day: int = 0
    expected_day: int = 0
    broken_at_ms: int = 0
    promised: Promised | None = None
    new: NewDates = NO_DATES

    @property
    def leg(self) -> Leg:
        """What names the allocation."""
        return self.its.partition, self.its.leg

    @property
    def is_late(self) -> bool:
        """Whether they are not there on the day that was promised."""
        promise = self.line.promise
        return promise is not None and not 0 < self.new.day <= promise.delivery_day


class BrokenScan:
    """Searches the reservations of one engine."""

    def __init__(
        self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks, dates: KeptDates
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self.dates = dates
        self._shortages = ShortageSearch(store, replica)

    async def page(self, which: BrokenFilter, after: str, limit: int) -> Page:
        """Broken promises that match, from behind `after` on, in an order that stays: by record, then by allocation."""
        first, last = _place(after, self._store.partitions)
        revisions = await self._fresh()
        shortages = await self._shortages.find(self._clock.now_ms(), which.sku, which.location)
        found: list[BrokenLine] = []
        for partition in range(first, self._store.partitions):
            there = await self._of_partition(partition, which, shortages)
            if partition == first:
                there = [line for line in there if _order(line) > last]
            if len(found) + len(there) > limit:
                found += there[: limit - len(found)]
                return Page(found, _cursor(partition, found[-1]) if there else after, revisions)
            found += there
            if len(found) == limit and partition + 1 < self._store.partitions:
                return Page(found, f"{partition + 1}:0.0:", revisions)
        return Page(found, "", revisions)

    async def of_reservations(self, ids: Iterable[str], shortages: Shortages | None = None) -> list[BrokenLine]:
        """All that is broken of these reservations."""
        await self._fresh()
        if shortages is None:
            shortages = await self._shortages.find(self._clock.now_ms())
        records = await self._store.promised_by_id(ids)
        found: list[BrokenLine] = []
        for first in range(0, len(records), RECORDS_A_TURN):
            found += await self._settled(records[first : first + RECORDS_A_TURN], shortages)
            await asyncio.sleep(0)
        return found

    async def shortages(self) -> Shortages:
        """Who waits for units that are not there."""
        await self._fresh()
        return await self._shortages.find(self._clock.now_ms())

    async def of_partition(self, partition: int, shortages: Shortages) -> list[BrokenLine]:
        """All that is broken of the records of a partition."""
        return await self._of_partition(partition, ALL, shortages)

    async def _of_partition(self, partition: int, which: BrokenFilter, shortages: Shortages) -> list[BrokenLine]:
        needle = f"\t{which.sku}\t" if which.sku else ""
        seen: set[str] = set()
        broken: list[BrokenLine] = []
        async for chunk in self._store.live_records(partition):
            asked = [
                (name, text)
                for name, text in chunk
                if name not in seen
                and needle in text
                and which.reservation_id in ("", name)
                and (has_promise(text) or waits(text) or name in shortages.reservations)
            ]
            seen.update(name for name, _ in asked)
            for first in range(0, len(asked), RECORDS_A_TURN):
                records = [readable(partition, *one) for one in asked[first : first + RECORDS_A_TURN]]
                broken += await self._settled([record for record in records if record is not None], shortages)
                await asyncio.sleep(0)
        return sorted((line for line in broken if which.matches(line)), key=_order)

    async def _settled(self, records: Sequence[PromisedRecord], shortages: Shortages) -> list[BrokenLine]:
        """What is broken, each record that has something looked at once more: it may have moved on meanwhile."""
        settled: list[BrokenLine] = []
        looked_at = list(records)
        for left in range(ROUNDS_MAX - 1, -1, -1):
            broken = await self._judged(looked_at, shortages)
            names = {line.reservation_id for line in broken}
            before = {(it.partition, it.reservation_id): it for it in looked_at if it.reservation_id in names}
            now = await self._store.records_at(list(before)) if before else []
            moved = [it for it in now if it.text != before[it.partition, it.reservation_id].text]
            ended = before.keys() - {(it.partition, it.reservation_id) for it in now}
            again = {it.reservation_id for it in moved} | {name for _, name in ended}
            settled += [line for line in broken if line.reservation_id not in again]
            if not moved:
                return settled
            looked_at = [it for it in now if it.reservation_id in again]
            if left:
                await self._fresh()
        return settled

    async def _judged(self, records: Sequence[PromisedRecord], shortages: Shortages) -> list[BrokenLine]:
        now_ms = self._clock.now_ms()
        live = [record for record in records if not record.is_over(now_ms)]
        legs = [
            (its.partition, its.leg)
            for record in live
            for line in record.lines
            for its in line.allocations
            if not its.is_on_hand
        ]
        rows = await self._store.broken_rows(legs) if legs else {}
        known = _Known(shortages, rows, await self._store.slot_days(live))
        judging = _Judging(self._replica, self._networks.current, known, now_ms)
        units = [one for record in live for line in record.lines for one in judging.units_of(record, line)]
        dated = [one for one in units if one.promised is not None]
        dates = self.dates.dates([one.promised for one in dated if one.promised is not None])
        for one, new in zip(dated, dates, strict=True):
            one.new = new
        return [_told(one) for one in units if one.is_late or (one.line.promise is None and one.reason is not None)]

    async def _fresh(self) -> list[int]:
        """Waits until the replica has all that was acknowledged before; the revisions of that. ReplicaBehind."""
        revisions = await self._store.revisions()
        await self._replica.wait_for(list(enumerate(revisions)), FRESHNESS_SECONDS_MAX)
        return revisions


class _Known(NamedTuple):
    """What was read: who is short; what the store has of broken promises, by leg; which capacity is held."""

    shortages: Shortages
    rows: Mapping[Leg, str]
    slots: SlotDays


class _Judging:
    """What open units rest on, as it is at one moment."""

    def __init__(self, replica: Replica, network: Network | None, known: _Known, now_ms: int) -> None:
        self._replica = replica
        self._network = network
        self._shortages, self._rows, self._slots = known
        self._now_ms = now_ms

    def units_of(self, record: PromisedRecord, line: PromisedLine) -> list[_Units]:
        """The open units of a line that something is wrong with, or that have a day to be compared."""
        found = []
        for its in line.allocations:
            leg = (its.partition, its.leg)
            short = self._shortages.short.get(leg, 0) if its.is_on_hand else 0
            if short:
                found.append(self._short(_Units(record, line, its, min(short, its.units))))
            if its.is_on_hand and short < its.units:
                found.append(_Units(record, line, its, its.units - short))
            elif its.source.receipt_id:
                found.append(self._pegged(_Units(record, line, its, its.units)))
            elif its.source.backordered:
                found.append(self._backordered(_Units(record, line, its, its.units)))
        if line.promise is None:
            return [one for one in found if one.reason is not None]
        for one in found:
            self._ask(one, line.promise)
        return found

    def _short(self, one: _Units) -> _Units:
        one.reason, one.expected_day = BreakReason.SHORTFALL, self._shortages.days.get(one.leg, 0)
        return one

    def _pegged(self, one: _Units) -> _Units:
        one.receipt_id, one.due_day = one.its.source.receipt_id, one.its.source.due_day
        receipt = self._receipt(one)
        one.expected_day = receipt.expected_day if receipt is not None else one.due_day
        if not self._take_row(one) and one.line.promise is not None and one.expected_day > one.due_day:
            one.reason = BreakReason.SLIPPED
        return one

    def _backordered(self, one: _Units) -> _Units:
        one.expected_day = self._shortages.days.get(one.leg, 0)
        if not self._take_row(one) and one.line.promise is not None:
            one.reason = BreakReason.SLIPPED if one.expected_day else BreakReason.SHORTFALL
        return one

    def _take_row(self, one: _Units) -> bool:
        """Takes over what the store knows of the break."""
        row = self._rows.get(one.leg)
        if row is None:
            return False
        *_, receipt_id, reason, due_day, broken_at_ms = row.split("\t")
        one.receipt_id, one.reason = receipt_id, BreakReason(reason)
        one.due_day, one.broken_at_ms = int(due_day), int(broken_at_ms)
        return True

    def _receipt(self, one: _Units) -> Receipt | None:
        for receipt in self._replica.incoming.receipts(one.its.sku):
            if (receipt.location, receipt.receipt_id) == (one.its.location, one.its.source.receipt_id):
                return receipt
        return None

    def _ask(self, one: _Units, promise: LinePromise) -> None:
        """Notes what the day depends on; where the location is closed, or the units never come, there is none."""
        line, location = one.line, one.its.location
        is_there = one.its.is_on_hand and one.reason is None
        if self._network is None:  # nothing to go by
            one.new = NewDates(promise.delivery_day)
            return
        if self._is_closed(one, self._network):
            one.reason = BreakReason.LOCATION_CLOSED
            return
        if not is_there and not one.expected_day:
            return
        from_day = 0 if is_there else self._counts_from(one)
        if one.reason is None:
            one.reason = BreakReason.CALENDAR_CHANGED
        is_collected = line.fulfilment is Fulfilment.PICKUP
        ship_days = [part.ship_day for part in promise.parts if part.location == location and not is_collected]
        one.promised = Promised(
            location,
            option_of(line.fulfilment, promise.service),
            line.destination,
            promise.confidence_parts,
            one.units,
            from_day,
            one.record.created_at_ms // MINUTE_MS,
            min(ship_days, default=0),
            self._slots.of(one.record.reservation_id, line, location),
            promise.ready_minute if is_collected else 0,
        )

    def _counts_from(self, one: _Units) -> int:
        """The day from which units that are expected are counted on: a promise does not break because a day passes."""
        if one.reason is None or not one.its.source.receipt_id:
            return one.expected_day
        return max(one.expected_day, effective_day(one.expected_day, self._now_ms))

    def _is_closed(self, one: _Units, network: Network) -> bool:
        fulfilment = one.line.fulfilment
        place = network.locations.get(one.its.location)
        if place is None or not place.enabled or not place.can_fulfil(fulfilment):
            return True
        if fulfilment is not Fulfilment.SHIP_TO_STORE:
            return False
        store = network.locations.get(one.line.destination.location)
        return store is None or not store.enabled or not store.can_fulfil(Fulfilment.PICKUP)


def _told(one: _Units) -> BrokenLine:
    assert one.reason is not None
    record, line = one.record, one.line
    return BrokenLine(
        one.leg,
        record.reservation_id,
        line.line_id,
        line.sku,
        one.its.location,
        one.units,
        one.receipt_id,
        one.reason,
        one.due_day,
        one.expected_day,
        one.broken_at_ms,
        record.channel,
        line.fulfilment,
        line.kit.line_id if line.kit else line.line_id,
        record.customer_ref,
        record.order_ref,
        line.promise,
        one.new,
    )


def _order(line: BrokenLine) -> tuple[str, Leg]:
    return line.reservation_id, line.leg


def _cursor(partition: int, line: BrokenLine) -> str:
    return f"{partition}:{line.leg[0]}.{line.leg[1]}:{line.reservation_id}"


def _place(after: str, partitions: int) -> tuple[int, tuple[str, Leg]]:
    if not after:
        return 0, ("", (0, 0))
    partition, _, rest = after.partition(":")
    legs, _, reservation_id = rest.partition(":")
    of_sku, _, leg = legs.partition(".")
    numbers = (partition, of_sku, leg)
    if not all(number.isascii() and number.isdigit() for number in numbers) or int(partition) >= partitions:
        raise InvalidArgument("page_token", "not a page token of this listing")
    return int(partition), (reservation_id, (int(of_sku), int(leg)))
