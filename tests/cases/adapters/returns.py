"""Kind `returns`: units that left by orders and come back somewhere."""

from __future__ import annotations

from typing import Any

from invengine.v1 import reservation_service_pb2, return_service_pb2, stock_service_pb2
from tests.cases.adapters.calls import FRESH, answer, available, move, reserve
from tests.rpc.engines import Stubs, refused

SKU = "LAMP"
NETWORK = """\
locations: {DEPOT: {kind: warehouse}, NORTH: {kind: store}, SOUTH: {kind: store}}
groups: {all: [DEPOT, NORTH, SOUTH]}
channels: {web: {groups: [all]}, till: {groups: [all]}}
"""
DISPOSITIONS = {"restock": 1, "move": 2, "scrap": 3}


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Ship the orders from the depot, do the steps, look at every location that the case names."""
    await stubs.apply_network(NETWORK, "case")
    await move(stubs, "opening", "COUNT", case["on_hand"], SKU, "DEPOT")
    for order, units in case["orders"].items():
        await ship(stubs, order, units)
    for number, step in enumerate(case["steps"], 1):
        (verb,) = set(step) & {"back", "moved", *DISPOSITIONS}
        await (VERBS[verb])(stubs, verb, step, f"step {number}")
    for location, expected in case["ends"].items():
        assert await shelf(stubs, location) == expected, location
    for order, units in case.get("came_back", {}).items():
        request = reservation_service_pb2.GetReservationRequest(reservation_id=order, channel="till")
        (line,) = (await stubs.reservations.GetReservation(request)).reservation.lines
        assert line.returned == units, order


async def ship(stubs: Stubs, order: str, units: dict[str, int]) -> None:
    """An order of the web that is confirmed, and as much of it as the case says has left."""
    line = {"sku": SKU, "quantity": units["ordered"], "location": "DEPOT"}
    await reserve(stubs, order, "web", [line], order_ref=order)
    whole = {"reservation_id": order, "channel": "web"}
    await stubs.reservations.ConfirmReservation(
        reservation_service_pb2.ConfirmReservationRequest(request_id=f"{order} c", **whole)
    )
    if units["shipped"]:
        some = [reservation_service_pb2.LineUnits(line_id="1", quantity=units["shipped"])]
        await stubs.reservations.FulfilReservation(
            reservation_service_pb2.FulfilReservationRequest(request_id=f"{order} f", lines=some, **whole)
        )


async def shelf(stubs: Stubs, location: str) -> dict[str, int]:
    """Units on hand, those that can be sold there, and by state those that cannot."""
    request = stock_service_pb2.GetPositionRequest(sku=SKU, location=location, consistency=FRESH)
    position = (await stubs.stock.GetPosition(request)).position
    states = {one.state: one.quantity for one in position.states}
    return {
        "on_hand": position.on_hand,
        "available": await available(stubs, SKU, "till", locations=[location]),
        **states,
    }


async def came_back(stubs: Stubs, _: str, step: dict[str, Any], name: str) -> None:
    """Units come back to a store; the return is named by the step."""
    line = return_service_pb2.ReturnLineRequest(
        sku=SKU,
        quantity=step["back"],
        condition=return_service_pb2.ReturnLineRequest.Condition.Value(f"CONDITION_{step['as'].upper()}"),
    )
    request = return_service_pb2.ReceiveReturnRequest(
        request_id=name,
        return_id=step.get("named", name),
        channel="till",
        location=step["at"],
        order_ref=step.get("of", ""),
        lines=[line],
    )
    if "refused" not in step:
        await stubs.returns.ReceiveReturn(request)
        return
    why = await refused(stubs.returns.ReceiveReturn(request))
    assert why.reason == "QUANTITY_EXCEEDS_FULFILLED"
    assert {name: int(why.metadata[name]) for name in step["refused"]} == step["refused"]


async def disposed(stubs: Stubs, verb: str, step: dict[str, Any], name: str) -> None:
    """It is decided about units of a return."""
    line = return_service_pb2.DisposalLine(
        line_id="1", quantity=step[verb], disposition=DISPOSITIONS[verb], to_state=step.get("to", "")
    )
    request = return_service_pb2.DisposeReturnRequest(
        request_id=name, return_id=step["named"], channel="till", lines=[line]
    )
    await answer(stubs.returns.DisposeReturn(request), step.get("refused", ""))


async def moved(stubs: Stubs, _: str, step: dict[str, Any], name: str) -> None:
    """A warehouse system moves units of a state by itself."""
    change = stock_service_pb2.Movement(
        source="case",
        event_id=name,
        kind=stock_service_pb2.Movement.KIND_STATE_CHANGE,
        sku=SKU,
        location=step["at"],
        quantity=step["moved"],
        state=step["from"],
        to_state=step["to"],
    )
    response = await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[change]))
    assert response.outcomes[0].result == 1


VERBS = {"back": came_back, "moved": moved, **dict.fromkeys(DISPOSITIONS, disposed)}
