"""What is tried in thought is what the store then does: the rules of taking, told twice, agree."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from invengine.bootstrap import Running
from invengine.domain.network import Network
from invengine.domain.orders import LineRequest
from invengine.services.reservation_requests import check_create, resolve
from invengine.services.shelf import Shelf
from invengine.services.sourcing import Sourcing
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.expected import Schedule, in_days

pytestmark = pytest.mark.asyncio

PLACES = ("A", "B", "C")
CHANNELS = ("web", "app", "alone")
SKUS = [f"S{number}" for number in range(60)]
NETWORK = (
    "locations: {A: {priority: 1}, B: {priority: 2}, C: {priority: 3}}\ngroups: {all: [A, B, C]}\n"
    "channels: {web: {groups: [all]}, app: {groups: [all]}, alone: {groups: [all], borrow: false}}\n"
    "safety_stock: [{location: B, units: 1}, {location: C, percent: 20}]\n"
    "backorders:\n" + "".join(f"  - {{sku: {sku}, units: {1 + number % 3}}}\n" for number, sku in enumerate(SKUS[::2]))
)


async def stocked(stubs: Stubs, sku: str, random: Random) -> None:
    """Some stock, ring-fences, receipts and a rival's reservation."""
    movements = []
    for place in PLACES:
        common = {"source": "tests", "sku": sku, "location": place}
        movements.append(stock_service_pb2.Movement(kind=4, quantity=random.randint(0, 6), **common))
        for channel in CHANNELS:
            if random.random() < 0.4:
                fence = random.randint(1, 3)
                movements.append(stock_service_pb2.Movement(kind=6, quantity=fence, channel=channel, **common))
    await stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(request_id=sku, movements=movements))
    for place in PLACES:
        for number in range(random.randint(0, 2)):
            await Schedule(stubs, sku, place).set(f"po-{number}", random.randint(1, 4), random.randint(-2, 9))
    rival = pb.CreateReservationRequest(request_id=f"rival {sku}", channel="app", policy=2)
    rival.lines.add(sku=sku, quantity=random.randint(1, 4), allow_split=True, allow_backorder=True)
    await stubs.reservations.BatchCreateReservations(pb.BatchCreateReservationsRequest(requests=[rival]))


def asked(sku: str, random: Random, *, best_effort: bool) -> pb.CreateReservationRequest:
    request = pb.CreateReservationRequest(
        request_id=f"ask {sku}", channel=random.choice(CHANNELS), policy=2 if best_effort else 1
    )
    for _ in range(random.randint(1, 3)):
        line = request.lines.add(sku=sku, quantity=random.randint(1, 7), allow_split=random.random() < 0.5)
        line.allow_backorder = random.random() < 0.6
        if line.allow_backorder and random.random() < 0.4:
            line.needed_by.CopyFrom(in_days(random.randint(2, 8)))
    return request


def tried(running: Running, lines: tuple[LineRequest, ...], channel: str, now_ms: int, best_effort: bool) -> list[Any]:
    """Units per line, and how many of them are on hand, in thought."""
    shelf = Shelf(running.replica, now_ms, channel, borrows=channel != "alone")
    return [shelf.take(line, line.candidates, best_effort=best_effort) for line in lines]


@pytest.mark.parametrize("best_effort", [False, True])
async def test_the_store_takes_what_was_tried_in_thought(redis_url: str, best_effort: bool) -> None:
    random = Random(11 + best_effort)
    network = Network.parse(NETWORK)
    short = whole = 0
    async with engine(redis_url) as (running, stubs):
        await stubs.apply_network(NETWORK, "all rules")
        nothing: Any = None
        sourcing = Sourcing(nothing, nothing)
        for sku in SKUS:
            await stocked(stubs, sku, random)
            message = asked(sku, random, best_effort=best_effort)
            request = resolve(check_create(message), network, sourcing)
            expected = tried(running, request.lines, request.channel, await running.store.now_ms(), best_effort)
            if all(taken.units for taken in expected) if best_effort else is_whole(request.lines, expected):
                made = (await stubs.reservations.CreateReservation(message)).reservation
                got = [
                    (
                        sum(a.quantity for a in line.allocations),
                        sum(a.quantity for a in line.allocations if not a.receipt_id and not a.backordered),
                        {a.location for a in line.allocations},
                    )
                    for line in made.lines
                ]
                assert got == [(taken.units, taken.on_hand, set(taken.locations)) for taken in expected], message
                whole += 1
            elif not best_effort:
                why = await refused(stubs.reservations.CreateReservation(message))
                assert why.reason == "INSUFFICIENT_STOCK"
                told = {line.line_id: line.available for line in why.refusal.short_lines}
                wanted = zip(request.lines, expected, strict=True)
                assert told == {line.line_id: taken.units for line, taken in wanted if taken.units < line.quantity}
                short += 1
    assert whole >= 10
    assert short >= 10 or best_effort


def is_whole(lines: tuple[LineRequest, ...], expected: list[Any]) -> bool:
    return all(taken.units == line.quantity for line, taken in zip(lines, expected, strict=True))
