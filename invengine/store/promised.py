"""What live reservations were promised: their records as a search for broken promises needs them, and who waits."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from invengine.domain.capacity import capacity_sku, day_of_capacity, is_slot_line, slot_line_id
from invengine.domain.kept import Leg
from invengine.domain.kits import KitLine
from invengine.domain.orders import Destination, Fulfilment, ReservationState
from invengine.domain.promises import LinePromise
from invengine.errors import RequestMismatch
from invengine.store import keys
from invengine.store.records import (
    ALLOCATION_FIELDS,
    HEAD_FIELDS,
    LINE_FIELDS,
    OpenAllocation,
    Unreadable,
    read_future,
    read_source,
)
from invengine.store.schedule import Schedule

logger = logging.getLogger(__name__)

_NAMES_A_CALL: Final = 500
_PROMISE: Final = re.compile("[\t0-9\x1e+]!")
"""Where the promise of a line begins in its record; an id may look like it."""


@dataclass(frozen=True, slots=True)
class PromisedLine:
    """A line with open units. `has_slots`: others of its record hold capacity for it; `may_wait`: it may take what is
    not on hand; `kit`: it has a component of one.
    """

    line_id: str
    sku: str
    fulfilment: Fulfilment
    destination: Destination
    promise: LinePromise | None
    has_slots: bool
    may_wait: bool
    kit: KitLine | None
    allocations: tuple[OpenAllocation, ...]


@dataclass(frozen=True, slots=True)
class PromisedRecord:
    """A live record at a partition (a reservation, or a piece of one), with those of its lines that have open units.

    `slots`: the last day of the capacity that each of its lines of slots holds, by line_id.
    """

    partition: int
    reservation_id: str
    text: str
    state: ReservationState
    channel: str
    created_at_ms: int
    expires_at: int
    customer_ref: str
    order_ref: str
    lines: tuple[PromisedLine, ...]
    slots: Mapping[str, int]

    def is_over(self, now_ms: int) -> bool:
        """Whether it is a hold whose time is over."""
        return self.state is ReservationState.HELD and now_ms >= self.expires_at * 1000


class SlotDays:
    """The last day of the capacity that reservations hold."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, str], int] = {}

    def note(self, record: PromisedRecord) -> None:
        """Takes in what a record says."""
        self._days.update({(record.reservation_id, line_id): day for line_id, day in record.slots.items()})

    def of(self, reservation_id: str, line: PromisedLine, location: str) -> int:
        """Of a line at a location, 0 for none: its own slots of units, or that of an order, for all lines there."""
        if not line.has_slots:
            return 0
        owner = line.kit.line_id if line.kit else line.line_id
        own, shared = slot_line_id(location, _way(line, location), owner), slot_line_id(location, _way(line, location))
        return self._days.get((reservation_id, own)) or self._days.get((reservation_id, shared), 0)


class Promised(Schedule):
    """Adds what a search for broken promises reads."""

    async def promised_by_id(self, ids: Iterable[str]) -> list[PromisedRecord]:
        """The live records of reservations, of one in pieces all its pieces; those that are over are left out."""
        wanted = sorted(ids)
        places = [(home, name) for name in wanted for home in await self._places_of(name)]
        return await self.records_at(places)

    async def records_at(self, places: Sequence[tuple[int, str]]) -> list[PromisedRecord]:
        """The live records at these (partition, reservation_id), as they are now."""
        found = []
        for first in range(0, len(places), _NAMES_A_CALL):
            part = places[first : first + _NAMES_A_CALL]
            texts = await self._calls.read(*(("HGET", keys.reservations(home), name) for home, name in part))
            told = zip(part, texts, strict=True)
            records = [readable(home, name, text.decode()) for (home, name), text in told if text is not None]
            found += [record for record in records if record is not None]
        return found

    async def broken_rows(self, legs: Sequence[Leg]) -> dict[Leg, str]:
        """Of these allocations, those that the store knows as broken: their texts, as in `{pN}:broken`."""
        found: dict[Leg, str] = {}
        for first in range(0, len(legs), _NAMES_A_CALL):
            part = legs[first : first + _NAMES_A_CALL]
            texts = await self._calls.read(*(("HGET", keys.broken(partition), leg) for partition, leg in part))
            found.update({leg: text.decode() for leg, text in zip(part, texts, strict=True) if text is not None})
        return found

    async def remembered(self, request_id: str, fingerprint: str) -> str | None:
        """What a planner's request was answered, None where it was not. RequestMismatch where that was for other
        content.
        """
        request = f"\t{request_id}"
        periods = self.periods(await self.trusted_ms())
        found = await self._calls.read(
            *(("HGET", keys.requests(self._of(request), period), request) for period in periods)
        )
        stored = next(filter(None, found), None)
        if stored is None:
            return None
        its, _, answer = str(stored, "utf-8").split("\t", 2)
        if its != fingerprint:
            raise RequestMismatch(request_id)
        return answer

    async def backorder_queues(self, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[int]]:
        """Per (SKU, location) the legs of those who wait there for units of no receipt, in the order of their turn."""
        replies = await self._calls.read(
            *(("LRANGE", keys.pegs(self._of(sku), sku, location, ""), 0, -1) for sku, location in places)
        )
        return {
            place: [int(entry.rsplit(b"\t", 1)[1]) for entry in entries]
            for place, entries in zip(places, replies, strict=True)
        }

    async def slot_days(self, records: Sequence[PromisedRecord]) -> SlotDays:
        """The capacity that these records hold; of a reservation in pieces it is in others of its pieces."""
        days = SlotDays()
        elsewhere = set()
        for record in records:
            days.note(record)
            for line in record.lines if self.in_pieces else ():
                if line.has_slots:
                    skus = {capacity_sku(its.location, _way(line, its.location)) for its in line.allocations}
                    elsewhere |= {(self._of(sku), record.reservation_id) for sku in skus}
        for record in await self.records_at(sorted(elsewhere)):
            days.note(record)
        return days

    async def _places_of(self, reservation_id: str) -> Sequence[int]:
        home = self._of(reservation_id)
        if not self.in_pieces:
            return (home,)
        head = await self.head(home, reservation_id)
        return () if head is None or not head.is_live else head.partitions


def _way(line: PromisedLine, location: str) -> str:
    """The way whose capacity a line needs: what is sent to a store and there already is collected."""
    is_there = line.fulfilment is Fulfilment.SHIP_TO_STORE and line.destination.location == location
    return Fulfilment.PICKUP.value if is_there else line.fulfilment.value


def readable(partition: int, reservation_id: str, text: str) -> PromisedRecord | None:
    """The record, or None where it is damaged: others are told of all the same, and the integrity check names it."""
    try:
        return read_promised(partition, reservation_id, text)
    except Unreadable as fault:
        logger.error("%s", fault)
        return None


def read_promised(partition: int, reservation_id: str, text: str) -> PromisedRecord:
    """The record that is stored. Unreadable."""
    try:
        fields = text.split("\t")
        state, channel, created_at_ms, expires_at, _, customer_ref, order_ref, _, _, count = fields[:HEAD_FIELDS]
        at, lines = HEAD_FIELDS, []
        slots: dict[str, int] = {}
        for _ in range(int(count)):
            head = at
            at += LINE_FIELDS
            allocations = []
            for _ in range(int(fields[at - 1])):
                location, leg, units, fulfilled, released, source = fields[at : at + ALLOCATION_FIELDS]
                at += ALLOCATION_FIELDS
                left = int(units) - int(fulfilled) - int(released)
                if left:
                    allocations.append(
                        OpenAllocation(
                            int(fields[head + 1]),
                            int(leg),
                            fields[head + 2],
                            location,
                            left,
                            fields[head],
                            read_source(source),
                        )
                    )
            if allocations and is_slot_line(fields[head]):
                slots[fields[head]] = max(day_of_capacity(its.location) for its in allocations)
            elif allocations:
                lines.append(_line(fields[head : head + LINE_FIELDS], tuple(allocations)))
        return PromisedRecord(
            partition,
            reservation_id,
            text,
            ReservationState(state),
            channel,
            int(created_at_ms),
            int(expires_at),
            customer_ref,
            order_ref,
            tuple(lines),
            slots,
        )
    except (ValueError, IndexError, TypeError) as error:
        raise Unreadable(f"not a reservation at {reservation_id}: {text!r}") from error


def _line(fields: Sequence[str], allocations: tuple[OpenAllocation, ...]) -> PromisedLine:
    line_id, _, sku, _, way, country, postal_code, place, future, _ = fields
    may_take, kit, promise, has_slots, _ = read_future(future)
    may_wait = may_take is not None and way != Fulfilment.TRANSFER.value
    to = Destination(country, postal_code, place)
    return PromisedLine(line_id, sku, Fulfilment(way), to, promise, has_slots, may_wait, kit, allocations)


def has_promise(text: str) -> bool:
    """Whether a record may hold the promise of a line: said quicker than by reading it."""
    return "!" in text and _PROMISE.search(text) is not None


def waits(text: str) -> bool:
    """Whether a record may have units that are pegged or backordered."""
    return "\t=" in text or "\t?" in text
