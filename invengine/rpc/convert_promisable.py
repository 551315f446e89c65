"""Domain -> wire for what can be promised day by day. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.services.days import date_of
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.services.available_to_promise import Outlook, Place
    from invengine.services.promisable import Promised


def outlook_to_proto(outlook: Outlook) -> pb.GetAvailableToPromiseResponse:
    """The whole answer."""
    response = pb.GetAvailableToPromiseResponse(
        available=outlook.total.now,
        steps=_steps(outlook.total),
        positions=[_position(place) for place in outlook.places],
        consistency_token=outlook.consistency_token,
        last_date=date_of(outlook.last_day),
        components=[
            pb.KitComponent(sku=sku, units=units, available=available) for sku, units, available in outlook.components
        ],
    )
    response.staleness.FromMilliseconds(outlook.staleness_ms)
    return response


def _position(place: Place) -> pb.PromisablePosition:
    return pb.PromisablePosition(
        location=place.location,
        available=place.promised.now,
        steps=_steps(place.promised),
        reasons=[pb.AvailabilityReason.Value(f"AVAILABILITY_REASON_{place.why_not}")] if place.why_not else [],
    )


def _steps(promised: Promised) -> list[pb.PromisableStep]:
    return [pb.PromisableStep(date=date_of(day), units=units) for day, units in promised.steps]
