"""Replaying a plan through the public API, as the channels of the history."""

from __future__ import annotations

import asyncio
import functools
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from invengine.cli.formats.history import EventKind
from invengine.cli.loading.plan import (
    Move,
    Opening,
    Order,
    Plan,
    Step,
    first_row,
    happened_ms,
    scaled,
    size,
    spans,
    waves,
)
from invengine.cli.loading.progress import Ledger, Shows
from invengine.client import Client, Line, Movement
from invengine.errors import InsufficientStock, Refused
from invengine.v1 import common_pb2
from invengine.v1.reservation_service_pb2 import CreateReservationRequest
from invengine.v1.stock_service_pb2 import PostMovementsResponse

SPAN_EVENTS: Final = 2_000  # of one call, some tens of milliseconds of the server; all lanes' calls fit its queue
_FINISHING_AT_ONCE: Final = 16  # confirmations and fulfilments under way, per lane
_KINDS: Final = {
    EventKind.SALE: (Movement.KIND_SALE, 1, ""),
    EventKind.RETURN: (Movement.KIND_RETURN, 1, ""),
    EventKind.SHRINK: (Movement.KIND_ADJUSTMENT, -1, "shrink"),
    EventKind.FOUND: (Movement.KIND_ADJUSTMENT, 1, "found"),
}
_RESULT_NAMES: Final = {
    PostMovementsResponse.Outcome.RESULT_APPLIED: "applied",
    PostMovementsResponse.Outcome.RESULT_REPEATED: "repeated",
}


@dataclass
class Tally:
    """What became of events, counted."""

    applied: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    orders: int = 0

    def count(self, result: str, events: int) -> None:
        """So many events were `applied`, `repeated`, or refused for the reason that `result` names."""
        if result == "applied":
            self.applied += events
        elif result == "repeated":
            self.repeated += events
        elif events:
            self.refused[result] += events


@functools.lru_cache(maxsize=4096)
def _timestamp(milliseconds: int) -> Timestamp:
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def reason_word(refusal: common_pb2.Refusal) -> str:
    """The reason of a refusal, as everywhere."""
    return common_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")


class Replay:
    """One run over a plan. `source` names the feed; each event carries an id made of it, its document and its row."""

    def __init__(self, client: Client, source: str, *, scale: Decimal, speed: float) -> None:
        self._client = client
        self._source = source
        self._scale = scale
        self._speed = speed
        self.opened = Tally()
        self.replayed = Tally()

    def openings(self, plan: Plan) -> list[Movement]:
        """The movements that give every position its opening stock, in an order that is always the same."""
        stocked = {sku for (sku, _), opening in plan.openings.items() if scaled(opening.units, self._scale)}
        movements = []
        for (sku, location), opening in sorted(plan.openings.items()):
            if units := scaled(opening.units, self._scale):
                movements.append(self._opening(sku, location, opening, Movement.KIND_RECEIPT, units))
            elif sku not in stocked:
                stocked.add(sku)
                movements.append(self._opening(sku, location, opening, Movement.KIND_RECEIPT, 1))
                movements.append(self._opening(sku, location, opening, Movement.KIND_ADJUSTMENT, -1))
        return movements

    def _opening(
        self, sku: str, location: str, opening: Opening, kind: Movement.Kind.ValueType, units: int
    ) -> Movement:
        back = units < 0
        return Movement(
            source=self._source,
            event_id=f"{'back' if back else 'opening'}/{sku}/{location}",
            occurred_at=_timestamp(opening.occurred_at_ms),
            kind=kind,
            sku=sku,
            location=location,
            quantity=units,
            reason="opens with nothing" if back else "",
        )

    async def open_positions(self, movements: Sequence[Movement], shows: Shows) -> None:
        """Post opening stock, in order: some positions get a unit and give it back at once."""
        async for acknowledged in self._client.feed(movements, patience_seconds=self._client.retry_seconds):
            _count(acknowledged.outcomes, self.opened)
            shows.add(len(acknowledged.items))

    async def run(self, plan: Plan, ledger: Ledger, shows: Shows, *, from_row: int) -> None:
        """Replay what is not acknowledged yet, lanes side by side."""
        lanes = [[step for step in lane if first_row(step) >= from_row] for lane in plan.lanes]
        end = plan.last_row + 1
        ledger.begin({number: first_row(lane[0]) if lane else end for number, lane in enumerate(lanes)})
        pace = _Pace(self._speed, min((happened_ms(lane[0]) for lane in lanes if lane), default=0))
        with ledger:
            await _together(
                self._lane(lane, pace, shows, functools.partial(ledger.acknowledge, number), end)
                for number, lane in enumerate(lanes)
            )

    async def _lane(
        self, steps: list[Step], pace: _Pace, shows: Shows, acknowledge: Callable[[int], None], end: int
    ) -> None:
        done = 0
        for span in spans(steps, events_max=SPAN_EVENTS, milliseconds_max=pace.span_ms):
            await pace.until(happened_ms(span[-1]))
            for wave in waves(span):
                if wave.moves:
                    await self._post(wave.moves)
                if wave.orders:
                    await self._serve(wave.orders)
            done += len(span)
            acknowledge(first_row(steps[done]) if done < len(steps) else end)
            shows.add(sum(size(step) for step in span))

    async def _post(self, moves: Iterable[Move]) -> None:
        source, kinds = self._source, _KINDS
        movements = []
        for location, event in moves:
            kind, sign, reason = kinds[event.kind]
            movements.append(
                Movement(
                    source=f"{source}/{event.channel}",
                    event_id=f"{event.document}/{event.row}",
                    occurred_at=_timestamp(event.occurred_at_ms),
                    kind=kind,
                    sku=event.sku,
                    location=location,
                    quantity=sign * event.quantity,
                    reason=reason,
                )
            )
        _count((await self._client.post_movements(movements)).outcomes, self.replayed)

    async def _serve(self, orders: list[Order]) -> None:
        """Reserve orders in one call, in their order; then confirm and fulfil what was taken.

        A line that could not be taken whole counts as refused, though some of its units may have gone out.
        """
        answer = await self._client.reserve_many([self._request(order) for order in orders])
        self.replayed.orders += len(orders)
        ahead = asyncio.Semaphore(_FINISHING_AT_ONCE)
        taken = []
        for order, outcome in zip(orders, answer.outcomes, strict=True):
            if outcome.HasField("refusal"):
                self.replayed.count(reason_word(outcome.refusal), len(order.events))
            else:
                short = sum(1 for line in outcome.reservation.lines if line.short_quantity)
                taken.append(self._finish(order, ahead, short, repeated=outcome.replayed))
        await _together(taken)

    def _request(self, order: Order) -> CreateReservationRequest:
        name = f"{self._source}/{order.name}"
        return self._client.create_request(
            [Line(sku=event.sku, quantity=event.quantity, location=order.location) for event in order.events],
            request_id=name,
            reservation_id=name,
            channel=order.events[0].channel,
            best_effort=True,
            order_ref=order.events[0].document,
        )

    async def _finish(self, order: Order, ahead: asyncio.Semaphore, short: int, *, repeated: bool) -> None:
        name, channel = f"{self._source}/{order.name}", order.events[0].channel
        async with ahead:
            try:
                await self._client.confirm(name, request_id=f"{name}/confirm", channel=channel)
                await self._client.fulfil(name, request_id=f"{name}/fulfil", channel=channel)
            except Refused as refusal:  # an outcome like any other: it is counted and listed
                self.replayed.count(refusal.reason, len(order.events))
            else:
                self.replayed.count("repeated" if repeated else "applied", len(order.events) - short)
                self.replayed.count(InsufficientStock.reason, short)


class _Pace:
    """Keeps the replay at `speed` times real time; at 0 nothing waits."""

    def __init__(self, speed: float, first_ms: int) -> None:
        self._ms_per_second = speed * 1000
        self._first_ms = first_ms
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._clock()

    @property
    def span_ms(self) -> float:
        """How much of the history may go in one piece: half a second of the run."""
        return self._ms_per_second / 2 or math.inf

    async def until(self, moment_ms: int) -> None:
        """Wait until this moment of the history is due."""
        if self._ms_per_second:
            due = self._started_at + (moment_ms - self._first_ms) / self._ms_per_second
            await asyncio.sleep(due - self._clock())


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all of it side by side; the first failure ends the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for part in work:
                tasks.create_task(part)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _count(outcomes: Iterable[PostMovementsResponse.Outcome], tally: Tally) -> None:
    for outcome in outcomes:
        name = _RESULT_NAMES.get(outcome.result)
        tally.count(name or reason_word(outcome.refusal), 1)
