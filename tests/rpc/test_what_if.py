"""What-ifs over real sockets: two profiles side by side, on the stock as it is and as it was; nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from invengine.bootstrap import Running
from invengine.store import keys
from invengine.v1 import common_pb2, incoming_service_pb2, plan_pb2, profile_pb2, stock_service_pb2, whatif_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.expected import in_days

pytestmark = pytest.mark.asyncio

From = whatif_pb2.WhatIfRequest
BERLIN = {"country": "DE", "postal_code": "10115"}

NETWORK = """\
currency: EUR
calendars:
  daily: {hours: {mon-sun: "00:00-24:00"}}
services:
  standard: {carrier: DHL, calendar: daily}
zones:
  de: [{country: DE}]
locations:
  DC: {kind: warehouse, priority: 10, calendar: daily, costs: {parcel: 5}}
  FAR: {kind: warehouse, priority: 20, calendar: daily, costs: {parcel: 1}}
  SHOP: {kind: store, priority: 30, fulfilments: [pickup], calendar: daily, opening: daily}
groups:
  all: [DC, FAR, SHOP]
channels:
  web: {groups: [all], time_to_live: {default: 15m, maximum: 2h}}
  app: {groups: [all]}
safety_stock:
  - {sku: KEPT, location: DC, units: 3}
kits:
  SET: {TOP: 1, LEG: 4}
lanes:
  - {from: DC, zone: de, service: standard, transit: 1, cost: 4}
  - {from: FAR, zone: de, service: standard, transit: 4, cost: 4}
"""

CHEAP = "name: cheap\nweights: {lane: 100, handling: 100}\n"
QUICK = "name: quick\ncosts: {day_waiting: 10}\nweights: {lane: 0, handling: 0}\n"


class Shop:
    """An engine with this network and two profiles: one for little money, one for little time."""

    def __init__(self, running: Running, stubs: Stubs, redis_url: str) -> None:
        self.running, self.stubs, self.redis_url = running, stubs, redis_url
        self._number = 0

    async def begin(self) -> None:
        await self.stubs.apply_network(NETWORK)
        for text in (CHEAP, QUICK):
            request = profile_pb2.PutProfileRequest(request_id=text[6:11], document=text)
            await self.stubs.allocation.PutProfile(request)

    async def stock(self, **units: int) -> None:
        for place, quantity in units.items():
            sku, _, location = place.rpartition("_")
            self._number += 1
            await self.stubs.receive(sku, quantity, location, event_id=f"stock {self._number}")

    async def reserve(self, name: str, quantity: int, sku: str = "LAMP", **more: Any) -> pb.Reservation:
        line = {"fulfilment": common_pb2.FULFILMENT_SHIP, "destination": BERLIN, **more.pop("line", {})}
        request = pb.CreateReservationRequest(
            request_id=f"create {name}",
            reservation_id=name,
            channel=more.pop("channel", "web"),
            lines=[pb.ReservationLineRequest(sku=sku, quantity=quantity, **line)],
            **more,
        )
        return (await self.stubs.reservations.CreateReservation(request)).reservation

    async def what_if(self, *profiles: str, **more: Any) -> whatif_pb2.WhatIfResponse:
        request = whatif_pb2.WhatIfRequest(profiles=profiles or ("cheap", "quick"), **more)
        return await self.stubs.allocation.WhatIf(request)

    async def dump(self) -> dict[bytes, bytes | None]:
        """Every key of the store, as Redis keeps it, but for those that tick by themselves."""
        async with redis.asyncio.from_url(self.redis_url) as client:
            return {key: await client.dump(key) for key in sorted(await client.keys())}


@pytest_asyncio.fixture
async def shop(redis_url: str) -> AsyncIterator[Shop]:
    async with engine(redis_url) as (running, stubs):
        shop = Shop(running, stubs, redis_url)
        await shop.begin()
        yield shop


def order(quantity: int, sku: str = "LAMP", *, best_effort: bool = False, **line: Any) -> whatif_pb2.WhatIfOrder:
    shipped = {"fulfilment": common_pb2.FULFILMENT_SHIP, "destination": BERLIN}
    asked = pb.ReservationLineRequest(sku=sku, quantity=quantity, **shipped | line)
    return whatif_pb2.WhatIfOrder(channel="web", lines=[asked], best_effort=best_effort)


def euros(amount: common_pb2.Money) -> float:
    assert amount.currency_code == "EUR"
    return amount.units + amount.nanos / 1e9


def stock_of(result: whatif_pb2.WhatIfResult) -> dict[str, tuple[int, int, int]]:
    """By location: free at first, taken, left."""
    return {one.location: (one.free, one.taken, one.left) for one in result.stock}


async def test_two_profiles_side_by_side(shop: Shop) -> None:
    """The cheap one sends from afar while there is something, the quick one from near by."""
    await shop.stock(LAMP_DC=3, LAMP_FAR=2)
    answer = await shop.what_if(orders=[order(1) for _ in range(6)])
    assert (answer.orders, answer.orders_left_out) == (6, 0)
    cheap, quick = answer.results
    assert (cheap.profile, quick.profile) == ("cheap@1", "quick@1")
    for result in (cheap, quick):
        assert (result.orders_whole, result.orders_in_part, result.parcels) == (5, 0, 5)
        assert (result.lines, result.unfilled_lines, result.units, result.unfilled_units) == (6, 1, 6, 1)
        assert [(one.reason, one.orders) for one in result.refused] == [(common_pb2.ERROR_REASON_INSUFFICIENT_STOCK, 1)]
        assert stock_of(result) == {"DC": (3, 3, 0), "FAR": (2, 2, 0)}
    assert (euros(cheap.costs.handling), euros(cheap.costs.lane), euros(cheap.costs.total)) == (17, 20, 37)
    assert euros(quick.costs.waiting) == euros(quick.costs.total) > 0
    few = await shop.what_if(orders=[order(1), order(1)])
    assert [stock_of(result) for result in few.results] == [
        {"DC": (3, 0, 3), "FAR": (2, 2, 0)},
        {"DC": (3, 2, 1), "FAR": (2, 0, 2)},
    ]


async def test_late_lines_unfilled_units_and_kits(shop: Shop) -> None:
    late = "name: late\nrules: {lateness: allowed}\ncosts: {day_late: 0.01}\n"
    await shop.stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id="late", document=late))
    await shop.stock(LAMP_FAR=5, LAMP_DC=0 + 1, TOP_DC=2, LEG_DC=4, KEPT_DC=5)
    orders = [
        order(2, best_effort=True, needed_by=in_days(3)),
        order(2, "SET", best_effort=True),
        order(5, "KEPT", best_effort=True),
        order(1, "NOBODY"),
    ]
    answer = await shop.what_if("late", "cheap", orders=orders)
    allowed, forbidden = answer.results
    assert (allowed.needed_lines, allowed.late_lines, allowed.unfilled_units) == (1, 1, 1 + 3 + 1)
    assert (forbidden.needed_lines, forbidden.late_lines, forbidden.unfilled_units) == (1, 0, 1 + 1 + 3 + 1)
    assert (forbidden.orders_whole, forbidden.orders_in_part) == (0, 3)
    assert [one.reason for one in forbidden.refused] == [common_pb2.ERROR_REASON_UNKNOWN_SKU]
    assert stock_of(forbidden)["DC"] == (1 + 2 + 4 + 5, 1 + 1 + 4 + 2, 4)


async def test_what_comes_is_promised_once(shop: Shop) -> None:
    """A line that may wait takes what is there, then what comes; the next one has the rest."""
    await shop.stock(LAMP_DC=1)
    incoming = incoming_service_pb2.SetIncomingRequest(
        request_id="po", source="erp", receipt_id="po", sku="LAMP", location="DC", quantity=3, expected_date=in_days(5)
    )
    await shop.stubs.incoming.SetIncoming(incoming)
    answer = await shop.what_if("cheap", orders=[order(2, allow_backorder=True) for _ in range(3)])
    (result,) = answer.results
    assert (result.orders_whole, result.unfilled_units) == (2, 2)
    assert stock_of(result)["DC"] == (1, 1, 0)


async def test_ring_fences_are_kept(shop: Shop) -> None:
    await shop.stock(LAMP_DC=5)
    fence = stock_service_pb2.Movement(
        source="tests",
        event_id="fence",
        kind=stock_service_pb2.Movement.KIND_RING_FENCE,
        sku="LAMP",
        location="DC",
        quantity=3,
        channel="app",
    )
    await shop.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[fence]))
    of_app = order(2)
    of_app.channel = "app"
    answer = await shop.what_if("cheap", orders=[of_app, order(2), order(1), of_app])
    (result,) = answer.results
    assert (result.orders_whole, stock_of(result)["DC"]) == (2, (5, 4, 1))


async def test_nothing_is_written_and_nobody_is_seen(shop: Shop) -> None:
    """The store is the same to the byte, and sales that go on meanwhile do not change the answer."""
    await shop.stock(LAMP_DC=300, LAMP_FAR=200)
    orders = [order(1) for _ in range(400)]
    before = await shop.dump()
    alone = await shop.what_if(orders=orders)
    assert await shop.dump() == before
    position = await shop.stubs.position("LAMP")

    asked = asyncio.create_task(shop.what_if(orders=orders))
    sold = 0
    while not asked.done() and sold < 100:
        await shop.reserve(f"sale {sold}", 1)
        sold += 1
    beside = await asked
    # begun before or behind some of the first sales: the copy is of one moment, and whole
    free = sum(one.free for one in beside.results[0].stock)
    assert 500 - sold <= free <= 500
    for result in beside.results:
        assert sum(one.taken for one in result.stock) == min(400, free)
        assert [sum(one.free for one in result.stock)] == [free]
        assert all(one.left == one.free - one.taken for one in result.stock)
    assert alone.results[0].orders_whole == 400
    assert (await shop.stubs.position("LAMP"))[0] == position[0]
    again = await shop.what_if(orders=orders)
    assert again.results[0].costs != plan_pb2.PlanCosts()


async def test_a_day_as_it_was_recorded(shop: Shop) -> None:
    """The stock with which today began, which is none; then, of a later instant, what the log says."""
    today = await shop.running.store.now_ms() // 86_400_000
    day = common_pb2.Date(**dict(zip(("year", "month", "day"), _date(today), strict=True)))
    await shop.stock(LAMP_DC=5)
    await shop.reserve("A", 2)
    await shop.reserve("B", 1, channel="app")
    answer = await shop.what_if(day=day)
    assert answer.orders == 2
    for result in answer.results:
        assert [(one.reason, one.orders) for one in result.refused] == [(common_pb2.ERROR_REASON_INSUFFICIENT_STOCK, 2)]
    assert answer.stock_time.seconds == today * 86_400


def _date(day: int) -> tuple[int, int, int]:
    from invengine.domain.days import calendar_day

    found = calendar_day(day)
    return found.year, found.month, found.day


async def test_recent_orders_are_drawn_by_a_seed(shop: Shop) -> None:
    await shop.stock(LAMP_DC=50, SET_DC=1, TOP_DC=9, LEG_DC=36)
    await shop.reserve("A", 2)
    await shop.reserve("B", 1, "SET")
    first = await shop.what_if(orders_max=20, seed=7)
    assert (first.orders, first.results[0].lines) == (20, 20)
    again = await shop.what_if(orders_max=20, seed=7)
    assert again.results == first.results
    others = {(await shop.what_if(orders_max=20, seed=seed)).results[0].units for seed in range(6)}
    assert len(others) > 1
    assert (await shop.what_if(recent_days=1, orders_from=From.ORDERS_FROM_RECENT)).orders == 1000


async def test_the_active_profiles_can_be_compared(shop: Shop) -> None:
    await shop.stock(LAMP_DC=3, LAMP_FAR=3)
    activate = profile_pb2.ActivateProfileRequest(request_id="a", channel="web", profile="cheap")
    await shop.stubs.allocation.ActivateProfile(activate)
    answer = await shop.what_if("", "quick@1", orders=[order(1)])
    assert [(result.profile, stock_of(result)["FAR"][1]) for result in answer.results] == [("", 1), ("quick@1", 0)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"profiles": []}, "profiles"),
        ({"profiles": ["cheap", "cheap"]}, "profiles[1]"),
        ({"profiles": ["cheap@x"]}, "profiles[0]"),
        ({"orders_from": 9}, "orders_from"),
        ({"orders_from": 1}, "orders"),
        ({"orders_from": 2}, "day"),
        ({"orders_max": 10_001}, "orders_max"),
        ({"recent_days": -1}, "recent_days"),
        ({"day": common_pb2.Date(year=2099, month=1, day=1)}, "day"),
        ({"orders": [whatif_pb2.WhatIfOrder(channel="web")]}, "orders[0].lines"),
        ({"orders": [order(0)]}, "orders[0].lines[0].quantity"),
        ({"orders": [order(1, "SET", allow_backorder=True)]}, "orders[0].lines[0].allow_backorder"),
        ({"orders": [order(1)], "orders_from": 3}, "orders"),
    ],
)
async def test_bad_questions_are_refused(shop: Shop, fields: dict[str, Any], field: str) -> None:
    request = whatif_pb2.WhatIfRequest(**{"profiles": ["cheap"], **fields})
    assert (await refused(shop.stubs.allocation.WhatIf(request))).fields == [field]


async def test_what_is_not_known_is_refused(shop: Shop) -> None:
    nobody = order(1)
    nobody.channel = "nobody"
    assert (await refused(shop.what_if("cheap", orders=[nobody]))).reason == "UNKNOWN_CHANNEL"
    assert (await refused(shop.what_if("cheap@9", orders=[order(1)]))).reason == "UNKNOWN_PROFILE"


async def test_a_day_that_the_log_has_forgotten(shop: Shop, redis_url: str) -> None:
    """The refusal says from when on days can be told."""
    await shop.stock(LAMP_DC=5)
    await shop.reserve("A", 2)
    today = await shop.running.store.now_ms() // 86_400_000
    yesterday = common_pb2.Date(**dict(zip(("year", "month", "day"), _date(today - 1), strict=True)))
    assert (await shop.what_if(day=yesterday)).orders == 0
    async with redis.asyncio.from_url(redis_url) as client:
        for partition in range(shop.running.store.partitions):
            await client.xtrim(keys.log(partition), maxlen=0, approximate=False)
    forgotten = await refused(shop.what_if(day=yesterday))
    assert (forgotten.reason, forgotten.metadata["first_date"]) == (
        "DAY_NOT_RECORDED",
        "{:04}-{:02}-{:02}".format(*_date(today + 1)),
    )


async def test_scarce_units_are_worth_something_in_a_copy_too(shop: Shop) -> None:
    """By the demand of late and the stock of the copy, as orders take from it: the last unit costs most."""
    spare = "name: spare\nweights: {lane: 0, handling: 0, opportunity: 100}\nrules: {exclude: [DC]}\n"
    await shop.stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id="spare", document=spare))
    await shop.stock(LAMP_DC=900, LAMP_FAR=40)
    for number in range(30):
        await shop.reserve(f"s{number}", 1)
        confirm = pb.ConfirmReservationRequest(request_id=f"c{number}", reservation_id=f"s{number}", channel="web")
        await shop.stubs.reservations.ConfirmReservation(confirm)

    async def worth(orders: int) -> float:
        (result,) = (await shop.what_if("spare", orders=[order(1) for _ in range(orders)])).results
        assert stock_of(result)["FAR"] == (40, orders, 40 - orders)
        return euros(result.costs.opportunity)

    until = asyncio.get_running_loop().time() + 30
    while not (one := await worth(1)):
        assert asyncio.get_running_loop().time() < until, "the log is read once a second"
        await asyncio.sleep(0.1)
    assert await worth(40) >= 40 * one
