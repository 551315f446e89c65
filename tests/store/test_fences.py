"""Ring-fences, rule by rule."""

from __future__ import annotations

import pytest

from invengine.domain.orders import LinePlacement, LineUnits
from invengine.domain.partitions import partition_of
from invengine.domain.stock import MovementResult, Position
from invengine.store import keys
from invengine.store.records import read_position
from tests.store.making import Candidate, change, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio


async def stocked(world: World, units: int, **fences: int) -> None:
    """So many LAMP at AMS1, of which ring-fences keep some for channels."""
    kept = [movement("RING_FENCE", n, world.clock.now_ms, channel=channel) for channel, n in fences.items()]
    outcomes = (await world.store.post_movements([movement("RECEIPT", units, world.clock.now_ms), *kept])).outcomes
    assert {outcome.result for outcome in outcomes} == {MovementResult.APPLIED}


async def posted(world: World, kind: str, quantity: int, **more):
    return (await world.store.post_movements([movement(kind, quantity, world.clock.now_ms, **more)])).outcomes[0]


async def here(world: World) -> tuple[int, int, dict[str, int]]:
    """on_hand, reserved and the ring-fences of LAMP at AMS1."""
    position = await world.store.position("LAMP", "AMS1")
    return position.on_hand, position.reserved, dict(position.fences)


async def reserved(world: World, *lines, **more):
    return (await world.store.reserve([request(*lines, reservation_id="A", **more)])).outcomes[0]


def fenced(outcome) -> list[tuple[int, int, str]]:
    """Units of each allocation, how many of the open ones came out of a ring-fence, and whose."""
    return [(a.quantity, a.fenced, a.fence_channel) for its in outcome.reservation.lines for a in its.allocations]


async def test_five_of_ten_are_fenced_and_two_given_back(world: World) -> None:
    await stocked(world, 10, web=5)
    assert await here(world) == (10, 0, {"web": 5})
    assert (await posted(world, "RING_FENCE", -2, channel="web")).result == "APPLIED"
    assert await here(world) == (10, 0, {"web": 3})
    refused = await posted(world, "RING_FENCE", 8, channel="app")  # the pool is 7
    assert (refused.result, refused.refusal.short_lines[0].available) == ("REFUSED", 7)
    refused = await posted(world, "RING_FENCE", -4, channel="web")
    assert (refused.result, refused.refusal.short_lines[0].available) == ("REFUSED", 3)
    assert (await posted(world, "RING_FENCE", -3, channel="web")).result == "APPLIED"
    assert await world.client.hget(keys.stock(partition_of("LAMP", 4), "LAMP"), "AMS1") == b"10,0,3,0"


async def test_fences_are_kept_in_the_order_of_their_channels(world: World) -> None:
    await stocked(world, 10, web=5, app=1, **{"é 01": 2})
    stored = await world.client.hget(keys.stock(partition_of("LAMP", 4), "LAMP"), "AMS1")
    assert stored.decode() == "10,0,1,0\tapp\t1\tweb\t5\té 01\t2"
    assert read_position(stored) == Position(10, 0, 1, 0, (("app", 1), ("web", 5), ("é 01", 2)))
    assert (await posted(world, "RECEIPT", 1)).result == "APPLIED"  # read back as written


async def test_a_sale_takes_from_the_fence_of_its_channel_first(world: World) -> None:
    await stocked(world, 8, till=8)
    assert (await posted(world, "SALE", 3, channel="till")).on_hand == 5
    assert await here(world) == (5, 0, {"till": 5})
    refused = await posted(world, "SALE", 1, channel="web")
    assert (refused.result, refused.refusal.short_lines[0].available) == ("REFUSED", 0)
    refused = await posted(world, "SALE", 1)
    assert (refused.result, refused.refusal.short_lines[0].available) == ("REFUSED", 0)


async def test_a_channel_takes_its_own_fence_and_then_the_pool(world: World) -> None:
    await stocked(world, 10, web=3, app=4)
    short = (await reserved(world, 7)).short_lines[0]
    assert (short.wanted, short.available) == (7, 6)
    assert fenced(await reserved(world, 5)) == [(5, 3, "web")]
    assert await here(world) == (10, 5, {"app": 4})


async def test_a_channel_that_does_not_borrow_has_its_own_fence_only(world: World) -> None:
    await stocked(world, 10, web=3)
    assert (await reserved(world, 4, borrows=False)).short_lines[0].available == 3
    assert (await reserved(world, 1, channel="app", borrows=False)).short_lines[0].available == 0
    assert fenced(await reserved(world, 3, borrows=False)) == [(3, 3, "web")]


async def test_safety_stock_keeps_fenced_units_too(world: World) -> None:
    await stocked(world, 10, web=9)
    assert (await reserved(world, line(8, Candidate("AMS1", 3, 0)))).short_lines[0].available == 7


async def test_a_count_leaves_fences_and_promises_nothing_twice(world: World) -> None:
    await stocked(world, 10, web=6, app=4)
    await posted(world, "COUNT", 5)
    assert await here(world) == (5, 0, {"web": 6, "app": 4})
    assert (await reserved(world, 6)).short_lines[0].available == 5
    assert fenced(await reserved(world, 5)) == [(5, 5, "web")]
    second = (await world.store.reserve([request(1, channel="app")])).outcomes[0]
    assert second.short_lines[0].available == 0


async def test_later_items_of_a_batch_see_the_fences_of_earlier_ones(world: World) -> None:
    await stocked(world, 10, web=4)
    asked = [request(9), request(3), request(3), request(5, channel="app"), request(4, channel="app")]
    outcomes = (await world.store.reserve(asked)).outcomes
    assert [None if hasattr(o, "short_lines") else fenced(o) for o in outcomes] == [
        [(9, 4, "web")],
        None,
        None,
        None,
        None,
    ]
    assert [o.short_lines[0].available for o in outcomes[1:]] == [1, 1, 1, 1]


async def test_a_refused_basket_leaves_the_fences(world: World) -> None:
    await stocked(world, 10, web=4)
    assert (await reserved(world, line(3), line(8, line_id="2"))).short_lines[0].available == 7
    assert await here(world) == (10, 0, {"web": 4})


async def test_pooled_units_are_given_back_first_and_fenced_ones_leave_first(world: World) -> None:
    await stocked(world, 10, web=3)
    await reserved(world, 5)
    after = (await world.store.release([change("A", LineUnits("1", quantity=1))])).outcomes[0]
    assert (fenced(after), await here(world)) == ([(5, 3, "web")], (10, 4, {}))
    await world.store.confirm([change("A")])
    after = (await world.store.fulfil([change("A", LineUnits("1", quantity=2))])).outcomes[0]
    assert (fenced(after), await here(world)) == ([(5, 1, "web")], (8, 2, {}))
    after = (await world.store.release([change("A")])).outcomes[0]
    assert (fenced(after), await here(world)) == ([(5, 0, "")], (8, 0, {"web": 1}))


async def test_an_expired_hold_gives_fenced_units_back_to_their_fence(world: World) -> None:
    await stocked(world, 10, web=3)
    await reserved(world, 5)
    assert b"\t5\t%d\t3\tweb\t\n" % (world.clock.now_ms // 1000 + 60) in (await holds(world))[0]
    await world.clock.advance(60_000)
    await world.store.expire_due(partition_of("LAMP", 4))
    assert (await here(world), await holds(world)) == ((10, 0, {"web": 3}), [])


async def holds(world: World) -> list[bytes]:
    return [entry.rows for chunk in [c async for c in world.store.snapshot_holds()] for entry in chunk]


async def test_a_short_fence_sweeps_what_is_due(world: World) -> None:
    await stocked(world, 10)
    await reserved(world, 10)
    await world.clock.advance(60_000)
    assert (await posted(world, "RING_FENCE", 6, channel="app")).result == "APPLIED"
    assert await here(world) == (10, 0, {"app": 6})


async def test_amended_units_come_from_and_return_to_fences(world: World) -> None:
    await stocked(world, 10, web=3)
    await reserved(world, 2)
    place = (Candidate("AMS1"),)
    more = change("A", channel="web", placements=(LinePlacement("1", 6, place),))
    assert fenced((await world.store.amend([more])).outcomes[0]) == [(6, 3, "web")]
    less = change("A", channel="web", placements=(LinePlacement("1", 1, place),))
    assert fenced((await world.store.amend([less])).outcomes[0]) == [(1, 1, "web")]
    assert await here(world) == (10, 1, {"web": 2})


async def test_units_of_two_fences_are_two_allocations(world: World) -> None:
    await stocked(world, 10, web=3, till=3)
    await reserved(world, 2)
    more = change("A", channel="till", placements=(LinePlacement("1", 4, (Candidate("AMS1"),)),))
    assert fenced((await world.store.amend([more])).outcomes[0]) == [(2, 2, "web"), (2, 2, "till")]


async def test_rebinding_to_the_same_place_changes_nothing(world: World) -> None:
    await stocked(world, 10, web=3)
    before = await reserved(world, 5)
    same = change("A", channel="till", placements=(LinePlacement("1", 0, (Candidate("AMS1"),)),))
    assert (await world.store.rebind([same])).outcomes[0].reservation == before.reservation


async def test_a_hand_over_takes_the_units_anew_where_the_other_channel_may(world: World) -> None:
    await stocked(world, 10, web=4, app=6)
    await reserved(world, 4)
    over = (await world.store.hand_over([change("A", to_channel="app")])).outcomes[0]
    assert (fenced(over), await here(world)) == ([(4, 4, "app")], (10, 4, {"web": 4, "app": 2}))
    last = (await world.store.ledger("LAMP"))[0][0]
    assert (last.kind, last.actor, last.cause, last.reserved_before, last.reserved_after) == (
        "HAND_OVER",
        "till",
        "A",
        4,
        4,
    )


async def test_else_they_stay_out_of_the_first_channels_fence(world: World) -> None:
    await stocked(world, 10, web=4, app=6)
    await reserved(world, 4)
    over = (await world.store.hand_over([change("A", to_channel="till", borrows=False)])).outcomes[0]
    assert over.reservation.channel == "till"
    assert (fenced(over), await here(world)) == ([(4, 4, "web")], (10, 4, {"app": 6}))


async def test_a_damaged_fence_is_told_as_a_fault(world: World) -> None:
    await stocked(world, 10)
    await world.client.hset(keys.stock(partition_of("LAMP", 4), "LAMP"), "AMS1", "10,0,1,0\tweb")
    with pytest.raises(Exception, match="not a position"):
        await reserved(world, 1)


async def test_a_fence_says_nothing_of_what_was_counted(world: World) -> None:
    await stocked(world, 10)
    await posted(world, "COUNT", 9)
    await world.clock.advance(-1_000)
    assert (await posted(world, "RING_FENCE", 2, channel="web")).result == "APPLIED"
    assert (await posted(world, "COUNT", 9)).result == "STALE"
