"""The replica beside a real Redis: equal to it once it has caught up, whatever was written and whenever holds ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, replace
from typing import Any

import pytest

from invengine import kernels
from invengine.domain.incoming import SECONDS_OF_DAY, IncomingChange, IncomingKind, Receipt
from invengine.domain.orders import (
    Candidate,
    Future,
    LinePlacement,
    LineRequest,
    ReservationChange,
    ReserveRequest,
)
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import Movement, MovementKind
from invengine.errors import InsufficientStock
from invengine.replica import follower as follower_module
from invengine.replica.clock import StoreClock
from invengine.replica.follower import Follower
from invengine.replica.replica import Replica
from invengine.store.redis_store import LogTrimmed, RedisStore, Written
from tests.kernels.reference import Asked, Asker
from tests.kernels.strategies import compiled
from tests.redis_servers import RunningRedis
from tests.store.worlds import World, opened

pytestmark = pytest.mark.asyncio

SKUS = [f"SKU-{n}" for n in range(6)] + ["A-SKU-THAT-IS-LONGER-THAN-AN-INLINE-KEY"]
LOCATIONS = [f"L{n}" for n in range(4)]
CHANNELS = ["web", "till", "market"]
RECEIPTS = ["PO1", "PO2"]
RING_FENCE = MovementKind.RING_FENCE


class Writer:
    """Random writes of one server, applied to its own replica as they are answered."""

    def __init__(self, world: World, replica: Replica, seed: int) -> None:
        self._world, self._store, self._replica = world, world.store, replica
        self._random = random.Random(seed)
        self._name, self._count = f"w{seed}", 0
        self._made: list[str] = []

    def _next(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    async def step(self) -> None:
        kinds = ("move", "move", "reserve", "reserve", "change", "change", "place", "incoming", "expire", "clock")
        kind = self._random.choice(kinds)
        if kind == "clock":
            await self._world.clock.advance(self._random.choice((100, 2000)))
        elif kind == "expire":
            written, _ = await self._store.expire_due(self._random.randrange(self._store.partitions))
            self._replica.apply(written.entries)
        else:
            written = await getattr(self, f"_{kind}")()
            self._replica.apply(written.entries)

    async def one_of_each(self) -> None:
        """A fenced hold, a receipt and a backorder, so that there is one of each to compare."""
        sku, location, tomorrow = SKUS[-1], LOCATIONS[0], self._today() + 1
        await self.fence(sku, location, "web")
        receipt = IncomingChange(self._name, self._next(), IncomingKind.SET, sku, LOCATIONS[1], "PO", 5, tomorrow)
        self._replica.apply((await self._store.change_incoming([receipt])).entries)
        fenced = LineRequest("l0", sku, 2, (Candidate(location),))
        backorder = LineRequest(
            "l0", sku, 900, tuple(map(Candidate, LOCATIONS)), allow_split=True, future=Future(0, 900)
        )
        for line in (fenced, backorder):
            request = ReserveRequest(self._next(), "f", self._next(), "web", (line,), 5, borrows=line is backorder)
            self._replica.apply((await self._store.reserve([request])).entries)

    async def fence(self, sku: str, location: str, channel: str) -> None:
        """Units come, and some of them are fenced."""
        now_ms = self._world.clock.now_ms
        stock = Movement(self._name, self._next(), now_ms, MovementKind.RECEIPT, sku, location, 90)
        fence = replace(stock, event_id=self._next(), kind=RING_FENCE, quantity=3, channel=channel)
        self._replica.apply((await self._store.post_movements([stock, fence])).entries)

    async def _move(self) -> Written[Any]:
        pick = self._random
        movements = [
            Movement(
                self._name,
                self._next(),
                self._world.clock.now_ms,
                kind := pick.choice((RING_FENCE, *MovementKind)),
                pick.choice(SKUS),
                pick.choice(LOCATIONS),
                pick.randrange(1, 9)
                * (pick.choice((1, 1, -1)) if kind in (MovementKind.ADJUSTMENT, RING_FENCE) else 1),
                reason="because",
                channel=pick.choice(CHANNELS) if kind in (MovementKind.SALE, RING_FENCE) else "",
                state=pick.choice(("", "quarantine")) if kind not in (MovementKind.SALE, RING_FENCE) else "",
                to_state=pick.choice(("damaged", "gone")) if kind is MovementKind.STATE_CHANGE else "",
            )
            for _ in range(pick.randrange(1, 5))
        ]
        return await self._store.post_movements(movements)

    async def _incoming(self) -> Written[Any]:
        pick = self._random
        changes = [
            IncomingChange(
                self._name,
                self._next(),
                kind := pick.choice((IncomingKind.SET, *IncomingKind)),
                pick.choice(SKUS),
                pick.choice(LOCATIONS),
                pick.choice(RECEIPTS),
                quantity=pick.randrange(1, 9) if kind in (IncomingKind.SET, IncomingKind.RECEIVE) else 0,
                expected_day=self._today() + pick.randrange(-2, 9),
                closes=kind is IncomingKind.RECEIVE and pick.random() < 0.3,
                occurred_at_ms=self._world.clock.now_ms,
            )
            for _ in range(pick.randrange(1, 4))
        ]
        return await self._store.change_incoming(changes)

    async def _reserve(self) -> Written[Any]:
        pick = self._random
        lines = tuple(self._line(f"l{n}") for n in range(pick.randrange(1, 4)))
        request = ReserveRequest(
            self._next(),
            "f",
            self._next(),
            pick.choice(CHANNELS),
            lines,
            pick.randrange(1, 6),
            best_effort=True,
            borrows=pick.random() < 0.7,
        )
        written = await self._store.reserve([request])
        self._made += [o.reservation.reservation_id for o in written.outcomes if isinstance(o, ReservationAnswer)]
        return written

    def _line(self, line_id: str) -> LineRequest:
        pick = self._random
        return LineRequest(
            line_id,
            pick.choice(SKUS),
            pick.randrange(1, 6),
            self._candidates(),
            allow_split=pick.random() < 0.7,
            future=self._future(),
        )

    def _candidates(self) -> tuple[Candidate, ...]:
        return tuple(Candidate(name, self._random.choice((0, 0, 2))) for name in LOCATIONS)

    def _future(self) -> Future | None:
        return self._random.choice((None, Future(self._today() + 3), Future(0, 12)))

    def _today(self) -> int:
        return self._world.clock.now_ms // 1000 // SECONDS_OF_DAY

    async def _change(self) -> Written[Any]:
        if not self._made:
            return await self._move()
        store = self._store
        verb = self._random.choice((store.confirm, store.extend, store.release, store.fulfil, store.hand_over))
        return await verb([self._changed(time_to_live_seconds=4, to_channel=self._random.choice(CHANNELS))])

    async def _place(self) -> Written[Any]:
        """Amends or rebinds."""
        if not self._made:
            return await self._move()
        pick = self._random
        placement = LinePlacement(
            pick.choice(("l0", "l1")), pick.randrange(0, 8), self._candidates(), pick.random() < 0.7, "", self._future()
        )
        if pick.random() < 0.3:
            return await self._store.rebind([self._changed(placements=(placement,))])
        added = (self._line(""),) if pick.random() < 0.3 else ()
        return await self._store.amend([self._changed(placements=(placement,), added=added)])

    def _changed(self, **fields: Any) -> ReservationChange:
        pick = self._random
        change = ReservationChange(self._next(), "f", pick.choice(self._made), pick.choice(CHANNELS), **fields)
        return replace(change, borrows=pick.random() < 0.7)


@dataclass(frozen=True)
class Seen:
    """How much of each there was to compare."""

    fences: int = 0
    fences_of_holds_over: int = 0
    receipts: int = 0
    backorders: int = 0

    def __add__(self, other: Seen) -> Seen:
        return Seen(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@asynccontextmanager
async def following(store: RedisStore) -> AsyncIterator[Replica]:
    """A replica of the store that follows it, and is never loaded anew."""
    replica, clock, reloads = Replica(store.partitions, store.store_id), StoreClock(), list[str]()
    follower = Follower(replica, store, clock, trimmed=LogTrimmed, block_ms=10, on_reload=reloads.append)
    await follower.load()
    task = asyncio.create_task(follower.run())
    try:
        yield replica
    finally:
        follower.stop()
        await task
    assert reloads == []


async def assert_equal(world: World, *replicas: Replica) -> Seen:
    """Every position, ring-fence and receipt as Redis has it; expired units are those of its holds that are over."""
    store = world.store
    revisions = list(enumerate(await store.revisions()))
    stored = {(sku, location): position for sku in SKUS for location, position in (await store.positions(sku)).items()}
    holds, expired, over = 0, dict.fromkeys(stored, 0), dict[tuple[str, str, str], int]()
    async for chunk in store.snapshot_holds():
        for entry in chunk:
            for line in entry.rows.decode().splitlines():
                _, _, sku, location, units, expires_at, fenced, channel, _ = line.split("\t")
                holds += 1
                if int(expires_at) * 1000 <= world.clock.now_ms:
                    expired[sku, location] += int(units)
                    if channel:
                        over[sku, location, channel] = over.get((sku, location, channel), 0) + int(fenced)
    fences = {(*place, channel): units for place, position in stored.items() for channel, units in position.fences}
    receipts = {sku: in_order(await store.receipts(sku)) for sku in SKUS}
    backordered = {(sku, place): units for sku in SKUS for place, units in (await store.backordered(sku)).items()}
    for replica in replicas:
        await replica.wait_for(revisions, 10)
        replica.advance(world.clock.now_ms)
        found = {row[:2]: row[2:] for row in replica.columns.all_positions()}
        assert {key: (p.on_hand, p.reserved, p.revision) for key, p in stored.items()} == {
            key: (row[0], row[1], row[3]) for key, row in found.items()
        }
        assert expired == {key: row[2] for key, row in found.items()}
        assert holds == replica.columns.hold_count
        assert {key: (fences.get(key, 0), over.get(key, 0)) for key in fences.keys() | over.keys()} == {
            row[:3]: row[3:] for row in replica.columns.all_ring_fences()
        }
        assert receipts == {sku: replica.incoming.receipts(sku) for sku in SKUS}
        states = [one for sku in SKUS for one in await store.unsellable(sku)]
        assert sorted(states, key=repr) == sorted(replica.unsellable.all(), key=repr)
        assert backordered == replica.incoming.all_backordered()
    return Seen(len(fences), len(over), sum(map(len, receipts.values())), len(backordered))


def in_order(receipts: list[Receipt]) -> list[Receipt]:
    return sorted(receipts, key=lambda receipt: (receipt.expected_day, receipt.location, receipt.receipt_id))


@pytest.mark.parametrize("seed", range(3))
async def test_replicas_equal_redis_after_random_writes(
    redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two servers write at once, each with its replica; a third joins in the middle, loading beside the writes."""
    redis_server.empty()
    monkeypatch.setattr(
        follower_module, "VERIFY_SECONDS", 0.005
    )  # own writes are compared with the log again and again
    async with (
        opened(redis_server.url, monkeypatch) as world,
        following(world.store) as one,
        following(world.store) as two,
    ):
        first, second = Writer(world, one, seed), Writer(world, two, seed + 100)

        async def write(writer: Writer, steps: int) -> None:
            for _ in range(steps):
                await writer.step()

        seen = Seen()
        for _ in range(4):
            await asyncio.gather(write(first, 60), write(second, 60))
            seen += await assert_equal(world, one, two)
        writing = asyncio.gather(write(first, 60), write(second, 60))
        async with following(world.store) as three:
            await writing
            seen += await assert_equal(world, one, two, three)
            await world.clock.advance(60_000)
            seen += await assert_equal(world, one, two, three)
            await first.one_of_each()
            await world.clock.advance(6_000)
            seen += await assert_equal(world, one, two, three)
        assert all(astuple(seen)), f"nothing to compare of some kind: {seen}"


def offered(replica: Replica, sku: str, location: str, safety: int, asker: Asker) -> int:
    """Units of a position that the kernels offer to a channel."""
    columns = replica.columns
    block = compiled({location: Asked(units=safety)}, columns, asker).block
    return int(kernels.available_total(columns.find_sku(sku), columns.positions, columns.skus, columns.fences, block))


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_offered_is_what_can_be_taken(
    redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Kernels and functions reckon alike: unswept holds, ring-fences, borrowing and safety stock, position by position.

    A line that wants more than there is sweeps first, and what becomes free then goes to backorders before it.
    """
    redis_server.empty()
    pick, fenced = random.Random(seed), 0
    async with opened(redis_server.url, monkeypatch) as world, following(world.store) as replica:
        writer = Writer(world, replica, seed)
        for n in range(150):
            await writer.step()
            if n % 3:
                continue
            sku, location, safety = pick.choice(SKUS), pick.choice(LOCATIONS), pick.choice((0, 0, 1, 3))
            asker = Asker(pick.choice(CHANNELS), pick.random() < 0.6)
            await writer.fence(sku, location, pick.choice(CHANNELS))
            position = await world.store.position(sku, location)
            assert position is not None
            if location in await world.store.backordered(sku):
                continue
            await replica.wait_for(list(enumerate(await world.store.revisions())), 10)
            replica.advance(world.clock.now_ms)
            expected = offered(replica, sku, location, safety, asker)
            line = LineRequest("l", sku, 10**6, (Candidate(location, safety),))
            request = ReserveRequest(
                f"r{n}", "f", f"r{n}", asker.channel, (line,), 3, best_effort=True, borrows=asker.borrows
            )
            (outcome,) = (await world.store.reserve([request])).outcomes
            if isinstance(outcome, ReservationAnswer):
                (taken,) = outcome.reservation.lines
                assert expected == taken.quantity - taken.short_quantity
            else:
                assert isinstance(outcome, InsufficientStock)
                assert expected == 0
            fenced += bool(position.fences)
    assert fenced > 10


async def test_a_trimmed_stream_is_survived(redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_server.empty()
    async with opened(redis_server.url, monkeypatch) as world:
        writer = Writer(world, Replica(world.store.partitions, world.store.store_id), 7)
        replica, reloads = Replica(world.store.partitions, world.store.store_id), list[str]()
        follower = Follower(
            replica, world.store, StoreClock(), trimmed=LogTrimmed, block_ms=10, on_reload=reloads.append
        )
        await follower.load()
        for _ in range(40):
            await writer.step()
        for partition in range(world.store.partitions):
            await world.client.xtrim(f"{{p{partition}}}:log", maxlen=1, approximate=False)
        task = asyncio.create_task(follower.run())
        await assert_equal(world, replica)
        follower.stop()
        await task
    assert reloads == ["LogTrimmed"]
