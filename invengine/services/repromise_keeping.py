"""Other promises for lines that stay where they are: the days that would do now, and the capacity that goes along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from invengine.domain.capacity import day_of_capacity, slot_line_id
from invengine.domain.orders import LinePlacement, LineStanding, ReservationChange
from invengine.domain.promises import LineRepromise, PromisePart
from invengine.errors import InsufficientStock, RevisionMismatch
from invengine.services.placed_lines import way_at
from invengine.services.repromise_moves import write_id
from invengine.services.repromise_requests import Result
from invengine.services.slot_changes import owner_of
from invengine.services.slot_days import slot_candidates

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine
    from invengine.domain.network import Network
    from invengine.domain.orders import Reservation
    from invengine.domain.promises import LinePromise
    from invengine.services.networks import Networks
    from invengine.services.repromise_requests import BrokenAsked, CheckedRepromise, Outcome
    from invengine.services.reservations import Reservations


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is written of one line; a `due_day` of 0: nothing of it waits for a receipt."""

    line_id: str
    promise: LinePromise | None
    due_day: int


class Keeping:
    """Accepts new days for lines of one engine."""

    def __init__(self, networks: Networks, reservations: Reservations) -> None:
        self._networks = networks
        self._reservations = reservations

    async def kept(self, asked: CheckedRepromise, line: BrokenAsked, seen: Reservation, plain: Outcome) -> Outcome:
        """What became of a line whose new days are to be its promise. RevisionMismatch: look again."""
        kept = []
        for line_id in dict.fromkeys(one.line_id for one in line.broken):
            broken = [one for one in line.broken if one.line_id == line_id]
            promise = broken[0].promise
            if promise is not None and not all(one.new_day for one in broken):
                return replace(plain, result=Result.NO_DATE)
            due_day = max((one.expected_day for one in broken if one.due_day or one.receipt_id), default=0)
            if promise is None and not due_day:
                return replace(plain, result=Result.NO_DATE)
            kept.append(_Kept(line_id, _later(promise, broken) if promise else None, due_day))
        if not asked.dry_run:
            await self._write(asked, line, seen, kept)
        return replace(plain, delivery_day=plain.new_day)

    async def _write(
        self, asked: CheckedRepromise, line: BrokenAsked, seen: Reservation, kept: Sequence[_Kept]
    ) -> None:
        """Where capacity goes to other days, that and the promises are one step, and the receipts' days another one."""
        change = ReservationChange(
            write_id(asked.request_id, line.reservation_id, line.line_id),
            asked.fingerprint,
            line.reservation_id,
            seen.channel,
            seen.revision,
        )
        slots = _slots(line, seen, self._networks.required())
        repromises = tuple(LineRepromise(one.line_id, one.promise, one.due_day) for one in kept)
        if slots:
            by_id = {one.line_id: one for one in seen.lines}
            goods = [
                LinePlacement(one.line_id, by_id[one.line_id].standing, standing=LineStanding(one.promise, True))
                for one in kept
            ]
            amendment = replace(change, request_id=change.request_id + " slots", placements=(*goods, *slots))
            try:
                answer, _ = await self._reservations.decided("amend", amendment)
            except InsufficientStock:  # somebody else took the day: work out another one
                raise RevisionMismatch(seen.revision, seen.revision) from None
            change = replace(change, expected_revision=answer.reservation.revision)
            repromises = tuple(LineRepromise(one.line_id, None, one.due_day) for one in kept if one.due_day)
        if repromises:
            await self._reservations.decided("repromise", replace(change, repromises=repromises))


def _later(promise: LinePromise, broken: Sequence[BrokenLine]) -> LinePromise:
    """The promise with the dates that would do now for what is broken of it. A day that was asked for is given up."""
    parts = list(promise.parts)
    for location in dict.fromkeys(one.location for one in broken):
        new = max((one.new for one in broken if one.location == location), key=lambda dates: dates.day)
        parts = [part for part in parts if part.location != location]
        parts.append(PromisePart(location, new.ship_day or new.slot_day or new.day, new.day))
    day = max(one.new_day for one in broken)
    return promise._replace(
        delivery_day=day,
        ready_minute=max(one.new.ready_minute for one in broken),
        parts=tuple(parts),
        needed_by=max(promise.needed_by, day) if promise.needed_by else 0,
    )


def _slots(line: BrokenAsked, seen: Reservation, network: Network) -> list[LinePlacement]:
    """The capacity of what is broken, on the days on which it is prepared now; nothing where it is on them already."""
    lines = {owner_of(one): one for one in seen.lines}
    its = lines[line.line_id]
    held = {one.line_id: one for one in seen.slot_lines}
    found = []
    for location in dict.fromkeys(one.location for one in line.broken):
        way = way_at(its.fulfilment, its.destination, location)
        capacity = network.capacities.get((location, way))
        here = [one for one in line.broken if one.location == location]
        slots = held.get(slot_line_id(location, way.value, line.line_id if capacity and capacity.units else ""))
        day = max(one.new.slot_day for one in here)
        if capacity is None or slots is None or not day:
            continue
        days = {day_of_capacity(one.location): one.open for one in slots.allocations if one.open}
        count = 1
        if capacity.units:
            units = sum(one.quantity for one in here if one.line_id == its.line_id)
            count = units // (its.kit.units if its.kit else 1)
        change = _moved(days, count, day)
        if change:
            candidates = slot_candidates(capacity.units or capacity.orders, change)
            found.append(LinePlacement(slots.line_id, slots.standing, candidates, units_at=tuple(change.values())))
    return found


def _moved(days: dict[int, int], count: int, to: int) -> dict[int, int]:
    """How many more slots of each day are held when so many go to a day, those of the last days first."""
    change: dict[int, int] = {}
    for day in _latest_first(days):
        part = min(count, days[day])
        count -= part
        if part and day != to:
            change[day] = -part
            change[to] = change.get(to, 0) + part
    return change


def _latest_first(days: Iterable[int]) -> list[int]:
    return sorted(days, reverse=True)
