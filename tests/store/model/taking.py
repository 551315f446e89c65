"""What a line takes: units on hand first, then of receipts, then backorders."""

from __future__ import annotations

from dataclasses import dataclass

from invengine import errors
from invengine.domain.capacity import is_capacity
from invengine.domain.incoming import effective_day
from invengine.domain.orders import Candidate, LineRequest, PlacedRequest
from invengine.domain.stock import safety_units, uncertain_units
from tests.store.model.stock import Buyer, Stock


@dataclass(frozen=True)
class Take:
    """Units to take at a location: on hand, of a receipt, or backordered."""

    location: str
    units: int
    receipt_id: str = ""
    due_day: int = 0
    backordered: bool = False

    @property
    def is_on_hand(self) -> bool:
        """Neither of a receipt nor backordered."""
        return not self.receipt_id and not self.backordered


def takes_of_lines(
    stock: Stock, lines: tuple[LineRequest, ...], buyer: Buyer, now_ms: int, *, best_effort: bool
) -> tuple[list[list[Take]], dict[LineRequest, int]]:
    """Per line what to take, and the short lines with what there is for them. UnknownSku.

    A line sees what the lines before it take from `stock`, which is changed; a short line takes nothing unless the
    request is best effort.
    """
    takes: list[list[Take]] = []
    short: dict[LineRequest, int] = {}
    for line in lines:
        if not line.quantity:
            takes.append([])
            continue
        mine = takes_of_line(stock, line, buyer, now_ms)
        available = sum(take.units for take in mine)
        if not available and not stock.is_known(line.sku):
            raise errors.UnknownSku(line.sku)
        if available < line.quantity:
            short[line] = available
            if not best_effort or units_at(line):
                mine = []
        for take in mine:
            if take.is_on_hand:
                stock.take((line.sku, take.location), take.units, buyer.channel)
            else:
                stock.peg((line.sku, take.location, take.receipt_id), take.units)
        takes.append(mine)
    return takes, short


def takes_of_line(stock: Stock, line: LineRequest, buyer: Buyer, now_ms: int) -> list[Take]:
    """What one line takes; less than its quantity when it is short."""
    if units_at(line):
        found = []
        for candidate, units in zip(line.candidates, units_at(line), strict=True):
            if is_capacity(line.sku):
                found += _up_to(units, _slots(stock, line, candidate))
                continue
            found += _up_to(units, _everything(stock, line, (candidate,), buyer, now_ms))
        return found
    if line.allow_split:
        return _up_to(line.quantity, _everything(stock, line, line.candidates, buyer, now_ms))
    on_hand = {c: _units(_on_hand(stock, line, (c,), buyer, now_ms)) for c in line.candidates}
    everything = {c: _units(_everything(stock, line, (c,), buyer, now_ms)) for c in line.candidates}
    for there in (on_hand, everything):
        for candidate in line.candidates:
            if there[candidate] >= line.quantity:
                return _up_to(line.quantity, _everything(stock, line, (candidate,), buyer, now_ms))
    for there in (on_hand, everything):  # the first of those with the most
        most = max(there.values(), default=0)
        if most:
            candidate = next(c for c in line.candidates if there[c] == most)
            return _everything(stock, line, (candidate,), buyer, now_ms)
    return []


def _everything(
    stock: Stock, line: LineRequest, candidates: tuple[Candidate, ...], buyer: Buyer, now_ms: int
) -> list[Take]:
    """All that the line could take at these candidates, in the order in which it would."""
    found = _on_hand(stock, line, candidates, buyer, now_ms)
    if not line.future:
        return found
    locations = [candidate.location for candidate in candidates]
    stopping = [candidate.location for candidate in candidates if candidate.overdue_stops]
    days = {
        source: effective_day(receipt.expected_day, now_ms, overdue_stops=receipt.location in stopping)
        for source, receipt in stock.receipts.items()
    }
    receipts = sorted(
        (days[source], locations.index(receipt.location), receipt.receipt_id)
        for source, receipt in stock.receipts.items()
        if receipt.receipt_id and receipt.sku == line.sku and receipt.location in locations and days[source]
    )
    needed_by, allowance = line.future.needed_by, line.future.backorder_units
    for day, place, receipt_id in receipts:
        receipt = stock.receipts[line.sku, locations[place], receipt_id]
        if not needed_by or day <= needed_by:
            left = receipt.quantity - receipt.pegged
            found.append(Take(receipt.location, left, receipt_id, needed_by or day))
    for location in locations:
        found.append(Take(location, allowance - stock.pegged((line.sku, location, "")), backordered=True))
    return [take for take in found if take.units > 0]


def units_at(line: LineRequest) -> tuple[int, ...]:
    """Units that a line takes at each candidate, where that is decided already."""
    return line.units_at if isinstance(line, PlacedRequest) else ()


def _on_hand(
    stock: Stock, line: LineRequest, candidates: tuple[Candidate, ...], buyer: Buyer, now_ms: int
) -> list[Take]:
    found = []
    for candidate in candidates:
        place = line.sku, candidate.location
        position = stock.at(place)
        kept = safety_units(position.on_hand, candidate.safety_units, candidate.safety_parts)
        kept += uncertain_units(position.on_hand, position.counted_at_ms, now_ms, candidate.confidence)
        found.append(Take(candidate.location, stock.can_take(place, buyer, kept)))
    return [take for take in found if take.units > 0]


def _slots(stock: Stock, line: LineRequest, candidate: Candidate) -> list[Take]:
    """Slots of a day that nobody has, of as many as must not stay."""
    position = stock.at((line.sku, candidate.location))
    free = -candidate.safety_units - position.reserved - position.on_hand
    return [Take(candidate.location, free)] if free > 0 else []


def _units(takes: list[Take]) -> int:
    return sum(take.units for take in takes)


def _up_to(wanted: int, takes: list[Take]) -> list[Take]:
    """The first of these takes, as far as so many units need them."""
    mine = []
    for take in takes:
        units = min(take.units, wanted)
        if units:
            mine.append(Take(take.location, units, take.receipt_id, take.due_day, take.backordered))
            wanted -= units
    return mine
