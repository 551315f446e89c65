"""What clients were told, and the audit: everything acknowledged is there, exactly once, and nothing more."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic

from invengine.v1 import admin_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs

HELD, CONFIRMED, FULFILLED, RELEASED, EXPIRED = 1, 2, 3, 4, 5
LIVE = (HELD, CONFIRMED)
OVER_SECONDS = 60.0


@dataclass
class Journal:
    """`told` has the newest acknowledged answer of every reservation, `moved` the units of acknowledged receipts."""

    told: dict[str, pb.Reservation] = field(default_factory=dict)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    accepted: list[tuple[float, str, frozenset[str]]] = field(default_factory=list)  # when, request_id, SKUs
    away: list[tuple[float, str]] = field(default_factory=list)  # when, reason: to be sent again
    refusals: Counter[str] = field(default_factory=Counter)

    def note(self, request_id: str, reservation: pb.Reservation) -> None:
        """An acknowledged write."""
        self.told[reservation.reservation_id] = reservation
        self.accepted.append((monotonic(), request_id, frozenset(line.sku for line in reservation.lines)))

    def first_accepted(self, after: float, skus: set[str]) -> float:
        """When the first write after that moment was acknowledged that touched one of these SKUs."""
        return min(at for at, _, touched in self.accepted if at > after and touched & skus)

    def away_between(self, begin: float, end: float) -> Counter[str]:
        """How many answers said try again, by reason."""
        return Counter(reason for at, reason in self.away if begin <= at <= end)


async def holds_are_over(stubs: Stubs) -> None:
    """Until nothing is held any more: every time to live is short, so nothing may be held for ever."""
    async with asyncio.timeout(OVER_SECONDS):
        while (await stubs.reservations.ListReservations(pb.ListReservationsRequest(state=HELD))).reservations:
            await asyncio.sleep(0.1)


async def audit(stubs: Stubs, journal: Journal, opening: dict[tuple[str, str], int]) -> None:
    """Every reservation is what its caller was told last, and every position what these add up to."""
    on_hand: Counter[tuple[str, str]] = Counter(opening)
    on_hand.update(journal.moved)
    reserved: Counter[tuple[str, str]] = Counter()
    for reservation_id, told in journal.told.items():
        request = pb.GetReservationRequest(reservation_id=reservation_id, channel="web")
        found = (await stubs.reservations.GetReservation(request)).reservation
        if told.state == HELD:
            assert found.state == EXPIRED, (told, found)
        else:
            assert found == told
        for line in found.lines:
            for allocation in line.allocations:
                place = line.sku, allocation.location
                on_hand[place] -= allocation.fulfilled
                if found.state in LIVE:
                    reserved[place] += allocation.quantity - allocation.fulfilled - allocation.released
    for sku, location in opening:
        position = await stubs.stock.GetPosition(
            stock_service_pb2.GetPositionRequest(sku=sku, location=location, consistency={"fully_consistent": True})
        )
        found = position.position
        assert (found.on_hand, found.reserved) == (on_hand[sku, location], reserved[sku, location]), (sku, location)
        assert found.reserved <= found.on_hand
    listed = await every_reservation(stubs)
    assert listed == set(journal.told)
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True), timeout=120)
    assert not report.violations, report


async def every_reservation(stubs: Stubs) -> set[str]:
    """The ids of all reservations that the engine knows."""
    found: set[str] = set()
    request = pb.ListReservationsRequest(page_size=1000)
    while True:
        page = await stubs.reservations.ListReservations(request)
        found.update(reservation.reservation_id for reservation in page.reservations)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
