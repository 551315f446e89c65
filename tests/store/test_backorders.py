"""Backorders and what covers them, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from invengine.domain.orders import Candidate, Future, LinePlacement, LineUnits
from invengine.domain.partitions import partition_of
from tests.store.making import change, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio


async def backorder(world: World, reservation_id: str, quantity: int, allowance: int = 100, **more):
    asked = line(quantity, *more.pop("places", ("AMS1",)), future=Future(0, allowance))
    return (await world.store.reserve([request(asked, reservation_id=reservation_id, **more)])).outcomes[0]


async def posted(world: World, kind: str, quantity: int, **more):
    return (await world.store.post_movements([movement(kind, quantity, world.clock.now_ms, **more)])).outcomes[0]


async def open_units(world: World, reservation_id: str) -> tuple[int, int]:
    """Units on hand and units backordered."""
    allocations = [a for its in (await world.store.reservation(reservation_id)).lines for a in its.allocations]
    return sum(a.open for a in allocations if a.is_on_hand), sum(a.open for a in allocations if a.backordered)


async def stock(world: World) -> tuple[int, int]:
    position = await world.store.position("LAMP", "AMS1")
    return position.on_hand, position.reserved


async def test_allowance_of_five_with_three_on_hand_takes_eight_and_no_ninth(world: World) -> None:
    await posted(world, "RECEIPT", 3)
    short = await backorder(world, "A", 9, 5)
    assert (short.short_lines[0].wanted, short.short_lines[0].available) == (9, 8)
    await backorder(world, "A", 8, 5)
    assert (await open_units(world, "A"), await stock(world)) == ((3, 5), (3, 3))
    assert (await backorder(world, "B", 1, 5)).short_lines[0].available == 0
    await backorder(world, "B", 1, 6)  # the allowance counts all reservations together
    assert await world.store.backordered("LAMP") == {"AMS1": 6}


async def test_three_of_the_oldest_backorder_are_covered_when_three_arrive(world: World) -> None:
    await backorder(world, "A", 4)
    await backorder(world, "B", 1)
    outcome = await posted(world, "RECEIPT", 3)
    assert (outcome.on_hand, outcome.reserved) == (3, 3)
    assert (await open_units(world, "A"), await open_units(world, "B")) == ((3, 1), (0, 1))
    await posted(world, "RECEIPT", 3)
    assert (await open_units(world, "A"), await open_units(world, "B"), await stock(world)) == ((4, 0), (1, 0), (6, 5))
    n = partition_of("LAMP", 4)
    assert await world.client.exists(f"{{p{n}}}:waiting", f"{{p{n}}}:incoming:LAMP", f"{{p{n}}}:pegs:LAMP\tAMS1\t") == 0


async def test_a_sku_that_never_was_there_may_be_backordered(world: World) -> None:
    assert type(await backorder(world, "A", 2, 0)).__name__ == "UnknownSku"
    await backorder(world, "A", 2, 2)
    assert (await backorder(world, "B", 2, 2)).short_lines[0].available == 0  # known since


@pytest.mark.parametrize(
    ("kind", "quantity", "covered"), [("RETURN", 2, 2), ("ADJUSTMENT", 3, 3), ("COUNT", 9, 4), ("SALE", 1, 0)]
)
async def test_any_movement_that_frees_units_covers(world: World, kind: str, quantity: int, covered: int) -> None:
    await posted(world, "RECEIPT", 5)
    await world.store.reserve([request(5, reservation_id="first")])
    await backorder(world, "A", 6)
    await posted(world, kind, quantity, **({"reason": "found"} if kind == "ADJUSTMENT" else {}))
    assert await open_units(world, "A") == (covered, 6 - covered)


@pytest.mark.parametrize("verb", ["release", "amend", "rebind", "expire"])
async def test_units_given_back_cover(world: World, verb: str) -> None:
    await posted(world, "RECEIPT", 5)
    await posted(world, "RECEIPT", 5, location="BER1")
    await world.store.reserve([request(5, reservation_id="first", time_to_live_seconds=10)])
    await backorder(world, "A", 6)
    if verb == "release":
        await world.store.release([change("first")])
    elif verb == "amend":
        await world.store.amend([change("first", placements=(LinePlacement("1", 0),))])
    elif verb == "rebind":
        await world.store.rebind([change("first", placements=(LinePlacement("1", 0, (Candidate("BER1"),)),))])
    else:
        await world.clock.advance(10_000)
        await world.store.expire_due(partition_of("LAMP", 4))
    assert await open_units(world, "A") == (5, 1)
    assert (await stock(world))[1] == 5
    assert [entry.kind for entry in (await world.store.ledger("LAMP", limit=1))[0]] == ["COVER"]


async def test_a_ring_fence_given_back_covers_but_one_that_stands_does_not(world: World) -> None:
    await posted(world, "RECEIPT", 5)
    await posted(world, "RING_FENCE", 5, channel="app")
    await backorder(world, "A", 4)
    assert await open_units(world, "A") == (0, 4)
    await posted(world, "RING_FENCE", -3, channel="app")
    assert await open_units(world, "A") == (3, 1)


async def test_safety_stock_does_not_keep_units_from_backorders(world: World) -> None:
    await posted(world, "RECEIPT", 3)
    await backorder(world, "A", 2, places=(Candidate("AMS1", 3, 0),))
    assert await open_units(world, "A") == (0, 2)  # reserving covers nothing
    await posted(world, "RECEIPT", 1)
    assert await open_units(world, "A") == (2, 0)


async def test_a_shortfall_is_made_good_before_backorders(world: World) -> None:
    await posted(world, "RECEIPT", 5)
    await backorder(world, "A", 7)
    await posted(world, "COUNT", 2)
    await world.clock.advance(1)
    await posted(world, "RECEIPT", 4)
    assert (await open_units(world, "A"), await stock(world)) == ((6, 1), (6, 6))


async def test_a_hold_that_is_over_is_passed_over(world: World) -> None:
    await backorder(world, "A", 4, time_to_live_seconds=10)
    await backorder(world, "B", 4)
    await world.clock.advance(10_000)
    await posted(world, "RECEIPT", 4)
    assert await open_units(world, "B") == (4, 0)
    assert (await world.store.reservation("A")).state == "EXPIRED"


async def test_covered_units_of_a_hold_expire_with_it(world: World) -> None:
    await backorder(world, "A", 4, time_to_live_seconds=10)
    await posted(world, "RECEIPT", 4)
    await world.clock.advance(10_000)
    await world.store.expire_due(partition_of("LAMP", 4))
    assert await stock(world) == (4, 0)


async def test_a_release_may_cover_the_reservation_itself(world: World) -> None:
    await posted(world, "RECEIPT", 3)
    asked = line(3), line(2, line_id="2", future=Future(0, 9))
    await world.store.reserve([request(*asked, reservation_id="A")])
    after = (await world.store.release([change("A", LineUnits("1"))])).outcomes[0].reservation
    assert [(a.open, a.is_on_hand) for its in after.lines for a in its.allocations if a.open] == [(2, True)]
    assert after == await world.store.reservation("A")


async def test_many_backorders_are_covered_over_several_calls(open_world: Callable[..., Any]) -> None:
    world = await open_world(COVER_MAX="2")
    for n in range(7):
        await backorder(world, f"A{n}", 1)
    written = await world.store.post_movements(
        [movement("RECEIPT", 6, world.clock.now_ms), movement("SALE", 1, world.clock.now_ms)]
    )
    assert [outcome.result for outcome in written.outcomes] == ["APPLIED", "REFUSED"]
    assert [await open_units(world, f"A{n}") for n in range(7)] == [(1, 0)] * 6 + [(0, 1)]
    assert await stock(world) == (6, 6)
