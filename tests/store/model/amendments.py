"""Reservations that change what they are about: amended, rebound, handed over."""

from __future__ import annotations

from dataclasses import replace

from invengine import errors
from invengine.domain.capacity import is_slot_line
from invengine.domain.orders import (
    Candidate,
    LinePlacement,
    LineRequest,
    PlacedRequest,
    Reservation,
    ReservationChange,
    ReservationLine,
)
from tests.store.model.reservations import Answers, Reservations, shortage, standing_of
from tests.store.model.stock import Buyer, Leg, Stock
from tests.store.model.taking import Take

Gives = dict[int, int]
"""Units to give back by serial of the leg."""


class Amendments(Reservations):
    """The verbs amend, rebind and hand_over."""

    def amend(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            self.of_channels(change)
            plan = None

            def lent() -> Stock:  # anew after a sweep, which may have covered backorders of this reservation
                nonlocal plan
                plan = _with_quantities(self.reservations[change.reservation_id], change)
                return self._lent([(line, _given_back(line, wanted)) for line, wanted in plan])

            lent()
            in_order = [wanted.line_id for wanted in change.placements]  # then those that are added
            raised = [(line, wanted) for line, wanted in plan if wanted and _units_wanted(line, wanted)]
            raised.sort(key=lambda one: in_order.index(one[0].line_id) if one[0].line_id in in_order else len(in_order))
            asked = tuple(
                _asked(
                    line,
                    wanted,
                    _units_wanted(line, wanted),
                    wanted.candidates if wanted.units_at else _own_first(line, wanted.candidates),
                )
                for line, wanted in raised
            )
            takes = self._placed(lent, asked, Buyer(change.channel, change.borrows))
            gives = {serial: units for line, wanted in plan for serial, units in _given_back(line, wanted).items()}
            return self._moved(change, [line for line, _ in plan], gives, takes)

        return self._answers(changes, decide)

    def rebind(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            self.of_channels(change)
            known = {line.line_id for line in self._now(change).lines}
            for wanted in change.placements:
                if wanted.line_id not in known:
                    raise errors.LineNotFound(change.reservation_id, wanted.line_id)
            named = {wanted.line_id: wanted for wanted in change.placements if not is_slot_line(wanted.line_id)}
            slots = replace(
                change, placements=tuple(one for one in change.placements if is_slot_line(one.line_id))
            )  # they are amended

            def planned() -> list[tuple[ReservationLine, LinePlacement | None]]:
                return _with_quantities(self._now(change), slots)

            def moving() -> list[tuple[ReservationLine, Gives]]:
                lines = {line.line_id: line for line, _ in planned()}
                mine = [
                    (lines[name], {leg.serial: leg.open for leg in lines[name].allocations if leg.open})
                    for name in named
                ]
                return mine + [(line, _given_back(line, wanted)) for line, wanted in planned() if wanted]

            in_order = [wanted.line_id for wanted in change.placements]
            asked = [
                _asked(line, named[line.line_id], sum(gives.values()), named[line.line_id].candidates)
                for line, gives in moving()
                if gives and line.line_id in named
            ]
            asked += [
                _asked(line, wanted, _units_wanted(line, wanted), wanted.candidates)
                for line, wanted in planned()
                if wanted and _units_wanted(line, wanted)
            ]
            asked.sort(key=lambda one: in_order.index(one.line_id) if one.line_id in in_order else len(in_order))
            takes = self._placed(lambda: self._lent(moving()), tuple(asked), Buyer(change.channel, change.borrows))
            all_gives: Gives = {}
            for line, gives in moving():
                takes[line.line_id] = _without_what_stays(line, gives, takes.get(line.line_id, []))
                all_gives |= gives
            lines = [_with_standing(line, named.get(line.line_id)) for line, _ in planned()]
            return self._moved(change, lines, all_gives, takes)

        return self._answers(changes, decide)

    def hand_over(self, changes: list[ReservationChange]) -> Answers:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self.held(change) if change.time_to_live_seconds else self.of_channels(change)
            lines = tuple(
                replace(line, allocations=tuple(self._fenced_anew(line, leg, change) for leg in line.allocations))
                for line in reservation.lines
            )
            after = replace(
                reservation,
                channel=change.to_channel or reservation.channel,
                customer_ref=change.to_customer_ref or reservation.customer_ref,
                lines=lines,
            )
            if change.time_to_live_seconds:
                return self.extended(after, change.time_to_live_seconds)
            return reservation if after == reservation else self.revised(after)

        return self._answers(changes, decide)

    def _fenced_anew(self, line: ReservationLine, leg: Leg, change: ReservationChange) -> Leg:
        """Open units out of another channel's ring-fence as the new channel would take them, if it may."""
        buyer, place = Buyer(change.to_channel, change.borrows), (line.sku, leg.location)
        if not buyer.channel or not leg.fenced or leg.fence_channel == buyer.channel:
            return leg
        trial = self.stock.copy()
        trial.put_back(place, leg.open, leg.fenced, leg.fence_channel)
        if trial.can_take(place, buyer) < leg.open:
            return leg
        self.stock.put_back(place, leg.open, leg.fenced, leg.fence_channel)
        fenced = self.stock.take(place, leg.open, buyer.channel)
        return replace(leg, fenced=fenced, fence_channel=buyer.channel if fenced else "")

    # Common steps

    def _now(self, change: ReservationChange) -> Reservation:
        return self.reservations[change.reservation_id]

    def _lent(self, moving: list[tuple[ReservationLine, Gives]]) -> Stock:
        """The stock with everything given back that these lines give back."""
        real, self.stock = self.stock, self.stock.copy()
        for line, gives in moving:
            for leg in line.allocations:
                if gives.get(leg.serial):
                    self.give_back(line, leg, gives[leg.serial])
        real, self.stock = self.stock, real
        return real

    def _placed(self, lent, asked: tuple[LineRequest, ...], buyer: Buyer) -> dict[str, list[Take]]:
        """By line_id the units to take where. InsufficientStock, UnknownSku."""
        takes, short = self.decided(lent, asked, buyer)
        if short:
            raise shortage(short)
        return {line.line_id: mine for line, mine in zip(asked, takes, strict=True)}

    def _moved(
        self, change: ReservationChange, lines: list[ReservationLine], gives: Gives, takes: dict[str, list[Take]]
    ) -> Reservation:
        """The reservation after these lines gave back and then took units."""
        reservation, after = self._now(change), []
        for line in lines:
            legs = []
            for leg in line.allocations:
                units = gives.get(leg.serial, 0)
                left = self.give_back(line, leg, units) if units else leg
                legs.append(replace(left, quantity=leg.quantity - units))
            after.append(replace(line, allocations=tuple(leg for leg in legs if leg.quantity)))
        buyer = Buyer(change.channel, change.borrows)
        of_line = {line.line_id: line for line in after}
        for line_id, its in takes.items():  # in the order of the change: who is promised first stands first in a queue
            line = of_line[line_id]
            of_line[line_id] = self.with_takes(line, its, reservation.reservation_id, buyer, reservation.expires_at)
        taken = tuple(of_line[line.line_id] for line in lines)
        changed = replace(reservation, lines=taken)
        return reservation if changed == reservation else self.closed_if_done(changed)


def _asked(line: ReservationLine, wanted: LinePlacement, units: int, candidates: tuple[Candidate, ...]) -> LineRequest:
    """What a line is to take, as one that is to be reserved."""
    return PlacedRequest(
        line.line_id,
        line.sku,
        units,
        tuple(candidates),
        allow_split=wanted.allow_split,
        named_location=wanted.named_location,
        future=wanted.future,
        units_at=tuple(max(0, part) for part in wanted.units_at),
    )


def _units_wanted(line: ReservationLine, wanted: LinePlacement) -> int:
    """Units that an amended line takes."""
    if wanted.units_at:
        return sum(units for units in wanted.units_at if units > 0)
    return max(0, line.quantity - line.standing)


def _with_quantities(
    reservation: Reservation, change: ReservationChange
) -> list[tuple[ReservationLine, LinePlacement | None]]:
    """All lines with the quantities that an amendment wants, and for those that it names how they come by them.

    A line that is named forgets what it gave back before: its allocations are what it still has.
    """
    lines: dict[str, tuple[ReservationLine, LinePlacement | None]] = {
        line.line_id: (line, None) for line in reservation.lines
    }
    for wanted in change.placements:
        if wanted.line_id not in lines:
            raise errors.LineNotFound(change.reservation_id, wanted.line_id)
        line, _ = lines[wanted.line_id]
        back, opened = line.standing - wanted.quantity, sum(leg.open for leg in line.allocations)
        if wanted.units_at:
            _check_given(line, wanted, change.reservation_id)
        elif back > opened:
            raise errors.QuantityExceedsOpen(change.reservation_id, line.line_id, back, opened)
        kept = (replace(leg, quantity=leg.quantity - leg.released, released=0) for leg in line.allocations)
        allocations = tuple(leg for leg in kept if leg.quantity)
        amended = replace(line, quantity=wanted.quantity, allocations=allocations)
        lines[line.line_id] = _with_standing(amended, wanted), wanted
    for new in change.added:
        line_id = new.line_id or str(sum(not is_slot_line(known) for known in lines) + 1)
        if line_id in lines:
            raise errors.LineExists(change.reservation_id, line_id)
        future = replace(new.future, backorder_units=0) if new.future else None
        units_at, kit = (new.units_at, new.kit) if isinstance(new, PlacedRequest) else ((), None)
        head = line_id, new.sku, new.quantity, new.fulfilment, new.destination
        line = ReservationLine(*head, (), future, kit=kit, **standing_of(new))
        lines[line_id] = (
            line,
            LinePlacement(line_id, 0, new.candidates, new.allow_split, new.named_location, new.future, units_at),
        )
    return list(lines.values())


def _with_standing(line: ReservationLine, wanted: LinePlacement | None) -> ReservationLine:
    """The line with the date and slots that it is to have from now on, where that is said."""
    if wanted is None or wanted.standing is None:
        return line
    return replace(line, promise=wanted.standing.promise, has_slots=wanted.standing.has_slots)


def _own_first(line: ReservationLine, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    own = [leg.location for leg in line.allocations]
    return tuple(sorted(candidates, key=lambda c: own.index(c.location) if c.location in own else len(own)))


def _given_back(line: ReservationLine, wanted: LinePlacement | None) -> Gives:
    """What an amended line gives back, by serial of the leg."""
    return _given_exactly(line, wanted) if wanted and wanted.units_at else _last_first(line)


def _check_given(line: ReservationLine, wanted: LinePlacement, reservation_id: str) -> None:
    """QuantityExceedsOpen where a line is to give back more at a candidate than it has on hand there."""
    for candidate, units in zip(wanted.candidates, wanted.units_at, strict=True):
        there = sum(leg.open for leg in line.allocations if leg.location == candidate.location and leg.is_on_hand)
        if there < -units:
            raise errors.QuantityExceedsOpen(reservation_id, line.line_id, -units, there)


def _given_exactly(line: ReservationLine, wanted: LinePlacement) -> Gives:
    """What goes back to each candidate, out of the last legs on hand there, as far as they have it."""
    gives: Gives = {}
    for candidate, units in zip(wanted.candidates, wanted.units_at, strict=True):
        back = -units
        for leg in reversed(line.allocations):
            part = min(back, leg.open) if leg.location == candidate.location and leg.is_on_hand else 0
            if part > 0:
                gives[leg.serial] = part
                back -= part
    return gives


def _last_first(line: ReservationLine) -> Gives:
    """What a line with more than its quantity gives back: backorders, then pegs, then units on hand, the last first."""
    back, gives = line.standing - line.quantity, {}
    legs = list(reversed(line.allocations))
    legs.sort(key=lambda leg: (leg.is_on_hand, not leg.backordered))
    for leg in legs:
        units = min(back, leg.open)
        if units > 0:
            gives[leg.serial] = units
            back -= units
    return gives


def _without_what_stays(line: ReservationLine, gives: Gives, takes: list[Take]) -> list[Take]:
    """The takes without what a leg of the line has already; that much is taken off `gives` too."""
    left = list(takes)
    for leg in line.allocations:
        for place, take in enumerate(left):
            is_there = (take.location, take.receipt_id, take.backordered) == (
                leg.location,
                leg.receipt_id,
                leg.backordered,
            )
            if is_there and leg.serial in gives:
                stays = min(gives[leg.serial], take.units)
                gives[leg.serial] -= stays
                left[place] = replace(take, units=take.units - stays)
    return [take for take in left if take.units]
