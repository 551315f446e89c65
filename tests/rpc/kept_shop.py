"""A shop whose lines are promised days: warehouses that ship every day and arrive two days later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from invengine.bootstrap import Running
from invengine.domain.orders import ReservationChange
from invengine.domain.promises import LinePromise, LineRepromise, PromisePart
from invengine.v1 import common_pb2, incoming_service_pb2, promise_service_pb2, stock_service_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.rpc.engines import Stubs, engine
from tests.rpc.expected import Schedule, as_day

NETWORK = """\
calendars:
  daily: {{hours: {{mon-sun: "00:00-24:00"}}}}
  later: {{hours: {{mon-sun: "00:00-24:00"}}{exceptions}}}
services:
  standard: {{carrier: DHL, calendar: daily}}
zones:
  de: [{{country: DE}}]
locations:
  DC: {{kind: warehouse, priority: 10, calendar: later, enabled: {enabled}{ship}}}
  FAR: {{kind: warehouse, priority: 20, calendar: daily}}
  SHOP: {{kind: store, priority: 30, fulfilments: [pickup], calendar: daily, opening: daily}}
groups:
  all: [DC, FAR, SHOP]
channels:
  web: {{groups: [all], time_to_live: {{default: 15m, maximum: 2h}}}}
  app: {{groups: [all]}}
lanes:
  - {{from: DC, zone: de, service: standard, transit: {transit}}}
  - {{from: FAR, zone: de, service: standard, transit: {far}}}
"""

BERLIN = {"country": "DE", "postal_code": "10115"}
SHIP = common_pb2.FULFILMENT_SHIP
Reason = incoming_service_pb2.BrokenPromise


def network(
    transit: int = 2, far: int = 2, *, enabled: bool = True, closed: tuple[Any, ...] = (), capacity: str = ""
) -> str:
    """The network file; DC does not work on the days `closed`, and ships up to `capacity` a day."""
    days = ", ".join(f"{day}: closed" for day in closed)
    exceptions = f", exceptions: {{{days}}}" if closed else ""
    ship = f", ship: {{capacity: {{{capacity}}}}}" if capacity else ""
    return NETWORK.format(ship=ship, transit=transit, far=far, enabled=str(enabled).lower(), exceptions=exceptions)


class KeptShop:
    """An engine with this network, and short ways to say what happens."""

    def __init__(self, running: Running, stubs: Stubs) -> None:
        self.running, self.stubs = running, stubs
        self.today = 0
        self._number = 0
        self._schedules: dict[tuple[str, str], Schedule] = {}

    async def begin(self) -> None:
        """Puts the network in force, and notes the day."""
        await self.apply()
        self.today = await self.running.store.now_ms() // 86_400_000

    async def apply(self, **changes: Any) -> None:
        """The network with these changes."""
        self._number += 1
        await self.stubs.apply_network(network(**changes), f"network {self._number}")

    def schedule(self, sku: str = "LAMP", location: str = "DC") -> Schedule:
        """Receipts of a SKU."""
        place = (sku, location)
        return self._schedules.setdefault(place, Schedule(self.stubs, *place))

    async def promised(
        self,
        name: str,
        quantity: int,
        ship_in: int,
        *,
        sku: str = "LAMP",
        location: str = "DC",
        is_given: bool = False,
        **more: Any,
    ) -> pb.Reservation:
        """A confirmed reservation whose line is promised to leave in so many days, and shipped arrives two days later.

        `is_given`: it is not what the chain says, but what somebody promised.
        """
        line = {"location": location, "allow_backorder": True, "fulfilment": SHIP, "destination": BERLIN}
        request = pb.CreateReservationRequest(
            request_id=f"create {name}",
            reservation_id=name,
            channel=more.pop("channel", "web"),
            lines=[pb.ReservationLineRequest(sku=sku, quantity=quantity, **line | more.pop("line", {}))],
            promise_dates=not is_given,
            **more,
        )
        await self.stubs.reservations.CreateReservation(request)
        if is_given:
            part = PromisePart(location, self.today + ship_in, self.today + ship_in + 2)
            promise = LinePromise("standard", part.delivery_day, 0, 0, (part,))
            changes = [ReservationChange(f"promise {name}", "", name, "web", repromises=(LineRepromise("1", promise),))]
            written = await self.running.store.repromise(changes)
            self.running.replica.apply(written.entries)
        confirm = pb.ConfirmReservationRequest(request_id=f"confirm {name}", reservation_id=name, channel="web")
        made = (await self.stubs.reservations.ConfirmReservation(confirm)).reservation
        (part_of_line, *_) = made.lines[0].promise.parts
        assert self.days(part_of_line.ship_date) == ship_in
        return made

    async def promise_of(self, name: str) -> tuple[int | None, list[tuple[int | None, int]]]:
        """The day that a reservation is promised, and the capacity that it has: days and units."""
        request = pb.GetReservationRequest(reservation_id=name, channel="web")
        found = (await self.stubs.reservations.GetReservation(request)).reservation
        slots = [(self.days(slot.date), slot.units + slot.orders) for slot in found.slots]
        return self.days(found.lines[0].promise.delivery_date), slots

    async def count(self, quantity: int, sku: str = "LAMP", location: str = "DC") -> None:
        """The position is counted."""
        self._number += 1
        now = Timestamp()
        now.GetCurrentTime()
        movement = stock_service_pb2.Movement(
            source="tests",
            event_id=f"count {self._number}",
            kind=stock_service_pb2.Movement.KIND_COUNT,
            sku=sku,
            location=location,
            quantity=quantity,
            occurred_at=now,
        )
        answer = await self.stubs.stock.PostMovements(stock_service_pb2.PostMovementsRequest(movements=[movement]))
        assert [outcome.result for outcome in answer.outcomes] == [1], answer

    async def broken(self, **which: Any) -> list[tuple[Any, ...]]:
        """What is broken: reservation, units, why, the day promised and the new one, in days from today."""
        request = promise_service_pb2.ListBrokenPromisesRequest(**which)
        found = (await self.stubs.promises.ListBrokenPromises(request)).broken_promises
        return sorted(
            (
                one.reservation_id,
                one.quantity,
                Reason.Reason.Name(one.reason).removeprefix("REASON_"),
                self.days(one.promised_delivery_date),
                self.days(one.new_delivery_date),
            )
            for one in found
        )

    async def repromise(self, policy: int, name: str, **more: Any) -> promise_service_pb2.RepromiseResponse:
        """What becomes of broken promises."""
        request = promise_service_pb2.RepromiseRequest(request_id=name, policy=policy, **more)  # type: ignore[arg-type]
        return await self.stubs.promises.Repromise(request)

    def days(self, day: common_pb2.Date) -> int | None:
        """Days from today; None where there is none."""
        found = as_day(day)
        return (found.toordinal() - 719_163) - self.today if found else None


@asynccontextmanager
async def kept_shop(redis_url: str) -> AsyncIterator[KeptShop]:
    """A new one."""
    async with engine(redis_url) as (running, stubs):
        shop = KeptShop(running, stubs)
        await shop.begin()
        yield shop
