"""Reservations in pieces: what no call may do, what several servers may do at once, what is left in the end."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from invengine.domain.orders import (
    Candidate,
    LinePlacement,
    LineUnits,
    ReservationState,
)
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.stock import MovementResult
from invengine.errors import InsufficientStock, RequestMismatch, ReservationExists, StoreUnavailable
from invengine.services.replay import Replay
from invengine.store import keys
from invengine.store.redis_store import Atomicity, RedisStore, StoreSettings
from tests.redis_clusters import free_port, own_address
from tests.redis_servers import RunningRedis
from tests.store.making import change, line, movement, request
from tests.store.worlds import CodedClock, World

pytestmark = pytest.mark.asyncio

PARTITIONS = 4
SKUS = ("LAMP", "SOFA", "BED")  # three partitions
PLACES = ("AMS1", "BER1")


def basket(quantity: int = 4, reservation_id: str = "R", **more: Any):
    lines = (line(quantity, "AMS1", sku=sku, line_id=str(n)) for n, sku in enumerate(SKUS, 1))
    return request(*lines, reservation_id=reservation_id, **more)


async def stocked(world: World) -> World:
    arrive = [movement("RECEIPT", 10, world.clock.now_ms, sku=sku, location=place) for sku in SKUS for place in PLACES]
    await world.store.post_movements(arrive)
    return world


@pytest_asyncio.fixture
async def pieces(open_world: Callable[..., Awaitable[World]]) -> World:
    """A store in pieces with 10 units of each SKU at each place."""
    return await stocked(await open_world(atomicity=Atomicity.PARTITION))


async def another(world: World) -> RedisStore:
    """Another server of the same store."""
    store = await RedisStore.open(
        world.client, partitions=PARTITIONS, settings=StoreSettings(), atomicity=Atomicity.PARTITION
    )
    store.now_ms = world.store.now_ms  # type: ignore[method-assign]
    return store


async def reserved(world: World) -> dict[tuple[str, str], int]:
    units = {}
    for sku in SKUS:
        for place, position in (await world.store.positions(sku)).items():
            if position.reserved:
                units[sku, place] = position.reserved
    return units


async def every_verb(world: World) -> None:
    """A life of reservations with everything that may become of them."""
    store, clock = world.store, world.clock
    where = tuple(Candidate(place) for place in PLACES)
    (held,) = (await store.reserve([basket(order_ref="O", customer_ref="C")])).outcomes
    assert isinstance(held, ReservationAnswer)
    (short,) = (await store.reserve([basket(7, "S")])).outcomes
    assert isinstance(short, InsufficientStock)
    assert [each.available for each in short.short_lines] == [6, 6, 6]
    amended = change(
        "R",
        placements=(LinePlacement("1", 2, where), LinePlacement("2", 9, where, allow_split=True)),
        added=(line(3, "BER1", sku="BED", line_id="x"),),
    )
    moved = change("R", placements=tuple(LinePlacement(str(n), 0, where[1:]) for n in (1, 3)))
    for verb, wanted in (
        ("extend", change("R", time_to_live_seconds=300)),
        ("amend", amended),
        ("rebind", moved),
        ("hand_over", change("R", to_channel="till", to_customer_ref="D")),
        ("confirm", change("R", order_ref="P")),
        ("release", change("R", LineUnits("2", "", 1), LineUnits("1", "", 1))),
        ("fulfil", change("R")),
    ):
        (outcome,) = (await getattr(store, verb)([wanted])).outcomes
        assert isinstance(outcome, ReservationAnswer), (verb, outcome)
        (again,) = (await getattr(store, verb)([wanted])).outcomes
        assert again == ReservationAnswer(outcome.reservation, replayed=True)
    assert outcome.reservation == await store.reservation("R")
    assert outcome.reservation.state is ReservationState.FULFILLED
    assert [each.reservation_id for each in (await store.list_reservations(order_ref="P", limit=9))[0]] == ["R"]
    assert (await store.list_reservations(order_ref="O", limit=9))[0] == []
    await store.reserve([basket(1, "E", time_to_live_seconds=1)])
    await clock.advance(60_000)
    expired = [(await store.expire_due(partition))[0].outcomes for partition in range(PARTITIONS)]
    assert [name for names in expired for name in names] == ["E"]
    assert await reserved(world) == {}
    for partition in range(PARTITIONS):
        await store.finish_unfinished(partition)
        await store.forget_old(partition)


async def test_no_call_declares_keys_of_two_partitions(pieces: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, seen = pieces.store._calls, set()
    write = calls.write

    async def guarded(function: str, names: Any, *arguments: Any) -> Any:
        seen.add(function)
        assert len({re.match(r"\{p\d+\}", name)[0] for name in names}) == 1
        return await write(function, names, *arguments)

    monkeypatch.setattr(calls, "write", guarded)
    await every_verb(pieces)
    assert len(seen) > 8


@pytest.fixture
def cluster_of_one(start_redis: Callable[..., RunningRedis], kind: str) -> RunningRedis:
    """One server in cluster mode with all slots: what touches two slots in one call fails on it."""
    bus = {"bind": own_address(), "port": str(free_port()), "cluster_port": str(free_port())}
    server = start_redis(kind, cluster_enabled="yes", **bus)
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    return server


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_no_call_touches_keys_of_two_partitions(
    cluster_of_one: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not those that it derives: a server in cluster mode refuses that."""
    monkeypatch.setattr("invengine.store.startup.check_server", lambda facts, **_: None)
    async with Redis.from_url(cluster_of_one.url) as client:
        while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
            await asyncio.sleep(0.01)
        clock = CodedClock([client])
        await clock.set(1_790_000_000_000)
        monkeypatch.setattr("invengine.store.startup.Library.packaged", lambda: clock.library)
        store = await RedisStore.open(client, partitions=PARTITIONS, atomicity=Atomicity.PARTITION)

        async def now_ms() -> int:
            return clock.now_ms

        monkeypatch.setattr(store, "now_ms", now_ms)
        await every_verb(await stocked(World(store, clock, client)))

        whole = await RedisStore.open(client, partitions=PARTITIONS)
        with pytest.raises(ResponseError, match="slot"):
            await whole.reserve([basket(1, "W")])


async def test_of_two_servers_that_want_the_last_units_one_gets_them(pieces: World) -> None:
    """Partitions are asked in one order, so two baskets cannot each take a part and both lose."""
    other = await another(pieces)
    for n in range(20):
        ids = [f"A{n}", f"B{n}"]
        answers = await asyncio.gather(
            *(store.reserve([basket(10, name)]) for store, name in zip((pieces.store, other), ids, strict=True))
        )
        won = [isinstance(answer.outcomes[0], ReservationAnswer) for answer in answers]
        assert sorted(won) == [False, True]
        assert await reserved(pieces) == {(sku, "AMS1"): 10 for sku in SKUS}
        await pieces.store.release([change(ids[won.index(True)])])
        assert await reserved(pieces) == {}


async def test_one_request_sent_to_two_servers_at_once_is_answered_by_both(pieces: World) -> None:
    other = await another(pieces)
    for n in range(10):
        wanted = basket(1, f"R{n}")
        answers = await asyncio.gather(pieces.store.reserve([wanted]), other.reserve([wanted]))
        first, second = (answer.outcomes[0] for answer in answers)
        assert isinstance(first, ReservationAnswer)
        assert isinstance(second, ReservationAnswer)
        assert first.reservation == second.reservation
        assert {first.replayed, second.replayed} == {False, True}
        assert await reserved(pieces) == {(sku, "AMS1"): n + 1 for sku in SKUS}


async def test_an_id_is_used_once(pieces: World) -> None:
    first = basket(1)
    await pieces.store.reserve([first])
    mismatch = request(*first.lines, reservation_id="R", request_id=first.request_id, fingerprint="B")
    outcomes = (await pieces.store.reserve([mismatch, basket(1)])).outcomes
    assert list(map(type, outcomes)) == [RequestMismatch, ReservationExists]
    assert await reserved(pieces) == {(sku, "AMS1"): 1 for sku in SKUS}


async def test_an_attempt_that_was_given_up_cannot_be_committed_any_more(
    pieces: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that slept for long finds its pieces freed, and begins anew."""
    store, write = pieces.store, pieces.store._calls.write
    other, slept = await another(pieces), []

    async def sleepy(function: str, *arguments: Any) -> Any:
        if function == "invengine_commit" and not slept:
            await pieces.clock.advance(11_000)
            for partition in range(PARTITIONS):
                await other.expire_due(partition)
            slept.append(await reserved(pieces))
        return await write(function, *arguments)

    monkeypatch.setattr(store._calls, "write", sleepy)
    (outcome,) = (await store.reserve([basket()])).outcomes
    assert slept == [{}]
    assert isinstance(outcome, ReservationAnswer)
    assert outcome.reservation == await store.reservation("R")
    assert await reserved(pieces) == {(sku, "AMS1"): 4 for sku in SKUS}


async def test_a_count_between_two_partitions_of_a_fulfilment_undoes_it(
    pieces: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there cannot leave; what left already comes back, on hand and reserved."""
    store, write = pieces.store, pieces.store._calls.write
    await store.reserve([basket()])
    await store.confirm([change("R")])
    before = await store.reservation("R")
    first, *_, last = sorted(SKUS, key=lambda sku: partition_of(sku, PARTITIONS))
    other, made = await another(pieces), []

    async def counted(function: str, *arguments: Any) -> Any:
        reply = await write(function, *arguments)
        if function == "invengine_change_pieces" and not made:
            made.append(await reserved(pieces))
            now = pieces.clock.now_ms
            written = await other.post_movements([movement("COUNT", 3, now, sku=last, location="AMS1")])
            assert written.outcomes[0].result is MovementResult.APPLIED
        return reply

    monkeypatch.setattr(store._calls, "write", counted)
    (refusal,) = (await store.fulfil([change("R")])).outcomes
    assert isinstance(refusal, InsufficientStock)
    assert [(each.sku, each.wanted, each.available) for each in refusal.short_lines] == [(last, 4, 3)]
    assert (first, "AMS1") not in made[0]
    after = await store.reservation("R")
    assert before is not None
    assert after is not None
    assert before.lines == after.lines
    assert await reserved(pieces) == {(sku, "AMS1"): 4 for sku in SKUS}
    assert (await store.position(first, "AMS1")).on_hand == 10
    await store.post_movements([movement("RECEIPT", 1, pieces.clock.now_ms + 1, sku=last, location="AMS1")])
    (done,) = (await store.fulfil([change("R")])).outcomes
    assert isinstance(done, ReservationAnswer)
    assert done.reservation.state is ReservationState.FULFILLED


async def test_a_partition_that_is_away_harms_only_what_needs_it(
    pieces: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, write = pieces.store, pieces.store._calls.write
    gone = keys.log(partition_of("SOFA", PARTITIONS))

    async def partly(function: str, names: Any, *arguments: Any) -> Any:
        if gone in names:
            raise StoreUnavailable("gone")
        return await write(function, names, *arguments)

    monkeypatch.setattr(store._calls, "write", partly)
    name = next(f"N{n}" for n in range(99) if keys.log(partition_of(f"N{n}", PARTITIONS)) != gone)
    needs, needs_not = request(line(1, sku="SOFA"), reservation_id=f"{name}x"), request(1, reservation_id=name)
    refused, held = (await store.reserve([needs, needs_not])).outcomes
    assert isinstance(refused, StoreUnavailable)
    assert isinstance(held, ReservationAnswer)
    with pytest.raises(StoreUnavailable):
        await store.reserve([needs])


async def test_what_is_past_retention_is_forgotten(open_world: Callable[..., Awaitable[World]]) -> None:
    """Heads, pieces, marks, answers, references. Live ones stay."""
    settings = StoreSettings(retention_seconds=600)
    world = await stocked(await open_world(settings=settings, atomicity=Atomicity.PARTITION))
    for n in range(3):
        await world.store.reserve([basket(1, f"R{n}", customer_ref="C")])
    await world.store.release([change("R0"), change("R1")])
    await world.store.confirm([change("R2")])
    where = (Candidate("AMS1"),)
    too_many = change("R2", placements=tuple(LinePlacement(str(n), 50, where) for n in (1, 2)))
    assert isinstance((await world.store.amend([too_many])).outcomes[0], InsufficientStock)
    await world.clock.advance(1_800_000)
    forgotten = [await world.store.forget_old(partition) for partition in range(PARTITIONS)]
    assert sum(forgotten) == 2
    left = {key.decode().split(":", 1)[1].split(":")[0] for key in await world.client.keys("{p*}:*")}
    assert left == {"log", "revision", "states", "forgotten", "customer", "reservations", "heads", "stock", "trail"} | {
        name for name in left if name == "expiry"
    }
    assert await world.store.reservation("R0") is None
    assert (await world.store.list_reservations(customer_ref="C", limit=9))[0] == [await world.store.reservation("R2")]


async def test_heads_and_pieces_that_do_not_agree_are_told(pieces: World) -> None:
    store, client = pieces.store, pieces.client
    for name in ("A", "B", "C"):
        await store.reserve([basket(1, name)])
    assert [await store.torn_reservations(partition) for partition in range(PARTITIONS)] == [[]] * PARTITIONS
    where = partition_of("LAMP", PARTITIONS)
    await client.hdel(keys.reservations(where), "A")
    text = await client.hget(keys.reservations(where), "B")
    await client.hset(keys.reservations(where), "B", text.replace(b"HELD", b"CONFIRMED"))
    await client.hdel(keys.heads(partition_of("C", PARTITIONS)), "C")
    await pieces.clock.advance(61_000)
    told = sorted([fault for n in range(PARTITIONS) for fault in await store.torn_reservations(n)])
    assert told[-2:] == [
        f"reservation A has no piece in partition {where}",
        f"the piece of reservation B in partition {where} is not its head's",
    ]
    lost = sorted({partition_of(sku, PARTITIONS) for sku in SKUS})
    assert told[:-2] == [f"partition {n} has a piece of reservation C, no head does" for n in lost]


async def test_the_log_of_heads_and_pieces_replays(pieces: World) -> None:
    """And a head that differs from it is told."""
    await every_verb(pieces)
    await pieces.store.reserve([basket(2, "L")])
    await pieces.store.confirm([change("L")])
    found = []

    def report(invariant: str, place: tuple[str, str], what: str, expected: int = 0, actual: int = 0, /) -> None:
        found.append(what)

    replayed = await Replay(pieces.store, report).run()
    assert found == []
    assert (replayed.reservations_covered, replayed.reservations_not_covered) == (1, 0)
    home = partition_of("L", PARTITIONS)
    text = await pieces.client.hget(keys.heads(home), "L")
    await pieces.client.hset(keys.heads(home), "L", text.replace(b"web", b"app"))
    await Replay(pieces.store, report).run()
    assert len(found) == 1
    assert found[0].startswith("reservation L differs from what the log says: CONFIRMED")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_servers_that_change_the_same_reservations_at_once_leave_a_whole(
    open_world: Callable[..., Awaitable[World]], seed: int
) -> None:
    """Some of them die in the middle. In the end heads, pieces, positions, counters and the log say the same."""
    world = await stocked(await open_world(atomicity=Atomicity.PARTITION))
    chance = random.Random(seed)
    where = tuple(Candidate(place) for place in PLACES)
    names = [f"R{n}" for n in range(6)]

    async def serve(number: int) -> None:
        store, left = await another(world), chance.randint(20, 200)
        write = store._calls.write

        async def mortal(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                raise ConnectionResetError("this server is dead")
            return await write(*arguments)

        store._calls.write = mortal  # type: ignore[method-assign]
        for _ in range(40):
            name, lines = chance.choice(names), tuple(str(n) for n in chance.sample((1, 2, 3), 2))
            verb = chance.choice(("reserve", "confirm", "extend", "release", "fulfil", "amend", "rebind", "move"))
            placements = tuple(LinePlacement(n, chance.randint(0, 6), where, allow_split=True) for n in lines)
            units = tuple(LineUnits(n, "", chance.randint(0, 2)) for n in lines)
            wanted = change(name, *units, placements=placements, time_to_live_seconds=900)
            try:
                if verb == "reserve":
                    names.append(f"{number}-{len(names)}")
                    await store.reserve([basket(2, names[-1], best_effort=chance.random() < 0.5)])
                elif verb == "move":
                    sku, place = chance.choice(SKUS), chance.choice(PLACES)
                    await store.post_movements([movement("COUNT", 12, world.clock.now_ms, sku=sku, location=place)])
                else:
                    await getattr(store, verb)([wanted])
            except ConnectionResetError:
                return

    await world.store.reserve([basket(1, name, time_to_live_seconds=900) for name in names])
    await asyncio.gather(*map(serve, range(6)))
    await world.clock.advance(12_000)
    for partition in range(PARTITIONS):
        await world.store.finish_unfinished(partition)
        await world.store.expire_due(partition)
    found: list[str] = []

    def report(invariant: str, place: tuple[str, str], what: str, expected: int = 0, actual: int = 0, /) -> None:
        found.append(what)

    await Replay(world.store, report).run()
    await world.clock.advance(61_000)
    for partition in range(PARTITIONS):
        found += await world.store.torn_reservations(partition)
        assert await world.client.hlen(keys.operations(partition)) == 0
    assert found == []
    listed, _ = await world.store.list_reservations(limit=1000)
    units: Counter[tuple[str, str]] = Counter()
    for reservation in listed:
        for each in reservation.lines:
            for allocation in each.allocations:
                units[each.sku, allocation.location] += allocation.open
    assert await reserved(world) == {place: count for place, count in units.items() if count}
    states = Counter(reservation.state.value for reservation in listed)
    assert states == Counter({state: count for state, count in (await world.store.states()).items() if count})
    assert states.total() >= 6
