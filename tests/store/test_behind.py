"""What is behind reserved units: found by what the log names, else among the live records, in bounded steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from invengine.domain.orders import Candidate, Future, LinePlacement, LineUnits, ReservationState
from invengine.domain.partitions import partition_of
from invengine.store import behind, keys
from invengine.store.records import Atomicity
from tests.store.making import change, incoming, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

DAY = 40_000


@pytest_asyncio.fixture(params=[Atomicity.WHOLE, Atomicity.PARTITION], ids=["one step", "pieces"])
async def shop(request: pytest.FixtureRequest, open_world: Callable[..., Awaitable[World]]) -> World:
    """100 LAMP at AMS1 and at BER1, 100 SOFA at AMS1."""
    world = await open_world(atomicity=request.param)
    at = world.clock.now_ms
    await world.store.post_movements(
        [
            movement("RECEIPT", 100, at, sku=sku, location=place)
            for sku, place in (("LAMP", "AMS1"), ("LAMP", "BER1"), ("SOFA", "AMS1"))
        ]
    )
    return world


async def found(world: World, sku: str = "LAMP", *places: str) -> tuple[list[tuple[Any, ...]], bool]:
    positions = await world.store.positions(sku)
    wanted = {place: its.reserved for place, its in positions.items() if not places or place in places}
    held, complete = (await world.store.behind({sku: wanted}))[sku]
    return sorted((h.reservation_id, h.line_id, h.location, h.units) for h in held), complete


async def trim(world: World, left: int = 0) -> None:
    """The logs forget all but the last entries."""
    for partition in range(world.store.partitions):
        await world.client.xtrim(keys.log(partition), maxlen=left, approximate=False)


async def test_nothing_is_behind_nothing(shop: World) -> None:
    assert await found(shop) == ([], True)
    assert await found(shop, "NOBODY") == ([], True)


@pytest.mark.parametrize("is_trimmed", [False, True])
async def test_what_holds_units_is_found_whatever_became_of_it(shop: World, is_trimmed: bool) -> None:
    store = shop.store
    await store.reserve(
        [
            request(line(4), reservation_id="A"),
            request(line(5, "BER1"), line(2, line_id="2", sku="SOFA"), reservation_id="B", channel="till"),
            request(3, reservation_id="C"),
            request(7, reservation_id="D"),
        ]
    )
    await store.release([change("C")])
    await store.confirm([change("B"), change("D")])
    await store.fulfil([change("D", LineUnits("1", "", 6))])
    at_ber = (Candidate("BER1"),)
    await store.rebind([change("A", placements=(LinePlacement("1", candidates=at_ber),))])
    if is_trimmed:
        await trim(shop)
    assert await found(shop) == ([("A", "1", "BER1", 4), ("B", "1", "BER1", 5), ("D", "1", "AMS1", 1)], True)
    assert await found(shop, "LAMP", "AMS1") == ([("D", "1", "AMS1", 1)], True)
    assert await found(shop, "SOFA") == ([("B", "2", "AMS1", 2)], True)
    (sofa,) = (await store.behind({"SOFA": {"AMS1": 2}}))["SOFA"][0]
    assert (sofa.channel, sofa.state, sofa.created_at_ms) == ("till", ReservationState.CONFIRMED, shop.clock.now_ms)


async def test_units_out_of_ring_fences_and_such_that_came_later_are_found(shop: World) -> None:
    at = shop.clock.now_ms
    await shop.store.post_movements([movement("RING_FENCE", 90, at, channel="web")])
    await shop.store.change_incoming([incoming("SET", 20, DAY)])
    await shop.store.reserve([request(line(110, future=Future()), reservation_id="A")])
    ((first,), _) = (await shop.store.behind({"LAMP": {"AMS1": 100}}))["LAMP"]
    assert (first.units, first.fenced, first.fence_channel) == (100, 90, "web")
    await shop.store.change_incoming([incoming("RECEIVE", 20, occurred_at_ms=at)])
    assert (await shop.store.position("LAMP", "AMS1")).reserved == 110
    held, complete = (await shop.store.behind({"LAMP": {"AMS1": 110}}))["LAMP"]
    assert (sum(one.units for one in held), complete) == (110, True)


async def test_a_hold_that_is_over_is_found_until_it_is_tidied(shop: World) -> None:
    await shop.store.reserve([request(4, reservation_id="A", time_to_live_seconds=1)])
    await shop.clock.advance(5_000)
    (held,) = (await shop.store.behind({"LAMP": {"AMS1": 4}}))["LAMP"][0]
    assert (held.state, held.expires_at * 1000 <= shop.clock.now_ms) == (ReservationState.HELD, True)
    for partition in range(shop.store.partitions):
        await shop.store.expire_due(partition)
    assert await found(shop) == ([], True)


async def test_too_many_live_records_are_not_looked_through(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log names is told, and that there is more."""
    monkeypatch.setattr(behind, "LIVE_MAX", 1)
    ids = [f"R{n}" for n in range(12)]
    await shop.store.reserve([request(1, reservation_id=name) for name in ids[:11]])
    await trim(shop)
    await shop.store.reserve([request(2, reservation_id=ids[11])])
    assert await found(shop) == ([("R11", "1", "AMS1", 2)], False)
    monkeypatch.setattr(behind, "LIVE_MAX", 12)
    told, complete = await found(shop)
    assert (len(told), complete) == (12, True)


async def test_the_log_is_looked_through_so_far_and_no_further(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "LOG_CHUNK", 2)
    monkeypatch.setattr(behind, "LOG_ENTRIES_MAX", 4)
    monkeypatch.setattr(behind, "LIVE_MAX", 0)
    other = next(f"S{n}" for n in range(99) if partition_of(f"S{n}", 4) == partition_of("LAMP", 4))
    for n in range(3):
        await shop.store.reserve([request(1, reservation_id=f"R{n}")])
    await shop.store.post_movements([movement("RECEIPT", 1, shop.clock.now_ms, sku=other)])
    told, complete = await found(shop)
    assert (told, complete) == ([(f"R{n}", "1", "AMS1", 1) for n in range(3)], True)
    await shop.store.reserve([request(1, reservation_id="R3")])
    told, complete = await found(shop)
    assert ([name for name, *_ in told], complete) == (["R1", "R2", "R3"], False)


async def test_many_are_read_in_parts(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "_RECORDS_A_CALL", 3)
    await shop.store.reserve([request(1, reservation_id=f"R{n}") for n in range(10)])
    told, complete = await found(shop)
    assert (len(told), complete) == (10, True)


async def test_several_skus_are_looked_for_together(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live records are gone through once, and what one SKU lacks does not make another incomplete."""
    lines = (line(4), line(2, line_id="2", sku="SOFA"))
    await shop.store.reserve([request(*lines, reservation_id="A"), request(line(3, "BER1"), reservation_id="B")])
    wanted = {"LAMP": {"AMS1": 4, "BER1": 3}, "SOFA": {"AMS1": 2}, "NOBODY": {}}

    async def told() -> dict[str, tuple[list[tuple[str, str, int]], bool]]:
        found = await shop.store.behind(wanted)
        return {
            sku: (sorted((h.reservation_id, h.location, h.units) for h in held), complete)
            for sku, (held, complete) in found.items()
        }

    whole = {
        "LAMP": ([("A", "AMS1", 4), ("B", "BER1", 3)], True),
        "SOFA": ([("A", "AMS1", 2)], True),
        "NOBODY": ([], True),
    }
    assert await told() == whole
    await trim(shop)
    assert await told() == whole
    await shop.store.reserve([request(line(1, sku="SOFA"), reservation_id="C")])
    wanted["SOFA"] = {"AMS1": 1}  # which the log names
    monkeypatch.setattr(behind, "LIVE_MAX", 0)
    found = await shop.store.behind(wanted)
    assert {sku: complete for sku, (_, complete) in found.items()} == {"LAMP": False, "SOFA": True, "NOBODY": True}
