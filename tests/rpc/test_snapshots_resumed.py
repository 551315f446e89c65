"""Snapshots that are cut off: whatever was done by then, the same snapshot sent again ends in the same state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import count
from typing import Any

import grpc
import pytest

from invengine import bootstrap, errors
from invengine.bootstrap import Running
from invengine.services import snapshot_application, snapshot_staging
from invengine.store.redis_store import Atomicity, RedisStore
from tests.rpc.engines import NETWORK, Stubs, client, create, engine, refused, settings_for
from tests.rpc.snapshots import (
    MINUTE,
    Request,
    change,
    move,
    now_ms,
    order,
    parts,
    snapshot,
    state_of,
    units,
    violations,
)

pytestmark = pytest.mark.asyncio

PLACES_MAX = 60
PLACES = NETWORK.replace("groups:\n", "".join(f"  L{n}: {{kind: store}}\n" for n in range(PLACES_MAX)) + "groups:\n")
PLACES = PLACES.replace("abroad: [ABROAD]", f"abroad: [{', '.join(f'L{n}' for n in range(PLACES_MAX))}]")
PLACES = PLACES.replace("groups: [all, stores]", "groups: [all, stores, abroad]")


class Failing:
    """Has one of the store's calls fail: the n-th, before or after it did what it does."""

    def __init__(self, running: Running, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.after = False
        store = running.store
        for owner, names in ((store.snapshots, ("note", "apply", "note_full")), (store, ("confirm", "fulfil"))):
            for name in names:
                patch.setattr(owner, name, partial(self._call, getattr(owner, name)))

    async def _call(self, original: Callable[..., Any], *args: Any) -> Any:
        self.left -= 1
        if self.left:
            return await original(*args)
        if self.after:
            await original(*args)
        raise errors.StoreUnavailable("cut off")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("atomicity", Atomicity, ids=lambda atomicity: atomicity.name.lower())
async def test_it_goes_on_wherever_it_was_cut_off(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, after: bool, atomicity: Atomicity
) -> None:
    monkeypatch.setattr(RedisStore, "open", partial(RedisStore.open, atomicity=atomicity))
    monkeypatch.setattr(snapshot_application, "ROWS_PER_STEP", 1)
    async with engine(redis_url, partitions=4) as (running, stubs):
        await stubs.apply_network(PLACES)
        failing = Failing(running, monkeypatch)
        failing.after = after
        for step in count(1):
            failing.left = -1
            start, place, refs = now_ms(), f"L{step}", [f"{name}{step}" for name in ("left", "open", "held")]
            for sku, quantity in (("LAMP", 10), ("SOFA", 4), ("RUG", 3)):
                await move(stubs, sku, quantity, start - 30 * MINUTE, location=place)
            await change(stubs, "Fulfil", await order(stubs, refs[0], line={"location": place}))
            opened = await order(stubs, refs[1], quantity=1, line={"location": place})
            request = create(f"held {step}", "SOFA", 2, order_ref=refs[2], line={"location": place})
            held = (await stubs.reservations.CreateReservation(request)).reservation.reservation_id
            again = partial(
                snapshot,
                stubs,
                start - 10 * MINUTE,
                [("LAMP", 7), ("SOFA", 2), ("NEW", 1)],
                location=place,
                contains_order_refs=refs,
            )
            failing.left = step
            if await is_applied(again()):
                assert failing.left > 0
                break
            assert failing.left == 0
            answer = await again()
            assert answer.applied + answer.repeated == 3
            expected = {"LAMP": (7, 0), "SOFA": (2, 0), "NEW": (1, 0), "RUG": (0, 0)}
            assert {sku: await units(stubs, sku, place) for sku in expected} == expected
            assert [await state_of(stubs, name) for name in (opened, held)] == ["FULFILLED"] * 2
        assert step == 12  # each of its eleven calls failed once
        assert await violations(stubs) == []


async def is_applied(call: Any) -> bool:
    """Whether a snapshot was applied; else it may be repeated."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED):
            raise
        return False
    return True


async def test_a_server_that_stops_leaves_it_to_the_next(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_application, "ROWS_PER_STEP", 1)
    as_of, rows = now_ms() - MINUTE, [(f"S{n}", n) for n in range(200)]
    serving = bootstrap.running(settings_for(redis_url))
    running = await serving.__aenter__()
    async with client(running.address) as stubs:
        await stubs.apply_network()
        under_way, apply = asyncio.Event(), running.store.snapshots.apply

        async def counted(*args: Any) -> Any:
            written = await apply(*args)
            under_way.set()
            return written

        monkeypatch.setattr(running.store.snapshots, "apply", counted)
        call = asyncio.ensure_future(refused(stubs.stock.ApplySnapshot(parts(as_of, rows, 100))))
        await under_way.wait()
        await serving.__aexit__(None, None, None)
        assert (await call).reason == "SHUTTING_DOWN"
    async with engine(redis_url) as (_, stubs):
        answer = await snapshot(stubs, as_of, rows, per_message=100)
        assert answer.applied + answer.repeated == 200
        assert 1 <= answer.repeated < 200
        assert await units(stubs, "S199") == (199, 0)


async def test_a_snapshot_whose_stream_has_ended_needs_its_caller_no_more(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network()
        under_way, go_on, apply = asyncio.Event(), asyncio.Event(), running.store.snapshots.apply

        async def held_up(*args: Any) -> Any:
            under_way.set()
            await go_on.wait()
            return await apply(*args)

        monkeypatch.setattr(running.store.snapshots, "apply", held_up)
        call = stubs.stock.ApplySnapshot(parts(now_ms() - MINUTE, [("LAMP", 7)]))
        sent = asyncio.ensure_future(_ended(call))
        await under_way.wait()
        call.cancel()
        await sent
        go_on.set()
        while await running.store.position("LAMP", "DC") is None:
            await asyncio.sleep(0)
        assert await units(stubs, "LAMP") == (7, 0)


async def _ended(call: Any) -> None:
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_two_servers_that_get_it_at_once_apply_it_once(redis_url: str) -> None:
    start = now_ms()
    async with engine(redis_url) as (_, one):
        await one.apply_network()
        async with engine(redis_url) as (running, _), client(running.address) as other:
            await move(one, "LAMP", 10, start - 30 * MINUTE)
            await order(one, "o-1")
            again = partial(snapshot, as_of_ms=start - 10 * MINUTE, contains_order_refs=["o-1"])
            rows = [("LAMP", 8), *((f"S{n}", n) for n in range(50))]
            answers = await asyncio.gather(*(again(stubs, rows=rows) for stubs in (one, other) * 3))
            assert all(answer.applied + answer.repeated == 51 for answer in answers)
            assert sum(answer.applied for answer in answers) == 51
            assert await units(one, "LAMP") == (8, 0)
            assert await violations(other) == []


async def test_there_is_room_for_so_many_rows_at_once(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is bounded in rows; a snapshot that ends, however it ends, makes room."""
    monkeypatch.setattr(snapshot_staging, "ROWS_STAGED_MAX", 10)
    rows = [(f"S{n}", n) for n in range(6)]
    waiting, sent = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[Request]:
        for message in parts(now_ms() - MINUTE, rows, snapshot_id="slow"):
            yield message
        sent.set()
        await waiting.wait()

    call = stubs.stock.ApplySnapshot(slow())
    answer = asyncio.ensure_future(_answered(call))
    await sent.wait()
    told = await refused(stubs.stock.ApplySnapshot(_retried(rows)))
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    waiting.set()
    assert (await answer).applied == 6
    for n in range(4):
        assert (await snapshot(stubs, now_ms(), rows, snapshot_id=f"s{n}")).applied == 6


async def _answered(call: Any) -> Any:
    return await call


def _retried(rows: list[tuple[Any, ...]]) -> Any:
    """A snapshot that is larger than what may be left."""
    return parts(now_ms() - MINUTE, rows + [(f"T{n}", n) for n in range(6)], snapshot_id="second")


async def test_the_bounds_of_a_snapshot_are_told(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_staging, "ROWS_MAX", 5)
    rows = [(f"S{n}", n) for n in range(6)]
    assert (await refused(stubs.stock.ApplySnapshot(parts(now_ms(), rows)))).fields == ["rows"]
    monkeypatch.setattr(snapshot_staging, "ROWS_OF_A_MESSAGE_MAX", 3)
    assert (await refused(stubs.stock.ApplySnapshot(parts(now_ms(), rows, 4)))).fields == ["rows"]
    monkeypatch.setattr(snapshot_staging, "ORDER_REFS_MAX", 2)
    header = {"contains_order_refs": ["a", "b", "c"]}
    told = await refused(stubs.stock.ApplySnapshot(parts(now_ms(), rows[:1], **header)))
    assert told.fields == ["contains_order_refs"]
