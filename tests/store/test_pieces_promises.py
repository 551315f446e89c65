"""Ring-fences, pegs and backorders of reservations in pieces whose server dies between two of its steps.

The server is cut off after its n-th call, for every n; then another one goes on, perhaps after what was expected came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from invengine.domain.orders import Future, LinePlacement, LineUnits, ReservationChange
from invengine.store.redis_store import RedisStore
from tests.redis_servers import RunningRedis
from tests.store.making import change, incoming, line, movement, request
from tests.store.stored import Stored, read_stored
from tests.store.test_pieces_crash import PARTITIONS, PLACES, SKUS, every_cut, looks_after, placements, server, stocked
from tests.store.worlds import World

__all__ = ["server"]

pytestmark = pytest.mark.asyncio

DAY = 40_000
ANY = Future(0, 5)
"""Any receipt, and up to five units backordered at a position."""


def everywhere(make: Callable[..., Any], *arguments: Any, **more: Any) -> list[Any]:
    """The same for each SKU."""
    return [make(*arguments, sku=sku, **more) for sku in SKUS]


async def promised(store: RedisStore, at: int) -> None:
    """Of each SKU at AMS1: 3 of 10 units fenced for web, 2 for till, 4 expected. R has 10 of each: 3 out of the
    ring-fence of web and 5 out of the pool on hand, 2 pegged."""
    await store.post_movements(
        [
            *everywhere(movement, "RING_FENCE", 3, at, channel="web"),
            *everywhere(movement, "RING_FENCE", 2, at, channel="till"),
        ]
    )
    await store.change_incoming(everywhere(incoming, "SET", 4, DAY))
    lines = [line(10, "AMS1", sku=sku, line_id=str(n), future=Future()) for n, sku in enumerate(SKUS, 1)]
    await store.reserve([request(*lines, reservation_id="R", order_ref="order", time_to_live_seconds=600)])


def placed(quantities: dict[str, int], *candidates: str, future: Future | None = ANY) -> tuple[LinePlacement, ...]:
    return tuple(replace(each, future=future) for each in placements(quantities, *candidates))


ALL = dict.fromkeys(SKUS, 0)
CHANGES: dict[str, tuple[str, ReservationChange]] = {
    "more of the receipts": ("amend", change("R", channel="web", placements=placed(dict.fromkeys(SKUS, 12), "AMS1"))),
    "backorders": ("amend", change("R", channel="web", placements=placed(dict.fromkeys(SKUS, 16), "AMS1"))),
    "fewer, by another channel": (
        "amend",
        change("R", channel="till", placements=placed({"LAMP": 1, "SOFA": 12, "BED": 9}, "AMS1")),
    ),
    "a line more": (
        "amend",
        change(
            "R",
            channel="web",
            placements=placed({"LAMP": 4, "SOFA": 10}, "AMS1"),
            added=(line(9, "AMS1", sku="LAMP", line_id="x", future=ANY, allow_split=True),),
        ),
    ),
    "elsewhere": ("rebind", change("R", channel="web", placements=placed(ALL, "BER1"))),
    "here and there": ("rebind", change("R", channel="web", placements=placed(ALL, "BER1", "AMS1"))),
    "the same place, another channel": ("rebind", change("R", channel="till", placements=placed(ALL, "AMS1"))),
    "given back": ("release", change("R", LineUnits("1", "", 3), LineUnits("2", "", 9), LineUnits("3", "", 0))),
    "another channel": ("hand_over", change("R", to_channel="till")),
    "fulfilled": ("fulfil", change("R", LineUnits("1", "", 2), LineUnits("2", "", 8), LineUnits("3", "", 4))),
    "refused": (
        "amend",
        change("R", channel="web", placements=placed({"LAMP": 12, "SOFA": 15, "BED": 90}, "AMS1")),
    ),
}
IN_STEPS = ("more of the receipts", "backorders", "a line more", "here and there", "fulfilled")


async def consistent(world: World) -> Stored:
    """What is stored, after it was seen that every open unit is set aside once, where its record says."""
    stored = await read_stored(world.client, PARTITIONS, SKUS)
    reserved, pegged = stored.open_units()
    assert {place: p.reserved for place, p in stored.positions.items() if p.reserved} == dict(reserved)
    assert {source: r.pegged for source, r in stored.receipts.items() if r.pegged} == dict(pegged)
    for (_, _, receipt_id), receipt in stored.receipts.items():
        assert not receipt_id or receipt.pegged <= receipt.quantity
    for position in stored.positions.values():
        assert 0 <= position.reserved <= position.on_hand
    return stored


async def state_of(world: World) -> Any:
    """All that must be equal after equal ends."""
    stored = await consistent(world)
    reservation = await world.store.reservation("R")
    assert reservation is not None
    return (
        replace(reservation, revision=0, created_at_ms=0, expires_at=0),
        {place: replace(position, revision=0) for place, position in stored.positions.items()},
        {source: replace(receipt, revision=0) for source, receipt in stored.receipts.items()},
    )


def acting(verb: str, wanted: ReservationChange) -> tuple[Any, Any]:
    async def before(store: RedisStore) -> None:
        await promised(store, await store.now_ms())
        if verb == "fulfil":
            await store.confirm([change("R", order_ref="order")])

    async def act(store: RedisStore) -> None:
        await getattr(store, verb)([wanted])

    return before, act


@pytest.mark.parametrize("name", CHANGES)
async def test_fences_and_pegs_are_as_before_or_as_after(server: RunningRedis, name: str) -> None:
    """However far it came: what is undone is where it was, out of the same ring-fences."""
    before, act = acting(*CHANGES[name])
    async with stocked(server) as world:
        await before(world.store)
        as_it_was = await state_of(world)
        await act(world.store)
        as_it_is = await state_of(world)
    assert (as_it_is == as_it_was) == (name == "refused")
    found = []

    async def check(world: World, is_done: bool) -> None:
        await consistent(world)  # also in the middle of it
        await looks_after(world)
        is_over = await state_of(world)
        assert is_over in ([as_it_is] if is_done else [as_it_was, as_it_is])
        found.append(is_over)

    assert await every_cut(server, before, act, check) >= 3
    assert as_it_was in found


@pytest.mark.parametrize("kind", ["RECEIVE", "CANCEL"])
@pytest.mark.parametrize("name", IN_STEPS)
async def test_what_is_expected_may_come_or_not_in_between(server: RunningRedis, name: str, kind: str) -> None:
    """Units that arrive for the pegs of a change under way, and pegs that lose their cover, are not lost or doubled."""
    verb, wanted = CHANGES[name]
    before, act = acting(verb, wanted)

    async def comes(world: World) -> None:
        at = world.clock.now_ms
        quantity = 4 if kind == "RECEIVE" else 0
        await world.store.change_incoming(everywhere(incoming, kind, quantity, occurred_at_ms=at))

    def quantities(state: Any) -> Any:
        reservation, positions, _ = state
        return {
            each.line_id: (
                each.quantity,
                sum(a.open for a in each.allocations),
                sum(a.fulfilled for a in each.allocations),
            )
            for each in reservation.lines
        }, sum(position.on_hand for position in positions.values())

    ends = []
    for acts in (False, True):
        async with stocked(server) as world:
            await before(world.store)
            if acts:
                await act(world.store)
            await comes(world)
            ends.append(quantities(await state_of(world)))

    async def check(world: World, is_done: bool) -> None:
        await comes(world)
        await consistent(world)
        await looks_after(world)
        assert quantities(await state_of(world)) in (ends[1:] if is_done else ends)

    await every_cut(server, before, act, check)


@pytest.mark.parametrize("is_sold", [False, True])
async def test_what_a_change_is_to_give_back_is_not_free_before_all_was_taken(
    server: RunningRedis, is_sold: bool
) -> None:
    """Nobody gets it meanwhile; and a change whose last piece finds its units sold is taken back as a whole."""
    before, act = acting(*CHANGES["elsewhere"])

    async def check(world: World, is_done: bool) -> None:
        under_way = not is_done and any(
            [await world.client.hlen(f"{{p{partition}}}:operations") for partition in range(PARTITIONS)]
        )
        if under_way:
            stored = await consistent(world)
            for sku in SKUS:
                assert stored.positions[sku, "AMS1"].reserved == 8 or stored.positions[sku, "BER1"].reserved == 10
        if is_sold:
            sales = [movement("SALE", 10, world.clock.now_ms, sku=sku, location="BER1") for sku in SKUS]
            await world.store.post_movements(sales)
        await looks_after(world)
        reservation, positions, _ = await state_of(world)
        assert {a.location for each in reservation.lines for a in each.allocations} in ({"AMS1"}, {"BER1"})
        assert {place for _, place in positions} == set(PLACES)

    await every_cut(server, before, act, check)
