"""Slots of daily capacity: taken with the goods or not at all, used up with them, given back with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from invengine import errors
from invengine.domain.capacity import capacity_day, capacity_sku
from invengine.domain.orders import Candidate, LinePlacement, LineStanding, LineUnits, ReservationState
from invengine.domain.stock import Position
from invengine.store.operation_text import read_operation, write_operation
from invengine.store.records import future_text, read_reservation
from invengine.store.redis_store import Atomicity
from tests.store.making import change, movement, request
from tests.store.slots import CAPACITY, DAY, PROMISE, WITH_SLOTS, goods, slot_line, slots_change, slots_of
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

SKU = capacity_sku("AMS1", "SHIP")


@pytest_asyncio.fixture(params=[Atomicity.WHOLE, Atomicity.PARTITION], ids=["whole", "pieces"])
async def shop(request: pytest.FixtureRequest, open_world: Callable[..., Any]) -> AsyncIterator[World]:
    """A store with 50 units of LAMP at each of two places, in one step and in pieces."""
    world = await open_world(atomicity=request.param)
    receipts = [movement("RECEIPT", 50, world.clock.now_ms, location=place) for place in ("AMS1", "BER1")]
    await world.store.post_movements(receipts)
    yield world


async def of_day(world: World, day: int = DAY, sku: str = SKU) -> tuple[int, int]:
    """Slots of a day that are used up, and those that are held."""
    position = await world.store.position(sku, capacity_day(day)) or Position(0, 0, 0)
    return position.on_hand, position.reserved


async def lamps(world: World, place: str = "AMS1") -> tuple[int, int]:
    position = await world.store.position("LAMP", place)
    return position.on_hand, position.reserved


async def made(world: World, units: int, days: dict[int, int], **more: Any) -> Any:
    asked = request(goods(units), slot_line(days), **more)
    (outcome,) = (await world.store.reserve([asked])).outcomes
    return outcome


async def changed(world: World, verb: str, *args: Any, **more: Any) -> Any:
    (outcome,) = (await getattr(world.store, verb)([change(*args, **more)])).outcomes
    return outcome


async def test_goods_and_slots_are_taken_together(shop: World) -> None:
    outcome = await made(shop, 4, {DAY: 3, DAY + 1: 1}, reservation_id="r")
    found = outcome.reservation
    assert [line.line_id for line in found.lines] == ["1"]
    assert (found.lines[0].promise, found.lines[0].has_slots) == (PROMISE, True)
    assert slots_of(found) == [(DAY, 3, 0), (DAY + 1, 1, 0)]
    assert await shop.store.reservation("r") == found
    assert (await lamps(shop), await of_day(shop), await of_day(shop, DAY + 1)) == ((50, 4), (0, 3), (0, 1))


async def test_one_slot_too_few_and_no_goods_are_taken(shop: World) -> None:
    await made(shop, 8, {DAY: 8})
    outcome = await made(shop, 3, {DAY: 3})
    assert isinstance(outcome, errors.InsufficientStock)
    assert [(short.sku, short.wanted, short.available) for short in outcome.short_lines] == [(SKU, 3, 2)]
    assert (await lamps(shop), await of_day(shop)) == ((50, 8), (0, 8))


async def test_too_few_goods_and_no_slots_are_taken(shop: World) -> None:
    outcome = await made(shop, 51, {DAY: 2})
    assert [(short.sku, short.available) for short in outcome.short_lines] == [("LAMP", 50)]
    assert await of_day(shop) == (0, 0)


async def test_a_hold_that_is_over_has_no_slots(shop: World) -> None:
    await made(shop, 10, {DAY: 10})
    await shop.clock.advance(61_000)
    outcome = await made(shop, 10, {DAY: 10}, reservation_id="second")
    assert slots_of(outcome.reservation) == [(DAY, 10, 0)]
    assert await of_day(shop) == (0, 10)


async def test_what_left_has_used_its_slots_up(shop: World) -> None:
    await made(shop, 10, {DAY: 10}, reservation_id="r")
    await changed(shop, "confirm", "r")
    outcome = await changed(shop, "fulfil", "r")
    assert outcome.reservation.state is ReservationState.FULFILLED
    assert (await lamps(shop), await of_day(shop)) == ((40, 0), (10, 0))
    assert slots_of(outcome.reservation) == [(DAY, 10, 0)]
    short = await made(shop, 1, {DAY: 1})
    assert [(one.sku, one.available) for one in short.short_lines] == [(SKU, 0)]


async def test_everything_released_frees_the_slots(shop: World) -> None:
    await made(shop, 10, {DAY: 10}, reservation_id="r")
    outcome = await changed(shop, "release", "r")
    assert (outcome.reservation.state, slots_of(outcome.reservation)) == (ReservationState.RELEASED, [])
    assert (await made(shop, 10, {DAY: 10})).reservation.slots != ()


async def test_units_are_not_named_without_their_slots(shop: World) -> None:
    await made(shop, 10, {DAY: 10}, reservation_id="r")
    for revision in (None, (await shop.store.reservation("r")).revision):
        refused = await changed(shop, "release", "r", LineUnits("1", "AMS1", 4), expected_revision=revision)
        assert isinstance(refused, errors.RevisionMismatch)
    assert await lamps(shop) == (50, 10)
    units = LineUnits("1", "AMS1", 4), LineUnits(" 1 SHIP AMS1", capacity_day(DAY), 4)
    outcome = await changed(shop, "release", "r", *units, with_slots=True)
    assert slots_of(outcome.reservation) == [(DAY, 6, 0)]
    await changed(shop, "confirm", "r")
    refused = await changed(shop, "fulfil", "r", LineUnits("1", "AMS1", 2))
    assert isinstance(refused, errors.RevisionMismatch)
    units = LineUnits("1", "AMS1", 2), LineUnits(" 1 SHIP AMS1", capacity_day(DAY), 2)
    await changed(shop, "fulfil", "r", *units, with_slots=True)
    assert (await lamps(shop), await of_day(shop)) == ((48, 4), (2, 4))


async def test_a_fulfilment_that_lacks_goods_uses_up_no_slots(shop: World) -> None:
    await made(shop, 10, {DAY: 10}, reservation_id="r")
    await changed(shop, "confirm", "r")
    await shop.store.post_movements([movement("COUNT", 3, shop.clock.now_ms)])
    refused = await changed(shop, "fulfil", "r")
    assert [(one.sku, one.available) for one in refused.short_lines] == [("LAMP", 3)]
    assert await of_day(shop) == (0, 10)


async def test_an_amendment_moves_slots_with_the_units(shop: World) -> None:
    await made(shop, 10, {DAY: 10}, reservation_id="r")
    later = PROMISE._replace(delivery_day=DAY + 9)
    placement = LinePlacement(
        "1", 13, (Candidate("AMS1"),), units_at=(3,), standing=LineStanding(later, has_slots=True)
    )
    outcome = await changed(
        shop, "amend", "r", placements=(placement, slots_change(13, {DAY + 1: 3})), expected_revision=None
    )
    assert slots_of(outcome.reservation) == [(DAY, 10, 0), (DAY + 1, 3, 0)]
    assert outcome.reservation.lines[0].promise == later
    less = LinePlacement("1", 5, (Candidate("AMS1"),), units_at=(-8,))
    outcome = await changed(shop, "amend", "r", placements=(less, slots_change(5, {DAY: -5, DAY + 1: -3})))
    assert (slots_of(outcome.reservation), outcome.reservation.lines[0].promise) == ([(DAY, 5, 0)], later)
    full = slots_change(16, {DAY: 11})
    more = LinePlacement("1", 16, (Candidate("AMS1"),), units_at=(11,))
    refused = await changed(shop, "amend", "r", placements=(more, full))
    assert [(one.line_id, one.available) for one in refused.short_lines] == [(" 1 SHIP AMS1", 5)]
    assert (await lamps(shop), await of_day(shop)) == ((50, 5), (0, 5))


async def test_an_added_line_brings_its_slots_and_is_numbered_without_them(shop: World) -> None:
    await made(shop, 2, {DAY: 2}, reservation_id="r")
    added = goods(3, "", "LAMP", "BER1"), slot_line({DAY + 2: 3}, "2", "BER1")
    outcome = await changed(shop, "amend", "r", added=added)
    assert [line.line_id for line in outcome.reservation.lines] == ["1", "2"]
    assert [(slot.location, slot.day, slot.units) for slot in outcome.reservation.slots] == [
        ("AMS1", DAY, 2),
        ("BER1", DAY + 2, 3),
    ]


async def test_a_rebinding_moves_slots_to_the_other_location(shop: World) -> None:
    await made(shop, 4, {DAY: 4}, reservation_id="r")
    moved = LinePlacement("1", 0, (Candidate("BER1"),), units_at=(4,), standing=WITH_SLOTS)
    outcome = await changed(
        shop,
        "rebind",
        "r",
        placements=(moved, slots_change(0, {DAY: -4})),
        added=(slot_line({DAY + 1: 4}, "1", "BER1"),),
    )
    assert [(slot.location, slot.day, slot.units) for slot in outcome.reservation.slots] == [("BER1", DAY + 1, 4)]
    assert (await lamps(shop), await lamps(shop, "BER1"), await of_day(shop)) == ((50, 0), (50, 4), (0, 0))
    assert await of_day(shop, DAY + 1, capacity_sku("BER1", "SHIP")) == (0, 4)


async def test_a_rebinding_that_finds_no_slots_moves_nothing(shop: World) -> None:
    await made(shop, 4, {DAY: 4}, reservation_id="r")
    moved = LinePlacement("1", 0, (Candidate("BER1"),), units_at=(4,))
    added = (slot_line({DAY: 4}, "1", "BER1", capacity=3),)
    refused = await changed(shop, "rebind", "r", placements=(moved, slots_change(0, {DAY: -4})), added=added)
    assert isinstance(refused, errors.InsufficientStock)
    assert (await lamps(shop), await lamps(shop, "BER1"), await of_day(shop)) == ((50, 4), (50, 0), (0, 4))


async def test_the_slot_of_an_order_is_one(shop: World) -> None:
    asked = request(goods(4), goods(2, "2"), slot_line({DAY: 1}, ""), reservation_id="r")
    await shop.store.reserve([asked])
    assert slots_of(await shop.store.reservation("r")) == [(DAY, 0, 1)]
    assert await of_day(shop) == (0, 1)


async def test_exactly_the_capacity_is_taken_by_many_at_once(shop: World) -> None:
    outcomes = await asyncio.gather(*(made(shop, 1, {DAY: 1}) for _ in range(30)))
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.InsufficientStock)]
    assert (len(refused), await of_day(shop), await lamps(shop)) == (30 - CAPACITY, (0, CAPACITY), (50, CAPACITY))


async def test_days_that_are_over_are_forgotten_once_nothing_is_held_there(shop: World) -> None:
    await made(shop, 3, {DAY: 3}, reservation_id="r")
    await made(shop, 2, {DAY + 1: 2}, reservation_id="s")
    await changed(shop, "release", "r")
    days = [(SKU, capacity_day(day)) for day in (DAY, DAY + 1, DAY + 5)]
    written = await shop.store.forget_slots(days)
    assert sum(written.outcomes) == 1
    assert await shop.store.position(SKU, capacity_day(DAY)) is None
    assert await of_day(shop, DAY + 1) == (0, 2)
    assert b"FORGET" in b"".join(entry.rows for entry in written.entries)


async def test_units_that_came_back_leave_date_and_slots_in_the_record() -> None:
    """What stands behind the promise in a record's line stays, whatever is written before it."""
    text = future_text(None, None, WITH_SLOTS) + "<3"
    record = f"HELD\tweb\t1\t2\t3\t\t\t\t\t1\t1\t0\tLAMP\t4\tSHIP\t\t\t\t{text}\t0"
    (line,) = read_reservation("r", record).lines
    assert (line.promise, line.has_slots, line.returned, line.future) == (PROMISE, True, 3, None)


async def test_a_change_under_way_is_read_as_it_was_written() -> None:
    """With its promise: nested tuples come back as they were."""
    placement = LinePlacement("1", 4, (Candidate("AMS1"),), units_at=(4,), standing=WITH_SLOTS)
    asked = change("r", placements=(placement,), added=(goods(3), slot_line({DAY: 3})))
    assert read_operation(write_operation("amend", asked)) == ("amend", asked)
