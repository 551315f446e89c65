"""Amend, rebind and hand over through a real server and a real Redis: what the network says is in force."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from invengine.v1 import admin_service_pb2, availability_service_pb2, common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import NETWORK, Stubs, create, refused

pytestmark = pytest.mark.asyncio

HELD, CONFIRMED, RELEASED = 1, 2, 4
TILL = "  till: {groups: [stores], time_to_live: {default: 10m, maximum: 30m}}\n"
RULE = "safety_stock:\n  - {location: LON, units: 3}\n"
WHOLE: dict[str, Any] = {"request_id": "change", "reservation_id": "A", "channel": "web"}

KINDS: dict[str, Any] = {
    "Amend": pb.AmendReservationRequest,
    "Rebind": pb.RebindReservationRequest,
    "HandOver": pb.HandOverReservationRequest,
}


async def held(stubs: Stubs, quantity: int = 4, **more: Any) -> pb.Reservation:
    """Reservation A of LAMP, of which 10 are at DC and 8 at LON, where 3 stay for the shop."""
    await stubs.apply_network(NETWORK + TILL + RULE, "with till")
    for location, units in (("DC", 10), ("LON", 8)):
        await stubs.receive("LAMP", units, location)
    await stubs.receive("SOFA", 5)
    made = await stubs.reservations.CreateReservation(create("made", quantity=quantity, reservation_id="A", **more))
    return made.reservation


async def send(stubs: Stubs, verb: str, **given: Any) -> Any:
    method = getattr(stubs.reservations, f"{verb}Reservation")
    return await method(KINDS[verb](**WHOLE | given))


def to(quantity: int = 0, line_id: str = "1", **more: Any) -> pb.LineAmendment:
    return pb.LineAmendment(line_id=line_id, quantity=quantity, **more)


def standing(reservation: pb.Reservation) -> list[list[tuple[str, int]]]:
    return [[(a.location, a.quantity) for a in line.allocations] for line in reservation.lines]


async def taken(stubs: Stubs) -> tuple[int, int]:
    return (await stubs.position("LAMP"))[1], (await stubs.position("LAMP", "LON"))[1]


async def test_quantities_change_and_lines_are_added_in_one_answer(stubs: Stubs) -> None:
    await held(stubs)
    answer = await send(stubs, "Amend", lines=[to(6)], added_lines=[pb.ReservationLineRequest(sku="SOFA", quantity=2)])
    reservation = answer.reservation
    assert [(line.line_id, line.sku, line.quantity, line.short_quantity) for line in reservation.lines] == [
        ("1", "LAMP", 6, 0),
        ("2", "SOFA", 2, 0),
    ]
    assert reservation.state == HELD
    assert (await taken(stubs), (await stubs.position("SOFA"))[1]) == ((6, 0), 2)
    assert (await send(stubs, "Amend", lines=[to(0), to(0, "2")], request_id="all")).reservation.state == RELEASED


async def test_a_confirmed_reservation_is_amended_too(stubs: Stubs) -> None:
    await held(stubs)
    await stubs.reservations.ConfirmReservation(
        pb.ConfirmReservationRequest(request_id="c", reservation_id="A", channel="web")
    )
    assert (await send(stubs, "Amend", lines=[to(5)])).reservation.state == CONFIRMED


async def test_readers_see_an_amendment_at_once(stubs: Stubs) -> None:
    """The replica takes part: what the channel can sell follows, holds and moves included."""
    await held(stubs)

    async def available() -> int:
        request = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web")
        return (await stubs.availability.GetAvailability(request)).available

    assert await available() == 6 + 5
    await send(stubs, "Amend", lines=[to(9)])
    assert await available() == 1 + 5
    await send(stubs, "Amend", lines=[to(3)], request_id="less")
    assert await available() == 7 + 5
    await send(stubs, "Rebind", lines=[pb.LineRebinding(location="LON")], request_id="away")
    assert await available() == 10 + 2
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
    assert report.violations_count == 0


async def test_safety_stock_is_kept_from_what_is_added(stubs: Stubs) -> None:
    await held(stubs, 10)
    why = await refused(send(stubs, "Amend", lines=[to(16)]))
    assert (why.code, why.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_STOCK")
    assert (why.metadata["wanted"], why.metadata["available"]) == ("6", "5")
    assert standing((await send(stubs, "Amend", lines=[to(15)])).reservation) == [[("DC", 10), ("LON", 5)]]


async def test_additional_units_come_from_where_the_caller_says(stubs: Stubs) -> None:
    await held(stubs)
    answer = await send(stubs, "Amend", lines=[to(6, location="LON")])
    assert standing(answer.reservation) == [[("DC", 4), ("LON", 2)]]
    answer = await send(stubs, "Amend", lines=[to(8, group="stores")], request_id="more")
    assert standing(answer.reservation) == [[("DC", 4), ("LON", 4)]]


async def test_a_pickup_grows_only_where_it_is_picked_up(stubs: Stubs) -> None:
    await held(stubs, line={"location": "LON", "fulfilment": common_pb2.FULFILMENT_PICKUP})
    why = await refused(send(stubs, "Amend", lines=[to(6)]))
    assert (why.reason, why.metadata["available"]) == ("INSUFFICIENT_STOCK", "1")
    assert standing((await send(stubs, "Amend", lines=[to(5)])).reservation) == [[("LON", 5)]]
    why = await refused(send(stubs, "Amend", lines=[to(6, location="DC")], request_id="elsewhere"))
    assert why.reason == "LOCATION_NOT_USABLE"
    why = await refused(send(stubs, "Rebind", lines=[pb.LineRebinding()], request_id="anywhere"))
    assert (why.reason, why.fields) == ("INVALID_ARGUMENT", ["lines[0].location"])
    why = await refused(send(stubs, "Rebind", lines=[pb.LineRebinding(location="DC")], request_id="away"))
    assert why.reason == "LOCATION_NOT_USABLE"


async def test_all_open_units_or_those_of_a_line_are_rebound(stubs: Stubs) -> None:
    await held(stubs)
    await send(stubs, "Amend", added_lines=[pb.ReservationLineRequest(line_id="b", sku="LAMP", quantity=1)])
    answer = await send(stubs, "Rebind", lines=[pb.LineRebinding(line_id="b", location="LON")], request_id="one")
    assert standing(answer.reservation) == [[("DC", 4)], [("LON", 1)]]
    answer = await send(stubs, "Rebind", lines=[pb.LineRebinding(group="stores")], request_id="all")
    assert standing(answer.reservation) == [[("LON", 4)], [("LON", 1)]]
    answer = await send(stubs, "Rebind", lines=[pb.LineRebinding()], request_id="anew")
    assert standing(answer.reservation) == [[("DC", 4)], [("DC", 1)]]
    assert await taken(stubs) == (5, 0)


async def test_a_location_that_was_switched_off_is_emptied(stubs: Stubs) -> None:
    await held(stubs)
    await stubs.apply_network((NETWORK + TILL).replace("priority: 10}", "enabled: false}"), "without DC")
    why = await refused(send(stubs, "Rebind", lines=[pb.LineRebinding(location="DC")], request_id="stay"))
    assert why.reason == "LOCATION_NOT_USABLE"
    assert standing((await send(stubs, "Rebind", lines=[pb.LineRebinding()])).reservation) == [[("LON", 4)]]


async def test_another_channel_gets_it_by_its_own_rules(stubs: Stubs) -> None:
    made = await held(stubs, customer_ref="ann")
    why = await refused(send(stubs, "HandOver", to_channel="till", time_to_live=Duration(seconds=1801)))
    assert (why.reason, why.metadata["channel"]) == ("TIME_TO_LIVE_TOO_LONG", "till")
    answer = await send(
        stubs, "HandOver", to_channel="till", to_customer_ref="bob", time_to_live=Duration(seconds=1800)
    )
    after = answer.reservation
    assert (after.reservation_id, after.channel, after.customer_ref) == ("A", "till", "bob")
    assert (standing(after), after.state) == (standing(made), HELD)
    assert after.expire_time.seconds > made.expire_time.seconds
    listed = await stubs.reservations.ListReservations(pb.ListReservationsRequest(customer_ref="bob", channel="till"))
    assert [found.reservation_id for found in listed.reservations] == ["A"]


@pytest.mark.parametrize(
    ("verb", "given", "code", "reason"),
    [
        ("Amend", {"lines": [to(5, "x")]}, "NOT_FOUND", "LINE_NOT_FOUND"),
        ("Amend", {"lines": [to(5)], "channel": "nobody"}, "NOT_FOUND", "UNKNOWN_CHANNEL"),
        ("Amend", {"lines": [to(5)], "channel": "closed"}, "FAILED_PRECONDITION", "CHANNEL_DISABLED"),
        ("Amend", {"lines": [to(5, location="X")]}, "NOT_FOUND", "UNKNOWN_LOCATION"),
        ("Amend", {"lines": [to(5, group="abroad")]}, "FAILED_PRECONDITION", "GROUP_NOT_USABLE"),
        ("Amend", {"lines": [to(5)], "reservation_id": "B"}, "NOT_FOUND", "RESERVATION_NOT_FOUND"),
        ("Amend", {"lines": [to(5)], "expected_revision": 999}, "ABORTED", "REVISION_MISMATCH"),
        (
            "Amend",
            {"added_lines": [pb.ReservationLineRequest(line_id="1", sku="SOFA", quantity=1)]},
            "ALREADY_EXISTS",
            "LINE_EXISTS",
        ),
        ("Amend", {"added_lines": [pb.ReservationLineRequest(sku="RUG", quantity=1)]}, "NOT_FOUND", "UNKNOWN_SKU"),
        ("Rebind", {"lines": [pb.LineRebinding(line_id="x")]}, "NOT_FOUND", "LINE_NOT_FOUND"),
        ("Rebind", {"lines": [pb.LineRebinding(location="OLD")]}, "FAILED_PRECONDITION", "LOCATION_NOT_USABLE"),
        ("Rebind", {"lines": [pb.LineRebinding()], "channel": "closed"}, "FAILED_PRECONDITION", "CHANNEL_DISABLED"),
        ("HandOver", {"to_channel": "nobody"}, "NOT_FOUND", "UNKNOWN_CHANNEL"),
        ("HandOver", {"to_channel": "closed"}, "FAILED_PRECONDITION", "CHANNEL_DISABLED"),
        ("HandOver", {"to_channel": "till", "reservation_id": "B"}, "NOT_FOUND", "RESERVATION_NOT_FOUND"),
    ],
)
async def test_refusals_change_nothing(stubs: Stubs, verb: str, given: dict[str, Any], code: str, reason: str) -> None:
    made = await held(stubs)
    why = await refused(send(stubs, verb, **given))
    assert (why.code.name, why.reason) == (code, reason)
    found = await stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id="A", channel="web"))
    assert (found.reservation, await taken(stubs)) == (made, (4, 0))


async def test_a_channel_that_is_switched_off_may_still_give_back(stubs: Stubs) -> None:
    await held(stubs)
    assert standing((await send(stubs, "Amend", lines=[to(1)], channel="closed")).reservation) == [[("DC", 1)]]


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("Amend", {"lines": [to(6, location="DC")]}),
        ("Rebind", {"lines": [pb.LineRebinding(location="LON")]}),
        ("HandOver", {"to_channel": "till"}),
    ],
)
async def test_a_repeat_is_answered_even_where_the_network_would_refuse_it_now(
    stubs: Stubs, verb: str, given: dict[str, Any]
) -> None:
    await held(stubs)
    first = await send(stubs, verb, **given)
    again = await send(stubs, verb, **given)
    assert (first.replayed, again.replayed, again.reservation) == (False, True, first.reservation)
    await stubs.apply_network(
        "locations: {DC: {enabled: false}, LON: {enabled: false}, NEW: {}}\n"
        "groups: {all: [DC, LON, NEW]}\nchannels: {web: {groups: [all]}}",
        "all is gone",
    )
    again = await send(stubs, verb, **given)
    assert (again.replayed, again.reservation) == (True, first.reservation)
    if verb == "Amend":
        given = {"lines": [to(7, location="DC")]}
    why = await refused(send(stubs, verb, **given, request_id="new"))
    assert why.reason in {"LOCATION_NOT_USABLE", "UNKNOWN_CHANNEL"}
    why = await refused(send(stubs, verb, **given, expected_revision=1))
    assert why.reason == "REQUEST_MISMATCH"


async def test_amendments_at_the_same_time_are_all_done(stubs: Stubs) -> None:
    """Each is resolved for the reservation that it finds; one that comes too late is resolved anew."""
    await held(stubs, 1)
    added = pb.ReservationLineRequest(sku="LAMP", quantity=1, location="DC")
    answers = await asyncio.gather(
        *(send(stubs, "Amend", added_lines=[added], request_id=f"n{n}") for n in range(9)),
    )
    assert max(len(answer.reservation.lines) for answer in answers) == 10
    assert await taken(stubs) == (10, 0)
    why = await refused(send(stubs, "Amend", added_lines=[added], request_id="n9"))
    assert why.reason == "INSUFFICIENT_STOCK"


BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("Amend", "lines", {}),
    ("Amend", "lines", {"lines": [to(1, str(n)) for n in range(201)]}),
    ("Amend", "lines[0].line_id", {"lines": [to(1, "")]}),
    ("Amend", "lines[0].quantity", {"lines": [to(-1)]}),
    ("Amend", "lines[0].quantity", {"lines": [to(2**53)]}),
    ("Amend", "lines[1].line_id", {"lines": [to(1), to(2)]}),
    ("Amend", "lines[0].location", {"lines": [to(1, location="\n")]}),
    ("Amend", "lines[0].group", {"lines": [to(1, location="DC", group="all")]}),
    ("Amend", "expected_revision", {"lines": [to(1)], "expected_revision": -1}),
    ("Amend", "added_lines[0].sku", {"added_lines": [pb.ReservationLineRequest(quantity=1)]}),
    ("Amend", "added_lines[0].quantity", {"added_lines": [pb.ReservationLineRequest(sku="LAMP")]}),
    (
        "Amend",
        "added_lines[1].line_id",
        {"added_lines": [pb.ReservationLineRequest(line_id="x", sku="LAMP", quantity=1)] * 2},
    ),
    ("Amend", "added_lines", {"added_lines": [pb.ReservationLineRequest(sku="LAMP", quantity=1)] * 200}),
    ("Rebind", "lines", {}),
    ("Rebind", "lines[1].line_id", {"lines": [pb.LineRebinding(line_id="1"), pb.LineRebinding()]}),
    ("Rebind", "lines[1].line_id", {"lines": [pb.LineRebinding(line_id="1")] * 2}),
    ("Rebind", "lines[0].group", {"lines": [pb.LineRebinding(location="DC", group="all")]}),
    ("HandOver", "to_channel", {}),
    ("HandOver", "to_channel", {"to_channel": "\t"}),
    ("HandOver", "to_customer_ref", {"to_customer_ref": "x" * 65}),
    ("HandOver", "time_to_live", {"to_channel": "till", "time_to_live": Duration(seconds=0)}),
    *(
        (verb, field, {"lines": [to(1)], field: ""} if verb == "Amend" else {field: ""})
        for verb in ("Amend", "HandOver")
        for field in ("request_id", "reservation_id", "channel")
    ),
]


@pytest.mark.parametrize(("verb", "field", "given"), BAD)
async def test_bad_input_names_its_field(stubs: Stubs, verb: str, field: str, given: dict[str, Any]) -> None:
    await held(stubs)
    why = await refused(send(stubs, verb, **given))
    assert (why.code, why.reason, why.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        [field],
    )
