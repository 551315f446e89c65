"""PlanBasket over gRPC: plans with their costs by term, the next one, rules, refusals, bad input."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import grpc
import pytest

from invengine.v1 import common_pb2, plan_pb2, profile_pb2, reservation_service_pb2
from tests.rpc.engines import Stubs, refused
from tests.rpc.promised import MUNICH, NETWORK, SHIP, STORE, day_of, receipt

pytestmark = pytest.mark.asyncio

BEST_EFFORT = reservation_service_pb2.CreateReservationRequest.POLICY_BEST_EFFORT
RULE = plan_pb2.RuledOut.Rule
TERMS = [field.name for field in plan_pb2.PlanCosts.DESCRIPTOR.fields]
PROFILE = """\
name: cheap
costs: {parcel: 1, unit: 0.1, day_waiting: 0.5, day_late: 2}
weights: {lane: 100, handling: 100}
"""


def line(sku: str, quantity: int = 1, **more: Any) -> reservation_service_pb2.ReservationLineRequest:
    """A line to Munich."""
    given = {"fulfilment": SHIP, "destination": MUNICH, **more}
    return reservation_service_pb2.ReservationLineRequest(sku=sku, quantity=quantity, **given)


def basket(*lines: reservation_service_pb2.ReservationLineRequest, **more: Any) -> plan_pb2.PlanBasketRequest:
    fully = common_pb2.Consistency(fully_consistent=True)
    return plan_pb2.PlanBasketRequest(lines=lines, **{"channel": "web", "consistency": fully, **more})


async def stocked(stubs: Stubs, **units: dict[str, int]) -> None:
    """The network, the profile, and stock by SKU and location."""
    await stubs.apply_network(NETWORK)
    await stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id="profile", document=PROFILE))
    for sku, places in units.items():
        for location, quantity in places.items():
            await stubs.receive(sku, quantity, location)


def amount(money: common_pb2.Money) -> float:
    return money.units + money.nanos / 1e9


def costs(plan: plan_pb2.BasketPlan) -> dict[str, float]:
    """The terms that are not 0."""
    found = {term: amount(getattr(plan.costs, term)) for term in TERMS}
    assert found["total"] == pytest.approx(sum(value for term, value in found.items() if term != "total"))
    return {term: value for term, value in found.items() if value}


def units(plan: plan_pb2.BasketPlan) -> list[tuple[str, str, int, str]]:
    return [(one.sku, its.location, its.quantity, its.service) for one in plan.lines for its in one.units]


def ruled(answer: plan_pb2.PlanBasketResponse) -> dict[tuple[str, str], list[str]]:
    return {(one.line_id, RULE.Name(one.rule)): list(one.locations) for one in answer.ruled_out}


async def test_the_best_plan_stands_beside_the_next_with_their_costs_by_term(stubs: Stubs) -> None:
    """DC has both cheaply; without DC the lines come from MUC, in a dearer parcel."""
    await stocked(stubs, LAMP={"DC": 5, "MUC": 2}, CHAIR={"DC": 1, "MUC": 3})
    answer = await stubs.allocation.PlanBasket(basket(line("LAMP", 2), line("CHAIR"), profile="cheap", explain=True))
    assert units(answer.plan) == [("LAMP", "DC", 2, "standard"), ("CHAIR", "DC", 1, "standard")]
    assert costs(answer.plan) == pytest.approx(
        {"total": 8.15, "parcel": 1, "handling": 0.3, "lane": 3.95 + 3 * 0.3, "waiting": 2 * 2 * 0.5}
    )
    assert units(answer.runner_up) == [("LAMP", "MUC", 2, "standard"), ("CHAIR", "MUC", 1, "standard")]
    assert costs(answer.runner_up) == pytest.approx(
        {"total": 7.8 , "parcel": 1, "handling": 0.3, "lane": 4.5, "waiting": 2}
    )
