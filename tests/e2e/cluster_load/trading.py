"""Clients that reserve, change their minds, ship and receive, and send again whatever was not answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2
from tests.e2e.cluster_load.journal import CONFIRMED, LIVE, Journal
from tests.rpc.engines import Stubs, taken_apart

AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED)
AGAIN_SECONDS = 60.0
TIMES_TO_LIVE = (2, 4, 8)

Ask = Callable[[Any], Awaitable[Any]]


class NoAnswer(Exception):
    """A call that was sent again for a minute and never answered."""


class Trader:
    """One client. `servers` are engines of one store: the next one is asked when one does not answer."""

    def __init__(self, name: str, servers: Sequence[Stubs], journal: Journal, skus: Sequence[str], seed: int) -> None:
        self.name, self.servers, self.journal, self.skus = name, servers, journal, skus
        self.random = random.Random(f"{seed} {name}")
        self.server = self.random.randrange(len(servers))
        self.count = 0

    async def trade(self, stop: asyncio.Event) -> None:
        """One basket after the other until it is time to stop; what was begun is ended."""
        while not stop.is_set():
            if self.random.random() < 0.1:
                await self._receive()
            else:
                await self._basket()

    async def _basket(self) -> None:
        lines = [
            pb.ReservationLineRequest(
                sku=sku, quantity=self.random.randint(1, 3), allow_split=self.random.random() < 0.3
            )
            for sku in self.random.sample(self.skus, self.random.choice([1, 1, 2, 3]))
        ]
        request_id = self._request_id()
        request = pb.CreateReservationRequest(
            request_id=request_id,
            channel="web",
            lines=lines,
            time_to_live=Duration(seconds=self.random.choice(TIMES_TO_LIVE)),
            policy=self.random.choice([1, 1, 2]),
            reservation_id=self.random.choice(["", f"R {request_id}"]),
        )
        held = await self._written(lambda stubs: stubs.reservations.CreateReservation, request)
        for _ in range(self.random.randint(0, 3)):
            if held is None or held.state not in LIVE:
                return
            held = await self._step(held) or held

    async def _step(self, reservation: pb.Reservation) -> pb.Reservation | None:
        """One change of a live reservation, None when it was refused."""
        verbs = ["ConfirmReservation"] * 3 + ["ExtendReservation", "HandOverReservation"]
        if reservation.state == CONFIRMED:
            verbs = ["FulfilReservation"] * 3
        verb = self.random.choice([*verbs, "ReleaseReservation", "AmendReservation", "RebindReservation"])
        common = {"request_id": self._request_id(), "reservation_id": reservation.reservation_id, "channel": "web"}
        line = self.random.choice(reservation.lines)
        some = [pb.LineUnits(line_id=line.line_id, quantity=self.random.choice([0, 1]))]
        requests = {
            "ConfirmReservation": lambda: pb.ConfirmReservationRequest(**common),
            "ExtendReservation": lambda: pb.ExtendReservationRequest(**common, time_to_live=Duration(seconds=4)),
            "HandOverReservation": lambda: pb.HandOverReservationRequest(**common, to_customer_ref=self.name),
            "FulfilReservation": lambda: pb.FulfilReservationRequest(**common, lines=self.random.choice([[], some])),
            "ReleaseReservation": lambda: pb.ReleaseReservationRequest(**common, lines=self.random.choice([[], some])),
            "AmendReservation": lambda: pb.AmendReservationRequest(**common, lines=self._amended(reservation)),
            "RebindReservation": lambda: pb.RebindReservationRequest(
                **common, lines=[pb.LineRebinding(line_id=each.line_id, group="all") for each in reservation.lines]
            ),
        }
        return await self._written(lambda stubs: getattr(stubs.reservations, verb), requests[verb]())

    def _amended(self, reservation: pb.Reservation) -> list[pb.LineAmendment]:
        return [
            pb.LineAmendment(line_id=line.line_id, quantity=max(0, line.quantity + self.random.choice([-1, 1])))
            for line in reservation.lines
        ]

    async def _receive(self) -> None:
        sku, location, quantity = self.random.choice(self.skus), self.random.choice(["DC", "LON"]), 3
        movement = stock_service_pb2.Movement(
            source=self.name, event_id=self._request_id(), kind=1, sku=sku, location=location, quantity=quantity
        )
        request = stock_service_pb2.PostMovementsRequest(movements=[movement])
        response = await self._answered(lambda stubs: stubs.stock.PostMovements, request)
        assert response.outcomes[0].result in (1, 2), response  # applied, now or by the attempt that was not answered
        self.journal.moved[sku, location] += quantity

    async def _written(self, method: Callable[[Stubs], Ask], request: Any) -> pb.Reservation | None:
        try:
            response = await self._answered(method, request)
        except grpc.aio.AioRpcError as error:
            refusal = taken_apart(error)
            assert refusal.code in (grpc.StatusCode.FAILED_PRECONDITION,), refusal
            self.journal.refusals[refusal.reason] += 1
            return None
        self.journal.note(request.request_id, response.reservation)
        return response.reservation

    async def _answered(self, method: Callable[[Stubs], Ask], request: Any) -> Any:
        """The final answer: while the outcome is not known or the server away, the same is sent again, elsewhere."""
        deadline = monotonic() + AGAIN_SECONDS
        while monotonic() < deadline:
            try:
                return await method(self.servers[self.server])(request, timeout=20)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
                self.journal.away.append((monotonic(), _word(error)))
                self.server = (self.server + 1) % len(self.servers)
                await asyncio.sleep(0.05)
        raise NoAnswer(request)

    def _request_id(self) -> str:
        self.count += 1
        return f"{self.name}-{self.count}"


def _word(error: grpc.aio.AioRpcError) -> str:
    """The reason of the engine, or gRPC's own where no engine answered."""
    trailing = error.trailing_metadata() or ()
    return (
        taken_apart(error).reason if any(key == "grpc-status-details-bin" for key, _ in trailing) else error.code().name
    )
