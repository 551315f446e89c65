"""When a line that is short could be had: the day by which what is coming makes up what is missing.

Worked out only for refusals and short lines. Receipts count as far as they are promised to nobody; each unit of them
counts for one line only, so that the dates of one answer can be kept together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.orders import KitRequest
from invengine.errors import InsufficientStock
from invengine.services.kit_changes import KitPlacement
from invengine.services.kit_lines import kit_day
from invengine.services.shelf import Shelf

if TYPE_CHECKING:
    from invengine.domain.orders import (
        Candidate,
        Future,
        LinePlacement,
        LineRequest,
        ReservationChange,
        ReservationLine,
        ReserveRequest,
    )
    from invengine.domain.reservation_answers import ReservationAnswer
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.shelf import Coming


class Missing(NamedTuple):
    """Units of a SKU that are missing: at one of `candidates`, or (`is_split`) at all of them together.

    `future` is what the line could take of it, `available` has that already.
    """

    sku: str
    wanted: int
    available: int
    candidates: tuple[Candidate, ...]
    is_split: bool
    future: Future | None = None


class NextDates:
    """Finds next dates in the replica of one engine."""

    def __init__(self, replica: Replica, clock: StoreClock) -> None:
        self._replica = replica
        self._clock = clock

    def of_refused(self, request: ReserveRequest, refusal: InsufficientStock) -> InsufficientStock:
        """The refusal of a reservation, its short lines with their next days."""
        return self._dated(refusal, request.lines, request.channel, borrows=request.borrows)

    def of_change(self, change: ReservationChange, refusal: InsufficientStock) -> InsufficientStock:
        """The refusal of an amendment or a rebinding, likewise."""
        lines: list[LineRequest | LinePlacement] = [*change.placements, *change.added]
        return self._dated(refusal, lines, change.channel, borrows=change.borrows)

    def of_answer(self, request: ReserveRequest, answer: ReservationAnswer) -> ReservationAnswer:
        """The answer of a reservation that got what there was, with the next days of its short lines."""
        if answer.replayed or not request.best_effort:
            return answer
        wanted = []
        by_id = {asked.line_id: asked for asked in request.lines}
        for line in answer.reservation.lines:
            if not line.short_quantity or line.kit is not None:
                continue
            asked = by_id[line.line_id]
            candidates = asked.candidates
            if not asked.allow_split and line.allocations:  # what it has is at one place, where the rest must be too
                there = line.allocations[0].location
                candidates = tuple(candidate for candidate in candidates if candidate.location == there)
            wanted.append((line.line_id, Missing(asked.sku, line.short_quantity, 0, candidates, asked.allow_split)))
        kits = [line for line in answer.reservation.lines if line.short_quantity and line.kit is not None]
        if not wanted and not kits:
            return answer
        shelf = self._shelf(request.channel, borrows=request.borrows)
        days = [_day(shelf, missing) for _, missing in wanted]
        found = [(line_id, day) for (line_id, _), day in zip(wanted, days, strict=True) if day]
        found += [(line.line_id, day) for line in kits if (day := _day_of_rest(shelf, line, by_id))]
        return answer.dated(tuple(found))

    def _dated(
        self,
        refusal: InsufficientStock,
        lines: Sequence[LineRequest | LinePlacement],
        channel: str,
        *,
        borrows: bool,
    ) -> InsufficientStock:
        asked = {line.line_id: line for line in lines}
        shelf = self._shelf(channel, borrows=borrows)
        dated = []
        for short in refusal.short_lines:
            line = asked.get(short.line_id)
            if line is None:
                day = 0
            elif isinstance(line, KitRequest | KitPlacement):
                day = kit_day(shelf, line, short.wanted)
            else:
                numbers = short.sku, short.wanted, short.available
                day = _day(shelf, Missing(*numbers, line.candidates, line.allow_split, line.future))
            dated.append(replace(short, next_day=day))
        return InsufficientStock(tuple(dated))

    def _shelf(self, channel: str, *, borrows: bool) -> Shelf:
        return Shelf(self._replica, self._clock.now_ms(), channel, borrows=borrows)


def _day_of_rest(shelf: Shelf, line: ReservationLine, asked: Mapping[str, LineRequest]) -> int:
    """The day by which the kits come together that a line of one of their components is short of."""
    assert line.kit is not None
    whole = asked[line.kit.line_id]
    assert isinstance(whole, KitRequest)
    if not whole.allow_split and line.allocations:  # the rest must be where the line has kits
        there = line.allocations[0].location
        candidates = tuple([candidate for candidate in whole.candidates if candidate.location == there])
        whole = replace(whole, candidates=candidates)
    return kit_day(shelf, whole, line.short_quantity // line.kit.units)


def _day(shelf: Shelf, missing: Missing) -> int:
    """The first day that does, 0 for none; the units that are needed for it leave the shelf."""
    sku, future = missing.sku, missing.future
    after = 0
    if future is not None:
        if not future.needed_by:
            return 0  # whatever comes, whenever it comes, is in `available`
        after = future.needed_by
    if missing.is_split:
        coming = shelf.coming(sku, [candidate.location for candidate in missing.candidates], after)
        return _count(shelf, coming, missing.wanted - missing.available)
    best: tuple[int, list[Coming], int] | None = None
    for candidate in missing.candidates:
        there = shelf.on_hand(sku, candidate) + shelf.future(sku, future, candidate.location)
        if future is None:  # what other lines of the request took is not there for this one
            there = min(there, missing.available)
        coming = shelf.coming(sku, (candidate.location,), after)
        units = missing.wanted - there
        mark = shelf.mark()
        day = _count(shelf, coming, units)
        shelf.undo(mark)
        if day and (best is None or day < best[0]):
            best = day, coming, units
    return _count(shelf, *best[1:]) if best else 0


def _count(shelf: Shelf, coming: Sequence[Coming], units: int) -> int:
    """Takes the units from what is coming, and answers the day of the last of them; 0 and nothing when it is less."""
    if sum([receipt.left for receipt in coming]) < units:
        return 0
    day = 0
    for receipt in coming:
        if units > 0:
            part = min(units, receipt.left)
            shelf.change(receipt, "left", receipt.left - part)
            units -= part
            day = receipt.day
    return day
