"""Lines of a record that hold slots of daily capacity, told as the capacity that the reservation has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invengine.domain.capacity import Slots, capacity_place, day_of_capacity, line_of_slots

if TYPE_CHECKING:
    from invengine.domain.orders import ReservationLine


def slots_in(lines: Iterable[ReservationLine]) -> tuple[Slots, ...]:
    """The capacity that lines of slots have, those of all lines of a location, way and day together."""
    found: dict[tuple[str, str, int, bool], int] = {}  # whether it is the slot of an order, at the end
    for line in lines:
        location, fulfilment = capacity_place(line.sku)
        is_order = not line_of_slots(line.line_id, line.sku)
        for allocation in line.allocations:
            if count := allocation.quantity - allocation.released:
                key = location, fulfilment, day_of_capacity(allocation.location), is_order
                found[key] = found.get(key, 0) + count
    return tuple(
        [
            Slots(location, fulfilment, day, 0 if is_order else count, count if is_order else 0)
            for (location, fulfilment, day, is_order), count in sorted(found.items())
        ]
    )
