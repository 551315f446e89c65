"""Transfers, rule by rule: set aside at the source, on the way to the destination, arrived, lost, cancelled.

Every rule holds on a store that does all in one step, and on one whose calls see a partition each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from invengine import errors
from invengine.domain.incoming import BrokenReason
from invengine.domain.orders import (
    Candidate,
    Fulfilment,
    Future,
    LinePlacement,
    LineUnits,
    Reservation,
    ReservationState,
)
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.services.replay import Replay
from invengine.store.redis_store import Atomicity
from tests.store.making import change, incoming, line, movement, request, transfer
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio

SKUS = ("LAMP", "SOFA", "BED")
"""In three partitions of four."""


@pytest_asyncio.fixture(params=[Atomicity.WHOLE, Atomicity.PARTITION], ids=["whole", "pieces"])
async def world(open_world: Callable[..., Any], request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A store with 10 units of each SKU at AMS1. Whatever a test does, its log must come to what is stored."""
    world = await open_world(atomicity=request.param)
    assert len({partition_of(sku, 4) for sku in SKUS}) == len(SKUS)
    await world.store.post_movements([movement("RECEIPT", 10, world.clock.now_ms, sku=sku) for sku in SKUS])
    yield world
    faults: list[str] = []

    def report(invariant: str, place: tuple[str, str], what: str, expected: int = 0, actual: int = 0, /) -> None:
        faults.append(what)

    await Replay(world.store, report).run()
    for partition in range(4):
        faults += await world.store.torn_reservations(partition)
    assert faults == []


def today(world: World) -> int:
    return world.clock.now_ms // 86_400_000


async def create(world: World, *lines: tuple[str, int], **more: Any):
    return (await world.store.reserve([transfer(*lines, day=today(world) + 3, **more)])).outcomes[0]


async def ship(world: World, *lines: tuple[str, int], **more: Any):
    named = [LineUnits(line_id, "", units) for line_id, units in lines]
    return (await world.store.ship_transfer([change("T1", *named, channel="planner", **more)])).outcomes[0]


async def cancel(world: World, **more: Any):
    return (await world.store.cancel_transfer([change("T1", channel="planner", **more)])).outcomes[0]


async def receive(world: World, quantity: int = 0, sku: str = "LAMP", **more: Any):
    named = {"receipt_id": "T1", "location": "BER1", "sku": sku, "of_transfer": True}
    arrived = incoming("RECEIVE", quantity, **(named | {"occurred_at_ms": world.clock.now_ms} | more))
    return (await world.store.change_incoming([arrived])).outcomes[0]


async def at(world: World, location: str, sku: str = "LAMP") -> tuple[int, int]:
    position = await world.store.position(sku, location)
    return (position.on_hand, position.reserved) if position else (0, 0)


async def on_the_way(world: World, sku: str = "LAMP") -> tuple[int, int, str] | None:
    """Day from today, units, and where they left."""
    for receipt in await world.store.receipts(sku):
        if (receipt.location, receipt.receipt_id) == ("BER1", "T1"):
            return receipt.expected_day - today(world), receipt.quantity, receipt.from_location
    return None


async def shipped(world: World) -> list[tuple[int, int, int]]:
    """Per line what is open, what left, what was given back."""
    found = await world.store.reservation("T1")
    assert found is not None
    return [(its.open, its.fulfilled, its.released) for each in found.lines for its in each.allocations]


def reservation_of(outcome: Any) -> Reservation:
    assert isinstance(outcome, ReservationAnswer), outcome
    return outcome.reservation


async def ledger(world: World, location: str, sku: str = "LAMP") -> list[tuple[str, int, int, str, str, str]]:
    """Kind, change of on_hand and of reserved, who, why, which document; the oldest first."""
    entries, _ = await world.store.ledger(sku, location)
    return [
        (
            entry.kind,
            entry.on_hand_after - entry.on_hand_before,
            entry.reserved_after - entry.reserved_before,
            entry.actor,
            entry.reason,
            entry.reference,
        )
        for entry in reversed(entries)
    ]


async def test_a_transfer_is_confirmed_at_once_and_never_expires(world: World) -> None:
    made = reservation_of(await create(world, ("LAMP", 4), ("SOFA", 2), order_ref="TO-7", cart_ref="rebalance"))
    assert (made.state, made.expires_at, made.channel) == (ReservationState.CONFIRMED, 0, "planner")
    assert [(its.fulfilment, its.destination.location, its.expected_day - today(world)) for its in made.lines] == [
        (Fulfilment.TRANSFER, "BER1", 3)
    ] * 2
    assert (await at(world, "AMS1"), await at(world, "AMS1", "SOFA")) == ((10, 4), (10, 2))
    await world.clock.advance(400 * 86_400_000)
    for partition in range(4):
        await world.store.expire_due(partition)
    assert await world.store.reservation("T1") == made
    assert {state: n for state, n in (await world.store.states()).items() if n} == {"CONFIRMED": 1}


async def test_a_transfer_may_take_safety_stock_but_nothing_that_is_set_aside_for_others(world: World) -> None:
    fence = movement("RING_FENCE", 3, world.clock.now_ms, channel="web")
    await world.store.post_movements([fence])
    await world.store.reserve([request(line(2, Candidate("AMS1", 5)), channel="till")])
    short = await create(world, ("LAMP", 6), channel="web")  # who says so is no channel, whatever its name is
    assert told(short) == told(errors.InsufficientStock((errors.ShortLine("1", "LAMP", "", 6, 5),)))
    reservation_of(await create(world, ("LAMP", 5)))
    assert await at(world, "AMS1") == (10, 7)


async def test_units_that_are_shipped_are_on_the_way_in_the_same_step(world: World) -> None:
    await create(world, ("LAMP", 4), ("SOFA", 2), order_ref="TO-7", cart_ref="rebalance")
    reservation_of(await ship(world))
    assert (await at(world, "AMS1"), await at(world, "BER1")) == ((6, 0), (0, 0))
    assert (await on_the_way(world), await on_the_way(world, "SOFA")) == ((3, 4, "AMS1"), (3, 2, "AMS1"))
    assert await shipped(world) == [(0, 4, 0), (0, 2, 0)]
    assert (await ledger(world, "AMS1"))[1:] == [
        ("RESERVE", 0, 4, "planner", "rebalance", "TO-7"),
        ("TRANSFER_OUT", -4, -4, "planner", "rebalance", "TO-7"),
    ]


async def test_a_transfer_is_shipped_in_parts(world: World) -> None:
    await create(world, ("LAMP", 6), ("SOFA", 2))
    reservation_of(await ship(world, ("1", 2)))
    assert (await on_the_way(world), await on_the_way(world, "SOFA")) == ((3, 2, "AMS1"), None)
    reservation_of(await ship(world, ("1", 3), ("2", 1), expected_day=today(world) + 5))
    assert (await on_the_way(world), await on_the_way(world, "SOFA")) == ((5, 5, "AMS1"), (5, 1, "AMS1"))
    reservation_of(await ship(world))
    assert (await on_the_way(world), await on_the_way(world, "SOFA")) == ((5, 6, "AMS1"), (5, 2, "AMS1"))


async def test_no_more_is_shipped_than_is_open_and_nothing_twice(world: World) -> None:
    await create(world, ("LAMP", 4))
    first = await ship(world, ("1", 3), request_id="one")
    again = await ship(world, ("1", 3), request_id="one")
    assert again.replayed
    assert again.reservation == first.reservation
    refusal = await ship(world, ("1", 2))
    assert told(refusal) == told(errors.QuantityExceedsOpen("T1", "1", 2, 1))
    assert told(await ship(world, ("9", 1))) == told(errors.LineNotFound("T1", "9", ""))
    reservation_of(await ship(world))
    assert told(await ship(world)) == told(errors.TransferClosed("T1"))
    assert await on_the_way(world) == (3, 4, "AMS1")


async def test_units_that_are_not_on_hand_any_more_are_not_shipped(world: World) -> None:
    await create(world, ("LAMP", 6), ("SOFA", 2))
    await world.store.post_movements([movement("COUNT", 5, world.clock.now_ms)])
    refusal = await ship(world)
    assert told(refusal) == told(errors.InsufficientStock((errors.ShortLine("1", "LAMP", "AMS1", 6, 5),)))
    assert (await shipped(world), await on_the_way(world, "SOFA")) == ([(6, 0, 0), (2, 0, 0)], None)
    reservation_of(await ship(world, ("1", 5), ("2", 2)))
    assert (await at(world, "AMS1"), await on_the_way(world)) == ((0, 1), (3, 5, "AMS1"))


async def test_what_has_not_left_goes_back_when_a_transfer_is_cancelled(world: World) -> None:
    await create(world, ("LAMP", 6), ("SOFA", 2))
    await ship(world, ("1", 4))
    reservation_of(await cancel(world))
    assert (await at(world, "AMS1"), await at(world, "AMS1", "SOFA")) == ((6, 0), (10, 0))
    assert (await on_the_way(world), await shipped(world)) == ((3, 4, "AMS1"), [(0, 4, 2), (0, 0, 2)])
    assert told(await cancel(world)) == told(errors.TransferClosed("T1"))
    assert told(await ship(world)) == told(errors.TransferClosed("T1"))


async def test_units_that_go_back_cover_backorders_at_the_source(world: World) -> None:
    await create(world, ("LAMP", 10))
    waits = request(line(3, future=Future(backorder_units=3)), reservation_id="R")
    await world.store.reserve([waits])
    await cancel(world)
    waiting = await world.store.reservation("R")
    assert [(its.backordered, its.open) for its in waiting.lines[0].allocations] == [(False, 3)]


async def test_units_arrive_in_parts_and_those_promised_get_theirs(world: World) -> None:
    await create(world, ("LAMP", 6))
    await ship(world)
    waits = request(line(4, "BER1", future=Future()), reservation_id="R")
    await world.store.reserve([waits])
    outcome = await receive(world, 3)
    assert (outcome.on_hand, outcome.reserved, outcome.receipt.quantity, outcome.receipt.from_location) == (
        3,
        3,
        3,
        "AMS1",
    )
    outcome = await receive(world, all_there_is=True)
    assert (outcome.on_hand, outcome.reserved, outcome.receipt) == (6, 4, None)
    assert [entry[:4] for entry in await ledger(world, "BER1")] == [
        ("RECEIVE", 3, 0, "erp"),
        ("COVER", 0, 3, "web"),
        ("RECEIVE", 3, 0, "erp"),
        ("COVER", 0, 1, "web"),
    ]


async def test_all_that_is_on_the_way_is_taken_in_once(world: World) -> None:
    await create(world, ("LAMP", 6))
    await ship(world, ("1", 4))
    await receive(world, all_there_is=True, request_id="one")
    await ship(world)
    again = await receive(world, all_there_is=True, request_id="one")
    assert (again.replayed, again.on_hand, again.receipt.quantity) == (True, 4, 2)


async def test_more_than_was_sent_may_arrive(world: World) -> None:
    await create(world, ("LAMP", 6))
    await ship(world)
    outcome = await receive(world, 7)
    assert (outcome.on_hand, outcome.receipt) == (7, None)
    assert isinstance(await receive(world, 1), errors.ReceiptNotFound)


async def test_lost_units_are_written_off_for_a_reason(world: World) -> None:
    await create(world, ("LAMP", 6))
    await ship(world)
    await world.store.reserve([request(line(5, "BER1", future=Future()), reservation_id="R", channel="till")])
    outcome = await receive(world, 4, closes=True, reason="pallet fell off")
    assert (outcome.on_hand, outcome.reserved, outcome.receipt) == (4, 4, None)
    assert [(its.quantity, its.reason, its.receipt_id) for its in outcome.broken] == [(1, BrokenReason.CANCELLED, "T1")]
    assert await ledger(world, "BER1") == [
        ("RECEIVE", 4, 0, "erp", "", "T1"),
        ("COVER", 0, 4, "till", "", ""),
        ("RECEIVE", 2, 0, "erp", "", "T1"),
        ("ADJUSTMENT", -2, 0, "erp", "pallet fell off", "T1"),
    ]


async def test_all_of_a_transfer_may_be_lost_where_the_sku_never_was(world: World) -> None:
    await create(world, ("LAMP", 6))
    await ship(world)
    outcome = await receive(world, 0, closes=True, reason="sunk")
    assert (outcome.on_hand, outcome.receipt) == (0, None)
    assert [entry[1] for entry in await ledger(world, "BER1")] == [6, -6]


async def test_a_loss_with_many_promises_is_written_off_in_steps_and_once(open_world: Callable[..., Any]) -> None:
    world = await open_world(PEGS_MAX="2")
    await world.store.post_movements([movement("RECEIPT", 10, world.clock.now_ms)])
    await create(world, ("LAMP", 9))
    await ship(world)
    for n in range(8):
        await world.store.reserve([request(line(1, "BER1", future=Future()), reservation_id=f"R{n}")])
    outcome = await receive(world, 3, closes=True, reason="lost")
    assert (outcome.on_hand, outcome.reserved, outcome.receipt, len(outcome.broken)) == (3, 3, None, 5)
    lost = [entry[1] for entry in await ledger(world, "BER1") if entry[0] == "ADJUSTMENT"]
    assert sum(lost) == -6


@pytest.mark.parametrize(
    ("kind", "more"),
    [("SET", {"quantity": 9, "day": 30_000}), ("CANCEL", {}), ("RECEIVE", {"quantity": 1, "closes": True})],
)
async def test_the_schedule_cannot_make_units_of_a_transfer_vanish(world: World, kind: str, more: Any) -> None:
    await create(world, ("LAMP", 6))
    await ship(world)
    outcome = (await world.store.change_incoming([incoming(kind, receipt_id="T1", location="BER1", **more)])).outcomes[
        0
    ]
    assert told(outcome) == told(errors.OfTransfer("T1"))
    assert await on_the_way(world) == (3, 6, "AMS1")


async def test_a_transfer_can_be_slipped_and_received_like_any_receipt(world: World) -> None:
    await create(world, ("LAMP", 6))
    await ship(world)
    here = {"receipt_id": "T1", "location": "BER1"}
    slip = incoming("SLIP", day=today(world) + 9, **here)
    arrive = incoming("RECEIVE", 6, occurred_at_ms=world.clock.now_ms, **here)
    await world.store.change_incoming([slip])
    assert await on_the_way(world) == (9, 6, "AMS1")
    await world.store.change_incoming([arrive])
    assert (await at(world, "BER1"), await on_the_way(world)) == ((6, 0), None)


async def test_a_receipt_that_has_the_id_already_is_not_mixed_with_a_transfer(world: World) -> None:
    taken = incoming("SET", 5, today(world) + 1, receipt_id="T1", location="BER1", sku="SOFA")
    await world.store.change_incoming([taken])
    await create(world, ("LAMP", 6), ("SOFA", 2))
    assert told(await ship(world)) == told(errors.TransferExists("T1"))
    assert (await on_the_way(world), await shipped(world)) == (None, [(6, 0, 0), (2, 0, 0)])
    await world.store.change_incoming([incoming("CANCEL", receipt_id="T1", location="BER1", sku="SOFA")])
    reservation_of(await ship(world))
    assert isinstance(await receive(world, 1, receipt_id="PO1"), errors.ReceiptNotFound)


async def test_only_transfers_are_received_as_such(world: World) -> None:
    await world.store.change_incoming([incoming("SET", 5, today(world) + 1, location="BER1")])
    refusal = await receive(world, 5, receipt_id="PO1", closes=True)
    assert told(refusal) == told(errors.ReceiptNotFound("PO1", "LAMP", "BER1"))


VERBS = {
    "release": {},
    "fulfil": {},
    "amend": {"placements": (LinePlacement("1", 9, (Candidate("AMS1"),)),)},
    "rebind": {"placements": (LinePlacement("1", 0, (Candidate("PAR1"),)),)},
    "hand_over": {"to_channel": "web"},
}


@pytest.mark.parametrize("verb", VERBS)
async def test_the_verbs_of_channels_leave_a_transfer_alone(world: World, verb: str) -> None:
    made = reservation_of(await create(world, ("LAMP", 4), ("SOFA", 2)))
    outcome = (await getattr(world.store, verb)([change("T1", **VERBS[verb])])).outcomes[0]
    assert told(outcome) == told(errors.OfTransfer("T1"))
    assert await world.store.reservation("T1") == made


@pytest.mark.parametrize("verb", ["confirm", "extend"])
async def test_a_transfer_is_confirmed_already(world: World, verb: str) -> None:
    await create(world, ("LAMP", 4))
    outcome = (await getattr(world.store, verb)([change("T1", time_to_live_seconds=9)])).outcomes[0]
    assert told(outcome) == told(errors.ReservationConfirmed("T1"))


@pytest.mark.parametrize("verb", ["ship_transfer", "cancel_transfer", "close_transfer"])
async def test_a_reservation_is_no_transfer(world: World, verb: str) -> None:
    await world.store.reserve([request(2, reservation_id="R")])
    outcome = (await getattr(world.store, verb)([change("R")])).outcomes[0]
    assert told(outcome) == told(errors.TransferNotFound("R"))


async def test_a_transfer_is_closed_when_nothing_is_left_of_it(world: World) -> None:
    await create(world, ("LAMP", 4), ("SOFA", 2))
    await ship(world)
    await receive(world, all_there_is=True)
    await receive(world, all_there_is=True, sku="SOFA")
    closed = (await world.store.close_transfer([change("T1", channel="planner")])).outcomes[0]
    assert reservation_of(closed).state is ReservationState.FULFILLED
    assert (await world.store.reservation("T1")).state is ReservationState.FULFILLED
    assert {state: n for state, n in (await world.store.states()).items() if n} == {"FULFILLED": 1}


async def test_a_transfer_with_open_units_is_not_closed(world: World) -> None:
    await create(world, ("LAMP", 4), ("SOFA", 2))
    await ship(world, ("1", 4))
    closed = (await world.store.close_transfer([change("T1", channel="planner")])).outcomes[0]
    assert reservation_of(closed).state is ReservationState.CONFIRMED


async def test_pegged_units_keep_their_day_when_more_are_shipped(world: World) -> None:
    """Their promises are judged by a slip, which is a change of its own."""
    await create(world, ("LAMP", 6))
    await ship(world, ("1", 4))
    await world.store.reserve([request(line(2, "BER1", future=Future()), reservation_id="R")])
    reservation_of(await ship(world, expected_day=today(world) + 8))
    assert await on_the_way(world) == (3, 6, "AMS1")
    assert [its.expected_day - today(world) for its in (await world.store.reservation("T1")).lines] == [8]


async def test_transfers_are_found_among_all_reservations(world: World) -> None:
    await create(world, ("LAMP", 4), transfer_id="T2")
    await create(world, ("LAMP", 1), transfer_id="T1", order_ref="TO-1", cart_ref="why")
    await world.store.reserve([request(2, reservation_id="R", order_ref="TO-1")])
    assert await world.store.transfer_ids() == ["T1", "T2"]
    listed, _ = await world.store.list_reservations(order_ref="TO-1", limit=10)
    assert {found.reservation_id for found in listed} == {"R", "T1"}
    assert (await world.store.list_reservations(cart_ref="why", limit=10))[0] == []
