"""Rules for confidence and for low stock through a real server: one number for who asks and who takes."""

from __future__ import annotations

from typing import Any

import pytest

from invengine.v1 import availability_service_pb2 as pb
from invengine.v1 import common_pb2, reservation_service_pb2, stock_service_pb2
from tests.cases.adapters.calls import move
from tests.rpc.engines import Stubs, create, refused

pytestmark = pytest.mark.asyncio

NETWORK = """\
locations:
  A: {kind: warehouse}
  B: {kind: warehouse}
  C: {kind: warehouse}
groups: {all: [A, B, C]}
channels:
  web: {groups: [all], low_stock_threshold: 2}
  till: {groups: [all]}
safety_stock:
  - {location: C, units: 1}
confidence:
  - {counted_before: 30d, percent: 10}
  - {location: B, fewer_than: 3, units: 1}
  - {location: C, counted_before: 1h, fewer_than: 10, units: 2, percent: 50}
low_stock_thresholds:
  - {sku: LAMP, units: 9}
  - {sku: LAMP, channel: till, units: 50}
  - {location: A, units: 1}
  - {sku: LAMP, location: B, units: 7}
"""
FRESH = common_pb2.Consistency(fully_consistent=True)
CONFIDENCE, SAFETY = pb.AVAILABILITY_REASON_CONFIDENCE, pb.AVAILABILITY_REASON_SAFETY_STOCK


async def asked(stubs: Stubs, sku: str = "LAMP", channel: str = "web", **more: Any) -> pb.GetAvailabilityResponse:
    request = pb.GetAvailabilityRequest(sku=sku, channel=channel, consistency=FRESH, **more)
    return await stubs.availability.GetAvailability(request)


def told(answer: pb.GetAvailabilityResponse) -> list[tuple[Any, ...]]:
    return [(p.location, p.available, p.uncertain, list(p.reasons)) for p in answer.positions]


async def open_shop(stubs: Stubs, a: int = 20, b: int = 2, c: int = 7) -> None:
    await stubs.apply_network(NETWORK, "trust")
    for location, units in (("A", a), ("B", b), ("C", c)):
        await stubs.receive("LAMP", units, location)


async def test_units_that_were_never_counted_or_are_few_are_offered_in_part(stubs: Stubs) -> None:
    await open_shop(stubs)
    answer = await asked(stubs)
    assert told(answer) == [("A", 18, 2, [CONFIDENCE]), ("B", 1, 1, [CONFIDENCE]), ("C", 2, 4, [SAFETY, CONFIDENCE])]
    assert answer.available == 21
    batch = await stubs.availability.BatchGetAvailability(
        pb.BatchGetAvailabilityRequest(skus=["LAMP"], channel="web", consistency=FRESH)
    )
    assert (list(batch.available), list(batch.location_available)) == ([21], [18, 1, 2])


@pytest.mark.parametrize(("location", "free"), [("A", 18), ("B", 1), ("C", 2)])
async def test_what_is_offered_can_be_taken_and_no_unit_more(stubs: Stubs, location: str, free: int) -> None:
    await open_shop(stubs)
    why = await refused(
        stubs.reservations.CreateReservation(create("r", quantity=free + 1, line={"location": location}))
    )
    assert (why.reason, why.metadata["available"]) == ("INSUFFICIENT_STOCK", str(free))
    await stubs.reservations.CreateReservation(create("r", quantity=free, line={"location": location}))
    assert (await asked(stubs, locations=[location])).available == 0
    why = await refused(stubs.reservations.CreateReservation(create("one", line={"location": location})))
    assert why.metadata["available"] == "0"


async def test_a_count_restores_confidence(stubs: Stubs) -> None:
    await open_shop(stubs)
    for location, units in (("A", 20), ("C", 7)):
        await move(stubs, f"count {location}", "COUNT", units, "LAMP", location)
    assert told(await asked(stubs)) == [("A", 20, 0, []), ("B", 1, 1, [CONFIDENCE]), ("C", 6, 0, [SAFETY])]
    await stubs.reservations.CreateReservation(create("r", quantity=20, line={"location": "A"}))


async def test_what_is_reserved_stays_reserved_when_a_rule_comes(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK.partition("confidence:")[0], "before")
    await stubs.receive("LAMP", 4, "B")
    await stubs.reservations.CreateReservation(create("r", quantity=3, reservation_id="r", line={"location": "B"}))
    await stubs.apply_network(NETWORK.replace("fewer_than: 3, units: 1", "fewer_than: 9, units: 4"), "after")
    assert told(await asked(stubs)) == [("B", 0, 4, [pb.AVAILABILITY_REASON_RESERVED, CONFIDENCE])]
    await stubs.reservations.ConfirmReservation(
        reservation_service_pb2.ConfirmReservationRequest(request_id="c", reservation_id="r", channel="web")
    )
    done = await stubs.reservations.FulfilReservation(
        reservation_service_pb2.FulfilReservationRequest(request_id="f", reservation_id="r", channel="web")
    )
    assert done.reservation.state == reservation_service_pb2.Reservation.STATE_FULFILLED


async def test_an_amendment_takes_no_more_than_is_trusted(stubs: Stubs) -> None:
    await open_shop(stubs)
    await stubs.reservations.CreateReservation(create("r", quantity=1, reservation_id="r", line={"location": "C"}))

    def amendment(number: int, quantity: int) -> reservation_service_pb2.AmendReservationRequest:
        line = {"line_id": "1", "quantity": quantity, "location": "C"}
        return reservation_service_pb2.AmendReservationRequest(
            request_id=f"a{number}", reservation_id="r", channel="web", lines=[line]
        )

    why = await refused(stubs.reservations.AmendReservation(amendment(1, 3)))
    assert (why.reason, why.metadata["available"]) == ("INSUFFICIENT_STOCK", "1")
    await stubs.reservations.AmendReservation(amendment(2, 2))


async def test_levels_go_by_the_most_specific_rule(stubs: Stubs) -> None:
    await open_shop(stubs, a=9, b=9, c=1)  # A offers 8, B 9, C nothing
    low, much, out = pb.LEVEL_LOW, pb.LEVEL_IN_STOCK, pb.LEVEL_OUT
    web, till = await asked(stubs), await asked(stubs, channel="till")
    assert [(p.location, p.available, p.level) for p in web.positions] == [("A", 8, low), ("B", 9, much), ("C", 0, out)]
    assert (web.available, web.level) == (17, much)
    assert (till.level, [p.level for p in till.positions]) == (low, [low, much, out])
    assert (await asked(stubs, locations=["B"])).level == much  # by the threshold there: 7
    await stubs.receive("VASE", 3, "A")
    vase = await asked(stubs, "VASE")
    assert (vase.available, vase.level, vase.positions[0].level) == (2, low, much)
    batch = await stubs.availability.BatchGetAvailability(
        pb.BatchGetAvailabilityRequest(skus=["VASE", "LAMP", "NONE"], channel="till", consistency=FRESH)
    )
    assert list(batch.level) == [much, low, out]

    async def queries() -> Any:
        for number, channel in enumerate(("web", "till")):
            yield pb.StreamAvailabilityRequest(query_id=number, sku="LAMP", channel=channel)

    assert [answer.level async for answer in stubs.availability.StreamAvailability(queries())] == [much, low]


async def test_a_position_is_as_it_is(stubs: Stubs) -> None:
    """What is not offered is on hand all the same."""
    await open_shop(stubs)
    position = (
        await stubs.stock.GetPosition(stock_service_pb2.GetPositionRequest(sku="LAMP", location="A", consistency=FRESH))
    ).position
    assert (position.on_hand, position.safety_stock) == (20, 0)


async def test_an_explanation_adds_up_and_names_confidence(stubs: Stubs) -> None:
    await open_shop(stubs)
    answer = await stubs.availability.ExplainAvailability(pb.ExplainAvailabilityRequest(sku="LAMP", channel="web"))
    assert [(p.location, p.available, list(p.reasons)) for p in answer.positions] == [
        ("A", 18, [CONFIDENCE]),
        ("B", 1, [CONFIDENCE]),
        ("C", 2, [SAFETY, CONFIDENCE]),
    ]
    assert [sum(term.quantity for term in p.terms) for p in answer.positions] == [18, 1, 2]
    assert {term.name: term.quantity for term in answer.positions[2].terms}["confidence"] == -4
