"""Reservations: made, confirmed, extended, released, fulfilled, expired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from invengine import errors
from invengine.domain.capacity import is_capacity
from invengine.domain.orders import (
    Fulfilment,
    LineRequest,
    LineUnits,
    PlacedRequest,
    Reservation,
    ReservationChange,
    ReservationLine,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.reservation_answers import ReservationAnswer
from tests.store.model.state import LIVE, Moved, State, fenced_less, legs_of, open_legs
from tests.store.model.stock import Buyer, Leg, Place, Stock, plain
from tests.store.model.taking import Take, takes_of_lines

Answers = list[ReservationAnswer | errors.InventoryError]


class Reservations(State):
    """The verbs that do not change what a reservation is about; and what the others need too."""

    def reserve(self, requests: list[ReserveRequest]) -> Answers:
        return self._answers(requests, self._reserve)

    def _answers(self, requests, decide) -> Answers:
        self.begin_call()
        return [self._answer(request, decide) for request in requests]

    def _answer(self, request, decide) -> ReservationAnswer | errors.InventoryError:
        """The first answer again, or what `decide` says; refusals are not remembered."""
        name = request.channel, request.request_id
        if name in self.answers:
            fingerprint, reservation = self.answers[name]
            if fingerprint != request.fingerprint:
                return errors.RequestMismatch(request.request_id)
            return ReservationAnswer(reservation, replayed=True)
        self.begin_item()
        self.choice = 0
        try:
            reservation = decide(request)
        except errors.InventoryError as refusal:
            return refusal
        self.reservations[reservation.reservation_id] = reservation
        self.end_item()
        reservation = plain(self.reservations[reservation.reservation_id])
        self.answers[name] = request.fingerprint, reservation
        return ReservationAnswer(reservation, choice=self.choice)

    def _reserve(self, request: ReserveRequest) -> Reservation:
        if request.reservation_id in self.reservations:
            raise errors.ReservationExists(request.reservation_id)
        buyer = Buyer("" if request.is_transfer else request.channel, request.borrows)
        choices, first_short = (request.lines, *request.alternatives), None
        for self.choice, asked_lines in enumerate(choices):
            takes, short = self.decided(self.stock.copy, asked_lines, buyer, best_effort=request.best_effort)
            if not short or (request.best_effort and any(takes)):
                break
            first_short = first_short or short
        else:
            raise shortage(first_short)
        expires_at = 0 if request.is_transfer else self.seconds_up() + request.time_to_live_seconds
        lines = []
        for line, mine in zip(asked_lines, takes, strict=True):
            future = replace(line.future, backorder_units=0) if line.future else None
            asked, kit = (line.asked, line.kit) if isinstance(line, PlacedRequest) else (line.quantity, None)
            head = line.line_id, line.sku, asked, line.fulfilment, line.destination
            made = ReservationLine(*head, (), future, kit=kit, expected_day=line.expected_day, **standing_of(line))
            lines.append(self.with_takes(made, mine, request.reservation_id, buyer, expires_at))
        return Reservation(
            request.reservation_id,
            ReservationState.CONFIRMED if request.is_transfer else ReservationState.HELD,
            request.channel,
            self.now_ms,
            expires_at,
            self.revise(self.of(request.reservation_id)),
            tuple(lines),
            request.customer_ref,
            request.order_ref,
            request.cart_ref,
        )

    # Taking units

    def decided(
        self, lent, lines: tuple[LineRequest, ...], buyer: Buyer, *, best_effort: bool = False
    ) -> tuple[list[list[Take]], dict[LineRequest, int]]:
        """As `takes_of_lines` of the stock that `lent` answers, once nothing that is due stands in the way any more."""
        while True:
            stock: Stock = lent()
            takes, short = takes_of_lines(stock, lines, buyer, self.now_ms, best_effort=best_effort)
            not_there = [
                line
                for line, mine in zip(lines, takes, strict=True)
                if line in short or not all(take.is_on_hand for take in mine)
            ]
            if not not_there or not self.sweep(*(self.of(line.sku) for line in not_there)):
                return takes, short

    def with_takes(
        self, line: ReservationLine, takes: list[Take], reservation_id: str, buyer: Buyer, expires_at: int
    ) -> ReservationLine:
        """The line after it took units; `expires_at` is 0 where the reservation is confirmed."""
        legs: list[Leg] = list(line.allocations)
        for take in takes:
            if expires_at:
                self.look_at(expires_at, line.sku, reservation_id)
            if take.is_on_hand:
                fenced = self.stock.take((line.sku, take.location), take.units, buyer.channel)
                fence_channel = buyer.channel if fenced else ""
                leg = self.new_leg(
                    reservation_id, take.location, take.units, fenced=fenced, fence_channel=fence_channel
                )
                _join(legs, leg)
                continue
            source = line.sku, take.location, take.receipt_id
            self.stock.peg(source, take.units)
            legs.append(
                self.new_leg(
                    reservation_id,
                    take.location,
                    take.units,
                    receipt_id=take.receipt_id,
                    due_day=take.due_day,
                    backordered=take.backordered,
                )
            )
            self.queues.setdefault(source, []).append((reservation_id, legs[-1].serial))
        return replace(line, allocations=tuple(legs))

    # What becomes of reservations

    def confirm(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.held(change)
            self.revise_holds(reservation)
            order_ref = change.order_ref or reservation.order_ref
            return self.revised(reservation, state=ReservationState.CONFIRMED, expires_at=0, order_ref=order_ref)

        return self._answers(changes, decide)

    def extend(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            return self.extended(self.held(change), change.time_to_live_seconds)

        return self._answers(changes, decide)

    def extended(self, reservation: Reservation, seconds: int) -> Reservation:
        """With a new time to live from now on."""
        expires_at = self.seconds_up() + seconds
        self.revise_holds(reservation)
        for line, _ in open_legs(reservation):
            self.look_at(expires_at, line.sku, reservation.reservation_id)
        return self.revised(reservation, expires_at=expires_at)

    def revise_holds(self, reservation: Reservation) -> None:
        """The holds of a reservation change; only units on hand have one."""
        for line, leg in open_legs(reservation):
            if leg.is_on_hand:
                self.revise(self.of(line.sku))

    def release(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.of_channels(change)
            units = named_units(reservation, change.lines, change)

            def released(line: ReservationLine, leg: Leg) -> Leg:
                count = units.get(leg.serial, 0)
                return replace(self.give_back(line, leg, count), released=leg.released + count) if count else leg

            return self._given_up(reservation, released) if units else reservation

        return self._answers(changes, decide)

    def fulfil(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.of_channels(change)
            if reservation.state is not ReservationState.CONFIRMED:
                raise errors.ReservationNotConfirmed(change.reservation_id)
            if change.lines:
                units = _named(reservation, change.lines, change, on_hand_only=True)
            else:
                _refuse_unless_on_hand(reservation)
                units = _all_open(reservation)
            self.check_on_hand(reservation, units, change.left_at_ms)

            def fulfilled(line: ReservationLine, leg: Leg) -> Leg:
                count = units.get(leg.serial, 0)
                if not count:
                    return leg
                place = line.sku, leg.location
                before = self.stock.at(place)
                if is_capacity(line.sku):
                    self.stock.set(place, on_hand=before.on_hand + count, reserved=before.reserved - count)
                    return replace(leg, fulfilled=leg.fulfilled + count)
                leaving = 0 if self._is_counted_without(place, change.left_at_ms) else count
                self.stock.set(place, on_hand=before.on_hand - leaving, reserved=before.reserved - count)
                if leaving:
                    left_at_ms = change.left_at_ms or self.now_ms
                    self.trail.append(Moved(place, left_at_ms, -leaving, order_ref=reservation.order_ref))
                return replace(fenced_less(leg, min(count, leg.fenced)), fulfilled=leg.fulfilled + count)

            return self._given_up(reservation, fulfilled) if units else reservation

        return self._answers(changes, decide)

    def _given_up(self, reservation: Reservation, changed) -> Reservation:
        lines = tuple(
            replace(line, allocations=tuple(changed(line, leg) for leg in line.allocations))
            for line in reservation.lines
        )
        return self.closed_if_done(replace(reservation, lines=lines))

    def closed_if_done(self, after: Reservation) -> Reservation:
        """Revised, and closed when nothing is open any more."""
        if open_legs(after):
            return self.revised(after)
        fulfilled = any(leg.fulfilled for _, leg in legs_of(after))
        state = ReservationState.FULFILLED if fulfilled else ReservationState.RELEASED
        return self.revised(after, state=state, expires_at=0)

    def _is_counted_without(self, place: Place, left_at_ms: int) -> bool:
        """Whether units that left at an instant (0: now) were gone when the position was last counted."""
        return 0 < left_at_ms <= self.stock.at(place).counted_at_ms

    def check_on_hand(self, reservation: Reservation, units: dict[int, int], left_at_ms: int = 0) -> None:
        """Refuses what is not physically there any more."""
        left: dict[tuple[str, str], int] = {}
        short = []
        legs = {leg.serial: (line, leg) for line, leg in legs_of(reservation)}
        for serial, count in units.items():
            line, leg = legs[serial]
            place = line.sku, leg.location
            if self._is_counted_without(place, left_at_ms) or is_capacity(line.sku):
                continue
            there = left.setdefault(place, self.stock.at(place).on_hand)
            if count > there:
                short.append(errors.ShortLine(line.line_id, *place, count, there))
            else:
                left[place] = there - count
        if short:
            raise errors.InsufficientStock(tuple(short))

    def expire_due(self, partition: int) -> set[str]:
        self.begin_call()
        return self.sweep(partition)

    # Who may change

    def live(self, change: ReservationChange) -> Reservation:
        """The reservation of a change, if it may still change."""
        reservation = self.reservations.get(change.reservation_id)
        if reservation is None:
            raise errors.ReservationNotFound(change.reservation_id)
        state = reservation.state_at(self.now_ms)
        if state is ReservationState.EXPIRED:
            raise errors.ReservationExpired(change.reservation_id, reservation.expires_at)
        if state not in LIVE:
            raise errors.ReservationClosed(change.reservation_id, state)
        if change.expected_revision is not None and change.expected_revision != reservation.revision:
            raise errors.RevisionMismatch(change.expected_revision, reservation.revision)
        return reservation

    def of_channels(self, change: ReservationChange) -> Reservation:
        """The same, if it is no transfer: channels may change it."""
        reservation = self.live(change)
        if is_transfer(reservation):
            raise errors.OfTransfer(change.reservation_id)
        return reservation

    def held(self, change: ReservationChange) -> Reservation:
        """The live reservation of a change, if it is held."""
        reservation = self.live(change)
        if reservation.state is ReservationState.CONFIRMED:
            raise errors.ReservationConfirmed(change.reservation_id)
        return reservation


def is_transfer(reservation: Reservation) -> bool:
    """Whether it is one: then all its lines are."""
    return reservation.lines[0].fulfilment is Fulfilment.TRANSFER


def named_units(
    reservation: Reservation, named: tuple[LineUnits, ...], change: ReservationChange | None = None
) -> dict[int, int]:
    """Units by leg that a change names, all that are open where it names none."""
    return _named(reservation, named, change) if named else _all_open(reservation)


def _names_slots(change: ReservationChange) -> bool:
    """Whether a release or fulfilment says that it names slots: by itself, or by what only other verbs have."""
    return change.with_slots or bool(change.left_at_ms or change.time_to_live_seconds)


def standing_of(line: LineRequest) -> dict[str, Any]:
    """What the record of a line says of its date and slots."""
    standing = line.standing if isinstance(line, PlacedRequest) else None
    return {"promise": standing.promise, "has_slots": standing.has_slots} if standing else {}


def shortage(short: dict[LineRequest, int]) -> errors.InsufficientStock:
    """The refusal of short lines, with what there is for them."""
    return errors.InsufficientStock(
        tuple(
            errors.ShortLine(line.line_id, line.sku, line.named_location, line.quantity, available)
            for line, available in short.items()
        )
    )


def _join(legs: list[Leg], taken: Leg) -> None:
    """Adds units on hand to the first leg that they may join, or as a leg of their own."""
    for place, leg in enumerate(legs):
        same_fence = not leg.fenced or not taken.fenced or leg.fence_channel == taken.fence_channel
        if leg.location == taken.location and leg.is_on_hand and same_fence:
            legs[place] = replace(
                leg,
                quantity=leg.quantity + taken.quantity,
                fenced=leg.fenced + taken.fenced,
                fence_channel=leg.fence_channel or taken.fence_channel,
            )
            return
    legs.append(taken)


def _all_open(reservation: Reservation) -> dict[int, int]:
    return {leg.serial: leg.open for _, leg in open_legs(reservation)}


def _refuse_unless_on_hand(reservation: Reservation) -> None:
    short = []
    for line in reservation.lines:
        wanted = sum(leg.open for leg in line.allocations)
        there = sum(leg.open for leg in line.allocations if leg.is_on_hand)
        if there < wanted:
            short.append(errors.ShortLine(line.line_id, line.sku, "", wanted, there))
    if short:
        raise errors.InsufficientStock(tuple(short))


def _named(
    reservation: Reservation,
    named: tuple[LineUnits, ...],
    change: ReservationChange | None = None,
    *,
    on_hand_only: bool = False,
) -> dict[int, int]:
    """Units by leg that a release or fulfilment names."""
    left = {leg.serial: leg.open for _, leg in legs_of(reservation)}
    units: dict[int, int] = {}
    short = []
    for name in named:
        line = next((line for line in reservation.lines if line.line_id == name.line_id), None)
        legs = [leg for leg in line.allocations if name.location in ("", leg.location)] if line else []
        if line is None or (name.location and not legs):
            raise errors.LineNotFound(reservation.reservation_id, name.line_id, name.location)
        if legs and line.has_slots and change is not None and not _names_slots(change):
            raise errors.RevisionMismatch(change.expected_revision or 0, reservation.revision)
        there = sum(left[leg.serial] for leg in legs)
        if name.quantity > there:
            raise errors.QuantityExceedsOpen(reservation.reservation_id, name.line_id, name.quantity, there)
        if on_hand_only:
            legs = [leg for leg in legs if leg.is_on_hand]
            there = sum(left[leg.serial] for leg in legs)
            if name.quantity > there:
                short.append(errors.ShortLine(line.line_id, line.sku, name.location, name.quantity, there))
                continue
        wanted = name.quantity or there
        for leg in sorted(legs, key=lambda leg: (leg.is_on_hand, not leg.backordered)):
            count = min(wanted, left[leg.serial])
            if count:
                units[leg.serial] = units.get(leg.serial, 0) + count
                left[leg.serial] -= count
                wanted -= count
    if short:
        raise errors.InsufficientStock(tuple(short))
    return units
