"""What a reservation says of dates and daily capacity, as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.domain.promises import CONFIDENCE_PARTS
from invengine.services.days import date_of
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1.common_pb2 import Fulfilment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.domain.capacity import Slots
    from invengine.domain.promises import LinePromise


def slots_to_proto(slots: Iterable[Slots]) -> list[pb.Slot]:
    """The daily capacity that a reservation has."""
    return [
        pb.Slot(
            location=slot.location,
            fulfilment=Fulfilment.Value(f"FULFILMENT_{slot.fulfilment}"),
            date=date_of(slot.day),
            units=slot.units,
            orders=slot.orders,
        )
        for slot in slots
    ]


def fill_line_promise(line: pb.ReservationLine, promise: LinePromise) -> None:
    """The date that a line was promised, and the day by which it is needed."""
    wire = line.promise
    wire.service = promise.service
    wire.delivery_date.CopyFrom(date_of(promise.delivery_day))
    if promise.ready_minute:
        wire.ready_time.seconds = promise.ready_minute * 60
    wire.confidence = promise.confidence_parts / CONFIDENCE_PARTS
    for location, ship_day, delivery_day in promise.parts:
        wire.parts.add(location=location, ship_date=date_of(ship_day), delivery_date=date_of(delivery_day))
    if promise.needed_by:
        line.needed_by.CopyFrom(date_of(promise.needed_by))
