"""Returns in the store, where one call sees everything and where it sees one partition: races, steps that were left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
import pytest_asyncio

from invengine import errors
from invengine.domain.orders import ReservationState
from invengine.domain.partitions import partition_of
from invengine.domain.returns import (
    DisposalLine,
    DisposalRequest,
    Disposition,
    Return,
    ReturnAnswer,
    ReturnLineRequest,
    ReturnRequest,
)
from invengine.errors import StoreUnavailable
from invengine.services.replay import Replay
from invengine.store import keys
from invengine.store.records import StoreSettings
from invengine.store.redis_store import Atomicity
from tests.store.making import change, line, movement, request
from tests.store.worlds import World

pytestmark = pytest.mark.asyncio

SKUS = ("LAMP", "SOFA", "RUG")
RETENTION_SECONDS = 3_600


@pytest_asyncio.fixture(params=list(Atomicity), ids=lambda atomicity: atomicity.name)
async def world(request: pytest.FixtureRequest, open_world: Callable[..., Any]) -> AsyncIterator[World]:
    """A store whose reservation A of order o-1 left with 4 LAMP, 3 SOFA and 2 RUG; SKUs of several partitions."""
    settings = StoreSettings(retention_seconds=RETENTION_SECONDS, count_window_seconds=RETENTION_SECONDS)
    world = await open_world(atomicity=request.param, settings=settings)
    assert len({partition_of(sku, world.store.partitions) for sku in SKUS}) > 1
    await world.store.post_movements([movement("RECEIPT", 10, world.clock.now_ms, sku=sku) for sku in SKUS])
    await sold(world, "A", order_ref="o-1")
    return world


async def sold(world: World, name: str, units: Iterable[int] = (4, 3, 2), **more: Any) -> None:
    wanted = [line(count, sku=sku, line_id=str(n)) for n, (sku, count) in enumerate(zip(SKUS, units, strict=False), 1)]
    done = [
        *(await world.store.reserve([request(*wanted, reservation_id=name, **more)])).outcomes,
        *(await world.store.confirm([change(name)])).outcomes,
        *(await world.store.fulfil([change(name)])).outcomes,
    ]
    assert not [outcome for outcome in done if isinstance(outcome, errors.InventoryError)]


def back(return_id: str, *units: tuple[str, int] | tuple[str, int, str], **more: Any) -> ReturnRequest:
    """A return of (SKU, units, state) at PAR1; its id names its request too."""
    lines = tuple(ReturnLineRequest(str(n), *each) for n, each in enumerate(units, 1))
    given = {"request_id": return_id, "fingerprint": "A", "channel": "till", "location": "PAR1", "lines": lines}
    return ReturnRequest(return_id=return_id, **given | more)


async def receive(world: World, *requests: ReturnRequest) -> list[Any]:
    requests = tuple(one if one.occurred_at_ms else _now(one, world) for one in requests)
    return (await world.store.receive_returns(requests)).outcomes


def _now(one: ReturnRequest, world: World) -> ReturnRequest:
    fields = {name: getattr(one, name) for name in ReturnRequest.__slots__}
    return ReturnRequest(**fields | {"occurred_at_ms": world.clock.now_ms})


async def shelf(world: World, sku: str) -> tuple[int, dict[str, int]]:
    position = await world.store.position(sku, "PAR1")
    states = {one.state: one.units for one in await world.store.unsellable(sku)}
    return position.on_hand if position else 0, states


async def returned(world: World, name: str = "A") -> list[int]:
    reservation = await world.store.reservation(name)
    assert reservation is not None
    return [line.returned for line in reservation.lines]


async def nothing_is_wrong(world: World) -> None:
    """The log replayed comes to what is stored."""
    faults: list[str] = []
    await Replay(world.store, lambda invariant, place, what, *numbers: faults.append(what)).run()
    for partition in range(world.store.partitions):
        faults += await world.store.torn_reservations(partition)
    assert faults == []


async def test_lines_of_several_skus_come_back_together(world: World) -> None:
    (answer,) = await receive(world, back("r", ("LAMP", 1), ("SOFA", 2, "damaged"), ("RUG", 2), reservation_id="A"))
    assert isinstance(answer, ReturnAnswer)
    assert [[(s.reservation_id, s.line_id, s.quantity) for s in one.sources] for one in answer.returned.lines] == [
        [("A", "1", 1)],
        [("A", "2", 2)],
        [("A", "3", 2)],
    ]
    assert await returned(world) == [1, 2, 2]
    assert [await shelf(world, sku) for sku in SKUS] == [(1, {}), (0, {"damaged": 2}), (2, {})]
    assert await world.store.find_return("r") == answer.returned
    await nothing_is_wrong(world)


async def test_one_line_too_many_refuses_all(world: World) -> None:
    (why,) = await receive(world, back("r", ("LAMP", 1), ("SOFA", 4), ("RUG", 3), reservation_id="A"))
    assert isinstance(why, errors.QuantityExceedsFulfilled)
    assert (why.line_id, why.sku, why.wanted, why.fulfilled, why.returned) == ("2", "SOFA", 4, 3, 0)
    assert await returned(world) == [0, 0, 0]
    assert [await shelf(world, sku) for sku in SKUS] == [(0, {})] * 3
    assert await world.store.find_return("r") is None
    await nothing_is_wrong(world)


async def test_returns_race_for_the_last_unit_of_each_line(world: World) -> None:
    """Whatever comes between, what came back never exceeds what left, and stock is what came back."""
    wanted = [
        back(f"r{n}", *[(sku, 1) for sku in SKUS[: 1 + n % 3]], **who)
        for n, who in enumerate([{"reservation_id": "A"}, {"order_ref": "o-1"}] * 6)
    ]
    outcomes = [
        outcome for group in await asyncio.gather(*(receive(world, one) for one in wanted)) for outcome in group
    ]
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.QuantityExceedsFulfilled)]
    assert len(refused) < len(outcomes)
    assert refused
    came = await returned(world)
    assert [each <= left for each, left in zip(came, (4, 3, 2), strict=True)] == [True] * 3
    assert [(await shelf(world, sku))[0] for sku in SKUS] == came
    kept = [one async for one in _all_returns(world, wanted)]
    for sku, units in zip(SKUS, came, strict=True):
        assert sum(each.quantity for one in kept for each in one.lines if each.sku == sku) == units
    await nothing_is_wrong(world)


async def _all_returns(world: World, wanted: list[ReturnRequest]) -> AsyncIterator[Return]:
    for one in wanted:
        found = await world.store.find_return(one.return_id)
        if found is not None:
            yield found


async def test_the_same_request_from_many_at_once_is_done_once(world: World) -> None:
    one = back("r", ("LAMP", 2), ("SOFA", 1, "quarantine"), reservation_id="A")
    outcomes = [
        outcome for group in await asyncio.gather(*(receive(world, one) for _ in range(8))) for outcome in group
    ]
    assert {outcome.returned.lines for outcome in outcomes} == {outcomes[0].returned.lines}
    assert [outcome.replayed for outcome in outcomes].count(False) >= 1
    assert await returned(world) == [2, 1, 0]
    assert [await shelf(world, sku) for sku in SKUS[:2]] == [(2, {}), (0, {"quarantine": 1})]


@pytest.mark.parametrize("calls", range(1, 6))
async def test_a_return_that_was_left_is_brought_to_its_end(
    world: World, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of its calls to Redis: it is done wholly, once, by the sweeper, a reader, or the request again."""
    one = back("r", ("LAMP", 2, "damaged"), ("SOFA", 1), reservation_id="A")
    call, left = world.store._call, calls

    async def cut(*given: Any) -> bytes:
        nonlocal left
        if left == 0:
            raise StoreUnavailable("cut")
        left -= 1
        return await call(*given)

    monkeypatch.setattr(world.store, "_call", cut)
    (outcome,) = await receive(world, one)
    monkeypatch.setattr(world.store, "_call", call)
    if isinstance(outcome, errors.InventoryError):
        assert isinstance(outcome, errors.StoreUnavailable | errors.OutcomeUnknown)
        assert await world.client.hexists(keys.return_steps(_home(world, "r")), "r")
    await world.clock.advance(5_000)
    if calls % 2:
        for partition in range(world.store.partitions):
            await world.store.finish_unfinished(partition)
    assert await world.store.find_return("r") is not None
    (again,) = await receive(world, one)
    assert again.replayed
    assert await returned(world) == [2, 1, 0]
    assert [await shelf(world, sku) for sku in SKUS[:2]] == [(0, {"damaged": 2}), (1, {})]
    assert not await world.client.hexists(keys.return_steps(_home(world, "r")), "r")
    await nothing_is_wrong(world)


def _home(world: World, name: str) -> int:
    return partition_of(name, world.store.partitions)


async def test_units_are_disposed_of_once_each(world: World) -> None:
    await receive(world, back("r", ("LAMP", 4, "quarantine"), ("SOFA", 3, "quarantine"), reservation_id="A"))

    def some(n: int, *lines: tuple[str, int, Disposition, str]) -> DisposalRequest:
        return DisposalRequest(f"d{n}", "A", "r", "till", tuple(DisposalLine(*each) for each in lines))

    wanted = [some(n, ("1", 1, Disposition.RESTOCK, ""), ("2", 1, Disposition.SCRAP, "")) for n in range(6)]
    groups = await asyncio.gather(*(world.store.dispose_returns([one]) for one in wanted))
    done = [group.outcomes[0] for group in groups if isinstance(group.outcomes[0], ReturnAnswer)]
    assert len(done) == 3
    found = await world.store.find_return("r")
    assert found is not None
    assert [(one.restocked, one.scrapped, one.open) for one in found.lines] == [(3, 0, 1), (0, 3, 0)]
    assert [await shelf(world, sku) for sku in SKUS[:2]] == [(3, {"quarantine": 1}), (0, {"quarantine": 0})]
    (moved,) = (await world.store.dispose_returns([some(9, ("1", 0, Disposition.MOVE, "damaged"))])).outcomes
    assert not moved.returned.is_open
    assert await shelf(world, "LAMP") == (3, {"quarantine": 0, "damaged": 1})
    await nothing_is_wrong(world)


async def test_a_closed_reservation_takes_back_as_long_as_it_is_remembered(world: World) -> None:
    """For one to two retentions, begun anew by a return; then it is not known any more. A head does not begin anew."""
    await _retentions_pass(world, 1)
    (first,) = await receive(world, back("r1", ("LAMP", 1), reservation_id="A"))
    assert isinstance(first, ReturnAnswer)
    assert await returned(world) == [1, 0, 0]
    await _retentions_pass(world, 1)
    (second,) = await receive(world, back("r2", ("LAMP", 1), reservation_id="A"))
    assert isinstance(second, ReturnAnswer if world.store.is_whole else errors.ReservationNotFound)
    await _retentions_pass(world, 2)
    (late,) = await receive(world, back("late", ("LAMP", 1), reservation_id="A"))
    assert isinstance(late, errors.ReservationNotFound)
    (unnamed,) = await receive(world, back("as it comes", ("LAMP", 1)))
    assert isinstance(unnamed, ReturnAnswer)


async def _retentions_pass(world: World, count: int) -> None:
    await world.clock.advance(count * RETENTION_SECONDS * 1000)
    for partition in range(world.store.partitions):
        await world.store.forget_old(partition)


async def test_closed_returns_are_forgotten_and_open_ones_are_not(world: World) -> None:
    await receive(world, back("open", ("LAMP", 1, "quarantine"), order_ref="o-1"), back("closed", ("SOFA", 1)))
    await _retentions_pass(world, 3)
    assert await world.store.find_return("closed") is None
    found, _ = await world.store.list_returns(order_ref="o-1", limit=9)
    assert [one.return_id for one in found] == ["open"]
    outcome = (
        await world.store.dispose_returns(
            [DisposalRequest("d", "A", "open", "till", (DisposalLine("1", 0, Disposition.SCRAP),))]
        )
    ).outcomes[0]
    assert not outcome.returned.is_open
    await _retentions_pass(world, 3)
    assert await world.store.list_returns(order_ref="o-1", limit=9) == ([], "")
    assert not await world.client.keys("{p*}:returns_*")


async def test_what_a_fulfilment_may_still_take_back_cannot_be_returned(open_world: Callable[..., Any]) -> None:
    """A fulfilment over several partitions that stopped in between: the return waits for its end."""
    world = await open_world(atomicity=Atomicity.PARTITION)
    await world.store.post_movements([movement("RECEIPT", 9, world.clock.now_ms, sku=sku) for sku in SKUS])
    wanted = [line(2, sku=sku, line_id=str(n)) for n, sku in enumerate(SKUS, 1)]
    await world.store.reserve([request(*wanted, reservation_id="A")])
    await world.store.confirm([change("A")])
    patch = pytest.MonkeyPatch()
    calls = world.store._calls
    write, seen = calls.write, 0

    async def stops(function: str, *given: Any) -> Any:
        nonlocal seen
        if function == "invengine_change_pieces":
            seen += 1
            if seen == 2:
                raise StoreUnavailable("cut")
        return await write(function, *given)

    patch.setattr(calls, "write", stops)
    with pytest.raises(errors.OutcomeUnknown):
        await world.store.fulfil([change("A")])
    patch.undo()
    assert seen == 2
    first = min(SKUS, key=lambda sku: partition_of(sku, world.store.partitions))
    (answer,) = await receive(world, back("r", (first, 2), reservation_id="A"))
    assert isinstance(answer, ReturnAnswer)  # it went on with the fulfilment first
    reservation = await world.store.reservation("A")
    assert reservation is not None
    assert reservation.state is ReservationState.FULFILLED
    assert sum(one.returned for one in reservation.lines) == 2
    await nothing_is_wrong(world)
