"""Daily capacity: what a location can prepare in a day, and the slots of it that reservations hold.

A slot is kept as a position, so that all that holds for goods (one atomic step, expiry, giving back, the log) holds
for it too: its SKU says the location and the way of fulfilment, its place is the day, its quantity units or orders.
What is reserved there is held, what is on hand there is used up: its goods have left. How much there is in all says the
network file, with each request; nothing of that is stored.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

from invengine.domain.days import calendar_day, day_number

_SKU: Final = " capacity "
"""What the SKU of slots begins with. No id of a caller begins with a space."""

KEPT_DAYS: Final = 7
"""Days over for longer are forgotten, once nothing is held there any more."""


class Slots(NamedTuple):
    """Capacity of one day that a reservation holds, or has used up: of a location and a way, `units` or `orders`."""

    location: str
    fulfilment: str
    day: int
    units: int
    orders: int


def capacity_sku(location: str, fulfilment: str) -> str:
    """The SKU under which slots of a location and a way of fulfilment are kept."""
    return f"{_SKU}{fulfilment} {location}"


def is_capacity(sku: str) -> bool:
    """Whether a SKU is one of slots."""
    return sku[:1] == " "


def capacity_place(sku: str) -> tuple[str, str]:
    """The location and the way of fulfilment that a SKU of slots says."""
    fulfilment, _, location = sku.removeprefix(_SKU).partition(" ")
    return location, fulfilment


def capacity_day(day: int) -> str:
    """The place of a day's slots, as in 2026-11-23."""
    return calendar_day(day).isoformat()


def day_of_capacity(place: str) -> int:
    """The day that a place of slots says. ValueError."""
    return day_number(date.fromisoformat(place))


def room(capacity: int, held: int, used: int) -> int:
    """Slots of a day that nobody has: none where the capacity was made smaller than what is held and used."""
    return max(0, capacity - held - used)


def slot_line_id(location: str, fulfilment: str, line_id: str = "") -> str:
    """The id of the line that holds slots: of units for the line `line_id`, or of an order for all lines there."""
    return f" {line_id} {fulfilment} {location}" if line_id else f" {fulfilment} {location}"


def is_slot_line(line_id: str) -> bool:
    """Whether a line of a record holds slots."""
    return line_id[:1] == " "


def line_of_slots(line_id: str, sku: str) -> str:
    """The line that a line of slots is for; empty where it holds the slot of an order, for all lines there."""
    location, fulfilment = capacity_place(sku)
    return line_id.removesuffix(slot_line_id(location, fulfilment))[1:]
