"""Domain -> wire for the network document and what it says about working time. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import timestamp_pb2

from invengine.rpc.convert import FULFILMENT_NUMBERS, change_to_proto
from invengine.services.days import date_of
from invengine.v1 import network_service_pb2

if TYPE_CHECKING:
    from invengine.domain.calendars import Spans
    from invengine.services.networks import Applied
    from invengine.services.working_time import DayCutOff, WorkingDay, WorkingTime

_Calendar = network_service_pb2.GetCalendarResponse


def applied_to_proto(applied: Applied, consistency_token: str) -> network_service_pb2.ApplyNetworkResponse:
    """What a network document changed, or would change, and what it leaves open."""
    return network_service_pb2.ApplyNetworkResponse(
        revision=applied.revision,
        changes=map(change_to_proto, applied.changes),
        consistency_token=consistency_token,
        warnings=[
            network_service_pb2.NetworkWarning(line=gap.line, path=gap.path, problem=gap.problem)
            for gap in applied.gaps
        ],
    )


def working_time_to_proto(found: WorkingTime) -> network_service_pb2.GetCalendarResponse:
    """When a location works."""
    place = found.place
    return _Calendar(
        location=found.location,
        time_zone=place.time_zone,
        calendar=place.calendar.name if place.calendar else "",
        opening=place.opening.name if place.opening else "",
        days=[_day_to_proto(day) for day in found.days],
        preparations=[
            _Calendar.Preparation(
                fulfilment=FULFILMENT_NUMBERS[fulfilment],  # type: ignore[arg-type]  # enums are numbers on the wire
                handling_minutes=place.preparation[fulfilment].handling_minutes,
                capacity_units=capacity.units if (capacity := place.preparation[fulfilment].capacity) else 0,
                capacity_orders=capacity.orders if capacity else 0,
            )
            for fulfilment in found.fulfilments
        ],
    )


def _day_to_proto(day: WorkingDay) -> network_service_pb2.GetCalendarResponse.Day:
    return _Calendar.Day(
        date=date_of(day.day),
        working=_hours(day.working),
        opening=_hours(day.opening),
        holiday=day.holiday,
        exception=day.is_exception,
        cut_offs=[_cut_off(cut_off) for cut_off in day.cut_offs],
        collected_services=day.collected,
    )


def _cut_off(cut_off: DayCutOff) -> network_service_pb2.GetCalendarResponse.CutOff:
    return _Calendar.CutOff(
        fulfilment=FULFILMENT_NUMBERS[cut_off.fulfilment],  # type: ignore[arg-type]  # enums are numbers on the wire
        service=cut_off.service,
        minute=cut_off.minute,
        time=timestamp_pb2.Timestamp(seconds=cut_off.utc_minute * 60),
    )


def _hours(spans: Spans) -> list[network_service_pb2.GetCalendarResponse.Hours]:
    return [_Calendar.Hours(start_minute=start, end_minute=end) for start, end in spans]
