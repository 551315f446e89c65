"""Many clients that want kits of shared components, and change what they have: no kit is torn, no unit sold twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import grpc
import pytest

from invengine.v1 import admin_service_pb2, common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, taken_apart
from tests.rpc.test_kits import NETWORK, available, stubs

pytestmark = pytest.mark.asyncio

__all__ = ["stubs"]  # the fixture, with a whole store and one by partition

CLIENTS, CALLS_EACH = 64, 6
STOCK = {("SOFA", "A"): 60, ("SOFA", "B"): 40, ("CUSHION", "A"): 210, ("CUSHION", "B"): 190}
MAY_BE_REFUSED = {
    "INSUFFICIENT_STOCK",
    "QUANTITY_EXCEEDS_OPEN",
    "RESERVATION_CLOSED",
    "RESERVATION_CONFIRMED",
    "RESERVATION_NOT_CONFIRMED",
    "RESERVATION_NOT_FOUND",
    "LINE_NOT_FOUND",
}


class Client:
    """One shopper with one basket."""

    def __init__(self, stubs: Stubs, number: int) -> None:
        self.calls = stubs.reservations
        self.name = f"client {number}"
        self.draw = random.Random(number)  # the same every time
        self.refusals: Counter[str] = Counter()

    async def run(self) -> None:
        verbs = (self.release, self.amend, self.amend, self.rebind, self.confirm, self.fulfil)
        await self.do(self.create)
        for _ in range(CALLS_EACH):
            await self.do(self.draw.choice(verbs))

    async def do(self, verb: Any) -> None:
        try:
            await verb(request_id=f"{self.name} {self.draw.random()}", reservation_id=self.name, channel="web")
        except grpc.aio.AioRpcError as error:
            self.refusals[taken_apart(error).reason] += 1

    def lines(self) -> list[dict[str, Any]]:
        skus = self.draw.sample(["SET", "PAIR", "CUSHION", "SOFA"], self.draw.randint(1, 3))
        return [{"sku": sku, "quantity": self.draw.randint(1, 4), **self.where()} for sku in skus]

    def where(self) -> dict[str, Any]:
        location = self.draw.choice(["", "", "A", "B"])
        return {"location": location, "allow_split": self.draw.random() < 0.5}

    def line(self) -> dict[str, Any]:
        return {"line_id": self.draw.choice("123"), "quantity": self.draw.randint(0, 3)}

    async def create(self, **head: str) -> None:
        policy = self.draw.choice([0, 2])
        parcels = self.draw.choice([0, 0, 1])
        await self.calls.CreateReservation(
            pb.CreateReservationRequest(**head, lines=self.lines(), policy=policy, max_parcels=parcels)  # type: ignore[arg-type]
        )

    async def release(self, **head: str) -> None:
        await self.calls.ReleaseReservation(pb.ReleaseReservationRequest(**head, lines=[self.line()]))  # type: ignore[arg-type]

    async def amend(self, **head: str) -> None:
        added = self.lines()[:1] if self.draw.random() < 0.3 else []
        line = self.line() | self.where()
        await self.calls.AmendReservation(pb.AmendReservationRequest(**head, lines=[line], added_lines=added))  # type: ignore[arg-type]

    async def rebind(self, **head: str) -> None:
        line = {"line_id": self.draw.choice(["", "1", "2"])} | self.where()
        await self.calls.RebindReservation(pb.RebindReservationRequest(**head, lines=[line]))  # type: ignore[arg-type]

    async def confirm(self, **head: str) -> None:
        await self.calls.ConfirmReservation(pb.ConfirmReservationRequest(**head))  # type: ignore[arg-type]

    async def fulfil(self, **head: str) -> None:
        await self.calls.FulfilReservation(pb.FulfilReservationRequest(**head, lines=[self.line()]))  # type: ignore[arg-type]


async def everything(stubs: Stubs) -> list[pb.Reservation]:
    found, token = [], ""
    while True:
        page = await stubs.reservations.ListReservations(pb.ListReservationsRequest(page_size=1000, page_token=token))
        found += page.reservations
        token = page.next_page_token
        if not token:
            return found


def kits_at(line: pb.ReservationLine) -> dict[str, tuple[float, float, float]]:
    """Kits by location that were taken, that left, and that were given back, by one of their components."""
    found: dict[str, tuple[float, float, float]] = {}
    for a in line.allocations:
        before = found.get(a.location, (0.0, 0.0, 0.0))
        units = (a.quantity, a.fulfilled, a.released)
        found[a.location] = tuple(x + n / line.units_per_kit for x, n in zip(before, units, strict=True))  # type: ignore[assignment]
    return found


async def test_kits_stay_whole_and_every_unit_is_counted_once(stubs: Stubs) -> None:
    await stubs.apply_network(NETWORK, "kits")
    for (sku, location), units in STOCK.items():
        await stubs.receive(sku, units, location)
    clients = [Client(stubs, number) for number in range(CLIENTS)]
    await asyncio.gather(*(client.run() for client in clients))
    refusals = sum((client.refusals for client in clients), Counter())
    assert set(refusals) <= MAY_BE_REFUSED | {"TOO_MANY_PARCELS"}, refusals
    assert refusals["INSUFFICIENT_STOCK"] > 0, "there was enough for all: nothing was contended for"

    reserved: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, str]] = Counter()
    kits = 0
    for reservation in await everything(stubs):
        by_kit: dict[str, list[pb.ReservationLine]] = {}
        for line in reservation.lines:
            for a in line.allocations:
                reserved[line.sku, a.location] += a.quantity - a.fulfilled - a.released
                left[line.sku, a.location] += a.fulfilled
            if line.kit_line_id:
                by_kit.setdefault(line.kit_line_id, []).append(line)
        for lines in by_kit.values():
            kits += 1
            first = kits_at(lines[0])
            assert all(number == int(number) for numbers in first.values() for number in numbers)
            assert [kits_at(line) for line in lines] == [first] * len(lines)
            assert len({line.quantity / line.units_per_kit for line in lines}) == 1
    assert kits > CLIENTS / 2
    for (sku, location), units in STOCK.items():
        (position,) = (await available(stubs, sku, locations=[location])).positions
        assert position.on_hand == units - left[sku, location]
        assert position.reserved == reserved[sku, location] <= position.on_hand
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert not report.violations
    assert common_pb2.ERROR_REASON_INTERNAL not in refusals
