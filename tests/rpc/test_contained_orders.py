"""The story of an ERP: its snapshots leave out what its orders took, and the engine knows these orders too.

10 LAMP are at DC; order o-1 of 2 is confirmed; the ERP counts 8, since for it o-1 has left

contains_order_refs    on_hand  reserved  available
nothing                8        2         6          o-1 is subtracted twice
o-1                    8        0         8          true
"""

from __future__ import annotations

import pytest

from invengine.v1 import availability_service_pb2, common_pb2, incoming_service_pb2, stock_service_pb2
from tests.rpc.engines import NETWORK, Stubs, create, refused
from tests.rpc.snapshots import MINUTE, change, move, now_ms, order, snapshot, state_of, units, violations

pytestmark = pytest.mark.asyncio


@pytest.fixture
def stubs(stubs_of_both: Stubs) -> Stubs:
    """Reservations are one record, or a head and its pieces."""
    return stubs_of_both


async def available(stubs: Stubs, sku: str = "LAMP") -> int:
    request = availability_service_pb2.GetAvailabilityRequest(sku=sku, channel="web", locations=["DC"])
    request.consistency.fully_consistent = True
    return int((await stubs.availability.GetAvailability(request)).available)


@pytest.mark.parametrize("contained", [True, False], ids=["contained", "not contained"])
@pytest.mark.parametrize("left", ["never", "before the instant", "before it arrives", "after it arrived"])
async def test_an_order_is_subtracted_once_where_the_snapshot_says_that_it_contains_it(
    stubs: Stubs, left: str, contained: bool
) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    reservation = await order(stubs, "o-1")
    if left in ("before the instant", "before it arrives"):
        await change(stubs, "Fulfil", reservation)
    as_of = now_ms() if left == "before the instant" else start - 10 * MINUTE
    answer = await snapshot(stubs, as_of, [("LAMP", 8)], contains_order_refs=["o-1"] * contained)
    if left == "after it arrived" and contained:  # what is fulfilled already cannot leave once more
        request = change(stubs, "Fulfil", reservation)
        assert (await refused(request)).reason == "RESERVATION_CLOSED"
    elif left == "after it arrived":
        await change(stubs, "Fulfil", reservation)
    is_open = left == "never" and not contained
    gone_since = 2 if left in ("before it arrives", "after it arrived") and not contained else 0
    assert await units(stubs, "LAMP") == (8 - gone_since, 2 * is_open)
    assert await available(stubs) == 8 - gone_since - 2 * is_open
    assert await state_of(stubs, reservation) == ("CONFIRMED" if is_open else "FULFILLED")
    assert answer.fulfilled == (contained and left in ("never", "after it arrived"))
    assert await violations(stubs) == []


@pytest.mark.parametrize("first", ["the older", "the newer"])
async def test_two_snapshots_in_either_order_come_to_the_same(stubs: Stubs, first: str) -> None:
    """o-1 left after the older one's instant by our records, before it by the ERP's; the newer one names no orders."""
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await change(stubs, "Fulfil", await order(stubs, "o-1"))
    await move(stubs, "LAMP", 1, start - 15 * MINUTE)

    async def older() -> None:
        await snapshot(stubs, start - 20 * MINUTE, [("LAMP", 8)], contains_order_refs=["o-1"])

    async def newer() -> None:
        await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 9)], snapshot_id="s2")

    for apply in (older, newer) if first == "the older" else (newer, older):
        await apply()
    assert await units(stubs, "LAMP") == (9, 0)  # what the newer one counted, without o-1 since the older one says so
    assert await violations(stubs) == []


async def test_it_is_right_again_and_again(stubs: Stubs) -> None:
    """Neither a repeat nor a further snapshot subtracts an order that was once contained."""
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await change(stubs, "Fulfil", await order(stubs, "o-1"))
    for n in range(3):
        await snapshot(
            stubs, start - (10 - n) * MINUTE, [("LAMP", 8)], snapshot_id=f"s{n}", contains_order_refs=["o-1"] * (n == 0)
        )
        assert await units(stubs, "LAMP") == (8, 0)
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 8)], snapshot_id="s0", contains_order_refs=["o-1"])
    assert await units(stubs, "LAMP") == (8, 0)


async def test_a_count_of_nothing_may_contain_everything(stubs: Stubs) -> None:
    """What left after the instant by our records would leave less than nothing."""
    start = now_ms()
    await move(stubs, "LAMP", 2, start - 30 * MINUTE)
    await change(stubs, "Fulfil", await order(stubs, "o-1"))
    answer = await snapshot(stubs, start - 10 * MINUTE, [], contains_order_refs=["o-1"])
    assert (answer.refused, await units(stubs, "LAMP")) == (0, (0, 0))
    assert await violations(stubs) == []


async def test_a_held_reservation_is_confirmed_by_what_left(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await stubs.receive("LAMP", 5, "LON")
    lines = [{"sku": "LAMP", "quantity": 2, "location": place} for place in ("DC", "LON")]
    request = create("held", order_ref="o-1")
    del request.lines[:]
    for line in lines:
        request.lines.add(**line)
    held = (await stubs.reservations.CreateReservation(request)).reservation.reservation_id
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 8)], contains_order_refs=["o-1"])
    assert (answer.fulfilled, await state_of(stubs, held)) == (1, "CONFIRMED")
    assert await units(stubs, "LAMP") == (8, 0)
    assert (await stubs.position("LAMP", "LON"))[:2] == (5, 2)  # elsewhere nothing left
    await change(stubs, "Fulfil", held)
    assert await state_of(stubs, held) == "FULFILLED"
    assert await violations(stubs) == []


async def test_of_several_lines_and_orders_those_of_the_location_leave(stubs: Stubs) -> None:
    start = now_ms()
    for sku in ("LAMP", "SOFA", "RUG"):
        await move(stubs, sku, 10, start - 30 * MINUTE)
    request = create("basket", order_ref="o-1")
    for sku in ("SOFA", "RUG", "LAMP"):
        request.lines.add(sku=sku, quantity=1, location="DC")
    basket = (await stubs.reservations.CreateReservation(request)).reservation.reservation_id
    await change(stubs, "Confirm", basket)
    await order(stubs, "o-2", "SOFA", 3)
    other = await order(stubs, "o-3", "SOFA", 4)
    answer = await snapshot(
        stubs,
        start - 10 * MINUTE,
        [("LAMP", 8), ("SOFA", 6), ("RUG", 9)],
        contains_order_refs=["o-1", "o-2", "nobody's"],
    )
    assert (answer.fulfilled, answer.unknown_orders, list(answer.unknown_order_refs)) == (2, 1, ["nobody's"])
    assert [await units(stubs, sku) for sku in ("LAMP", "SOFA", "RUG")] == [(8, 0), (6, 4), (9, 0)]
    assert [await state_of(stubs, name) for name in (basket, other)] == ["FULFILLED", "CONFIRMED"]
    entry = (await stubs.stock.ListMovements(stock_service_pb2.ListMovementsRequest(sku="RUG"))).entries[0]
    assert (entry.kind, entry.cause, entry.reason, entry.reference) == ("FULFIL", basket, "snapshot s1", "o-1")
    assert (entry.on_hand_before, entry.on_hand_after, entry.reserved_before, entry.reserved_after) == (9, 9, 1, 0)
    assert await violations(stubs) == []


async def test_a_partial_snapshot_fulfils_only_what_it_lists(stubs: Stubs) -> None:
    start = now_ms()
    for sku in ("LAMP", "SOFA"):
        await move(stubs, sku, 10, start - 30 * MINUTE)
    request = create("basket", order_ref="o-1")
    request.lines.add(sku="SOFA", quantity=3, location="DC")
    basket = (await stubs.reservations.CreateReservation(request)).reservation.reservation_id
    await change(stubs, "Confirm", basket)
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 9)], partial=True, contains_order_refs=["o-1"])
    assert [await units(stubs, sku) for sku in ("LAMP", "SOFA")] == [(9, 0), (10, 3)]
    assert await state_of(stubs, basket) == "CONFIRMED"


async def test_orders_leave_as_well_where_a_newer_count_is_there_already(stubs: Stubs) -> None:
    """What had left by the instant was gone at the newer count too."""
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    reservation = await order(stubs, "o-1")
    await move(stubs, "LAMP", 8, start - 5 * MINUTE, "COUNT")
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 8)], contains_order_refs=["o-1"])
    assert (answer.applied, answer.ignored, answer.fulfilled) == (0, 1, 1)
    assert (await units(stubs, "LAMP"), await state_of(stubs, reservation)) == ((8, 0), "FULFILLED")


async def test_units_that_are_not_at_the_location_stay_and_are_told(stubs: Stubs) -> None:
    """Pegged ones cannot have left: they have not arrived."""
    start = now_ms()
    await move(stubs, "LAMP", 2, start - 30 * MINUTE)
    day = {"year": 2100, "month": 1, "day": 1}
    await stubs.incoming.SetIncoming(
        incoming_service_pb2.SetIncomingRequest(
            source="erp", request_id="po", receipt_id="po-1", sku="LAMP", location="DC", quantity=9, expected_date=day
        )
    )
    waiting = await order(stubs, "o-1", quantity=5, line={"allow_backorder": True})
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 0)], contains_order_refs=["o-1"])
    assert (answer.fulfilled, len(answer.left_open)) == (1, 1)
    told = answer.left_open[0]
    assert (told.order_ref, told.reservation_id, told.sku, told.quantity) == ("o-1", waiting, "LAMP", 3)
    assert not told.HasField("refusal")
    assert (await units(stubs, "LAMP"), await state_of(stubs, waiting)) == ((0, 0), "CONFIRMED")
    assert await violations(stubs) == []


async def test_backorders_get_what_the_snapshot_makes_free(stubs: Stubs) -> None:
    """An order that is contained leaves units to those who wait."""
    start = now_ms()
    await stubs.apply_network(NETWORK + "backorders: [{sku: LAMP, units: 10}]\n", request_id="more")
    await move(stubs, "LAMP", 2, start - 30 * MINUTE)
    await order(stubs, "o-1")
    await order(stubs, "o-2", quantity=4, line={"allow_backorder": True})
    assert await units(stubs, "LAMP") == (2, 2)
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 3)], contains_order_refs=["o-1"])
    assert await units(stubs, "LAMP") == (3, 3)
    assert await violations(stubs) == []


async def test_units_that_cannot_leave_are_told(stubs: Stubs) -> None:
    """The row is refused, so on_hand stays as it was, and there is less than the order has."""
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    stuck = await order(stubs, "o-1", quantity=6)
    await move(stubs, "LAMP", -7, start - 5 * MINUTE, "ADJUSTMENT")
    answer = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 4)], contains_order_refs=["o-1"])
    assert (answer.refused, answer.fulfilled) == (1, 0)
    (told,) = answer.left_open
    reason = common_pb2.ERROR_REASON_INSUFFICIENT_STOCK
    assert (told.reservation_id, told.quantity, told.refusal.reason) == (stuck, 6, reason)
    assert await units(stubs, "LAMP") == (3, 6)
    await move(stubs, "LAMP", 7, start - 4 * MINUTE)
    again = await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 4)], contains_order_refs=["o-1"])
    assert (again.applied, again.fulfilled, len(again.left_open)) == (1, 1, 0)
    assert await units(stubs, "LAMP") == (4, 0)


async def test_a_ring_fence_is_left_as_it_is(stubs: Stubs) -> None:
    start = now_ms()
    await move(stubs, "LAMP", 10, start - 30 * MINUTE)
    await move(stubs, "LAMP", 4, start - 20 * MINUTE, "RING_FENCE", channel="web")
    await order(stubs, "o-1")
    await snapshot(stubs, start - 10 * MINUTE, [("LAMP", 8)], contains_order_refs=["o-1"])
    position = (await stubs.stock.GetPosition(stock_service_pb2.GetPositionRequest(sku="LAMP", location="DC"))).position
    assert (position.on_hand, position.reserved, [f.quantity for f in position.ring_fences]) == (8, 0, [2])
    assert await violations(stubs) == []
