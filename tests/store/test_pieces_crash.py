"""Reservations in pieces whose server dies between two of its steps: wholly done or not at all, whoever looks next.

The server is cut off after its n-th call, for every n; then another one sweeps, or the same request is sent again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from invengine.domain.orders import (
    Candidate,
    LinePlacement,
    LineUnits,
    Reservation,
    ReservationChange,
    ReservationState,
)
from invengine.domain.partitions import partition_of
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store.records import open_allocations
from invengine.store.redis_store import Atomicity, RedisStore, StoreSettings
from tests.conftest import started
from tests.redis_servers import RunningRedis
from tests.store.making import change, line, movement, request
from tests.store.worlds import World, opened

PARTITIONS = 4
SKUS = ("LAMP", "SOFA", "BED")  # three partitions
CALLS_MAX = 60
PLACES = ("AMS1", "BER1")

Act = Callable[[RedisStore], Awaitable[Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningRedis]:
    """One kind of server, which need not write to disk: what is tried here is the order of calls."""
    running = started("valkey", appendonly="no")
    yield running
    running.stop()


class Cut(Exception):
    """The server is dead: none of its calls goes out any more."""


def cut_after(store: RedisStore, count: int) -> Counter[str]:
    """Has a store make `count` more calls; what it called."""
    made: Counter[str] = Counter()
    write = store._calls.write

    async def until_cut(function: str, *arguments: Any) -> Any:
        if made.total() >= count:
            raise Cut
        made[function] += 1
        return await write(function, *arguments)

    store._calls.write = until_cut  # type: ignore[method-assign]
    return made


@asynccontextmanager
async def stocked(server: RunningRedis):
    """A store with 10 units of each SKU at each place."""
    server.empty()
    async with opened(server.url, pytest.MonkeyPatch(), partitions=PARTITIONS, atomicity=Atomicity.PARTITION) as world:
        assert len({partition_of(sku, PARTITIONS) for sku in SKUS}) == len(SKUS)
        now = world.clock.now_ms
        await world.store.post_movements(
            [movement("RECEIPT", 10, now, sku=sku, location=place) for sku in SKUS for place in PLACES]
        )
        yield world


async def dies(world: World, count: int, act: Act) -> bool:
    """Another server does something and dies after so many calls; whether it came to its end before."""
    store = await RedisStore.open(
        world.client, partitions=PARTITIONS, settings=StoreSettings(), atomicity=Atomicity.PARTITION
    )
    store.now_ms = world.store.now_ms  # type: ignore[method-assign]
    cut_after(store, count)
    try:
        await act(store)
    except Cut:
        return False
    return True


async def looks_after(world: World) -> None:
    """A server that is alive goes round, until long after everything was due to be looked at."""
    for _ in range(3):
        await world.clock.advance(11_000)
        for partition in range(PARTITIONS):
            await world.store.finish_unfinished(partition)
            more = True
            while more:
                _, more = await world.store.expire_due(partition)


async def reserved(world: World) -> dict[tuple[str, str], int]:
    """Units set aside by place; they are what the pieces say, and nothing is under way."""
    units: Counter[tuple[str, str]] = Counter()
    for partition in range(PARTITIONS):
        assert await world.client.hlen(f"{{p{partition}}}:operations") == 0
        async for chunk in world.store.live_records(partition):
            for name, text in chunk:
                assert await world.store.reservation(name) is not None, "a piece without a head"
                for held in open_allocations(name, text)[2]:
                    units[held.sku, held.location] += held.units
    stored = {}
    for sku in SKUS:
        for place, position in (await world.store.positions(sku)).items():
            if position.reserved:
                stored[sku, place] = position.reserved
    assert stored == dict(units)
    return stored


async def on_hand(world: World) -> dict[tuple[str, str], int]:
    return {(sku, place): p.on_hand for sku in SKUS for place, p in (await world.store.positions(sku)).items()}


def open_of(reservation: Reservation | None) -> dict[tuple[str, str], int]:
    units: Counter[tuple[str, str]] = Counter()
    for each in reservation.lines if reservation else ():
        for allocation in each.allocations:
            units[each.sku, allocation.location] += allocation.open
    return {place: count for place, count in units.items() if count}


def basket(quantity: int = 4, seconds: int = 600, **more: Any):
    lines = (line(quantity, "AMS1", sku=sku, line_id=str(n)) for n, sku in enumerate(SKUS, 1))
    return request(*lines, time_to_live_seconds=seconds, reservation_id="R", order_ref="order", **more)


async def every_cut(server: RunningRedis, before: Act | None, act: Act, check: Callable[[World, bool], Any]) -> int:
    """Cuts `act` after 0, 1, 2 ... calls until it comes to its end; how many calls it makes."""
    for count in range(CALLS_MAX):
        async with stocked(server) as world:
            if before is not None:
                await before(world.store)
            is_done = await dies(world, count, act)
            await check(world, is_done)
        if is_done:
            return count
    raise AssertionError("does not come to an end")


@pytest.mark.asyncio
@pytest.mark.parametrize("is_repeated", [False, True], ids=["swept", "repeated"])
async def test_a_reservation_is_wholly_held_or_wholly_free(server: RunningRedis, is_repeated: bool) -> None:
    """And a repeat of the request finds it held, or holds it."""
    wanted, found = basket(), []

    async def act(store: RedisStore) -> None:
        await store.reserve([wanted])

    async def check(world: World, is_done: bool) -> None:
        if is_repeated:
            (answer,) = (await world.store.reserve([wanted])).outcomes
            assert isinstance(answer, ReservationAnswer)
        await looks_after(world)
        reservation = await world.store.reservation("R")
        held = await reserved(world)
        assert held == open_of(reservation)
        assert held in ({}, {(sku, "AMS1"): 4 for sku in SKUS})
        assert (reservation is not None) == bool(held)
        assert bool(held) or not (is_done or is_repeated)
        found.append(bool(held))
        states = await world.store.states()
        assert states["HELD"] == len(held) // len(SKUS)

    assert await every_cut(server, None, act, check) >= len(SKUS) + 1
    assert is_repeated or set(found) == {False, True}


@pytest.mark.asyncio
async def test_a_refused_reservation_leaves_nothing(server: RunningRedis) -> None:
    """The last of its partitions is short; however far the freeing came, nothing stays taken."""
    lines = [line(4, "AMS1", sku=sku, line_id=sku) for sku in SKUS]
    last = max(range(3), key=lambda n: partition_of(SKUS[n], PARTITIONS))
    lines[last] = replace(lines[last], quantity=11)
    wanted = request(*lines, reservation_id="R")

    async def act(store: RedisStore) -> None:
        await store.reserve([wanted])

    async def check(world: World, is_done: bool) -> None:
        await looks_after(world)
        assert await reserved(world) == {}
        assert await world.store.reservation("R") is None

    assert await every_cut(server, None, act, check) > len(SKUS)


@pytest.mark.asyncio
async def test_a_hold_that_is_over_is_freed_everywhere(server: RunningRedis) -> None:
    """The server dies while it sweeps."""

    async def before(store: RedisStore) -> None:
        await store.reserve([basket(seconds=1)])

    async def check(world: World, is_done: bool) -> None:
        await looks_after(world)
        assert await reserved(world) == {}
        reservation = await world.store.reservation("R")
        assert reservation is not None
        assert reservation.state is ReservationState.EXPIRED
        assert (await world.store.states())["EXPIRED"] == 1

    for count in range(CALLS_MAX):
        async with stocked(server) as world:
            await before(world.store)
            await world.clock.advance(2_000)

            async def act(store: RedisStore) -> None:
                for partition in range(PARTITIONS):
                    await store.expire_due(partition)

            is_done = await dies(world, count, act)
            await check(world, is_done)
        if is_done:
            return
    raise AssertionError("does not come to an end")


def placements(quantities: dict[str, int], *candidates: str) -> tuple[LinePlacement, ...]:
    where = tuple(Candidate(place) for place in candidates or PLACES)
    return tuple(
        LinePlacement(str(SKUS.index(sku) + 1), quantity, where, allow_split=True)
        for sku, quantity in quantities.items()
    )


ADDED = line(3, "BER1", sku="BED", line_id="x")
CHANGES: dict[str, tuple[str, ReservationChange]] = {
    "confirm": ("confirm", change("R", order_ref="another")),
    "extend": ("extend", change("R", time_to_live_seconds=900)),
    "hand over": ("hand_over", change("R", to_channel="till", to_customer_ref="C", time_to_live_seconds=900)),
    "release all": ("release", change("R")),
    "release some": ("release", change("R", LineUnits("1", "", 3), LineUnits("3", "", 0))),
    "fulfil all": ("fulfil", change("R")),
    "fulfil some": ("fulfil", change("R", LineUnits("1", "", 4), LineUnits("2", "", 1))),
    "amend": ("amend", change("R", placements=placements({"LAMP": 1, "SOFA": 9, "BED": 4}))),
    "amend one": ("amend", change("R", placements=placements({"SOFA": 12}))),
    "amend to nothing": ("amend", change("R", placements=placements(dict.fromkeys(SKUS, 0)))),
    "add a line": ("amend", change("R", placements=placements({"LAMP": 2}), added=(ADDED,))),
    "rebind": ("rebind", change("R", placements=placements(dict.fromkeys(SKUS, 0), "BER1"))),
    "rebind one": ("rebind", change("R", placements=placements({"BED": 0}, "BER1"))),
    "refused amendment": ("amend", change("R", placements=placements({"LAMP": 2, "SOFA": 21, "BED": 20}))),
    "refused fulfilment": ("fulfil", change("R", LineUnits("1", "", 4), LineUnits("3", "", 5))),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("is_repeated", [False, True], ids=["swept", "repeated"])
@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_wholly_made_or_not_at_all(server: RunningRedis, name: str, is_repeated: bool) -> None:
    """What a server that went on without harm leaves is the one way it can end, what there was before the other."""
    verb, wanted = CHANGES[name]

    async def before(store: RedisStore) -> None:
        await store.reserve([basket()])
        if verb == "fulfil":
            await store.confirm([change("R", order_ref="order")])

    async def act(store: RedisStore) -> None:
        await getattr(store, verb)([wanted])

    async def state_of(world: World) -> Any:
        reservation = await world.store.reservation("R")
        assert reservation is not None
        assert await reserved(world) == open_of(reservation)
        by_state = {state: count for state, count in (await world.store.states()).items() if count}
        assert by_state == {reservation.state.value: 1}
        expiry = reservation.expires_at and reservation.expires_at - reservation.created_at_ms // 1000
        return replace(reservation, revision=0, created_at_ms=0, expires_at=expiry), await on_hand(world)

    async with stocked(server) as world:
        await before(world.store)
        as_it_was = await state_of(world)
        await act(world.store)
        as_it_is = await state_of(world)
    assert (as_it_is == as_it_was) == name.startswith("refused")
    found = []

    async def check(world: World, is_done: bool) -> None:
        if is_repeated:
            await act(world.store)
        await looks_after(world)
        is_over = await state_of(world)
        assert is_over in ([as_it_is] if is_done or is_repeated else [as_it_was, as_it_is])
        found.append(is_over)

    assert await every_cut(server, before, act, check) >= 3
    assert is_repeated or as_it_was in found


@pytest.mark.asyncio
async def test_two_servers_going_on_with_one_operation_make_it_once(server: RunningRedis) -> None:
    """Both find what a third one left."""
    verb, wanted = CHANGES["rebind"]

    async def before(store: RedisStore) -> None:
        await store.reserve([basket()])

    async def act(store: RedisStore) -> None:
        await getattr(store, verb)([wanted])

    async def check(world: World, is_done: bool) -> None:
        await world.clock.advance(5_000)
        home = partition_of("R", PARTITIONS)
        await asyncio.gather(*(world.store.finish_unfinished(home) for _ in range(3)))
        assert set(await reserved(world)) in ({(sku, "AMS1") for sku in SKUS}, {(sku, "BER1") for sku in SKUS})

    await every_cut(server, before, act, check)
