"""A fulfilment in pieces that is taken back: what was counted meanwhile is true, whatever becomes of the fulfilment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from invengine.domain.orders import ReservationState
from invengine.domain.snapshots import CountedSku, Snapshot
from tests.conftest import started
from tests.redis_servers import RunningRedis
from tests.store.making import change, movement
from tests.store.test_pieces_crash import CALLS_MAX, SKUS, basket, dies, looks_after, stocked
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

PLACE = "AMS1"
UNITS = 4
THERE = 10
MINUTE = 60_000


@pytest.fixture(scope="module")
def server() -> Iterator[RunningRedis]:
    """One kind of server, which need not write to disk: what is tried here is the order of calls."""
    running = started("valkey", appendonly="no")
    yield running
    running.stop()


async def half_fulfilled(world: World, count: int) -> tuple[set[str], bool]:
    """SKUs of which the units left, by a fulfilment that was cut off after so many calls; whether it ended."""
    await world.store.reserve([basket(UNITS)])
    await world.store.confirm([change("R", order_ref="order")])
    await world.clock.advance(2 * MINUTE)

    async def act(store) -> None:
        await store.fulfil([change("R")])

    is_done = await dies(world, count, act)
    left = {sku for sku in SKUS if (await world.store.position(sku, PLACE)).reserved == 0}
    return left, is_done


async def counted(world: World, how: str, sku: str) -> int:
    """Counts a SKU of which the units left; the units that are on hand when the fulfilment is taken back then."""
    await world.clock.advance(1_000)
    now = world.clock.now_ms
    refs: tuple[str, ...] = ()
    if how == "since, still there":
        as_of, units, expected = now, THERE, THERE
    elif how == "since, gone":
        as_of, units, expected = now, THERE - UNITS, THERE - UNITS
    elif how == "before":
        as_of, units, expected = now - MINUTE, THERE, THERE
    elif how == "before, without the order's":
        as_of, units, expected, refs = now - MINUTE, THERE - UNITS, THERE - UNITS, ("order",)
    else:
        return THERE
    row = CountedSku(sku, units, refs)
    (outcome,) = (await world.store.snapshots.apply(Snapshot("erp", "s1", PLACE, as_of), [row])).outcomes
    assert outcome.refusal is None
    assert outcome.on_hand == (THERE - UNITS if how != "since, still there" else THERE)
    return expected


@pytest.mark.parametrize("how", ["never", "since, still there", "since, gone", "before", "before, without the order's"])
async def test_on_hand_is_what_was_counted(server: RunningRedis, how: str) -> None:
    tried = 0
    for count in range(CALLS_MAX):
        async with stocked(server) as world:
            left, is_done = await half_fulfilled(world, count)
            if is_done:
                break
            if not left or len(left) == len(SKUS):
                continue
            one, missing = min(left), min(set(SKUS) - left)
            expected = await counted(world, how, one)
            loss = movement("COUNT", 0, world.clock.now_ms, sku=missing, location=PLACE)
            await world.store.post_movements([loss])  # so that the next piece refuses
            await looks_after(world)
            reservation = await world.store.reservation("R")
            assert reservation is not None
            assert reservation.state is ReservationState.CONFIRMED
            assert [allocation.fulfilled for line in reservation.lines for allocation in line.allocations] == [0, 0, 0]
            position = await world.store.position(one, PLACE)
            assert (position.on_hand, position.reserved) == (expected, UNITS)
            (entry, *_), _ = await world.store.ledger(one)
            assert (entry.kind, entry.on_hand_after) == ("FULFIL", expected)
            again = movement("COUNT", 7, world.clock.now_ms, sku=one, location=PLACE)
            await world.store.post_movements([again])  # a later count finds nothing to keep on top
            assert (await world.store.position(one, PLACE)).on_hand == 7
            tried += 1
    assert tried > 0
