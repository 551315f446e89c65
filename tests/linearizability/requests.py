"""Random requests of one client: every verb of reservations, movements of stock, reads; repeats of others' items."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from invengine.v1 import availability_service_pb2, common_pb2
from invengine.v1 import reservation_service_pb2 as pb
from invengine.v1 import stock_service_pb2 as stock
from tests.linearizability.recording import AVAILABILITY, RESERVATIONS, STOCK
from tests.linearizability.shop import CHANNELS, GROUPS, LATE_SKUS, LOCATIONS, SKUS

RETRIES = 0.1
REMEMBERED = 300  # reservations and requests that others may still come back to
LIVE = (pb.Reservation.STATE_HELD, pb.Reservation.STATE_CONFIRMED)
KINDS = stock.Movement

Asked = tuple[str, Any]  # a path and a message


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


class Requests:
    """Draws the requests of one client. The public methods are what a client may do."""

    def __init__(self, name: str, seed: object, market: Market) -> None:
        self.random = random.Random(f"{seed}/{name}")
        self._name, self._market = name, market
        self._count = 0
        self._mine: set[str] = set()

    # Reservations

    def reserve_many(self) -> Asked:
        """A batch, retries of other clients' requests among it."""
        requests = [self._create() for _ in range(self.random.randint(20, 60))]
        return RESERVATIONS + "BatchCreateReservations", pb.BatchCreateReservationsRequest(requests=requests)

    def reserve(self) -> Asked:
        """One reservation."""
        return RESERVATIONS + "CreateReservation", self._create()

    def confirm(self) -> Asked:
        """A hold becomes firm."""
        request = pb.ConfirmReservationRequest(**self._change())
        if self.random.random() < 0.2:
            request.order_ref = f"order-{self._name}"
        return RESERVATIONS + "ConfirmReservation", request

    def extend(self) -> Asked:
        """More time; sometimes longer than channels allow."""
        request = pb.ExtendReservationRequest(**self._change(bound=True))
        request.time_to_live.CopyFrom(Duration(seconds=self.random.choices([1, 2, 9000], [50, 50, 2])[0]))
        return RESERVATIONS + "ExtendReservation", request

    def release(self) -> Asked:
        """All of it, or some."""
        return RESERVATIONS + "ReleaseReservation", pb.ReleaseReservationRequest(**self._change(), lines=self._units())

    def fulfil(self) -> Asked:
        """All of it, or some."""
        return RESERVATIONS + "FulfilReservation", pb.FulfilReservationRequest(**self._change(), lines=self._units())

    def amend(self) -> Asked:
        """Another quantity for the first line, or a line more."""
        request = pb.AmendReservationRequest(**self._change())
        if self.random.random() < 0.9:
            line = request.lines.add(line_id="1", quantity=self.random.randint(0, 5))
            self._place(line, request.channel)
        if not request.lines or self.random.random() < 0.1:
            line_id = self.random.choice(["", "extra"])
            request.added_lines.add(line_id=line_id, sku=self.random.choice(SKUS), quantity=1)
        return RESERVATIONS + "AmendReservation", request

    def rebind(self) -> Asked:
        """The open units of one line, or of all, go elsewhere."""
        request = pb.RebindReservationRequest(**self._change())
        self._place(request.lines.add(line_id=self.random.choice(["1", "1", ""])), request.channel)
        return RESERVATIONS + "RebindReservation", request

    def hand_over(self) -> Asked:
        """Another channel, another customer, and perhaps more time."""
        request = pb.HandOverReservationRequest(**self._change(bound=True))
        if self.random.random() < 0.7:
            request.to_channel = self.random.choice(list(CHANNELS))
        if not request.to_channel or self.random.random() < 0.5:
            request.to_customer_ref = self.random.choice(["ann", "bob"])
        if self.random.random() < 0.3:
            request.time_to_live.CopyFrom(Duration(seconds=2))
        return RESERVATIONS + "HandOverReservation", request

    def _create(self) -> pb.CreateReservationRequest:
        draw, creates = self.random, self._market.creates
        if creates and draw.random() < RETRIES:
            return draw.choice(creates)
        request_id, channel = self._new_id(), draw.choice(list(CHANNELS))
        request = pb.CreateReservationRequest(
            request_id=request_id,
            reservation_id=f"R-{request_id}" if draw.random() < 0.9 else "",
            channel=channel,
            lines=[self._line(channel) for _ in range(draw.choices([1, 2, 3], [80, 15, 5])[0])],
            policy=draw.choices([1, 2], [80, 20])[0],
            customer_ref=draw.choice(["ann", "bob"]) if draw.random() < 0.1 else "",
        )
        seconds = draw.choices([0, 1, 2, 9000], [5, 50, 45, 1])[0]  # the last is longer than channels allow
        if seconds:
            request.time_to_live.CopyFrom(Duration(seconds=seconds))
        if creates and draw.random() < 0.01:
            used = draw.choice(creates)  # somebody else's ids with other content
            if draw.random() < 0.5:
                request.request_id, request.channel = used.request_id, used.channel
            else:
                request.reservation_id = used.reservation_id
        else:
            self._mine.add(request.reservation_id)
        creates.append(request)
        return request

    def _line(self, channel: str) -> pb.ReservationLineRequest:
        quantity = self.random.choices([1, 2, 3, 8], [50, 30, 15, 5])[0]
        line = pb.ReservationLineRequest(sku=self._sku(), quantity=quantity)
        self._place(line, channel)
        return line

    def _place(self, line: Any, channel: str) -> None:
        """Names a location, a group or nothing."""
        line.allow_split = self.random.random() < 0.5
        way = self.random.random()
        if way < 0.25:
            line.location = self.random.choice(GROUPS[CHANNELS[channel]])
        elif way < 0.5:
            line.group = "stores" if channel == "till" else self.random.choice(["all", "stores"])

    def _change(self, *, bound: bool = False) -> dict[str, Any]:
        """What all changes name: half of the time one of the newest reservations, which others are after too.

        Where it is `bound`, others than its maker name the revision. Of two such changes in one revision the answers do
        not say which came first; so one of them is refused.
        """
        draw, known, seen = self.random, self._market.known, self._market.seen
        named = "R-none"
        if known and draw.random() < 0.99:
            named = known[-1 - draw.randrange(min(len(known), 40))] if draw.random() < 0.5 else draw.choice(known)
        said = {"request_id": self._new_id(), "reservation_id": named, "channel": draw.choice(list(CHANNELS))}
        if (bound and named not in self._mine) or draw.random() < 0.05:
            return {**said, "expected_revision": seen[named].revision if named in seen else 1}
        return said

    def _units(self) -> list[pb.LineUnits]:
        draw = self.random
        if draw.random() < 0.5:
            return []
        location = draw.choice(LOCATIONS) if draw.random() < 0.1 else ""
        return [pb.LineUnits(line_id=draw.choice(["1", "1", "1", "2"]), location=location, quantity=draw.randint(0, 2))]

    # Stock

    def move_many(self) -> Asked:
        """A batch of movements, repeats among them."""
        movements = [self._movement() for _ in range(self.random.randint(10, 40))]
        return STOCK + "PostMovements", stock.PostMovementsRequest(movements=movements)

    def _movement(self) -> stock.Movement:
        """One of any kind. A count says how it was a moment ago, so that what moved since is kept on top of it."""
        draw, units = self.random, self._market.units
        if self._market.movements and draw.random() < RETRIES:
            return draw.choice(self._market.movements)
        kind = draw.choices(
            [KINDS.KIND_RECEIPT, KINDS.KIND_RETURN, KINDS.KIND_SALE, KINDS.KIND_ADJUSTMENT, KINDS.KIND_COUNT],
            [38, 6, 26, 25, 5],
        )[0]
        quantity = draw.randint(1, 6)
        if kind == KINDS.KIND_ADJUSTMENT:
            quantity *= draw.choice([1, -1])
        elif kind == KINDS.KIND_COUNT:
            quantity = draw.randint(units // 2, units * 3 // 2)
        occurred_at = Timestamp()
        occurred_at.FromMilliseconds(time.time_ns() // 1_000_000 - draw.choice([0, 5, 50, 500]))
        movement = stock.Movement(
            source=self._name,
            event_id=self._new_id(),
            kind=kind,
            sku=self._sku(),
            location=draw.choice(LOCATIONS),
            quantity=quantity,
            reason="found or lost",
            occurred_at=occurred_at,
        )
        if draw.random() < 0.02:
            movement.expected_revision = draw.randint(0, 50)
        self._market.movements.append(movement)
        return movement

    # Reads

    def read_position(self) -> Asked:
        """One position."""
        sku, consistency = self._read()
        location = self.random.choice(LOCATIONS)
        return STOCK + "GetPosition", stock.GetPositionRequest(sku=sku, location=location, consistency=consistency)

    def read_availability(self) -> Asked:
        """What a channel can take of a SKU."""
        sku, consistency = self._read()
        request = availability_service_pb2.GetAvailabilityRequest(sku=sku, consistency=consistency)
        request.channel = self.random.choice(list(CHANNELS))
        return AVAILABILITY + "GetAvailability", request

    def read_reservation(self) -> Asked:
        """A record."""
        said = self._change()
        request = pb.GetReservationRequest(reservation_id=said["reservation_id"], channel=said["channel"])
        return RESERVATIONS + "GetReservation", request

    def _read(self) -> tuple[str, common_pb2.Consistency]:
        """A SKU and how fresh: mostly with every write so far, or at least with what some answer had."""
        way = self.random.random()
        if way < 0.7 or not self._market.token:
            return self.random.choice(SKUS + LATE_SKUS), common_pb2.Consistency(fully_consistent=True)
        if way < 0.9:
            return self.random.choice(SKUS), common_pb2.Consistency(at_least_as_fresh=self._market.token)
        return self.random.choice(SKUS), common_pb2.Consistency(minimize_latency=True)

    def _sku(self) -> str:
        return self.random.choice(SKUS) if self.random.random() < 0.98 else self.random.choice(LATE_SKUS)

    def _new_id(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"
