"""Rows of snapshots in the store: counts of an instant, orders that were gone by then, what is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from invengine.domain.orders import LineUnits, ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.snapshots import NOT_COUNTED, CountedOutcome, CountedSku, Snapshot
from invengine.domain.stock import Movement, MovementKind, MovementResult
from invengine.errors import RequestMismatch
from invengine.store.location_snapshots import NOT_APPLIED
from invengine.store.redis_store import Atomicity, StoreSettings
from tests.store.making import change, line, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

PARTITIONS = 4
MINUTE = 60_000


@pytest_asyncio.fixture(params=Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def world(open_world: Callable[..., Any], request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A store whose calls see all of it, or one partition."""
    yield await open_world(atomicity=request.param)


def snapshot(as_of_ms: int, snapshot_id: str = "s1", **more: Any) -> Snapshot:
    return Snapshot("erp", snapshot_id, "AMS1", as_of_ms, **more)


async def apply(world: World, as_of_ms: int, *rows: CountedSku, **more: Any) -> list[CountedOutcome]:
    return (await world.store.snapshots.apply(snapshot(as_of_ms), rows, **more)).outcomes


async def move(world: World, units: int, at_ms: int, sku: str = "LAMP") -> int:
    """A receipt, or below 0 an adjustment; on_hand after it."""
    kind = MovementKind.RECEIPT if units > 0 else MovementKind.ADJUSTMENT
    event_id = f"{sku} {units} {at_ms} {world.clock.now_ms}"
    movement = Movement("wms", event_id, at_ms, kind, sku, "AMS1", units, "why" if units < 0 else "")
    (outcome,) = (await world.store.post_movements([movement])).outcomes
    assert outcome.result is MovementResult.APPLIED
    return outcome.on_hand


async def order(world: World, ref: str, units: int, **more: Any) -> str:
    """A confirmed reservation of LAMP."""
    name = f"of {ref} {units}"
    await world.store.reserve([request(units, reservation_id=name, request_id=name, order_ref=ref, **more)])
    await world.store.confirm([change(name)])
    return name


def trail_key(sku: str = "LAMP") -> str:
    return f"{{p{partition_of(sku, PARTITIONS)}}}:trail:{sku}"


async def test_entries_of_a_trail_may_have_four_to_six_fields(world: World) -> None:
    """Those of other states are none of on_hand."""
    now = world.clock.now_ms
    await move(world, 10, now - 30 * MINUTE)
    entries = [
        f"{now}\t{now - MINUTE}\tAMS1\t{text}" for text in ("1", "2\t", "4\tdamaged", "8\t\to-1", "16\tdamaged\to-1")
    ]
    await world.client.rpush(trail_key(), *entries)
    (outcome,) = await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 100))
    assert outcome.on_hand == 111
    (gone,) = await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 100, ("o-1",)))
    assert (gone.result, gone.on_hand) == (MovementResult.APPLIED, 103)
    assert (await world.client.lrange(trail_key(), -5, -1))[2:] == [
        entries[2].encode(),
        f"{now}\t{now - 10 * MINUTE}\tAMS1\t8\t\to-1".encode(),
        entries[4].encode(),
    ]


@pytest.mark.parametrize("damage", ["x", "1\t2\tAMS1", "1\t2\tAMS1\t3\ta\tb\tc", "1\t2\tAMS1\t3.5"])
async def test_a_damaged_trail_is_told_and_nothing_is_written(world: World, damage: str) -> None:
    await move(world, 10, world.clock.now_ms - 30 * MINUTE)
    await world.client.rpush(trail_key(), damage)
    with pytest.raises(Exception, match="not an entry of a trail"):
        await apply(world, world.clock.now_ms - MINUTE, CountedSku("LAMP", 1))
    assert (await world.store.position("LAMP", "AMS1")).on_hand == 10


async def test_orders_are_found_in_long_trails(world: World) -> None:
    """Some thousand entries, read in parts; the order's stand at both ends and at the seams."""
    now = world.clock.now_ms
    await move(world, 5_000, now - 50 * MINUTE)
    await order(world, "o-1", 3)
    places = (0, 498, 499, 500, 501, 999, 1_000, 1_499)
    for n in range(1_500):
        if n in places:
            await world.client.rpush(trail_key(), f"{now}\t{now}\tAMS1\t-1\t\to-1")
        else:
            await world.client.rpush(trail_key(), f"{now}\t{now - MINUTE}\tAMS1\t-1\t\tx-{n}")
    (outcome,) = await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 4_000, ("o-1",)))
    assert outcome.on_hand == 4_000 - (1_500 - len(places))
    entries = await world.client.lrange(trail_key(), 1, -1)
    moved = [n for n, entry in enumerate(entries) if entry.split(b"\t")[1] == str(now - 10 * MINUTE).encode()]
    assert moved == list(places)


async def test_a_later_count_learns_what_left_before_it(world: World) -> None:
    """The fulfilment was recorded after the newer count's instant; the older snapshot says it had left before."""
    now = world.clock.now_ms
    await move(world, 10, now - 50 * MINUTE)
    name = await order(world, "o-1", 3)
    await world.store.fulfil([change(name)])
    (newer,) = await apply(world, now - 5 * MINUTE, CountedSku("LAMP", 7))
    assert newer.on_hand == 4
    (older,) = await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 7, ("o-1",)))
    assert (older.result, older.on_hand, older.on_hand_before) == (MovementResult.STALE, 7, 4)
    (again,) = await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 7, ("o-1",)))
    assert (again.result, again.on_hand) == (MovementResult.STALE, 7)
    entries, _ = await world.store.ledger("LAMP")
    assert [(e.kind, e.on_hand_before, e.on_hand_after) for e in entries[:2]] == [("COUNT", 4, 7), ("COUNT", 7, 4)]


async def test_a_state_is_counted_by_itself(world: World) -> None:
    """Orders and shortfalls are none of its business; one that was never used is none at a full snapshot."""
    now = world.clock.now_ms
    receipt = Movement("wms", "e1", now - 50 * MINUTE, MovementKind.RECEIPT, "LAMP", "AMS1", 5, state="damaged")
    later = Movement("wms", "e2", now - 5 * MINUTE, MovementKind.RECEIPT, "LAMP", "AMS1", 2, state="damaged")
    await world.store.post_movements([receipt, later])
    row = CountedSku("LAMP", 4, ("o-1",), state="damaged")
    (first,) = await apply(world, now - 10 * MINUTE, row)
    assert (first.result, first.on_hand, first.on_hand_before, first.makes_shortfall) == (
        MovementResult.APPLIED,
        6,
        7,
        False,
    )
    assert [(await apply(world, now - 10 * MINUTE, row))[0].result] == [MovementResult.REPEATED]
    (older,) = await apply(world, now - 20 * MINUTE, row)
    assert (older.result, older.on_hand) == (MovementResult.STALE, 6)
    position = await world.store.position("LAMP", "AMS1")
    assert (position.on_hand, position.counted_at_ms) == (0, 0)
    await world.store.snapshots.note_full(snapshot(now - 10 * MINUTE))
    new = Movement("wms", "e3", now - 30 * MINUTE, MovementKind.RECEIPT, "LAMP", "AMS1", 5, state="quarantine")
    assert (await world.store.post_movements([new])).outcomes[0].result is MovementResult.STALE


async def test_units_that_were_not_counted_only_settle_orders(world: World) -> None:
    now = world.clock.now_ms
    await move(world, 10, now - 50 * MINUTE)
    name = await order(world, "o-1", 3)
    await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 7))
    await world.store.fulfil([change(name)])
    assert (await world.store.position("LAMP", "AMS1")).on_hand == 4
    row = CountedSku("LAMP", NOT_COUNTED, ("o-1",))
    (settled,) = await apply(world, now - 10 * MINUTE, row, reason="left before the count")
    assert (settled.result, settled.on_hand) == (MovementResult.APPLIED, 7)
    (nothing,) = await apply(world, now - 10 * MINUTE, row)
    assert (nothing.result, nothing.on_hand) == (MovementResult.REPEATED, 7)
    (unknown,) = await apply(world, now - 10 * MINUTE, CountedSku("RUG", NOT_COUNTED, ("o-1",)))
    assert (unknown.result, unknown.revision) == (MovementResult.REPEATED, 0)
    assert await world.store.position("RUG", "AMS1") is None


@pytest.mark.parametrize(("counted", "on_hand"), [(True, 10), (False, 7)], ids=["counted since", "not counted"])
async def test_what_left_at_an_instant_lowers_what_was_not_counted_since(
    world: World, counted: bool, on_hand: int
) -> None:
    now = world.clock.now_ms
    await move(world, 10, now - 50 * MINUTE)
    name = await order(world, "o-1", 3)
    if counted:
        await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 10))
    left = change(name, LineUnits("1", "AMS1"), left_at_ms=now - 10 * MINUTE, reason="snapshot s1")
    (answer,) = (await world.store.fulfil([left])).outcomes
    assert answer.reservation.state is ReservationState.FULFILLED
    position = await world.store.position("LAMP", "AMS1")
    assert (position.on_hand, position.reserved) == (on_hand, 0)
    (entry, *_), _ = await world.store.ledger("LAMP")
    assert (entry.kind, entry.reason, entry.reference) == ("FULFIL", "snapshot s1", "o-1")
    assert (entry.occurred_at_ms, entry.on_hand_after) == (now - 10 * MINUTE, on_hand)
    (count,) = await apply(world, now - 20 * MINUTE if not counted else now - 10 * MINUTE, CountedSku("LAMP", 10))
    assert count.on_hand == on_hand  # kept on top of an earlier count, contained in one of that instant


async def test_what_was_taken_from_a_short_position_may_have_left_before_it_was_counted(world: World) -> None:
    now = world.clock.now_ms
    await move(world, 10, now - 50 * MINUTE)
    name = await order(world, "o-1", 3)
    await apply(world, now - 10 * MINUTE, CountedSku("LAMP", 0))
    left = change(name, LineUnits("1", "AMS1"), left_at_ms=now - 10 * MINUTE)
    (answer,) = (await world.store.fulfil([left])).outcomes
    assert answer.reservation.state is ReservationState.FULFILLED
    assert (await world.store.position("LAMP", "AMS1")).on_hand == 0


async def test_a_full_snapshot_is_of_its_location_and_an_older_one_takes_nothing_back(world: World) -> None:
    now = world.clock.now_ms
    for as_of_ms in (now - 10 * MINUTE, now - 20 * MINUTE):
        await world.store.snapshots.note_full(snapshot(as_of_ms))
    keys = [f"{{p{partition}}}:counted" for partition in range(PARTITIONS)]
    assert [await world.client.hgetall(key) for key in keys] == [
        {b"AMS1": str(now - 10 * MINUTE).encode()}
    ] * PARTITIONS

    async def late(sku: str, location: str, at_ms: int) -> MovementResult:
        movement = Movement("wms", f"{sku} {location} {at_ms}", at_ms, MovementKind.RECEIPT, sku, location, 5)
        return (await world.store.post_movements([movement])).outcomes[0].result

    assert await late("RUG", "AMS1", now - 10 * MINUTE) is MovementResult.STALE
    assert await world.store.position("RUG", "AMS1") is None
    assert await late("RUG", "AMS1", now - 10 * MINUTE + 1) is MovementResult.APPLIED
    assert (await world.store.position("RUG", "AMS1")).counted_at_ms == now - 10 * MINUTE
    assert await late("RUG", "BER1", now - 30 * MINUTE) is MovementResult.APPLIED


async def test_a_snapshot_is_remembered_for_one_to_two_retentions(open_world: Callable[..., Any]) -> None:
    world = await open_world(settings=StoreSettings(retention_seconds=600))
    snapshots = world.store.snapshots
    mine = snapshot(world.clock.now_ms)
    assert [await snapshots.note(mine, "f"), await snapshots.note(mine, "f")] == [NOT_APPLIED, NOT_APPLIED]
    assert [
        await snapshots.note(mine, "f", 3),
        await snapshots.note(mine, "f", 0),
        await snapshots.note(mine, "f"),
    ] == [3] * 3
    with pytest.raises(RequestMismatch):
        await snapshots.note(mine, "g")
    assert await snapshots.note(snapshot(world.clock.now_ms, "s2"), "g", 0) == 0
    await world.clock.advance(600_000)
    assert await snapshots.note(mine, "f") == 3
    await world.clock.advance(1_200_000)
    assert await snapshots.note(mine, "g") == NOT_APPLIED
    for partition in range(PARTITIONS):
        await world.store.forget_old(partition)
    assert len(await world.client.keys("*:snapshots:*")) == 1


async def test_many_rows_are_done_in_parts(world: World) -> None:
    rows = [CountedSku(f"S{n}", n) for n in range(3_000)]
    outcomes = await apply(world, world.clock.now_ms, *rows)
    assert [outcome.on_hand for outcome in outcomes] == list(range(3_000))
    again = await apply(world, world.clock.now_ms, *rows)
    assert {outcome.result for outcome in again} == {MovementResult.REPEATED}


async def test_many_orders_are_done_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has so many of them, or one row."""
    monkeypatch.setattr("invengine.store.fitting.ORDER_REFS_PER_CALL", 7)
    refs = tuple(f"o-{n}" for n in range(10))
    rows = [CountedSku(f"S{n}", n, refs[: n % 11]) for n in range(40)]
    assert [outcome.on_hand for outcome in await apply(world, world.clock.now_ms, *rows)] == list(range(40))


async def test_an_instant_goes_with_lines_of_one_partition(open_world: Callable[..., Any]) -> None:
    """In pieces it could not be taken back in part; what asks for it is a fault, and changes nothing."""
    world = await open_world(atomicity=Atomicity.PARTITION)
    now = world.clock.now_ms
    skus = [f"S{n}" for n in range(8)]
    assert len({partition_of(sku, PARTITIONS) for sku in skus}) > 1
    for sku in skus:
        await move(world, 5, now - MINUTE, sku)
    lines = (line(1, sku=sku, line_id=str(n)) for n, sku in enumerate(skus))
    await world.store.reserve([request(*lines, reservation_id="R")])
    await world.store.confirm([change("R")])
    with pytest.raises(Exception, match="names the lines of one partition"):
        await world.store.fulfil([change("R", left_at_ms=now)])
    assert [(await world.store.position(sku, "AMS1")).reserved for sku in skus] == [1] * 8
