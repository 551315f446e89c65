"""Ring-fences through a real server and a real Redis."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from invengine.v1 import availability_service_pb2, common_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import NETWORK, Stubs, create, refused
from tests.rpc.expected import FRESH

pytestmark = pytest.mark.asyncio

CHANNELS = "  app: {groups: [all]}\n  alone: {groups: [all], borrow: false}\n"
APPLIED, REFUSED = 1, 4
RING_FENCE = availability_service_pb2.AVAILABILITY_REASON_RING_FENCE


@pytest_asyncio.fixture
async def fenced(stubs: Stubs) -> Stubs:
    """10 LAMP at DC, 4 of them kept for app."""
    await stubs.apply_network(NETWORK + CHANNELS, "with app")
    await stubs.receive("LAMP", 10)
    assert (await fence(stubs, "app", 4)).result == APPLIED
    return stubs


async def fence(stubs: Stubs, channel: str, quantity: int, **more: Any) -> Any:
    kind = stock_service_pb2.Movement.KIND_RING_FENCE
    return await move(stubs, kind, quantity, channel=channel, **more)


async def move(stubs: Stubs, kind: int, quantity: int, **more: Any) -> Any:
    given = {"source": "planner", "kind": kind, "sku": "LAMP", "location": "DC", "quantity": quantity, **more}
    request = stock_service_pb2.PostMovementsRequest(
        request_id=f"{more} {kind} {quantity}", movements=[stock_service_pb2.Movement(**given)]
    )
    (outcome,) = (await stubs.stock.PostMovements(request)).outcomes
    return outcome


async def fences(stubs: Stubs) -> dict[str, int]:
    request = stock_service_pb2.GetPositionRequest(sku="LAMP", location="DC", consistency=FRESH)
    position = (await stubs.stock.GetPosition(request)).position
    return {fence.channel: fence.quantity for fence in position.ring_fences}


async def available(stubs: Stubs, *channels: str) -> list[int]:
    found = []
    for channel in channels:
        request = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel=channel, consistency=FRESH)
        found.append((await stubs.availability.GetAvailability(request)).available)
    return found


async def reserve(stubs: Stubs, channel: str, quantity: int) -> pb.Reservation:
    request = create(
        f"{channel} {quantity}", quantity=quantity, channel=channel, reservation_id=f"{channel}-{quantity}"
    )
    return (await stubs.reservations.CreateReservation(request)).reservation


async def release(stubs: Stubs, channel: str, quantity: int) -> None:
    whole = {"reservation_id": f"{channel}-{quantity}", "channel": channel, "request_id": "back"}
    await stubs.reservations.ReleaseReservation(pb.ReleaseReservationRequest(**whole))


async def test_a_channel_takes_from_its_own_and_from_what_is_kept_for_nobody(fenced: Stubs) -> None:
    """The example of docs/concepts.md."""
    assert await available(fenced, "app", "web", "alone") == [10, 6, 0]
    await reserve(fenced, "web", 5)
    assert (await fences(fenced), await available(fenced, "app", "web")) == ({"app": 4}, [5, 1])
    (line,) = (await reserve(fenced, "app", 3)).lines
    assert [(a.quantity, a.fenced, a.fence_channel) for a in line.allocations] == [(3, 3, "app")]
    assert (await fences(fenced), await available(fenced, "app", "web")) == ({"app": 1}, [2, 1])
    await release(fenced, "app", 3)
    assert (await fences(fenced), await available(fenced, "app", "web")) == ({"app": 4}, [5, 1])
    outcome = await fence(fenced, "app", 2)
    assert (outcome.result, outcome.refusal.reason) == (REFUSED, common_pb2.ERROR_REASON_INSUFFICIENT_STOCK)
    assert outcome.refusal.short_lines[0].available == 1
    assert await fences(fenced) == {"app": 4}


async def test_nobody_takes_what_is_kept_for_another(fenced: Stubs) -> None:
    why = await refused(reserve(fenced, "web", 7))
    assert (why.reason, why.metadata["available"]) == ("INSUFFICIENT_STOCK", "6")
    why = await refused(reserve(fenced, "alone", 1))
    assert (why.reason, why.metadata["available"]) == ("INSUFFICIENT_STOCK", "0")


async def test_units_are_given_back_and_no_more_than_there_are(fenced: Stubs) -> None:
    assert (await fence(fenced, "app", -5)).result == REFUSED
    assert (await fence(fenced, "app", -4)).result == APPLIED
    assert (await fences(fenced), await available(fenced, "web")) == ({}, [10])


async def test_a_sale_takes_from_the_ring_fence_of_its_channel_first(fenced: Stubs) -> None:
    sale = stock_service_pb2.Movement.KIND_SALE
    assert (await move(fenced, sale, 3, channel="app")).on_hand == 7
    assert await fences(fenced) == {"app": 1}
    assert (await move(fenced, sale, 7)).result == REFUSED
    assert (await move(fenced, sale, 6)).on_hand == 1
    assert (await move(fenced, sale, 1, channel="web")).result == REFUSED
    assert (await move(fenced, sale, 1, channel="app")).on_hand == 0


async def test_a_hand_over_gives_the_ring_fence_its_units_back(fenced: Stubs) -> None:
    await reserve(fenced, "app", 3)
    given = pb.HandOverReservationRequest(request_id="h", reservation_id="app-3", channel="app", to_channel="web")
    (line,) = (await fenced.reservations.HandOverReservation(given)).reservation.lines
    assert [(a.quantity, a.fenced) for a in line.allocations] == [(3, 0)]
    assert (await fences(fenced), await available(fenced, "web")) == ({"app": 4}, [3])


async def test_availability_says_what_is_fenced(fenced: Stubs) -> None:
    async def position(channel: str) -> Any:
        request = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel=channel, consistency=FRESH)
        (found,) = (await fenced.availability.GetAvailability(request)).positions
        return found

    web, app = await position("web"), await position("app")
    assert (web.fenced, web.own_fence, list(web.reasons)) == (4, 0, [RING_FENCE])
    assert (app.fenced, app.own_fence, list(app.reasons)) == (0, 4, [])


async def test_a_ring_fence_is_for_a_channel_of_the_network(fenced: Stubs) -> None:
    for kind in (stock_service_pb2.Movement.KIND_RING_FENCE, stock_service_pb2.Movement.KIND_SALE):
        outcome = await move(fenced, kind, 1, channel="nobody")
        assert (outcome.result, outcome.refusal.reason) == (REFUSED, common_pb2.ERROR_REASON_UNKNOWN_CHANNEL)
    assert await fences(fenced) == {"app": 4}


async def test_the_ledger_says_who_fenced(fenced: Stubs) -> None:
    request = stock_service_pb2.ListMovementsRequest(sku="LAMP")
    entry = (await fenced.stock.ListMovements(request)).entries[0]
    assert (entry.kind, entry.actor, entry.on_hand_before, entry.on_hand_after) == ("RING_FENCE", "planner", 10, 10)
