"""One look at a line whose units are not there: where they could come from, and (unless it is a dry run) doing that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from invengine.domain.orders import ComponentRequest, ReservationChange
from invengine.errors import CapacityExhausted, InsufficientStock, PromiseTooLate, PromiseUnknown
from invengine.services.dated_requests import told_without_slots
from invengine.services.kit_changes import stands_of
from invengine.services.moved_units import MovedUnits, Moving, is_plain, lines_named, parts_of, placements_of
from invengine.services.resource_requests import Outcome, Result, ShortLine

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import LinePlacement, Reservation
    from invengine.domain.promises import LinePromise
    from invengine.services.current_dating import CurrentDating
    from invengine.services.placed_lines import PlacedPart
    from invengine.services.resource_requests import CheckedResource
    from invengine.services.shelf import Shelf
    from invengine.services.tried_takes import TriedTakes


class StockMoved(Exception):
    """Somebody else was there first: look again."""

    def __init__(self, refusal: InsufficientStock) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Trial:
    """Of `units` (of a kit: kits) of a line, for its reservation as it was seen and the stock as it is.

    `choose` puts the candidates into the order in which they are tried. `write` has an amendment written:
    RevisionMismatch, StockMoved.
    """

    def __init__(
        self,
        asked: CheckedResource,
        line: ShortLine,
        seen: Reservation,
        units: int,
        *,
        network: Network,
        shelf: Shelf,
        tried: TriedTakes,
        dates: CurrentDating,
        choose: Callable[[Moving], Moving],
        write: Callable[[ReservationChange], Awaitable[None]],
    ) -> None:
        self._asked = asked
        self._line = line
        self._seen = seen
        self._units = units
        self._network = network
        self._shelf = shelf
        self._tried = tried
        self._dates = dates
        self._choose = choose
        self._write = write

    async def outcome(self) -> Outcome:
        """What became of the line. What refuses an amendment, StockMoved, ChannelDisabled, GroupNotUsable."""
        moving = self._choose(self._moving())
        if is_plain(moving, self._network):
            parts, available = self._plain(moving)
            if parts:
                await self._written(moving, parts, placements_of(moving, parts, None))
            return self._told(parts, available)
        try:
            return await self._dated(moving)
        except PromiseTooLate as late:
            if not self._asked.accept_later:
                return Outcome(self._line, Result.TOO_LATE, delivery_day=late.earliest_day, refusal=late)
        except (PromiseUnknown, CapacityExhausted) as refusal:
            return Outcome(self._line, Result.TOO_LATE, refusal=refusal)
        return await self._dated(moving._replace(needed_by=0))

    def _plain(self, moving: Moving) -> tuple[list[PlacedPart], int]:
        """Where the units of a line go that has nothing but units, and how many could be had."""
        request = moving.request
        offers = [(one, self._shelf.offer(request, one)) for one in moving.candidates]
        parts = parts_of(moving, offers)
        there = sum(part.units for part in parts)
        return parts if there == moving.units or self._asked.best_effort else [], there

    async def _dated(self, moving: Moving) -> Outcome:
        """The same for a line with a date, slots or a kit."""
        for _ in range(2):
            change = self._change(())
            with self._dates.lines(self._network, self._shelf, self._seen.reservation_id) as placing:
                moved = MovedUnits(
                    change, self._seen, moving, placing=placing, shelf=self._shelf, network=self._network
                )
                mark = self._shelf.mark()
                try:
                    asked = moved.placed()
                except InsufficientStock as short:
                    self._shelf.undo(mark)
                    refusal = told_without_slots(short, [moving.request])
                    if not isinstance(refusal, InsufficientStock):
                        raise refusal from None
                    available = min(moving.units, refusal.short_lines[0].available)
                    if not available or not self._asked.best_effort or available == moving.units:
                        return Outcome(self._line, Result.NOT_ENOUGH, available=available)
                    moving = moving._replace(units=available)
                    continue
                if not self._asked.dry_run:
                    await self._write(asked)
            self._note(moving, moved.parts)
            return self._told(moved.parts, moving.units, moved.promise)
        raise AssertionError("what there is was not enough for itself")

    async def _written(self, moving: Moving, parts: list[PlacedPart], placements: list[LinePlacement]) -> None:
        if not self._asked.dry_run:
            await self._write(self._change(tuple(placements)))
        self._note(moving, parts)

    def _note(self, moving: Moving, parts: list[PlacedPart]) -> None:
        """In a dry run, what this line would take the following ones do not have."""
        if self._asked.dry_run:
            self._tried.note(self._seen.channel, moving.request, [(part.location, part.units) for part in parts])

    def _change(self, placements: tuple[LinePlacement, ...]) -> ReservationChange:
        asked, line, seen = self._asked, self._line, self._seen
        names = (asked.request_id, line.reservation_id, line.line_id, line.location, str(seen.revision))
        return ReservationChange(
            "resource " + blake2b("\t".join(names).encode(), digest_size=16).hexdigest(),
            asked.fingerprint,
            line.reservation_id,
            seen.channel,
            seen.revision,
            placements=placements,
            borrows=self._network.channel(seen.channel).borrows,
        )

    def _moving(self) -> Moving:
        """What is to go, and where it may: as a new reservation of the channel could, but for where it is short.

        ChannelDisabled, GroupNotUsable.
        """
        seen, line, network = self._seen, self._line, self._network
        lines = lines_named(seen, line.line_id)
        first, stand = lines[0], stands_of(seen).get(line.line_id)
        usable = network.usable(seen.channel, group=self._asked.to_group, fulfilment=first.fulfilment)
        usable = tuple([name for name in usable if name != line.location])
        candidates = network.candidates(seen.channel, line.sku, usable)
        components = []
        for one in stand.lines if stand else ():
            assert one.kit is not None
            floors = {floor.location: floor for floor in network.candidates(seen.channel, one.sku, usable)}
            components.append(ComponentRequest(one.sku, one.kit.units, floors))
        promised = first.promise.delivery_day if first.promise else 0
        return Moving(
            line.line_id,
            line.location,
            self._units,
            candidates,
            self._asked.allow_split,
            lines,
            stand,
            tuple(components),
            promised,
        )

    def _told(self, parts: list[PlacedPart], available: int, promise: LinePromise | None = None) -> Outcome:
        moves = tuple([(part.location, part.units) for part in parts])
        moved = sum(units for _, units in moves)
        if not moved:
            return Outcome(self._line, Result.NOT_ENOUGH, available=available)
        line = replace(self._line, units=self._units)
        day = promise.delivery_day if promise else 0
        if moved < self._units:
            return Outcome(line, Result.MOVED_IN_PART, moves, moved, day)
        return Outcome(line, Result.MOVED, moves, 0, day)
