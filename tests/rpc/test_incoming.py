"""What is expected, and promises that rest on it, through a real server and a real Redis."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.v1 import (
    admin_service_pb2,
    availability_service_pb2,
    common_pb2,
    incoming_service_pb2,
    promise_service_pb2,
)
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import NETWORK, Stubs, create, refused
from tests.rpc.expected import FRESH, Schedule, as_day, broken_promises, in_days, rests_now, rests_on

pytestmark = pytest.mark.asyncio

SLIPPED, SHORTENED, CANCELLED = 1, 2, 3
BACKORDERS = "backorders:\n  - {sku: LAMP, units: 3}\n"
WAITS: dict[str, Any] = {"allow_backorder": True}


@pytest_asyncio.fixture
async def lamps(stubs: Stubs) -> Schedule:
    """2 LAMP on hand at DC, of which 3 may be backordered at each location."""
    await stubs.apply_network(NETWORK + BACKORDERS, "with backorders")
    await stubs.receive("LAMP", 2)
    return Schedule(stubs)


async def reserve(stubs: Stubs, name: str, quantity: int, **line: Any) -> pb.Reservation:
    request = create(name, quantity=quantity, reservation_id=name, line=line)
    return (await stubs.reservations.CreateReservation(request)).reservation


async def add_up(stubs: Stubs) -> int:
    answer = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
    return answer.violations_count


async def test_units_come_from_the_shelf_then_receipts_then_backorders_and_arrive_with_whom_they_were_promised(
    stubs: Stubs, lamps: Schedule
) -> None:
    """The example of docs/concepts.md."""
    await lamps.set("po-1", 4, 5)
    first = await reserve(stubs, "A", 5, **WAITS)
    assert rests_on(first.lines[0]) == [("DC", 2), ("po-1", 3)]
    assert as_day(first.lines[0].allocations[1].due_date) == as_day(in_days(5))
    second = await reserve(stubs, "B", 3, **WAITS)
    assert rests_on(second.lines[0]) == [("po-1", 1), ("backorder", 2)]
    assert (second.lines[0].allow_backorder, second.lines[0].short_quantity) == (True, 0)
    assert await lamps.numbers() == (2, 2, 2)
    received = await lamps.receive("po-1", 4)
    assert (received.on_hand, received.reserved, received.HasField("receipt")) == (6, 6, False)
    assert list(received.broken_promises) == []
    assert await rests_now(stubs, "A") == [("DC", 5)]
    assert sorted(await rests_now(stubs, "B")) == [("DC", 1), ("backorder", 2)]
    await stubs.receive("LAMP", 5, event_id="more")
    assert await lamps.numbers() == (11, 8, 0)
    assert await rests_now(stubs, "B") == [("DC", 3)]
    assert await add_up(stubs) == 0


async def test_broken_promises_are_answered_listed_and_mended(stubs: Stubs, lamps: Schedule) -> None:
    """The second example of docs/concepts.md."""
    await lamps.set("po-1", 4, 5)
    await reserve(stubs, "shelf", 2)
    await reserve(stubs, "A", 3, **WAITS)
    await reserve(stubs, "B", 1, **WAITS)
    slipped = await lamps.slip("po-1", 13)
    assert as_day(slipped.receipt.expected_date) == as_day(in_days(13))
    assert {(b.reservation_id, b.quantity, b.reason) for b in slipped.broken_promises} == {
        ("A", 3, SLIPPED),
        ("B", 1, SLIPPED),
    }
    listed = await broken_promises(stubs)
    assert {b.reservation_id for b in listed} == {"A", "B"}
    for broken in listed:
        assert (broken.sku, broken.location, broken.line_id, broken.receipt_id) == ("LAMP", "DC", "1", "po-1")
        assert (as_day(broken.due_date), as_day(broken.expected_date)) == (as_day(in_days(5)), as_day(in_days(13)))
        assert broken.break_time.seconds > 0
    assert await rests_now(stubs, "A") == [("po-1", 3)]
    shortened = await lamps.set("po-1", 3, 5)
    assert (shortened.receipt.quantity, shortened.receipt.pegged) == (3, 3)
    assert [(b.reservation_id, b.reason) for b in shortened.broken_promises] == [("B", SHORTENED)]
    assert [(b.reservation_id, b.reason) for b in await broken_promises(stubs)] == [("B", SHORTENED)]
    assert await rests_now(stubs, "B") == [("backorder", 1)]
    await stubs.receive("LAMP", 1, event_id="one more")
    assert await rests_now(stubs, "B") == [("DC", 1)]
    assert await broken_promises(stubs) == []
    assert await add_up(stubs) == 0


async def test_a_cancelled_receipt_turns_its_promises_into_backorders(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 9, 5)
    await reserve(stubs, "A", 8, **WAITS)
    cancelled = await lamps.cancel("po-1")
    assert [(b.reservation_id, b.quantity, b.reason) for b in cancelled.broken_promises] == [("A", 6, CANCELLED)]
    assert await lamps.numbers() == (2, 2, 6)  # more than may be backordered: it was promised
    assert (await refused(lamps.cancel("po-1"))).reason == "RECEIPT_NOT_FOUND"
    release = pb.ReleaseReservationRequest(request_id="back", reservation_id="A", channel="web")
    await stubs.reservations.ReleaseReservation(release)
    assert await lamps.numbers() == (2, 0, 0)
    assert await broken_promises(stubs) == []


async def test_a_receipt_arrives_in_parts_and_closes_short(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 6, 5)
    await reserve(stubs, "A", 7, **WAITS)
    part = await lamps.receive("po-1", 2)
    assert (part.receipt.quantity, part.receipt.pegged, part.on_hand, part.reserved) == (4, 3, 4, 4)
    last = await lamps.receive("po-1", 1, closes=True)
    assert (last.HasField("receipt"), last.on_hand, last.reserved) == (False, 5, 5)
    assert [(b.reservation_id, b.quantity) for b in last.broken_promises] == [("A", 2)]
    assert await rests_now(stubs, "A") == [("DC", 5), ("backorder", 2)]
    assert await add_up(stubs) == 0


async def test_more_than_expected_may_arrive(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 1, 5)
    assert (await lamps.receive("po-1", 6)).on_hand == 8
    assert await lamps.numbers() == (8, 0, 0)


async def test_needed_by_takes_receipts_in_time_alone_and_no_backorder(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-late", 9, 20)
    await lamps.set("po-soon", 3, 5)
    needed = WAITS | {"needed_by": in_days(10)}
    why = await refused(reserve(stubs, "A", 6, **needed))
    (short,) = why.refusal.short_lines
    assert (why.reason, short.wanted, short.available) == ("INSUFFICIENT_STOCK", 6, 5)
    assert as_day(short.next_date) == as_day(in_days(20))
    line = (await reserve(stubs, "B", 5, **needed)).lines[0]
    assert rests_on(line) == [("DC", 2), ("po-soon", 3)]
    assert as_day(line.needed_by) == as_day(in_days(10))
    assert as_day(line.allocations[1].due_date) == as_day(in_days(10))


async def test_a_line_that_does_not_wait_is_told_when_it_could_be_had(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 4, 5)
    await lamps.set("po-2", 4, 9)
    for wanted, day in ((5, 5), (7, 9)):
        why = await refused(reserve(stubs, "A", wanted))
        (short,) = why.refusal.short_lines
        assert (short.available, as_day(short.next_date)) == (2, as_day(in_days(day)))
        assert why.metadata["next_date"] == str(as_day(in_days(day)))
    (short,) = (await refused(reserve(stubs, "A", 11))).refusal.short_lines
    assert not short.HasField("next_date")
    best = create("best", quantity=5, policy=pb.CreateReservationRequest.POLICY_BEST_EFFORT)
    (line,) = (await stubs.reservations.CreateReservation(best)).reservation.lines
    assert (line.short_quantity, as_day(line.next_date)) == (3, as_day(in_days(5)))
    again = await stubs.reservations.CreateReservation(best)
    assert again.replayed
    assert not again.reservation.lines[0].HasField("next_date")
    outcomes = await stubs.reservations.BatchCreateReservations(
        pb.BatchCreateReservationsRequest(requests=[create("batch", quantity=3)])
    )
    (short,) = outcomes.outcomes[0].refusal.short_lines
    assert as_day(short.next_date) == as_day(in_days(5))


async def test_an_amendment_waits_only_where_it_says_so(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 4, 5)
    await reserve(stubs, "A", 2, **WAITS)
    whole: dict[str, Any] = {"reservation_id": "A", "channel": "web"}

    def more(request_id: str, **line: Any) -> pb.AmendReservationRequest:
        lines = [pb.LineAmendment(line_id="1", quantity=5, **line)]
        return pb.AmendReservationRequest(request_id=request_id, lines=lines, **whole)

    why = await refused(stubs.reservations.AmendReservation(more("now")))
    (short,) = why.refusal.short_lines
    assert (why.reason, as_day(short.next_date)) == ("INSUFFICIENT_STOCK", as_day(in_days(5)))
    amended = await stubs.reservations.AmendReservation(more("later", **WAITS))
    assert rests_on(amended.reservation.lines[0]) == [("DC", 2), ("po-1", 3)]


async def test_a_rebinding_waits_only_where_it_says_so(stubs: Stubs, lamps: Schedule) -> None:
    await reserve(stubs, "A", 2)
    await Schedule(stubs, location="LON").set("po-lon", 2, 5)
    whole: dict[str, Any] = {"reservation_id": "A", "channel": "web"}

    def move(request_id: str, **line: Any) -> pb.RebindReservationRequest:
        lines = [pb.LineRebinding(line_id="1", location="LON", **line)]
        return pb.RebindReservationRequest(request_id=request_id, lines=lines, **whole)

    assert (await refused(stubs.reservations.RebindReservation(move("now")))).reason == "INSUFFICIENT_STOCK"
    moved = await stubs.reservations.RebindReservation(move("later", **WAITS))
    assert rests_on(moved.reservation.lines[0]) == [("po-lon", 2)]
    assert await lamps.numbers() == (2, 0, 0)


async def test_what_has_not_arrived_cannot_be_fulfilled(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-1", 4, 5)
    await reserve(stubs, "A", 3, **WAITS)
    whole = {"reservation_id": "A", "channel": "web"}
    await stubs.reservations.ConfirmReservation(pb.ConfirmReservationRequest(request_id="c", **whole))
    everything = pb.FulfilReservationRequest(request_id="f", **whole)
    assert (await refused(stubs.reservations.FulfilReservation(everything))).reason == "INSUFFICIENT_STOCK"
    await lamps.receive("po-1", 4)
    done = await stubs.reservations.FulfilReservation(everything)
    assert done.reservation.state == pb.Reservation.STATE_FULFILLED
    assert await lamps.numbers() == (3, 0, 0)


async def test_the_same_change_sent_again_changes_nothing(stubs: Stubs, lamps: Schedule) -> None:
    first = await lamps.set("po-1", 4, 5, request_id="same")
    again = await lamps.set("po-1", 4, 5, request_id="same")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.receipt == first.receipt
    await lamps.receive("po-1", 1, request_id="arrived")
    assert (await lamps.receive("po-1", 1, request_id="arrived")).replayed
    assert await lamps.numbers() == (3, 0, 0)


async def test_compare_and_set(stubs: Stubs, lamps: Schedule) -> None:
    made = await lamps.set("po-1", 4, 5, expected_revision=0)
    why = await refused(lamps.set("po-1", 9, 5, expected_revision=0))
    assert (why.code, why.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    for change in (
        lamps.slip("po-1", 6, expected_revision=made.receipt.revision + 1),
        lamps.cancel("po-1", expected_revision=0),
    ):
        assert (await refused(change)).reason == "REVISION_MISMATCH"
    slipped = await lamps.slip("po-1", 6, expected_revision=made.receipt.revision)
    assert slipped.receipt.revision > made.receipt.revision


async def test_what_is_not_there_is_not_found(stubs: Stubs, lamps: Schedule) -> None:
    for change in (lamps.slip("po-x", 5), lamps.cancel("po-x"), lamps.receive("po-x", 1)):
        why = await refused(change)
        assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, "RECEIPT_NOT_FOUND")
        assert why.metadata == {"receipt_id": "po-x", "sku": "LAMP", "location": "DC"}
    nowhere = Schedule(stubs, location="NOWHERE")
    assert (await refused(nowhere.set("po", 1, 5))).reason == "UNKNOWN_LOCATION"
    assert (await refused(nowhere.receive("po", 1))).reason == "UNKNOWN_LOCATION"
    assert (await refused(nowhere.cancel("po"))).reason == "RECEIPT_NOT_FOUND"


async def test_receipts_are_listed_by_day_in_pages(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-b", 1, 9)
    await lamps.set("po-a", 2, 9)
    await lamps.set("po-old", 3, -4)
    await Schedule(stubs, location="LON").set("po-a", 4, 2)
    await Schedule(stubs, sku="SOFA").set("po-a", 5, 9)

    async def listed(**which: Any) -> list[tuple[str, str, str, int]]:
        found: list[tuple[str, str, str, int]] = []
        token = ""
        while True:
            request = incoming_service_pb2.ListIncomingRequest(page_token=token, consistency=FRESH, **which)
            answer = await stubs.incoming.ListIncoming(request)
            assert answer.consistency_token
            found += [(r.receipt_id, r.sku, r.location, r.quantity) for r in answer.receipts]
            token = answer.next_page_token
            if not token:
                return found

    everything = [
        ("po-old", "LAMP", "DC", 3),
        ("po-a", "LAMP", "LON", 4),
        ("po-a", "LAMP", "DC", 2),
        ("po-b", "LAMP", "DC", 1),
        ("po-a", "SOFA", "DC", 5),
    ]
    assert await listed() == everything
    assert await listed(page_size=2) == everything
    assert await listed(sku="LAMP", page_size=1) == everything[:4]
    assert await listed(location="LON") == everything[1:2]
    assert await listed(receipt_id="po-a") == [everything[1], everything[2], everything[4]]
    assert await listed(overdue_only=True) == everything[:1]
    assert await listed(sku="nothing") == []
    token = (await stubs.incoming.ListIncoming(incoming_service_pb2.ListIncomingRequest(page_size=2))).next_page_token
    other = incoming_service_pb2.ListIncomingRequest(page_size=2, sku="LAMP", page_token=token)
    assert (await refused(stubs.incoming.ListIncoming(other))).fields == ["page_token"]


async def test_an_overdue_receipt_counts_as_tomorrow_and_says_that_it_is_overdue(stubs: Stubs, lamps: Schedule) -> None:
    made = await lamps.set("po-old", 4, -3)
    assert made.receipt.overdue
    assert as_day(made.receipt.expected_date) == as_day(in_days(-3))
    line = (await reserve(stubs, "A", 3, **WAITS)).lines[0]
    assert rests_on(line) == [("DC", 2), ("po-old", 1)]
    assert not (await lamps.set("po-new", 1, 2)).receipt.overdue


async def test_a_position_and_availability_show_what_is_expected(stubs: Stubs, lamps: Schedule) -> None:
    await lamps.set("po-2", 4, 9)
    await lamps.set("po-1", 3, 5)
    await reserve(stubs, "A", 3, **WAITS)
    position = await lamps.position()
    assert [(r.receipt_id, r.quantity, r.pegged) for r in position.incoming] == [("po-1", 3, 1), ("po-2", 4, 0)]
    request = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web", consistency=FRESH)
    answer = await stubs.availability.GetAvailability(request)
    assert (answer.next_receipt.quantity, as_day(answer.next_receipt.date)) == (2, as_day(in_days(5)))


async def test_a_caller_reads_its_own_change(stubs: Stubs, lamps: Schedule) -> None:
    """The replica has it when it is answered, and other servers wait for its token."""
    made = await lamps.set("po-1", 4, 5)
    for consistency in (None, common_pb2.Consistency(at_least_as_fresh=made.consistency_token)):
        request = incoming_service_pb2.ListIncomingRequest(sku="LAMP", consistency=consistency)
        answer = await stubs.incoming.ListIncoming(request)
        assert [r.receipt_id for r in answer.receipts] == ["po-1"]


async def test_broken_promises_are_filtered_and_paged(stubs: Stubs, lamps: Schedule) -> None:
    await reserve(stubs, "shelf", 2)
    for sku in ("LAMP", "SOFA"):
        for location in ("DC", "LON"):
            there = Schedule(stubs, sku, location)
            await there.set("po", 2, 5)
            for number in range(2):
                name = f"{sku} {location} {number}"
                line = {"sku": sku, "quantity": 1, "location": location} | WAITS
                request = pb.CreateReservationRequest(request_id=name, reservation_id=name, channel="web", lines=[line])
                await stubs.reservations.CreateReservation(request)
            await there.cancel("po")
    assert len(await broken_promises(stubs)) == 8
    assert {b.sku for b in await broken_promises(stubs, sku="SOFA")} == {"SOFA"}
    assert len(await broken_promises(stubs, sku="SOFA", location="LON")) == 2
    assert len(await broken_promises(stubs, receipt_id="po")) == 8
    assert await broken_promises(stubs, receipt_id="other") == []
    found, token = [], ""
    for _ in range(20):
        request = promise_service_pb2.ListBrokenPromisesRequest(page_size=3, page_token=token)
        answer = await stubs.promises.ListBrokenPromises(request)
        assert len(answer.broken_promises) <= 3
        assert answer.consistency_token
        found += [b.reservation_id for b in answer.broken_promises]
        token = answer.next_page_token
        if not token:
            break
    assert sorted(found) == sorted({b.reservation_id for b in await broken_promises(stubs)})


STOPPING = """\
locations:
  DC: {kind: warehouse}
  LON: {kind: store, fulfilments: [ship, pickup], incoming: {overdue: slip}}
incoming: {overdue: stop}
groups: {all: [DC, LON]}
channels: {web: {groups: [all]}}
"""


async def test_an_overdue_receipt_stops_counting_where_the_network_says_so(stubs: Stubs, lamps: Schedule) -> None:
    """It is not offered and no date any more; it is listed, and what was promised from it stays promised."""
    await lamps.set("po-late", 5, 1)
    line = {"location": "DC", "allow_backorder": True}
    await stubs.reservations.CreateReservation(create("early", quantity=4, line=line, reservation_id="early"))
    await lamps.slip("po-late", -1)
    slipped = (await lamps.set("po-b", 4, 5)).receipt
    assert slipped.effective_date == slipped.expected_date
    asked = availability_service_pb2.GetAvailabilityRequest(
        sku="LAMP", channel="web", locations=["DC"], consistency=FRESH
    )
    answer = await stubs.availability.GetAvailability(asked)
    assert (as_day(answer.next_receipt.date), answer.next_receipt.quantity) == (as_day(in_days(1)), 3)
    await stubs.apply_network(STOPPING, "stopping")
    answer = await stubs.availability.GetAvailability(asked)
    assert (as_day(answer.next_receipt.date), answer.next_receipt.quantity) == (as_day(in_days(5)), 4)
    short = await refused(stubs.reservations.CreateReservation(create("short", quantity=3, line={"location": "DC"})))
    assert as_day(short.refusal.short_lines[0].next_date) == as_day(in_days(5))
    late = create("late", quantity=5, line=line, reservation_id="late")
    assert (await refused(stubs.reservations.CreateReservation(late))).reason == "INSUFFICIENT_STOCK"
    listed = await stubs.incoming.ListIncoming(incoming_service_pb2.ListIncomingRequest(overdue_only=True))
    (receipt,) = listed.receipts
    assert (receipt.receipt_id, receipt.overdue, receipt.pegged) == ("po-late", True, 2)
    assert not receipt.HasField("effective_date")
    await lamps.receive("po-late", 5)
    found = await stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id="early", channel="web"))
    assert [(a.receipt_id, a.quantity) for a in found.reservation.lines[0].allocations] == [("", 4)]
