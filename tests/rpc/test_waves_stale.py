"""Plans under which stock moves: exactly the lines that cannot be had any more are refused, with true numbers."""

from __future__ import annotations

import asyncio
import random

import pytest

from invengine.v1 import common_pb2, reservation_service_pb2, stock_service_pb2, wave_pb2
from tests.rpc.engines import Stubs, client, engine
from tests.rpc.wave_worlds import Expected, Position, World, drawn, expected, receive
from tests.rpc.waves import commit, plan, shown, unharmed

pytestmark = pytest.mark.asyncio

PARTITIONS = 64
SALE = stock_service_pb2.Movement.KIND_SALE
INSUFFICIENT = common_pb2.ERROR_REASON_INSUFFICIENT_STOCK


def sold(world: World, seed: int) -> dict[Position, int]:
    """Units that others buy between plan and commit: at every third position some, or all."""
    chance = random.Random(seed)
    positions = [place for place in sorted(world.stock) if chance.random() < 0.35]
    return {place: chance.randrange(1, world.stock[place] + 1) for place in positions}


def whole(world: World) -> frozenset[str]:
    return frozenset(one.order_id for one in world.orders if one.all_or_nothing)


async def reservations(stubs: Stubs) -> dict[str, reservation_service_pb2.Reservation]:
    """All of them by order."""
    found: dict[str, reservation_service_pb2.Reservation] = {}
    token = ""
    while True:
        request = reservation_service_pb2.ListReservationsRequest(page_size=1000, page_token=token)
        answer = await stubs.reservations.ListReservations(request)
        found |= {one.order_ref: one for one in answer.reservations}
        token = answer.next_page_token
        if not token:
            return found


async def holds(stubs: Stubs, plan_id: str, world: World, wanted: Expected, gone: dict[Position, int]) -> None:
    """The store and what the plan tells are as expected."""
    made = await reservations(stubs)
    got = {
        name: [
            {its.location: its.quantity for its in of.allocations} or None if planned is None or planned else {}
            for of, planned in zip(made[name].lines, lines, strict=True)
        ]
        for name, lines in wanted.taken.items()
        if name in made
    }
    assert got == {name: lines for name, lines in wanted.taken.items() if any(lines)}
    told = {
        (one.order_id, of.line_id): (of.refusal.wanted, of.refusal.available)
        for one in await shown(stubs, plan_id, show=wave_pb2.GetPlanRequest.SHOW_REFUSED, page_size=7)
        for of in one.lines
        if of.HasField("refusal")
    }
    assert told == wanted.refused
    for (sku, location), units in world.stock.items():
        on_hand, reserved, _ = await stubs.position(sku, location)
        assert (on_hand, on_hand - reserved) == (units - gone.get((sku, location), 0), wanted.free[sku, location])
    await unharmed(stubs)


@pytest.mark.parametrize("seed", range(4))
async def test_a_stale_plan_refuses_exactly_the_lines_that_it_must(stubs_of_both: Stubs, seed: int) -> None:
    world = drawn(seed, skus=25, orders=60)
    await receive(stubs_of_both, world.stock)
    planned = await plan(stubs_of_both, *world.orders)
    gone = sold(world, seed)
    await receive(stubs_of_both, gone, SALE, "sold")
    free = {place: units - gone.get(place, 0) for place, units in world.stock.items()}
    orders = await shown(stubs_of_both, planned.plan_id, page_size=13)
    wanted = expected(orders, whole(world), free, PARTITIONS)
    assert len(wanted.refused) > 5  # else nothing is tested
    await commit(stubs_of_both, planned.plan_id)
    await holds(stubs_of_both, planned.plan_id, world, wanted, gone)


async def test_a_plan_under_which_nothing_moves_refuses_nothing(stubs_of_both: Stubs) -> None:
    world = drawn(9, skus=25, orders=60)
    await receive(stubs_of_both, world.stock)
    planned = await plan(stubs_of_both, *world.orders)
    wanted = expected(await shown(stubs_of_both, planned.plan_id), whole(world), world.stock, PARTITIONS)
    assert not wanted.refused
    assert planned.planned_quantity > 100
    await commit(stubs_of_both, planned.plan_id)
    await holds(stubs_of_both, planned.plan_id, world, wanted, {})


async def test_two_servers_that_commit_the_same_plan_at_once_come_to_the_same(redis_url: str) -> None:
    world = drawn(5, skus=40, orders=300)
    async with engine(redis_url) as (first, one), engine(redis_url) as (second, _), client(second.address) as other:
        await one.apply_network()
        await other.apply_network()
        await receive(one, world.stock)
        planned = await plan(one, *world.orders)
        gone = sold(world, 5)
        await receive(one, gone, SALE, "sold")
        free = {place: units - gone.get(place, 0) for place, units in world.stock.items()}
        wanted = expected(await shown(one, planned.plan_id), whole(world), free, PARTITIONS)
        answers = await asyncio.gather(*(commit(stubs, planned.plan_id) for stubs in (one, other, one, other)))
        assert all(answer.plan == answers[0].plan for answer in answers)
        assert first.address != second.address
        made = await reservations(one)
        assert {name: len(lines) for name, lines in wanted.taken.items() if any(lines)} == {
            name: len(found.lines) for name, found in made.items()
        }
        refused = {
            (told.order_id, of.line_id)
            for told in await shown(other, planned.plan_id, show=wave_pb2.GetPlanRequest.SHOW_REFUSED)
            for of in told.lines
            if of.HasField("refusal")
        }
        assert refused == set(wanted.refused)
        for (sku, location), units in wanted.free.items():
            on_hand, reserved, _ = await other.position(sku, location)
            assert on_hand - reserved == units
        await unharmed(one)
