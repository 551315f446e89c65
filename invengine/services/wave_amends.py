"""Lines that wait get the units of a plan: what waits is given back, and as much is taken on hand, in one step each.

A line is a change of its own, bound to the reservation as it was seen, whose request_id follows from the plan: so it
may be made again, by whomever, and nobody is told that it was refused before the store was asked whether it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import LinePlacement, ReservationChange, ReservationState
from invengine.domain.reservation_answers import ReservationAnswer
from invengine.domain.waves import CommittedOrder, RefusedLine
from invengine.errors import (
    InsufficientStock,
    InventoryError,
    LineNotFound,
    QuantityExceedsOpen,
    ReservationClosed,
    ReservationExpired,
    ReservationNotFound,
    RevisionMismatch,
)
from invengine.services.reservation_amendments import impossible_change
from invengine.services.wave_orders import FAILURES, Refusals, short_line, wave_request_id

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Reservation, ReservationLine
    from invengine.domain.waves import PlannedLine, PlannedOrder
    from invengine.replica.clock import StoreClock
    from invengine.services.networks import Networks
    from invengine.services.reservations import Reservations
    from invengine.store.redis_store import RedisStore

READS_AT_ONCE: Final = 16
ATTEMPTS_MAX: Final = 20
"""At a line whose reservation is changed by others all the time."""


class _Line(NamedTuple):
    """A line that is to get units: the places of its order and of the line in that."""

    place: int
    number: int
    planned: PlannedLine
    order: PlannedOrder


class WaveAmends:
    """Commits to reservations that wait."""

    def __init__(self, store: RedisStore, clock: StoreClock, networks: Networks, reservations: Reservations) -> None:
        self._store = store
        self._clock = clock
        self._networks = networks
        self._reservations = reservations

    async def commit(self, plan_id: str, orders: Mapping[int, PlannedOrder]) -> dict[int, CommittedOrder]:
        """Gives lines their units, those of different reservations together. Raises what FAILURES lists."""
        refused: dict[int, Refusals] = {place: {} for place in orders}
        taken = dict.fromkeys(orders, 0)
        by_order = [
            [_Line(place, number, line, one) for number, line in enumerate(one.lines) if line.units]
            for place, one in orders.items()
        ]
        for depth in range(max(map(len, by_order), default=0)):
            lines = [of_order[depth] for of_order in by_order if depth < len(of_order)]
            for line, problem in zip(lines, await self._lines(plan_id, lines), strict=True):
                if problem is not None:
                    refused[line.place][line.number] = problem
                else:
                    taken[line.place] += line.planned.planned
        return {
            place: CommittedOrder(one.order.reservation_id, taken[place], refused[place])
            for place, one in orders.items()
        }

    async def _lines(self, plan_id: str, lines: Sequence[_Line]) -> list[RefusedLine | None]:
        """Lines of different reservations: None where one has its units, else why not."""
        found: list[RefusedLine | None] = [None] * len(lines)
        left = list(range(len(lines)))
        problems: dict[int, RefusedLine] = {}
        for attempt in range(ATTEMPTS_MAX):
            changes, sent = [], []
            seen = await self._seen([lines[place].order.order.reservation_id for place in left])
            for place, reservation in zip(left, seen, strict=True):
                change = self._change(plan_id, lines[place], reservation)
                if isinstance(change, RefusedLine):
                    problems[place] = change
                else:
                    changes.append(change)
                    sent.append(place)
            left = []
            outcomes = await self._written(changes)
            for place, outcome in zip(sent, outcomes, strict=True):
                if isinstance(outcome, RevisionMismatch | QuantityExceedsOpen) and attempt + 1 < ATTEMPTS_MAX:
                    left.append(place)
                elif not isinstance(outcome, ReservationAnswer):
                    problems[place] = _refused(lines[place].planned, outcome)
            if not left:
                break
        probes = [_impossible(plan_id, lines[place]) for place in problems]
        for place, outcome in zip(problems, await self._written(probes), strict=True):
            if not isinstance(outcome, ReservationAnswer):  # else it was made before
                found[place] = problems[place]
        return found

    async def _written(self, changes: Sequence[ReservationChange]) -> list[ReservationAnswer | InventoryError]:
        if not changes:
            return []
        outcomes = (await self._reservations.change_decided("amend", changes)).outcomes
        for outcome in outcomes:
            if isinstance(outcome, FAILURES):
                raise outcome
        return outcomes

    async def _seen(self, names: Sequence[str]) -> list[Reservation | None]:
        found: list[Reservation | None] = []
        for first in range(0, len(names), READS_AT_ONCE):
            part = names[first : first + READS_AT_ONCE]
            found += await asyncio.gather(*map(self._store.reservation, part))
        return found

    def _change(self, plan_id: str, asked: _Line, seen: Reservation | None) -> ReservationChange | RefusedLine:
        """The change of the reservation as it was seen; or why there is none."""
        planned, channel = asked.planned, asked.order.order.channel
        network = self._networks.required()
        line = self._line(asked, seen)
        if seen is None or isinstance(line, RefusedLine):
            assert isinstance(line, RefusedLine)
            return line
        waiting = sum([its.open for its in line.allocations if not its.is_on_hand])
        if waiting < planned.planned:
            message = f"{planned.planned} {line.sku} planned, {waiting} wait by now"
            return RefusedLine(QuantityExceedsOpen.reason, message, planned.planned, waiting)
        problem, borrows = _why_not(planned, channel, network)
        if problem is not None:
            return problem
        locations = tuple([part.location for part in planned.units])
        candidates = network.candidates(channel, line.sku, locations)
        return replace(
            _bare(plan_id, asked),
            expected_revision=seen.revision,
            placements=(  # what waits goes back first, then as much is taken; the line wants what it wanted
                LinePlacement(line.line_id, line.standing - planned.planned),
                LinePlacement(
                    line.line_id,
                    line.quantity,
                    candidates,
                    units_at=tuple([part.quantity for part in planned.units]),
                ),
            ),
            borrows=borrows,
        )

    def _line(self, asked: _Line, seen: Reservation | None) -> ReservationLine | RefusedLine:
        """The line as it is; or why it cannot get units any more."""
        planned, name = asked.planned, asked.order.order.reservation_id
        if seen is None:
            return _refused(planned, ReservationNotFound(name))
        state = seen.state_at(self._clock.now_ms())
        if state is ReservationState.EXPIRED:
            return _refused(planned, ReservationExpired(name, seen.expires_at))
        if state not in (ReservationState.HELD, ReservationState.CONFIRMED):
            return _refused(planned, ReservationClosed(name, state.value))
        line = next((one for one in seen.lines if one.line_id == planned.line.line_id), None)
        return _refused(planned, LineNotFound(name, planned.line.line_id)) if line is None else line


def _bare(plan_id: str, asked: _Line) -> ReservationChange:
    name, line_id = asked.order.order.reservation_id, asked.planned.line.line_id
    content = blake2b(f"{plan_id}\t{name}\t{line_id}".encode(), digest_size=16).hexdigest()
    request_id = wave_request_id(plan_id, "line", name, line_id)
    return ReservationChange(request_id, content, name, asked.order.order.channel)


def _impossible(plan_id: str, asked: _Line) -> ReservationChange:
    """Asks whether the change was made before."""
    return impossible_change(_bare(plan_id, asked))


def _why_not(planned: PlannedLine, channel: str, network: Network) -> tuple[RefusedLine | None, bool]:
    """Why the network does not allow the line any more; and whether its channel borrows."""
    try:
        for part in planned.units:
            network.usable(channel, location=part.location, fulfilment=planned.line.fulfilment)
        return None, network.channel(channel).borrows
    except InventoryError as refusal:
        return _refused(planned, refusal), True


def _refused(planned: PlannedLine, refusal: InventoryError) -> RefusedLine:
    if isinstance(refusal, InsufficientStock):
        return short_line(planned, max([short.available for short in refusal.short_lines], default=0))
    return RefusedLine(refusal.reason, str(refusal), planned.planned, 0)
