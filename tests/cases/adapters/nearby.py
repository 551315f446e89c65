"""Kind `nearby`: places with a position, and where a customer who is somewhere could collect."""

from __future__ import annotations

import json
from typing import Any

from invengine.v1 import common_pb2
from invengine.v1 import promise_service_pb2 as pb
from tests.cases.adapters.calls import FRESH, move
from tests.rpc.engines import Stubs

SKU, CHANNEL = "SKU", "shop"


def network(case: dict[str, Any]) -> str:
    """Places that are always open; the channel sees the `candidates` of a question through a group for it."""
    locations = {
        name: {
            "kind": "store",
            "calendar": "always",
            "time_zone": "UTC",
            "fulfilments": ["pickup"] if place["pickup"] else ["ship"],
            "latitude": place["at"][0],
            "longitude": place["at"][1],
        }
        for name, place in case["places"].items()
    }
    groups = {f"group-{number}": question["of"] for number, question in enumerate(case["questions"])}
    document = {
        "calendars": {"always": {"hours": {"mon-sun": "00:00-24:00"}}},
        "locations": locations,
        "groups": groups,
        "channels": {CHANNEL: {"groups": list(groups)}},
    }
    return json.dumps(document)  # JSON is YAML


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Every place has a unit; each question is where it could be collected."""
    await stubs.apply_network(network(case), "case")
    for name in case["places"]:
        await move(stubs, f"opening {name}", "COUNT", 1, SKU, name)
    for number, question in enumerate(case["questions"]):
        latitude, longitude = question["from"]
        answer = await stubs.promises.GetPromise(
            pb.GetPromiseRequest(
                channel=CHANNEL,
                lines=[pb.PromiseLineRequest(sku=SKU, quantity=1, group=f"group-{number}")],
                fulfilments=[common_pb2.FULFILMENT_PICKUP],
                near=pb.Near(latitude=latitude, longitude=longitude, radius_km=question["within_km"]),
                consistency=FRESH,
            )
        )
        found = [(option.location, option.distance_km) for option in answer.options if option.delivery_day.year]
        assert [name for name, _ in found] == list(question["nearest_first"]), question
        for name, distance in found:
            assert abs(distance - question["nearest_first"][name]) < 1, question
