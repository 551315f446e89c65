"""Kind `promise`: places, what they have and what comes, and when baskets of one SKU could be had."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from invengine.v1 import common_pb2, incoming_service_pb2
from invengine.v1 import promise_service_pb2 as pb
from tests.cases.adapters.calls import FRESH, move, reserve
from tests.rpc.engines import Stubs

SKU, CHANNEL = "SKU", "shop"


def network(case: dict[str, Any]) -> str:
    """Places that never close, with one lane each."""
    names = list(case["places"])
    document = {
        "currency": "EUR",
        "calendars": {"always": {"hours": {"mon-sun": "00:00-24:00"}}},
        "services": {"parcel": {"carrier": "any"}},
        "zones": {"here": [{"country": "DE"}]},
        "locations": {name: {"kind": "warehouse", "calendar": "always", "time_zone": "UTC"} for name in names},
        "groups": {CHANNEL: names},
        "channels": {CHANNEL: {"groups": [CHANNEL]}},
        "lanes": [
            {"from": name, "zone": "here", "service": "parcel", "transit": place["transit"], "cost": place["cost"]}
            for name, place in case["places"].items()
        ],
    }
    return json.dumps(document)  # JSON is YAML


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Stock the places, take what others ordered, then ask."""
    await stubs.apply_network(network(case), "case")
    for name, units in case.get("has", {}).items():
        await move(stubs, f"opening {name}", "COUNT", units, SKU, name)
    for number, coming in enumerate(case.get("comes", ())):
        day = date.today() + timedelta(days=coming["in_days"])
        await stubs.incoming.SetIncoming(
            incoming_service_pb2.SetIncomingRequest(
                request_id=f"comes {number}",
                source="case",
                receipt_id=f"po-{number}",
                sku=SKU,
                location=coming["at"],
                quantity=coming["units"],
                expected_date=common_pb2.Date(year=day.year, month=day.month, day=day.day),
            )
        )
    for number, order in enumerate(case.get("orders", ())):
        line = {"sku": SKU, "quantity": order["units"], "location": order["at"], "allow_backorder": True}
        await reserve(stubs, f"order-{number}", CHANNEL, [line])
    for question in case["questions"]:
        await _ask(stubs, question)


async def _ask(stubs: Stubs, question: dict[str, Any]) -> None:
    lines = [pb.PromiseLineRequest(sku=SKU, quantity=units) for units in question["basket"]]
    to = common_pb2.Destination(country="DE")
    request = pb.GetPromiseRequest(channel=CHANNEL, lines=lines, destination=to, consistency=FRESH)
    answer = await stubs.promises.GetPromise(request)
    (option,) = answer.options
    if "never" in question:
        assert option.status == pb.PromiseOption.STATUS_NOT_PROMISABLE, question
        problem = pb.LineProblem.Value(f"LINE_PROBLEM_{question['never']}")
        assert {line.problem for line in option.lines} == {problem}, question
        assert {line.available for line in option.lines} == {question.get("available", 0)}, question
        return
    today = answer.promise_time.ToDatetime().date()
    ship = max(_day(line.ship_day) for line in option.lines)
    assert (ship - today).days == question["leaves"], question
    assert (_day(option.delivery_day) - today).days == question["arrives"], question
    assert [line.location for line in option.lines] == question["from"], question
    if "cost" in question:
        assert option.cost.units + Decimal(option.cost.nanos) / 10**9 == Decimal(question["cost"]), question


def _day(wire: common_pb2.Date) -> date:
    return date(wire.year, wire.month, wire.day)
