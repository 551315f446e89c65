"""A commit killed half-way, again and again, and gone on with by other servers: it ends as if nothing had happened."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from invengine.v1 import admin_service_pb2, wave_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.cli.servers import Server
from tests.redis_servers import RunningRedis
from tests.rpc.engines import Stubs, client, create
from tests.rpc.wave_worlds import World, drawn, receive
from tests.rpc.waves import plan, shown

pytestmark = pytest.mark.asyncio

COMMITTING, COMMITTED = wave_pb2.WavePlan.STATE_COMMITTING, wave_pb2.WavePlan.STATE_COMMITTED


async def begun(stubs: Stubs, world: World) -> str:
    """Stock, reservations that wait, a plan for all of it, and sales behind its back; the plan_id."""
    await stubs.apply_network(NETWORK)
    await receive(stubs, dict.fromkeys(world.stock, 1))
    for sku in sorted({sku for sku, _ in world.stock})[:20]:
        line = {"allow_backorder": True, "location": "DC"}
        await stubs.reservations.CreateReservation(create(f"waits {sku}", sku, 3, line=line, order_ref=f"waits {sku}"))
    await receive(stubs, world.stock, name="more")
    everything = wave_pb2.WaitingLines(all=True, priority_class=1)
    planned = await plan(stubs, *world.orders, waiting=everything)
    assert planned.planned_quantity > 1000
    gone = {place: 1 for number, place in enumerate(sorted(world.stock)) if number % 5 == 0}
    await receive(stubs, gone, kind=2, name="sold")
    return planned.plan_id


NETWORK = """\
locations:
  DC: {kind: warehouse, priority: 10}
  LON: {kind: store, priority: 20}
groups:
  all: [DC, LON]
channels:
  web: {groups: [all], time_to_live: {default: 15m, maximum: 2h}}
backorders:
"""
NETWORK += "".join(f"  - {{sku: W{number}, units: 100}}\n" for number in range(150))


async def left(stubs: Stubs, world: World, plan_id: str) -> dict[str, Any]:
    """The state of the store but for instants and revisions: positions, reservations, what the plan tells."""
    positions = {place: (await stubs.position(*place))[:2] for place in sorted(world.stock)}
    reservations: dict[str, Any] = {}
    token = ""
    while True:
        request = pb.ListReservationsRequest(page_size=1000, page_token=token)
        answer = await stubs.reservations.ListReservations(request)
        for one in answer.reservations:
            lines = [
                (of.line_id, of.quantity, [(its.location, its.quantity, its.backordered) for its in of.allocations])
                for of in one.lines
            ]
            reservations[one.order_ref] = one.reservation_id, one.state, one.channel, lines
        token = answer.next_page_token
        if not token:
            break
    told = [order.SerializeToString(deterministic=True) for order in await shown(stubs, plan_id, page_size=1000)]
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert not report.violations
    state = (await stubs.allocation.GetPlan(wave_pb2.GetPlanRequest(plan_id=plan_id))).plan
    numbers = state.state, state.committed_orders, state.committed_quantity, state.refused_lines
    return {"positions": positions, "reservations": reservations, "told": told, "numbers": numbers}


async def progress(stubs: Stubs, plan_id: str) -> wave_pb2.WavePlan:
    request = wave_pb2.GetPlanRequest(plan_id=plan_id, show=wave_pb2.GetPlanRequest.SHOW_NONE)
    return (await stubs.allocation.GetPlan(request)).plan


async def killed_at(server: Server, witness: Stubs, plan_id: str, part: float) -> wave_pb2.WavePlan:
    """Has a server commit, kills it once so much is done, and answers how far it was."""

    async def commit() -> None:
        async with client(server.address) as stubs:
            await stubs.allocation.CommitPlan(wave_pb2.CommitPlanRequest(request_id="commit", plan_id=plan_id))

    call = asyncio.create_task(commit())
    async with asyncio.timeout(60):
        while True:
            seen = await progress(witness, plan_id)
            if seen.progress.total and seen.progress.done >= part * seen.progress.total:
                break
            await asyncio.sleep(0)
    server.stop(signal.SIGKILL)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    return await progress(witness, plan_id)


async def test_a_commit_that_is_killed_half_way_ends_as_if_it_never_was(
    start_redis: Callable[..., RunningRedis], start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = drawn(11, skus=150, orders=1500, classes=5)
    results = []
    for is_disturbed in (False, True):
        redis = start_redis()
        monkeypatch.setenv("INVENGINE_REDIS_URL", redis.url)
        last = start_server()
        async with client(last.address) as stubs:
            plan_id = await begun(stubs, world)
            halves = []
            for part in (0.1, 0.5) if is_disturbed else ():
                victim = start_server()
                halves.append(await killed_at(victim, stubs, plan_id, part))
            for half in halves:
                assert half.state == COMMITTING
                assert 0 < half.progress.done < half.progress.total
            answer = await stubs.allocation.CommitPlan(wave_pb2.CommitPlanRequest(request_id="commit", plan_id=plan_id))
            assert answer.plan.state == COMMITTED
            assert not answer.replayed
            assert answer.plan.refused_lines > 10
            results.append(await left(stubs, world, plan_id))
        assert last.stop() == 0
    undisturbed, disturbed = results
    assert disturbed["positions"] == undisturbed["positions"]
    assert disturbed["reservations"] == undisturbed["reservations"]
    assert disturbed["numbers"] == undisturbed["numbers"]
    assert [wave_pb2.WavePlanOrder.FromString(one) for one in disturbed["told"]] == [
        wave_pb2.WavePlanOrder.FromString(one) for one in undisturbed["told"]
    ]
