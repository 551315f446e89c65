"""Waves as callers make them."""

from __future__ import annotations

from typing import Any

from invengine.v1 import admin_service_pb2, wave_pb2
from tests.rpc.engines import Stubs


def line(sku: str, quantity: int, **more: Any) -> wave_pb2.WaveOrderLine:
    return wave_pb2.WaveOrderLine(sku=sku, quantity=quantity, **more)


def order(order_id: str, *lines: wave_pb2.WaveOrderLine, **more: Any) -> wave_pb2.WaveOrder:
    return wave_pb2.WaveOrder(order_id=order_id, lines=lines, **{"channel": "web", **more})


async def plan(stubs: Stubs, *orders: wave_pb2.WaveOrder, **more: Any) -> wave_pb2.WavePlan:
    """The plan, the last message of the stream."""
    request = wave_pb2.PlanWaveRequest(orders=orders, **{"request_id": "plan", **more})
    told = [message async for message in stubs.allocation.PlanWave(request)]
    assert [message.WhichOneof("said") for message in told[:-1]] == ["progress"] * (len(told) - 1)
    assert told[-1].HasField("plan")
    return told[-1].plan


async def commit(stubs: Stubs, plan_id: str, request_id: str = "commit", **more: Any) -> wave_pb2.CommitPlanResponse:
    request = wave_pb2.CommitPlanRequest(request_id=request_id, plan_id=plan_id, **more)
    answer = await stubs.allocation.CommitPlan(request)
    assert answer.plan.state == wave_pb2.WavePlan.STATE_COMMITTED
    return answer


async def shown(stubs: Stubs, plan_id: str, **more: Any) -> list[wave_pb2.WavePlanOrder]:
    """All orders of a plan."""
    orders: list[wave_pb2.WavePlanOrder] = []
    token = ""
    while True:
        answer = await stubs.allocation.GetPlan(wave_pb2.GetPlanRequest(plan_id=plan_id, page_token=token, **more))
        orders += answer.orders
        token = answer.next_page_token
        if not token:
            return orders


def units(planned: wave_pb2.WavePlanOrder) -> dict[str, dict[str, int]]:
    """Per line_id the units by location."""
    return {of.line_id: {part.location: part.quantity for part in of.units} for of in planned.lines}


async def unharmed(stubs: Stubs) -> None:
    """Nothing in the store disagrees."""
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert not report.violations
