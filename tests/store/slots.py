"""Short ways to say lines that hold slots of daily capacity."""

from __future__ import annotations

from invengine.domain.capacity import capacity_day, capacity_sku, slot_line_id
from invengine.domain.orders import Candidate, LinePlacement, LineStanding, PlacedRequest
from invengine.domain.promises import LinePromise, PromisePart

DAY = 20_780  # 2026-11-23
CAPACITY = 10
PROMISE = LinePromise("standard", DAY + 3, 0, 9_500, (PromisePart("AMS1", DAY, DAY + 3),), DAY + 4)
WITH_SLOTS = LineStanding(PROMISE, has_slots=True)


def days(units_at: dict[int, int], capacity: int = CAPACITY) -> tuple[Candidate, ...]:
    """The candidates of a line of slots: what must stay is minus the capacity of the day."""
    return tuple(Candidate(capacity_day(day), -capacity) for day in units_at)


def slot_line(units_at: dict[int, int], line_id: str = "1", place: str = "AMS1", capacity: int = CAPACITY):
    """A line that takes slots of days for a line, or (without line_id) the slot of an order."""
    units = sum(units_at.values())
    return PlacedRequest(
        slot_line_id(place, "SHIP", line_id),
        capacity_sku(place, "SHIP"),
        units,
        days(units_at, capacity),
        asked=units,
        units_at=tuple(units_at.values()),
    )


def slots_change(quantity: int, units_at: dict[int, int], line_id: str = "1", place: str = "AMS1") -> LinePlacement:
    """A line of slots gets another quantity: units from each day, below 0 back to it."""
    name = slot_line_id(place, "SHIP", line_id)
    return LinePlacement(name, quantity, days(units_at), units_at=tuple(units_at.values()))


def goods(units: int, line_id: str = "1", sku: str = "LAMP", place: str = "AMS1", standing=WITH_SLOTS) -> PlacedRequest:
    """A line of goods that stand on slots."""
    places = (Candidate(place),)
    return PlacedRequest(line_id, sku, units, places, asked=units, units_at=(units,), standing=standing)


def slots_of(reservation) -> list[tuple[int, int, int]]:
    """Day, units and orders of the slots of a reservation."""
    return [(slot.day, slot.units, slot.orders) for slot in reservation.slots]
