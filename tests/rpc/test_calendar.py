"""Working time, and what a network leaves open, over a real server."""

from __future__ import annotations

import grpc
import pytest

from invengine.v1 import common_pb2
from invengine.v1 import network_service_pb2 as pb
from tests.rpc.engines import engine, refused

pytestmark = pytest.mark.asyncio

NETWORK = """\
calendars:
  dc: {hours: {mon-fri: ["08:00-12:00", "13:00-18:00"]}, holidays: {country: GB, subdivision: ENG}}
services: {standard: {calendar: dc}}
zones: {gb: [{country: GB}]}
locations:
  DC: {time_zone: Europe/London, calendar: dc, ship: {handling: 90m, cut_off: "15:00", capacity: {units: 500}}}
  SHOP: {kind: store, time_zone: Europe/London, pickup: {capacity: {orders: 20}}}
lanes: [{from: DC, zone: gb, service: standard, transit: 2, pickups: dc}]
"""


def asked(location: str = "DC", days: int = 1, **first: int) -> pb.GetCalendarRequest:
    return pb.GetCalendarRequest(location=location, days=days, first_date=common_pb2.Date(**first) if first else None)


async def test_working_time_is_answered_by_day(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        why = await refused(stubs.network.GetCalendar(asked()))
        assert (why.code, why.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NETWORK_MISSING")
        await stubs.network.ApplyNetwork(pb.ApplyNetworkRequest(request_id="n", document=NETWORK))
        answer = await stubs.network.GetCalendar(asked(days=5, year=2026, month=12, day=24))
        assert (answer.location, answer.time_zone, answer.calendar, answer.opening) == (
            "DC",
            "Europe/London",
            "dc",
            "dc",
        )
        assert [day.date.day for day in answer.days] == [24, 25, 26, 27, 28]
        eve, christmas, *_, observed = answer.days
        assert [(span.start_minute, span.end_minute) for span in eve.working] == [(480, 720), (780, 1080)]
        assert [(cut.fulfilment, cut.minute, cut.time.ToJsonString()) for cut in eve.cut_offs] == [
            (common_pb2.FULFILMENT_SHIP, 900, "2026-12-24T15:00:00Z")
        ]
        assert list(eve.collected_services) == ["standard"]
        assert (christmas.holiday, list(christmas.working)) == ("Christmas Day", [])
        assert observed.holiday == "Boxing Day (observed)"
        (ship,) = answer.preparations
        assert (ship.handling_minutes, ship.capacity_units, ship.capacity_orders) == (90, 500, 0)
        today = await stubs.network.GetCalendar(asked())
        assert len(today.days) == 1
        why = await refused(stubs.network.GetCalendar(asked(location="ATLANTIS")))
        assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_LOCATION")
        why = await refused(stubs.network.GetCalendar(asked(year=2026, month=2, day=29)))
        assert why.fields == ["first_date"]
        why = await refused(stubs.network.GetCalendar(asked(days=367)))
        assert why.fields == ["days"]


async def test_gaps_are_warnings_of_an_applied_network_and_of_one_that_is_only_checked(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        request = pb.ApplyNetworkRequest(request_id="n", document=NETWORK, validate_only=True)
        looked = await stubs.network.ApplyNetwork(request)
        assert [(gap.line, gap.path, gap.problem.split(":")[0]) for gap in looked.warnings] == [
            (1, "transfer_lanes", "there are none"),
            (7, "locations.SHOP", "has no calendar"),
        ]
        applied = await stubs.network.ApplyNetwork(pb.ApplyNetworkRequest(request_id="n", document=NETWORK))
        assert applied.warnings == looked.warnings
        assert applied.revision == 1
        again = await stubs.network.ApplyNetwork(pb.ApplyNetworkRequest(request_id="n", document=NETWORK))
        assert (list(again.changes), again.warnings) == ([], looked.warnings)
