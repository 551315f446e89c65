"""Lines of live reservations that wait for units: backordered, or pegged to receipts that are to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from invengine.domain.orders import Fulfilment
from invengine.domain.waves import LINES_MAX, WaveLine, WaveOrder
from invengine.errors import InvalidArgument
from invengine.store.promised import readable, waits

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.services.wave_requests import WaitingAsked
    from invengine.store.promised import PromisedLine, PromisedRecord
    from invengine.store.redis_store import RedisStore

RECORDS_A_TURN: Final = 250
"""Looked at before others have their turn."""


class WaitingLines:
    """Searches the reservations of one engine."""

    def __init__(self, store: RedisStore, asked: WaitingAsked, network: Network, now_ms: int) -> None:
        self._store = store
        self._asked = asked
        self._network = network
        self._now_ms = now_ms
        self._members = frozenset(network.groups[asked.group]) if asked.group else None

    async def search(self, room: int) -> AsyncIterator[list[WaveOrder]]:
        """By partition what waits, the older reservation first. InvalidArgument where there are more than `room` lines.

        A reservation in pieces comes once for each partition in which something of it waits.
        """
        for partition in range(self._store.partitions):
            found: dict[str, tuple[int, WaveOrder]] = {}
            async for chunk in self._store.live_records(partition):
                for number, (name, text) in enumerate(chunk):
                    if number % RECORDS_A_TURN == 0:
                        await asyncio.sleep(0)
                    if waits(text) and name not in found:
                        record = readable(partition, name, text)
                        order = self._order(record) if record is not None else None
                        if record is not None and order is not None:
                            found[name] = record.created_at_ms, order
                            room -= len(order.lines)
                            if room < 0:
                                problem = f"matches so many that there are more than {LINES_MAX} lines: narrow it"
                                raise InvalidArgument("waiting", problem)
            yield [order for _, order in sorted(found.values(), key=lambda one: (one[0], one[1].reservation_id))]

    def _order(self, record: PromisedRecord) -> WaveOrder | None:
        asked = self._asked
        if record.is_over(self._now_ms) or (asked.channel and record.channel != asked.channel):
            return None
        rules = self._network.channels.get(record.channel)
        if rules is None or not rules.enabled:
            return None
        lines = [found for line in record.lines if (found := self._line(line)) is not None]
        if not lines:
            return None
        return WaveOrder(
            record.order_ref,
            record.channel,
            asked.priority_class,
            tuple(lines),
            customer_ref=record.customer_ref,
            reservation_id=record.reservation_id,
        )

    def _line(self, line: PromisedLine) -> WaveLine | None:
        asked = self._asked
        if (asked.skus and line.sku not in asked.skus) or not line.may_wait or line.kit is not None:
            return None
        waiting = [its for its in line.allocations if not its.is_on_hand]
        places = tuple(dict.fromkeys([its.location for its in waiting]))
        if not places or (self._members is not None and not self._members.intersection(places)):
            return None
        stays = asked.same_location_only or line.promise is not None or line.has_slots
        return WaveLine(
            line.line_id,
            line.sku,
            sum([its.units for its in waiting]),
            asked.worth,
            fulfilment=line.fulfilment,
            destination=line.destination,
            allow_split=True,
            allow_partial=True,
            only_at=places if stays or line.fulfilment is Fulfilment.PICKUP else (),
        )
