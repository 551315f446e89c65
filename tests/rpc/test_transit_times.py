"""Learnt transit times over the wire: put in force, followed by another server, read back, listed by lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date

import grpc
import pytest

from invengine.domain.days import day_number
from invengine.domain.transit import TransitPeriod
from invengine.domain.transit_distribution import Seen
from invengine.domain.transit_document import write_document
from invengine.v1 import network_service_pb2 as pb
from tests.redis_clusters import RedisCluster
from tests.rpc.engines import NETWORK, Stubs, engine, refused

pytestmark = pytest.mark.asyncio

DELIVERY = """\
calendars: {days: {hours: {mon-fri: "00:00-24:00"}}}
services: {standard: {carrier: DHL, calendar: days}}
zones: {north: [{country: GB}]}
lanes:
  - {from: DC, zone: north, service: standard, transit: 4}
  - {from: LON, zone: north, service: standard, transit: 3}
"""
PERIOD = TransitPeriod(20_000, 20_050, 20_060)
DOCUMENT = write_document({("DC", "north", "standard"): Seen({1: 70, 2: 20, 3: 10}, {2: 5})}, PERIOD)


def apply(document: str = DOCUMENT, **more: object) -> pb.ApplyTransitTimesRequest:
    return pb.ApplyTransitTimesRequest(**{"request_id": "t", "document": document, **more})  # type: ignore[arg-type]


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await look():
            await asyncio.sleep(0.02)


async def test_transit_times_are_checked_applied_and_read_back(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        empty = await stubs.network.GetTransitTimes(pb.GetTransitTimesRequest())
        assert (empty.document, empty.revision, empty.deliveries) == ("", 0, 0)
        assert not empty.HasField("shipped_since")
        why = await refused(stubs.network.ApplyTransitTimes(apply('{"version": 1, "lanes": {"DC": 5}}')))
        assert (why.code, why.reason, why.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "TRANSIT_INVALID",
            ["document"],
        )
        assert why.metadata == {"path": "lanes.DC", "problem": "an object is wanted, 5 found"}
        looked = await stubs.network.ApplyTransitTimes(apply(validate_only=True))
        assert (looked.revision, [change.path for change in looked.changes]) == (0, ["lanes.DC"])
        applied = await stubs.network.ApplyTransitTimes(apply(expected_revision=0))
        assert (applied.revision, applied.changes) == (1, looked.changes)
        again = await stubs.network.ApplyTransitTimes(apply())
        assert (again.revision, list(again.changes)) == (1, [])
        stale = apply('{"version": 1, "lanes": {}}', expected_revision=7)
        why = await refused(stubs.network.ApplyTransitTimes(stale))
        assert (why.code, why.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
        found = await stubs.network.GetTransitTimes(pb.GetTransitTimesRequest())
        assert (found.document, found.revision, found.deliveries, found.under_way) == (DOCUMENT, 1, 100, 5)
        days = [
            day_number(date(day.year, day.month, day.day))
            for day in (found.shipped_since, found.shipped_until, found.as_of)
        ]
        assert days == list(PERIOD)


async def test_lanes_say_how_their_days_came_about(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK + DELIVERY)
        stated = await stubs.network.ListTransitLanes(pb.ListTransitLanesRequest())
        assert [(lane.location, lane.stated_days, lane.deliveries, list(lane.days)) for lane in stated.lanes] == [
            ("DC", 4, 0, []),
            ("LON", 3, 0, []),
        ]
        await stubs.network.ApplyTransitTimes(apply())
        answer = await stubs.network.ListTransitLanes(
            pb.ListTransitLanesRequest(confidences=[0.5, 0.99], with_distribution=True)
        )
        dc, lon = answer.lanes
        assert answer.revision == 1
        assert (dc.deliveries, dc.under_way, dc.longest_days, lon.HasField("longest_days")) == (100, 5, 3, False)
        levels = pb.TransitDays.Level
        assert [(one.confidence, one.days, one.level, one.deliveries, one.longest_days) for one in dc.days] == [
            (0.5, 1, levels.LEVEL_LANE, 100, 3),
            (0.99, 3, levels.LEVEL_LANE, 100, 3),
        ]
        assert [(one.days, one.level) for one in lon.days] == [(1, levels.LEVEL_ZONE), (3, levels.LEVEL_ZONE)]
        assert [(point.days, point.deliveries, point.under_way) for point in dc.distribution] == [
            (0, 0, 0),
            (1, 70, 0),
            (2, 20, 5),
            (3, 10, 0),
        ]
        assert dc.distribution[1].probability == pytest.approx(70 / 105)
        assert dc.distribution[-1].probability == dc.days[1].probability == pytest.approx(1.0)
        only = await stubs.network.ListTransitLanes(pb.ListTransitLanesRequest(location="LON"))
        assert ([lane.location for lane in only.lanes], len(only.lanes[0].days)) == (["LON"], 4)


async def test_another_server_answers_the_same_within_a_moment(redis_url: str) -> None:
    async with engine(redis_url) as (_, here), engine(redis_url) as (_, there):
        await here.network.ApplyTransitTimes(apply())
        await eventually(lambda: _has(there, 1))
        listed = pb.ListTransitLanesRequest(confidences=[0.8, 0.95], with_distribution=True)
        assert (await there.network.ListTransitLanes(listed)).lanes == (
            await here.network.ListTransitLanes(listed)
        ).lanes


async def test_they_are_there_again_after_a_start(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        await stubs.network.ApplyTransitTimes(apply())
    async with engine(redis_url) as (_, stubs):
        assert await _has(stubs, 1)


async def test_servers_on_a_cluster_share_them_too(redis_cluster: RedisCluster) -> None:
    async with engine(redis_cluster.url) as (_, here), engine(redis_cluster.url) as (_, there):
        assert (await here.network.ApplyTransitTimes(apply())).revision == 1
        await eventually(lambda: _has(there, 1))
        forgotten = await there.network.ApplyTransitTimes(apply('{"version": 1, "lanes": {}}'))
        assert forgotten.revision == 2
        assert [change.kind for change in forgotten.changes] == [pb.NetworkChange.KIND_REMOVED]
        await eventually(lambda: _has(here, 2))


async def _has(stubs: Stubs, revision: int) -> bool:
    found = await stubs.network.GetTransitTimes(pb.GetTransitTimesRequest())
    return bool(found.revision == revision)
