"""Kind `sourcing`: a basket, and the places that its units come from; planned first, then reserved."""

from __future__ import annotations

import json
from typing import Any

from invengine.v1 import common_pb2, plan_pb2, reservation_service_pb2
from tests.cases.adapters.calls import answer, move, reserve, rests_on, units
from tests.rpc.engines import Stubs

CHANNEL = "shop"


def network(case: dict[str, Any], decimals: int) -> str:
    """The places of the case in the order in which they are asked."""
    order = case["order"]
    document = {
        "locations": {
            name: {"kind": "store", "enabled": place.get("enabled", True), "priority": priority_of(name, order)}
            for name, place in case["locations"].items()
        },
        "groups": {CHANNEL: order},
        "channels": {CHANNEL: {"groups": [CHANNEL]}},
        "safety_stock": [
            {"sku": sku, "location": name, "percent": 100}
            for name, place in case["locations"].items()
            for sku in place.get("not_for_sale", ())
        ],
        "backorders": [{"sku": sku, "units": units(most, decimals)} for sku, most in case.get("allowance", {}).items()],
    }
    return json.dumps(document)  # JSON is YAML


def priority_of(name: str, order: list[str]) -> int:
    """Places that are not asked come last."""
    return order.index(name) if name in order else len(order)


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Stock the places, order the basket, look where its units come from."""
    decimals = case.get("decimals", 0)
    await stubs.apply_network(network(case, decimals), "case")
    for location, place in case["locations"].items():
        for sku, on_hand in place["stock"].items():
            quantity = units(on_hand, decimals)
            assert (await move(stubs, f"{sku} {location}", "COUNT", quantity, sku, location)).on_hand == quantity
    for number, (sku, location, quantity) in enumerate(case.get("ordered", ())):
        line = {"sku": sku, "quantity": units(quantity, decimals), "location": location}
        await reserve(stubs, f"before-{number}", CHANNEL, [line])
    lines = [
        {
            "sku": sku,
            "quantity": units(quantity, decimals),
            "allow_split": True,
            "allow_backorder": sku in case.get("allowance", {}),
        }
        for sku, quantity in case["basket"]
    ]
    if not case.get("allowance"):
        await plan(stubs, case, lines, decimals)
    if case.get("is_short", False):
        await answer(reserve(stubs, "whole", CHANNEL, lines), "INSUFFICIENT_STOCK")
    if "comes_from" in case:
        policy = reservation_service_pb2.CreateReservationRequest.POLICY_BEST_EFFORT
        more = {"policy": policy} if case.get("is_short", False) else {}
        made = (await reserve(stubs, "basket", CHANNEL, lines, **more)).reservation
        wanted = [(sku, place, what, units(count, decimals)) for sku, place, what, count in case["comes_from"]]
        assert sorted(rests_on(made)) == sorted(wanted)


async def plan(stubs: Stubs, case: dict[str, Any], lines: list[dict[str, Any]], decimals: int) -> None:
    """The plan of the basket says the same places; where it is short, so does the plan that has what there is."""
    policy = reservation_service_pb2.CreateReservationRequest
    question = plan_pb2.PlanBasketRequest(
        channel=CHANNEL,
        lines=[reservation_service_pb2.ReservationLineRequest(**line) for line in lines],
        consistency=common_pb2.Consistency(fully_consistent=True),
    )
    found = await stubs.allocation.PlanBasket(question)
    if case.get("is_short", False):
        assert found.refusal.reason == common_pb2.ERROR_REASON_INSUFFICIENT_STOCK, found
        question.policy = policy.POLICY_BEST_EFFORT
        found = await stubs.allocation.PlanBasket(question)
    if "comes_from" in case:
        planned = [(line.sku, one.location, one.quantity) for line in found.plan.lines for one in line.units]
        wanted = [(sku, place, units(count, decimals)) for sku, place, _, count in case["comes_from"]]
        assert sorted(planned) == sorted(wanted)
