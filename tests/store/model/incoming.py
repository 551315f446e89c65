"""The schedule of incoming receipts: set, slipped, cancelled, received."""

from __future__ import annotations

from dataclasses import replace

from invengine import errors
from invengine.domain.incoming import BrokenReason, IncomingChange, IncomingKind, IncomingOutcome, Receipt
from invengine.domain.stock import UNITS_MAX
from tests.store.model.state import Broken, State, source_of, with_legs
from tests.store.model.stock import Source


class Incoming(State):
    """The verb change_incoming."""

    def change_incoming(self, changes: list[IncomingChange]) -> list[IncomingOutcome | errors.InventoryError]:
        self.begin_call()
        return [self._change(change) for change in changes]

    def _change(self, change: IncomingChange) -> IncomingOutcome | errors.InventoryError:
        event = change.source, change.request_id
        if event in self.events:
            return self._outcome_of(change, set(), replayed=True)
        self.begin_item()
        before = dict(self.broken)
        try:
            self._apply_change(change)
        except errors.InventoryError as refusal:
            return refusal
        self.events.add(event)
        broke = {serial for serial, why in self.broken.items() if before.get(serial) != why}
        lost_pegs = any(self.broken[serial].reason is not BrokenReason.SLIPPED for serial in broke)
        is_due = lost_pegs or change.kind is IncomingKind.RECEIVE
        self.end_item(*([(change.sku, change.location)] if is_due else []))
        return self._outcome_of(change, broke & set(self.broken))

    def _outcome_of(self, change: IncomingChange, broke: set[int], *, replayed: bool = False) -> IncomingOutcome:
        position = self.stock.at((change.sku, change.location))
        receipt = self.stock.receipts.get((change.sku, change.location, change.receipt_id))
        broken = tuple(sorted((self._promise(serial) for serial in broke), key=repr))
        return IncomingOutcome(receipt, position.on_hand, position.reserved, broken, replayed)

    def _apply_change(self, change: IncomingChange) -> None:
        source = change.sku, change.location, change.receipt_id
        receipt = self.stock.receipts.get(source)
        left_from = receipt.from_location if receipt else ""
        is_there = receipt and (left_from or not change.of_transfer)
        if not is_there and change.kind is not IncomingKind.SET:
            raise errors.ReceiptNotFound(change.receipt_id, change.sku, change.location)
        ends_it = change.closes or change.kind in (IncomingKind.SET, IncomingKind.CANCEL)
        if left_from and ends_it and not change.of_transfer:
            raise errors.OfTransfer(change.receipt_id)
        revision = receipt.revision if receipt else 0
        if change.expected_revision is not None and change.expected_revision != revision:
            raise errors.RevisionMismatch(change.expected_revision, revision)
        if change.all_there_is:
            change = replace(change, quantity=receipt.quantity)
        lost = max(0, receipt.quantity - change.quantity) if left_from and change.closes else 0
        if change.kind is IncomingKind.RECEIVE:
            self._refuse_beyond_range(change, receipt.quantity if lost else 0)
        if receipt and receipt.pegged:
            self.sweep(self.of(change.sku))
        pegged, quantity, day = self.stock.pegged(source), receipt.quantity if receipt else 0, change.expected_day
        if change.kind is IncomingKind.SET:
            self.stock.set_receipt(source, Receipt(*source, day, change.quantity, pegged, 0))
        elif change.kind is IncomingKind.SLIP:
            self.stock.set_receipt(source, replace(receipt, expected_day=day, pegged=pegged))
        elif change.kind is IncomingKind.CANCEL:
            self.stock.set_receipt(source, replace(receipt, quantity=0, pegged=pegged))
        else:
            self._receive(change, source)
            left = 0 if change.closes else max(0, quantity - change.quantity)
            self.stock.set_receipt(source, replace(receipt, quantity=left, pegged=self.stock.pegged(source)))
            if lost:
                self.stock.set(source[:2])  # received and written off in one step
        self._take_cover_away(source)
        if change.kind in (IncomingKind.SET, IncomingKind.SLIP):
            self._judge_days(source, day)

    def _is_counted(self, change: IncomingChange) -> bool:
        """Whether a count of the position contains what arrived."""
        counted_at_ms = self.stock.at((change.sku, change.location)).counted_at_ms
        return counted_at_ms > 0 and change.occurred_at_ms <= counted_at_ms

    def _refuse_beyond_range(self, change: IncomingChange, with_lost: int) -> None:
        on_hand = self.stock.at((change.sku, change.location)).on_hand
        arriving = max(0 if self._is_counted(change) else change.quantity, with_lost)
        if on_hand + arriving > UNITS_MAX:
            raise errors.QuantityOutOfRange(change.sku, change.location, on_hand, arriving)

    def _receive(self, change: IncomingChange, source: Source) -> None:
        """Units arrive: the pegs get them, the oldest first."""
        place = change.sku, change.location
        if change.quantity and not self._is_counted(change):
            self.stock.set(place, on_hand=self.stock.at(place).on_hand + change.quantity)
            self.trail.append((*place, "", change.occurred_at_ms, change.quantity))
        left = change.quantity
        for _, _, leg in self.queue(source):
            units = min(left, leg.open)
            if units:
                self.arrive(leg, units)
                left -= units

    def _take_cover_away(self, source: Source) -> None:
        """Pegs beyond what the receipt still brings, the newest ones, become backorders and broken promises."""
        receipt = self.stock.receipts.get(source)
        if receipt is None or receipt.pegged <= receipt.quantity:
            return
        beyond = receipt.pegged - receipt.quantity
        reason = BrokenReason.SHORTENED if receipt.quantity else BrokenReason.CANCELLED
        backorders = (*source[:2], "")
        moved = []
        for _, _, leg in reversed(self.queue(source)):
            units = min(beyond, leg.open)
            if not units:
                break
            beyond -= units
            its_now, its_line, _ = self.leg(leg.serial)  # an earlier round may have changed another leg of it
            legs, place = list(its_line.allocations), its_line.allocations.index(leg)
            if units == leg.open:
                legs[place] = replace(leg, receipt_id="", due_day=0, backordered=True)
                serial = leg.serial
            else:
                legs[place] = replace(leg, quantity=leg.quantity - units)
                legs.append(self.new_leg(its_now.reservation_id, leg.location, units, backordered=True))
                serial = legs[-1].serial
            self.broken[serial] = Broken(source[2], reason, leg.due_day, self.now_ms)
            moved.append((its_now.reservation_id, serial))
            self.reservations[its_now.reservation_id] = self.revised(with_legs(its_now, its_line.line_id, legs))
            self.stock.peg(source, -units)
            self.stock.peg(backorders, units)
        self.queues.setdefault(backorders, []).extend(reversed(moved))

    def _judge_days(self, source: Source, day: int) -> None:
        """Promises by a day before the receipt's are broken, those that it keeps again are not."""
        for _, line, leg in self.queue(source):
            assert source_of(line, leg) == source
            if leg.due_day >= day:
                self.broken.pop(leg.serial, None)
            elif leg.serial not in self.broken:
                self.broken[leg.serial] = Broken(source[2], BrokenReason.SLIPPED, leg.due_day, self.now_ms)
