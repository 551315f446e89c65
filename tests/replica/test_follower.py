"""The follower: loading beside writes, following, and every way in which a history can break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from invengine.errors import StoreUnavailable
from invengine.replica import follower as follower_module
from invengine.replica.clock import StoreClock
from invengine.replica.follower import Follower
from invengine.replica.replica import Replica
from tests.replica.fakes import PARTITIONS, STORE_ID, FakeStore, Trimmed

pytestmark = pytest.mark.asyncio


class World:
    """A store, its replica and the follower between."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.replica = Replica(PARTITIONS, STORE_ID)
        self.reloads: list[str] = []
        self.lags: list[float] = []
        self.follower = Follower(
            self.replica,
            self.store,
            StoreClock(),
            trimmed=Trimmed,
            disruptions=lambda: self.store.disruptions,
            block_ms=5,
            on_lag=self.lags.append,
            on_reload=self.reloads.append,
        )

    def rows(self) -> list[tuple[str, str, int, int, int]]:
        """As the replica has them, but for expired units."""
        return sorted(row[:4] + row[5:] for row in self.replica.columns.all_positions())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    async def until_equal(self) -> None:
        await self.until(lambda: self.rows() == self.store.rows())

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follower.run())
        try:
            yield
        finally:
            self.follower.stop()
            await task


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(follower_module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(follower_module, "RETRY_SECONDS_MAX", 0.002)
    return World()


async def test_a_load_takes_over_what_is_there(world: World) -> None:
    for n in range(50):
        world.store.write(f"S{n % 20}", f"L{n % 7}", n)
    world.store.hold(1, "S1", "L1", 2, 5_000, 9, 2)
    await world.follower.load()
    assert world.store.rows() == world.rows()
    assert world.replica.columns.hold_count == 1
    assert world.replica.staleness_ms() < 10_000
    world.replica.advance(5_000_000)
    assert sum(row[4] for row in world.replica.columns.all_positions()) == 2


async def test_a_load_beside_writes_ends_with_all_of_them(world: World) -> None:
    """Changes before, in and after the snapshot of their SKU; holds that end while it is taken."""
    for n in range(30):
        world.store.hold(n, f"S{n}", "L", 1, 4_000, 10, 1)
    state = {"n": 0}

    def writes() -> None:
        n = state["n"] = state["n"] + 1
        world.store.hold(n % 30, f"S{n % 30}", "L", n % 2, 3_000 * (n % 2), 10 + n, n % 2)
        world.store.write(f"NEW{n}", "L", n)
        if n > 60:
            world.store.during_snapshot = lambda: None

    world.store.during_snapshot = writes
    await world.follower.load()
    assert world.store.rows() == world.rows()
    live = {key: hold for key, hold in world.store.holds.items() if hold[2]}
    assert world.replica.columns.hold_count == len(live)
    world.replica.advance(10_000_000)
    expired = {
        (sku, location): units for sku, location, _, _, units, _ in world.replica.columns.all_positions() if units
    }
    assert expired == {(sku, location): units for sku, location, units, _ in live.values()}


async def test_a_load_takes_over_ring_fences_and_what_is_expected_beside_writes(world: World) -> None:
    """They change, end and come while the snapshot is taken, so that old log entries meet what is newer already."""
    store = world.store
    for n in range(20):
        store.fence(f"S{n}", "L", "web", n, 50)
        store.fence(f"S{n}", "L", "till", 20 - n, 50)
        store.expect(f"S{n}", "L", "PO1", 20_000 + n, 5, 1)
        store.expect(f"S{n}", "L", "", 0, 0, n)
    state = {"n": 0}

    def writes() -> None:
        n = state["n"] = state["n"] + 1
        store.fence(f"S{n % 20}", "L", "web", n % 3, 50 + n)
        store.fence(f"S{n % 20}", "L", f"new{n % 5}", n, 50 + n)
        store.expect(f"S{n % 20}", "L", "PO1", 20_000, n % 2 * 7, 0)
        store.expect(f"S{n % 20}", "L", f"PO{n}", 20_000, 1, 0)
        store.expect(f"S{n % 20}", "M", "", 0, 0, n % 4)
        if n > 60:
            store.during_snapshot = lambda: None

    store.during_snapshot = writes
    await world.follower.load()

    def check() -> None:
        assert store.rows() == world.rows()
        found = {row[:3]: row[3:] for row in world.replica.columns.all_ring_fences()}
        expected = {(*place, channel): (n, 0) for place, kept in store.fences.items() for channel, n in kept.items()}
        assert expected == found
        receipts = [receipt for receipt in store.receipts.values() if receipt.receipt_id]
        assert sorted(receipts, key=lambda r: (r.expected_day, r.sku, r.location, r.receipt_id)) == (
            world.replica.incoming.all()
        )
        backorders = {key[:2]: receipt.pegged for key, receipt in store.receipts.items() if not key[2]}
        assert backorders == world.replica.incoming.all_backordered()

    check()
    async with world.following():
        for _ in range(100):
            writes()
            await asyncio.sleep(0)
        await world.until_equal()
        check()
    assert world.reloads == []


async def test_a_damaged_row_of_a_receipt_is_answered_by_a_new_load(world: World) -> None:
    world.store.expect("S", "L", "PO1", 20_000, 5, 0)
    await world.follower.load()
    async with world.following():
        entry = world.store.expect("S", "L", "PO1", 20_000, 6, 0)
        world.store.logs[entry.partition][-1] = replace(entry, rows=entry.rows.replace(b"\t6\t", b"\tsix\t"))
        await world.until(lambda: [receipt.quantity for receipt in world.replica.incoming.all()] == [6])
    assert "LogMalformed" in world.reloads


async def test_a_load_begins_again_when_the_log_is_trimmed_meanwhile(world: World) -> None:
    for n in range(10):
        world.store.write(f"S{n}", "L", n)

    def trims() -> None:
        world.store.during_snapshot = lambda: None
        world.store.write("S1", "L", 99)
        world.store.trim()
        world.store.write("S1", "L", 100)

    world.store.during_snapshot = trims
    await world.follower.load()
    assert world.store.calls.count("snapshot_positions") == 2
    assert world.store.rows() == world.rows()


async def test_what_is_written_is_followed(world: World) -> None:
    await world.follower.load()
    async with world.following():
        for n in range(200):
            world.store.write(f"S{n % 9}", f"L{n % 4}", n)
            if n % 20 == 0:
                await asyncio.sleep(0)
        await world.until_equal()
    assert world.reloads == []
    assert world.lags
    assert max(world.lags) < 10


async def test_own_writes_are_there_at_once_and_followed_no_second_time(world: World) -> None:
    await world.follower.load()
    async with world.following():
        for n in range(50):
            world.replica.apply([world.store.write("S", "L", n)])
            assert world.store.rows() == world.rows()
            if n % 7 == 0:
                await asyncio.sleep(0.002)
    assert world.reloads == []


async def test_an_own_write_behind_a_gap_waits_for_the_follower(world: World) -> None:
    await world.follower.load()
    world.store.write("S", "L", 1)
    world.replica.apply([world.store.write("S", "L", 2)])
    assert world.rows() == []
    async with world.following():
        await world.until_equal()


async def test_a_trimmed_log_is_answered_by_a_new_load(world: World) -> None:
    world.store.write("S", "L", 1)
    await world.follower.load()
    world.store.write("S", "L", 2)
    world.store.trim()
    world.store.write("S", "L", 3)
    async with world.following():
        await world.until_equal()
    assert world.reloads == ["Trimmed"]


async def test_a_store_that_lost_writes_is_noticed_before_anything_is_applied(world: World) -> None:
    """After a failover the same revisions name other changes: none of the new ones may come on top of the lost ones."""
    world.store.write("S", "L", 1)
    await world.follower.load()
    async with world.following():
        world.store.write("S", "L", 2)
        await world.until_equal()
        world.store.away = True
        await world.until(lambda: world.store.disruptions > 2)
        world.store.lose("S", "L", (1, 0, 1))
        world.store.write("S", "OTHER", 5)  # revision 2 again
        world.store.write("S", "OTHER", 6)
        world.store.away = False
        await world.until_equal()
    assert world.reloads == ["HistoryLost"]


async def test_a_disruption_that_the_store_hid_is_noticed(world: World) -> None:
    """The store repeats reads by itself; the count of lost connections tells."""
    world.store.write("S", "L", 1)
    await world.follower.load()
    async with world.following():
        world.store.write("S", "L", 2)
        await world.until_equal()
        world.store.lose("S", "L", (1, 0, 1))
        world.store.disruptions += 1
        world.store.write("S", "L", 7)
        world.store.write("S", "OTHER", 8)
        await world.until_equal()
    assert world.reloads == ["HistoryLost"]


async def test_a_store_that_went_back_is_noticed_within_a_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "VERIFY_SECONDS", 0.01)
    world.store.write("S", "L", 1)
    await world.follower.load()
    async with world.following():
        world.store.write("S", "L", 2)
        await world.until_equal()
        world.store.lose("S", "L", (1, 0, 1))
        await world.until_equal()
    assert world.reloads == ["HistoryLost"]


async def test_a_store_that_is_away_is_waited_for(world: World) -> None:
    world.store.write("S", "L", 1)
    await world.follower.load()
    async with world.following():
        world.store.away = True
        await world.until(lambda: world.store.disruptions > 3)
        world.store.write("S", "L", 2)
        assert world.rows() == [("S", "L", 1, 0, 1)]
        world.store.away = False
        await world.until_equal()
    assert world.reloads == []


async def test_staleness_grows_while_the_store_is_away(world: World) -> None:
    await world.follower.load()
    async with world.following():
        await world.until(lambda: world.replica.staleness_ms() < 50)
        world.store.away = True
        await world.until(lambda: world.replica.staleness_ms() > 100)
        world.store.away = False
        await world.until(lambda: world.replica.staleness_ms() < 50)


async def test_a_damaged_entry_is_answered_by_a_new_load(world: World) -> None:
    world.store.write("S", "L", 1)
    await world.follower.load()
    async with world.following():
        await world.until(lambda: world.replica.staleness_ms() < 1000)
        world.store.damage(world.store.write("S", "L", 2))
        await world.until_equal()
        world.store.write("S", "L", 3)
        await world.until_equal()
    assert "LogMalformed" in world.reloads


async def test_a_damaged_own_write_does_not_fail_the_writer(world: World) -> None:
    await world.follower.load()
    entry = world.store.write("S", "L", 2)
    world.store.damage(entry)
    world.replica.apply([world.store.logs[entry.partition][-1]])
    assert world.replica.fault is not None
    async with world.following():
        await world.until_equal()
    assert world.replica.fault is None


async def test_a_load_from_a_store_that_is_away_says_so(world: World) -> None:
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.follower.load()


async def test_a_reload_survives_a_store_that_is_away(world: World) -> None:
    world.store.write("S", "L", 1)
    await world.follower.load()
    world.store.write("S", "L", 2)
    world.store.trim()
    world.store.write("S", "L", 3)

    def breaks() -> None:
        world.store.during_snapshot = lambda: None
        world.store.away = True

    world.store.during_snapshot = breaks
    async with world.following():
        await world.until(lambda: world.store.disruptions > 2)
        world.store.away = False
        await world.until_equal()


async def test_units_in_states_are_loaded_and_followed() -> None:
    """Those that the snapshot had, and what the log says of them after it."""
    world = World()
    world.store.write("LAMP", "AMS1", 10)
    world.store.put_aside("LAMP", "AMS1", "quarantine", 3)
    world.store.during_snapshot = once(lambda: world.store.put_aside("LAMP", "AMS1", "damaged", 2))
    await world.follower.load()
    assert world.replica.unsellable.at("LAMP", "AMS1") == (("damaged", 2), ("quarantine", 3))
    async with world.following():
        world.store.put_aside("LAMP", "AMS1", "quarantine", 0)
        world.store.put_aside("LAMP", "BER1", "damaged", 1)
        await world.until(lambda: world.replica.unsellable.units("LAMP", "BER1", "damaged") == 1)
    assert world.replica.unsellable.at("LAMP", "AMS1") == (("damaged", 2),)
    assert {(one.location, one.state): one.units for one in world.replica.unsellable.all()} == {
        ("AMS1", "damaged"): 2,
        ("AMS1", "quarantine"): 0,
        ("BER1", "damaged"): 1,
    }


def once(act: Callable[[], object]) -> Callable[[], object]:
    """Calls `act` the first time only."""
    left = [act]
    return lambda: left.pop()() if left else None
