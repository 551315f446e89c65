"""A shop with one of everything: every method of the contract finds what a good request of it names.

LAMP and SOFA lie at DC and LON; reservations `held` and `unpaid` may still be paid, `paid` is confirmed,
`sold` is fulfilled; receipt `po-1` is expected; transfer `planned` waits to be shipped, `shipped` to be received;
return `back` lies in quarantine; a profile `web` is there, and a plan of a wave, whose id the engine chose.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from invengine.domain.transit import TransitPeriod
from invengine.domain.transit_distribution import Seen
from invengine.domain.transit_document import write_document
from invengine.v1 import (
    common_pb2,
    incoming_service_pb2,
    network_service_pb2,
    profile_pb2,
    reservation_service_pb2,
    return_service_pb2,
    transfer_service_pb2,
    wave_pb2,
)
from tests.rpc.engines import Stubs

NETWORK = """\
currency: EUR
states: [inspection]
calendars:
  daily: {hours: {mon-sun: "00:00-24:00"}}
services:
  standard: {carrier: DHL, calendar: daily}
zones:
  de: [{country: DE}]
locations:
  DC: {kind: warehouse, priority: 10, calendar: daily, latitude: 52.5, longitude: 13.4}
  LON: {kind: store, priority: 20, calendar: daily, opening: daily, fulfilments: [ship, pickup],
        latitude: 51.5, longitude: -0.1}
  OLD: {kind: store, enabled: false}
groups:
  all: [DC, LON, OLD]
  stores: [LON, OLD]
channels:
  web: {groups: [all, stores], low_stock_threshold: 2, time_to_live: {default: 15m, maximum: 2h}}
  app: {groups: [all], time_to_live: {default: 15m, maximum: 2h}}
lanes:
  - {from: DC, zone: de, service: standard, transit: 2, cost: 4}
  - {from: LON, zone: de, service: standard, transit: 3, cost: 5}
transfer_lanes:
  - {from: DC, to: LON, transit: 1, cost: 1}
"""
PROFILE = "name: web\ncosts: {parcel: 4.5}\n"
TRANSIT = write_document({("DC", "de", "standard"): Seen({1: 70, 2: 20, 3: 10}, {2: 5})}, TransitPeriod(1, 50, 60))
PLENTY = 10_000_000
SHIP_TO = {"country": "DE", "postal_code": "10115"}


def day_in(days: int) -> dict[str, int]:
    """A UTC day from now, as fields of Date."""
    day = datetime.now(UTC).date() + timedelta(days=days)
    return {"year": day.year, "month": day.month, "day": day.day}


def instant_ago(seconds: int) -> str:
    """An instant, as JSON says it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def prepare(stubs: Stubs) -> str:
    """Makes the shop in an empty engine; the id of the wave's plan."""
    await stubs.apply_network(NETWORK)
    await stubs.network.ApplyTransitTimes(
        network_service_pb2.ApplyTransitTimesRequest(request_id="transit", document=TRANSIT)
    )
    await stubs.allocation.PutProfile(profile_pb2.PutProfileRequest(request_id="profile", document=PROFILE))
    for location in ("DC", "LON"):
        for sku in ("LAMP", "SOFA"):
            await stubs.receive(sku, PLENTY, location)
    await asyncio.gather(*(_reserved(stubs, name) for name in ("held", "unpaid", "paid", "sold")))
    due = incoming_service_pb2.SetIncomingRequest(
        request_id="po-1",
        source="erp",
        receipt_id="po-1",
        sku="LAMP",
        location="DC",
        quantity=50,
        expected_date=_soon(),
    )
    await stubs.incoming.SetIncoming(due)
    await asyncio.gather(*(_transferred(stubs, name) for name in ("planned", "shipped")))
    line: dict[str, Any] = {"line_id": "1", "sku": "LAMP", "quantity": 2, "condition": 2}
    await stubs.returns.ReceiveReturn(
        return_service_pb2.ReceiveReturnRequest(
            request_id="back", return_id="back", channel="web", location="DC", reservation_id="sold", lines=[line]
        )
    )
    order: dict[str, Any] = {"order_id": "o", "channel": "web", "lines": [{"sku": "LAMP", "quantity": 1}]}
    said = [
        message async for message in stubs.allocation.PlanWave(wave_pb2.PlanWaveRequest(request_id="w", orders=[order]))
    ]
    return str(said[-1].plan.plan_id)


def _soon() -> Any:
    return common_pb2.Date(**day_in(5))


async def _reserved(stubs: Stubs, name: str) -> None:
    """One reservation of 10 LAMP, in the state that its name says."""
    pb = reservation_service_pb2
    whole: dict[str, Any] = {"reservation_id": name, "channel": "web"}
    line: dict[str, Any] = {"line_id": "1", "sku": "LAMP", "quantity": 10, "location": "DC"}
    await stubs.reservations.CreateReservation(
        pb.CreateReservationRequest(request_id=f"{name} 1", order_ref=f"order {name}", lines=[line], **whole)
    )
    if name in ("paid", "sold"):
        await stubs.reservations.ConfirmReservation(pb.ConfirmReservationRequest(request_id=f"{name} 2", **whole))
    if name == "sold":
        await stubs.reservations.FulfilReservation(pb.FulfilReservationRequest(request_id=f"{name} 3", **whole))


async def _transferred(stubs: Stubs, name: str) -> None:
    """One transfer of 50 SOFA from DC to LON."""
    pb = transfer_service_pb2
    whole: dict[str, Any] = {"source": "planner", "transfer_id": name}
    line: dict[str, Any] = {"line_id": "1", "sku": "SOFA", "quantity": 50}
    await stubs.transfers.CreateTransfer(
        pb.CreateTransferRequest(
            request_id=f"{name} 1", from_location="DC", to_location="LON", lines=[line], expected_date=_soon(), **whole
        )
    )
    if name == "shipped":
        await stubs.transfers.ShipTransfer(pb.ShipTransferRequest(request_id=f"{name} 2", **whole))
