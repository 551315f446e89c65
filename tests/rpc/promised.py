"""A network that dates, with stock and receipts, and questions for promises."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from invengine.v1 import common_pb2, incoming_service_pb2
from invengine.v1 import promise_service_pb2 as pb
from tests.rpc.engines import Stubs

# Open every day and all day, so that a test may run on any day: what is promised is known from the transit alone.
NETWORK = """\
currency: EUR
calendars:
  always: {hours: {mon-sun: "00:00-24:00"}}
services:
  standard: {carrier: DHL}
  express: {carrier: UPS}
zones:
  de: [{country: DE}]
  de-south: [{country: DE, postal_prefixes: ["8"]}]
locations:
  DC: {kind: warehouse, priority: 10, time_zone: Europe/Berlin, calendar: always}
  MUC: {kind: store, priority: 20, time_zone: Europe/Berlin, calendar: always, fulfilments: [ship, pickup]}
  BER: {kind: store, priority: 30, time_zone: Europe/Berlin, calendar: always, fulfilments: [ship, pickup]}
  BARE: {kind: warehouse, priority: 40}
  OLD: {kind: store, enabled: false}
groups:
  all: [DC, MUC, BER, BARE, OLD]
  stores: [MUC, BER]
  others: [OLD]
channels:
  web: {groups: [all, stores]}
  closed: {groups: [stores], enabled: false}
kits:
  SET: {SOFA: 1, CUSHION: 4}
lanes:
  - {from: DC, zone: de, service: standard, transit: 3, cost: "4.95", cost_per_unit: "0.30"}
  - {from: DC, zone: de-south, service: standard, transit: 2, cost: "3.95", cost_per_unit: "0.30"}
  - {from: DC, zone: de-south, service: express, transit: 1, cost: "9.90"}
  - {from: MUC, zone: de-south, service: standard, transit: 2, cost: "4.50"}
  - {from: MUC, zone: de-south, service: express, transit: 1, cost: "6.00"}
  - {from: BER, zone: de-south, service: standard, transit: 2, cost: "4.50"}
transfer_lanes:
  - {from: DC, to: MUC, transit: 1, cost: "1.20"}
  - {from: BER, to: MUC, transit: 2, cost: "2.00"}
"""

MUNICH = common_pb2.Destination(country="DE", postal_code="81671")
SHIP, PICKUP, STORE = (
    common_pb2.FULFILMENT_SHIP,
    common_pb2.FULFILMENT_PICKUP,
    common_pb2.FULFILMENT_SHIP_TO_STORE,
)


def line(sku: str, quantity: int = 1, **more: Any) -> pb.PromiseLineRequest:
    """A line of a basket."""
    return pb.PromiseLineRequest(sku=sku, quantity=quantity, **more)


def basket(*lines: pb.PromiseLineRequest, **more: Any) -> pb.GetPromiseRequest:
    """A question of the channel `web`, to Munich unless told."""
    return pb.GetPromiseRequest(lines=lines, **{"channel": "web", "destination": MUNICH, **more})


def day_of(wire: common_pb2.Date) -> date:
    return date(wire.year, wire.month, wire.day)


async def receipt(stubs: Stubs, sku: str, location: str, quantity: int, day: date, receipt_id: str = "po") -> None:
    """Units that are expected."""
    await stubs.incoming.SetIncoming(
        incoming_service_pb2.SetIncomingRequest(
            request_id=f"{receipt_id} {sku} {location}",
            source="erp",
            receipt_id=receipt_id,
            sku=sku,
            location=location,
            quantity=quantity,
            expected_date=common_pb2.Date(year=day.year, month=day.month, day=day.day),
        )
    )


def days_after(answer: pb.GetPromiseResponse, wire: common_pb2.Date) -> int:
    """Days between the day of the answer in Berlin and a day of it."""
    from zoneinfo import ZoneInfo

    now = answer.promise_time.ToDatetime(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo("Europe/Berlin"))
    return (day_of(wire) - now.date()) // timedelta(days=1)
