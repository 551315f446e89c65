"""Amendments and rebindings of lines that have a date or slots: placed as new lines are, and the slots follow.

Worked out for a reservation as it was seen, and bound to that revision, as kit_changes.py does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from invengine.domain.capacity import capacity_place, day_of_capacity, line_of_slots, slot_line_id
from invengine.domain.orders import Fulfilment, LinePlacement, LineRequest, LineStanding
from invengine.domain.promises import LinePromise, PromisePart
from invengine.errors import InvalidArgument
from invengine.services.dated_requests import wish_of, with_wish
from invengine.services.kit_changes import KitPlacement, kits_back, lend, of_components, wanted_of
from invengine.services.kit_lines import ids_of
from invengine.services.placed_lines import WAYS, PlacedLine, Wish, goods_of, taken_at
from invengine.services.shelf import Taken
from invengine.services.slot_changes import Gone, gone_of_back, owner_of, slots_that_go, together
from invengine.services.slot_days import SlotPlace, slot_candidates, slot_line

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import Reservation, ReservationChange, ReservationLine
    from invengine.services.dated_lines import DatedLines
    from invengine.services.planned_changes import PlannedChange
    from invengine.services.reservation_amendments import CheckedPlacement, CheckedPlacing
    from invengine.services.shelf import Shelf


def has_dates(change: ReservationChange, seen: Reservation, network: Network) -> bool:
    """Whether lines of the reservation, or those to add, have a date or slots, or are to have them."""
    if seen.slot_lines or any(line.promise for line in seen.lines):
        return True
    return bool(network.capacities) and (
        any(line.fulfilment in WAYS for line in seen.lines) or any(line.fulfilment in WAYS for line in change.added)
    )


def check_days(checked: CheckedPlacing, seen: Reservation | None) -> None:
    """InvalidArgument where a day is given for a line that has no date and does not wait."""
    dated = {owner_of(line) for line in seen.lines if line.promise} if seen else set()
    for place, wanted in enumerate(checked.placements):
        named = {wanted.line_id} if wanted.line_id else dated
        if wanted.needed_by and not wanted.allow_backorder and not named & dated:
            raise InvalidArgument(f"lines[{place}].needed_by", "goes with allow_backorder only, or a promised date")
    for place, line in enumerate(checked.added):
        if line.needed_by and not line.allow_backorder and not line.service and not dated:
            raise InvalidArgument(f"added_lines[{place}].needed_by", "goes with allow_backorder only, or a date")


@dataclass(slots=True)
class _Slots:
    """How many more slots a line of slots has of each day, and where they are; fewer where it is below 0."""

    place: SlotPlace
    owner: str
    days: dict[int, int] = field(default_factory=dict)

    def add(self, day: int, units: int) -> None:
        """So many more of a day."""
        self.days[day] = self.days.get(day, 0) + units


class DatedChange:
    """One amendment or rebinding of a reservation as it was seen."""

    def __init__(
        self,
        checked: CheckedPlacing,
        change: ReservationChange,
        seen: Reservation,
        *,
        verb: str,
        placing: DatedLines,
        shelf: Shelf,
        network: Network,
        planned: PlannedChange | None = None,
    ) -> None:
        """`planned` says where units come from; else they come from the candidates, in their order."""
        self._planned = planned
        self._verb = verb
        self._checked = checked
        self._change = change
        self._seen = seen
        self._placing = placing
        self._shelf = shelf
        self._network = network
        self._lines = {line.line_id: line for line in seen.lines}
        self._by_owner = {owner_of(line): line for line in reversed(seen.lines)}
        self._named = {wanted.line_id: wanted for wanted in checked.placements}
        self._slots: dict[str, _Slots] = {}

    def placed(self) -> ReservationChange:
        """The change as the store takes it. What DatedLines refuses, QuantityExceedsOpen."""
        backs = {
            placement.line_id: self._kits_back(placement)
            for placement in self._change.placements
            if isinstance(placement, KitPlacement)
        }
        gone = together([self._lend(placement, backs) for placement in self._change.placements])
        self._lend_slots(gone)
        demands: list[tuple[LineRequest, Wish | None]] = []
        asked: list[LinePlacement | None] = []  # of each demand; None where it is added
        groups: list[str] = []
        untouched = []
        for placement in self._change.placements:
            wanted = self._wanted(placement)
            if wanted is None:
                untouched.append(placement)
                continue
            wish = self._wish(placement)
            demands.append((with_wish(wanted, wish), wish))
            asked.append(placement)
            named = self._asked_of(placement.line_id)
            groups.append(named.group if named else "")
        for line, wish in self._added():
            demands.append((with_wish(line, wish), wish))
            asked.append(None)
        groups += [line.group for line in self._checked.added]
        self._placing.check_known([line for line, _ in demands])
        found = self._place(demands, groups)
        placements: list[LinePlacement] = []
        added: list[LineRequest] = []
        for one in found:
            self._count_slots(one)
        for placement in untouched:
            placements += self._given_back(placement, backs)
        for of_line, one in zip(asked, found, strict=True):
            if of_line is None:
                added += goods_of(one)
            else:
                placements += self._moved(of_line, one, backs)
        self._count_orders(gone, found)
        for line_id, more in self._slots.items():
            self._add_slots(line_id, more, placements, added)
        return replace(self._change, placements=tuple(placements), added=tuple(added))

    def _place(self, demands: list[tuple[LineRequest, Wish | None]], groups: list[str]) -> list[PlacedLine]:
        if self._planned is None or not demands:
            return self._placing.place(demands)
        parts = self._planned.parts(demands, groups, self._shelf)
        if parts is None:
            return self._placing.place([(self._planned.within_rules(line), wish) for line, wish in demands])
        return self._placing.place_as_planned(self._planned.wished(demands), parts)

    # --- what goes ---

    def _kits_back(self, placement: KitPlacement) -> dict[str, int]:
        """Kits that a line gives back, by location."""
        return kits_back(self._verb, placement, self._seen.reservation_id)

    def _lend(self, placement: LinePlacement, backs: Mapping[str, dict[str, int]]) -> Gone:
        """Puts what a line gives back on the shelf, as the store does; what that is."""
        channel, shelf = self._change.channel, self._shelf
        if isinstance(placement, KitPlacement):
            back = backs[placement.line_id]
            assert placement.stand is not None
            for line in placement.stand.lines:
                assert line.kit is not None
                for location, kits in back.items():
                    lend(line, kits * line.kit.units, channel, shelf, location)
            found = {(placement.line_id, location): kits for location, kits in back.items()}
            return Gone(found, found)
        named = self._lines.get(placement.line_id)
        if named is None:
            return Gone({}, {})
        units = _open(named) if self._verb == "rebind" else max(0, named.standing - placement.quantity)
        lend(named, units, channel, shelf)
        return gone_of_back(named, units)

    def _lend_slots(self, gone: Gone) -> None:
        """Slots that go with these units can be taken again by the change itself."""
        by_id = {line.line_id: line for line in self._seen.slot_lines}
        self._hold_orders()
        for line_id, days in slots_that_go(self._seen, gone).items():
            line = by_id[line_id]
            location, way = capacity_place(line.sku)
            owner = line_of_slots(line_id, line.sku)
            if owner:  # those of orders are compared before and after
                for day, units in days.items():
                    self._placing.lend_slots(line.sku, day, units)
                    self._of(SlotPlace(location, Fulfilment(way), 0, by_order=False), owner).add(day, -units)
            else:
                self._placing.orders.pop((location, Fulfilment(way)), None)
                for day in days:
                    self._placing.lend_slots(line.sku, day, 1)

    def _hold_orders(self) -> None:
        for line in self._seen.slot_lines:
            if not line_of_slots(line.line_id, line.sku):
                location, way = capacity_place(line.sku)
                for allocation in line.allocations:
                    if allocation.open:
                        self._placing.orders[location, Fulfilment(way)] = day_of_capacity(allocation.location)

    # --- what comes ---

    def _wanted(self, placement: LinePlacement) -> LineRequest | None:
        """What a line takes; None for nothing."""
        return wanted_of(self._verb, placement, self._lines)

    def _wish(self, placement: LinePlacement) -> Wish | None:
        """A line that was promised a date is promised one again."""
        line = self._by_owner[placement.line_id]
        if line.promise is None:
            return None
        named = self._asked_of(placement.line_id)
        needed_by = named.needed_by if named else 0
        return Wish(line.promise.service, needed_by or line.promise.needed_by, line.promise.confidence_parts)

    def _asked_of(self, line_id: str) -> CheckedPlacement | None:
        """What was asked of a line: by its name, or of all."""
        return self._named.get(line_id) or self._named.get("")

    def _added(self) -> list[tuple[LineRequest, Wish | None]]:
        """Lines to add, each with an id: its place in the reservation, as the store counts."""
        promised = [line.promise for line in self._seen.lines if line.promise]
        confidence = promised[0].confidence_parts if promised else 0
        count, found = len(self._seen.lines), []
        for line, checked in zip(self._change.added, self._checked.added, strict=True):
            named = line if line.line_id else replace(line, line_id=str(count + 1))
            count += len(ids_of(named))
            is_usable = checked.fulfilment in WAYS
            wish = wish_of(checked, promise_dates=bool(promised) and is_usable, confidence_parts=confidence)
            found.append((named, wish))
        return found

    def _moved(
        self, placement: LinePlacement, found: PlacedLine, backs: Mapping[str, dict[str, int]]
    ) -> list[LinePlacement]:
        """The placements of a line that takes units."""
        standing = self._standing(placement.line_id, found)
        if isinstance(placement, KitPlacement):
            kits = tuple([(part.location, part.units) for part in found.parts])
            taken = Taken(found.units, found.units, placed=kits)
            lines = of_components(self._verb, placement, backs[placement.line_id], taken)
            return [replace(line, standing=standing) for line in lines]
        if found.left_to_store:
            return [replace(placement, standing=standing)]
        candidates = tuple([part.candidate for part in found.parts])
        future, units_at = taken_at(found.parts)
        line = replace(placement, candidates=candidates, allow_split=False, standing=standing)
        return [replace(line, future=future, units_at=units_at)]

    def _given_back(self, placement: LinePlacement, backs: Mapping[str, dict[str, int]]) -> list[LinePlacement]:
        """The placements of a line that takes nothing."""
        if isinstance(placement, KitPlacement):
            return of_components(self._verb, placement, backs[placement.line_id], Taken())
        return [placement]

    def _standing(self, line_id: str, found: PlacedLine) -> LineStanding:
        """What the record is to say of a line that was placed: of an amended one of what it had and what it got."""
        before = self._by_owner[line_id]
        has_slots = found.standing.has_slots
        if self._verb == "rebind":
            return LineStanding(found.promise, has_slots=has_slots)
        promise = _merged(before.promise, found.promise) if before.promise and found.promise else found.promise
        return LineStanding(promise or before.promise, has_slots=has_slots or before.has_slots)

    # --- slots ---

    def _of(self, place: SlotPlace, owner: str) -> _Slots:
        line_id = slot_line_id(place.location, place.fulfilment.value, owner)
        found = self._slots.get(line_id)
        if found is None:
            found = self._slots[line_id] = _Slots(place, owner)
        if place.capacity:
            found.place = place
        return found

    def _count_slots(self, found: PlacedLine) -> None:
        for part in found.parts:
            if part.place is not None and not part.place.by_order:
                for day, units in part.slots.items():
                    self._of(part.place, found.line.line_id).add(day, units)

    def _count_orders(self, gone: Gone, found: list[PlacedLine]) -> None:
        """Slots of orders that are there after the change and were not before, or the other way round."""
        before: dict[tuple[str, Fulfilment], dict[int, int]] = {}
        for line in self._seen.slot_lines:
            if not line_of_slots(line.line_id, line.sku):
                location, way = capacity_place(line.sku)
                held = {day_of_capacity(one.location): one.open for one in line.allocations if one.open}
                before[location, Fulfilment(way)] = held
        places = {
            (part.location, part.place.fulfilment): part.place
            for line in found
            for part in line.parts
            if part.place is not None and part.place.by_order
        }
        for key in before.keys() | places.keys():
            day = self._placing.orders.get(key, 0)
            place = places.get(key, SlotPlace(*key, 0, by_order=True))
            change = self._of(place, "")
            for held_day, units in before.get(key, {}).items():
                change.add(held_day, -units)
            if day:
                change.add(day, 1)

    def _add_slots(self, line_id: str, more: _Slots, placements: list[LinePlacement], added: list[LineRequest]) -> None:
        days = {day: units for day, units in more.days.items() if units}
        if not days:
            return
        line = next((line for line in self._seen.slot_lines if line.line_id == line_id), None)
        if line is None:
            added.append(slot_line(more.place, more.owner, days))
            return
        quantity = line.standing + sum(days.values())
        candidates = slot_candidates(more.place.capacity, days)
        placements.append(LinePlacement(line_id, quantity, candidates, units_at=tuple(days.values())))


def _merged(before: LinePromise, after: LinePromise) -> LinePromise:
    """The promise of a line that got more units: the later date of each location."""
    parts = {part.location: part for part in before.parts}
    for part in after.parts:
        known = parts.get(part.location, part)
        parts[part.location] = PromisePart(
            part.location, max(known.ship_day, part.ship_day), max(known.delivery_day, part.delivery_day)
        )
    return after._replace(
        delivery_day=max(before.delivery_day, after.delivery_day),
        ready_minute=max(before.ready_minute, after.ready_minute),
        parts=tuple(parts.values()),
    )


def _open(line: ReservationLine) -> int:
    return sum(allocation.open for allocation in line.allocations)
