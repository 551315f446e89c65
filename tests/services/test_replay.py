"""The log replayed beside a real store: clean after anything that the engine does, and each damage found by it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from invengine.domain.incoming import IncomingChange, IncomingKind
from invengine.domain.orders import (
    Candidate,
    Future,
    LinePlacement,
    LineUnits,
)
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import Movement, MovementKind, MovementResult
from invengine.services import replay_log
from invengine.services.integrity_report import Place, Replayed
from invengine.services.replay import Replay
from invengine.store import keys
from invengine.store.redis_store import RedisStore, StoreSettings
from invengine.v1 import admin_service_pb2 as pb
from tests.rpc.engines import create, engine
from tests.services.promises import make_promises
from tests.store.making import change, incoming, line, movement, request, transfer

pytestmark = pytest.mark.asyncio

PARTITIONS = 4
SKUS = [f"S{n}" for n in range(12)]
LOCATIONS = ["AMS1", "BER1", "LON1"]
CHANNELS = ["web", "till"]


@dataclass
class Found:
    """What a replay says."""

    replayed: Replayed
    violations: list[tuple[str, str, str, int, int, str]] = field(default_factory=list)

    @property
    def in_short(self) -> list[tuple[str, str, str, int, int]]:
        return [violation[:5] for violation in self.violations]

    @property
    def said(self) -> list[str]:
        return [violation[5] for violation in self.violations]


async def replayed(store: RedisStore) -> Found:
    found = Found(Replayed())

    def report(invariant: str, place: Place, what: str, expected: int = 0, actual: int = 0, /) -> None:
        found.violations.append((invariant, *place, expected, actual, what))

    found.replayed = await Replay(store, report).run()
    return found


@asynccontextmanager
async def opened(redis_url: str, **settings: Any) -> AsyncIterator[tuple[RedisStore, Redis]]:
    client, plain = Redis.from_url(redis_url), Redis.from_url(redis_url)
    try:
        yield await RedisStore.open(client, partitions=PARTITIONS, settings=StoreSettings(**settings)), plain
    finally:
        await client.aclose()
        await plain.aclose()


@pytest_asyncio.fixture
async def stores(redis_url: str) -> AsyncIterator[tuple[RedisStore, Redis]]:
    async with opened(redis_url) as both:
        yield both


class Trader:
    """Does at random whatever the store can do; `live` are reservations that may be changed."""

    def __init__(self, store: RedisStore, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._name = f"trader {seed}"
        self._count = 0
        self.live: list[str] = []
        self.applied = 0

    def _id(self) -> str:
        self._count += 1
        return f"{self._name}/{self._count}"

    async def move(self) -> None:
        now_ms = await self._store.now_ms()
        movements = []
        for _ in range(self._random.randint(1, 12)):
            kind = self._random.choice(list(MovementKind))
            quantity = self._random.randint(1, 30) if kind is not MovementKind.SALE else self._random.randint(1, 3)
            if kind in (MovementKind.ADJUSTMENT, MovementKind.RING_FENCE):
                quantity *= self._random.choice((-1, 1))
            channel = self._random.choice(CHANNELS) if kind in (MovementKind.SALE, MovementKind.RING_FENCE) else ""
            place = self._random.choice(SKUS), self._random.choice(LOCATIONS)
            occurred_at = now_ms - self._random.randint(0, 500)
            state, to_state = self._random.choice(["", "quarantine", "damaged"]), ""
            if kind is MovementKind.STATE_CHANGE:
                to_state = self._random.choice([other for other in ("", "damaged", "gone") if other != state])
            elif channel:
                state = ""
            said = {"reason": "r", "channel": channel, "state": state, "to_state": to_state}
            movements.append(Movement(self._name, self._id(), occurred_at, kind, *place, quantity, **said))
        written = await self._store.post_movements(movements)
        self.applied += sum(outcome.result is MovementResult.APPLIED for outcome in written.outcomes)

    async def schedule(self) -> None:
        now_ms = await self._store.now_ms()
        changes = [
            IncomingChange(
                self._name,
                self._id(),
                self._random.choice(list(IncomingKind)),
                self._random.choice(SKUS),
                self._random.choice(LOCATIONS),
                self._random.choice(("PO 1", "PO 2")),
                self._random.randint(1, 12),
                now_ms // 86_400_000 + self._random.randint(-1, 5),
                self._random.random() < 0.2,
                now_ms,
            )
            for _ in range(self._random.randint(1, 20))
        ]
        await self._store.change_incoming(changes)

    def _future(self) -> Future | None:
        return Future(0, self._random.choice((0, 10))) if self._random.random() < 0.3 else None

    async def reserve(self) -> None:
        requests = []
        for _ in range(self._random.randint(1, 5)):
            lines = [
                line(
                    self._random.randint(1, 6),
                    *self._random.sample(LOCATIONS, 2),
                    sku=self._random.choice(SKUS),
                    line_id=str(n),
                    allow_split=True,
                    future=self._future(),
                )
                for n in range(self._random.randint(1, 3))
            ]
            seconds = self._random.choice((1, 3600))
            requests.append(
                request(
                    *lines,
                    reservation_id=self._id(),
                    time_to_live_seconds=seconds,
                    best_effort=True,
                    order_ref="o",
                    channel=self._random.choice(CHANNELS),
                )
            )
        written = await self._store.reserve(requests)
        self.live += [o.reservation.reservation_id for o in written.outcomes if isinstance(o, ReservationAnswer)]

    async def alter(self) -> None:
        if not self.live:
            return
        verbs = (*("confirm", "fulfil") * 2, "extend", "release", "amend", "rebind", "hand_over")
        verb = self._random.choice(verbs)
        names = self._random.sample(self.live, min(len(self.live), 4))
        units = [LineUnits("0", quantity=1)] if self._random.random() < 0.5 else []
        candidates = tuple(Candidate(location) for location in self._random.sample(LOCATIONS, 2))
        changes = [
            change(
                name,
                *(units if verb in ("release", "fulfil") else ()),
                time_to_live_seconds=600,
                placements=(
                    LinePlacement("0", self._random.randint(0, 6), candidates, allow_split=True, future=self._future()),
                ),
                to_channel=self._random.choice(CHANNELS),
                to_customer_ref=self._random.choice(("ann", "bob")),
            )
            for name in names
        ]
        await getattr(self._store, verb)(changes)

    async def sweep(self) -> None:
        for partition in range(PARTITIONS):
            await self._store.expire_due(partition)

    async def some(self, count: int) -> None:
        for _ in range(count):
            verbs = (*(self.move, self.reserve, self.schedule) * 2, *(self.alter,) * 5, self.sweep)
            await self._random.choice(verbs)()


async def positions_of(store: RedisStore) -> int:
    return sum([len(await store.positions(sku)) for sku in SKUS])


async def live_in(store: RedisStore) -> int:
    states = await store.states()
    return states["HELD"] + states["CONFIRMED"]


async def promises_of(store: RedisStore) -> int:
    """Receipts, backorders, holds, broken promises, units in states and open returns."""
    incoming = [len(chunk) async for chunk in store.snapshot_incoming()]
    holds = [entry.rows.count(b"\n") async for chunk in store.snapshot_holds() for entry in chunk]
    broken, _ = await store.broken_promises(limit=1000)
    states = [len(chunk) async for chunk in store.snapshot_unsellable()]
    returns = [len(chunk) for home in range(PARTITIONS) async for chunk in store.open_returns(home)]
    return sum(incoming) + sum(holds) + len(broken) + sum(states) + sum(returns)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_the_store_did_replays(stores: tuple[RedisStore, Redis], seed: int) -> None:
    store, _ = stores
    trader = Trader(store, seed)
    await trader.some(100)
    over = await store.now_ms() + 2000
    while await store.now_ms() < over:  # the short holds end, and are tidied by whoever comes next
        await asyncio.sleep(0.05)
    await trader.some(50)
    await trader.sweep()
    found = await replayed(store)
    assert found.violations == []
    assert found.replayed == Replayed(
        sum(await store.revisions()), await positions_of(store), 0, await live_in(store), 0, await promises_of(store), 0
    )
    assert min(found.replayed.positions_covered, found.replayed.reservations_covered) > 10
    assert found.replayed.promises_covered > 20
    states = await store.states()
    assert min(states["RELEASED"], states["FULFILLED"], states["EXPIRED"]) > 0, states


async def test_an_empty_store_replays(stores: tuple[RedisStore, Redis]) -> None:
    found = await replayed(stores[0])
    assert (found.violations, found.replayed) == ([], Replayed())


# Damage: LAMP at AMS1 has 10 with 3 held and 2 confirmed, LON1 has 5; `gone` was released, `left` closed before it.

HOME = partition_of("LAMP", PARTITIONS)
STOCK = keys.stock(HOME, "LAMP")


@pytest_asyncio.fixture
async def world(stores: tuple[RedisStore, Redis]) -> tuple[RedisStore, Redis]:
    store, _ = stores
    now_ms = await store.now_ms()
    await store.post_movements([movement("RECEIPT", 10, now_ms), movement("RECEIPT", 5, now_ms, location="LON1")])
    ids = closing_in_one_home()
    await store.reserve([request(3, reservation_id="held"), request(2, reservation_id="firm"), *map(one_of, ids)])
    await store.confirm([change("firm")])
    for name in ids:
        await store.release([change(name)])
        await asyncio.sleep(0.002)  # one closed before the other, to the millisecond
    found = await replayed(store)
    assert (found.violations, found.replayed.positions_covered, found.replayed.reservations_covered) == ([], 2, 2)
    return stores


def closing_in_one_home() -> list[str]:
    """Two ids of one home, whose records are read together."""
    names = [f"gone {n}" for n in range(20)]
    return [name for name in names if partition_of(name, PARTITIONS) == partition_of(names[0], PARTITIONS)][:2]


def one_of(name: str) -> Any:
    return request(1, reservation_id=name)


async def stored_text(redis: Redis) -> list[str]:
    return (await redis.hget(STOCK, "AMS1")).decode().split(",")


async def other_number(redis: Redis, place: int, by: int) -> None:
    numbers = await stored_text(redis)
    numbers[place] = str(int(numbers[place]) + by)
    await redis.hset(STOCK, "AMS1", ",".join(numbers))


async def more_on_hand(redis: Redis) -> None:
    await other_number(redis, 0, 1)


async def less_reserved(redis: Redis) -> None:
    await other_number(redis, 1, -1)


async def later_count(redis: Redis) -> None:
    await other_number(redis, 3, 7)


async def lost_position(redis: Redis) -> None:
    await redis.hdel(STOCK, "LON1")


async def lost_sku(redis: Redis) -> None:
    await redis.delete(STOCK)


async def foreign_position(redis: Redis) -> None:
    await redis.hset(STOCK, "XXX1", "7,0,1,0")


# What is promised: see tests/services/promises.py

SOFA = partition_of("SOFA", PARTITIONS)


@pytest_asyncio.fixture
async def promised(stores: tuple[RedisStore, Redis]) -> tuple[RedisStore, Redis]:
    store, _ = stores
    await make_promises(store)
    found = await replayed(store)
    assert (found.violations, found.replayed.promises_covered) == ([], await promises_of(store))
    return stores


async def change_field(redis: Redis, key: str, name: str, old: str, new: str) -> None:
    text = (await redis.hget(key, name)).decode()
    assert old in text
    await redis.hset(key, name, text.replace(old, new))


async def other_fence(redis: Redis) -> None:
    await redis.hset(keys.stock(SOFA, "SOFA"), "AMS1", await redis.hget(keys.stock(SOFA, "SOFA"), "AMS1") + b"\tapp\t2")


async def other_quantity(redis: Redis) -> None:
    await change_field(redis, keys.incoming(SOFA, "SOFA"), "AMS1\tPO 1", ",5,", ",6,")


async def lost_receipt(redis: Redis) -> None:
    assert await redis.hdel(keys.incoming(SOFA, "SOFA"), "AMS1\tPO 1")


async def foreign_receipt(redis: Redis) -> None:
    await redis.hset(keys.incoming(SOFA, "SOFA"), "LON1\tPO 7", "20000,1,0,1")


async def lost_backorders(redis: Redis) -> None:
    assert await redis.hdel(keys.incoming(SOFA, "SOFA"), "AMS1\t")


async def lost_broken(redis: Redis) -> None:
    assert await redis.delete(keys.broken(SOFA))


async def other_state(redis: Redis) -> None:
    await change_field(redis, keys.unsellable(SOFA, "SOFA"), "AMS1\tquarantine", "3,", "4,")


async def lost_state(redis: Redis) -> None:
    assert await redis.delete(keys.unsellable(SOFA, "SOFA"))


async def other_return(redis: Redis) -> None:
    home = partition_of("back", PARTITIONS)
    await change_field(redis, keys.returns(home), "back", "quarantine", "damaged")


async def other_hold(redis: Redis) -> None:
    home = partition_of("fenced", PARTITIONS)
    await change_field(redis, keys.reservations(home), "fenced", "#1 web", "#1 app")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (other_fence, "the ring-fence of app is 2 in the store, the log comes to 0"),
        (other_quantity, "receipt SOFA AMS1 PO 1 is"),
        (lost_receipt, "receipt SOFA AMS1 PO 1 is"),
        (foreign_receipt, "receipt SOFA LON1 PO 7 is stored as '20000,1,0,1', the log does not have it"),
        (lost_backorders, "receipt SOFA AMS1  is"),
        (lost_broken, "by the log and not stored"),
        (other_hold, "hold "),
        (other_state, "state SOFA AMS1 quarantine is '4,"),
        (lost_state, "state SOFA AMS1 quarantine is '3,"),
        (other_return, "return back is"),
    ],
)
async def test_a_promise_that_was_tampered_with_is_found(
    promised: tuple[RedisStore, Redis], damage: Callable[[Redis], Awaitable[None]], words: str
) -> None:
    store, redis = promised
    await damage(redis)
    found = await replayed(store)
    assert any(words in said for said in found.said), found.said
    assert all(row[0] == "LOG_REPLAYS" for row in found.violations)


LAMP = ("LOG_REPLAYS", "LAMP")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (more_on_hand, {(*LAMP, "AMS1", 10, 11)}),
        (less_reserved, {(*LAMP, "AMS1", 5, 4)}),
        (later_count, {(*LAMP, "AMS1", 0, 7)}),
        (lost_position, {(*LAMP, "LON1", 0, 0)}),
        (lost_sku, {(*LAMP, "AMS1", 0, 0), (*LAMP, "LON1", 0, 0)}),
        (foreign_position, {(*LAMP, "XXX1", 0, 1)}),
    ],
)
async def test_a_position_that_was_tampered_with_is_found(
    world: tuple[RedisStore, Redis],
    damage: Callable[[Redis], Awaitable[None]],
    expected: set[tuple[str, str, str, int, int]],
) -> None:
    store, redis = world
    await damage(redis)
    assert set((await replayed(store)).in_short) == expected


async def other_record(redis: Redis, key: str, name: str) -> None:
    text = (await redis.hget(key, name)).decode()
    assert "\tweb\t" in text
    await redis.hset(key, name, text.replace("\tweb\t", "\tapp\t"))


async def closed_key(redis: Redis, name: str) -> str:
    (key,) = [key async for key in redis.scan_iter(f"{{p{partition_of(name, PARTITIONS)}}}:closed:*")]
    return key.decode()


async def other_held(redis: Redis) -> None:
    await other_record(redis, keys.reservations(partition_of("held", PARTITIONS)), "held")


async def lost_firm(redis: Redis) -> None:
    assert await redis.hdel(keys.reservations(partition_of("firm", PARTITIONS)), "firm")


async def other_closed(redis: Redis) -> None:
    name = closing_in_one_home()[0]
    await other_record(redis, await closed_key(redis, name), name)


async def lost_closed(redis: Redis) -> None:
    name = closing_in_one_home()[1]
    assert await redis.hdel(await closed_key(redis, name), name)


async def foreign_record(redis: Redis) -> None:
    home = partition_of("held", PARTITIONS)
    text = await redis.hget(keys.reservations(home), "held")
    other = next(name for name in map(str, range(100)) if partition_of(name, PARTITIONS) == home)
    await redis.hset(keys.reservations(home), other, text)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (other_held, "reservation held differs from what the log says: HELD"),
        (lost_firm, "reservation firm is CONFIRMED by the log and not stored"),
        (other_closed, "differs from what the log says: RELEASED"),
        (lost_closed, "is RELEASED by the log and not stored"),
        (foreign_record, "the log never mentions reservation"),
    ],
)
async def test_a_record_that_was_tampered_with_is_found(
    world: tuple[RedisStore, Redis], damage: Callable[[Redis], Awaitable[None]], words: str
) -> None:
    store, redis = world
    await damage(redis)
    (said,) = (await replayed(store)).said
    assert words in said


async def test_all_closed_records_may_be_forgotten(world: tuple[RedisStore, Redis]) -> None:
    store, redis = world
    for name in closing_in_one_home():
        await redis.hdel(await closed_key(redis, name), name)
    assert (await replayed(store)).violations == []


async def test_an_id_may_be_used_again_once_it_is_forgotten(redis_url: str) -> None:
    async with opened(redis_url, retention_seconds=1) as (store, _):
        await store.post_movements([movement("RECEIPT", 10, await store.now_ms())])
        await store.reserve([request(1, reservation_id="again")])
        await store.release([change("again")])
        over = await store.now_ms() + 2000
        while await store.now_ms() < over:
            await asyncio.sleep(0.05)
        assert await store.forget_old(partition_of("again", PARTITIONS)) == 1
        (made,) = (await store.reserve([request(2, reservation_id="again")])).outcomes
        assert isinstance(made, ReservationAnswer)
        found = await replayed(store)
        assert (found.violations, found.replayed.reservations_covered) == ([], 1)


# Damage of the log itself


async def log_of(redis: Redis) -> list[tuple[bytes, dict[bytes, bytes]]]:
    return await redis.xrange(keys.log(HOME))


async def write_log(redis: Redis, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    await redis.delete(keys.log(HOME))
    for entry_id, fields in entries:
        await redis.xadd(keys.log(HOME), fields, id=entry_id)


async def test_a_change_in_the_log_that_does_not_add_up_is_found(world: tuple[RedisStore, Redis]) -> None:
    store, redis = world
    entries = await log_of(redis)
    fields = entries[0][1]
    assert fields[b"rows"].count(b"\t10\t0\t0\t10\t0\tRECEIPT\t") == 1
    fields[b"rows"] = fields[b"rows"].replace(b"\t10\t0\t0\t10\t0\tRECEIPT\t", b"\t12\t0\t0\t12\t0\tRECEIPT\t")
    await write_log(redis, entries)
    assert (await replayed(store)).in_short == [(*LAMP, "AMS1", 12, 10)]


async def test_a_row_that_cannot_be_read_is_found(world: tuple[RedisStore, Redis]) -> None:
    store, redis = world
    entries = await log_of(redis)
    entries[-1][1][b"rows"] += b"P\tx\t\n"
    await write_log(redis, entries)
    found = await replayed(store)
    assert [(violation[0], "cannot be read" in violation[5]) for violation in found.violations] == [("READABLE", True)]


async def test_a_row_of_a_kind_that_a_newer_engine_writes_is_passed_over(world: tuple[RedisStore, Redis]) -> None:
    """Servers of two adjacent releases share a store."""
    store, redis = world
    entries = await log_of(redis)
    entries[-1][1][b"rows"] += b"Q\tx\t\n"
    await write_log(redis, entries)
    assert (await replayed(store)).violations == []


async def test_a_log_that_ends_early_is_found(world: tuple[RedisStore, Redis]) -> None:
    store, redis = world
    await write_log(redis, (await log_of(redis))[:-1])
    found = await replayed(store)
    assert len(found.violations) == 1
    assert "ends at revision" in found.said[0]
    assert found.replayed.positions_not_covered == 2


@pytest.mark.parametrize("chunk", [1, 200])
async def test_a_hole_in_the_log_is_found(
    world: tuple[RedisStore, Redis], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it lies within what one read answers, or between two."""
    store, redis = world
    monkeypatch.setattr(replay_log, "LOG_CHUNK", chunk)
    await redis.xdel(keys.log(HOME), (await log_of(redis))[1][0])
    found = await replayed(store)
    assert len(found.violations) == 1, found.said
    assert "missing" in found.said[0]


# Trimmed logs


async def test_a_trimmed_log_covers_what_changed_since_and_says_how_much_that_is(
    stores: tuple[RedisStore, Redis],
) -> None:
    store, redis = stores
    now_ms = await store.now_ms()
    skus = [name for name in (f"T{n}" for n in range(60)) if partition_of(name, PARTITIONS) == HOME][:6]
    for sku in skus:
        await store.post_movements([movement("RECEIPT", 10, now_ms, sku=sku)])
    await store.reserve([request(line(1, sku=skus[0]), reservation_id=name) for name in ("old", "new")])
    await store.post_movements([movement("SALE", 1, now_ms, sku=skus[1])])
    await store.confirm([change("new")])
    for partition in range(PARTITIONS):
        revision = (await store.revisions())[partition]
        await redis.xtrim(keys.log(partition), maxlen=2 if partition == HOME else 1, approximate=False)
        assert revision == 0 or await redis.xlen(keys.log(partition)) > 0
    found = await replayed(store)
    assert found.violations == []
    summary = found.replayed
    assert summary.positions_covered + summary.positions_not_covered == 6
    assert 1 <= summary.positions_covered <= 3
    assert summary.reservations_covered + summary.reservations_not_covered == 2
    assert summary.reservations_covered >= 1
    # what is covered is judged, what is not is left alone
    for sku, is_found in ((skus[1], True), (skus[5], False)):
        before = await redis.hget(keys.stock(HOME, sku), "AMS1")
        _, rest = before.split(b",", 1)
        await redis.hset(keys.stock(HOME, sku), "AMS1", b"99," + rest)
        assert [violation[1] for violation in (await replayed(store)).violations] == ([sku] if is_found else [])
        await redis.hset(keys.stock(HOME, sku), "AMS1", before)


async def test_a_log_that_is_trimmed_while_it_is_read_is_no_fault(
    stores: tuple[RedisStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, redis = stores
    now_ms = await store.now_ms()
    for n in range(300):
        await store.post_movements([movement("RECEIPT", 1, now_ms, sku="LAMP", location=f"L{n % 7}")])
    monkeypatch.setattr(replay_log, "LOG_CHUNK", 20)
    read_log, reads = store.read_log, []

    async def trimmed_meanwhile(*args: Any) -> Any:
        reads.append(args)
        if len(reads) == 3:  # what comes next is gone
            await redis.xtrim(keys.log(HOME), maxlen=100, approximate=False)
        return await read_log(*args)

    monkeypatch.setattr(store, "read_log", trimmed_meanwhile)
    found = await replayed(store)
    assert found.violations == []
    assert (found.replayed.entries, found.replayed.positions_covered) == (100, 7)


# A live store


@asynccontextmanager
async def trading(*traders: Trader) -> AsyncIterator[None]:
    """They trade until the end of the block."""
    done = asyncio.Event()

    async def trade(trader: Trader) -> None:
        while not done.is_set():
            await trader.some(1)

    async with asyncio.TaskGroup() as tasks:
        for trader in traders:
            tasks.create_task(trade(trader))
        try:
            yield
        finally:
            done.set()


async def test_nothing_is_found_while_everything_moves(
    stores: tuple[RedisStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = stores
    monkeypatch.setattr(replay_log, "LOG_CHUNK", 7)  # the log grows while it is read
    traders = [Trader(store, seed) for seed in range(10, 13)]
    for trader in traders:
        await trader.some(20)
    before = sum(await store.revisions())
    covered = 0
    async with trading(*traders):
        for _ in range(3):
            found = await replayed(store)
            assert found.violations == []
            covered += found.replayed.positions_covered + found.replayed.reservations_covered
    assert sum(await store.revisions()) > before + 20
    assert covered > 100
    found = await replayed(store)
    assert found.violations == []
    assert (found.replayed.positions_covered, found.replayed.positions_not_covered) == (await positions_of(store), 0)
    assert (found.replayed.reservations_covered, found.replayed.reservations_not_covered) == (await live_in(store), 0)


async def test_a_receipt_that_comes_and_goes_during_a_look_is_no_violation(
    stores: tuple[RedisStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not stored before the log is read, nor after it; in between the log has it."""
    store, _ = stores
    now = int(time.time() * 1000)
    await store.post_movements([movement("RECEIPT", 1, now, sku="LAMP")])
    read, looks = store.snapshot_incoming_texts, 0

    async def expect(units: int) -> None:
        kind = "SET" if units else "CANCEL"
        await store.change_incoming([incoming(kind, units, sku="LAMP", day=now // 86_400_000 + 3)])

    async def looked_at() -> AsyncIterator[Any]:
        nonlocal looks
        looks += 1
        if looks == 1:
            await expect(5)
        elif looks == 3:
            await expect(0)
        async for chunk in read():
            yield chunk
        if looks == 1:
            await expect(0)
        elif looks == 2:
            await expect(5)

    monkeypatch.setattr(store, "snapshot_incoming_texts", looked_at)
    found = await replayed(store)
    assert looks >= 3
    assert found.violations == []


async def test_damage_is_found_while_everything_else_moves(stores: tuple[RedisStore, Redis]) -> None:
    store, redis = stores
    await store.post_movements([movement("RECEIPT", 10, await store.now_ms())])
    await more_on_hand(redis)
    async with trading(Trader(store, 20)):
        found = await replayed(store)
    assert found.in_short == [(*LAMP, "AMS1", 10, 11)]


# Through the API


async def test_the_service_replays_when_asked(redis_url: str) -> None:
    async with engine(redis_url) as (running, stubs), Redis.from_url(redis_url) as redis:
        await stubs.apply_network()
        await stubs.receive("LAMP", 100)
        await stubs.reservations.CreateReservation(create("held", quantity=5, reservation_id="held"))
        plain = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest())
        assert not plain.HasField("replay")
        asked = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest(replay=True))
        assert asked.violations_count == 0
        entries = sum(await running.store.revisions())
        assert asked.replay == pb.ReplaySummary(
            entries=entries, positions_covered=1, reservations_covered=1, promises_covered=1
        )
        home = partition_of("held", running.store.partitions)
        await other_record(redis, keys.reservations(home), "held")
        assert (await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest())).violations_count == 0
        asked = await stubs.admin.CheckIntegrity(pb.CheckIntegrityRequest(replay=True))
        (violation,) = asked.violations
        assert violation.invariant == pb.IntegrityViolation.INVARIANT_LOG_REPLAYS
        assert "reservation held differs" in violation.message
        samples = running.metrics.registry.get_sample_value
        assert samples("invengine_integrity_violations", {"invariant": "LOG_REPLAYS"}) == 1


async def _transferred(store: RedisStore) -> int:
    """A transfer that is shipped, slipped, received in part and written off; the partition of its SKU."""
    now = int(time.time() * 1000)
    here = {"sku": SKUS[0], "location": "BER1", "receipt_id": "T"}
    await store.post_movements([movement("RECEIPT", 9, now, sku=SKUS[0])])
    await store.reserve([transfer((SKUS[0], 7), day=now // 86_400_000 + 3, transfer_id="T")])
    await store.ship_transfer([change("T", LineUnits("1", "", 4))])
    await store.ship_transfer([change("T")])
    await store.change_incoming([incoming("SLIP", day=now // 86_400_000 + 5, **here)])
    arrived = {"of_transfer": True, "closes": True, "reason": "lost", "occurred_at_ms": now}
    await store.change_incoming([incoming("RECEIVE", 5, **here, **arrived)])
    return partition_of(SKUS[0], PARTITIONS)


async def test_a_transfer_replays_clean(stores: tuple[RedisStore, Redis]) -> None:
    store, _ = stores
    await _transferred(store)
    assert (await replayed(store)).violations == []


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        (0, b"\t5\t0\tTRANSFER_OUT", "has 4 units of transfer T leave, 5 more go"),
        (2, b"\t6\t0\tSLIP", "changes what is on the way of transfer T from 7 by SLIP"),
        (2, b"\t8\t0\tSLIP", "changes what is on the way of transfer T from 7 by SLIP"),
        (0, b"", "has 4 units of transfer T leave and not be on the way"),
    ],
)
async def test_units_of_a_transfer_that_vanish_or_appear_are_found(
    stores: tuple[RedisStore, Redis], place: int, wrong: bytes, said: str
) -> None:
    """By the log alone, whatever the store has become since: one of the I rows of the transfer is another, or gone."""
    store, _ = stores
    partition = await _transferred(store)
    log, seen = replay_log.PartitionLog(partition), 0
    for entry in await store.read_log([0] * PARTITIONS, 0):
        if entry.partition != partition:
            continue
        rows = entry.rows.split(b"\n")[:-1]
        its = next((n for n, row in enumerate(rows) if row.startswith(b"I\t")), None)
        if its is not None:
            if seen == place:
                columns = rows.pop(its).split(b"\t")
                forged = [*columns[:5], *wrong.split(b"\t")[1:], *columns[8:]]
                rows[its:its] = [b"\t".join(forged)] if wrong else []
            seen += 1
        log.apply(replace(entry, rows=b"".join(row + b"\n" for row in rows)))
    assert any(said in fault.what for fault in log.faults_to_tell())
