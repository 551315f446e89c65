"""A day as the change log has it: what was there when it began, and the orders that were made.

A position began the day with what it has now, or where it changed since, with what it had before the first change.
Ring-fences and receipts say only what they are after a change: one that changed since the day began counts as the first
of these changes left it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from invengine.domain.capacity import is_capacity
from invengine.domain.incoming import SECONDS_OF_DAY, Receipt
from invengine.domain.orders import Fulfilment, Reservation
from invengine.domain.sourcing import BasketLine
from invengine.domain.what_if import WhatIfOrder
from invengine.errors import DayNotRecorded
from invengine.services.stock_copies import Numbers, StockCopy
from invengine.services.turns import Turns
from invengine.store.records import read_reservation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from invengine.domain.orders import ReservationLine
    from invengine.services.stock_copies import Place
    from invengine.store.records import LogEntry
    from invengine.store.redis_store import RedisStore

DAY_MS: Final = SECONDS_OF_DAY * 1000
CHUNK: Final = 200
TOKEN_PLACE: Final = 8
"""In a record."""


@dataclass(slots=True)
class Recorded:
    """What the log says of the time from an instant on.

    `began`, `fences`, `receipts`  of places that changed since: what they had when it began, see the module
    `orders`  records of reservations that were made from then on until another instant, pieces apart, by id
    """

    reached: list[int]
    began: dict[Place, Numbers] = field(default_factory=dict)
    fences: dict[Place, dict[str, int]] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str], Receipt] = field(default_factory=dict)
    orders: dict[str, list[Reservation]] = field(default_factory=dict)

    def opening(self, now: StockCopy) -> StockCopy:
        """What was there when it began, of a copy of what is there when all of this was read."""
        found = StockCopy(dict(now.positions), {place: dict(its) for place, its in now.fences.items()})
        found.receipts = dict(now.receipts)
        found.positions.update(self.began)
        for place, fences in self.fences.items():
            found.fences.setdefault(place, {}).update(fences)
        found.receipts.update(self.receipts)
        return found


class RecordedDays:
    """Reads days back from the log of one engine."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def first_day(self) -> int:
        """The first UTC day of which the log tells all; 0 where nothing of it was ever trimmed."""
        latest = 0
        revisions = await self._store.revisions()
        for partition, newest in enumerate(revisions):
            found = await self._store.log_between(partition, 0, newest, 1) if newest else []
            if newest and not found:
                latest = max(latest, await self._store.now_ms())
            elif found and found[0].revision > 1:
                latest = max(latest, found[0].recorded_at_ms)
        return latest // DAY_MS + 1 if latest else 0

    async def since(self, begin_ms: int, end_ms: int, *, strict: bool = True) -> Recorded:
        """What changed from an instant on, and the reservations that were made until another one.

        DayNotRecorded where the log begins later, unless it is not `strict`: then as much as it has.
        """
        if strict:
            first_day = await self.first_day()
            if first_day * DAY_MS > begin_ms:
                raise DayNotRecorded(begin_ms // DAY_MS, first_day)
        found = Recorded([])
        for partition, newest in enumerate(await self._store.revisions()):
            found.reached.append(await self._begin(partition, begin_ms, newest))
        await self.go_on(found, await self._store.revisions(), begin_ms, end_ms)
        return found

    async def go_on(self, found: Recorded, until: Sequence[int], begin_ms: int, end_ms: int) -> None:
        """Reads on up to these revisions."""
        turns = Turns()
        for partition, newest in enumerate(until):
            while found.reached[partition] < newest:
                entries = await self._store.log_between(partition, found.reached[partition], newest, CHUNK)
                for entry in entries:
                    _note(found, entry, begin_ms, end_ms)
                    await turns.pause()
                found.reached[partition] = entries[-1].revision if entries else newest

    async def _begin(self, partition: int, begin_ms: int, newest: int) -> int:
        """The revision before the first entry from an instant on."""
        first, last = 0, newest
        while first < last:
            middle = (first + last) // 2
            (entry,) = await self._store.log_between(partition, middle, newest, 1) or (None,)
            if entry is None or entry.recorded_at_ms >= begin_ms:
                last = middle
            else:
                first = entry.revision
        return first


def orders_of(found: Recorded) -> list[WhatIfOrder]:
    """The orders that were made, the oldest first; what transfers moved is none."""
    orders = []
    for name, pieces in found.orders.items():
        first = pieces[0]
        lines = _lines(chain.from_iterable(piece.lines for piece in pieces))
        if lines:
            is_short = any(line.short_quantity for piece in pieces for line in piece.lines)
            orders.append(WhatIfOrder(name, first.channel, tuple(lines), first.created_at_ms, is_short))
    return sorted(orders, key=lambda order: (order.at_ms, order.order_id))


def _lines(lines: Iterable[ReservationLine]) -> list[BasketLine]:
    """Lines as they were asked for, components as the kits that they made. Where they were to come from is not kept,
    but for what is collected.
    """
    found: dict[str, BasketLine] = {}
    for line in lines:
        if line.fulfilment is Fulfilment.TRANSFER or not line.quantity:
            continue
        name = line.kit.line_id if line.kit else line.line_id
        locations = [its.location for its in line.allocations]
        is_collected = line.fulfilment is Fulfilment.PICKUP
        found[name] = BasketLine(
            name,
            line.kit.sku if line.kit else line.sku,
            line.quantity // line.kit.units if line.kit else line.quantity,
            locations[0] if is_collected and locations else "",
            "",
            len(set(locations)) > 1,
            line.fulfilment,
            line.destination,
            "",
            line.promise.needed_by if line.promise else 0,
            line.future is not None and line.kit is None,
        )
    return list(found.values())


def _note(found: Recorded, entry: LogEntry, begin_ms: int, end_ms: int) -> None:
    """Takes in an entry; one from before the instant, by a clock that was set, is of after it all the same."""
    for line in entry.rows.decode().split("\n"):
        kind = line[:2]
        if kind == "P\t":
            _, sku, location, on_hand, reserved, counted_at_ms, by, reserved_by, *_ = line.split("\t")
            if (sku, location) not in found.began:
                before = int(on_hand) - int(by), int(reserved) - int(reserved_by)
                found.began[sku, location] = Numbers(*before, 0 if is_capacity(sku) else int(counted_at_ms))
        elif kind == "F\t":
            _, sku, location, channel, units, _ = line.split("\t")
            found.fences.setdefault((sku, location), {}).setdefault(channel, int(units))
        elif kind == "I\t":
            _, sku, location, receipt_id, day, quantity, pegged, *_ = line.split("\t")
            key = sku, location, receipt_id
            found.receipts.setdefault(key, Receipt(*key, int(day), int(quantity), int(pegged), entry.revision))
        elif kind == "R\t" and begin_ms <= entry.recorded_at_ms < end_ms:
            _, name, before_state, record = line.split("\t", 3)
            if record.split("\t", TOKEN_PLACE + 1)[TOKEN_PLACE].startswith("!"):  # a piece that was never committed
                found.orders.pop(name, None)
            elif not before_state:
                found.orders.setdefault(name, []).append(read_reservation(name, record[:-1]))
