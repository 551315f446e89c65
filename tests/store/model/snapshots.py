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
        before, reserved, refusal = self._units(place, row.state), self._reserved(place, row.state), None
        is_known = (*place, row.state, "") in self.stock.states if row.state else place in self.stock.positions
        units, result = before, MovementResult.REPEATED
        if place in self.stock.positions and as_of_ms >= self.now_ms - self.count_window_ms:
            units += self._gone_by(place, as_of_ms, row.order_refs) if not row.state else 0
        changes = {}
        if row.quantity != NOT_COUNTED:
            try:
                units = self.counted(place, row.state, row.quantity, as_of_ms)
                if not is_known or self._counted_at(place, row.state) != as_of_ms:
                    changes = {"counted_at_ms": as_of_ms}
            except errors.InventoryError as error:
                refusal = error
        if units != before or changes:
            self._put(place, row.state, units, **changes)
            self.end_item()
            result = MovementResult.APPLIED
        if refusal:
            result = MovementResult.STALE if isinstance(refusal, errors.Stale) else MovementResult.REFUSED
        after, revision = self._units(place, row.state), self.stock.at(place).revision
        reserved_after = self._reserved(place, row.state)
        return CountedOutcome(result, after, reserved_after, revision, before, reserved, refusal)

    def _reserved(self, place: Place, state: str) -> int:
        return 0 if state else self.stock.at(place).reserved

    def _gone_by(self, place: Place, as_of_ms: int, order_refs: tuple[str, ...]) -> int:
        """Has what left for these orders later count as gone by then; units that a later count had without it."""
        counted_at_ms, back = self.stock.at(place).counted_at_ms, 0
        for number, entry in enumerate(self.trail):
            if entry.place == place and entry.order_ref in order_refs and entry.occurred_at_ms > as_of_ms:
                self.trail[number] = replace(entry, occurred_at_ms=as_of_ms)
                if as_of_ms <= counted_at_ms < entry.occurred_at_ms:
                    back -= entry.units
        return back
