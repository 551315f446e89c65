"""Rebalancing reports over real sockets: what waits, what others can spare, and what comes anyway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from invengine.v1 import rebalance_pb2, stock_service_pb2, transfer_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, engine, refused
from tests.rpc.expected import Schedule, in_days

pytestmark = pytest.mark.asyncio

Fill = rebalance_pb2.TransferFill
Reason = rebalance_pb2.UnfilledDemand

NETWORK = """\
currency: EUR
calendars:
  daily: {hours: {mon-sun: "00:00-24:00"}}
locations:
  LON1: {kind: store, priority: 10}
  PAR1: {kind: warehouse, priority: 20}
  DC: {kind: warehouse, priority: 30}
  FAR: {kind: warehouse, priority: 40, enabled: false}
  ISLE: {kind: store, priority: 50}
groups:
  all: [LON1, PAR1, DC, FAR, ISLE]
channels:
  web: {groups: [all]}
  app: {groups: [all]}
safety_stock:
  - {sku: KEPT, units: 2}
  - {channel: app, units: 1}
backorders:
  - {sku: LAMP, units: 99}
transfer_lanes:
  - {from: PAR1, to: LON1, transit: 1, cost: 10, cost_per_unit: 1}
  - {from: DC, to: LON1, transit: 3, cost: 2, cost_per_unit: 0.5}
  - {from: FAR, to: LON1, transit: 9, cost: 1}
  - {from: DC, to: PAR1, transit: 1, cost: 1}
"""

_ADJUSTMENT = int(stock_service_pb2.Movement.KIND_ADJUSTMENT)


class Shop:
    """An engine with this network, and short ways to say what happens."""

    def __init__(self, stubs: Stubs) -> None:
        self.stubs = stubs
        self._number = 0

    async def stock(self, **units: int) -> None:
        for place, quantity in units.items():
            sku, _, location = place.rpartition("_")
            await self.stubs.receive(sku, quantity, location)

    async def waits(self, quantity: int, sku: str = "LAMP", location: str = "LON1") -> None:
        """A reservation that is backordered as far as nothing is there."""
        self._number += 1
        line = pb.ReservationLineRequest(sku=sku, quantity=quantity, location=location, allow_backorder=True)
        await self.stubs.reservations.CreateReservation(
            pb.CreateReservationRequest(request_id=f"wait {self._number}", channel="web", lines=[line])
        )

    async def lose(self, quantity: int, sku: str, location: str, *, kind: int = _ADJUSTMENT) -> None:
        self._number += 1
        is_sale = kind != _ADJUSTMENT
        movement = stock_service_pb2.Movement(
            source="tests",
            event_id=f"lose {self._number}",
            kind=kind,  # type: ignore[arg-type]
            sku=sku,
            location=location,
            quantity=quantity if is_sale else -quantity,
            reason="" if is_sale else "lost",
            channel="web" if is_sale else "",
        )
        await self.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))

    async def report(self, **more: Any) -> rebalance_pb2.SuggestTransfersResponse:
        more.setdefault("forecast_days", 0)  # what these few reservations let expect is no matter here
        return await self.stubs.allocation.SuggestTransfers(rebalance_pb2.SuggestTransfersRequest(**more))

    async def suggested(self, **more: Any) -> list[tuple[Any, ...]]:
        """SKU, from, to, units, cost in hundredths, days of each suggestion."""
        return [
            (
                *(one.sku, one.from_location, one.to_location, one.units),
                one.cost.units * 100 + one.cost.nanos // 10_000_000,
                one.days,
            )
            for one in (await self.report(**more)).suggestions
        ]

    async def unfilled(self, **more: Any) -> list[tuple[Any, ...]]:
        return [
            (
                *(one.sku, one.location, one.units),
                Fill.Name(one.fill).removeprefix("TRANSFER_FILL_"),
                Reason.Reason.Name(one.reason).removeprefix("REASON_"),
            )
            for one in (await self.report(**more)).unfilled
        ]


@pytest_asyncio.fixture
async def shop(redis_url: str) -> AsyncIterator[Shop]:
    async with engine(redis_url) as (_, stubs):
        await stubs.apply_network(NETWORK)
        yield Shop(stubs)


async def test_what_waits_is_filled_at_least_cost(shop: Shop) -> None:
    """DC is cheaper. What it has not alone comes all from elsewhere, since a second lane costs more; until it must."""
    assert await shop.suggested() == []
    await shop.stock(LAMP_PAR1=10, LAMP_DC=4)
    await shop.waits(3)
    assert await shop.suggested() == [("LAMP", "DC", "LON1", 3, 350, 4)]
    await shop.waits(2)
    assert await shop.suggested() == [("LAMP", "PAR1", "LON1", 5, 1500, 2)]
    await shop.waits(6)
    assert await shop.suggested() == [
        ("LAMP", "DC", "LON1", 3, 350, 4),
        ("LAMP", "PAR1", "LON1", 8, 1800, 2),
    ]
    (one, _) = (await shop.report()).suggestions
    assert [(Fill.Name(its.fill), its.units) for its in one.fills] == [("TRANSFER_FILL_BACKORDER", 3)]
    assert one.cost.currency_code == "EUR"
    assert await shop.suggested(days_max=2) == [("LAMP", "PAR1", "LON1", 9, 1900, 2)]
    assert await shop.suggested(from_location="DC") == [("LAMP", "DC", "LON1", 3, 350, 4)]
    assert await shop.suggested(to_location="PAR1") == []


async def test_what_others_need_themselves_stays(shop: Shop) -> None:
    """Reservations, the largest safety stock of any channel, ring-fences; what is switched off can spare all else."""
    await shop.stock(KEPT_LON1=1, KEPT_PAR1=6, KEPT_FAR=3)
    await shop.waits(1, "KEPT", "PAR1")
    fence = stock_service_pb2.Movement(
        source="tests",
        event_id="fence",
        kind=stock_service_pb2.Movement.KIND_RING_FENCE,
        sku="KEPT",
        location="PAR1",
        quantity=2,
        channel="app",
    )
    await shop.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[fence]))
    transfer = transfer_service_pb2.CreateTransferRequest(
        request_id="t",
        source="tests",
        from_location="LON1",
        to_location="ISLE",
        lines=[transfer_service_pb2.TransferLineRequest(sku="KEPT", quantity=1)],
        expected_date=in_days(9),
    )
    await shop.stubs.transfers.CreateTransfer(transfer)
    await shop.lose(1, "KEPT", "LON1")
    assert await shop.suggested(days_max=3) == [("KEPT", "PAR1", "LON1", 1, 1100, 2)]
    assert await shop.suggested() == [("KEPT", "FAR", "LON1", 1, 100, 10)]
    await shop.lose(1, "KEPT", "PAR1")  # 1 reserved, 2 fenced, 2 must stay
    assert await shop.suggested(days_max=3) == []
    assert await shop.unfilled(days_max=3) == [("KEPT", "LON1", 1, "SHORTFALL", "NO_LANE")]


async def test_safety_stock_is_filled_where_that_is_asked_for(shop: Shop) -> None:
    await shop.stock(KEPT_LON1=1, KEPT_DC=9)
    assert await shop.suggested(skus=["KEPT"]) == []
    filled = await shop.suggested(skus=["KEPT"], fills=[Fill.TRANSFER_FILL_SAFETY_STOCK])
    assert filled == [("KEPT", "DC", "LON1", 1, 250, 4), ("KEPT", "DC", "PAR1", 2, 100, 2)]


async def test_what_comes_anyway_is_not_moved(shop: Shop) -> None:
    """Receipts that are promised to nobody, transfers under way and planned ones; unless a transfer is there sooner."""
    await shop.stock(LAMP_PAR1=10)
    await shop.waits(3)
    receipts = Schedule(shop.stubs, "LAMP", "LON1")
    await receipts.set("po-1", 2, 2)
    assert await shop.suggested() == [("LAMP", "PAR1", "LON1", 1, 1100, 2)]
    assert await shop.unfilled() == [("LAMP", "LON1", 2, "BACKORDER", "COMES_SOONER")]
    await receipts.slip("po-1", 5)
    assert await shop.suggested() == [("LAMP", "PAR1", "LON1", 3, 1300, 2)]
    transfer = transfer_service_pb2.CreateTransferRequest(
        request_id="t",
        source="tests",
        transfer_id="T",
        from_location="PAR1",
        to_location="LON1",
        lines=[transfer_service_pb2.TransferLineRequest(sku="LAMP", quantity=3)],
        expected_date=in_days(2),
    )
    await shop.stubs.transfers.CreateTransfer(transfer)
    assert await shop.suggested() == []
    ship = transfer_service_pb2.ShipTransferRequest(request_id="s", source="tests", transfer_id="T")
    await shop.stubs.transfers.ShipTransfer(ship)
    assert await shop.suggested() == []


async def test_what_nobody_can_fill_says_why(shop: Shop) -> None:
    await shop.waits(2)
    assert await shop.unfilled() == [("LAMP", "LON1", 2, "BACKORDER", "NO_SURPLUS")]
    await shop.waits(1, location="ISLE")
    await shop.stock(LAMP_PAR1=2)
    assert await shop.unfilled() == [
        ("LAMP", "ISLE", 1, "BACKORDER", "NO_LANE"),
        ("LAMP", "LON1", 1, "BACKORDER", "NO_SURPLUS"),
    ]


async def test_suggestions_of_a_sku_come_together(shop: Shop) -> None:
    await shop.stock(LAMP_PAR1=3, LAMP_DC=3, SOFA_LON1=2, SOFA_DC=9)
    await shop.waits(4)
    transfer = transfer_service_pb2.CreateTransferRequest(
        request_id="t",
        source="tests",
        from_location="LON1",
        to_location="ISLE",
        lines=[transfer_service_pb2.TransferLineRequest(sku="SOFA", quantity=2)],
        expected_date=in_days(9),
    )
    await shop.stubs.transfers.CreateTransfer(transfer)
    await shop.lose(2, "SOFA", "LON1")
    whole = await shop.report()
    assert ([one.sku for one in whole.suggestions], whole.has_more) == (["LAMP", "LAMP", "SOFA"], False)
    for most, skus in ((1, []), (2, ["LAMP", "LAMP"])):
        part = await shop.report(suggestions_max=most)
        assert ([one.sku for one in part.suggestions], part.has_more) == (skus, True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"skus": [""]}, "skus[0]"),
        ({"fills": [9]}, "fills[0]"),
        ({"fills": [3]}, "skus"),
        ({"days_max": -1}, "days_max"),
        ({"forecast_days": 366}, "forecast_days"),
        ({"suggestions_max": 10_001}, "suggestions_max"),
        ({"to_location": " "}, "to_location"),
    ],
)
async def test_bad_questions_are_refused(shop: Shop, fields: dict[str, Any], field: str) -> None:
    assert (await refused(shop.report(**fields))).fields == [field]


async def test_unknown_locations_are_refused(shop: Shop) -> None:
    assert (await refused(shop.report(to_location="NOWHERE"))).reason == "UNKNOWN_LOCATION"


async def test_demand_of_late_is_filled_and_kept(shop: Shop) -> None:
    """What was sold at LON1 is expected to be sold there again; PAR1 has more than it will sell."""
    await shop.stock(LAMP_LON1=9, LAMP_PAR1=500)
    await shop.lose(5, "LAMP", "LON1", kind=stock_service_pb2.Movement.KIND_SALE)
    until = asyncio.get_running_loop().time() + 30
    while not (found := (await shop.report(forecast_days=14)).suggestions):
        assert asyncio.get_running_loop().time() < until, "the log is read once a second"
        await asyncio.sleep(0.1)
    (one,) = found
    assert (one.sku, one.from_location, one.to_location) == ("LAMP", "PAR1", "LON1")
    assert [Fill.Name(its.fill) for its in one.fills] == ["TRANSFER_FILL_FORECAST"]
    assert await shop.suggested(forecast_days=0) == []
    backorders = [Fill.TRANSFER_FILL_BACKORDER]
    assert await shop.suggested(fills=backorders, forecast_days=14) == []
