"""How far feeds are: kept with the movements, never falling, on every topology."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from invengine import errors
from invengine.domain.stock import Feed, FeedMark, Movement
from invengine.store import keys
from invengine.store.records import Unreadable
from invengine.store.redis_store import Atomicity
from tests.redis_clusters import RedisCluster
from tests.store.making import movement
from tests.store.test_cluster import opened as opened_on_cluster
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio


def marked(moved: Movement, position: int, feed: str = "erp") -> Movement:
    return replace(moved, mark=FeedMark(feed, position, moved.source, moved.event_id))


async def test_a_mark_is_kept_with_its_movement(world: World) -> None:
    now = world.clock.now_ms
    assert await world.store.feed("erp") == Feed(FeedMark("erp", 0))
    await world.store.post_movements([movement("RECEIPT", 1, now), marked(movement("SALE", 1, now, event_id="E"), 12)])
    assert await world.store.feed("erp") == Feed(FeedMark("erp", 12, "erp", "E"), now)


async def test_refused_stale_and_repeated_movements_carry_marks_too(world: World) -> None:
    now = world.clock.now_ms
    sale = movement("SALE", 1, now)
    await world.store.post_movements([marked(sale, 1)])
    assert (await world.store.feed("erp")).mark.position == 1
    receipt = movement("RECEIPT", 1, now)
    await world.store.post_movements([receipt, marked(receipt, 2)])
    assert (await world.store.feed("erp")).mark.position == 2
    await world.store.post_movements([movement("COUNT", 5, now), marked(movement("RECEIPT", 1, now - 1), 3)])
    assert (await world.store.feed("erp")).mark.position == 3


async def test_a_position_never_falls_however_large_it_is(world: World) -> None:
    """Positions beyond 2^53 are more than Lua's numbers can tell apart."""
    now = world.clock.now_ms
    kept = 0
    for position in (9, 10, 8, 99, 100, 2**53, 2**53 + 1, 2**53, 2**63 - 2, 2**63 - 1, 1):
        await world.store.post_movements([marked(movement("RECEIPT", 1, now, event_id=str(position)), position)])
        kept = max(kept, position)
        assert (await world.store.feed("erp")).mark.position == kept
    await world.store.mark_feeds([FeedMark("erp", 5), FeedMark("wms", 5), FeedMark("wms", 4)])
    assert (await world.store.feed("erp")).mark.position == kept
    assert (await world.store.feed("wms")).mark.position == 5


async def test_of_two_marks_in_one_call_the_further_one_is_kept(world: World) -> None:
    now = world.clock.now_ms
    batch = [marked(movement("RECEIPT", 1, now), n, feed) for n, feed in ((5, "a"), (7, "b"), (3, "a"), (8, "b"))]
    await world.store.post_movements(batch)
    assert [(await world.store.feed(name)).mark.position for name in "ab"] == [5, 8]


@pytest.mark.parametrize("atomicity", Atomicity)
async def test_a_call_that_stops_early_keeps_only_marks_of_what_it_decided(
    open_world: Callable[..., Any], atomicity: Atomicity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call handles one position, then stops; where the second one fails, its mark is not there."""
    world: World = await open_world(WORK_MAX="0", atomicity=atomicity)
    now, calls = world.clock.now_ms, 0
    real = world.store._call

    async def second_fails(function: str, *rest: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise errors.StoreUnavailable("away")
        return await real(function, *rest)

    batch = [marked(movement("RECEIPT", 1, now, sku="LAMP", location=f"L{n}"), n) for n in (1, 2, 3)]
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "_call", second_fails)
        with pytest.raises(errors.OutcomeUnknown):
            await world.store.post_movements(batch)
    in_steps = atomicity is Atomicity.PARTITION  # there marks come after all movements
    assert (await world.store.feed("erp")).mark.position == (0 if in_steps else 1)
    outcomes = (await world.store.post_movements(batch)).outcomes
    assert [outcome.result.name for outcome in outcomes] == ["REPEATED", "APPLIED", "APPLIED"]
    assert (await world.store.feed("erp")).mark.position == 3


async def test_texts_that_would_break_the_format_are_refused(world: World) -> None:
    for mark in (FeedMark("a\tb", 1), FeedMark("a", 1, "x\n"), FeedMark("a", 1, "x", "\x00")):
        with pytest.raises(errors.InvalidArgument):
            await world.store.mark_feeds([mark])
    await world.client.hset(keys.feeds(0), "broken", "7")
    partitions = [name for name in (f"f{n}" for n in range(99)) if world.store._of(name) == 0]
    await world.client.hset(keys.feeds(0), partitions[0], "7")
    with pytest.raises(Unreadable, match="not a feed"):
        await world.store.feed(partitions[0])


async def test_feeds_of_a_cluster_are_kept_after_all_their_movements(valkey_cluster: RedisCluster) -> None:
    async with opened_on_cluster(valkey_cluster.url) as (store, _):
        now = await store.now_ms()
        for number in range(1, 30):
            moves = [movement("RECEIPT", 1, now, sku=f"S{n}", event_id=f"{number}/{n}") for n in range(20)]
            moves[-1] = marked(moves[-1], number, f"feed {number % 7}")
            await store.post_movements(moves)
            assert (await store.feed(f"feed {number % 7}")).mark.position == number
        assert {(await store.position(f"S{n}", "AMS1")).on_hand for n in range(20)} == {29}
