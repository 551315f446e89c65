"""Kind `transfer`: one SKU at two locations, moved from one to the other."""

from __future__ import annotations

import json
from typing import Any

from invengine.v1 import stock_service_pb2
from invengine.v1 import transfer_service_pb2 as pb
from tests.cases.adapters.calls import answer, available, move
from tests.rpc.engines import Stubs
from tests.rpc.expected import FRESH, in_days

SKU, CHANNEL = "LAMP", "everything"


def network(case: dict[str, Any]) -> str:
    """The locations of a case, all of them seen by one channel."""
    names = list(case["on_hand"])
    document = {
        "locations": {name: {"kind": "store"} for name in names},
        "groups": {CHANNEL: names},
        "channels": {CHANNEL: {"groups": [CHANNEL]}},
    }
    return json.dumps(document)  # JSON is YAML


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Stock the locations, take every step, look at the numbers."""
    await stubs.apply_network(network(case), "case")
    for location, on_hand in case["on_hand"].items():
        await move(stubs, f"opening {location}", "COUNT", on_hand, SKU, location)
    for number, step in enumerate(case["steps"], 1):
        await answer(_call(stubs, case, step, f"step {number}"), step.get("refused", ""))
    for location, numbers in case["ends"].items():
        request = stock_service_pb2.GetPositionRequest(sku=SKU, location=location, consistency=FRESH)
        position = (await stubs.stock.GetPosition(request)).position
        told = {
            "on_hand": position.on_hand,
            "reserved": position.reserved,
            "expected": sum(receipt.quantity for receipt in position.incoming),
            "available": await available(stubs, SKU, CHANNEL, locations=[location]),
        }
        assert {name: told[name] for name in numbers} == numbers, location


def _call(stubs: Stubs, case: dict[str, Any], step: dict[str, Any], request_id: str) -> Any:
    """The call of a step: `create`, `ship`, `receive` so many units (`all`), `cancel`."""
    start, end = list(case["on_hand"])[:2]
    who = {"request_id": request_id, "source": "case", "transfer_id": "T"}
    if "create" in step:
        line = pb.TransferLineRequest(sku=SKU, quantity=step["create"])
        ways = {"from_location": start, "to_location": end, "lines": [line], "expected_date": in_days(3)}
        return stubs.transfers.CreateTransfer(pb.CreateTransferRequest(**who, **ways))
    if "ship" in step:
        units = 0 if step["ship"] == "all" else step["ship"]
        lines = [pb.TransferLineUnits(line_id="1", quantity=units)]
        return stubs.transfers.ShipTransfer(pb.ShipTransferRequest(**who, lines=lines))
    if "receive" in step:
        arrivals = [] if step["receive"] == "all" else [pb.TransferArrival(sku=SKU, quantity=step["receive"])]
        lost = {"closes": True, "reason": step["lost"]} if "lost" in step else {}
        return stubs.transfers.ReceiveTransfer(pb.ReceiveTransferRequest(**who, arrivals=arrivals, **lost))
    assert "cancel" in step, step
    return stubs.transfers.CancelTransfer(pb.CancelTransferRequest(**who))
