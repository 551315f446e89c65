"""Kind `position`: one SKU at one location, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from invengine.v1 import (
    availability_service_pb2,
    common_pb2,
    incoming_service_pb2,
    reservation_service_pb2,
    stock_service_pb2,
)
from tests.cases.adapters.calls import FRESH, answer, available, move, reserve, rests_on
from tests.rpc.engines import Stubs
from tests.rpc.expected import as_day, in_days

SKU, LOCATION, CHANNEL = "LAMP", "SHELF", "shop"
NETWORK = """\
locations: {SHELF: {kind: warehouse}}
groups: {all: [SHELF]}
channels: {shop: {groups: [all]}, vip: {groups: [all]}}
"""
MOVEMENTS = {
    "receive": "RECEIPT",
    "sell": "SALE",
    "adjust": "ADJUSTMENT",
    "return": "RETURN",
    "count": "COUNT",
    "fence": "RING_FENCE",
}
SOME_DAY = common_pb2.Date(year=2099, month=1, day=2)
APPLIED = stock_service_pb2.PostMovementsResponse.Outcome.RESULT_APPLIED
REFUSED = stock_service_pb2.PostMovementsResponse.Outcome.RESULT_REFUSED


async def run(stubs: Stubs, case: dict[str, Any]) -> None:
    """Open the position, do the steps, look at the end."""
    allowance = f"backorders: [{{sku: {SKU}, units: {case['allowance']}}}]\n" if "allowance" in case else ""
    await stubs.apply_network(NETWORK + allowance, "case")
    opened = await move(stubs, "opening", "COUNT", case["on_hand"], SKU, LOCATION)
    assert opened.on_hand == case["on_hand"]
    for number, step in enumerate(case["steps"], 1):
        done = set(step) & {*MOVEMENTS, *RESERVING, *LOOKING}
        assert len(done) == 1, f"step {number} is not one step: {step}"
        (verb,) = done
        if verb in LOOKING:
            await LOOKING[verb](stubs, step[verb])
        elif verb in MOVEMENTS:
            await moved(stubs, verb, step, number)
        else:
            await RESERVING[verb](stubs, step, number)
    await look(stubs, case["ends"])


async def look(stubs: Stubs, expected: dict[str, int]) -> None:
    """The position has these numbers."""
    request = stock_service_pb2.GetPositionRequest(sku=SKU, location=LOCATION, consistency=FRESH)
    position = (await stubs.stock.GetPosition(request)).position
    pegged = sum(receipt.pegged for receipt in position.incoming)
    promised = position.reserved + position.backordered + pegged
    numbers = {
        "on_hand": position.on_hand,
        "reserved": position.reserved,
        "backordered": position.backordered,
        "promised": promised,
        "net": position.on_hand - promised,
        "shortfall": position.shortfall,
        "fenced": sum(fence.quantity for fence in position.ring_fences),
        "expected": sum(receipt.quantity - receipt.pegged for receipt in position.incoming),
        "available": await available(stubs, SKU, CHANNEL),
    }
    assert {name: numbers[name] for name in expected} == expected


async def look_at_orders(stubs: Stubs, expected: dict[str, dict[str, int]]) -> None:
    """The open units of each order rest on these: `shelf`, `backorder`, or a receipt."""
    for order, rests in expected.items():
        request = reservation_service_pb2.GetReservationRequest(reservation_id=order, channel=CHANNEL)
        reservation = (await stubs.reservations.GetReservation(request)).reservation
        assert {what: units for _, _, what, units in rests_on(reservation)} == rests, order


async def look_at_days(stubs: Stubs, expected: list[int]) -> None:
    """So many can be promised by the end of today, of tomorrow, and so on."""
    found = await promised(stubs, len(expected))
    assert [[units for begins, units in found if begins <= day][-1] for day in range(len(expected))] == expected


async def look_at_gains(stubs: Stubs, expected: dict[int, int]) -> None:
    """So many more can be promised from each of these days on, and from no others."""
    found = await promised(stubs, 730)
    gains = {after[0]: after[1] - before[1] for before, after in pairwise(found)}
    assert gains == expected


async def look_when(stubs: Stubs, expected: dict[int, int | str]) -> None:
    """So many units can be promised in so many days, or `never`."""
    found = await promised(stubs, 730)
    for units, day in expected.items():
        assert next((begins for begins, there in found if there >= units), "never") == day, units


async def promised(stubs: Stubs, days: int) -> list[tuple[int, int]]:
    """What can be promised: (days from today, units)."""
    request = availability_service_pb2.GetAvailableToPromiseRequest(
        sku=SKU, channel=CHANNEL, days=days, consistency=FRESH
    )
    response = await stubs.availability.GetAvailableToPromise(request)
    assert response.available == await available(stubs, SKU, CHANNEL)
    today = as_day(response.steps[0].date)
    return [((as_day(step.date) - today).days, step.units) for step in response.steps]


async def moved(stubs: Stubs, verb: str, step: dict[str, Any], number: int) -> None:
    """One movement: applied, or refused with the word of the step."""
    outcome = await move(stubs, f"step {number}", MOVEMENTS[verb], step[verb], SKU, LOCATION, step.get("channel", ""))
    word = step.get("refused", "")
    assert outcome.result == (REFUSED if word else APPLIED), outcome
    assert outcome.refusal.reason == (common_pb2.ErrorReason.Value(f"ERROR_REASON_{word}") if word else 0)


async def reserved(stubs: Stubs, step: dict[str, Any], _: int) -> None:
    """Reserve for an order; a repeated order is answered as the first time."""
    wanted = step["reserve"] if isinstance(step["reserve"], list) else [step["reserve"]]
    line: dict[str, Any] = {"sku": SKU, "allow_backorder": step.get("waits", False)}
    if "by_day" in step:
        line["needed_by"] = in_days(step["by_day"])
    lines = [{**line, "quantity": quantity} for quantity in wanted]
    response = await answer(reserve(stubs, step["order"], CHANNEL, lines), step.get("refused", ""))
    if response is not None:
        assert response.replayed == step.get("repeated", False)


async def confirmed(stubs: Stubs, step: dict[str, Any], number: int) -> None:
    """The order is firm."""
    request = reservation_service_pb2.ConfirmReservationRequest(
        request_id=f"step {number}", reservation_id=step["confirm"], channel=CHANNEL
    )
    await answer(stubs.reservations.ConfirmReservation(request), step.get("refused", ""))


async def shipped(stubs: Stubs, step: dict[str, Any], number: int) -> None:
    """Units of the order leave."""
    request = reservation_service_pb2.FulfilReservationRequest(**some_units(step, "ship", number))
    await answer(stubs.reservations.FulfilReservation(request), step.get("refused", ""))


async def released(stubs: Stubs, step: dict[str, Any], number: int) -> None:
    """Units of the order are given back."""
    request = reservation_service_pb2.ReleaseReservationRequest(**some_units(step, "release", number))
    await answer(stubs.reservations.ReleaseReservation(request), step.get("refused", ""))


async def amended(stubs: Stubs, step: dict[str, Any], number: int) -> None:
    """The one line of the order is to have another quantity."""
    line = reservation_service_pb2.LineAmendment(
        line_id="1", quantity=step["amend"], allow_backorder=step.get("waits", False)
    )
    request = reservation_service_pb2.AmendReservationRequest(
        request_id=f"step {number}", reservation_id=step["order"], channel=CHANNEL, lines=[line]
    )
    await answer(stubs.reservations.AmendReservation(request), step.get("refused", ""))


async def expected(stubs: Stubs, step: dict[str, Any], number: int) -> None:
    """Units are expected by a receipt: in so many days, or some day."""
    request = incoming_service_pb2.SetIncomingRequest(
        request_id=f"step {number}",
        source="case",
        receipt_id=step["receipt"],
        sku=SKU,
        location=LOCATION,
        quantity=step["expect"],
        expected_date=in_days(step["in_days"]) if "in_days" in step else SOME_DAY,
    )
    await stubs.incoming.SetIncoming(request)


async def arrived(stubs: Stubs, step: dict[str, Any], number: int) -> None:
    """Units of a receipt are there."""
    request = incoming_service_pb2.ReceiveIncomingRequest(
        request_id=f"step {number}",
        source="case",
        receipt_id=step["receipt"],
        sku=SKU,
        location=LOCATION,
        quantity=step["arrive"],
    )
    await stubs.incoming.ReceiveIncoming(request)


def some_units(step: dict[str, Any], verb: str, number: int) -> dict[str, Any]:
    """Units of the one line of an order."""
    line = reservation_service_pb2.LineUnits(line_id="1", quantity=step[verb])
    return {
        "request_id": f"step {number}",
        "reservation_id": step["order"],
        "channel": CHANNEL,
        "lines": [line],
    }


LOOKING = {
    "is": look,
    "orders": look_at_orders,
    "days": look_at_days,
    "gains": look_at_gains,
    "when": look_when,
}
RESERVING = {
    "reserve": reserved,
    "confirm": confirmed,
    "ship": shipped,
    "release": released,
    "amend": amended,
    "expect": expected,
    "arrive": arrived,
}
