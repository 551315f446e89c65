"""The state of a store, and the steps that all verbs share: revisions, queues, cover, expiry, broken promises."""

from __future__ import annotations

from dataclasses import dataclass, replace

from invengine.domain.incoming import BrokenPromise, BrokenReason, Receipt
from invengine.domain.orders import Reservation, ReservationLine, ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.returns import Return
from invengine.domain.stock import FeedMark, Position, Unsellable
from tests.store.model.stock import Leg, Place, Source, Stock

LIVE = (ReservationState.HELD, ReservationState.CONFIRMED)


@dataclass(frozen=True)
class Broken:
    """Why the promise of a leg cannot be kept; from which receipt, promised by which day."""

    receipt_id: str
    reason: BrokenReason
    due_day: int
    broken_at_ms: int


@dataclass(frozen=True)
class Moved:
    """A change of on_hand or of the units in a state: where, when, by how many; the order, if one was fulfilled."""

    place: Place
    occurred_at_ms: int
    units: int
    state: str = ""
    order_ref: str = ""


class State:
    """State of a store. The test moves `now_ms`. What a call changes in a partition gets one new revision of it."""

    def __init__(self, partitions: int, count_window_ms: int, now_ms: int = 0) -> None:
        self.partitions = partitions
        self.count_window_ms = count_window_ms
        self.now_ms = now_ms
        self.expires_in_queues = True
        """Whether covering expires a hold that is over. A store in pieces lets it have units until it is swept."""
        self.stock = Stock()
        self.reservations: dict[str, Reservation] = {}
        """By id, in the order of their making; their allocations are legs."""
        self.queues: dict[Source, list[tuple[str, int]]] = {}
        """Pegs of a receipt or backorders of a position, oldest first: reservation_id and serial of the leg."""
        self.broken: dict[int, Broken] = {}
        """By serial of the leg."""
        self.answers: dict[tuple[str, str], tuple[str, Reservation]] = {}
        """Channel and request_id -> fingerprint and what was answered."""
        self.returns: dict[str, Return] = {}
        self.return_answers: dict[tuple[str, str], tuple[str, Return]] = {}
        self.events: set[tuple[str, str]] = set()
        """Source and event_id."""
        self.feeds: dict[str, FeedMark] = {}
        """How far feeds are, by name."""
        self.trail: list[Moved] = []
        """Changes of on_hand and of units in states."""
        self.revisions: dict[int, int] = {}
        """Of the partitions that ever changed."""
        self.changed: set[int] = set()
        """Partitions changed by the running call."""
        self.due: dict[int, set[tuple[int, str]]] = {}
        """Partition -> (second, reservation_id): who may expire when."""
        self.serials = 0
        self.owners: dict[int, str] = {}
        """Serial of a leg -> reservation_id."""
        self.pools_before: dict[Place, int] = {}

    # What tests compare

    @property
    def positions(self) -> dict[Place, Position]:
        """All positions."""
        return self.stock.positions

    def unsellable(self) -> list[Unsellable]:
        """Units in states, also of states that have none any more."""
        return list(self.stock.states.values())

    def incoming(self) -> dict[Source, Receipt]:
        """Open receipts, and backorders as receipts without id."""
        return self.stock.receipts

    def broken_promises(self) -> list[BrokenPromise]:
        """All promises that cannot be kept, sorted."""
        return sorted((self._promise(serial) for serial in self.broken), key=repr)

    def _promise(self, serial: int) -> BrokenPromise:
        reservation, line, leg = self.leg(serial)
        why = self.broken[serial]
        receipt = self.stock.receipts.get((line.sku, leg.location, why.receipt_id))
        return BrokenPromise(
            reservation.reservation_id,
            line.line_id,
            line.sku,
            leg.location,
            leg.open,
            why.receipt_id,
            why.reason,
            why.due_day,
            receipt.expected_day if why.reason is BrokenReason.SLIPPED else 0,
            why.broken_at_ms,
        )

    # Calls, items, revisions

    def begin_call(self) -> None:
        """From here on changes get new revisions."""
        self.changed = set()

    def begin_item(self) -> None:
        """Remembers the pools: what this item adds to them covers backorders."""
        self.pools_before = {place: self.stock.pool(place) for place in self.stock.positions}

    def end_item(self, *also: Place) -> None:
        """Covers backorders where pools rose, tidies the broken promises, revises what was touched."""
        while any(self._cover(place) for place in self._raised(also)):
            pass  # covering may expire holds, and so raise other pools
        gone = [serial for serial in self.broken if not self.leg(serial) or not self.leg(serial)[2].open]
        for serial in gone:
            del self.broken[serial]
        for touched in self.stock.touched:
            revision = self.revise(self.of(touched[0]))
            if len(touched) == 2:
                self.stock.positions[touched] = replace(self.stock.positions[touched], revision=revision)
            elif len(touched) == 4:
                self.stock.states[touched] = replace(self.stock.states[touched], revision=revision)
            elif touched in self.stock.receipts:
                self.stock.receipts[touched] = replace(self.stock.receipts[touched], revision=revision)
        self.stock.touched.clear()

    def of(self, name: str) -> int:
        """The partition of a SKU or reservation."""
        return partition_of(name, self.partitions)

    def revise(self, partition: int) -> int:
        """The revision that this call gives a partition."""
        if partition not in self.changed:
            self.changed.add(partition)
            self.revisions[partition] = self.revisions.get(partition, 0) + 1
        return self.revisions[partition]

    def revised(self, reservation: Reservation, **changes) -> Reservation:
        """The reservation changed, as of the revision of this call."""
        return replace(reservation, revision=self.revise(self.of(reservation.reservation_id)), **changes)

    def seconds_up(self) -> int:
        """Now, in whole seconds, rounded up."""
        return -(-self.now_ms // 1000)

    # Legs and queues

    def new_leg(self, reservation_id: str, location: str, units: int, **more) -> Leg:
        """An allocation with a serial of its own."""
        self.serials += 1
        self.owners[self.serials] = reservation_id
        return Leg(location, units, serial=self.serials, **more)

    def leg(self, serial: int) -> tuple[Reservation, ReservationLine, Leg] | None:
        """The leg with this serial, and whose it is."""
        reservation = self.reservations[self.owners[serial]]
        return next(((reservation, line, leg) for line, leg in legs_of(reservation) if leg.serial == serial), None)

    def queue(self, source: Source) -> list[tuple[Reservation, ReservationLine, Leg]]:
        """Who waits for units of a receipt, or for any (backorders), oldest first."""
        waiting = []
        for _, serial in self.queues.get(source, []):
            found = self.leg(serial)
            if found and found[0].state in LIVE and found[2].open and source_of(found[1], found[2]) == source:
                waiting.append(found)
        return waiting

    def arrive(self, leg: Leg, units: int) -> None:
        """Units of a pegged or backordered leg become reserved units on hand."""
        reservation, line, _ = self.leg(leg.serial)
        place = line.sku, leg.location
        legs = [replace(a, quantity=a.quantity - units) if a.serial == leg.serial else a for a in line.allocations]
        legs = [a for a in legs if a.quantity]
        its = next((a for a in legs if a.location == leg.location and a.is_on_hand and not a.fenced), None)
        if its is None:
            legs.append(self.new_leg(reservation.reservation_id, leg.location, units))
        else:
            legs[legs.index(its)] = replace(its, quantity=its.quantity + units)
        self.stock.peg(source_of(line, leg), -units)
        self.stock.set(place, reserved=self.stock.at(place).reserved + units)
        self.reservations[reservation.reservation_id] = self.revised(with_legs(reservation, line.line_id, legs))

    def _raised(self, also: tuple[Place, ...]) -> list[Place]:
        """Positions with more in their pool than before the item, in the order in which it changed them."""
        changed = [place for place in self.stock.touched if len(place) == 2 and place not in also]
        return [*also, *(p for p in changed if self.stock.pool(p) > self.pools_before.get(p, 0))]

    def _cover(self, place: Place) -> bool:
        """Backordered units become reserved ones, the oldest first, as far as the pool goes; whether any did.

        Holds that are over and stand in the queue are expired, where `expires_in_queues`.
        """
        any_did = False
        while self.stock.pool(place) > 0 and (waiting := self.queue((*place, ""))):
            reservation, _, leg = waiting[0]
            any_did = True
            if self.expires_in_queues and reservation.state_at(self.now_ms) is not reservation.state:
                self._expire(reservation)
            else:
                self.arrive(leg, min(self.stock.pool(place), leg.open))
        return any_did

    def give_back(self, line: ReservationLine, leg: Leg, units: int) -> Leg:
        """Ends the setting aside of open units, pooled ones first; the leg with as many fewer of a ring-fence."""
        if not leg.is_on_hand:
            self.stock.peg(source_of(line, leg), -units)
            return leg
        fenced = max(0, units - (leg.open - leg.fenced))
        self.stock.put_back((line.sku, leg.location), units, fenced, leg.fence_channel)
        return fenced_less(leg, fenced)

    # Expiry

    def look_at(self, second: int, sku: str, reservation_id: str) -> None:
        """Has a reservation looked at when this second begins."""
        self.due.setdefault(self.of(sku), set()).add((second, reservation_id))

    def sweep(self, *partitions: int) -> set[str]:
        """Expires what is due in these partitions, as an item of its own; the ids."""
        expired = set()
        self.begin_item()
        for partition in partitions:
            for second, reservation_id in sorted(self.due.get(partition, ())):
                if second * 1000 > self.now_ms:
                    continue
                self.due[partition].remove((second, reservation_id))
                reservation = self.reservations[reservation_id]
                if reservation.state_at(self.now_ms) is not reservation.state:  # held, and its time is over
                    self._expire(reservation)
                    expired.add(reservation_id)
        self.end_item()
        self.begin_item()
        return expired

    def _expire(self, reservation: Reservation) -> None:
        lines = tuple(
            replace(
                line,
                allocations=tuple(
                    replace(self.give_back(line, leg, leg.open), released=leg.released + leg.open) if leg.open else leg
                    for leg in line.allocations
                ),
            )
            for line in reservation.lines
        )
        self.reservations[reservation.reservation_id] = self.revised(
            replace(reservation, lines=lines), state=ReservationState.EXPIRED
        )


def legs_of(reservation: Reservation) -> list[tuple[ReservationLine, Leg]]:
    """All allocations, with their lines."""
    return [(line, leg) for line in reservation.lines for leg in line.allocations]


def open_legs(reservation: Reservation) -> list[tuple[ReservationLine, Leg]]:
    """The allocations that still set units aside, with their lines."""
    return [(line, leg) for line, leg in legs_of(reservation) if leg.open]


def source_of(line: ReservationLine, leg: Leg) -> Source:
    """The receipt that a leg is pegged to, or the backorders of its position."""
    return line.sku, leg.location, leg.receipt_id


def fenced_less(leg: Leg, fenced: int) -> Leg:
    """The leg with so many fewer units out of a ring-fence."""
    left = leg.fenced - fenced
    return replace(leg, fenced=left, fence_channel=leg.fence_channel if left else "")


def with_legs(reservation: Reservation, line_id: str, legs: list[Leg]) -> Reservation:
    """The reservation with other allocations of one line."""
    lines = tuple(
        replace(line, allocations=tuple(legs)) if line.line_id == line_id else line for line in reservation.lines
    )
    return replace(reservation, lines=lines)
