"""ReservationService over a real server and a real Redis: what each method does, and how it refuses."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from invengine.v1 import common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, create, engine, refused

pytestmark = pytest.mark.asyncio

HELD, CONFIRMED, FULFILLED, RELEASED = 1, 2, 3, 4


def change(kind: type, request_id: str, reservation_id: str, **more: object) -> object:
    return kind(request_id=request_id, reservation_id=reservation_id, channel="web", **more)


async def held(stubs: Stubs, quantity: int = 4, **more: object) -> pb.Reservation:
    """A reservation of LAMP, of which 10 are at DC."""
    await stubs.receive("LAMP", 10)
    return (await stubs.reservations.CreateReservation(create("made", quantity=quantity, **more))).reservation


ONE = pb.LineUnits(line_id="1", quantity=1)


async def test_a_reservation_is_made_whole_and_read_back(stubs: Stubs) -> None:
    made = await held(stubs, reservation_id="cart 7", customer_ref="ann", time_to_live=Duration(seconds=60, nanos=1))
    assert made.reservation_id == "cart 7"
    assert made.state == HELD
    assert made.expire_time.seconds - made.create_time.seconds in (61, 62)
    (line,) = made.lines
    assert (line.line_id, line.sku, line.quantity, line.short_quantity) == ("1", "LAMP", 4, 0)
    assert [(taken.location, taken.quantity) for taken in line.allocations] == [("DC", 4)]
    found = await stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id="cart 7", channel="web"))
    assert found.reservation == made
    assert (await stubs.position("LAMP"))[:2] == (10, 4)


async def test_a_read_after_the_answer_sees_the_write(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 20)
    for n in range(20):
        await stubs.reservations.CreateReservation(create(f"r{n}"))
        assert (await stubs.position("LAMP"))[:2] == (20, n + 1)


async def test_the_same_request_again_answers_the_same(stubs: Stubs) -> None:
    made = await held(stubs)
    again = await stubs.reservations.CreateReservation(create("made", quantity=4))
    assert again.replayed
    assert again.reservation == made
    assert (await stubs.position("LAMP"))[1] == 4


async def test_the_same_request_id_with_other_content_is_refused(stubs: Stubs) -> None:
    await held(stubs)
    why = await refused(stubs.reservations.CreateReservation(create("made", quantity=5)))
    assert (why.code, why.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISMATCH")
    assert why.metadata == {"request_id": "made"}


async def test_a_repeat_is_answered_even_where_the_network_would_refuse_it_now(stubs: Stubs) -> None:
    made = await held(stubs, line={"location": "DC"})
    await stubs.apply_network(
        "locations: {DC: {enabled: false}, LON: {kind: store}}\n"
        "groups: {all: [DC, LON]}\nchannels: {web: {groups: [all]}}"
    )
    again = await stubs.reservations.CreateReservation(create("made", quantity=4, line={"location": "DC"}))
    assert again.replayed
    assert again.reservation == made
    why = await refused(stubs.reservations.CreateReservation(create("new", quantity=1, line={"location": "DC"})))
    assert why.reason == "LOCATION_NOT_USABLE"
    why = await refused(stubs.reservations.CreateReservation(create("made", quantity=3, line={"location": "DC"})))
    assert why.reason == "REQUEST_MISMATCH"


async def test_too_few_units_are_refused_with_the_true_numbers(stubs: Stubs) -> None:
    await held(stubs, quantity=4)
    why = await refused(stubs.reservations.CreateReservation(create("more", quantity=7)))
    assert (why.code, why.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_STOCK")
    assert (why.metadata["wanted"], why.metadata["available"], why.metadata["sku"]) == ("7", "6", "LAMP")
    (short,) = why.refusal.short_lines
    assert (short.line_id, short.wanted, short.available) == ("1", 7, 6)
    assert (await stubs.position("LAMP"))[1] == 4


async def test_best_effort_takes_what_there_is(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 3)
    request = create("best", quantity=5, policy=pb.CreateReservationRequest.POLICY_BEST_EFFORT)
    (line,) = (await stubs.reservations.CreateReservation(request)).reservation.lines
    assert (line.quantity, line.short_quantity) == (5, 2)


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (create("r", sku="NOBODY"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_SKU"),
        (create("r", channel="none"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_CHANNEL"),
        (create("r", line={"location": "X"}), grpc.StatusCode.NOT_FOUND, "UNKNOWN_LOCATION"),
        (create("r", line={"group": "X"}), grpc.StatusCode.NOT_FOUND, "UNKNOWN_GROUP"),
        (create("r", line={"group": "abroad"}), grpc.StatusCode.FAILED_PRECONDITION, "GROUP_NOT_USABLE"),
        (create("r", line={"location": "ABROAD"}), grpc.StatusCode.FAILED_PRECONDITION, "LOCATION_NOT_USABLE"),
        (create("r", line={"location": "OLD"}), grpc.StatusCode.FAILED_PRECONDITION, "LOCATION_NOT_USABLE"),
        (
            create("r", line={"location": "DC", "fulfilment": common_pb2.FULFILMENT_PICKUP}),
            grpc.StatusCode.FAILED_PRECONDITION,
            "LOCATION_NOT_USABLE",
        ),
        (
            create(
                "r",
                line={
                    "fulfilment": common_pb2.FULFILMENT_SHIP_TO_STORE,
                    "destination": common_pb2.Destination(location="DC"),
                },
            ),
            grpc.StatusCode.FAILED_PRECONDITION,
            "LOCATION_NOT_USABLE",
        ),
        (create("r", channel="closed"), grpc.StatusCode.FAILED_PRECONDITION, "CHANNEL_DISABLED"),
        (
            create("r", time_to_live=Duration(seconds=7201)),
            grpc.StatusCode.FAILED_PRECONDITION,
            "TIME_TO_LIVE_TOO_LONG",
        ),
    ],
)
async def test_what_state_and_network_do_not_allow_is_refused(
    stubs: Stubs, request_: pb.CreateReservationRequest, code: grpc.StatusCode, reason: str
) -> None:
    await stubs.receive("LAMP", 10)
    why = await refused(stubs.reservations.CreateReservation(request_))
    assert (why.code, why.reason) == (code, reason)
    assert (await stubs.position("LAMP"))[:2] == (10, 0)


async def test_an_id_that_is_taken_is_refused(stubs: Stubs) -> None:
    await held(stubs, reservation_id="mine")
    why = await refused(stubs.reservations.CreateReservation(create("other", reservation_id="mine")))
    assert (why.code, why.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RESERVATION_EXISTS")


async def test_without_a_network_nothing_is_taken(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        why = await refused(stubs.reservations.CreateReservation(create("r")))
        assert (why.code, why.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NETWORK_MISSING")


async def test_a_batch_answers_each_request_in_order(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 10)
    bad = create("bad", quantity=0)
    response = await stubs.reservations.BatchCreateReservations(
        pb.BatchCreateReservationsRequest(
            requests=[
                create("a", quantity=6),
                bad,
                create("b", quantity=6),
                create("nowhere", line={"location": "OLD"}),
                create("a", quantity=6),
                create("c", quantity=4),
            ]
        )
    )
    told = [
        common_pb2.ErrorReason.Name(outcome.refusal.reason).removeprefix("ERROR_REASON_")
        if outcome.HasField("refusal")
        else ("replayed" if outcome.replayed else "made")
        for outcome in response.outcomes
    ]
    assert told == ["made", "INVALID_ARGUMENT", "INSUFFICIENT_STOCK", "LOCATION_NOT_USABLE", "replayed", "made"]
    assert response.outcomes[1].refusal.metadata["field"] == "requests[1].lines[0].quantity"
    assert response.outcomes[4].reservation == response.outcomes[0].reservation
    assert (await stubs.position("LAMP"))[:2] == (10, 10)


async def test_a_large_batch_is_made_whole(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 1000)
    requests = [create(f"r{n}") for n in range(1000)]
    response = await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=requests))
    assert len({outcome.reservation.reservation_id for outcome in response.outcomes}) == 1000
    assert (await stubs.position("LAMP"))[:2] == (1000, 1000)


async def test_confirm_fulfil_and_the_states_between(stubs: Stubs) -> None:
    made = await held(stubs)
    why = await refused(
        stubs.reservations.FulfilReservation(change(pb.FulfilReservationRequest, "early", made.reservation_id))
    )
    assert why.reason == "RESERVATION_NOT_CONFIRMED"
    confirm = change(pb.ConfirmReservationRequest, "confirm", made.reservation_id, order_ref="O1")
    confirmed = await stubs.reservations.ConfirmReservation(confirm)
    assert confirmed.reservation.state == CONFIRMED
    assert not confirmed.reservation.HasField("expire_time")
    assert (await stubs.reservations.ConfirmReservation(confirm)).replayed
    why = await refused(
        stubs.reservations.ConfirmReservation(change(pb.ConfirmReservationRequest, "twice", made.reservation_id))
    )
    assert why.reason == "RESERVATION_CONFIRMED"
    part = change(
        pb.FulfilReservationRequest, "part", made.reservation_id, lines=[pb.LineUnits(line_id="1", quantity=3)]
    )
    partly = await stubs.reservations.FulfilReservation(part)
    assert partly.reservation.state == CONFIRMED
    assert partly.reservation.lines[0].allocations[0].fulfilled == 3
    assert (await stubs.position("LAMP"))[:2] == (7, 1)
    done = await stubs.reservations.FulfilReservation(change(pb.FulfilReservationRequest, "rest", made.reservation_id))
    assert done.reservation.state == FULFILLED
    assert (await stubs.position("LAMP"))[:2] == (6, 0)
    why = await refused(
        stubs.reservations.ReleaseReservation(change(pb.ReleaseReservationRequest, "late", made.reservation_id))
    )
    assert (why.reason, why.metadata["state"]) == ("RESERVATION_CLOSED", "FULFILLED")


async def test_release_gives_units_back(stubs: Stubs) -> None:
    made = await held(stubs)
    why = await refused(
        stubs.reservations.ReleaseReservation(
            change(
                pb.ReleaseReservationRequest, "much", made.reservation_id, lines=[pb.LineUnits(line_id="1", quantity=5)]
            )
        )
    )
    assert (why.reason, why.metadata["open"]) == ("QUANTITY_EXCEEDS_OPEN", "4")
    why = await refused(
        stubs.reservations.ReleaseReservation(
            change(pb.ReleaseReservationRequest, "line", made.reservation_id, lines=[pb.LineUnits(line_id="9")])
        )
    )
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "LINE_NOT_FOUND")
    released = await stubs.reservations.ReleaseReservation(
        change(pb.ReleaseReservationRequest, "all", made.reservation_id)
    )
    assert released.reservation.state == RELEASED
    assert (await stubs.position("LAMP"))[:2] == (10, 0)


async def test_extend_counts_from_now(stubs: Stubs) -> None:
    made = await held(stubs, time_to_live=Duration(seconds=10))
    longer = await stubs.reservations.ExtendReservation(
        change(pb.ExtendReservationRequest, "longer", made.reservation_id, time_to_live=Duration(seconds=3600))
    )
    assert longer.reservation.expire_time.seconds - made.create_time.seconds >= 3600
    why = await refused(
        stubs.reservations.ExtendReservation(
            change(pb.ExtendReservationRequest, "much", made.reservation_id, time_to_live=Duration(seconds=7201))
        )
    )
    assert (why.reason, why.metadata["seconds_max"]) == ("TIME_TO_LIVE_TOO_LONG", "7200")


async def test_a_stale_revision_is_refused(stubs: Stubs) -> None:
    made = await held(stubs)
    why = await refused(
        stubs.reservations.ConfirmReservation(
            change(pb.ConfirmReservationRequest, "c", made.reservation_id, expected_revision=made.revision + 1)
        )
    )
    assert (why.code, why.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    confirmed = await stubs.reservations.ConfirmReservation(
        change(pb.ConfirmReservationRequest, "c", made.reservation_id, expected_revision=made.revision)
    )
    assert confirmed.reservation.revision > made.revision


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("ConfirmReservation", pb.ConfirmReservationRequest),
        ("ExtendReservation", pb.ExtendReservationRequest),
        ("ReleaseReservation", pb.ReleaseReservationRequest),
        ("FulfilReservation", pb.FulfilReservationRequest),
    ],
)
async def test_an_unknown_reservation_or_channel_is_refused(stubs: Stubs, method: str, kind: type) -> None:
    call = getattr(stubs.reservations, method)
    why = await refused(call(change(kind, "r", "nobody")))
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND")
    why = await refused(call(kind(request_id="r", reservation_id="nobody", channel="none")))
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CHANNEL")


async def test_get_of_an_unknown_reservation_is_refused(stubs: Stubs) -> None:
    why = await refused(
        stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id="nobody", channel="web"))
    )
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND")


async def test_a_channel_that_is_switched_off_may_finish_what_it_has(stubs: Stubs) -> None:
    made = await held(stubs)
    for request_id, method, kind in (
        ("c", stubs.reservations.ConfirmReservation, pb.ConfirmReservationRequest),
        ("f", stubs.reservations.FulfilReservation, pb.FulfilReservationRequest),
    ):
        await method(kind(request_id=request_id, reservation_id=made.reservation_id, channel="closed"))
    other = (await stubs.reservations.CreateReservation(create("other"))).reservation
    extend = pb.ExtendReservationRequest(request_id="e", reservation_id=other.reservation_id, channel="closed")
    assert (await refused(stubs.reservations.ExtendReservation(extend))).reason == "CHANNEL_DISABLED"


async def test_lists_are_paged_and_bound_to_their_filter(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 100)
    requests = [create(f"r{n}", customer_ref="ann" if n % 2 else "bob") for n in range(30)]
    await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=requests))
    found: list[str] = []
    page = pb.ListReservationsRequest(customer_ref="ann", page_size=4)
    while True:
        response = await stubs.reservations.ListReservations(page)
        assert len(response.reservations) <= 4
        assert {reservation.customer_ref for reservation in response.reservations} <= {"ann"}
        found += [reservation.reservation_id for reservation in response.reservations]
        if not response.next_page_token:
            break
        page.page_token = response.next_page_token
    assert len(found) == len(set(found)) == 15
    first = await stubs.reservations.ListReservations(pb.ListReservationsRequest(customer_ref="ann", page_size=4))
    for other in (
        pb.ListReservationsRequest(customer_ref="bob", page_token=first.next_page_token),
        pb.ListReservationsRequest(customer_ref="ann", state=1, page_token=first.next_page_token),
        pb.ListReservationsRequest(customer_ref="ann", page_token="x" + first.next_page_token),
        pb.ListReservationsRequest(customer_ref="ann", page_token="ü"),
    ):
        why = await refused(stubs.reservations.ListReservations(other))
        assert why.fields == ["page_token"]


async def test_a_repeated_change_is_answered_even_after_its_channel_is_gone(stubs: Stubs) -> None:
    """The first answer is a promise; the network in force judges new requests only."""
    await stubs.receive("LAMP", 10)
    await stubs.reservations.CreateReservation(create("r", reservation_id="A", quantity=4))
    head = {"reservation_id": "A", "channel": "web"}
    steps = [
        (stubs.reservations.ExtendReservation, pb.ExtendReservationRequest(request_id="e", **head)),
        (stubs.reservations.ConfirmReservation, pb.ConfirmReservationRequest(request_id="c", **head)),
        (stubs.reservations.ReleaseReservation, pb.ReleaseReservationRequest(request_id="l", **head, lines=[ONE])),
        (stubs.reservations.FulfilReservation, pb.FulfilReservationRequest(request_id="f", **head, lines=[ONE])),
    ]
    first = [(await call(request)).reservation for call, request in steps]
    await stubs.apply_network("locations: {DC: {}}\ngroups: {all: [DC]}\nchannels: {app: {groups: [all]}}", "no web")
    again = [await call(request) for call, request in steps]
    assert [answer.reservation for answer in again] == first
    assert all(answer.replayed for answer in again)
    for call, request in steps:
        request.request_id += "-new"
        assert (await refused(call(request))).reason == "UNKNOWN_CHANNEL"
    assert (await stubs.position("LAMP"))[:2] == (9, 2)
