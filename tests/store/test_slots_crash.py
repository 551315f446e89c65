"""A server dies between goods and slots, which are in pieces of their own: both are wholly held, or both free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from invengine.domain.capacity import capacity_day, capacity_sku
from invengine.domain.orders import Candidate, LinePlacement, LineUnits, Reservation, ReservationChange
from invengine.domain.partitions import partition_of
from invengine.store.redis_store import RedisStore
from tests.conftest import started
from tests.redis_servers import RunningRedis
from tests.store.making import change, request
from tests.store.slots import DAY, WITH_SLOTS, goods, slot_line, slots_change
from tests.store.test_pieces_crash import PARTITIONS, dies, every_cut, looks_after, stocked
from tests.store.worlds import World

SKUS = ("LAMP", "SOFA")
PLACES = [("LAMP", "AMS1"), ("LAMP", "BER1"), ("SOFA", "AMS1"), ("SOFA", "BER1")]
SLOTS = [(capacity_sku(place, "SHIP"), capacity_day(DAY + n)) for place in ("AMS1", "BER1") for n in range(2)]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningRedis]:
    """One kind of server, which need not write to disk: what is tried here is the order of calls."""
    running = started("valkey", appendonly="no")
    yield running
    running.stop()


def basket(seconds: int = 600) -> Any:
    lines = goods(4), goods(3, "2", "SOFA"), slot_line({DAY: 4}), slot_line({DAY: 2, DAY + 1: 1}, "2")
    assert len({partition_of(line.sku, PARTITIONS) for line in lines}) > 1
    return request(*lines, time_to_live_seconds=seconds, reservation_id="R")


def open_in(reservation: Reservation | None) -> dict[tuple[str, str], int]:
    """Open units and slots of a reservation."""
    units: Counter[tuple[str, str]] = Counter()
    for line in (*reservation.lines, *reservation.slot_lines) if reservation else ():
        for allocation in line.allocations:
            units[line.sku, allocation.location] += allocation.open
    return {place: count for place, count in units.items() if count}


async def stands(world: World) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """What is reserved, and what is on hand or used up; nothing is under way."""
    held, there = {}, {}
    for partition in range(PARTITIONS):
        assert await world.client.hlen(f"{{p{partition}}}:operations") == 0
    for place in (*PLACES, *SLOTS):
        position = await world.store.position(*place)
        if position is not None and position.reserved:
            held[place] = position.reserved
        if position is not None and position.on_hand:
            there[place] = position.on_hand
    return held, there


HELD = {("LAMP", "AMS1"): 4, ("SOFA", "AMS1"): 3, SLOTS[0]: 6, SLOTS[1]: 1}


@pytest.mark.asyncio
async def test_a_reservation_has_goods_and_slots_or_neither(server: RunningRedis) -> None:
    wanted, found = basket(), []

    async def act(store: RedisStore) -> None:
        await store.reserve([wanted])

    async def check(world: World, is_done: bool) -> None:
        await looks_after(world)
        held, _ = await stands(world)
        assert held == open_in(await world.store.reservation("R"))
        assert held in ({}, HELD)
        assert held or not is_done
        found.append(bool(held))

    await every_cut(server, None, act, check)
    assert set(found) == {False, True}


@pytest.mark.asyncio
async def test_a_hold_that_is_over_leaves_neither(server: RunningRedis) -> None:
    async def before(store: RedisStore) -> None:
        await store.reserve([basket(seconds=1)])

    async def act(store: RedisStore) -> None:
        for partition in range(PARTITIONS):
            await store.expire_due(partition)

    for count in range(60):
        async with stocked(server) as world:
            await before(world.store)
            await world.clock.advance(2_000)
            is_done = await dies(world, count, act)
            await looks_after(world)
            assert (await stands(world))[0] == {}
        if is_done:
            return
    raise AssertionError("does not come to an end")


def moved(line_id: str, units: int) -> LinePlacement:
    return LinePlacement(line_id, units, (Candidate("BER1"),), units_at=(units,), standing=WITH_SLOTS)


DAY_TEXT = capacity_day(DAY)
CHANGES: dict[str, tuple[str, ReservationChange]] = {
    "release all": ("release", change("R")),
    "release some": (
        "release",
        change("R", LineUnits("1", "AMS1", 2), LineUnits(" 1 SHIP AMS1", DAY_TEXT, 2), with_slots=True),
    ),
    "fulfil all": ("fulfil", change("R")),
    "fulfil some": (
        "fulfil",
        change("R", LineUnits("2", "AMS1", 2), LineUnits(" 2 SHIP AMS1", DAY_TEXT, 2), with_slots=True),
    ),
    "refused fulfilment": (
        "fulfil",
        change("R", LineUnits(" 1 SHIP AMS1", DAY_TEXT, 4), LineUnits("1", "AMS1", 5), with_slots=True),
    ),
    "amend": (
        "amend",
        change(
            "R",
            placements=(
                LinePlacement("1", 6, (Candidate("AMS1"),), units_at=(2,), standing=WITH_SLOTS),
                LinePlacement("2", 1, (Candidate("AMS1"),), units_at=(-2,)),
                slots_change(6, {DAY + 1: 2}),
                slots_change(1, {DAY: -1, DAY + 1: -1}, "2"),
            ),
        ),
    ),
    "rebind": (
        "rebind",
        change(
            "R",
            placements=(moved("1", 4), moved("2", 3), slots_change(0, {DAY: -4}), slots_change(1, {DAY: -2}, "2")),
            added=(slot_line({DAY: 4}, "1", "BER1"), slot_line({DAY + 1: 3}, "2", "BER1")),
        ),
    ),
    "refused rebinding": (
        "rebind",
        change(
            "R",
            placements=(moved("1", 4), slots_change(0, {DAY: -4})),
            added=(slot_line({DAY: 4}, "1", "BER1", capacity=3),),
        ),
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_of_both_is_wholly_made_or_not_at_all(server: RunningRedis, name: str) -> None:
    verb, wanted = CHANGES[name]

    async def before(store: RedisStore) -> None:
        await store.reserve([basket()])
        if verb == "fulfil":
            await store.confirm([change("R")])

    async def act(store: RedisStore) -> None:
        await getattr(store, verb)([wanted])

    async def state_of(world: World) -> Any:
        reservation = await world.store.reservation("R")
        assert reservation is not None
        held, there = await stands(world)
        assert held == open_in(reservation)
        return reservation.lines, reservation.slots, reservation.state, held, there

    async with stocked(server) as world:
        await before(world.store)
        as_it_was = await state_of(world)
        await act(world.store)
        as_it_is = await state_of(world)
    assert (as_it_is == as_it_was) == name.startswith("refused")
    found = []

    async def check(world: World, is_done: bool) -> None:
        await looks_after(world)
        is_over = await state_of(world)
        assert is_over in ([as_it_is] if is_done else [as_it_was, as_it_is])
        found.append(is_over)

    assert await every_cut(server, before, act, check) >= 2
    assert as_it_was in found
