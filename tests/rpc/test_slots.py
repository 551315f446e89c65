"""Dates and daily capacity over gRPC: what is promised, what it takes, and that every verb keeps both in step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from invengine.store.redis_store import Atomicity, RedisStore
from invengine.v1 import common_pb2, incoming_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.slots import NETWORK, asked, away_from_midnight, by_day, day, made, shipped, slots, sound, wire_day
from tests.rpc.snapshots import snapshot

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Stubs]:
    """An engine with LAMPs everywhere, in one step and in pieces."""
    away_from_midnight()
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=request.param))
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK)
        for location in ("DC", "LON", "FAR"):
            await stubs.receive("LAMP", 1000, location)
        yield stubs
        await sound(stubs)


async def test_a_line_is_promised_a_date_and_takes_a_slot(shop: Stubs) -> None:
    found = await made(shop, "r", shipped(3))
    (line,) = found.lines
    assert (line.promise.service, day(line.promise.delivery_date)) == ("express", 1)
    assert [(p.location, day(p.ship_date), day(p.delivery_date)) for p in line.promise.parts] == [("DC", 0, 1)]
    assert slots(found) == [("DC", 0, 3, 0)]
    again = await shop.reservations.GetReservation(pb.GetReservationRequest(reservation_id="r", channel="web"))
    assert again.reservation == found


async def test_the_last_slot_of_a_day_goes_to_one_and_the_other_gets_the_next_day(shop: Stubs) -> None:
    await made(shop, "most", shipped(19))
    both = await asyncio.gather(*(made(shop, name, shipped()) for name in ("one", "two")))
    assert sorted(slots(found)[0][1] for found in both) == [0, 1]
    assert sorted(day(found.lines[0].promise.delivery_date) for found in both) == [1, 2]


async def test_a_slot_that_was_released_is_taken_again(shop: Stubs) -> None:
    await made(shop, "all", shipped(20))
    assert slots(await made(shop, "later", shipped(20))) == [("DC", 1, 20, 0)]
    await shop.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(request_id="back", reservation_id="all", channel="web")
    )
    assert slots(await made(shop, "again", shipped(20))) == [("DC", 0, 20, 0)]


async def test_more_than_a_day_fills_successive_days(shop: Stubs) -> None:
    await made(shop, "first", shipped(15))
    found = await made(shop, "r", shipped(30, service="standard"))
    assert slots(found) == [("DC", 0, 5, 0), ("DC", 1, 20, 0), ("DC", 2, 5, 0)]
    assert day(found.lines[0].promise.delivery_date) == 4


async def test_capacity_is_taken_without_a_date_too(shop: Stubs) -> None:
    found = await made(shop, "r", shipped(4), promise_dates=False)
    assert (slots(found), found.lines[0].HasField("promise")) == ([("DC", 0, 4, 0)], False)
    free = await made(shop, "any", pb.ReservationLineRequest(sku="LAMP", quantity=4), promise_dates=False)
    assert slots(free) == []


async def test_what_comes_too_late_is_refused_with_the_earliest_date(shop: Stubs) -> None:
    await made(shop, "all", shipped(40))
    late = await refused(made(shop, "r", shipped(service="standard", group="here", needed_by=wire_day(3))))
    assert (late.reason, late.metadata["earliest"]) == (
        "PROMISE_TOO_LATE",
        f"{wire_day(4).year}-{wire_day(4).month:02}-{wire_day(4).day:02}",
    )
    kept = await made(shop, "r", shipped(service="standard", group="here", needed_by=wire_day(4)))
    assert day(kept.lines[0].promise.delivery_date) == 4
    assert day(kept.lines[0].needed_by) == 4


async def test_a_day_demands_another_location_and_of_those_in_time_the_cheapest_service(shop: Stubs) -> None:
    cheap = await made(shop, "cheap", shipped(needed_by=wire_day(2)))
    assert (cheap.lines[0].promise.service, cheap.lines[0].allocations[0].location) == ("standard", "DC")
    await made(shop, "full", shipped(199))  # DC is full for ten days
    elsewhere = await made(shop, "elsewhere", shipped(needed_by=wire_day(3)))
    assert elsewhere.lines[0].allocations[0].location == "LON"


async def test_orders_are_counted_where_the_capacity_is_one_of_orders(shop: Stubs) -> None:
    def collected(sku: str = "LAMP") -> pb.ReservationLineRequest:
        return pb.ReservationLineRequest(
            sku=sku, quantity=5, fulfilment=common_pb2.FULFILMENT_PICKUP, location="LON", line_id=""
        )

    found = [await made(shop, f"r{n}", collected(), collected()) for n in range(3)]
    assert [slots(each) for each in found] == [[("LON", 0, 0, 1)], [("LON", 0, 0, 1)], [("LON", 1, 0, 1)]]
    assert [day(each.lines[1].promise.delivery_date) for each in found] == [0, 0, 1]
    await shop.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(
            request_id="some", reservation_id="r0", channel="web", lines=[pb.LineUnits(line_id="1", quantity=5)]
        )
    )
    after = await shop.reservations.ReleaseReservation(
        pb.ReleaseReservationRequest(
            request_id="rest", reservation_id="r0", channel="web", lines=[pb.LineUnits(line_id="2", quantity=5)]
        )
    )
    assert (after.reservation.state, slots(after.reservation)) == (pb.Reservation.STATE_RELEASED, [])


async def test_a_network_that_lacks_a_lane_says_so(shop: Stubs) -> None:
    france = common_pb2.Destination(country="FR", postal_code="75001")
    line = pb.ReservationLineRequest(sku="LAMP", quantity=1, fulfilment=common_pb2.FULFILMENT_SHIP, destination=france)
    refusal = await refused(made(shop, "r", line))
    assert (refusal.reason, refusal.metadata["problem"]) == ("PROMISE_UNKNOWN", "postal code FR 75001 is in no zone")


async def test_a_repeat_is_answered_as_the_first_time(shop: Stubs) -> None:
    first = await shop.reservations.CreateReservation(asked("r", shipped(20)))
    again = await shop.reservations.CreateReservation(asked("r", shipped(20)))
    assert (again.replayed, again.reservation) == (True, first.reservation)
    other = await refused(shop.reservations.CreateReservation(asked("r", shipped(20), confidence=0.9)))
    assert other.reason == "REQUEST_MISMATCH"


async def test_exactly_the_capacity_is_taken_of_each_day_by_200_clients(shop: Stubs) -> None:
    found = await asyncio.gather(*(made(shop, f"client {n}") for n in range(200)))
    assert by_day(found) == dict.fromkeys(range(10), 20)
    for reservation in found:
        (slot,) = reservation.slots
        (line,) = reservation.lines
        assert day(line.promise.parts[0].ship_date) == day(slot.date)
        assert day(line.promise.delivery_date) == day(slot.date) + 1


async def released(shop: Stubs, name: str, **units: int) -> pb.Reservation:
    lines = [pb.LineUnits(line_id=line_id.strip("_"), quantity=count) for line_id, count in units.items()]
    request = pb.ReleaseReservationRequest(
        request_id=f"back {name} {units}", reservation_id=name, channel="web", lines=lines
    )
    return (await shop.reservations.ReleaseReservation(request)).reservation


async def fulfilled(shop: Stubs, name: str, **units: int) -> pb.Reservation:
    lines = [pb.LineUnits(line_id=line_id.strip("_"), quantity=count) for line_id, count in units.items()]
    request = pb.FulfilReservationRequest(
        request_id=f"out {name} {units}", reservation_id=name, channel="web", lines=lines
    )
    return (await shop.reservations.FulfilReservation(request)).reservation


async def confirmed(shop: Stubs, name: str) -> None:
    await shop.reservations.ConfirmReservation(
        pb.ConfirmReservationRequest(request_id=f"confirm {name}", reservation_id=name, channel="web")
    )


async def amended(shop: Stubs, name: str, quantity: int, *added: pb.ReservationLineRequest, **more) -> pb.Reservation:
    request = pb.AmendReservationRequest(
        request_id=f"amend {name} {quantity} {len(added)} {len(more)}",
        reservation_id=name,
        channel="web",
        lines=[pb.LineAmendment(line_id="1", quantity=quantity, **more)],
        added_lines=added,
    )
    return (await shop.reservations.AmendReservation(request)).reservation


async def test_a_part_that_is_released_gives_its_slots_back_the_last_day_first(shop: Stubs) -> None:
    await made(shop, "r", shipped(30), shipped(2))
    after = await released(shop, "r", _1=15)
    assert slots(after) == [("DC", 0, 15, 0), ("DC", 1, 2, 0)]
    assert [line.allocations[0].released for line in after.lines] == [15, 0]


async def test_what_leaves_uses_its_slots_up_and_the_day_stays_full(shop: Stubs) -> None:
    await made(shop, "r", shipped(20))
    await confirmed(shop, "r")
    part = await fulfilled(shop, "r", _1=5)
    assert (part.state, slots(part)) == (pb.Reservation.STATE_CONFIRMED, [("DC", 0, 20, 0)])
    rest = await fulfilled(shop, "r")
    assert rest.state == pb.Reservation.STATE_FULFILLED
    assert slots(await made(shop, "next")) == [("DC", 1, 1, 0)]


async def test_an_amended_line_has_as_many_slots_as_units_and_a_new_date(shop: Stubs) -> None:
    await made(shop, "r", shipped(18, service="express", group="here"))
    more = await amended(shop, "r", 23)
    assert slots(more) == [("DC", 0, 18, 0), ("DC", 1, 5, 0)]
    assert (day(more.lines[0].promise.delivery_date), more.lines[0].promise.service) == (2, "express")
    less = await amended(shop, "r", 10)
    assert slots(less) == [("DC", 0, 10, 0)]
    late = await refused(amended(shop, "r", 40, needed_by=wire_day(1)))
    assert late.reason == "PROMISE_TOO_LATE"
    with_more = await amended(shop, "r", 11, shipped(3))
    assert slots(with_more) == [("DC", 0, 14, 0)]
    assert day(with_more.lines[1].promise.delivery_date) == 1
    gone = await amended(shop, "r", 0)
    assert slots(gone) == [("DC", 0, 3, 0)]


async def test_a_rebound_line_leaves_its_slots_and_is_promised_anew(shop: Stubs) -> None:
    await made(shop, "r", shipped(18, service="standard"))

    async def rebound(location: str, **more) -> pb.Reservation:
        request = pb.RebindReservationRequest(
            request_id=f"rebind {location} {sorted(more)}",
            reservation_id="r",
            channel="web",
            lines=[pb.LineRebinding(line_id="1", location=location, **more)],
        )
        return (await shop.reservations.RebindReservation(request)).reservation

    far = await rebound("FAR")
    assert (slots(far), far.lines[0].allocations[0].location) == ([], "FAR")
    assert day(far.lines[0].promise.delivery_date) == 7
    assert (await refused(rebound("DC", needed_by=wire_day(1)))).reason == "PROMISE_TOO_LATE"
    back = await rebound("DC")
    assert (slots(back), day(back.lines[0].promise.delivery_date)) == ([("DC", 0, 18, 0)], 2)
    same = await rebound("DC", allow_split=True)
    assert slots(same) == [("DC", 0, 18, 0)]


async def test_units_that_are_to_come_are_promised_from_their_day(shop: Stubs) -> None:
    await shop.incoming.SetIncoming(
        incoming_service_pb2.SetIncomingRequest(
            request_id="po",
            source="erp",
            sku="SOFA",
            location="DC",
            receipt_id="PO",
            quantity=10,
            expected_date=wire_day(4),
        )
    )
    found = await made(shop, "r", shipped(6, "SOFA", allow_backorder=True, service="standard"))
    assert (slots(found), day(found.lines[0].promise.delivery_date)) == ([("DC", 4, 6, 0)], 6)
    assert (found.lines[0].allow_backorder, found.lines[0].allocations[0].receipt_id) == (True, "PO")
    short = await refused(made(shop, "s", shipped(6, "SOFA", allow_backorder=True)))
    assert short.reason == "INSUFFICIENT_STOCK"


async def test_with_best_effort_slots_are_taken_for_what_there_is(shop: Stubs) -> None:
    await shop.receive("BED", 3, "DC")
    found = await made(shop, "r", shipped(5, "BED"), policy=2)
    assert (slots(found), found.lines[0].short_quantity) == ([("DC", 0, 3, 0)], 2)
    assert day(found.lines[0].promise.delivery_date) == 1


async def test_a_batch_is_promised_one_by_one(shop: Stubs) -> None:
    batch = pb.BatchCreateReservationsRequest(requests=[asked(f"r{n}", shipped(15)) for n in range(3)])
    outcomes = (await shop.reservations.BatchCreateReservations(batch)).outcomes
    assert [slots(one.reservation) for one in outcomes] == [
        [("DC", 0, 15, 0)],
        [("DC", 1, 15, 0)],
        [("DC", 2, 15, 0)],
    ]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (asked("r", pb.ReservationLineRequest(sku="LAMP", quantity=1)), "lines[0].fulfilment"),
        (
            asked("r", pb.ReservationLineRequest(sku="LAMP", quantity=1, fulfilment=common_pb2.FULFILMENT_SHIP)),
            "lines[0].destination.country",
        ),
        (asked("r", promise_dates=False, confidence=0.9), "confidence"),
        (asked("r", confidence=1.5), "confidence"),
        (asked("r", shipped(needed_by=wire_day(1)), promise_dates=False), "lines[0].needed_by"),
        (
            asked(
                "r",
                pb.ReservationLineRequest(
                    sku="LAMP", quantity=1, location="LON", fulfilment=common_pb2.FULFILMENT_PICKUP, service="express"
                ),
            ),
            "lines[0].service",
        ),
    ],
)
async def test_what_cannot_be_promised_names_its_field(shop: Stubs, request_, field: str) -> None:
    refusal = await refused(shop.reservations.CreateReservation(request_))
    assert (refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", [field])


async def test_kits_take_a_slot_each_and_keep_it_in_step(shop: Stubs) -> None:
    await shop.apply_network(NETWORK + "kits: {SET: {SOFA: 1, CUSHION: 4}}\n", "kits")
    await shop.receive("SOFA", 10)
    await shop.receive("CUSHION", 40)
    found = await made(shop, "r", shipped(5, "SET"), shipped(2))
    assert slots(found) == [("DC", 0, 7, 0)]
    assert {day(line.promise.delivery_date) for line in found.lines} == {1}
    assert slots(await released(shop, "r", _1=2)) == [("DC", 0, 5, 0)]
    assert slots(await amended(shop, "r", 6)) == [("DC", 0, 8, 0)]
    assert slots(await amended(shop, "r", 1)) == [("DC", 0, 3, 0)]
    await confirmed(shop, "r")
    after = await fulfilled(shop, "r", _1=1)
    assert (after.state, slots(after)) == (pb.Reservation.STATE_CONFIRMED, [("DC", 0, 3, 0)])
    await fulfilled(shop, "r")


async def test_what_a_snapshot_contains_uses_its_slots_up(shop: Stubs) -> None:
    """The counted location has them no more, and the day stays as full as it was."""
    await made(shop, "r", shipped(4), shipped(5, "LAMP"), order_ref="order")
    await shop.receive("SOFA", 3)
    rows = [("LAMP", 991)]
    await snapshot(shop, time.time_ns() // 1_000_000, rows, partial=True, contains_order_refs=["order"])
    found = await shop.reservations.GetReservation(pb.GetReservationRequest(reservation_id="r", channel="web"))
    assert (found.reservation.state, slots(found.reservation)) == (
        pb.Reservation.STATE_FULFILLED,
        [("DC", 0, 9, 0)],
    )
    assert (await shop.position("LAMP"))[:2] == (991, 0)
    assert slots(await made(shop, "next", shipped(12))) == [("DC", 1, 12, 0)]


async def test_handing_over_confirming_and_extending_leave_slots_and_dates(shop: Stubs) -> None:
    before = await made(shop, "r", shipped(4))
    await shop.reservations.ExtendReservation(
        pb.ExtendReservationRequest(request_id="more", reservation_id="r", channel="web")
    )
    await shop.reservations.HandOverReservation(
        pb.HandOverReservationRequest(request_id="over", reservation_id="r", channel="web", to_customer_ref="ann")
    )
    await confirmed(shop, "r")
    after = (
        await shop.reservations.GetReservation(pb.GetReservationRequest(reservation_id="r", channel="web"))
    ).reservation
    assert (after.slots, after.lines[0].promise) == (before.slots, before.lines[0].promise)
