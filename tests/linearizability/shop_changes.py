"""What becomes of one reservation: each verb as a change of its record, or why it cannot be.

A change that takes units says what it wants and what it gives back; the shop says where the units are, and `settle`
carries both out. Nothing here knows positions or time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.linearizability import shop
from tests.linearizability.answers import Allocation, Line, Record, Refusal
from tests.linearizability.shop_stock import Move, Want


@dataclass
class Changed:
    """A record on its way to another one. `gives` are [line, location, units] that become free."""

    record: Record
    kind: str = ""
    seconds: int = 0  # a new time to live
    wants: list[Want] = field(default_factory=list)
    gives: list[list[Any]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    leaves: list[tuple[str, str, str, int]] = field(default_factory=list)  # line_id, sku, location, units
    what_stays: bool = False  # units that are given back and taken at one place do not move

    def given_back(self) -> Counter[tuple[str, str]]:
        """Units that are free for what is taken, by SKU and location."""
        free: Counter[tuple[str, str]] = Counter()
        for line, location, units in self.gives:
            free[self.record.lines[line].sku, location] += units
        return free

    def settle(self, taken: list[list[tuple[str, int]]]) -> list[Move]:
        """Gives back, takes, and says which positions that moves, in this order."""
        if not self.gives and not self.wants:
            return self.moves
        takes = [
            [want.line, location, units]
            for want, there in zip(self.wants, taken, strict=True)
            for location, units in there
        ]
        if self.what_stays:
            for give in self.gives:
                for take in takes:
                    if take[:2] == give[:2]:
                        stays = min(give[2], take[2])
                        give[2] -= stays
                        take[2] -= stays
        lines = [list(line.allocations) for line in self.record.lines]
        signed = [(*give[:2], -give[2]) for give in self.gives] + [tuple(take) for take in takes]
        for line, location, units in signed:
            if units:
                _shift(lines[line], location, units)
                self.moves.append(Move(self.record.lines[line].sku, location, 0, units))
        self._set_lines(lines)
        return self.moves

    def _set_lines(self, lines: list[list[Allocation]]) -> None:
        """Allocations without any units are gone."""
        self.record = self.record._replace(
            lines=tuple(
                line._replace(allocations=tuple([a for a in allocations if a.quantity]))
                for line, allocations in zip(self.record.lines, lines, strict=True)
            )
        )


def _shift(allocations: list[Allocation], location: str, units: int) -> None:
    for n, allocation in enumerate(allocations):
        if allocation.location == location and allocation.quantity:
            allocations[n] = allocation._replace(quantity=allocation.quantity + units)
            return
    allocations.append(Allocation(location, units, 0, 0))


def opened(lines: Sequence[Line]) -> Iterator[tuple[Line, Allocation]]:
    """Allocations with open units, each with its line."""
    for line in lines:
        for allocation in line.allocations:
            if allocation.quantity - allocation.fulfilled - allocation.released:
                yield line, allocation


def closed_if_done(record: Record) -> Record:
    """Nothing open any more: fulfilled if anything of it left, else released."""
    if next(opened(record.lines), None) is not None:
        return record
    left = any(allocation.fulfilled for line in record.lines for allocation in line.allocations)
    return record._replace(state="FULFILLED" if left else "RELEASED", expires_at=0)


def _confirm(record: Record, request: Any) -> Changed | Refusal:
    if record.state != "HELD":
        return _already_confirmed(record)
    order_ref = request.order_ref or record.order_ref
    return Changed(record._replace(state="CONFIRMED", expires_at=0, order_ref=order_ref))


def _extend(record: Record, request: Any) -> Changed | Refusal:
    if record.state != "HELD":
        return _already_confirmed(record)
    return Changed(record, seconds=request.time_to_live.seconds)


def _hand_over(record: Record, request: Any) -> Changed | Refusal:
    seconds = request.time_to_live.seconds
    if seconds and record.state != "HELD":
        return _already_confirmed(record)
    channel, customer_ref = request.to_channel or record.channel, request.to_customer_ref or record.customer_ref
    return Changed(record._replace(channel=channel, customer_ref=customer_ref), seconds=seconds)


def _already_confirmed(record: Record) -> Refusal:
    return Refusal("RESERVATION_CONFIRMED", {"reservation_id": record.reservation_id})


def _release(record: Record, request: Any) -> Changed | Refusal:
    return _given_up(record, request, "RELEASE")


def _fulfil(record: Record, request: Any) -> Changed | Refusal:
    if record.state != "CONFIRMED":
        return Refusal("RESERVATION_NOT_CONFIRMED", {"reservation_id": record.reservation_id})
    return _given_up(record, request, "FULFIL")


def _given_up(record: Record, request: Any, kind: str) -> Changed | Refusal:
    """Units of allocations released or fulfilled: those named, else all that are open."""
    units = {(n, m): a.open for n, line in enumerate(record.lines) for m, a in enumerate(line.allocations)}
    if request.lines:
        named = _named(record, request.lines, units)
        if isinstance(named, Refusal):
            return named
        units = named
    change = Changed(record, kind)
    lines = [list(line.allocations) for line in record.lines]
    for (n, m), count in units.items():
        if count:
            a = lines[n][m]
            left = kind == "FULFIL"
            lines[n][m] = a._replace(fulfilled=a.fulfilled + count) if left else a._replace(released=a.released + count)
            if left:
                change.leaves.append((record.lines[n].line_id, record.lines[n].sku, a.location, count))
            change.moves.append(Move(record.lines[n].sku, a.location, -count if left else 0, -count))
    change._set_lines(lines)
    return change


def _named(record: Record, named: Any, left: dict[tuple[int, int], int]) -> dict[tuple[int, int], int] | Refusal:
    """Units by place of line and allocation, in the order of first naming; `left` are those that are open."""
    units: dict[tuple[int, int], int] = {}
    facts = {"reservation_id": record.reservation_id}
    for name in named:
        found = [
            (n, m)
            for n, line in enumerate(record.lines)
            for m, a in enumerate(line.allocations)
            if line.line_id == name.line_id and name.location in ("", a.location)
        ]
        if not any(line.line_id == name.line_id for line in record.lines) or (name.location and not found):
            return Refusal("LINE_NOT_FOUND", facts | {"line_id": name.line_id, "location": name.location})
        there = sum(left[place] for place in found)
        if name.quantity > there:
            return _exceeds(record, name.line_id, name.quantity, there)
        wanted = name.quantity or there
        for place in found:
            count = min(wanted, left[place])
            if count:
                units[place] = units.get(place, 0) + count
                left[place] -= count
                wanted -= count
    return units


def _exceeds(record: Record, line_id: str, wanted: int, there: int) -> Refusal:
    facts = {"reservation_id": record.reservation_id, "line_id": line_id, "wanted": str(wanted), "open": str(there)}
    return Refusal("QUANTITY_EXCEEDS_OPEN", facts)


def _amend(record: Record, request: Any) -> Changed | Refusal:
    """Other quantities, from the line's own places first; given back from its last place first; then added lines."""
    lines = list(record.lines)
    change = Changed(record, "AMEND")
    for asked in request.lines:
        n = next((n for n, line in enumerate(lines) if line.line_id == asked.line_id), None)
        if n is None:
            facts = {"reservation_id": record.reservation_id, "line_id": asked.line_id, "location": ""}
            return Refusal("LINE_NOT_FOUND", facts)
        line = _without_released(lines[n])
        back = sum(a.quantity for a in line.allocations) - asked.quantity
        there = sum(a.open for a in line.allocations)
        if back > there:
            return _exceeds(record, line.line_id, back, there)
        lines[n] = line._replace(quantity=asked.quantity)
        if back < 0:
            places = shop.candidates(request.channel, asked.location, asked.group)
            own = [a.location for a in line.allocations if a.quantity and a.location in places]
            places = (*own, *(place for place in places if place not in own))
            change.wants.append(Want(n, line.line_id, line.sku, -back, asked.location, asked.allow_split, places))
        for allocation in reversed(line.allocations):
            units = min(back, allocation.open)
            if units > 0:
                change.gives.append([n, allocation.location, units])
                back -= units
    for added in request.added_lines:
        line_id = added.line_id or str(len(lines) + 1)
        if any(line.line_id == line_id for line in lines):
            return Refusal("LINE_EXISTS", {"reservation_id": record.reservation_id, "line_id": line_id})
        places = shop.candidates(request.channel, added.location, added.group)
        units = added.quantity
        change.wants.append(Want(len(lines), line_id, added.sku, units, added.location, added.allow_split, places))
        lines.append(Line(line_id, added.sku, units, ()))
    change.record = record._replace(lines=tuple(lines))
    change._set_lines([list(line.allocations) for line in lines])
    return change


def _without_released(line: Line) -> Line:
    allocations = [a._replace(quantity=a.quantity - a.released, released=0) for a in line.allocations]
    return line._replace(allocations=tuple(allocations))


def _rebind(record: Record, request: Any) -> Changed | Refusal:
    """All open units of the lines go where the request says; what is sourced to where it is stays there."""
    change = Changed(record, "REBIND", what_stays=True)
    for asked in request.lines:
        if asked.line_id and all(line.line_id != asked.line_id for line in record.lines):
            facts = {"reservation_id": record.reservation_id, "line_id": asked.line_id, "location": ""}
            return Refusal("LINE_NOT_FOUND", facts)
        places = shop.candidates(request.channel, asked.location, asked.group)
        for n, line in enumerate(record.lines):
            if asked.line_id in ("", line.line_id):
                there = [[n, a.location, a.open] for a in line.allocations if a.open]
                change.gives += there
                if there:
                    units = sum(units for _, _, units in there)
                    change.wants.append(
                        Want(n, line.line_id, line.sku, units, asked.location, asked.allow_split, places)
                    )
    return change


CHANGES: dict[str, Callable[[Record, Any], Changed | Refusal]] = {
    "ConfirmReservation": _confirm,
    "ExtendReservation": _extend,
    "ReleaseReservation": _release,
    "FulfilReservation": _fulfil,
    "AmendReservation": _amend,
    "RebindReservation": _rebind,
    "HandOverReservation": _hand_over,
}
