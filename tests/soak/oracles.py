"""What must hold once everything is well again: each answers with what does not, and how much was looked at."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from google.protobuf import text_format

from invengine.v1 import admin_service_pb2, availability_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs
from tests.soak.journal import Journal, Place
from tests.soak.readers import Watcher
from tests.soak.shoppers import CONFIRMED, COUNTED, HELD, ORDERS, TRANSFER

EXPIRED = 5
LIVE = (HELD, CONFIRMED)
AT_ONCE = 32
AGAIN_MOST = 5000
FRESH: dict[str, Any] = {"fully_consistent": True}
SETTLED_SECONDS = 60
T = TypeVar("T")
Found = tuple[str, list[str]]
"""What was looked at, and what is wrong."""


async def each(items: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
    """All of them, some at once."""
    queue = iter(items)

    async def work() -> None:
        for item in queue:
            await do(item)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def holds_are_over(stubs: Stubs) -> None:
    """Until nothing is held any more: all times to live are short."""
    request = pb.ListReservationsRequest(state=HELD, page_size=1)
    async with asyncio.timeout(SETTLED_SECONDS):
        while (await stubs.reservations.ListReservations(request)).reservations:
            await asyncio.sleep(0.1)


async def reservations(stubs: Stubs, journal: Journal) -> tuple[list[str], Counter[Place], Counter[Place]]:
    """Oracle 1: each is as its caller was told last, there are no others. Open units and shipped ones by place."""
    wrong: list[str] = []
    reserved: Counter[Place] = Counter()
    shipped: Counter[Place] = Counter()

    async def look(told: pb.Reservation) -> None:
        request = pb.GetReservationRequest(reservation_id=told.reservation_id, channel="web")
        found = (await stubs.reservations.GetReservation(request)).reservation
        if found != told and not (told.state == HELD and found.state == EXPIRED):
            wrong.append(f"lost or changed: {_line(told)} is {_line(found)}")
        for line in found.lines:
            for allocation in line.allocations:
                place = line.sku, allocation.location
                shipped[place] += allocation.fulfilled
                if found.state in LIVE:
                    reserved[place] += allocation.quantity - allocation.fulfilled - allocation.released

    await each(journal.told.values(), look)
    listed = {name for name in await _listed(stubs) if not name.startswith(TRANSFER)}  # transfers have records too
    wrong += [f"nobody was told of {name}" for name in sorted(listed - set(journal.told))]
    return wrong, reserved, shipped


def _line(message: Any) -> str:
    return text_format.MessageToString(message, as_one_line=True)


async def _listed(stubs: Stubs) -> set[str]:
    found: set[str] = set()
    request = pb.ListReservationsRequest(page_size=1000)
    while True:
        page = await stubs.reservations.ListReservations(request)
        found.update(reservation.reservation_id for reservation in page.reservations)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def positions(
    stubs: Stubs, journal: Journal, opening: Counter[Place], reserved: Counter[Place], shipped: Counter[Place]
) -> Found:
    """Oracles 1 to 3: every position is what was acknowledged adds up to, and no more is reserved than is there."""
    wanted = Counter(opening)
    wanted.update(journal.moved)
    wanted.update(journal.fed)
    wanted.subtract(shipped)
    wanted.update(journal.counted)
    wrong: list[str] = []

    async def look(place: Place) -> None:
        request = stock_service_pb2.GetPositionRequest(sku=place[0], location=place[1], consistency=FRESH)
        found = (await stubs.stock.GetPosition(request)).position
        if (found.on_hand, found.reserved) != (wanted[place], reserved[place]):
            wrong.append(f"{place}: {found.on_hand}, {found.reserved}, not {wanted[place]}, {reserved[place]}")
        if found.reserved > found.on_hand:
            wrong.append(f"{place}: oversold, {found.reserved} of {found.on_hand}")

    places = [place for place in wanted if place in opening or place[0].startswith(COUNTED[0][:7]) or wanted[place]]
    await each(places, look)
    return f"{len(places)} positions", wrong


async def answered_again(stubs: Stubs, journal: Journal) -> Found:
    """Oracle 1, once more: what was acknowledged is answered as it was when it is sent again."""
    sent = journal.created[:: max(1, len(journal.created) // AGAIN_MOST)]
    wrong: list[str] = []

    async def look(one: tuple[Any, pb.Reservation]) -> None:
        request, told = one
        answer = await stubs.reservations.CreateReservation(request)
        if not answer.replayed or answer.reservation.reservation_id != told.reservation_id:
            wrong.append(f"done twice: {_line(request)}")

    await each(sent, look)
    return f"{len(sent)} requests sent again", wrong


async def servers_agree(all_stubs: list[Stubs], watcher: Watcher) -> Found:
    """Oracle 4: what servers answer from memory, and what a watch told last, is what Redis holds."""
    wrong: list[str] = []
    for number, stubs in enumerate(all_stubs):
        for sku in ORDERS:
            request = availability_service_pb2.GetAvailabilityRequest(sku=sku, channel="web", consistency=FRESH)
            fresh = (await stubs.availability.GetAvailability(request)).available
            request.consistency.minimize_latency = True
            fast = (await stubs.availability.GetAvailability(request)).available
            if fast != fresh:
                wrong.append(f"server {number}: {sku} {fast} from memory, {fresh} in Redis")
            if not number:
                wrong += await _told(watcher, sku, fresh)
    return f"{len(all_stubs)} servers, {watcher.messages} messages watched", wrong


async def _told(watcher: Watcher, sku: str, wanted: int) -> list[str]:
    try:
        async with asyncio.timeout(30):
            while watcher.available.get(sku) != wanted:
                await asyncio.sleep(0.05)
    except TimeoutError:
        return [f"the watch told {sku} {watcher.available.get(sku)} last, {wanted} is so"]
    return []


async def integrity(stubs: Stubs) -> Found:
    """Oracles 2 and 5: it adds up, and the log replayed into nothing gives the same."""
    report = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True), timeout=300)
    return f"{report.reservations_checked} reservations checked and the log replayed", [
        str(violation) for violation in report.violations
    ]
