"""Learnt transit times in force: one step for every server, followed by those that did not make the change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.domain.transit import NOTHING_LEARNT
from invengine.domain.transit_distribution import Seen
from invengine.domain.transit_document import write_document
from invengine.errors import InvalidArgument, InventoryError, RevisionMismatch, TransitInvalid
from invengine.services.networks import Networks
from invengine.services.transit_times import LearntTransit
from invengine.store.redis_store import RedisStore
from invengine.v1.network_service_pb2 import ListTransitLanesRequest

LANE = ("DC", "north", "standard")
ONE = write_document({LANE: Seen({1: 90, 2: 10})}, None)
TWO = write_document({LANE: Seen({1: 50, 2: 50}), ("LON", "north", "standard"): Seen({3: 1})}, None)
NETWORK = """\
locations: {DC: {}, LON: {}}
calendars: {days: {hours: {mon-fri: "00:00-24:00"}}}
services: {standard: {carrier: DHL, calendar: days}, express: {carrier: DHL, calendar: days}}
zones: {north: [{country: GB}]}
lanes:
  - {from: DC, zone: north, service: standard, transit: 4}
  - {from: LON, zone: north, service: express, transit: 1}
"""


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    client = Redis.from_url(redis_url)
    try:
        yield await RedisStore.open(client, partitions=4)
    finally:
        await client.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def learnt(store: RedisStore, *, poll_seconds: float = 1.0) -> LearntTransit:
    return LearntTransit(store, Networks(store), poll_seconds=poll_seconds)


@pytest.mark.asyncio
async def test_before_anything_is_learnt_stated_transit_holds(store: RedisStore) -> None:
    transit = learnt(store)
    await transit.load()
    assert transit.times is NOTHING_LEARNT
    assert transit.times.days(*LANE, 9500) is None


@pytest.mark.asyncio
async def test_what_is_applied_holds_here_at_once_and_elsewhere_after_a_look(store: RedisStore) -> None:
    here, elsewhere = learnt(store), learnt(store)
    applied = await here.apply(ONE, request_id="r1")
    assert applied.revision == here.times.revision == 1
    assert here.times is applied.times
    assert (here.times.document, here.times.days(*LANE, 9500)) == (ONE, 2)
    await elsewhere.load()
    assert (elsewhere.times.revision, elsewhere.times.days(*LANE, 9500)) == (1, 2)
    assert await store.transit() == (ONE, 1)


@pytest.mark.asyncio
async def test_changes_are_told_lane_by_lane_in_days(store: RedisStore) -> None:
    transit = learnt(store)
    first = await transit.apply(ONE, request_id="r1")
    assert [(change.kind.value, change.path) for change in first.changes] == [("ADDED", "lanes.DC")]
    checked = await transit.apply(TWO, request_id="r2", validate_only=True)
    assert checked.revision == 1
    told = {change.path: (change.before_json, change.after_json) for change in checked.changes}
    assert told["lanes.DC.north.standard.days_at_80"] == ("1", "2")
    assert "lanes.DC.north.standard.days_at_95" not in told
    assert '"deliveries": 1' in told["lanes.LON"][1]
    assert transit.times.document == ONE
    applied = await transit.apply(TWO, request_id="r2")
    assert (applied.changes, applied.revision) == (checked.changes, 2)


@pytest.mark.asyncio
async def test_the_document_in_force_sent_again_changes_nothing_whatever_is_expected(store: RedisStore) -> None:
    transit = learnt(store)
    await transit.apply(ONE, request_id="r1", expected_revision=0)
    for expected in (0, 1, 7, None):
        again = await transit.apply(ONE, request_id="r1", expected_revision=expected)
        assert (again.revision, again.changes) == (1, ())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"document": TWO, "request_id": ""}, InvalidArgument),
        ({"document": "", "request_id": "r"}, InvalidArgument),
        ({"document": TWO, "request_id": "r", "expected_revision": -1}, InvalidArgument),
        ({"document": TWO, "request_id": "r", "expected_revision": 2}, RevisionMismatch),
        ({"document": "{", "request_id": "r"}, TransitInvalid),
        ({"document": "[]", "request_id": "r", "validate_only": True}, TransitInvalid),
    ],
)
async def test_a_refused_document_changes_nothing(
    store: RedisStore, arguments: dict[str, object], refusal: type[InventoryError]
) -> None:
    transit = learnt(store)
    await transit.apply(ONE, request_id="r0")
    with pytest.raises(refusal):
        await transit.apply(**arguments)  # type: ignore[arg-type]
    assert await store.transit() == (ONE, 1)
    assert transit.times.document == ONE


@pytest.mark.asyncio
async def test_a_running_server_follows_what_others_apply(store: RedisStore) -> None:
    follower, other = learnt(store, poll_seconds=0.02), learnt(store)
    heard: list[int] = []
    follower.add_listener(lambda times: heard.append(times.revision))
    task = asyncio.create_task(follower.run())
    try:
        await other.apply(ONE, request_id="r1")
        await until(lambda: heard == [1])
        await other.apply(TWO, request_id="r2")
        await until(lambda: heard == [1, 2])
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert follower.times.days(*LANE, 8000) == 2


@pytest.mark.asyncio
async def test_a_document_of_a_newer_version_leaves_what_is_in_force(
    store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    transit = learnt(store)
    await transit.apply(ONE, request_id="r1")
    await store.apply_transit('{"version": 2, "lanes": {}}', None)
    await transit.load()
    assert transit.times.document == ONE
    assert "transit times revision 2 cannot be read by this version" in caplog.text


@pytest.mark.asyncio
async def test_network_and_transit_times_have_revisions_of_their_own(store: RedisStore) -> None:
    networks = Networks(store)
    await networks.apply(NETWORK, request_id="n")
    transit = LearntTransit(store, networks)
    assert (await transit.apply(ONE, request_id="t", expected_revision=0)).revision == 1
    assert await store.network() == (NETWORK, 1)


@pytest.mark.asyncio
async def test_lanes_of_the_network_and_lanes_that_were_learnt_are_listed(store: RedisStore) -> None:
    networks = Networks(store)
    await networks.apply(NETWORK, request_id="n")
    transit = LearntTransit(store, networks)
    await transit.apply(TWO, request_id="t")
    rows, token, times = transit.lanes(ListTransitLanesRequest(confidences=[0.5, 0.95]))
    assert (token, times) == ("", transit.times)
    assert [(row.name, row.stated_days, row.seen.deliveries) for row in rows] == [
        (("DC", "north", "standard"), 4, 100),
        (("LON", "north", "express"), 1, 0),
        (("LON", "north", "standard"), None, 1),
    ]
    assert [[(confidence, answer.days) for confidence, answer in row.answers] for row in rows] == [
        [(0.5, 2), (0.95, 2)],
        [],
        [(0.5, 2), (0.95, 3)],
    ]


@pytest.mark.asyncio
async def test_lanes_come_in_pages_and_by_filter(store: RedisStore) -> None:
    transit = learnt(store)
    await transit.apply(TWO, request_id="t")
    rows, token, _ = transit.lanes(ListTransitLanesRequest(page_size=1))
    assert [row.name for row in rows] == [LANE]
    assert len(rows[0].answers) == 4
    rows, last, _ = transit.lanes(ListTransitLanesRequest(page_size=1, page_token=token))
    assert ([row.name[0] for row in rows], last) == (["LON"], "")
    rows, _, _ = transit.lanes(ListTransitLanesRequest(location="LON", zone="north", service="standard"))
    assert [row.name[0] for row in rows] == ["LON"]
    assert transit.lanes(ListTransitLanesRequest(zone="south"))[0] == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("message", "field"),
    [
        (ListTransitLanesRequest(confidences=[0.95, 1.0]), "confidences[1]"),
        (ListTransitLanesRequest(confidences=[0.0]), "confidences[0]"),
        (ListTransitLanesRequest(confidences=[float("nan")]), "confidences[0]"),
        (ListTransitLanesRequest(confidences=[0.99999]), "confidences[0]"),
        (ListTransitLanesRequest(confidences=[0.5] * 21), "confidences"),
        (ListTransitLanesRequest(location=" x"), "location"),
        (ListTransitLanesRequest(page_size=-1), "page_size"),
        (ListTransitLanesRequest(page_token="nonsense"), "page_token"),
    ],
)
async def test_bad_questions_name_their_field(store: RedisStore, message: ListTransitLanesRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        learnt(store).lanes(message)
    assert refused.value.field == field
