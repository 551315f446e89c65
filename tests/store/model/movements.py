"""Stock coming in, going out, changing its state, being counted, being fenced."""

from __future__ import annotations

from invengine import errors
from invengine.domain.stock import GONE, UNITS_MAX, Movement, MovementKind, MovementOutcome, MovementResult
from tests.store.model.state import Moved, State
from tests.store.model.stock import Buyer, Place

SIGNS = {MovementKind.SALE: -1}


class Movements(State):
    """The verb post_movements."""

    def post_movements(self, movements: list[Movement]) -> list[MovementOutcome]:
        self.begin_call()
        outcomes = []
        for movement in movements:
            outcomes.append(self._post(movement))
            self._mark(movement)
        return outcomes

    def _mark(self, movement: Movement) -> None:
        """How far its feed is now; never less far than before."""
        mark = movement.mark
        if mark is not None and (mark.feed not in self.feeds or mark.position > self.feeds[mark.feed].position):
            self.feeds[mark.feed] = mark

    def _post(self, movement: Movement) -> MovementOutcome:
        event = movement.source, movement.event_id
        if event in self.events:
            return self._outcome(MovementResult.REPEATED, movement)
        self.begin_item()
        try:
            self._apply(movement)
        except errors.Stale as refusal:
            self.events.add(event)
            return self._outcome(MovementResult.STALE, movement, refusal)
        except errors.InventoryError as refusal:
            return self._outcome(MovementResult.REFUSED, movement, refusal)
        self.events.add(event)
        self.end_item()
        return self._outcome(MovementResult.APPLIED, movement)

    def _outcome(
        self, result: MovementResult, movement: Movement, refusal: errors.InventoryError | None = None
    ) -> MovementOutcome:
        place = movement.sku, movement.location
        position = self.stock.at(place)
        named = [state for state in (movement.state, movement.to_state) if state not in ("", GONE)]
        states = tuple((state, self.stock.in_state(place, state).units) for state in named)
        return MovementOutcome(result, position.on_hand, position.reserved, position.revision, refusal, states)

    def _apply(self, movement: Movement) -> None:
        place, at = (movement.sku, movement.location), movement.occurred_at_ms
        before = self.stock.at(place)
        if movement.expected_revision is not None and movement.expected_revision != before.revision:
            raise errors.RevisionMismatch(movement.expected_revision, before.revision)
        if movement.kind is MovementKind.RING_FENCE:
            self._fence(movement)
        elif movement.kind is MovementKind.COUNT:
            self._put(
                place, movement.state, self.counted(place, movement.state, movement.quantity, at), counted_at_ms=at
            )
        elif movement.kind is MovementKind.STATE_CHANGE:
            self._change_state(movement)
        else:
            if self._count_contains(place, movement.state, at):
                raise errors.CoveredByCount(*place, self._counted_at(place, movement.state))
            if movement.kind is MovementKind.SALE:
                self._sell(movement)
            self._move(place, movement.state, SIGNS.get(movement.kind, 1) * movement.quantity, at)

    # A shelf: units on hand where the state is empty, else units in that state

    def _units(self, place: Place, state: str) -> int:
        return self.stock.in_state(place, state).units if state else self.stock.at(place).on_hand

    def _counted_at(self, place: Place, state: str) -> int:
        return self.stock.in_state(place, state).counted_at_ms if state else self.stock.at(place).counted_at_ms

    def _count_contains(self, place: Place, state: str, at: int) -> bool:
        """Whether the last count of the shelf contains what happened at that time."""
        counted_at = self._counted_at(place, state)
        return counted_at > 0 and at <= counted_at

    def _put(self, place: Place, state: str, units: int, **more) -> None:
        if state:
            self.stock.set_state(place, state, units=units, **more)
        else:
            self.stock.set(place, on_hand=units, **more)

    def _move(self, place: Place, state: str, quantity: int, at: int) -> None:
        self._refuse_out_of_range(place, state, quantity)
        self._put(place, state, self._units(place, state) + quantity)
        self.trail.append(Moved(place, at, quantity, state))

    def _refuse_out_of_range(self, place: Place, state: str, quantity: int) -> None:
        there = self._units(place, state)
        if there + quantity < 0:
            raise errors.InsufficientStock((errors.ShortLine("", *place, -quantity, there),))
        if there + quantity > UNITS_MAX:
            raise errors.QuantityOutOfRange(*place, there, quantity)

    # Kinds

    def _change_state(self, movement: Movement) -> None:
        """From one shelf to another. A shelf whose last count contains it already stays as it is."""
        place, at, quantity = (movement.sku, movement.location), movement.occurred_at_ms, movement.quantity
        shelves = [(movement.state, -quantity), *([] if movement.to_state == GONE else [(movement.to_state, quantity)])]
        changed = [(shelf, units) for shelf, units in shelves if not self._count_contains(place, shelf, at)]
        if not changed:
            raise errors.CoveredByCount(*place, self._counted_at(place, movement.state))
        if changed[0] == ("", -quantity):  # neither reserved nor fenced units, like a sale
            self._refuse_beyond(lambda: max(0, self.stock.pool(place)), movement, quantity)
        for shelf, units in changed:
            self._refuse_out_of_range(place, shelf, units)
        for shelf, units in changed:
            self._move(place, shelf, units, at)

    def _sell(self, movement: Movement) -> None:
        """Takes the ring-fence of the channel first; the units themselves are moved as any."""
        place, quantity = (movement.sku, movement.location), movement.quantity
        self._refuse_beyond(lambda: self.stock.can_take(place, Buyer(movement.channel)), movement, quantity)
        fenced = min(quantity, self.stock.fence(place, movement.channel))
        self.stock.change_fence(place, movement.channel, -fenced)

    def _fence(self, movement: Movement) -> None:
        """Units of the pool into the ring-fence of a channel, or with a negative quantity back."""
        place, channel, quantity = (movement.sku, movement.location), movement.channel, movement.quantity
        if quantity > 0:
            self._refuse_beyond(lambda: max(0, self.stock.pool(place)), movement, quantity)
        else:
            self._refuse_beyond(lambda: self.stock.fence(place, channel), movement, -quantity)
        self.stock.change_fence(place, channel, quantity)

    def _refuse_beyond(self, available, movement: Movement, wanted: int) -> None:
        """Refuses more than there is, once nothing that is due stands in the way."""
        place = movement.sku, movement.location
        if wanted > available() and place in self.stock.positions:
            self.sweep(self.of(movement.sku))
        if wanted > available():
            raise errors.InsufficientStock((errors.ShortLine("", *place, wanted, available()),))

    def counted(self, place: Place, state: str, quantity: int, at: int) -> int:
        """Units of a shelf by a count: what was counted, and what moved since on top."""
        is_known = (*place, state, "") in self.stock.states if state else place in self.stock.positions
        counted_at = self._counted_at(place, state)
        if counted_at and at < counted_at:
            raise errors.OlderCount(*place, counted_at)
        if is_known and at < self.now_ms - self.count_window_ms:
            raise errors.CountTooOld(*place, at, self.now_ms - self.count_window_ms)
        moved = sum(
            entry.units
            for entry in self.trail
            if (entry.place, entry.state) == (place, state) and entry.occurred_at_ms > at
        )
        if not 0 <= quantity + moved <= UNITS_MAX:
            raise errors.QuantityOutOfRange(*place, quantity, moved)
        return quantity + moved
