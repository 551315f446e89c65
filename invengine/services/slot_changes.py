"""Slots of a reservation that follow its units: which go when units go, as the reservation was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from invengine.domain.capacity import capacity_day, capacity_place, day_of_capacity, line_of_slots
from invengine.domain.orders import LineUnits
from invengine.services.placed_lines import way_at

if TYPE_CHECKING:
    from invengine.domain.orders import Allocation, Reservation, ReservationChange, ReservationLine

Place = tuple[str, str]
"""The line as its caller knows it (of a component: the line of the kit), and a location."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Units (of kits: kits) that leave lines or are given back, by line and location."""

    all: Mapping[Place, int]
    dated: Mapping[Place, int]
    """Of these, those that were not backordered: backorders have no slots."""


def owner_of(line: ReservationLine) -> str:
    """The line as its caller knows it."""
    return line.kit.line_id if line.kit else line.line_id


def open_at(lines: Iterable[ReservationLine]) -> dict[Place, int]:
    """Open units (of kits: kits) by line and location."""
    found: dict[Place, int] = {}
    for line in _representatives(lines):
        per_unit = line.kit.units if line.kit else 1
        for allocation in line.allocations:
            if allocation.open:
                place = owner_of(line), allocation.location
                found[place] = found.get(place, 0) + allocation.open
        if per_unit > 1:
            for place in found:
                if place[0] == owner_of(line):
                    found[place] //= per_unit
    return found


def with_slots_of_units(verb: str, change: ReservationChange, seen: Reservation | None) -> ReservationChange:
    """A release or fulfilment of units, with the slots that go with them, for the reservation as it was seen."""
    if seen is None or not change.lines:
        return change
    gone = _gone_of(verb, change.lines, seen)
    moves = slots_that_go(seen, gone, uses_up=verb == "fulfil")
    slots = [
        LineUnits(line_id, capacity_day(day), count) for line_id, days in moves.items() for day, count in days.items()
    ]
    revision = seen.revision if change.expected_revision is None else change.expected_revision
    return replace(change, lines=(*change.lines, *slots), expected_revision=revision, with_slots=True)


def slots_that_go(seen: Reservation, gone: Gone, *, uses_up: bool = False) -> dict[str, dict[int, int]]:
    """Slots by line of slots and day that go with units: used up the earliest days first, given back the last ones.

    The slot of an order is used up with the first units that leave, and given back with the last ones there.
    """
    before = open_at(seen.lines)
    ways = {owner_of(line): (line.fulfilment, line.destination) for line in seen.lines}
    found: dict[str, dict[int, int]] = {}
    for line in seen.slot_lines:
        location, way = capacity_place(line.sku)
        owner = line_of_slots(line.line_id, line.sku)
        days = {day_of_capacity(one.location): one.open for one in line.allocations if one.open}
        held = sum(days.values())
        if owner:
            places = [(owner, location)]
        else:
            places = [place for place in before if place[1] == location and way_at(*ways[place[0]], location) == way]
        left = sum(before.get(place, 0) - gone.all.get(place, 0) for place in places)
        going = sum(gone.dated.get(place, 0) for place in places)
        count = held if not left or (uses_up and not owner and going) else min(held, going) if owner else 0
        if count and (going or not left):
            found[line.line_id] = _some_of(days, count, reverse=not uses_up)
    return {line_id: days for line_id, days in found.items() if days}


def slots_of_units_gone(seen: Reservation) -> tuple[LineUnits, ...]:
    """Slots that a reservation still holds for units that left without them: to be used up."""
    units = open_at(seen.lines)
    ways = {owner_of(line): (line.fulfilment, line.destination) for line in seen.lines}
    left = {
        (owner_of(line), one.location)
        for line in _representatives(seen.lines)
        for one in line.allocations
        if one.fulfilled
    }
    found = []
    for line in seen.slot_lines:
        location, way = capacity_place(line.sku)
        owner = line_of_slots(line.line_id, line.sku)
        days = {day_of_capacity(one.location): one.open for one in line.allocations if one.open}
        if owner:
            count = max(0, sum(days.values()) - units.get((owner, location), 0))
        else:
            count = (
                sum(days.values()) if any(at == location and way_at(*ways[name], at) == way for name, at in left) else 0
            )
        found += [
            LineUnits(line.line_id, capacity_day(day), n) for day, n in _some_of(days, count, reverse=False).items()
        ]
    return tuple(found)


def gone_of_back(line: ReservationLine, units: int) -> Gone:
    """Where units of a line that is amended to have fewer go back, in the order in which they are."""
    gone, dated = defaultdict[Place, int](int), defaultdict[Place, int](int)
    for kind in (_is_backordered, _is_pegged, _is_on_hand):
        for allocation in reversed(line.allocations):
            part = min(units, allocation.open) if kind(allocation) else 0
            if part > 0:
                units -= part
                _note(gone, dated, (owner_of(line), allocation.location), part, allocation)
    return Gone(gone, dated)


def together(parts: Iterable[Gone]) -> Gone:
    """All of these."""
    gone, dated = defaultdict[Place, int](int), defaultdict[Place, int](int)
    for part in parts:
        for place, units in part.all.items():
            gone[place] += units
        for place, units in part.dated.items():
            dated[place] += units
    return Gone(gone, dated)


def _gone_of(verb: str, named: Iterable[LineUnits], seen: Reservation) -> Gone:
    """Units that a release or fulfilment takes from where, as the store does."""
    lines = {line.line_id: line for line in _representatives(seen.lines)}
    left = {(name, n): one.open for name, line in lines.items() for n, one in enumerate(line.allocations)}
    gone, dated = defaultdict[Place, int](int), defaultdict[Place, int](int)
    kinds = (_is_on_hand,) if verb == "fulfil" else (_is_backordered, _is_pegged, _is_on_hand)
    for units in named:
        line = lines.get(units.line_id)
        if line is None:
            continue
        usable = [
            (n, one)
            for kind in kinds
            for n, one in enumerate(line.allocations)
            if kind(one) and units.location in ("", one.location)
        ]
        wanted = units.quantity or sum(left[units.line_id, n] for n, _ in usable)
        for n, one in usable:
            part = min(wanted, left[units.line_id, n])
            if part:
                wanted -= part
                left[units.line_id, n] -= part
                _note(gone, dated, (owner_of(line), one.location), part, one)
    for line in lines.values():
        if line.kit and line.kit.units > 1:
            for numbers in (gone, dated):
                for place in [place for place in numbers if place[0] == owner_of(line)]:
                    numbers[place] //= line.kit.units
    return Gone(gone, dated)


def _representatives(lines: Iterable[ReservationLine]) -> list[ReservationLine]:
    """Lines of goods, of each kit the first component: the others have as many of theirs."""
    found: dict[str, ReservationLine] = {}
    for line in lines:
        found.setdefault(owner_of(line), line)
    return list(found.values())


def _note(gone: dict[Place, int], dated: dict[Place, int], place: Place, units: int, of: Allocation) -> None:
    gone[place] += units
    if not of.backordered:
        dated[place] += units


def _some_of(days: Mapping[int, int], count: int, *, reverse: bool) -> dict[int, int]:
    found = {}
    for day in sorted(days, reverse=reverse):
        if part := min(count, days[day]):
            found[day] = part
            count -= part
    return found


def _is_backordered(allocation: Allocation) -> bool:
    return allocation.backordered


def _is_pegged(allocation: Allocation) -> bool:
    return bool(allocation.receipt_id)


def _is_on_hand(allocation: Allocation) -> bool:
    return allocation.is_on_hand
