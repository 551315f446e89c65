"""The whole store in plain Python: the executable specification of the Redis Functions.

Slow, obvious and complete. One method per verb, batches in, outcomes out; `now_ms` is moved by the test. What a batch
changes in a partition gets one new revision of that partition.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from invengine import errors
from invengine.domain.orders import (
    Allocation,
    Candidate,
    LinePlacement,
    LineRequest,
    LineUnits,
    Reservation,
    ReservationAnswer,
    ReservationChange,
    ReservationLine,
    ReservationState,
    ReserveRequest,
)
from invengine.domain.partitions import partition_of
from invengine.domain.stock import (
    UNITS_MAX,
    Movement,
    MovementKind,
    MovementOutcome,
    MovementResult,
    Position,
    safety_units,
)

Units = dict[tuple[str, str], int]  # by SKU and location
LIVE = (ReservationState.HELD, ReservationState.CONFIRMED)


@dataclass
class Model:
    """State and rules of a store."""

    partitions: int
    count_window_ms: int
    now_ms: int = 0
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple[str, Reservation]] = field(default_factory=dict)  # by channel and request_id
    events: set[tuple[str, str]] = field(default_factory=set)  # source and event_id
    changes: list[tuple[str, str, int, int]] = field(default_factory=list)  # sku, location, occurred_at_ms, units
    revisions: dict[int, int] = field(default_factory=dict)  # of the partitions that ever changed
    due: dict[int, set[tuple[int, str]]] = field(
        default_factory=dict
    )  # partition -> (second, reservation_id) to look at
    changed: set[int] = field(default_factory=set)  # partitions changed by the running call

    # Movements

    def post_movements(self, movements: list[Movement]) -> list[MovementOutcome]:
        self.changed = set()
        return [self._post(movement) for movement in movements]

    def _post(self, movement: Movement) -> MovementOutcome:
        event = movement.source, movement.event_id
        if event in self.events:
            return self._outcome(MovementResult.REPEATED, movement)
        try:
            self._apply(movement)
        except errors.Stale as refusal:
            self.events.add(event)
            return self._outcome(MovementResult.STALE, movement, refusal)
        except errors.InventoryError as refusal:
            return self._outcome(MovementResult.REFUSED, movement, refusal)
        self.events.add(event)
        return self._outcome(MovementResult.APPLIED, movement)

    def _outcome(
        self, result: MovementResult, movement: Movement, refusal: errors.InventoryError | None = None
    ) -> MovementOutcome:
        position = self.positions.get((movement.sku, movement.location), Position(0, 0, 0))
        return MovementOutcome(result, position.on_hand, position.reserved, position.revision, refusal)

    def _apply(self, movement: Movement) -> None:
        sku, location, quantity, at = movement.sku, movement.location, movement.quantity, movement.occurred_at_ms
        position = self.positions.get((sku, location))
        before = position or Position(0, 0, 0)
        if movement.expected_revision is not None and movement.expected_revision != before.revision:
            raise errors.RevisionMismatch(movement.expected_revision, before.revision)
        if movement.kind is MovementKind.COUNT:
            on_hand = self._counted(movement, position)
            self._set(sku, location, on_hand=on_hand, counted_at_ms=at)
            return
        if before.counted_at_ms and at <= before.counted_at_ms:
            raise errors.CoveredByCount(sku, location, before.counted_at_ms)
        units = -quantity if movement.kind is MovementKind.SALE else quantity
        if movement.kind is MovementKind.SALE and quantity > before.on_hand - before.reserved:
            if position:
                self._sweep(self._of(sku))
                before = self.positions[sku, location]
            if quantity > before.on_hand - before.reserved:
                free = max(0, before.on_hand - before.reserved)
                raise errors.InsufficientStock((errors.ShortLine("", sku, location, quantity, free),))
        if before.on_hand + units < 0:
            raise errors.InsufficientStock((errors.ShortLine("", sku, location, -units, before.on_hand),))
        if before.on_hand + units > UNITS_MAX:
            raise errors.QuantityOutOfRange(sku, location, before.on_hand, units)
        self._set(sku, location, on_hand=before.on_hand + units)
        self.changes.append((sku, location, at, units))

    def _counted(self, movement: Movement, position: Position | None) -> int:
        """on_hand by a count: what was counted, and what moved since on top."""
        sku, location, at = movement.sku, movement.location, movement.occurred_at_ms
        if position and position.counted_at_ms and at < position.counted_at_ms:
            raise errors.OlderCount(sku, location, position.counted_at_ms)
        if position and at < self.now_ms - self.count_window_ms:
            raise errors.CountTooOld(sku, location, at, self.now_ms - self.count_window_ms)
        moved = sum(
            units
            for its_sku, its_location, occurred_at, units in self.changes
            if (its_sku, its_location) == (sku, location) and occurred_at > at
        )
        if not 0 <= movement.quantity + moved <= UNITS_MAX:
            raise errors.QuantityOutOfRange(sku, location, movement.quantity, moved)
        return movement.quantity + moved

    # Reserving

    def reserve(self, requests: list[ReserveRequest]) -> list[ReservationAnswer | errors.InventoryError]:
        self.changed = set()
        return [self._answered(request, self._reserve) for request in requests]

    def _answered(self, request, decide) -> ReservationAnswer | errors.InventoryError:
        """The first answer again, or what `decide` says; refusals are not remembered."""
        name = request.channel, request.request_id
        if name in self.answers:
            fingerprint, reservation = self.answers[name]
            if fingerprint != request.fingerprint:
                return errors.RequestMismatch(request.request_id)
            return ReservationAnswer(reservation, replayed=True)
        try:
            reservation = decide(request)
        except errors.InventoryError as refusal:
            return refusal
        self.reservations[reservation.reservation_id] = reservation
        self.answers[name] = request.fingerprint, reservation
        return ReservationAnswer(reservation)

    def _reserve(self, request: ReserveRequest) -> Reservation:
        if request.reservation_id in self.reservations:
            raise errors.ReservationExists(request.reservation_id)
        takes, short = self._decided(request)
        if short and not (request.best_effort and any(takes)):
            raise _shortage(short)
        expires_at = self._seconds_up() + request.time_to_live_seconds
        lines = []
        for line, taken in zip(request.lines, takes, strict=True):
            for location, units in taken:
                self._set(line.sku, location, reserved=self.positions[line.sku, location].reserved + units)
                self._look_at(expires_at, line.sku, request.reservation_id)
            allocations = tuple(Allocation(location, units) for location, units in taken)
            lines.append(
                ReservationLine(line.line_id, line.sku, line.quantity, line.fulfilment, line.destination, allocations)
            )
        return Reservation(
            request.reservation_id,
            ReservationState.HELD,
            request.channel,
            self.now_ms,
            expires_at,
            self._revise(self._of(request.reservation_id)),
            tuple(lines),
            request.customer_ref,
            request.order_ref,
            request.cart_ref,
        )

    def _decided(self, request: ReserveRequest, given_back: Units | None = None):
        """As `_takes`, once nothing that is due stands in the way any more."""
        takes, short = self._takes(request, given_back or {})
        while short and self._sweep(*(self._of(line.sku) for line in short)):
            takes, short = self._takes(request, given_back or {})
        return takes, short

    def _takes(
        self, request: ReserveRequest, given_back: Units
    ) -> tuple[list[list[tuple[str, int]]], dict[LineRequest, int]]:
        """Per line what to take where, and the short lines with what there is for them. UnknownSku.

        A line sees what the lines before it take; a short line takes nothing unless the request is best effort. What
        is given back, by SKU and location, can be taken.
        """
        taken: Units = {place: -units for place, units in given_back.items()}
        takes: list[list[tuple[str, int]]] = []
        short: dict[LineRequest, int] = {}
        for line in request.lines:
            if not any(sku == line.sku for sku, _ in self.positions):
                raise errors.UnknownSku(line.sku)
            free = []
            for candidate in line.candidates:
                position = self.positions.get((line.sku, candidate.location), Position(0, 0, 0))
                safety = safety_units(position.on_hand, candidate.safety_units, candidate.safety_parts)
                there = position.on_hand - position.reserved - taken.get((line.sku, candidate.location), 0) - safety
                free.append((candidate.location, max(0, there)))
            mine, available = _choose(line, free)
            if available < line.quantity:
                short[line] = available
                if not request.best_effort:
                    mine = []
            for location, units in mine:
                taken[line.sku, location] = taken.get((line.sku, location), 0) + units
            takes.append(mine)
        return takes, short

    # What becomes of reservations

    def confirm(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._held(change)
            for line, _allocation in _open(reservation):
                self._revise(self._of(line.sku))
            order_ref = change.order_ref or reservation.order_ref
            return self._revised(reservation, state=ReservationState.CONFIRMED, expires_at=0, order_ref=order_ref)

        return self._changes(changes, decide)

    def extend(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._held(change)
            expires_at = self._seconds_up() + change.time_to_live_seconds
            for line, _ in _open(reservation):
                self._revise(self._of(line.sku))
                self._look_at(expires_at, line.sku, reservation.reservation_id)
            return self._revised(reservation, expires_at=expires_at)

        return self._changes(changes, decide)

    def release(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._live(change)
            units = _named(reservation, change.lines)
            for (line_id, location), count in units.items():
                sku = next(line.sku for line in reservation.lines if line.line_id == line_id)
                self._set(sku, location, reserved=self.positions[sku, location].reserved - count)
            return self._given_up(reservation, units, "released")

        return self._changes(changes, decide)

    def fulfil(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._live(change)
            if reservation.state is not ReservationState.CONFIRMED:
                raise errors.ReservationNotConfirmed(change.reservation_id)
            units = _named(reservation, change.lines)
            self._check_on_hand(reservation, units)
            for (line_id, location), count in units.items():
                sku = next(line.sku for line in reservation.lines if line.line_id == line_id)
                before = self.positions[sku, location]
                self._set(sku, location, on_hand=before.on_hand - count, reserved=before.reserved - count)
                self.changes.append((sku, location, self.now_ms, -count))
            return self._given_up(reservation, units, "fulfilled")

        return self._changes(changes, decide)

    def amend(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._live(change)
            lines = _with_quantities(reservation, change)
            raised, given_back = [], Counter()
            for line, wanted in lines:
                if wanted and line.standing < line.quantity:
                    raised.append((line, _own_first(line, wanted.candidates), wanted))
                for place, units in _last_first(line):
                    given_back[line.sku, place] += units
            takes = self._placed(raised, given_back)
            return self._with_lines(
                reservation, [_moved(line, dict(_last_first(line)), takes.get(line.line_id, {})) for line, _ in lines]
            )

        return self._changes(changes, decide)

    def rebind(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._live(change)
            lines = {line.line_id: line for line in reservation.lines}
            moving, given_back = [], Counter()
            for wanted in change.placements:
                if wanted.line_id not in lines:
                    raise errors.LineNotFound(change.reservation_id, wanted.line_id)
                line = lines[wanted.line_id]
                opened = {a.location: a.open for a in line.allocations if a.open}
                given_back.update({(line.sku, place): units for place, units in opened.items()})
                if opened:
                    lacking = replace(line, quantity=line.standing + sum(opened.values()))
                    moving.append((lacking, wanted.candidates, wanted))
            takes = self._placed(moving, given_back)
            after = []
            for line in reservation.lines:
                opened = {a.location: a.open for a in line.allocations if a.open and line.line_id in takes}
                taken = takes.get(line.line_id, {})
                stays = {place: min(units, taken.get(place, 0)) for place, units in opened.items()}
                after.append(
                    _moved(
                        line,
                        {place: units - stays[place] for place, units in opened.items()},
                        {place: units - stays.get(place, 0) for place, units in taken.items()},
                    )
                )
            return self._with_lines(reservation, after)

        return self._changes(changes, decide)

    def hand_over(self, changes: list[ReservationChange]) -> list[ReservationAnswer | errors.InventoryError]:
        def decide(change: ReservationChange) -> Reservation:
            reservation = self._held(change) if change.time_to_live_seconds else self._live(change)
            after = replace(
                reservation,
                channel=change.to_channel or reservation.channel,
                customer_ref=change.to_customer_ref or reservation.customer_ref,
            )
            if not change.time_to_live_seconds:
                return reservation if after == reservation else self._revised(after)
            expires_at = self._seconds_up() + change.time_to_live_seconds
            for line, _ in _open(reservation):
                self._revise(self._of(line.sku))
                self._look_at(expires_at, line.sku, reservation.reservation_id)
            return self._revised(after, expires_at=expires_at)

        return self._changes(changes, decide)

    def _placed(self, wanted, given_back: Units) -> dict[str, dict[str, int]]:
        """By line_id the units to take where: those that each line lacks, from these candidates, with what is given
        back counted as free. InsufficientStock, UnknownSku.
        """
        requests = tuple(
            LineRequest(
                line.line_id,
                line.sku,
                line.quantity - line.standing,
                tuple(candidates),
                allow_split=asked.allow_split,
                named_location=asked.named_location,
            )
            for line, candidates, asked in wanted
        )
        takes, short = self._decided(ReserveRequest("", "", "", "", requests, 1), given_back)
        if short:
            raise _shortage(short)
        return {line.line_id: dict(taken) for line, taken in zip(requests, takes, strict=True)}

    def _with_lines(self, reservation: Reservation, lines: list[ReservationLine]) -> Reservation:
        """The reservation with these lines, positions changed by the difference; closed when nothing is open."""
        after = replace(reservation, lines=tuple(lines))
        if after == reservation:
            return reservation
        change: dict[tuple[str, str, str], int] = {}
        for sign, its in ((-1, reservation), (1, after)):
            for line, a in _open(its):
                key = line.line_id, line.sku, a.location
                change[key] = change.get(key, 0) + sign * a.open
        for (_, sku, location), units in change.items():
            if units:
                self._set(sku, location, reserved=self.positions[sku, location].reserved + units)
            if units > 0 and reservation.state is ReservationState.HELD:
                self._look_at(reservation.expires_at, sku, reservation.reservation_id)
        return self._closed_if_done(after)

    def expire_due(self, partition: int) -> set[str]:
        self.changed = set()
        return self._sweep(partition)

    def _changes(self, changes, decide) -> list[ReservationAnswer | errors.InventoryError]:
        self.changed = set()
        return [self._answered(change, decide) for change in changes]

    def _live(self, change: ReservationChange) -> Reservation:
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

    def _held(self, change: ReservationChange) -> Reservation:
        reservation = self._live(change)
        if reservation.state is ReservationState.CONFIRMED:
            raise errors.ReservationConfirmed(change.reservation_id)
        return reservation

    def _check_on_hand(self, reservation: Reservation, units: dict[tuple[str, str], int]) -> None:
        left = {}
        short = []
        for (line_id, location), count in units.items():
            sku = next(line.sku for line in reservation.lines if line.line_id == line_id)
            there = left.setdefault((sku, location), self.positions[sku, location].on_hand)
            if count > there:
                short.append(errors.ShortLine(line_id, sku, location, count, there))
            else:
                left[sku, location] = there - count
        if short:
            raise errors.InsufficientStock(tuple(short))

    def _given_up(self, reservation: Reservation, units: dict[tuple[str, str], int], how: str) -> Reservation:
        """The reservation with units fulfilled or released, closed when nothing is open any more."""
        if not units:
            return reservation
        lines = tuple(
            replace(
                line,
                allocations=tuple(
                    replace(a, **{how: getattr(a, how) + units.get((line.line_id, a.location), 0)})
                    for a in line.allocations
                ),
            )
            for line in reservation.lines
        )
        return self._closed_if_done(replace(reservation, lines=lines))

    def _closed_if_done(self, after: Reservation) -> Reservation:
        if _open(after):
            return self._revised(after)
        fulfilled = any(a.fulfilled for line in after.lines for a in line.allocations)
        state = ReservationState.FULFILLED if fulfilled else ReservationState.RELEASED
        return self._revised(after, state=state, expires_at=0)

    # Expiry

    def _sweep(self, *partitions: int) -> set[str]:
        """Expires what is due in these partitions; the ids."""
        expired = set()
        for partition in partitions:
            for second, reservation_id in sorted(self.due.get(partition, ())):
                if second * 1000 > self.now_ms:
                    continue
                self.due[partition].remove((second, reservation_id))
                reservation = self.reservations[reservation_id]
                if reservation.state_at(self.now_ms) is not reservation.state:  # held, and its time is over
                    self._expire(reservation)
                    expired.add(reservation_id)
        return expired

    def _expire(self, reservation: Reservation) -> None:
        for line, allocation in _open(reservation):
            before = self.positions[line.sku, allocation.location]
            self._set(line.sku, allocation.location, reserved=before.reserved - allocation.open)
        lines = tuple(
            replace(line, allocations=tuple(replace(a, released=a.released + a.open) for a in line.allocations))
            for line in reservation.lines
        )
        self.reservations[reservation.reservation_id] = self._revised(
            replace(reservation, lines=lines), state=ReservationState.EXPIRED
        )

    def _look_at(self, second: int, sku: str, reservation_id: str) -> None:
        self.due.setdefault(self._of(sku), set()).add((second, reservation_id))

    # Small things

    def _of(self, name: str) -> int:
        return partition_of(name, self.partitions)

    def _seconds_up(self) -> int:
        return -(-self.now_ms // 1000)

    def _revise(self, partition: int) -> int:
        if partition not in self.changed:
            self.changed.add(partition)
            self.revisions[partition] = self.revisions.get(partition, 0) + 1
        return self.revisions[partition]

    def _revised(self, reservation: Reservation, **changes) -> Reservation:
        return replace(reservation, revision=self._revise(self._of(reservation.reservation_id)), **changes)

    def _set(self, sku: str, location: str, **changes) -> None:
        before = self.positions.get((sku, location), Position(0, 0, 0))
        self.positions[sku, location] = replace(before, revision=self._revise(self._of(sku)), **changes)


def _shortage(short: dict[LineRequest, int]) -> errors.InsufficientStock:
    return errors.InsufficientStock(
        tuple(
            errors.ShortLine(line.line_id, line.sku, line.named_location, line.quantity, available)
            for line, available in short.items()
        )
    )


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
        back, opened = line.standing - wanted.quantity, sum(a.open for a in line.allocations)
        if back > opened:
            raise errors.QuantityExceedsOpen(change.reservation_id, line.line_id, back, opened)
        kept = (replace(a, quantity=a.quantity - a.released, released=0) for a in line.allocations)
        allocations = tuple(a for a in kept if a.quantity)
        lines[line.line_id] = replace(line, quantity=wanted.quantity, allocations=allocations), wanted
    for new in change.added:
        line_id = new.line_id or str(len(lines) + 1)
        if line_id in lines:
            raise errors.LineExists(change.reservation_id, line_id)
        line = ReservationLine(line_id, new.sku, new.quantity, new.fulfilment, new.destination, ())
        lines[line_id] = line, LinePlacement(line_id, 0, new.candidates, new.allow_split, new.named_location)
    return list(lines.values())


def _own_first(line: ReservationLine, candidates: tuple[Candidate, ...]) -> list[Candidate]:
    own = [a.location for a in line.allocations]
    return sorted(candidates, key=lambda c: own.index(c.location) if c.location in own else len(own))


def _last_first(line: ReservationLine) -> list[tuple[str, int]]:
    """What a line that has more than its quantity gives back where."""
    back, given = line.standing - line.quantity, []
    for allocation in reversed(line.allocations):
        units = min(back, allocation.open)
        if units > 0:
            given.append((allocation.location, units))
            back -= units
    return given


def _moved(line: ReservationLine, given: dict[str, int], taken: dict[str, int]) -> ReservationLine:
    """A line after it gave back and took units; allocations without units are gone."""
    if not any(given.values()) and not any(taken.values()):
        return line
    allocations = [replace(a, quantity=a.quantity - given.get(a.location, 0)) for a in line.allocations]
    for location, units in taken.items():
        if not units:
            continue
        place = next((n for n, a in enumerate(allocations) if a.location == location and a.quantity), None)
        if place is None:
            allocations.append(Allocation(location, units))
        else:
            allocations[place] = replace(allocations[place], quantity=allocations[place].quantity + units)
    return replace(line, allocations=tuple(a for a in allocations if a.quantity))


def _choose(line: LineRequest, free: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], int]:
    """What a line takes where, and how many units there are for it."""
    if line.allow_split:
        mine, left = [], line.quantity
        for location, there in free:
            units = min(there, left)
            if units:
                mine.append((location, units))
                left -= units
        return mine, line.quantity - left
    for location, there in free:
        if there >= line.quantity:
            return [(location, line.quantity)], line.quantity
    location, most = max(free, key=lambda place: place[1], default=("", 0))  # the first of those with the most
    return [(location, most)] if most else [], most


def _open(reservation: Reservation) -> list[tuple[ReservationLine, Allocation]]:
    return [(line, a) for line in reservation.lines for a in line.allocations if a.open]


def _named(reservation: Reservation, named: tuple[LineUnits, ...]) -> dict[tuple[str, str], int]:
    """Units by line_id and location that a release or fulfilment names; all that are open when it names none."""
    left = {(line.line_id, a.location): a.open for line in reservation.lines for a in line.allocations}
    if not named:
        return {place: units for place, units in left.items() if units}
    lines = {line.line_id for line in reservation.lines}
    units: dict[tuple[str, str], int] = {}
    for name in named:
        places = [place for place in left if place[0] == name.line_id and name.location in ("", place[1])]
        if name.line_id not in lines or (name.location and not places):
            raise errors.LineNotFound(reservation.reservation_id, name.line_id, name.location)
        there = sum(left[place] for place in places)
        if name.quantity > there:
            raise errors.QuantityExceedsOpen(reservation.reservation_id, name.line_id, name.quantity, there)
        wanted = name.quantity or there
        for place in places:
            count = min(wanted, left[place])
            if count:
                units[place] = units.get(place, 0) + count
                left[place] -= count
                wanted -= count
    return units
