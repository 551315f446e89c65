"""Callers that change things. What is not answered is sent again with its request_id, until it is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from invengine.v1 import incoming_service_pb2, return_service_pb2, stock_service_pb2, transfer_service_pb2, wave_pb2
from invengine.v1 import reservation_service_pb2 as pb
from tests.faults.shop import day_in
from tests.rpc.engines import Stubs, taken_apart
from tests.soak.journal import Journal

HELD, CONFIRMED, FULFILLED = 1, 2, 3
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
AGAIN_SECONDS = 150.0
APPLIED, REPEATED = 1, 2
PLACES = ("DC", "LON")
ORDERS = [f"SKU-{n}" for n in range(30)]
MOVED = [f"MOVED-{n}" for n in range(10)]
COUNTED = [f"COUNTED-{n}" for n in range(10)]
WAVE = [f"WAVE-{n}" for n in range(5)]

TRANSFER = "T "
"""How ids of transfers begin."""

Method = Callable[[Stubs], Callable[..., Any]]


class Refused(Exception):
    """A refusal by the state of things, not to be sent again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_broken_off(error: grpc.aio.AioRpcError) -> bool:
    """Whether it is gRPC's own word, in this process, for a connection that ended while something was sent."""
    trailing = error.trailing_metadata() or ()
    return error.code() is grpc.StatusCode.INTERNAL and not any(key == "grpc-status-details-bin" for key, _ in trailing)


class Caller:
    """One caller of the engines of a site; the next one is asked when one does not answer."""

    def __init__(self, name: str, servers: Sequence[Stubs], journal: Journal, seed: int) -> None:
        self.name, self.servers, self.journal = name, servers, journal
        self.random = random.Random(f"{seed} {name}")
        self._server = self.random.randrange(len(servers))
        self._count = 0

    async def run(self, stop: asyncio.Event) -> None:
        """One thing after the other until it is time to stop; what was begun is ended."""
        while not stop.is_set():
            await self.one()

    async def one(self) -> None:
        """One thing."""
        raise NotImplementedError

    def request_id(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    async def ask(self, verb: str, method: Method, request: Any) -> Any:
        """The final answer. Now and then the caller gives up early, and asks again at once. Refused."""
        given_up_at = monotonic() + AGAIN_SECONDS
        while monotonic() < given_up_at:
            timeout = self.random.uniform(0.001, 0.05) if self.random.random() < 0.03 else 20.0
            try:
                answer = await method(self.servers[self._server])(request, timeout=timeout)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN and not is_broken_off(error):
                    refusal = taken_apart(error)
                    self.journal.count(verb, refusal.reason)
                    if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
                        self.journal.wrong.append(f"{verb}: {refusal.code} {refusal.message}")
                    raise Refused(refusal.reason) from None
                self.journal.count(verb, error.code().name)
                self._server = (self._server + 1) % len(self.servers)
                await asyncio.sleep(0 if timeout < 1 else 0.05)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self.journal.count(verb, "ended by the server")  # gRPC's word for a stream that a stop cut off
            else:
                self.journal.count(verb, "OK")
                self.journal.acknowledged += 1
                return answer
        self.journal.wrong.append(f"{verb}: not answered for {AGAIN_SECONDS:.0f} s")
        raise Refused("not answered")

    async def look_up(self, reservation_id: str) -> None:
        """What a reservation has become by something else than a change of it."""
        wanted = pb.GetReservationRequest(reservation_id=reservation_id, channel="web")
        found = await self.ask("GetReservation", lambda stubs: stubs.reservations.GetReservation, wanted)
        self.journal.tell(found.reservation)


class Shopper(Caller):
    """Reserves, one by one or in batches, changes its mind, ships, takes back."""

    async def one(self) -> None:
        try:
            if self.random.random() < 0.1:
                await self._batch()
            else:
                await self._order()
        except Refused:
            return

    def _basket(self) -> pb.CreateReservationRequest:
        lines = [
            pb.ReservationLineRequest(
                sku=sku, quantity=self.random.randint(1, 3), allow_split=self.random.random() < 0.3
            )
            for sku in self.random.sample(ORDERS, self.random.choice([1, 1, 2, 3]))
        ]
        request_id = self.request_id()
        return pb.CreateReservationRequest(
            request_id=request_id,
            reservation_id=self.random.choice(["", f"R {request_id}"]),
            channel=self.random.choice(["web", "app"]),
            lines=lines,
            time_to_live=Duration(seconds=self.random.choice([2, 4, 8])),
            policy=self.random.choice([1, 1, 2]),
        )

    async def _batch(self) -> None:
        requests = [self._basket() for _ in range(20)]
        batch = pb.BatchCreateReservationsRequest(requests=requests)
        answer = await self.ask("BatchCreate", lambda stubs: stubs.reservations.BatchCreateReservations, batch)
        for request, outcome in zip(requests, answer.outcomes, strict=True):
            if outcome.HasField("reservation"):
                self.journal.tell(outcome.reservation)
                self.journal.created.append((request, outcome.reservation))
            self.journal.count("of a batch", "OK" if outcome.HasField("reservation") else "refused")

    async def _order(self) -> None:
        request = self._basket()
        answer = await self.ask("Create", lambda stubs: stubs.reservations.CreateReservation, request)
        held = answer.reservation
        self.journal.tell(held)
        self.journal.created.append((request, held))
        for _ in range(self.random.randint(0, 3)):
            if held.state not in (HELD, CONFIRMED):
                break
            held = await self._change(held, request.channel)
        if held.state == FULFILLED and self.random.random() < 0.3:
            await self._take_back(held, request.channel)

    async def _change(self, held: pb.Reservation, channel: str) -> pb.Reservation:
        verbs = ["Confirm"] * 3 + ["Extend", "HandOver"] if held.state == HELD else ["Fulfil"] * 3
        verb = self.random.choice([*verbs, "Release", "Amend", "Rebind"])
        whole = {"request_id": self.request_id(), "reservation_id": held.reservation_id, "channel": channel}
        line = self.random.choice(held.lines)
        some = [pb.LineUnits(line_id=line.line_id, quantity=self.random.choice([0, 1]))]
        amended = [
            pb.LineAmendment(line_id=each.line_id, quantity=max(0, each.quantity + self.random.choice([-1, 1])))
            for each in held.lines
        ]
        bound = [pb.LineRebinding(line_id=each.line_id, group="all") for each in held.lines]
        more: dict[str, dict[str, Any]] = {
            "Extend": {"time_to_live": Duration(seconds=4)},
            "HandOver": {"to_customer_ref": self.name},
            "Fulfil": {"lines": self.random.choice([[], some])},
            "Release": {"lines": self.random.choice([[], some])},
            "Amend": {"lines": amended},
            "Rebind": {"lines": bound},
        }
        request = getattr(pb, f"{verb}ReservationRequest")(**whole, **more.get(verb, {}))
        answer = await self.ask(verb, lambda stubs: getattr(stubs.reservations, f"{verb}Reservation"), request)
        self.journal.tell(answer.reservation)
        return answer.reservation

    async def _take_back(self, sold: pb.Reservation, channel: str) -> None:
        line = self.random.choice([line for line in sold.lines if line.allocations])
        request_id = self.request_id()
        request = return_service_pb2.ReceiveReturnRequest(
            request_id=request_id,
            return_id=f"B {request_id}",
            channel=channel,
            location=self.random.choice(PLACES),
            reservation_id=sold.reservation_id,
            lines=[{"line_id": line.line_id, "sku": line.sku, "quantity": 1, "condition": 1}],
        )
        await self.ask("Return", lambda stubs: stubs.returns.ReceiveReturn, request)
        self.journal.moved[line.sku, request.location] += 1
        await self.look_up(sold.reservation_id)


class Stocker(Caller):
    """Movements of what shoppers buy, receipts by reference, snapshots, transfers, waves now and then."""

    async def one(self) -> None:
        kinds = [self._move] * 12 + [self._receive_expected] * 3 + [self._take_stock] * 2 + [self._transfer] * 2
        try:
            await self.random.choice([*kinds, self._wave])()
        except Refused:
            return

    async def _post(self, kind: int, place: tuple[str, str], quantity: int, reason: str = "") -> None:
        movement = stock_service_pb2.Movement(
            source=self.name,
            event_id=self.request_id(),
            kind=kind,
            sku=place[0],
            location=place[1],
            quantity=quantity,
            reason=reason,
        )
        request = stock_service_pb2.PostMovementsRequest(movements=[movement])
        answer = await self.ask("PostMovements", lambda stubs: stubs.stock.PostMovements, request)
        if answer.outcomes[0].result in (APPLIED, REPEATED):
            self.journal.moved[place] += -quantity if kind == stock_service_pb2.Movement.KIND_SALE else quantity

    async def _move(self) -> None:
        place = self.random.choice(ORDERS), self.random.choice(PLACES)
        kind, quantity = self.random.choice(((1, 6), (1, 9), (1, 3), (2, 1), (3, -1)))
        await self._post(kind, place, quantity, "broken" if kind == 3 else "")

    async def _receive_expected(self) -> None:
        place = self.random.choice(ORDERS), self.random.choice(PLACES)
        receipt = {"source": "erp", "receipt_id": f"PO {self.request_id()}", "sku": place[0], "location": place[1]}
        more = {"quantity": 4, "expected_date": day_in(3)}
        due = incoming_service_pb2.SetIncomingRequest(request_id=self.request_id(), **receipt, **more)
        await self.ask("SetIncoming", lambda stubs: stubs.incoming.SetIncoming, due)
        if self.random.random() < 0.3:
            slip = incoming_service_pb2.CancelIncomingRequest(request_id=self.request_id(), **receipt)
            await self.ask("CancelIncoming", lambda stubs: stubs.incoming.CancelIncoming, slip)
            return
        come = incoming_service_pb2.ReceiveIncomingRequest(request_id=self.request_id(), quantity=4, **receipt)
        await self.ask("ReceiveIncoming", lambda stubs: stubs.incoming.ReceiveIncoming, come)
        self.journal.moved[place] += 4

    async def _take_stock(self) -> None:
        """A snapshot of a few SKUs of its own: one counter each, so the newest that was acknowledged stands."""
        rows = {sku: self.random.randrange(1, 50) for sku in COUNTED}
        header = stock_service_pb2.ApplySnapshotRequest(
            source=self.name, snapshot_id=self.request_id(), location=PLACES[int(self.name[-1]) % 2], partial=True
        )
        header.as_of.GetCurrentTime()
        header.rows.extend(
            stock_service_pb2.SnapshotRow(sku=f"{sku} {self.name}", quantity=units) for sku, units in rows.items()
        )
        await self.ask("ApplySnapshot", _streamed, header)
        self.journal.counted |= {(f"{sku} {self.name}", header.location): units for sku, units in rows.items()}

    async def _transfer(self) -> None:
        sku, (source, target) = self.random.choice(MOVED), self.random.choice((PLACES, PLACES[::-1]))
        named = {"source": self.name, "transfer_id": f"{TRANSFER}{self.request_id()}"}
        request = transfer_service_pb2.CreateTransferRequest(
            request_id=self.request_id(),
            from_location=source,
            to_location=target,
            lines=[{"line_id": "1", "sku": sku, "quantity": self.random.randrange(1, 5)}],
            expected_date=day_in(2),
            **named,
        )
        await self.ask("CreateTransfer", lambda stubs: stubs.transfers.CreateTransfer, request)
        quantity = request.lines[0].quantity
        if self.random.random() < 0.2:
            gone = transfer_service_pb2.CancelTransferRequest(request_id=self.request_id(), **named)
            await self.ask("CancelTransfer", lambda stubs: stubs.transfers.CancelTransfer, gone)
            return
        ship = transfer_service_pb2.ShipTransferRequest(request_id=self.request_id(), **named)
        await self.ask("ShipTransfer", lambda stubs: stubs.transfers.ShipTransfer, ship)
        self.journal.moved[sku, source] -= quantity
        come = transfer_service_pb2.ReceiveTransferRequest(
            request_id=self.request_id(), closes=True, reason="all of it", **named
        )
        come.arrivals.add(sku=sku, quantity=quantity)
        await self.ask("ReceiveTransfer", lambda stubs: stubs.transfers.ReceiveTransfer, come)
        self.journal.moved[sku, target] += quantity

    async def _wave(self) -> None:
        if self.random.random() < 0.7:
            return
        orders = [
            wave_pb2.WaveOrder(
                order_id=f"o{n}", channel="web", lines=[{"sku": self.random.choice(WAVE), "quantity": 1}]
            )
            for n in range(20)
        ]
        request = wave_pb2.PlanWaveRequest(request_id=self.request_id(), orders=orders)
        said = await self.ask("PlanWave", _planned, request)
        plan_id = said[-1].plan.plan_id
        commit = wave_pb2.CommitPlanRequest(request_id=self.request_id(), plan_id=plan_id)
        await self.ask("CommitPlan", lambda stubs: stubs.allocation.CommitPlan, commit)
        shown = wave_pb2.GetPlanRequest(plan_id=plan_id, page_size=100)
        answer = await self.ask("GetPlan", lambda stubs: stubs.allocation.GetPlan, shown)
        for order in answer.orders:
            if order.outcome in (wave_pb2.WavePlanOrder.OUTCOME_COMMITTED, wave_pb2.WavePlanOrder.OUTCOME_IN_PART):
                await self.look_up(order.reservation_id)


def _streamed(stubs: Stubs) -> Callable[..., Awaitable[Any]]:
    return lambda request, timeout: stubs.stock.ApplySnapshot(iter([request]), timeout=timeout)


def _planned(stubs: Stubs) -> Callable[..., Awaitable[Any]]:
    async def plan(request: Any, timeout: float) -> list[Any]:
        return [message async for message in stubs.allocation.PlanWave(request, timeout=timeout)]

    return plan
