"""Slots of daily capacity for the state machine: of units and of orders, over several days, in step with nothing.

The store keeps no slots in step with units: whoever asks does. So here they are drawn freely.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from invengine.domain.capacity import capacity_day, capacity_sku, is_slot_line, slot_line_id
from invengine.domain.orders import (
    Candidate,
    LinePlacement,
    LineStanding,
    LineUnits,
    PlacedRequest,
    Reservation,
    ReservationChange,
    ReserveRequest,
)
from tests.store.slots import DAY, PROMISE

PLACES = {("AMS1", ""): 2, ("AMS1", "1"): 6, ("BER1", "1"): 6, ("BER1", "2"): 6}
"""Location and line (none: orders) -> capacity of a day. Orders and units of a location are never counted together."""

WAYS = {"": "PICKUP", "1": "SHIP", "2": "SHIP"}
SKUS = tuple(sorted({capacity_sku(place, WAYS[line_id]) for place, line_id in PLACES}))
_DAYS = st.dictionaries(st.integers(DAY, DAY + 2), st.integers(1, 4), min_size=1, max_size=2)
_MOVES = st.dictionaries(st.integers(DAY, DAY + 2), st.sampled_from((-3, -2, -1, 1, 2, 4)), min_size=1, max_size=2)
_STANDINGS = LineStanding(PROMISE, has_slots=True), LineStanding(has_slots=True), LineStanding(PROMISE)
_STANDING = st.sampled_from(_STANDINGS)
_LINES = st.lists(st.sampled_from(sorted(PLACES)), max_size=2, unique=True)


def _line(place: str, line_id: str, days: dict[int, int]) -> PlacedRequest:
    days = days if line_id else {min(days): 1}
    units = sum(days.values())
    candidates = tuple(Candidate(capacity_day(day), -PLACES[place, line_id]) for day in days)
    way = WAYS[line_id]
    return PlacedRequest(
        slot_line_id(place, way, line_id),
        capacity_sku(place, way),
        units,
        candidates,
        asked=units,
        units_at=tuple(days.values()),
    )


def lines(data: st.DataObject) -> tuple[PlacedRequest, ...]:
    """Lines that hold slots, perhaps none."""
    return tuple(_line(*which, data.draw(_DAYS)) for which in data.draw(_LINES))


def with_slots(request: ReserveRequest, data: st.DataObject) -> ReserveRequest:
    """The request with lines of slots, at times; lines of which it is decided what they take may say so."""
    slots = lines(data) if data.draw(st.booleans()) else ()
    goods = [
        replace(line, standing=data.draw(_STANDING)) if slots and isinstance(line, PlacedRequest) else line
        for line in request.lines
    ]
    others = tuple((*other, *(lines(data) if slots else ())) for other in request.alternatives)
    return replace(request, lines=(*goods, *slots), alternatives=others)


def in_change(verb: str, change: Any, seen: Reservation | None, data: st.DataObject, *, is_named: bool) -> Any:
    """A change of a reservation as it is with slots in it, at times."""
    if not isinstance(change, ReservationChange) or seen is None:
        return change
    held = [line for line in seen.lines if is_slot_line(line.line_id)]
    if verb in ("release", "fulfil") and change.lines and not change.left_at_ms:
        named = data.draw(st.lists(st.sampled_from(held), max_size=2)) if held else []
        units = tuple(LineUnits(line.line_id, "", data.draw(st.integers(0, 2))) for line in named)
        return replace(change, lines=(*change.lines, *units), with_slots=is_named or data.draw(st.booleans()))
    if verb not in ("amend", "rebind") or not change.placements:
        return change
    placements = [
        replace(one, standing=data.draw(_STANDING)) if data.draw(st.integers(0, 3)) == 0 else one
        for one in change.placements
    ]
    for line in data.draw(st.lists(st.sampled_from(held), max_size=2, unique_by=_id)) if held else ():
        days = data.draw(_MOVES)
        owner = next(key for key in PLACES if slot_line_id(key[0], WAYS[key[1]], key[1]) == line.line_id)
        candidates = tuple(Candidate(capacity_day(day), -PLACES[owner]) for day in days)
        quantity = max(0, line.standing + sum(days.values()))
        placements.append(LinePlacement(line.line_id, quantity, candidates, units_at=tuple(days.values())))
    known = {line.line_id for line in seen.lines}
    added = tuple(line for line in lines(data) if line.line_id not in known) if data.draw(st.booleans()) else ()
    return replace(change, placements=tuple(placements), added=(*change.added, *added))


def _id(line: Any) -> str:
    return line.line_id
