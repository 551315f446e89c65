"""A network with dates and daily capacity, and short ways to ask for them."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

from invengine.v1 import admin_service_pb2, common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs

NETWORK = """\
currency: EUR
calendars:
  always: {hours: {mon-sun: "00:00-24:00"}}
services:
  standard: {carrier: DHL, calendar: always}
  express: {carrier: DHL, calendar: always}
zones:
  de: [{country: DE}]
locations:
  DC: {kind: warehouse, priority: 10, calendar: always, ship: {capacity: {units: 20}}}
  LON: {kind: store, priority: 20, fulfilments: [ship, pickup], calendar: always, pickup: {capacity: {orders: 2}}}
  FAR: {kind: warehouse, priority: 30, calendar: always, ship: {handling: 48h}}
lanes:
  - {from: DC, zone: de, service: standard, transit: 2, cost: "4.95"}
  - {from: DC, zone: de, service: express, transit: 1, cost: "9.95"}
  - {from: LON, zone: de, service: standard, transit: 3, cost: "5.95"}
  - {from: FAR, zone: de, service: standard, transit: 5, cost: "2.00"}
groups:
  all: [DC, LON, FAR]
  here: [DC]
channels:
  web: {groups: [all, here], time_to_live: {default: 15m, maximum: 2h}}
"""

BERLIN = common_pb2.Destination(country="DE", postal_code="10115")


def today() -> date:
    return datetime.now(UTC).date()


def day(message: common_pb2.Date) -> int:
    """Days from today."""
    return (date(message.year, message.month, message.day) - today()).days


def wire_day(days: int) -> common_pb2.Date:
    found = today() + timedelta(days=days)
    return common_pb2.Date(year=found.year, month=found.month, day=found.day)


def shipped(quantity: int = 1, sku: str = "LAMP", **more: Any) -> pb.ReservationLineRequest:
    return pb.ReservationLineRequest(
        sku=sku, quantity=quantity, fulfilment=common_pb2.FULFILMENT_SHIP, destination=BERLIN, **more
    )


def asked(request_id: str, *lines: pb.ReservationLineRequest, **more: Any) -> pb.CreateReservationRequest:
    """A request whose lines are promised dates, unless it says otherwise."""
    more = {"promise_dates": True, "channel": "web", **more}
    return pb.CreateReservationRequest(
        request_id=request_id, reservation_id=request_id, lines=lines or [shipped()], **more
    )


async def made(stubs: Stubs, request_id: str, *lines: pb.ReservationLineRequest, **more: Any) -> pb.Reservation:
    return (await stubs.reservations.CreateReservation(asked(request_id, *lines, **more))).reservation


def slots(reservation: pb.Reservation) -> list[tuple[str, int, int, int]]:
    """Location, days from today, units and orders."""
    return [(slot.location, day(slot.date), slot.units, slot.orders) for slot in reservation.slots]


def by_day(reservations: list[pb.Reservation]) -> Counter[int]:
    """Units of slots by day from today."""
    found: Counter[int] = Counter()
    for reservation in reservations:
        for slot in reservation.slots:
            found[day(slot.date)] += slot.units + slot.orders
    return found


async def sound(stubs: Stubs) -> None:
    """Nothing is wrong, also by the whole log."""
    check = await stubs.admin.CheckIntegrity(admin_service_pb2.CheckIntegrityRequest(replay=True))
    assert list(check.violations) == []


def away_from_midnight() -> None:
    """Waits out the last minute of a UTC day: what is asked before it and told after it would be of two days."""
    left = 86_400 - time.time() % 86_400
    if left < 60:  # a test that compiles kernels first takes half of it
        time.sleep(left + 0.1)
