"""Many clients that source by profiles from the same scarce stock, on two servers, until nothing is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import pytest_asyncio

from invengine.bootstrap import Running
from invengine.domain.reservation_answers import PlanTaken
from invengine.services.planned_reserving import PlannedReserving
from invengine.v1 import admin_service_pb2, plan_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.by_profile import activate, put
from tests.rpc.engines import Stubs, client, engine, taken_apart
from tests.rpc.test_by_profile import counted

pytestmark = pytest.mark.asyncio

CLIENTS, LINES_MAX = 64, 5
ASKED_BEFORE = 0.3
"""Of baskets, those whose plan is asked for before they are reserved."""
PLACES = tuple("ABCDEFG")
SKUS = tuple(f"S{n}" for n in range(12))
CHANNELS = ("web", "app", "till")
PROFILES = (
    "name: cheap\ncosts: {parcel: 2}\n",
    "name: few\ncosts: {parcel: 100}\nrules: {parcels_max: 4}\n",
    "name: near\ncosts: {priority: 1}\nweights: {handling: 0}\n",
)
SECOND_TRIPS_MAX = 0.25
"""Of all reservations that are made. What is seen is a few in a hundred."""

NETWORK = (
    "currency: EUR\nlocations:\n"
    + "".join(
        f"  {place}: {{kind: store, priority: {n + 1}, costs: {{parcel: {3 + (n * 5) % 7}, unit: 0.{n}}}}}\n"
        for n, place in enumerate(PLACES)
    )
    + f"groups: {{all: [{', '.join(PLACES)}]}}\nchannels:\n"
    + "".join(f"  {channel}: {{groups: [all], time_to_live: {{default: 2h}}}}\n" for channel in CHANNELS)
)

Units = frozenset[tuple[str, str, int]]
"""Line, location, units."""


class Shopper:
    """One client: baskets of its own, by the profile of its channel or one that it names, as long as there are any."""

    def __init__(self, stubs: Stubs, number: int) -> None:
        self.stubs = stubs
        self.name = f"shopper {number}"
        self.channel = CHANNELS[number % len(CHANNELS)]
        self.draw = random.Random(number)  # the same every time
        self.left = list(SKUS)
        self.made: list[pb.Reservation] = []
        self.refusals: Counter[str] = Counter()
        self.as_answered: Counter[bool] = Counter()
        """Reservations that were asked about before: whether they got one of the two plans that were answered."""

    async def run(self) -> None:
        number = 0
        while self.left:
            number += 1
            skus = self.draw.sample(self.left, min(len(self.left), self.draw.randint(1, LINES_MAX)))
            if await self.takes(f"{self.name} {number}", [(sku, self.draw.randint(1, 3)) for sku in skus]):
                continue
            for sku in skus:  # a basket of one unit says whether there is any
                number += 1
                if not await self.takes(f"{self.name} {number}", [(sku, 1)]):
                    self.left.remove(sku)

    async def takes(self, name: str, wanted: list[tuple[str, int]]) -> bool:
        split = self.draw.random() < 0.5
        lines: list[Any] = [{"sku": sku, "quantity": units, "allow_split": split} for sku, units in wanted]
        profile = self.draw.choice(["", "", "cheap", "few@1", "near"])
        message = pb.CreateReservationRequest(
            request_id=name, reservation_id=name, channel=self.channel, lines=lines, profile=profile
        )
        asked = self.draw.random() < ASKED_BEFORE
        try:
            if asked:
                question = plan_pb2.PlanBasketRequest(channel=self.channel, lines=lines, profile=profile)
                answer = await self.stubs.allocation.PlanBasket(question)
            self.made.append((await self.stubs.reservations.CreateReservation(message)).reservation)
            if asked:
                units = units_of(self.made[-1])
                self.as_answered[units in {plan_of(answer.plan), plan_of(answer.runner_up)}] += 1
        except grpc.aio.AioRpcError as error:
            self.refusals[taken_apart(error).reason] += 1
            return False
        return True


def units_of(reservation: pb.Reservation) -> Units:
    return frozenset([(line.line_id, a.location, a.quantity) for line in reservation.lines for a in line.allocations])


def plan_of(plan: plan_pb2.BasketPlan) -> Units:
    return frozenset([(line.line_id, one.location, one.quantity) for line in plan.lines for one in line.units])


@pytest_asyncio.fixture
async def servers(redis_url: str) -> AsyncIterator[list[tuple[Running, Stubs]]]:
    """Two servers of one store, both with the profile of each channel."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(engine(redis_url))
        await first[1].apply_network(NETWORK, "racing")
        await put(first[1], *PROFILES)
        for channel, profile in zip(CHANNELS, ("cheap", "few", "near"), strict=True):
            await activate(first[1], profile, channel)
        yield [first, await stack.enter_async_context(engine(redis_url))]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[Units]]:
    """What was planned for each reservation, by both servers: the best plans and the next ones."""
    found: dict[str, set[Units]] = defaultdict(set)
    source = PlannedReserving._source

    def noted(self: PlannedReserving, asked: Any, *more: Any) -> Any:
        sourced = source(self, asked, *more)
        for plan in (sourced.best, sourced.next):
            if plan is not None:
                units = [(asked.basket[one.line].line_id, one.location, one.quantity) for one in plan.units]
                found[asked.request.reservation_id].add(frozenset(units))
        return sourced

    monkeypatch.setattr(PlannedReserving, "_source", noted)
    return found


@pytest.mark.parametrize(
    "units",
    [
        pytest.param(20, id="short"),
        pytest.param(200, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_scarce_stock_is_sold_out_by_plan_and_never_twice(
    servers: list[tuple[Running, Stubs]], planned: dict[str, set[Units]], units: int
) -> None:
    stubs = servers[0][1]
    draw = random.Random(units)
    stock = {(sku, place): draw.randint(0, 2 * units) for sku in SKUS for place in PLACES}
    for (sku, place), quantity in stock.items():
        if quantity:
            await stubs.receive(sku, quantity, place)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(client(servers[n % 2][0].address)) for n in range(CLIENTS)]
        shoppers = [Shopper(mine, number) for number, mine in enumerate(sockets)]
        await asyncio.gather(*(shopper.run() for shopper in shoppers))
    made = [reservation for shopper in shoppers for reservation in shopper.made]

    reserved: Counter[tuple[str, str]] = Counter()
    for reservation in made:
        assert units_of(reservation) in planned[reservation.reservation_id]
        assert all(sum(a.quantity for a in line.allocations) == line.quantity for line in reservation.lines)
        for line in reservation.lines:
            for a in line.allocations:
                reserved[line.sku, a.location] += a.quantity
    assert reserved == Counter({place: quantity for place, quantity in stock.items() if quantity})  # all of it, once
    for (sku, place), quantity in stock.items():
        if quantity:
            assert (await stubs.position(sku, place))[:2] == (quantity, quantity)
    refusals = sum((shopper.refusals for shopper in shoppers), Counter())
    assert set(refusals) <= {"INSUFFICIENT_STOCK", "TOO_MANY_PARCELS"}

    by_plan = sum((Counter(counted(running)) for running, _ in servers), Counter())
    assert sum(by_plan.values()) == len(made)
    as_answered = sum((shopper.as_answered for shopper in shoppers), Counter())
    print(f"{len(made)} reservations: {dict(by_plan)}; as answered: {dict(as_answered)}; refused: {dict(refusals)}")
    assert as_answered[True] > as_answered[False]
    assert by_plan[PlanTaken.FIRST] > len(made) / 2
    assert by_plan[PlanTaken.NEXT] > 0
    assert by_plan[PlanTaken.ANOTHER_TRIP] <= len(made) * SECOND_TRIPS_MAX
    for _, each in servers:
        assert (await each.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest())).violations_count == 0
