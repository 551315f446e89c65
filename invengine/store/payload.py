"""Messages to the functions: domain in, MessagePack out. `lua/*.lua` has each layout; answers.py reads the replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

import msgpack

from invengine.domain.incoming import IncomingChange
from invengine.domain.orders import (
    LineRequest,
    LineStanding,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.promises import LineRepromise
from invengine.domain.stock import FeedMark, Movement
from invengine.store.payload_lines import CandidateLists, added_item, check_line, checked, line_item, placement_item
from invengine.store.records import StoreSettings, standing_text


class Packer:
    """Packs the batches of one store."""

    def __init__(self, partitions: int, settings: StoreSettings, retention_seconds: int) -> None:
        self._partitions = partitions
        self.head = [retention_seconds, settings.log_length_max, settings.count_window_seconds * 1000]
        """What every message begins with."""

    def _of(self, name: str) -> int:
        return crc32(name.encode()) % self._partitions

    def _message(self, touched: Iterable[int], *rest: object) -> bytes:
        packed: bytes = msgpack.packb([*self.head, list(touched), *rest])
        return packed

    def reserve(self, requests: Sequence[ReserveRequest]) -> tuple[list[int], bytes]:
        """The partitions of a batch of reservations, and its message."""
        count = self._partitions
        lists = CandidateLists()
        items: list[object] = []
        texts: list[str] = []
        request_partitions, request_names, homes, ids = [], [], [], []
        touched: set[int] = set()
        alternatives: dict[int, list[tuple[object, ...]]] = {}
        for place, request in enumerate(requests, 1):
            channel, request_id, reservation_id = request.channel, request.request_id, request.reservation_id
            name = f"{channel}\t{request_id}"
            home = crc32(reservation_id.encode()) % count
            touched.add(home)
            request_partitions.append(crc32(name.encode()) % count)
            request_names.append(name)
            homes.append(home)
            ids.append(reservation_id)
            customer, order, cart = request.customer_ref, request.order_ref, request.cart_ref
            sets: list[str] = []
            if customer or order or cart:
                refs = ("customer", customer), ("order", order), ("cart", cart)
                sets = [f"{kind}:{ref}" for kind, ref in refs if ref]
            state, reason = "CONFIRMED" if request.is_confirmed else "HELD", ""
            if request.is_transfer:  # the place of the cart says why it is made
                sets = ["transfers", *(name for name in sets if not name.startswith("cart:"))]
                state, reason = "CONFIRMED", cart
            items += (
                request.fingerprint,
                request.time_to_live_seconds,
                (1 if request.best_effort else 0) + (0 if request.borrows else 2),
                f"{state}\t{channel}\t",
                f"\t{customer}\t{order}\t{cart}\t\t{len(request.lines)}",
                f"\tRESERVE\t{channel}\t{reservation_id}\t{reason}\t{order}\t",
                "" if request.is_transfer else channel,
                len(sets),
                len(request.lines),
                *sets,
            )
            texts += (request_id, request.fingerprint, reservation_id, channel, customer, order, cart)
            for line in request.lines:
                sku, to = line.sku, line.destination
                partition = crc32(sku.encode()) % count
                touched.add(partition)
                texts += (line.line_id, sku, to.country, to.postal_code, to.location)
                items += line_item(line, partition, lists)
            if request.alternatives:
                alternatives[place] = [
                    (f"\t{customer}\t{order}\t{cart}\t\t{len(other)}", len(other), self._lines(other, lists, touched))
                    for other in request.alternatives
                ]
        checked(texts)
        more = (alternatives,) if alternatives else ()
        message = self._message(touched, lists.columns, items, request_partitions, request_names, homes, ids, *more)
        return list(touched.union(request_partitions)), message

    def _lines(self, lines: Iterable[LineRequest], lists: CandidateLists, touched: set[int]) -> list[object]:
        """The lines of an alternative; their partitions are added to `touched`."""
        items: list[object] = []
        for line in lines:
            check_line(line)
            partition = self._of(line.sku)
            touched.add(partition)
            items += line_item(line, partition, lists)
        return items

    def change(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of changes as far as they are known, and its message."""
        items: list[object] = []
        for change in changes:
            items += (*head_of(change), len(change.lines) + len(change.repromises))
            for line in change.lines:
                items += (line.line_id, line.location, line.quantity)
            items += map(repromise_item, change.repromises)
        return self._changes(changes, items)

    def place(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of amendments or rebindings as far as they are known, and its message."""
        lists = CandidateLists()
        items: list[object] = []
        added: set[int] = set()
        for change in changes:
            items += (*placing_head_of(change), len(change.placements) + len(change.added))
            items += (placement_item(line, lists) for line in change.placements)
            for new in change.added:
                partition = self._of(new.sku)
                added.add(partition)
                items.append(added_item(new, new.line_id, partition, lists))
        return self._changes(changes, items, added, lists.columns)

    def ship(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of shipments as far as they are known, and its message."""
        items: list[object] = []
        for change in changes:
            items += (*shipping_head_of(change, is_part=False), len(change.lines))
            for line in change.lines:
                items += (line.line_id, line.location, line.quantity)
        return self._changes(changes, items)

    def hand_over(self, changes: Sequence[ReservationChange]) -> tuple[list[int], bytes]:
        """The partitions of a batch of hand-overs as far as they are known, and its message."""
        items: list[object] = []
        for change in changes:
            items += (*head_of(change), 1, hand_over_item(change))
        return self._changes(changes, items)

    def answer(self, request: str, fingerprint: str, text: str) -> tuple[list[int], bytes]:
        """The message that keeps the answer to a request."""
        checked((request.replace("\t", ""), fingerprint))
        partition = self._of(request)
        return [partition], self._message([partition], partition, request, fingerprint, text)

    def _changes(
        self, changes: Sequence[ReservationChange], items: list[object], touched: Iterable[int] = (), *more: object
    ) -> tuple[list[int], bytes]:
        """The message of any verb for reservations that exist; `touched` are partitions besides their homes."""
        request_names = [f"{change.channel}\t{change.request_id}" for change in changes]
        request_partitions = [self._of(name) for name in request_names]
        ids = [change.reservation_id for change in changes]
        homes = [self._of(reservation_id) for reservation_id in ids]
        known = {*homes, *touched}
        message = self._message(known, items, request_partitions, request_names, homes, ids, *more)
        return list(known.union(request_partitions)), message

    def movements_of_one(self, movements: Sequence[Movement]) -> tuple[list[int], bytes]:
        """The same for movements of one partition, which then remembers their events too."""
        return self.movements(movements, self._of(movements[0].sku))

    def movements(self, movements: Sequence[Movement], remembered_in: int | None = None) -> tuple[list[int], bytes]:
        """The partitions of a batch of movements, and its message."""
        items: list[str | int] = []
        event_partitions, events, reasons = [], [], []
        touched: dict[int, None] = {}
        marks: list[str | int] = []
        marked: set[int] = set()
        for place, movement in enumerate(movements, 1):
            if movement.mark is not None and remembered_in is None:
                marks += self._mark(place, movement.mark)
                marked.add(self._of(movement.mark.feed))
            event = f"{movement.source}\t{movement.event_id}"
            partition = self._of(movement.sku)
            touched[partition] = None
            event_partitions.append(self._of(event) if remembered_in is None else remembered_in)
            events.append(event)
            reasons.append(f"{movement.reason}\t{movement.reference}")
            checked(
                (
                    movement.source,
                    movement.event_id,
                    movement.sku,
                    movement.location,
                    movement.reason,
                    movement.reference,
                    movement.channel,
                    movement.state,
                    movement.to_state,
                )
            )
            items += (
                partition,
                movement.sku,
                movement.location,
                movement.kind,
                movement.quantity,
                movement.occurred_at_ms,
                -1 if movement.expected_revision is None else movement.expected_revision,
                movement.channel,
                movement.state,
                movement.to_state,
            )
        message = self._message(touched, items, event_partitions, events, reasons, marks)
        return list(marked.union(touched, event_partitions)), message

    def feed_marks(self, partition: int, marks: Iterable[FeedMark]) -> tuple[list[int], bytes]:
        """The message that keeps how far feeds of one partition are."""
        return [partition], self._message([partition], [field for mark in marks for field in self._mark(0, mark)])

    def _mark(self, place: int, mark: FeedMark) -> tuple[int, int, str, str, str]:
        """A mark as lua/movements.lua has it; `place` of the movement that must be decided before, 0: none."""
        checked((mark.feed, mark.source, mark.event_id))
        return place, self._of(mark.feed), mark.feed, str(mark.position), f"{mark.source}\t{mark.event_id}"

    def incoming_of_one(self, changes: Sequence[IncomingChange]) -> tuple[list[int], bytes]:
        """The same for changes of one partition, which then remembers their events too."""
        return self.incoming(changes, self._of(changes[0].sku))

    def incoming(self, changes: Sequence[IncomingChange], remembered_in: int | None = None) -> tuple[list[int], bytes]:
        """The partitions of a batch of changes of receipts, and its message."""
        items: list[str | int] = []
        event_partitions, events = [], []
        touched: dict[int, None] = {}
        for change in changes:
            event = f"{change.source}\t{change.request_id}"
            partition = self._of(change.sku)
            touched[partition] = None
            event_partitions.append(self._of(event) if remembered_in is None else remembered_in)
            events.append(event)
            checked((change.source, change.request_id, change.sku, change.location, change.receipt_id, change.reason))
            items += (
                partition,
                change.sku,
                change.location,
                change.receipt_id,
                change.kind,
                change.quantity,
                change.expected_day,
                int(change.closes),
                change.occurred_at_ms,
                -1 if change.expected_revision is None else change.expected_revision,
                int(change.of_transfer) + int(change.of_transfer and change.all_there_is),
                change.reason,
            )
        message = self._message(touched, items, event_partitions, events)
        return list(touched.keys() | set(event_partitions)), message

    def cover(self, partition: int, sku: str, location: str) -> tuple[list[int], bytes]:
        """The message that has the backorders of a position covered."""
        return [partition], self._message([partition], partition, sku, location)

    def slots(self, partition: int, named: list[str]) -> tuple[list[int], bytes]:
        """The message that forgets days of slots: SKU, place, SKU, place and so on."""
        checked(named)
        return [partition], self._message([partition], partition, named)

    def sweep(self, partition: int, number: int) -> tuple[list[int], bytes]:
        """The message of expire and forget: a partition and a number (the limit, or the first period)."""
        return [partition], self._message([partition], partition, number)


def repromise_item(line: LineRepromise) -> tuple[str, str | bool, int]:
    """A line of new promises, as lua/repromise.lua has it."""
    checked((line.line_id,))
    if line.promise is None:
        return line.line_id, False, line.due_day
    checked((line.promise.service, *(part.location for part in line.promise.parts)))
    return line.line_id, standing_text(LineStanding(line.promise)), line.due_day


def hand_over_item(change: ReservationChange) -> tuple[str, str, int]:
    """The one line of a hand-over, as lua/amend.lua has it."""
    checked((change.to_channel, change.to_customer_ref))
    return change.to_channel, change.to_customer_ref, int(change.borrows)


def placing_head_of(change: ReservationChange) -> tuple[str, str, int, int, str]:
    """The fields of an amendment or rebinding before its line count."""
    fingerprint, channel, expected, _, order_ref = head_of(change)
    return fingerprint, channel, expected, int(change.borrows), order_ref


def shipping_head_of(change: ReservationChange, *, is_part: bool) -> tuple[str, str, int, int, str]:
    """The fields of a shipment or cancellation of a transfer before its line count; `is_part`: other pieces have others
    of its lines.
    """
    fingerprint, channel, expected, _, _ = head_of(change)
    return fingerprint, channel, expected, change.expected_day, "PART" if is_part else ""


def head_of(change: ReservationChange) -> tuple[str, str, int, int, str]:
    """The fields of an item before its line count."""
    text = change.order_ref or change.reason
    instant_or_seconds = -change.left_at_ms or change.time_to_live_seconds or int(change.with_slots)
    checked((change.request_id, change.fingerprint, change.reservation_id, change.channel, text))
    expected = -1 if change.expected_revision is None else change.expected_revision
    return change.fingerprint, change.channel, expected, instant_or_seconds, text
