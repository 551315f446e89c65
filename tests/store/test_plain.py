"""Usual reservations: the function of their own leaves in Redis, and answers, what the one for all does."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from invengine.domain.orders import Candidate, ReserveRequest
from invengine.errors import InsufficientStock, OutcomeUnknown, StoreUnavailable
from invengine.store.acting import shared
from invengine.store.plain import RESERVATIONS_PER_CALL
from tests.store.making import incoming, line, movement, request
from tests.store.plain import packed, reserve_usual
from tests.store.worlds import World, told

pytestmark = pytest.mark.asyncio

SKUS, LOCATIONS = ("LAMP", "SOFA", "RUG"), ("AMS1", "BER1", "PAR1")


async def everything(client: Redis) -> dict[bytes, Any]:
    """All that Redis holds, by key."""
    found: dict[bytes, Any] = {}
    read = {
        b"hash": client.hgetall,
        b"string": client.get,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    async for key in client.scan_iter():
        found[key] = await read[await client.type(key)](key)
    return found


def drawn(numbers: random.Random, number: int) -> ReserveRequest:
    """A request, now and then sent before, with an id in use, or for what there is too little of."""
    places = numbers.sample(LOCATIONS, numbers.randint(1, 3))
    candidates = [Candidate(place, numbers.choice((0, 1)), numbers.choice((0, 0, 2_500))) for place in places]
    sent = numbers.randrange(number + 1) if numbers.random() < 0.15 else number
    asked = line(
        numbers.choice((1, 1, 2, 9)),
        *candidates,
        sku=numbers.choice((*SKUS, "GHOST") if numbers.random() < 0.1 else SKUS),
        line_id=numbers.choice(("1", "first")),
        allow_split=numbers.random() < 0.2,
    )
    return request(
        asked,
        request_id=f"q{sent}",
        fingerprint=numbers.choice("AB") if numbers.random() < 0.1 else "A",
        channel=numbers.choice(("web", "till")),
        reservation_id=f"r{numbers.randrange(number + 1) if numbers.random() < 0.1 else number}",
        time_to_live_seconds=numbers.choice((2, 60)),
    )


async def lived(world: World, seed: int, reserve: Callable[[list[ReserveRequest]], Any]) -> tuple[list[Any], Any]:
    """What the same life of a store answers, and what it holds in the end."""
    numbers, said = random.Random(seed), []
    kept = await world.client.hgetall("invengine:store")
    await world.client.flushdb()  # of a server that the suite started
    await world.client.hset("invengine:store", mapping=kept)
    await world.clock.set(1_700_000_000_000)
    opening = [
        movement("RECEIPT", numbers.randint(0, 40), world.clock.now_ms, sku, place, event_id=f"{sku} {place}")
        for sku in SKUS
        for place in LOCATIONS
    ]
    fence = movement("RING_FENCE", 3, world.clock.now_ms, channel="till", event_id="fence")
    await world.store.post_movements([one for one in opening if one.quantity])
    await world.store.post_movements([fence])
    for round_ in range(8):
        wanted = [drawn(numbers, 20 * round_ + n) for n in range(numbers.randint(1, 20))]
        written = await reserve(wanted)
        said += [told(outcome) for outcome in written.outcomes]
        said.append((written.revisions, [(e.partition, e.revision, e.rows) for e in written.entries]))
        await world.clock.advance(numbers.choice((1, 700, 3_000)))
        if numbers.random() < 0.5:
            change = incoming("SET", 5, 25_000, request_id=f"change {round_}")
            await world.store.change_incoming([change])
    return said, await everything(world.client)


@pytest.mark.parametrize("seed", range(3))
async def test_both_functions_answer_and_leave_the_same(world: World, seed: int) -> None:
    """Answers, revisions, log entries and every key, of a life with repeats, refusals, expiries and ring-fences."""
    by_all = await lived(world, seed, world.store.reserve)

    async def usual(wanted: list[ReserveRequest]) -> Any:
        return await reserve_usual(world.store, wanted)

    assert await lived(world, seed, usual) == by_all


async def test_a_batch_larger_than_a_call_is_decided_in_order(world: World) -> None:
    """Several calls make one batch, and only the first units are had."""
    await world.store.post_movements([movement("RECEIPT", RESERVATIONS_PER_CALL + 3, world.clock.now_ms)])
    wanted = [request(1) for _ in range(RESERVATIONS_PER_CALL + 10)]
    outcomes = (await reserve_usual(world.store, wanted, block=150)).outcomes
    short = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, InsufficientStock)]
    assert short == list(range(RESERVATIONS_PER_CALL + 3, RESERVATIONS_PER_CALL + 10))


async def test_what_is_due_is_swept_before_an_item_is_short(open_world: Callable[..., Any]) -> None:
    """More holds are over than one call expires: it stops, and goes on when they are swept."""
    world = await open_world(EXPIRE_MAX="2")
    await world.store.post_movements([movement("RECEIPT", 8, world.clock.now_ms)])
    await world.store.reserve([request(1, time_to_live_seconds=1) for _ in range(8)])
    await world.clock.advance(2_000)
    outcomes = (await reserve_usual(world.store, [request(4), request(4), request(1)])).outcomes
    assert [isinstance(outcome, InsufficientStock) for outcome in outcomes] == [False, False, True]


async def test_a_failure_after_the_first_call_leaves_the_outcome_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first call made is there, so nobody may be told that nothing happened."""
    await world.store.post_movements([movement("RECEIPT", 1_000, world.clock.now_ms)])
    wanted = [request(1) for _ in range(RESERVATIONS_PER_CALL + 1)]
    called = world.store._call
    sent = 0

    async def fails_later(function: str, touched: Any, message: bytes) -> bytes:
        nonlocal sent
        sent += 1
        if sent > 1:
            raise StoreUnavailable("away")
        return await called(function, touched, message)

    monkeypatch.setattr(world.store.plain, "_call", fails_later)
    with pytest.raises(OutcomeUnknown):
        await reserve_usual(world.store, wanted, block=200)
    sent = 1
    with pytest.raises(StoreUnavailable):
        await reserve_usual(world.store, [replace(wanted[0], request_id="other", reservation_id="other")])


async def test_a_call_that_several_share_names_the_reservations_of_each() -> None:
    """The log says on whose behalf each reservation was made, also where batches of several share a call."""
    one, other = (packed([request(1, reservation_id=f"{name} {n}") for n in range(3)], 4) for name in ("one", "other"))
    parts = [("ann", [one.part(0, 2), one.part(2, 3)]), ("bob", [other])]
    lines = [f"one {n}\tann\n" for n in range(3)] + [f"other {n}\tbob\n" for n in range(3)]
    assert shared(parts) == "".join(lines)
