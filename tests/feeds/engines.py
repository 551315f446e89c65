"""Two engines on one Redis, and feeds that deliver to them: twice, late, out of order, all at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc

from invengine.v1 import admin_service_pb2, common_pb2, reservation_service_pb2, stock_service_pb2
from tests.feeds.worlds import OPENING, PLACES, SHELVES, Counted, History, Moved, Order, Place, Snapped, Told
from tests.rpc.engines import Stubs, client, engine, taken_apart

LOCATIONS_MAX = 2_000
ROUNDS_MAX = 12
STEP_MS = 10
BEGUN_MS = 40 * 60_000
"""The first instant of a history, before now: the window of counts is longer."""

Result = stock_service_pb2.PostMovementsResponse.Outcome
REFUSED = Result.RESULT_REFUSED
Task = Callable[[Stubs], Awaitable[bool]]
"""Delivers something; whether it has to be delivered again."""

NETWORK = (
    "locations:\n"
    + "".join(f"  L{n}: {{kind: store}}\n" for n in range(LOCATIONS_MAX))
    + f"groups:\n  all: [{', '.join(f'L{n}' for n in range(LOCATIONS_MAX))}]\n"
    + "channels:\n  web: {groups: [all], time_to_live: {default: 30m, maximum: 2h}}\n"
)


class Engines:
    """Servers of one store. Every history gets locations of its own: a full snapshot empties the rest of one."""

    def __init__(self, redis_url: str, servers: int = 2) -> None:
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._histories = 0
        self.stubs: list[Stubs] = []
        self.run(self._start(redis_url, servers))

    def run(self, awaitable: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(awaitable)

    async def _start(self, redis_url: str, servers: int) -> None:
        for _ in range(servers):
            running, _ = await self._stack.enter_async_context(engine(redis_url, partitions=4))
            self.stubs.append(await self._stack.enter_async_context(client(running.address)))
        await self.stubs[0].apply_network(NETWORK)
        for stubs in self.stubs[1:]:
            while not await self._has_network(stubs):
                await asyncio.sleep(0.01)

    async def _has_network(self, stubs: Stubs) -> bool:
        from invengine.v1 import network_service_pb2

        try:
            await stubs.network.GetNetwork(network_service_pb2.GetNetworkRequest())
        except grpc.aio.AioRpcError:
            return False
        return True

    def close(self) -> None:
        self.run(self._stack.aclose())
        self.loop.close()

    def feed(self, history: History) -> Feed:
        """A place for one history."""
        self._histories += 1
        return Feed(self, history, self._histories)

    async def violations(self, *, replay: bool) -> list[str]:
        """What `invengine check` finds."""
        request = admin_service_pb2.CheckIntegrityRequest(replay=replay)
        answers = [await stubs.admin.CheckIntegrity(request) for stubs in self.stubs]
        return [str(violation) for answer in answers for violation in answer.violations]


class Feed:
    """Delivers one history."""

    def __init__(self, engines: Engines, history: History, number: int) -> None:
        self.engines, self.history, self.number = engines, history, number
        self.begun_ms = time.time_ns() // 1_000_000 - BEGUN_MS
        self.reservations: dict[str, str] = {}
        self.tally: Counter[str] = Counter()
        self.results: dict[str, list[str]] = {}
        """What was answered to each event, by its event_id."""

    # In the engine's words

    def sku(self, sku: str) -> str:
        return f"{sku.partition('/')[0]}{self.number}"

    def location(self, location: str) -> str:
        return f"L{2 * (self.number % (LOCATIONS_MAX // 2)) + 'XY'.index(location)}"

    def instant(self, at: int) -> dict[str, int]:
        milliseconds = self.begun_ms + at * STEP_MS
        return {"seconds": milliseconds // 1000, "nanos": milliseconds % 1000 * 1_000_000}

    def movement(self, fact: Moved | Counted) -> Any:
        kind = "COUNT" if isinstance(fact, Counted) else fact.kind
        signed = kind in ("ADJUSTMENT", "COUNT")
        return stock_service_pb2.Movement(
            source="wms",
            event_id=f"{self.number} {fact.event_id}",
            occurred_at=self.instant(fact.at),
            kind=stock_service_pb2.Movement.Kind.Value(f"KIND_{kind}"),
            sku=self.sku(fact.place[0]),
            location=self.location(fact.place[1]),
            quantity=fact.units if signed else abs(fact.units),
            reason="told",
            state=fact.place[0].partition("/")[2],
        )

    def parts(self, snapshot: Snapped) -> Iterator[Any]:
        yield stock_service_pb2.ApplySnapshotRequest(
            source="erp",
            snapshot_id=f"{self.number} {snapshot.snapshot_id}",
            location=self.location(snapshot.location),
            as_of=self.instant(snapshot.at),
            partial=snapshot.partial,
            contains_order_refs=[self.ref(ref) for ref in snapshot.order_refs],
        )
        for sku, quantity in snapshot.rows:
            row = stock_service_pb2.SnapshotRow(
                sku=self.sku(sku), quantity=quantity, state=sku.partition("/")[2] or "on_hand"
            )
            yield stock_service_pb2.ApplySnapshotRequest(rows=[row])

    def ref(self, ref: str) -> str:
        return f"{ref} of {self.number}"

    # Deliveries

    async def open(self, stubs: Stubs) -> None:
        """The first stock, and the orders."""
        if self.history.opening:
            await self.post(stubs, self.history.opening)
        for order in self.history.orders:
            request = reservation_service_pb2.CreateReservationRequest(
                request_id=f"make {self.ref(order.ref)}", channel="web", order_ref=self.ref(order.ref)
            )
            for (sku, location), units in order.lines:
                request.lines.add(sku=self.sku(sku), location=self.location(location), quantity=units)
            made = await stubs.reservations.CreateReservation(request)
            self.reservations[order.ref] = made.reservation.reservation_id
            if not order.is_held:
                await self.change(stubs, "Confirm", order)

    async def post(self, stubs: Stubs, facts: Sequence[Moved | Counted]) -> list[Any]:
        """Movements; their outcomes."""
        request = stock_service_pb2.PostMovementsRequest(movements=[self.movement(fact) for fact in facts])
        outcomes = list((await stubs.stock.PostMovements(request)).outcomes)
        for fact, outcome in zip(facts, outcomes, strict=True):
            result = Result.Result.Name(outcome.result).removeprefix("RESULT_")
            self.tally[result] += 1
            self.results.setdefault(fact.event_id, []).append(result)
        return outcomes

    async def snap(self, stubs: Stubs, snapshot: Snapped) -> Any:
        """A snapshot; what it did."""
        answer = await stubs.stock.ApplySnapshot(self.parts(snapshot))
        for name in ("applied", "repeated", "ignored", "zeroed", "refused", "fulfilled"):
            self.tally[f"snapshot {name}"] += getattr(answer, name)
        return answer

    async def change(self, stubs: Stubs, verb: str, order: Order) -> str:
        """Confirms, fulfils or releases an order; the reason of a refusal."""
        request = getattr(reservation_service_pb2, f"{verb}ReservationRequest")(
            request_id=f"{verb} {self.ref(order.ref)}",
            reservation_id=self.reservations[order.ref],
            channel="web",
        )
        try:
            await getattr(stubs.reservations, f"{verb}Reservation")(request)
        except grpc.aio.AioRpcError as error:
            reason = taken_apart(error).reason
            self.tally[f"{verb} {reason}"] += 1
            return reason
        return ""

    def tasks(self, dice: random.Random) -> list[Task]:
        """Everything once or twice, in any order, movements alone or together."""
        tasks: list[Task] = []
        told = [fact for fact in self.history.told for _ in range(1 + (dice.random() < 0.3))]
        dice.shuffle(told)
        while told:
            fact = told.pop()
            if isinstance(fact, Snapped):
                tasks.append(self._task_of_snapshot(fact))
                continue
            batch: list[Told] = [fact]
            while told and not isinstance(told[-1], Snapped) and dice.random() < 0.5:
                batch.append(told.pop())
            tasks.append(self._task_of_movements(batch))
        for order in self.history.orders:
            if order.fate:
                tasks.append(self._task_of_order(order))
        dice.shuffle(tasks)
        return tasks

    def _task_of_movements(self, facts: Sequence[Any]) -> Task:
        async def deliver(stubs: Stubs) -> bool:
            return any(outcome.result == REFUSED for outcome in await self.post(stubs, facts))

        return deliver

    def _task_of_snapshot(self, snapshot: Snapped) -> Task:
        async def deliver(stubs: Stubs) -> bool:
            answer = await self.snap(stubs, snapshot)
            return bool(answer.refused) or any(units.HasField("refusal") for units in answer.left_open)

        return deliver

    def _task_of_order(self, order: Order) -> Task:
        verb = order.fate.capitalize()
        is_contained = any(self.history.left_at(order, place) < float("inf") for place, _ in order.lines)

        async def deliver(stubs: Stubs) -> bool:
            reason = await self.change(stubs, verb, order)
            assert reason in ("", "INSUFFICIENT_STOCK") or (reason == "RESERVATION_CLOSED" and is_contained), reason
            return reason == "INSUFFICIENT_STOCK"

        return deliver

    async def deliver(self, dice: random.Random, *, at_once: int, rounds_max: int = ROUNDS_MAX) -> int:
        """All of it, by so many feeds at once; what is refused is sent again after the rest, until nothing is.

        Returns how many deliveries are still refused after so many rounds.
        """
        await self.open(self.engines.stubs[0])
        tasks = self.tasks(dice)
        for _ in range(rounds_max):
            waiting, again = iter(tasks), []

            async def feeder(seed: float, waiting: Iterator[Task], again: list[Task]) -> None:
                own = random.Random(seed)
                for task in waiting:
                    if await task(own.choice(self.engines.stubs)):
                        again.append(task)

            await asyncio.gather(*(feeder(dice.random(), waiting, again) for _ in range(at_once)))
            tasks = again
            dice.shuffle(tasks)
        return len(tasks)

    # What it came to

    async def position(self, place: Place) -> tuple[int, int]:
        """on_hand and reserved, or units in a state and 0; zeros where there is no position."""
        request = stock_service_pb2.GetPositionRequest(sku=self.sku(place[0]), location=self.location(place[1]))
        request.consistency.CopyFrom(common_pb2.Consistency(fully_consistent=True))
        try:
            found = (await self.engines.stubs[-1].stock.GetPosition(request)).position
        except grpc.aio.AioRpcError as error:
            if taken_apart(error).reason not in ("UNKNOWN_SKU", "POSITION_NOT_FOUND"):
                raise
            return 0, 0
        if state := place[0].partition("/")[2]:
            return sum(one.quantity for one in found.states if one.state == state), 0
        return found.on_hand, found.reserved

    async def ledger(self, place: Place) -> list[Any]:
        """The ledger of a place, oldest first."""
        request = stock_service_pb2.ListMovementsRequest(
            sku=self.sku(place[0]), location=self.location(place[1]), page_size=1000
        )
        return list(reversed((await self.engines.stubs[0].stock.ListMovements(request)).entries))

    async def reservation(self, order: Order) -> Any:
        """The reservation of an order."""
        request = reservation_service_pb2.GetReservationRequest(
            reservation_id=self.reservations[order.ref], channel="web"
        )
        return (await self.engines.stubs[0].reservations.GetReservation(request)).reservation

    async def state(self, order: Order) -> str:
        """The state of an order's reservation, as a word."""
        found = await self.reservation(order)
        return reservation_service_pb2.Reservation.State.Name(found.state).removeprefix("STATE_")

    async def check(self) -> None:
        """Everything is as the history says, whatever the deliveries were like."""
        history = self.history
        expected = {place: (history.on_hand(place), history.reserved(place)) for place in SHELVES}
        assert expected == {place: await self.position(place) for place in SHELVES}
        for place in PLACES:
            on_hand = reserved = 0
            for entry in await self.ledger(place):
                assert (entry.on_hand_before, entry.reserved_before) == (on_hand, reserved)
                on_hand, reserved = entry.on_hand_after, entry.reserved_after
            assert (on_hand, reserved) == expected[place]
        for order in history.orders:
            assert await self.state(order) == self._expected_state(order)

    def _expected_state(self, order: Order) -> str:
        if order.fate == "release":
            return "RELEASED"
        left = [not self.history.stays_reserved(order, place) for place, _ in order.lines]
        if all(left):
            return "FULFILLED"
        return "HELD" if order.is_held and not any(left) else "CONFIRMED"


__all__ = ["OPENING", "Engines", "Feed"]
