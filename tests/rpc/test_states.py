"""Units that are there and cannot be sold, through a real server and a real Redis."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from invengine.v1 import admin_service_pb2, availability_service_pb2, common_pb2, stock_service_pb2
from tests.rpc.engines import NETWORK, Stubs, create, refused
from tests.rpc.expected import FRESH

pytestmark = pytest.mark.asyncio

Kind = stock_service_pb2.Movement
APPLIED, REPEATED, STALE, REFUSED = 1, 2, 3, 4


@pytest_asyncio.fixture
async def shop(stubs: Stubs) -> Stubs:
    """10 LAMP on hand at DC; the network has one state more."""
    await stubs.apply_network(NETWORK + "states: [inspection]\n", "with states")
    await stubs.receive("LAMP", 10)
    return stubs


async def move(stubs: Stubs, kind: str, quantity: int, **more: Any) -> Any:
    given = {"source": "wms", "sku": "LAMP", "location": "DC", "quantity": quantity, "reason": "seen", **more}
    request = stock_service_pb2.PostMovementsRequest(
        request_id=blake2b(f"{kind} {quantity} {more}".encode(), digest_size=16).hexdigest(),
        movements=[Kind(kind=Kind.Kind.Value(f"KIND_{kind}"), **given)],
    )
    (outcome,) = (await stubs.stock.PostMovements(request)).outcomes
    return outcome


async def shelf(stubs: Stubs) -> tuple[int, int, dict[str, int]]:
    request = stock_service_pb2.GetPositionRequest(sku="LAMP", location="DC", consistency=FRESH)
    position = (await stubs.stock.GetPosition(request)).position
    return position.on_hand, position.reserved, {one.state: one.quantity for one in position.states}


async def available(stubs: Stubs) -> int:
    request = availability_service_pb2.GetAvailabilityRequest(sku="LAMP", channel="web", consistency=FRESH)
    return (await stubs.availability.GetAvailability(request)).available


async def test_units_in_states_are_there_and_not_offered(shop: Stubs) -> None:
    outcome = await move(shop, "RECEIPT", 4, state="quarantine")
    assert (outcome.result, outcome.on_hand) == (APPLIED, 10)
    assert [(one.state, one.quantity) for one in outcome.states] == [("quarantine", 4)]
    await move(shop, "RETURN", 2, state="damaged")
    await move(shop, "COUNT", 7, state="inspection")
    await move(shop, "ADJUSTMENT", -1, state="damaged")
    assert await shelf(shop) == (10, 0, {"damaged": 1, "inspection": 7, "quarantine": 4})
    assert await available(shop) == 10


async def test_a_state_change_is_one_step(shop: Stubs) -> None:
    outcome = await move(shop, "STATE_CHANGE", 3, to_state="quarantine")
    assert (outcome.on_hand, outcome.states[0].quantity, await available(shop)) == (7, 3, 7)
    outcome = await move(shop, "STATE_CHANGE", 2, state="quarantine", to_state="damaged")
    assert [(one.state, one.quantity) for one in outcome.states] == [("quarantine", 1), ("damaged", 2)]
    await move(shop, "STATE_CHANGE", 1, state="quarantine", to_state="on_hand")
    await move(shop, "STATE_CHANGE", 2, state="damaged", to_state="gone")
    assert await shelf(shop) == (8, 0, {})


async def test_reserved_and_fenced_units_stay(shop: Stubs) -> None:
    await shop.reservations.CreateReservation(create("A", quantity=4))
    await move(shop, "RING_FENCE", 3, channel="web")
    outcome = await move(shop, "STATE_CHANGE", 4, to_state="damaged")
    (short,) = outcome.refusal.short_lines
    assert (outcome.result, short.wanted, short.available) == (REFUSED, 4, 3)
    assert (await move(shop, "STATE_CHANGE", 3, to_state="damaged")).result == APPLIED
    outcome = await move(shop, "STATE_CHANGE", 4, state="damaged", to_state="gone")
    (short,) = outcome.refusal.short_lines
    assert (short.wanted, short.available) == (4, 3)
    assert await shelf(shop) == (7, 4, {"damaged": 3})


async def test_a_repeated_event_and_a_stale_revision_change_nothing(shop: Stubs) -> None:
    first = await move(shop, "STATE_CHANGE", 3, to_state="quarantine", event_id="e")
    again = await move(shop, "STATE_CHANGE", 5, to_state="quarantine", event_id="e")
    assert (again.result, again.states[0].quantity) == (REPEATED, 3)
    outcome = await move(shop, "RECEIPT", 1, state="quarantine", expected_revision=first.revision - 1)
    assert outcome.refusal.reason == common_pb2.ERROR_REASON_REVISION_MISMATCH
    assert (await move(shop, "RECEIPT", 1, state="quarantine", expected_revision=first.revision)).result == APPLIED


async def test_each_state_is_counted_for_itself(shop: Stubs) -> None:
    """As of its time: what moved since is on top; what happened before is in it."""
    await move(shop, "RECEIPT", 9, state="quarantine", occurred_at=Timestamp(seconds=1_700_000_000))
    await move(
        shop, "STATE_CHANGE", 2, state="quarantine", to_state="damaged", occurred_at=Timestamp(seconds=1_700_000_100)
    )
    outcome = await move(shop, "COUNT", 20, state="damaged", occurred_at=Timestamp(seconds=1_700_000_200))
    assert outcome.refusal.reason == common_pb2.ERROR_REASON_COUNT_TOO_OLD
    outcome = await move(shop, "COUNT", 20, state="damaged")
    assert (outcome.result, outcome.states[0].quantity) == (APPLIED, 20)
    outcome = await move(shop, "RECEIPT", 1, state="damaged", occurred_at=Timestamp(seconds=1_700_000_300))
    assert (outcome.result, outcome.refusal.reason) == (STALE, common_pb2.ERROR_REASON_COVERED_BY_COUNT)
    outcome = await move(
        shop, "STATE_CHANGE", 4, state="quarantine", to_state="damaged", occurred_at=Timestamp(seconds=1_700_000_300)
    )
    assert outcome.result == APPLIED
    assert await shelf(shop) == (10, 0, {"damaged": 20, "quarantine": 3})


async def test_states_are_those_of_the_network(shop: Stubs) -> None:
    outcome = await move(shop, "RECEIPT", 1, state="lost")
    assert (outcome.result, outcome.refusal.reason) == (REFUSED, common_pb2.ERROR_REASON_UNKNOWN_STATE)
    assert (await move(shop, "STATE_CHANGE", 1, to_state="lost")).result == REFUSED
    await move(shop, "RECEIPT", 2, state="inspection")
    await shop.apply_network(NETWORK, "without the state")
    assert (await move(shop, "STATE_CHANGE", 1, to_state="inspection")).result == REFUSED
    assert (await move(shop, "STATE_CHANGE", 2, state="inspection", to_state="on_hand")).result == APPLIED
    assert (await move(shop, "RECEIPT", 1, state="inspection", event_id="later")).result == REFUSED
    assert await shelf(shop) == (12, 0, {})


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        ("SALE", {"state": "damaged"}, "state"),
        ("RING_FENCE", {"state": "damaged", "channel": "web"}, "state"),
        ("RECEIPT", {"state": "gone"}, "state"),
        ("RECEIPT", {"to_state": "damaged"}, "to_state"),
        ("STATE_CHANGE", {"state": "damaged"}, "to_state"),
        ("STATE_CHANGE", {"state": "damaged", "to_state": "damaged"}, "to_state"),
        ("STATE_CHANGE", {"to_state": "on_hand"}, "to_state"),
        ("STATE_CHANGE", {"state": "gone", "to_state": "on_hand"}, "state"),
        ("RECEIPT", {"state": "a\tb"}, "state"),
        ("STATE_CHANGE", {"to_state": " x"}, "to_state"),
    ],
)
async def test_what_a_movement_says_of_states_must_fit_its_kind(
    shop: Stubs, kind: str, given: dict[str, str], field: str
) -> None:
    why = await refused(move(shop, kind, 1, **given))
    assert (why.code, why.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [f"movements[0].{field}"])
    assert await shelf(shop) == (10, 0, {})


async def test_the_ledger_shows_states_before_and_after(shop: Stubs) -> None:
    await move(shop, "STATE_CHANGE", 3, to_state="quarantine")
    await move(shop, "STATE_CHANGE", 2, state="quarantine", to_state="damaged")
    await move(shop, "RECEIPT", 1)
    entries = (await shop.stock.ListMovements(stock_service_pb2.ListMovementsRequest(sku="LAMP"))).entries
    told = [
        (e.kind, e.on_hand_before, e.on_hand_after, [(s.state, s.before, s.after) for s in e.states])
        for e in entries[:3]
    ]
    assert told == [
        ("RECEIPT", 7, 8, []),
        ("STATE_CHANGE", 7, 7, [("quarantine", 3, 1), ("damaged", 0, 2)]),
        ("STATE_CHANGE", 10, 7, [("quarantine", 0, 3)]),
    ]
    assert entries[0].reason == "seen"


async def test_a_position_may_have_nothing_but_units_in_a_state(shop: Stubs) -> None:
    await move(shop, "RECEIPT", 2, sku="RUG", state="damaged")
    request = stock_service_pb2.GetPositionRequest(sku="RUG", location="DC", consistency=FRESH)
    position = (await shop.stock.GetPosition(request)).position
    assert (position.on_hand, position.revision > 0, position.states[0].quantity) == (0, True, 2)
    why = await refused(shop.reservations.CreateReservation(create("A", "RUG")))
    assert (why.reason, why.metadata["available"]) == ("INSUFFICIENT_STOCK", "0")


async def test_the_check_finds_nothing_wrong(shop: Stubs) -> None:
    await move(shop, "STATE_CHANGE", 3, to_state="quarantine")
    await move(shop, "STATE_CHANGE", 1, state="quarantine", to_state="gone")
    response = await shop.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert (response.violations_count, response.replay.promises_covered, response.not_judged) == (0, 1, 0)
