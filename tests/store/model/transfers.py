"""Transfers: made, shipped, cancelled, closed. What arrives is in the schedule."""

from __future__ import annotations

from dataclasses import replace

from invengine import errors
from invengine.domain.incoming import Receipt
from invengine.domain.orders import Reservation, ReservationChange, ReservationLine
from tests.store.model.reservations import Answers, Reservations, is_transfer, named_units
from tests.store.model.state import legs_of, open_legs
from tests.store.model.stock import Leg


class Transfers(Reservations):
    """The verbs of transfers."""

    def ship_transfer(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.transfer(change)
            units = named_units(reservation, change.lines)
            if not units:
                raise errors.TransferClosed(change.reservation_id)
            self.check_on_hand(reservation, units)
            named = [(line, leg) for line, leg in legs_of(reservation) if units.get(leg.serial)]
            for line, leg in named:
                source = line.sku, line.destination.location, reservation.reservation_id
                known = self.stock.receipts.get(source)
                if known and known.from_location != leg.location:
                    raise errors.TransferExists(change.reservation_id)
            shipped = {line.line_id for line, _ in named}
            for line, leg in named:
                self._send(reservation, line, leg, units[leg.serial], change.expected_day)
            lines = tuple(self._shipped(line, units, change, line.line_id in shipped) for line in reservation.lines)
            return self.revised(replace(reservation, lines=lines))

        return self._answers(changes, decide)

    def cancel_transfer(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.transfer(change)
            if not open_legs(reservation):
                raise errors.TransferClosed(change.reservation_id)
            lines = tuple(
                replace(
                    line,
                    allocations=tuple(
                        replace(self.give_back(line, leg, leg.open), released=leg.released + leg.open)
                        if leg.open
                        else leg
                        for leg in line.allocations
                    ),
                )
                for line in reservation.lines
            )
            return self.revised(replace(reservation, lines=lines))

        return self._answers(changes, decide)

    def close_transfer(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.transfer(change)
            return reservation if open_legs(reservation) else self.closed_if_done(reservation)

        return self._answers(changes, decide)

    def transfer(self, change: ReservationChange) -> Reservation:
        """The transfer of a change, if it may still change."""
        reservation = self.live(change)
        if not is_transfer(reservation):
            raise errors.TransferNotFound(change.reservation_id)
        return reservation

    def _send(self, reservation: Reservation, line: ReservationLine, leg: Leg, units: int, day: int) -> None:
        """Units leave the source and are expected at the destination."""
        place = line.sku, leg.location
        before = self.stock.at(place)
        self.stock.set(place, on_hand=before.on_hand - units, reserved=before.reserved - units)
        self.trail.append((*place, self.now_ms, -units))
        source = line.sku, line.destination.location, reservation.reservation_id
        known = self.stock.receipts.get(source)
        if known is None:
            known = Receipt(*source, day or line.expected_day, 0, 0, 0, leg.location)
        elif day and not known.pegged:
            known = replace(known, expected_day=day)
        self.stock.set_receipt(source, replace(known, quantity=known.quantity + units))

    def _shipped(
        self, line: ReservationLine, units: dict[int, int], change: ReservationChange, is_named: bool
    ) -> ReservationLine:
        legs = tuple(replace(leg, fulfilled=leg.fulfilled + units.get(leg.serial, 0)) for leg in line.allocations)
        day = change.expected_day if is_named and change.expected_day else line.expected_day
        return replace(line, allocations=legs, expected_day=day)
