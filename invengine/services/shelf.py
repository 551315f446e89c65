"""What one channel could take now, as the replica has it: a copy to try takes on, taken from as the store takes.

The store's functions decide (lua/README.md, "Ring-fences" and "Future stock"); this repeats their rules in thought,
where something must be known before the store is asked (how many parcels) or after it refused (the next date).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from invengine.domain.incoming import effective_day
from invengine.domain.orders import KitRequest
from invengine.domain.stock import safety_units, uncertain_units
from invengine.kernels.layout import EXPIRED, LOCATION, ON_HAND, PARTS_BITS, RESERVED, SAFETY_PARTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from invengine.domain.orders import Candidate, ComponentRequest, Future, LineRequest
    from invengine.replica.replica import Replica

    Undo = Callable[[], None]


@dataclass(slots=True)
class _Position:
    """Units of one position, for one channel."""

    on_hand: int = 0
    unreserved: int = 0
    fenced: int = 0  # in all ring-fences
    own_fence: int = 0
    counted_at_ms: int = 0


@dataclass(slots=True)
class Coming:
    """Units of a receipt that are promised to nobody; `day` is the effective one."""

    day: int
    location: str
    receipt_id: str
    left: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a line got; where that is less than it wanted, what it gets with best effort."""

    units: int = 0
    on_hand: int = 0
    locations: frozenset[str] = frozenset()
    placed: tuple[tuple[str, int], ...] = ()
    """For a kit: how many of it where."""


@dataclass(slots=True)
class _Sku:
    positions: dict[str, _Position] = field(default_factory=dict)
    coming: list[Coming] = field(default_factory=list)
    backordered: dict[str, int] = field(default_factory=dict)


class Shelf:
    """The stock that `channel` sees at this moment; `take` takes from it, `undo` gives back."""

    def __init__(self, replica: Replica, now_ms: int, channel: str, *, borrows: bool) -> None:
        replica.advance(now_ms)
        self._replica = replica
        self._now_ms = now_ms
        self.channel = channel
        self._borrows = borrows
        self._skus: dict[str, _Sku] = {}
        self._undo: list[Undo] = []
        self.lent: dict[tuple[str, str], tuple[int, int, int]] = {}
        """What `give` lent, by SKU and location: units, those of them in a ring-fence, and of these in the own one."""

    def mark(self) -> int:
        """The present moment, for `undo`."""
        return len(self._undo)

    def undo(self, mark: int) -> None:
        """Gives back what was taken since the mark."""
        while len(self._undo) > mark:
            self._undo.pop()()

    def knows(self, sku: str) -> bool:
        """Whether anything of the SKU was ever recorded or is expected."""
        found = self._sku(sku)
        return bool(found.positions or found.coming) or sku in self._replica.incoming

    def on_hand(self, sku: str, candidate: Candidate, more: int = 0) -> int:
        """Units on hand that the channel could take at the candidate, if there were so many more."""
        position = self._sku(sku).positions.get(candidate.location)
        if position is None:
            if not more:
                return 0
            position = _Position()
        on_hand = position.on_hand + more
        kept = safety_units(on_hand, candidate.safety_units, candidate.safety_parts)
        kept += uncertain_units(on_hand, position.counted_at_ms, self._now_ms, candidate.confidence)
        unreserved, within = position.unreserved + more, position.own_fence
        if self._borrows:
            within += max(0, unreserved - position.fenced)
        return max(0, min(unreserved - kept, within))

    def terms(self, sku: str, candidate: Candidate) -> tuple[int, int, int]:
        """What `on_hand` is made of: that, units of the channel's own ring-fence, units that need not stay there."""
        position = self._sku(sku).positions.get(candidate.location)
        if position is None:
            return 0, 0, 0
        kept = safety_units(position.on_hand, candidate.safety_units, candidate.safety_parts)
        kept += uncertain_units(position.on_hand, position.counted_at_ms, self._now_ms, candidate.confidence)
        return self.on_hand(sku, candidate), position.own_fence, position.unreserved - kept

    def offer(self, line: LineRequest, candidate: Candidate) -> int:
        """What the line could have of what is on hand at the candidate, as if alone: units, or kits."""
        if isinstance(line, KitRequest):
            return self.kits(line.components, candidate.location)
        return self.on_hand(line.sku, candidate)

    def kits(self, components: Sequence[ComponentRequest], location: str, day: int = 0) -> int:
        """How many of a kit come together at a location: of what is on hand, and with a `day` of what comes by it."""
        return min(
            [
                self.on_hand(one.sku, one.floors[location], self._arrived(one.sku, location, day) if day else 0)
                // one.units
                for one in components
            ]
        )

    def limit(self, components: Sequence[ComponentRequest], location: str) -> str:
        """The component of which there is the least for the kit at a location, the first of them."""
        return min(components, key=lambda one: self.on_hand(one.sku, one.floors[location]) // one.units).sku

    def give(self, sku: str, location: str, units: int, fenced: int = 0, *, own: bool = False) -> None:
        """Lends reserved units to the takes to come; `fenced` of them return to a ring-fence, perhaps the `own`."""
        position = self._sku(sku).positions.get(location)
        if position is not None:
            before = self.lent.get((sku, location), (0, 0, 0))
            own_units = before[2] + (fenced if own else 0)
            self.lent[sku, location] = before[0] + units, before[1] + fenced, own_units
            self.change(position, "unreserved", position.unreserved + units)
            self.change(position, "fenced", position.fenced + fenced)
            self.change(position, "own_fence", position.own_fence + (fenced if own else 0))

    def future(self, name: str, future: Future | None, location: str) -> int:
        """Units of a SKU from receipts and backorders that a line with this `future` could take at the location."""
        if future is None:
            return 0
        sku = self._sku(name)
        units = sum([receipt.left for receipt in _in_time(sku, future) if receipt.location == location])
        return units + max(0, future.backorder_units - self._backordered(sku, name, location))

    def take(self, line: LineRequest, candidates: Sequence[Candidate], *, best_effort: bool) -> Taken:
        """What the line gets from these candidates. A line that is short takes nothing unless `best_effort`."""
        if isinstance(line, KitRequest):
            return self._take_kits(line, candidates, best_effort)
        if line.allow_split:
            return self._take_split(line, candidates, best_effort)
        on_hand = [self.on_hand(line.sku, candidate) for candidate in candidates]
        everything = [
            units + self.future(line.sku, line.future, candidate.location)
            for units, candidate in zip(on_hand, candidates, strict=True)
        ]
        for offers in (on_hand, everything):
            for candidate, offer in zip(candidates, offers, strict=True):
                if offer >= line.quantity:
                    return self._take_at(line, (candidate,), line.quantity)
        best = max(on_hand, default=0)
        place = on_hand.index(best) if best else max(range(len(everything)), key=everything.__getitem__, default=-1)
        if place < 0 or not everything[place]:
            return Taken()
        if not best_effort:
            return Taken(everything[place])
        return self._take_at(line, (candidates[place],), everything[place])

    def coming(self, sku: str, locations: Iterable[str], after: int = 0) -> list[Coming]:
        """What is still to come of the SKU at these locations later than the day `after`, by day."""
        wanted = frozenset(locations)
        return [one for one in self._sku(sku).coming if one.left and one.day > after and one.location in wanted]

    def change(self, of: _Position | Coming, name: str, value: int) -> None:
        """Gives a number another value, until it is undone."""
        before = getattr(of, name)
        setattr(of, name, value)
        self._undo.append(lambda: setattr(of, name, before))

    def _take_kits(self, line: KitRequest, candidates: Sequence[Candidate], best_effort: bool) -> Taken:
        """Each kit whole at one candidate; all at one of them, the first that will do, unless the line may be split."""
        there = [(candidate.location, self.kits(line.components, candidate.location)) for candidate in candidates]
        if not line.allow_split:
            enough = next((one for one in there if one[1] >= line.quantity), None)
            there = [enough or max(there, key=lambda one: one[1])] if there else []
        placed: list[tuple[str, int]] = []
        left = line.quantity
        for location, kits in there:
            if part := min(left, kits):
                placed.append((location, part))
                left -= part
        units = line.quantity - left
        if left and not best_effort:
            return Taken(units)
        for location, kits in placed:
            for one in line.components:
                self._take_on_hand(one.sku, location, kits * one.units)
        return Taken(units, units, frozenset(location for location, _ in placed), tuple(placed))

    def _take_split(self, line: LineRequest, candidates: Sequence[Candidate], best_effort: bool) -> Taken:
        mark = self.mark()
        taken = self._take_at(line, candidates, line.quantity)
        if taken.units < line.quantity and not best_effort:
            self.undo(mark)
        return taken

    def _take_at(self, line: LineRequest, candidates: Sequence[Candidate], wanted: int) -> Taken:
        """Takes up to `wanted` units: on hand first, then receipts by their day, then backorders."""
        left = wanted
        places = []
        for candidate in candidates:
            if units := min(left, self.on_hand(line.sku, candidate)):
                self._take_on_hand(line.sku, candidate.location, units)
                left -= units
                places.append(candidate.location)
        on_hand = wanted - left
        if left and line.future is not None:
            left = self._take_future(line, candidates, left, places)
        return Taken(wanted - left, on_hand, frozenset(places))

    def _take_future(self, line: LineRequest, candidates: Sequence[Candidate], wanted: int, places: list[str]) -> int:
        """Takes from receipts and backorders, noting where; how many are still missing."""
        assert line.future is not None
        sku, left = self._sku(line.sku), wanted
        order = {candidate.location: place for place, candidate in enumerate(candidates)}
        reachable = [receipt for receipt in _in_time(sku, line.future) if receipt.location in order and receipt.left]
        for receipt in sorted(reachable, key=lambda r: (r.day, order[r.location], r.receipt_id)):
            if units := min(left, receipt.left):
                self.change(receipt, "left", receipt.left - units)
                left -= units
                places.append(receipt.location)
        for candidate in candidates:
            there = self._backordered(sku, line.sku, candidate.location)
            if (units := min(left, line.future.backorder_units - there)) > 0:
                sku.backordered[candidate.location] = there + units
                self._undo.append(lambda at=candidate.location, was=there: sku.backordered.update({at: was}))  # type: ignore[misc]
                left -= units
                places.append(candidate.location)
        return left

    def _take_on_hand(self, sku: str, location: str, units: int) -> None:
        position = self._sku(sku).positions[location]
        own = min(position.own_fence, units)
        self.change(position, "unreserved", position.unreserved - units)
        self.change(position, "own_fence", position.own_fence - own)
        self.change(position, "fenced", position.fenced - own)

    def _arrived(self, name: str, location: str, day: int) -> int:
        """Units that come to the location by a day and are free then: those that wait for any get theirs first."""
        sku = self._sku(name)
        units = sum([one.left for one in sku.coming if one.location == location and one.day <= day])
        return max(0, units - self._backordered(sku, name, location))

    def _backordered(self, sku: _Sku, name: str, location: str) -> int:
        if location not in sku.backordered:
            sku.backordered[location] = self._replica.incoming.backordered(name, location)
        return sku.backordered[location]

    def _sku(self, name: str) -> _Sku:
        found = self._skus.get(name)
        if found is None:
            found = self._skus[name] = self._read(name)
        return found

    def _read(self, name: str) -> _Sku:
        replica = self._replica
        columns = replica.columns
        number = columns.find_sku(name)
        found = _Sku()
        for row in columns.rows(number).tolist() if number >= 0 else ():
            fences = {channel: units + over for channel, units, over in columns.ring_fences(row)}
            found.positions[replica.locations.names[row[LOCATION]]] = _Position(
                row[ON_HAND],
                row[ON_HAND] - row[RESERVED] + row[EXPIRED],
                sum(fences.values()),
                fences.get(self.channel, 0),
                row[SAFETY_PARTS] >> PARTS_BITS,
            )
        for receipt in replica.incoming.receipts(name):
            stops = receipt.location in replica.stopping
            day = effective_day(receipt.expected_day, self._now_ms, overdue_stops=stops)
            if not day:
                continue
            left = max(0, receipt.quantity - receipt.pegged)
            found.coming.append(Coming(day, receipt.location, receipt.receipt_id, left))
        found.coming.sort(key=lambda receipt: (receipt.day, receipt.location, receipt.receipt_id))
        return found


def _in_time(sku: _Sku, future: Future) -> list[Coming]:
    return [one for one in sku.coming if not future.needed_by or one.day <= future.needed_by]
