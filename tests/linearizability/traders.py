"""Clients that trade at random over one shop: all verbs of reservations, movements, reads, and a tenth of it retries.

As a program it is one process of clients: `python -m tests.linearizability.traders OUT NAME SEED ANSWERS CLIENTS UNITS
ADDRESS...` writes the pickled list of its calls to OUT.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import grpc
import uvloop
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from invengine.v1 import availability_service_pb2, common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2 as stock
from tests.linearizability.recording import AVAILABILITY, RESERVATIONS, STOCK, Call, Recorder
from tests.linearizability.shop import CHANNELS, GROUPS, LATE_SKUS, LOCATIONS, SKUS

RETRIES = 0.1
LIVE = (pb.Reservation.STATE_HELD, pb.Reservation.STATE_CONFIRMED)
REMEMBERED = 300  # reservations and requests that others may still come back to

# Actions by how often they are chosen; how many answers each gives is up to itself.
ACTIONS = {
    "reserve_many": 10,
    "move_many": 12,
    "reserve": 60,
    "confirm": 90,
    "extend": 25,
    "release": 60,
    "fulfil": 75,
    "amend": 45,
    "rebind": 40,
    "hand_over": 25,
    "read_position": 40,
    "read_availability": 40,
    "read_reservation": 40,
}


class Market:
    """What the clients of one process share: what they know of each other's reservations and requests.

    `units` is what a position has about: with few of them much is refused.
    """

    def __init__(self, units: int) -> None:
        self.units = units
        self.answers_left = 0
        self.known: deque[str] = deque(maxlen=REMEMBERED)
        self.seen: dict[str, pb.Reservation] = {}  # the newest answer about each
        self.sent: deque[tuple[str, bytes]] = deque(maxlen=REMEMBERED)
        self.creates: deque[pb.CreateReservationRequest] = deque(maxlen=REMEMBERED)
        self.movements: deque[stock.Movement] = deque(maxlen=REMEMBERED)
        self.token = ""

    def learn(self, reservation: pb.Reservation) -> None:
        """Note an answer about a reservation. Of those that are closed, some are still asked about."""
        name = reservation.reservation_id
        if name not in self.seen:
            self.known.append(name)
        elif reservation.state not in LIVE and name in self.known and len(self.known) > REMEMBERED // 2:
            self.known.remove(name)
        self.seen[name] = reservation


class Trader:
    """One client: one call at a time, to whichever engine."""

    def __init__(self, name: str, seed: object, recorder: Recorder, market: Market) -> None:
        self.name, self.recorder, self.market = name, recorder, market
        self.random = random.Random(f"{seed}/{name}")
        self.count = 0
        self.mine: set[str] = set()

    async def run(self) -> None:
        """Trades until the answers of the process are used up."""
        verbs, weights = list(ACTIONS), list(ACTIONS.values())
        while self.market.answers_left > 0:
            action = self.random.choices(verbs, weights)[0]
            if action in CHANGES and self.market.sent and self.random.random() < RETRIES:
                await self._send(*self.random.choice(self.market.sent))  # perhaps of a call that is still under way
            else:
                await getattr(self, action)()

    # Reservations

    async def reserve_many(self) -> None:
        """A batch, retries of other clients' requests among it."""
        requests = []
        for _ in range(self.random.randint(20, 60)):
            if self.market.creates and self.random.random() < RETRIES:
                requests.append(self.random.choice(self.market.creates))
            else:
                requests.append(self._create())
        self.market.answers_left -= len(requests)
        batch = pb.BatchCreateReservationsRequest(requests=requests).SerializeToString()
        path = RESERVATIONS + "BatchCreateReservations"
        response, _ = await self.recorder.call(self._engine(), path, batch)
        if response:
            for outcome in pb.BatchCreateReservationsResponse.FromString(response).outcomes:
                if outcome.HasField("reservation"):
                    self.market.learn(outcome.reservation)

    async def reserve(self) -> None:
        """One reservation."""
        if self.market.creates and self.random.random() < RETRIES:
            request = self.random.choice(self.market.creates)
        else:
            request = self._create()
        await self._send(RESERVATIONS + "CreateReservation", request.SerializeToString())

    def _create(self) -> pb.CreateReservationRequest:
        request_id, draw = self._new_id(), self.random
        channel = draw.choice(list(CHANNELS))
        request = pb.CreateReservationRequest(
            request_id=request_id,
            reservation_id=f"R-{request_id}" if draw.random() < 0.9 else "",
            channel=channel,
            lines=[self._line(channel) for _ in range(draw.choices([1, 2, 3], [80, 15, 5])[0])],
            policy=draw.choices([1, 2], [80, 20])[0],
        )
        seconds = draw.choices([0, 1, 2, 9000], [5, 50, 45, 1])[0]  # the last is longer than channels allow
        if seconds:
            request.time_to_live.CopyFrom(Duration(seconds=seconds))
        if draw.random() < 0.1:
            request.customer_ref = draw.choice(["ann", "bob"])
        if self.market.creates and draw.random() < 0.01:
            used = draw.choice(self.market.creates)  # somebody else's ids with other content
            if draw.random() < 0.5:
                request.request_id, request.channel = used.request_id, used.channel
            else:
                request.reservation_id = used.reservation_id
        self.mine.add(request.reservation_id)
        self.market.creates.append(request)
        return request

    def _line(self, channel: str) -> pb.ReservationLineRequest:
        draw = self.random
        line = pb.ReservationLineRequest(
            sku=draw.choice(SKUS) if draw.random() < 0.98 else draw.choice(LATE_SKUS),
            quantity=draw.choices([1, 2, 3, 8], [50, 30, 15, 5])[0],
            allow_split=draw.random() < 0.5,
        )
        self._place(line, channel)
        return line

    def _place(self, line: Any, channel: str) -> None:
        """Names a location, a group or nothing."""
        way = self.random.random()
        if way < 0.25:
            line.location = self.random.choice(GROUPS[CHANNELS[channel]])
        elif way < 0.5:
            line.group = "stores" if channel == "till" else self.random.choice(["all", "stores"])

    async def confirm(self) -> None:
        """A hold becomes firm."""
        request = pb.ConfirmReservationRequest(**self._change())
        if self.random.random() < 0.2:
            request.order_ref = f"order-{self.name}"
        await self._send(RESERVATIONS + "ConfirmReservation", request.SerializeToString())

    async def extend(self) -> None:
        """More time. Others than its maker name the revision: of two that ask at once, one is refused."""
        request = pb.ExtendReservationRequest(**self._change(bound=True))
        request.time_to_live.CopyFrom(Duration(seconds=self.random.choices([1, 2, 9000], [50, 50, 2])[0]))
        await self._send(RESERVATIONS + "ExtendReservation", request.SerializeToString())

    async def release(self) -> None:
        """All of it, or some."""
        request = pb.ReleaseReservationRequest(**self._change())
        request.lines.extend(self._units())
        await self._send(RESERVATIONS + "ReleaseReservation", request.SerializeToString())

    async def fulfil(self) -> None:
        """All of it, or some."""
        request = pb.FulfilReservationRequest(**self._change())
        request.lines.extend(self._units())
        await self._send(RESERVATIONS + "FulfilReservation", request.SerializeToString())

    async def amend(self) -> None:
        """Another quantity for the first line, or a line more."""
        request = pb.AmendReservationRequest(**self._change())
        if self.random.random() < 0.9:
            line = request.lines.add(line_id="1", quantity=self.random.randint(0, 5))
            line.allow_split = self.random.random() < 0.5
            self._place(line, request.channel)
        if not request.lines or self.random.random() < 0.1:
            line_id = self.random.choice(["", "extra"])
            request.added_lines.add(line_id=line_id, sku=self.random.choice(SKUS), quantity=1)
        await self._send(RESERVATIONS + "AmendReservation", request.SerializeToString())

    async def rebind(self) -> None:
        """The open units of one line, or of all, go elsewhere."""
        request = pb.RebindReservationRequest(**self._change())
        line = request.lines.add(line_id=self.random.choice(["1", "1", ""]))
        line.allow_split = self.random.random() < 0.5
        self._place(line, request.channel)
        await self._send(RESERVATIONS + "RebindReservation", request.SerializeToString())

    async def hand_over(self) -> None:
        """Another channel, another customer, and perhaps more time."""
        request = pb.HandOverReservationRequest(**self._change(bound=True))
        if self.random.random() < 0.7:
            request.to_channel = self.random.choice(list(CHANNELS))
        if not request.to_channel or self.random.random() < 0.5:
            request.to_customer_ref = self.random.choice(["ann", "bob"])
        if self.random.random() < 0.3:
            request.time_to_live.CopyFrom(Duration(seconds=2))
        await self._send(RESERVATIONS + "HandOverReservation", request.SerializeToString())

    def _change(self, *, bound: bool = False) -> dict[str, Any]:
        """What all changes name: half of the time one of the newest reservations, which others are after too."""
        draw, known = self.random, self.market.known
        named = "R-none"
        if known and draw.random() < 0.99:
            named = known[-1 - draw.randrange(min(len(known), 40))] if draw.random() < 0.5 else draw.choice(known)
        said: dict[str, Any] = {
            "request_id": self._new_id(),
            "reservation_id": named,
            "channel": draw.choice(list(CHANNELS)),
        }
        if (bound and named not in self.mine) or draw.random() < 0.05:
            said["expected_revision"] = self.market.seen[named].revision if named in self.market.seen else 1
        return said

    def _units(self) -> list[pb.LineUnits]:
        draw = self.random
        if draw.random() < 0.5:
            return []
        location = draw.choice(LOCATIONS) if draw.random() < 0.1 else ""
        return [pb.LineUnits(line_id=draw.choice(["1", "1", "1", "2"]), location=location, quantity=draw.randint(0, 2))]

    # Stock

    async def move_many(self) -> None:
        """A batch of movements, repeats among them."""
        movements = []
        for _ in range(self.random.randint(10, 40)):
            if self.market.movements and self.random.random() < RETRIES:
                movements.append(self.random.choice(self.market.movements))
            else:
                movements.append(self._movement())
                self.market.movements.append(movements[-1])
        self.market.answers_left -= len(movements)
        request = stock.PostMovementsRequest(movements=movements).SerializeToString()
        await self.recorder.call(self._engine(), STOCK + "PostMovements", request)

    def _movement(self) -> stock.Movement:
        """One of any kind. A count says how it was a moment ago, so that what moved since is kept on top of it."""
        draw = self.random
        kinds = stock.Movement
        kind = draw.choices(
            [kinds.KIND_RECEIPT, kinds.KIND_RETURN, kinds.KIND_SALE, kinds.KIND_ADJUSTMENT, kinds.KIND_COUNT],
            [38, 6, 26, 25, 5],
        )[0]
        quantity = draw.randint(1, 6)
        if kind == kinds.KIND_ADJUSTMENT:
            quantity *= draw.choice([1, -1])
        elif kind == kinds.KIND_COUNT:
            quantity = draw.randint(self.market.units // 2, self.market.units * 3 // 2)
        occurred_at = Timestamp()
        occurred_at.FromMilliseconds(time.time_ns() // 1_000_000 - draw.choice([0, 5, 50, 500]))
        movement = stock.Movement(
            source=self.name,
            event_id=self._new_id(),
            kind=kind,
            sku=draw.choice(SKUS) if draw.random() < 0.98 else draw.choice(LATE_SKUS),
            location=draw.choice(LOCATIONS),
            quantity=quantity,
            reason="found or lost",
            occurred_at=occurred_at,
        )
        if draw.random() < 0.02:
            movement.expected_revision = draw.randint(0, 50)
        return movement

    # Reads

    async def read_position(self) -> None:
        """One position."""
        sku, consistency = self._read()
        request = stock.GetPositionRequest(sku=sku, location=self.random.choice(LOCATIONS), consistency=consistency)
        response, _ = await self._read_from(STOCK + "GetPosition", request)
        if response:
            self.market.token = stock.GetPositionResponse.FromString(response).consistency_token

    async def read_availability(self) -> None:
        """What a channel can take of a SKU."""
        sku, consistency = self._read()
        channel = self.random.choice(list(CHANNELS))
        request = availability_service_pb2.GetAvailabilityRequest(sku=sku, channel=channel, consistency=consistency)
        await self._read_from(AVAILABILITY + "GetAvailability", request)

    async def read_reservation(self) -> None:
        """A record."""
        said = self._change()
        request = pb.GetReservationRequest(reservation_id=said["reservation_id"], channel=said["channel"])
        await self._read_from(RESERVATIONS + "GetReservation", request)

    def _read(self) -> tuple[str, common_pb2.Consistency]:
        """A SKU and how fresh: mostly with every write so far, or at least with what some answer had."""
        way = self.random.random()
        if way < 0.7 or not self.market.token:
            return self.random.choice(SKUS + LATE_SKUS), common_pb2.Consistency(fully_consistent=True)
        if way < 0.9:
            return self.random.choice(SKUS), common_pb2.Consistency(at_least_as_fresh=self.market.token)
        return self.random.choice(SKUS), common_pb2.Consistency(minimize_latency=True)

    # Sending

    async def _read_from(self, path: str, request: Any) -> tuple[bytes | None, bytes | None]:
        self.market.answers_left -= 1
        return await self.recorder.call(self._engine(), path, request.SerializeToString())

    async def _send(self, path: str, request: bytes) -> None:
        """A write, and what its answer tells about the reservation."""
        self.market.answers_left -= 1
        self.market.sent.append((path, request))
        response, _ = await self.recorder.call(self._engine(), path, request)
        if response:
            answer = RESPONSES[path].FromString(response)
            self.market.learn(answer.reservation)
            self.market.token = answer.consistency_token

    def _engine(self) -> int:
        return self.random.randrange(self.recorder.engines)

    def _new_id(self) -> str:
        self.count += 1
        return f"{self.name}-{self.count}"


CHANGES = ("confirm", "extend", "release", "fulfil", "amend", "rebind", "hand_over")
RESPONSES: dict[str, Any] = {
    f"{RESERVATIONS}{verb}Reservation": getattr(pb, f"{verb}ReservationResponse")
    for verb in ("Create", "Confirm", "Extend", "Release", "Fulfil", "Amend", "Rebind", "HandOver")
}


async def trade(
    addresses: list[str], name: str, seed: int, answers: int, *, clients: int, units: int, pause_seconds: float = 0
) -> list[Call]:
    """The calls of so many clients, until they have so many answers together; in two halves where there is a pause."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for address in addresses]
    recorder, market = Recorder(channels), Market(units)
    traders = [Trader(f"{name}{n}", seed, recorder, market) for n in range(clients)]
    try:
        for half in range(2 if pause_seconds else 1):
            if half:
                await asyncio.sleep(pause_seconds)  # many holds are over: nothing but time does that
            market.answers_left = answers // 2 if pause_seconds else answers
            await asyncio.gather(*(trader.run() for trader in traders))
    finally:
        for channel in channels:
            await channel.close()
    return recorder.calls


def main(arguments: list[str]) -> None:
    """One process of clients."""
    out, name, seed, answers, clients, units, *addresses = arguments
    calls = uvloop.run(trade(addresses, name, int(seed), int(answers), clients=int(clients), units=int(units)))
    Path(out).write_bytes(pickle.dumps([tuple(call) for call in calls]))


if __name__ == "__main__":
    main(sys.argv[1:])
