"""The shortfall list: positions with more reserved than is on hand, and the reservations that are not covered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.kept import who_is_short
from invengine.domain.partitions import encode_token
from invengine.domain.shortfalls import Shortfall, UncoveredLine
from invengine.errors import InvalidArgument
from invengine.services import validation
from invengine.services.shortages import ShortageSearch

if TYPE_CHECKING:
    from invengine.domain.kept import Leg
    from invengine.domain.shortfalls import Place
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.shortages import Reserved, Shortages
    from invengine.store.promised import PromisedLine, PromisedRecord
    from invengine.store.records import OpenAllocation
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import shortfall_pb2 as pb

    Owned = tuple[PromisedRecord, PromisedLine, OpenAllocation]

FRESHNESS_SECONDS_MAX: Final = 2.0


class ShortfallPage(NamedTuple):
    """A page of shortfalls."""

    shortfalls: list[Shortfall]
    next_page_token: str
    consistency_token: str


class Shortfalls:
    """The use case of ListShortfalls."""

    def __init__(self, store: RedisStore, replica: Replica, clock: StoreClock, networks: Networks) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._search = ShortageSearch(store, replica)

    async def page(self, message: pb.ListShortfallsRequest) -> ShortfallPage:
        """A page of them. InvalidArgument, UnknownChannel, ReplicaBehind."""
        sku = validation.optional_text("sku", message.sku)
        location = validation.optional_text("location", message.location)
        channel = validation.optional_text("channel", message.channel)
        size = validation.page_size("page_size", message.page_size)
        bound = ("shortfalls", sku, location, channel)
        cursor = validation.cursor_of("page_token", message.page_token, bound)
        if cursor and cursor.count("\t") != 1:
            raise InvalidArgument("page_token", "is not a page token")
        if channel:
            self._networks.required().channel(channel)
        revisions = await self._store.revisions()
        found = await self.find(sku, location, channel=channel)
        after = tuple(cursor.split("\t")) if cursor else ("", "")
        left = [one for one in found if one.place > after]
        there = left[:size]
        following = "\t".join(there[-1].place) if len(left) > size else ""
        token = encode_token(self._store.store_id, enumerate(revisions))
        return ShortfallPage(there, validation.page_token(bound, following), token)

    async def find(self, sku: str = "", location: str = "", *, channel: str = "") -> list[Shortfall]:
        """All of them, by SKU and location; of a channel: those with lines of it, and only these lines."""
        await self._replica.wait_for(list(enumerate(await self._store.revisions())), FRESHNESS_SECONDS_MAX)
        shortages = await self._search.find(self._clock.now_ms(), sku, location)
        owned = await self._owned(shortages)
        found = [_shortfall(place, shortages, owned) for place in shortages.places]
        of_channel = [_of_channel(one, channel) for one in found if one.units > 0]
        return sorted((one for one in of_channel if one.lines), key=lambda one: one.place)

    def numbers(self, place: Place) -> tuple[int, int]:
        """on_hand and reserved of a position as the replica has it, holds that are over aside."""
        self._replica.advance(self._clock.now_ms())
        return self._search.numbers(place)

    async def _owned(self, shortages: Shortages) -> dict[Leg, Owned]:
        """Whose the allocations are that are short."""
        records = await self._store.promised_by_id(shortages.reservations) if shortages.reservations else []
        return {
            (its.partition, its.leg): (record, line, its)
            for record in records
            for line in record.lines
            for its in line.allocations
            if (its.partition, its.leg) in shortages.short
        }


def _shortfall(place: Reserved, shortages: Shortages, owned: dict[Leg, Owned]) -> Shortfall:
    """What is short at a place; allocations that were given back or moved since it was looked at are left out."""
    lines: dict[tuple[str, str], UncoveredLine] = {}
    for leg, units in who_is_short(place.on_hand, place.reserved):
        if leg not in owned:
            continue
        line = _line(*owned[leg], units, shortages.days.get(leg, 0))
        known = lines.get((line.reservation_id, line.line_id))
        if known is not None:
            line = _merged(known, line)
        lines[line.reservation_id, line.line_id] = line
    newest_first = sorted(lines.values(), key=lambda one: (one.created_at_ms, one.reservation_id), reverse=True)
    return Shortfall(*place.place, place.on_hand, place.units, tuple(newest_first))


def _line(record: PromisedRecord, line: PromisedLine, its: OpenAllocation, units: int, day: int) -> UncoveredLine:
    return UncoveredLine(
        record.reservation_id,
        line.line_id,
        line.kit.line_id if line.kit else line.line_id,
        line.kit.sku if line.kit else line.sku,
        line.kit.units if line.kit else 1,
        its.units,
        min(units, its.units),
        record.channel,
        record.customer_ref,
        record.order_ref,
        line.fulfilment,
        record.created_at_ms,
        record.expires_at,
        day,
        line.promise.delivery_day if line.promise else 0,
    )


def _merged(one: UncoveredLine, other: UncoveredLine) -> UncoveredLine:
    """A line with several allocations at a position, out of several ring-fences."""
    day = max(one.cover_day, other.cover_day) if one.cover_day and other.cover_day else 0
    return replace(
        one, quantity=one.quantity + other.quantity, uncovered=one.uncovered + other.uncovered, cover_day=day
    )


def _of_channel(found: Shortfall, channel: str) -> Shortfall:
    lines: Iterable[UncoveredLine] = found.lines
    return found if not channel else replace(found, lines=tuple(line for line in lines if line.channel == channel))
