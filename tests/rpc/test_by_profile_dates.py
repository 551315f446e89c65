"""Dates, slots of daily capacity and receipts of reservations by a sourcing profile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.by_profile import places_of, put
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.expected import Schedule
from tests.rpc.slots import NETWORK, away_from_midnight, day, made, shipped, slots, sound, wire_day

pytestmark = pytest.mark.asyncio

CHEAP = "name: cheap\n"
"""Lanes cost: FAR 2.00, DC 4.95 or 9.95 by express, LON 5.95."""
SOON = "name: soon\ncosts: {day_waiting: 10}\n"
LATE = "name: late\nrules: {lateness: allowed}\ncosts: {day_late: 0.5}\n"


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Stubs]:
    """An engine with LAMPs everywhere, in one step and in pieces; positions and slots are as reservations say after."""
    away_from_midnight()
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK)
        await put(stubs, CHEAP, SOON, LATE)
        for location in ("DC", "LON", "FAR"):
            await stubs.receive("LAMP", 30, location)
        yield stubs
        await sound(stubs)


def told(reservation: pb.Reservation) -> list[tuple[str, str, int]]:
    """Of each line the location, the service and the day of delivery."""
    return [
        (line.promise.parts[0].location, line.promise.service, day(line.promise.delivery_date))
        for line in reservation.lines
    ]


async def test_the_date_is_that_of_the_place_and_service_of_the_plan(shop: Stubs) -> None:
    assert told(await made(shop, "cheap", shipped(2), profile="cheap")) == [("FAR", "standard", 7)]
    assert told(await made(shop, "soon", shipped(2), profile="soon")) == [("DC", "express", 1)]
    in_time = await made(shop, "in time", shipped(2, needed_by=wire_day(2)), profile="cheap")
    assert (told(in_time), slots(in_time)) == ([("DC", "standard", 2)], [("DC", 0, 2, 0)])
    named = await made(shop, "named", shipped(2, service="express"), profile="cheap", promise_dates=False)
    assert told(named) == [("DC", "express", 1)]


async def test_slots_are_taken_where_the_plan_goes_whether_a_date_is_asked_for_or_not(shop: Stubs) -> None:
    found = await made(shop, "r", shipped(4, group="here"), profile="cheap", promise_dates=False)
    assert (places_of(found), slots(found)) == ([[("DC", 4)]], [("DC", 0, 4, 0)])
    assert not found.lines[0].HasField("promise")


async def test_what_no_plan_can_keep_is_refused_with_the_earliest_day(shop: Stubs) -> None:
    await made(shop, "all", shipped(20, service="express"))
    line = shipped(2, group="here", service="standard", needed_by=wire_day(2))
    late = await refused(made(shop, "r", line, profile="cheap"))
    assert (late.reason, late.metadata["earliest"]) == ("PROMISE_TOO_LATE", f"{wire_day(3).year}-{_text(3)}")
    allowed = await made(shop, "r", line, profile="late")
    assert (told(allowed), slots(allowed)) == ([("DC", "standard", 3)], [("DC", 1, 2, 0)])


def _text(days: int) -> str:
    told_day = wire_day(days)
    return f"{told_day.month:02}-{told_day.day:02}"


async def test_many_that_want_the_last_slots_of_a_day_get_them_once(shop: Stubs) -> None:
    """20 of a day: the others are promised the next one, or another place."""
    names = [f"r{n}" for n in range(12)]
    found = await asyncio.gather(*(made(shop, name, shipped(2), profile="soon") for name in names))
    first = [one for one in found if slots(one) == [("DC", 0, 2, 0)]]
    assert len(first) == 10
    assert all(told(one) == [("DC", "express", 1)] for one in first)
    assert all(told(one) != [("DC", "express", 1)] for one in found if one not in first)


async def test_a_rebinding_moves_date_and_slots_to_the_better_plan(shop: Stubs) -> None:
    await made(shop, "R", shipped(20), profile="soon")
    cheap = await shop.reservations.RebindReservation(
        pb.RebindReservationRequest(request_id="1", reservation_id="R", channel="web", lines=[{}], profile="cheap")
    )
    assert (places_of(cheap.reservation), slots(cheap.reservation)) == ([[("DC", 20)]], [("DC", 0, 20, 0)])
    undated = await made(shop, "S", shipped(5), profile="", promise_dates=False)
    assert slots(undated) == [("DC", 1, 5, 0)]
    moved = await shop.reservations.RebindReservation(
        pb.RebindReservationRequest(request_id="2", reservation_id="S", channel="web", lines=[{}], profile="cheap")
    )
    assert (places_of(moved.reservation), slots(moved.reservation)) == ([[("FAR", 5)]], [])


async def test_an_amendment_takes_more_slots_where_its_units_are_planned(shop: Stubs) -> None:
    await made(shop, "R", shipped(3), profile="soon")
    more = await shop.reservations.AmendReservation(
        pb.AmendReservationRequest(
            request_id="1",
            reservation_id="R",
            channel="web",
            lines=[{"line_id": "1", "quantity": 5}],
            added_lines=[shipped(1)],
            profile="soon",
        )
    )
    assert slots(more.reservation) == [("DC", 0, 6, 0)]
    assert told(more.reservation) == [("DC", "express", 1)] * 2


async def test_units_that_are_there_and_units_that_come_are_taken_as_planned(shop: Stubs) -> None:
    """A line that may be split and wait: what is there, and at one place what comes there."""
    await made(shop, "gone", shipped(28, location="FAR"), shipped(29, location="DC"), shipped(30, location="LON"))
    await Schedule(shop, location="DC").set("P", 3, 3)
    line = shipped(6, allow_split=True, allow_backorder=True)
    found = await made(shop, "R", line, profile="cheap", promise_dates=False)
    taken = [(a.location, a.quantity, a.receipt_id) for a in found.lines[0].allocations]
    assert sum(units for _, units, _ in taken) == 6
    assert {(location, units) for location, units, receipt in taken if not receipt} == {("FAR", 2), ("DC", 1)}
    assert [(location, units) for location, units, receipt in taken if receipt] == [("DC", 3)]
