"""Transfers over several partitions whose server dies between two of its steps, and servers that act at the same time.

Units are at the source, on the way or at the destination, whatever happens: their sum stays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from invengine import errors
from invengine.domain.orders import LineUnits
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.store.redis_store import Atomicity, RedisStore, StoreSettings
from tests.conftest import started
from tests.redis_servers import RunningRedis
from tests.store.making import change, incoming, movement, transfer
from tests.store.test_pieces_crash import CALLS_MAX, PARTITIONS, SKUS, dies, every_cut, looks_after, reserved, stocked
from tests.store.worlds import World, opened

pytestmark = pytest.mark.asyncio

DAY = 30_000
UNITS = {"LAMP": 4, "SOFA": 2, "BED": 3}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningRedis]:
    """One kind of server, which need not write to disk: what is tried here is the order of calls."""
    running = started("valkey", appendonly="no")
    yield running
    running.stop()


def wanted(**more: Any):
    return transfer(*UNITS.items(), day=DAY, **more)


async def create(store: RedisStore) -> None:
    (answer,) = (await store.reserve([wanted()])).outcomes
    assert isinstance(answer, ReservationAnswer)


async def where(world: World) -> dict[str, tuple[int, int, int]]:
    """Per SKU units at the source, on the way, at the destination. None is ever lost."""
    found = {}
    for sku in SKUS:
        positions = await world.store.positions(sku)
        receipts = await world.store.receipts_at("T1", [(sku, "BER1")])
        on_the_way = sum(receipt.quantity for receipt in receipts.values())
        found[sku] = (positions["AMS1"].on_hand, on_the_way, positions["BER1"].on_hand)
        assert sum(found[sku]) == 20
    return found


@pytest.mark.parametrize("is_repeated", [False, True], ids=["swept", "repeated"])
async def test_a_transfer_is_wholly_made_or_not_at_all(server: RunningRedis, is_repeated: bool) -> None:
    request, found = wanted(request_id="one"), []

    async def act(store: RedisStore) -> None:
        await store.reserve([request])

    async def check(world: World, is_done: bool) -> None:
        if is_repeated:
            await act(world.store)
        await looks_after(world)
        there = await reserved(world)
        assert there in ({}, {(sku, "AMS1"): units for sku, units in UNITS.items()})
        assert there or not (is_done or is_repeated)
        assert (await world.store.states())["CONFIRMED"] == bool(there)
        assert await world.store.transfer_ids() == (["T1"] if there else [])
        found.append(bool(there))

    assert await every_cut(server, None, act, check) >= len(SKUS) + 1
    assert is_repeated or set(found) == {False, True}


@pytest.mark.parametrize("is_repeated", [False, True], ids=["swept", "repeated"])
@pytest.mark.parametrize("verb", ["ship_transfer", "cancel_transfer"])
async def test_a_transfer_is_wholly_shipped_or_cancelled_or_not_at_all(
    server: RunningRedis, verb: str, is_repeated: bool
) -> None:
    ended, found = change("T1", channel="planner"), set()

    async def act(store: RedisStore) -> None:
        await getattr(store, verb)([ended])

    async def check(world: World, is_done: bool) -> None:
        if is_repeated:
            await act(world.store)
        await looks_after(world)
        there, open_units = await where(world), await reserved(world)
        left = {sku: units if verb == "ship_transfer" else 0 for sku, units in UNITS.items()}
        done = ({sku: (10 - units, units, 10) for sku, units in left.items()}, {})
        not_begun = (dict.fromkeys(SKUS, (10, 0, 10)), {(sku, "AMS1"): units for sku, units in UNITS.items()})
        assert (there, open_units) in ([done] if is_done or is_repeated else [done, not_begun])
        found.add(bool(open_units))

    assert await every_cut(server, create, act, check) >= 3
    assert is_repeated or found == {False, True}


async def test_a_transfer_is_received_once_however_often_its_server_dies(server: RunningRedis) -> None:
    """SKU by SKU, each in a step of its own: a repeat goes on with what is left."""
    arrivals = [
        incoming(
            "RECEIVE",
            0,
            receipt_id="T1",
            location="BER1",
            sku=sku,
            of_transfer=True,
            all_there_is=True,
            request_id=sku,
            occurred_at_ms=DAY * 86_400_000,
        )
        for sku in SKUS
    ]

    async def before(store: RedisStore) -> None:
        await create(store)
        await store.ship_transfer([change("T1", channel="planner")])

    async def act(store: RedisStore) -> None:
        for arrival in arrivals:
            await store.change_incoming([arrival])

    async def check(world: World, is_done: bool) -> None:
        await where(world)
        await act(world.store)
        assert await where(world) == {sku: (10 - units, 0, 10 + units) for sku, units in UNITS.items()}

    assert await every_cut(server, before, act, check) == len(SKUS)


async def test_units_that_are_lost_while_a_shipment_is_under_way_stay_planned(server: RunningRedis) -> None:
    """It is decided when all pieces could: one that has less by then sends what it has, and nothing is taken back."""
    seen = []
    for count in range(1, CALLS_MAX):
        async with stocked(server) as world:
            await create(world.store)
            is_done = await dies(world, count, _ship)
            await world.store.post_movements([movement("COUNT", 3, world.clock.now_ms)])
            await looks_after(world)
            there = {sku: await _two(world, sku) for sku in SKUS}
            left = await reserved(world)
        whole = {"LAMP": 4, "SOFA": 2, "BED": 3}
        sent = {sku: on_the_way for sku, (_, on_the_way) in there.items()}
        assert sent in (dict.fromkeys(SKUS, 0), whole, whole | {"LAMP": 3})
        assert left == {(sku, "AMS1"): whole[sku] - units for sku, units in sent.items() if units < whole[sku]}
        seen.append(sent)
        if is_done:
            break
    assert whole | {"LAMP": 3} in seen
    assert whole in seen


async def _ship(store: RedisStore) -> None:
    await store.ship_transfer([change("T1", channel="planner", request_id="ship")])


async def _two(world: World, sku: str) -> tuple[int, int]:
    receipts = await world.store.receipts_at("T1", [(sku, "BER1")])
    return (await world.store.positions(sku))["AMS1"].on_hand, sum(r.quantity for r in receipts.values())


@pytest.mark.parametrize("atomicity", Atomicity)
async def test_servers_that_ship_and_cancel_at_once_move_no_unit_twice(
    server: RunningRedis, monkeypatch: pytest.MonkeyPatch, atomicity: Atomicity
) -> None:
    """Whatever wins, each unit was shipped once, or went back, or is planned still."""
    outcomes: set[str] = set()
    for seed in range(12):
        rng = random.Random(seed)
        server.empty()
        async with opened(server.url, monkeypatch, partitions=PARTITIONS, atomicity=atomicity) as world:
            places = [(sku, place) for sku in SKUS for place in ("AMS1", "BER1")]
            await world.store.post_movements(
                [movement("RECEIPT", 10, world.clock.now_ms, sku=sku, location=place) for sku, place in places]
            )
            await create(world.store)
            stores = [
                await RedisStore.open(
                    world.client, partitions=PARTITIONS, settings=StoreSettings(), atomicity=atomicity
                )
                for _ in range(3)
            ]
            lines = [LineUnits("1", "", rng.randint(1, 4)), LineUnits("3", "", rng.randint(1, 3))]
            acts = [
                stores[0].ship_transfer([change("T1", *lines, channel="planner")]),
                stores[1].ship_transfer([change("T1", channel="planner")]),
                stores[2].cancel_transfer([change("T1", channel="planner")]),
            ]
            rng.shuffle(acts)
            answers = [written.outcomes[0] for written in await asyncio.gather(*acts)]
            there, left = await where(world), await reserved(world)
            assert left == {}
            shipped = {"LAMP": 0, "SOFA": 0, "BED": 0}
            for line in (await world.store.reservation("T1")).lines:
                shipped[line.sku] = line.allocations[0].fulfilled
                assert line.allocations[0].fulfilled + line.allocations[0].released == UNITS[line.sku]
            assert {sku: units for sku, (_, units, _) in there.items()} == shipped
            outcomes |= {type(answer).__name__ for answer in answers}
            assert all(
                isinstance(answer, ReservationAnswer | errors.QuantityExceedsOpen | errors.TransferClosed)
                for answer in answers
            )
    assert {"ReservationAnswer", "TransferClosed"} <= outcomes
