"""Stock, network, availability and admin over a real server and a real Redis."""

from __future__ import annotations

import asyncio
import base64
import itertools

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from invengine.domain.partitions import encode_token, partition_of
from invengine.v1 import (
    admin_service_pb2,
    availability_service_pb2,
    common_pb2,
    network_service_pb2,
)
from invengine.v1 import stock_service_pb2 as pb
from tests.rpc.engines import NETWORK, Stubs, create, engine, refused

pytestmark = pytest.mark.asyncio

APPLIED, REPEATED, STALE, REFUSED = 1, 2, 3, 4


def movement(kind: int, quantity: int, event_id: str = "", **more: object) -> pb.Movement:
    return pb.Movement(
        **{"source": "till", "event_id": event_id, "kind": kind, "sku": "LAMP", "location": "DC", "quantity": quantity}
        | more
    )


async def post(
    stubs: Stubs, *movements: pb.Movement, request_id: str = "post"
) -> list[pb.PostMovementsResponse.Outcome]:
    response = await stubs.stock.PostMovements(pb.PostMovementsRequest(request_id=request_id, movements=movements))
    assert len(response.outcomes) == len(movements)
    return list(response.outcomes)


def reason(outcome: pb.PostMovementsResponse.Outcome) -> str:
    return common_pb2.ErrorReason.Name(outcome.refusal.reason).removeprefix("ERROR_REASON_")


async def test_movements_are_applied_in_their_order_with_one_outcome_each(stubs: Stubs) -> None:
    outcomes = await post(
        stubs,
        movement(pb.Movement.KIND_RECEIPT, 10),
        movement(pb.Movement.KIND_SALE, 4),
        movement(pb.Movement.KIND_SALE, 7),
        movement(pb.Movement.KIND_ADJUSTMENT, -1, reason="broken"),
        movement(pb.Movement.KIND_RECEIPT, 1, location="NOWHERE"),
        movement(pb.Movement.KIND_RETURN, 2),
    )
    assert [outcome.result for outcome in outcomes] == [APPLIED, APPLIED, REFUSED, APPLIED, REFUSED, APPLIED]
    assert (reason(outcomes[2]), reason(outcomes[4])) == ("INSUFFICIENT_STOCK", "UNKNOWN_LOCATION")
    assert [outcome.on_hand for outcome in outcomes] == [10, 6, 6, 5, 0, 7]
    assert await stubs.position("LAMP") == (7, 0, outcomes[5].revision)


async def test_an_event_sent_again_is_a_repeat(stubs: Stubs) -> None:
    first = await post(stubs, movement(pb.Movement.KIND_RECEIPT, 10), movement(pb.Movement.KIND_RECEIPT, 1, "e1"))
    again = await post(stubs, movement(pb.Movement.KIND_RECEIPT, 10), movement(pb.Movement.KIND_RECEIPT, 1, "e1"))
    assert [outcome.result for outcome in first + again] == [APPLIED, APPLIED, REPEATED, REPEATED]
    assert (await stubs.position("LAMP"))[0] == 11


async def test_a_large_batch_keeps_its_order(stubs: Stubs) -> None:
    kinds = [pb.Movement.KIND_RECEIPT, pb.Movement.KIND_SALE] * 2500
    outcomes = await post(stubs, *[movement(kind, 1) for kind in kinds])
    assert {outcome.result for outcome in outcomes} == {APPLIED}
    assert [outcome.on_hand for outcome in outcomes] == [1, 0] * 2500


async def test_a_sale_never_takes_reserved_units_and_a_count_is_a_fact(stubs: Stubs) -> None:
    await post(stubs, movement(pb.Movement.KIND_RECEIPT, 10))
    await stubs.reservations.CreateReservation(create("r", quantity=8))
    (sale,) = await post(stubs, movement(pb.Movement.KIND_SALE, 3, "s"))
    assert (sale.result, reason(sale)) == (REFUSED, "INSUFFICIENT_STOCK")
    assert dict(sale.refusal.metadata)["available"] == "2"
    (count,) = await post(stubs, movement(pb.Movement.KIND_COUNT, 5, "c"))
    assert (count.result, count.on_hand, count.reserved) == (APPLIED, 5, 8)
    response = await stubs.stock.GetPosition(pb.GetPositionRequest(sku="LAMP", location="DC"))
    assert response.position.shortfall == 3


async def test_positions_say_what_no_channel_may_sell(stubs: Stubs) -> None:
    rules = (
        "safety_stock:\n  - {sku: LAMP, units: 2}\n  - {location: DC, percent: 25}\n"
        "  - {channel: web, units: 50}\n  - {sku: LAMP, location: LON, units: 9}\n"
    )
    await stubs.apply_network(NETWORK + rules)
    await stubs.receive("LAMP", 10)
    await stubs.receive("LAMP", 10, "LON")
    safety = {}
    for location in ("DC", "LON"):
        response = await stubs.stock.GetPosition(pb.GetPositionRequest(sku="LAMP", location=location))
        safety[location] = response.position.safety_stock
    assert safety == {"DC": 3, "LON": 9}


@pytest.mark.parametrize(
    ("sku", "location", "expected"),
    [("LAMP", "X", "UNKNOWN_LOCATION"), ("X", "DC", "UNKNOWN_SKU"), ("LAMP", "LON", "POSITION_NOT_FOUND")],
)
async def test_what_is_not_there_is_refused(stubs: Stubs, sku: str, location: str, expected: str) -> None:
    await stubs.receive("LAMP", 1)
    why = await refused(stubs.stock.GetPosition(pb.GetPositionRequest(sku=sku, location=location)))
    assert (why.code, why.reason) == (grpc.StatusCode.NOT_FOUND, expected)


async def test_a_write_of_one_server_is_read_at_another_by_its_token(redis_url: str) -> None:
    async with engine(redis_url) as (_, one):
        await one.apply_network()
        async with engine(redis_url) as (_, other):
            for n in range(20):
                token = await one.receive("LAMP", 1, event_id=f"e{n}")
                fresh = common_pb2.Consistency(at_least_as_fresh=token)
                request = pb.GetPositionRequest(sku="LAMP", location="DC", consistency=fresh)
                assert (await other.stock.GetPosition(request)).position.on_hand == n + 1
                await one.receive("LAMP", 1, event_id=f"f{n}", location="LON")
                newest = common_pb2.Consistency(fully_consistent=True)
                request = pb.GetPositionRequest(sku="LAMP", location="LON", consistency=newest)
                assert (await other.stock.GetPosition(request)).position.on_hand == n + 1


async def test_a_token_of_a_state_that_never_comes_is_waited_for_at_most_until_the_deadline(stubs: Stubs) -> None:
    token = await stubs.receive("LAMP", 1)
    store_id = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[1:9]
    never = encode_token(store_id, [(partition_of("LAMP", 64), 1_000_000)])
    request = pb.GetPositionRequest(
        sku="LAMP", location="DC", consistency=common_pb2.Consistency(at_least_as_fresh=never)
    )
    why = await refused(stubs.stock.GetPosition(request, timeout=30))
    assert (why.code, why.reason) == (grpc.StatusCode.UNAVAILABLE, "REPLICA_BEHIND")
    assert why.retry_seconds == 0.5
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stubs.stock.GetPosition(request, timeout=0.2)
    assert error.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


async def test_the_ledger_says_how_a_position_came_to_what_it_is(stubs: Stubs) -> None:
    occurred = Timestamp(seconds=1_700_000_000, nanos=5_000_000)
    await post(stubs, movement(pb.Movement.KIND_RECEIPT, 10, "e1", occurred_at=occurred, reference="PO 1"))
    await stubs.reservations.CreateReservation(create("r", quantity=3, reservation_id="res"))
    await post(stubs, movement(pb.Movement.KIND_RECEIPT, 1, "e2", location="LON"))
    page = await stubs.stock.ListMovements(pb.ListMovementsRequest(sku="LAMP", page_size=2))
    rest = await stubs.stock.ListMovements(
        pb.ListMovementsRequest(sku="LAMP", page_size=2, page_token=page.next_page_token)
    )
    newest, taken = page.entries
    (received,) = rest.entries
    assert not rest.next_page_token
    assert (newest.location, newest.cause) == ("LON", "e2")
    assert (taken.kind, taken.actor, taken.cause, taken.reserved_before, taken.reserved_after) == (
        "RESERVE",
        "web",
        "res",
        0,
        3,
    )
    assert (received.kind, received.actor, received.cause, received.reference) == ("RECEIPT", "till", "e1", "PO 1")
    assert received.occurred_at == occurred
    assert (received.on_hand_before, received.on_hand_after) == (0, 10)
    only = await stubs.stock.ListMovements(pb.ListMovementsRequest(sku="LAMP", location="DC"))
    assert {entry.location for entry in only.entries} == {"DC"}
    why = await refused(
        stubs.stock.ListMovements(pb.ListMovementsRequest(sku="OTHER", page_token=page.next_page_token))
    )
    assert why.fields == ["page_token"]


async def test_a_network_is_checked_applied_and_read_back(redis_url: str) -> None:
    async with engine(redis_url) as (_, stubs):
        why = await refused(stubs.network.GetNetwork(network_service_pb2.GetNetworkRequest()))
        assert why.reason == "NETWORK_MISSING"
        faulty = network_service_pb2.ApplyNetworkRequest(request_id="n", document="locations: {DC: {kind: castle}}")
        why = await refused(stubs.network.ApplyNetwork(faulty))
        assert (why.code, why.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "NETWORK_INVALID")
        assert "document:1" in why.fields
        looked = await stubs.network.ApplyNetwork(
            network_service_pb2.ApplyNetworkRequest(request_id="n", document=NETWORK, validate_only=True)
        )
        assert looked.revision == 0
        assert looked.changes
        applied = await stubs.network.ApplyNetwork(
            network_service_pb2.ApplyNetworkRequest(request_id="n", document=NETWORK, expected_revision=0)
        )
        assert applied.revision == 1
        assert applied.changes == looked.changes
        again = await stubs.network.ApplyNetwork(
            network_service_pb2.ApplyNetworkRequest(request_id="n", document=NETWORK)
        )
        assert (again.revision, list(again.changes)) == (1, [])
        stale = network_service_pb2.ApplyNetworkRequest(
            request_id="n", document=NETWORK + "# more\n", expected_revision=7
        )
        why = await refused(stubs.network.ApplyNetwork(stale))
        assert (why.code, why.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
        found = await stubs.network.GetNetwork(network_service_pb2.GetNetworkRequest())
        assert (found.document, found.revision) == (NETWORK, 1)


async def test_a_batch_of_10_000_skus_answers_as_10_000_single_questions(stubs: Stubs) -> None:
    movements = [
        movement(pb.Movement.KIND_RECEIPT, n % 7 + 1, sku=f"S{n}", location=location)
        for n in range(0, 10_000, 2)
        for location in (("DC",) if n % 3 else ("DC", "LON"))
    ]
    for start in range(0, len(movements), 5000):
        await post(stubs, *movements[start : start + 5000], request_id=f"p{start}")
    skus = [f"S{n}" for n in range(10_000)]
    batch = await stubs.availability.BatchGetAvailability(
        availability_service_pb2.BatchGetAvailabilityRequest(skus=skus, channel="web")
    )
    stream = stubs.availability.StreamAvailability(
        iter(
            [
                availability_service_pb2.StreamAvailabilityRequest(query_id=n, sku=sku, channel="web")
                for n, sku in enumerate(skus)
            ]
        )
    )
    single = [(answer.query_id, answer.status, answer.available) async for answer in stream]
    assert single == list(zip(range(10_000), batch.status, batch.available, strict=True))
    assert sum(batch.row_counts) == len(movements)
    rows = iter(zip(batch.location_index, batch.location_available, strict=True))
    columns = [
        [(batch.locations[index], units) for index, units in itertools.islice(rows, count)]
        for count in batch.row_counts
    ]
    for start in range(0, 10_000, 250):
        places = range(start, start + 250)
        answers = await asyncio.gather(*(one_by_one(stubs, skus[n]) for n in places))
        assert answers == [(batch.status[n], batch.available[n], columns[n]) for n in places]


async def one_by_one(stubs: Stubs, sku: str) -> tuple[int, int, list[tuple[str, int]]]:
    """What a unary call says of a SKU, as a batch would: status, total, units by location."""
    request = availability_service_pb2.GetAvailabilityRequest(sku=sku, channel="web")
    try:
        answer = await stubs.availability.GetAvailability(request)
    except grpc.aio.AioRpcError as refusal:
        if refusal.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return availability_service_pb2.AVAILABILITY_STATUS_UNKNOWN_SKU, 0, []
    positions = [(position.location, position.available) for position in answer.positions]
    return availability_service_pb2.AVAILABILITY_STATUS_KNOWN, answer.available, positions


async def test_the_integrity_check_counts_what_it_looked_at(stubs: Stubs) -> None:
    await stubs.receive("LAMP", 5)
    await stubs.receive("LAMP", 5, "LON")
    await stubs.reservations.CreateReservation(create("r", quantity=2))
    response = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())
    assert (response.positions_checked, response.reservations_checked, response.violations_count) == (2, 1, 0)
