"""Kind `places`: stock over locations and channels, holds, and questions."""

from __future__ import annotations

import json
from typing import Any

from invengine.v1 import common_pb2, reservation_service_pb2
from tests.cases.adapters.calls import answer, available, move, reserve, units
from tests.rpc.engines import Stubs

ALL = "everything"


def network(case: dict[str, Any], decimals: int) -> str:
    """The network of a case: a group per channel; what is not for sale is kept back whole."""
    places = case["locations"]
    channels = case.get("channels") or {ALL: list(places)}
    rules: list[dict[str, Any]] = [
        {"sku": sku, "units": units(kept, decimals)} for sku, kept in case.get("kept_back", {}).items()
    ]
    for name, place in places.items():
        rules += [{"sku": sku, "location": name, "percent": 100} for sku in place.get("not_for_sale", ())]
        rules += [
            {"sku": sku, "location": name, "units": units(kept, decimals)}
            for sku, kept in place.get("kept_back", {}).items()
        ]
    document = {
        "locations": {
            name: {"kind": "store", "enabled": place.get("enabled", True), "fulfilments": ["ship", "pickup"]}
            for name, place in places.items()
        },
        "groups": channels,
        "channels": {name: {"groups": [name]} for name in channels},
        "safety_stock": rules,
        "kits": case.get("kits", {}),
        "backorders": [{"sku": sku, "units": units(most, decimals)} for sku, most in case.get("allowance", {}).items()],
    }
    return json.dumps(document)  # JSON is YAML


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Stock the locations, hold, ask."""
    decimals = case.get("decimals", 0)
    await stubs.apply_network(network(case, decimals), "case")
    for location, place in case["locations"].items():
        for sku, on_hand in place["stock"].items():
            outcome = await move(stubs, f"{sku} {location}", "COUNT", units(on_hand, decimals), sku, location)
            assert outcome.on_hand == units(on_hand, decimals)
    channel = next(iter(case.get("channels") or [ALL]))
    for hold in case.get("holds", ()):
        way = common_pb2.Fulfilment.Value(f"FULFILMENT_{hold.get('fulfilment', 'UNSPECIFIED')}")
        lines = [
            {"sku": hold.get("sku", "LAMP"), "quantity": units(held, decimals), "location": location, "fulfilment": way}
            for location, held in hold.get("units", ())
        ]
        if "anywhere" in hold:
            lines.append(anywhere(hold["sku"], units(hold["anywhere"], decimals), case))
        await reserve(stubs, hold["owner"], channel, lines)
    for number, question in enumerate(case["questions"], 1):
        ask = taken if "take" in question else told
        given = {"sku": "LAMP", "channel": channel, "allowance": case.get("allowance", {}), **question}
        await ask(stubs, given, number, decimals)


def anywhere(sku: str, quantity: int, case: dict[str, Any]) -> dict[str, Any]:
    """A line that takes from wherever there is something; it waits where the case has an allowance."""
    waits = sku in case.get("allowance", {})
    return {"sku": sku, "quantity": quantity, "allow_split": True, "allow_backorder": waits}


async def told(stubs: Stubs, question: dict[str, Any], number: int, decimals: int) -> None:
    """The channel is told so many."""
    more = {"locations": question.get("locations", ()), "ignore_reservation_id": question.get("ignoring", "")}
    number_of_units = await available(stubs, question["sku"], question["channel"], **more)
    assert number_of_units == units(question["available"], decimals), f"question {number}"


async def taken(stubs: Stubs, question: dict[str, Any], number: int, decimals: int) -> None:
    """The channel can take so many, from several locations if need be, or is refused; what it took it gives back."""
    sku, channel, order = question["sku"], question["channel"], f"question {number}"
    lines = [anywhere(sku, units(question["take"], decimals), question)]
    before = await available(stubs, sku, channel)
    call = reserve(stubs, order, channel, lines)
    if not question["can"]:
        await answer(call, "INSUFFICIENT_STOCK")
    else:
        await answer(call)
        left = before - units(question["take"], decimals)
        assert await available(stubs, sku, channel) == (max(0, left) if question["allowance"] else left)
        await stubs.reservations.ReleaseReservation(
            reservation_service_pb2.ReleaseReservationRequest(
                request_id=f"{order} back", reservation_id=order, channel=channel
            )
        )
    assert await available(stubs, sku, channel) == before
