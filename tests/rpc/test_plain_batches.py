"""Batches of usual reservations answer what requests that are read one by one do."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from invengine.services.plain_requests import PlainRequests
from invengine.v1 import common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import NETWORK, Stubs, create

pytestmark = pytest.mark.asyncio


class Ways:
    """Which way batches go: as a whole where they can, or one by one; and how many went as a whole."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plain, self.taken = True, 0
        read = PlainRequests.read

        def counted(requests: PlainRequests, *asked: Any) -> Any:
            batch = read(requests, *asked) if self.plain else None
            self.taken += batch is not None
            return batch

        monkeypatch.setattr(PlainRequests, "read", counted)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    return Ways(monkeypatch)


async def batch(stubs: Stubs, requests: list[pb.CreateReservationRequest]) -> list[Message]:
    """The outcomes of a batch."""
    message = pb.BatchCreateReservationsRequest(requests=requests)
    return list((await stubs.reservations.BatchCreateReservations(message)).outcomes)


def usual(name: str) -> list[pb.CreateReservationRequest]:
    """Requests of every kind that may go as a whole, those that are refused among them."""
    return [
        create(f"{name} anywhere"),
        create(f"{name} named", line={"location": "LON", "line_id": "first"}, policy=1),
        create(f"{name} shipped", quantity=2, line={"fulfilment": 1}),
        create(f"{name} collected", line={"fulfilment": 2, "location": "LON"}),
        create(f"{name} elsewhere", quantity=7),  # DC has no 7 any more, LON has
        create(f"{name} unknown", sku="GHOST"),
        create(f"{name} anywhere"),
        create(f"{name} anywhere", quantity=2),
        create(f"{name} anywhere", sku="CHAIR"),
        create(f"{name} too many", quantity=90),
    ]


@pytest.mark.parametrize("plain_first", [True, False])
async def test_both_ways_know_each_others_requests(stubs: Stubs, ways: Ways, plain_first: bool) -> None:
    """What one way made the other answers again, and what one refuses the other does, with the same words."""
    await stubs.receive("LAMP", 8)
    await stubs.receive("LAMP", 20, "LON")
    await stubs.receive("CHAIR", 5)
    ways.plain = plain_first
    made = await batch(stubs, usual("one"))
    ways.plain = not plain_first
    again = await batch(stubs, usual("one"))
    assert ways.taken == 1
    refused = [place for place, outcome in enumerate(made) if outcome.HasField("refusal")]
    assert refused == [5, 7, 8, 9]
    assert [made[place] for place in refused] == [again[place] for place in refused]
    for before, after in zip(made, again, strict=True):
        assert before.reservation == after.reservation
        assert after.replayed == after.HasField("reservation")
    assert (await stubs.position("LAMP"))[:2] == (8, 3)
    assert (await stubs.position("LAMP", "LON"))[:2] == (20, 9)


async def test_a_reservation_made_by_a_batch_is_one_like_any_other(stubs: Stubs, ways: Ways) -> None:
    """It is read, confirmed and fulfilled; its id and its units are those of the answer."""
    await stubs.receive("LAMP", 8)
    (made,) = await batch(stubs, [create("one", quantity=3)])
    assert ways.taken == 1
    name = made.reservation.reservation_id
    found = await stubs.reservations.GetReservation(pb.GetReservationRequest(reservation_id=name, channel="web"))
    assert found.reservation == made.reservation
    assert made.reservation.expire_time.seconds - made.reservation.create_time.seconds in (900, 901)
    for kind, verb in ((pb.ConfirmReservationRequest, "Confirm"), (pb.FulfilReservationRequest, "Fulfil")):
        call = getattr(stubs.reservations, f"{verb}Reservation")
        await call(kind(request_id=verb, reservation_id=name, channel="web"))
    assert (await stubs.position("LAMP"))[:2] == (5, 0)


@pytest.mark.parametrize(
    "unusual",
    [
        create("x", order_ref="order"),
        create("x", reservation_id="mine"),
        create("x", policy=2),
        create("x", line={"allow_split": True}),
        create("x", line={"location": "OLD"}),
        create("x", channel="closed"),
        create("x", channel="nobody"),
        create("", sku="LAMP"),
        create("x", quantity=2**40),
        create("Zoë"),
        create("x", sku="OWN"),
        create("x", sku="SET"),
    ],
)
async def test_a_batch_with_anything_unusual_is_read_one_by_one(
    stubs: Stubs, ways: Ways, unusual: pb.CreateReservationRequest
) -> None:
    """References, policies, refusals, rules of a SKU, kits: the others in it are made all the same."""
    document = NETWORK + "safety_stock:\n  - {sku: OWN, units: 3}\nkits:\n  SET: {LAMP: 2}\n"
    await stubs.apply_network(document, "with rules")
    await stubs.receive("LAMP", 8)
    (made, _) = await batch(stubs, [create("usual"), unusual])
    assert (ways.taken, made.HasField("reservation")) == (0, True)


async def test_what_a_batch_says_when_all_of_it_is_refused(stubs: Stubs, ways: Ways) -> None:
    """Each outcome has its own refusal; the call itself is not refused."""
    outcomes = await batch(stubs, [create("one"), create("two", sku="GHOST")])
    assert ways.taken == 1
    assert [outcome.refusal.reason for outcome in outcomes] == [common_pb2.ERROR_REASON_UNKNOWN_SKU] * 2
