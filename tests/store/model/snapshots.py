"""Snapshots of locations: rows as counts of an instant, orders that were gone by then."""

from __future__ import annotations

from dataclasses import replace

from invengine import errors
from invengine.domain.snapshots import NOT_COUNTED, CountedOutcome, CountedSku, Snapshot
from invengine.domain.stock import MovementResult
from tests.store.model.movements import Movements
from tests.store.model.stock import Place


class Snapshots(Movements):
    """The verbs of store.snapshots."""

    def apply_snapshot(self, snapshot: Snapshot, rows: list[CountedSku]) -> list[CountedOutcome]:
        self.begin_call()
        return [self._apply_row(snapshot, row) for row in rows]

    def note_full(self, snapshot: Snapshot) -> None:
        """What has no position yet had no units at the instant."""
        known = self.stock.counted.get(snapshot.location, 0)
        self.stock.counted[snapshot.location] = max(known, snapshot.as_of_ms)

    def _apply_row(self, snapshot: Snapshot, row: CountedSku) -> CountedOutcome:
        place, as_of_ms = (row.sku, snapshot.location), snapshot.as_of_ms
        self.begin_item()
        before, refusal = self.stock.at(place), None
        is_known = place in self.stock.positions
        changes = {"on_hand": before.on_hand}
        if is_known and as_of_ms >= self.now_ms - self.count_window_ms:
            changes["on_hand"] += self._gone_by(place, as_of_ms, row.order_refs)
        if row.quantity != NOT_COUNTED:
            try:
                changes = {"on_hand": self.counted(place, row.quantity, as_of_ms), "counted_at_ms": as_of_ms}
            except errors.InventoryError as error:
                refusal = error
        is_same = all(getattr(before, name) == value for name, value in changes.items())
        result = MovementResult.REPEATED
        if not is_same or (not is_known and "counted_at_ms" in changes):
            self.stock.set(place, **changes)
            self.end_item()
            result = MovementResult.APPLIED
        if refusal:
            result = MovementResult.STALE if isinstance(refusal, errors.Stale) else MovementResult.REFUSED
        after = self.stock.at(place)
        return CountedOutcome(
            result, after.on_hand, after.reserved, after.revision, before.on_hand, before.reserved, refusal
        )

    def _gone_by(self, place: Place, as_of_ms: int, order_refs: tuple[str, ...]) -> int:
        """Has what left for these orders later count as gone by then; units that a later count had without it."""
        counted_at_ms, back = self.stock.at(place).counted_at_ms, 0
        for number, entry in enumerate(self.trail):
            if entry.place == place and entry.order_ref in order_refs and entry.occurred_at_ms > as_of_ms:
                self.trail[number] = replace(entry, occurred_at_ms=as_of_ms)
                if as_of_ms <= counted_at_ms < entry.occurred_at_ms:
                    back -= entry.units
        return back
