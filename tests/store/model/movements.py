"""Stock coming in, going out, being counted, being fenced."""

from __future__ import annotations

from invengine import errors
from invengine.domain.stock import UNITS_MAX, Movement, MovementKind, MovementOutcome, MovementResult
from tests.store.model.state import Moved, State
from tests.store.model.stock import Buyer, Place


class Movements(State):
    """The verb post_movements."""

    def post_movements(self, movements: list[Movement]) -> list[MovementOutcome]:
        self.begin_call()
        return [self._post(movement) for movement in movements]

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
        position = self.stock.at((movement.sku, movement.location))
        return MovementOutcome(result, position.on_hand, position.reserved, position.revision, refusal)

    def _apply(self, movement: Movement) -> None:
        place, quantity, at = (movement.sku, movement.location), movement.quantity, movement.occurred_at_ms
        before = self.stock.at(place)
        if movement.expected_revision is not None and movement.expected_revision != before.revision:
            raise errors.RevisionMismatch(movement.expected_revision, before.revision)
        if movement.kind is MovementKind.RING_FENCE:
            self._fence(movement)
            return
        if movement.kind is MovementKind.COUNT:
            self.stock.set(place, on_hand=self.counted(place, quantity, at), counted_at_ms=at)
            return
        if before.counted_at_ms and at <= before.counted_at_ms:
            raise errors.CoveredByCount(*place, before.counted_at_ms)
        if movement.kind is MovementKind.SALE:
            self._refuse_beyond(lambda: self.stock.can_take(place, Buyer(movement.channel)), movement, quantity)
            fenced = min(quantity, self.stock.fence(place, movement.channel))
            self.stock.change_fence(place, movement.channel, -fenced)
            quantity = -quantity
        before = self.stock.at(place)
        if before.on_hand + quantity < 0:
            raise errors.InsufficientStock((errors.ShortLine("", *place, -quantity, before.on_hand),))
        if before.on_hand + quantity > UNITS_MAX:
            raise errors.QuantityOutOfRange(*place, before.on_hand, quantity)
        self.stock.set(place, on_hand=before.on_hand + quantity)
        self.trail.append(Moved(place, at, quantity))

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

    def counted(self, place: Place, quantity: int, at: int) -> int:
        """on_hand by a count: what was counted, and what moved since on top."""
        counted_at_ms = self.stock.at(place).counted_at_ms
        if counted_at_ms and at < counted_at_ms:
            raise errors.OlderCount(*place, counted_at_ms)
        if place in self.stock.positions and at < self.now_ms - self.count_window_ms:
            raise errors.CountTooOld(*place, at, self.now_ms - self.count_window_ms)
        moved = sum(entry.units for entry in self.trail if entry.place == place and entry.occurred_at_ms > at)
        if not 0 <= quantity + moved <= UNITS_MAX:
            raise errors.QuantityOutOfRange(*place, quantity, moved)
        return quantity + moved
