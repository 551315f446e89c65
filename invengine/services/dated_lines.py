"""Lines with a date: which location and service serve each, what capacity that takes, what is promised.

Decided here by the replica, taken whole by the store or not at all, as kits are (kit_lines.py): the store is told how
many units come from where and how many slots from which day. When stock or slots moved in between it refuses, and all
is decided anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from invengine.domain.orders import Candidate, Fulfilment, KitRequest, LineRequest
from invengine.domain.promises import LinePromise, PromisePart
from invengine.errors import (
    CapacityExhausted,
    InsufficientStock,
    InventoryError,
    PromiseTooLate,
    PromiseUnknown,
    ShortLine,
    UnknownSku,
)
from invengine.kernels.layout import DATED
from invengine.services.date_choices import best_of, cost_of, delivery_day_of, rank_of, too_late, why_not
from invengine.services.dates import MINUTE_MS, NOW, DatedLine
from invengine.services.dating import Part
from invengine.services.kit_lines import short_line
from invengine.services.placed_lines import WAYS, PlacedLine, PlacedPart, Wish, up_to, way_at
from invengine.services.promise_routes import Option
from invengine.services.slot_days import SlotPlace, days_with_room, done_day

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.slots import TakenSlots
    from invengine.services.dates import Dates
    from invengine.services.dating import Dating
    from invengine.services.shelf import Shelf


class DatedLines:
    """Places the lines of one request, in their order. What one line takes the next ones do not have."""

    def __init__(
        self,
        network: Network,
        dating: Dating,
        shelf: Shelf,
        slots: TakenSlots,
        *,
        now_ms: int,
        reservation_id: str,
        best_effort: bool,
    ) -> None:
        self._network = network
        self._dating = dating
        self._shelf = shelf
        self._slots = slots
        self._minute = now_ms // MINUTE_MS
        self._best_effort = best_effort
        self._reservation_id = reservation_id
        self._claims: set[tuple[str, int]] = set()
        self.orders: dict[tuple[str, Fulfilment], int] = {}
        """Days of slots of orders, of this request or of the reservation that it changes, by location and way."""

    def place(self, demands: Iterable[tuple[LineRequest, Wish | None]]) -> list[PlacedLine]:
        """All lines, dated. InsufficientStock, PromiseTooLate, PromiseUnknown, CapacityExhausted: the first line's."""
        placed = []
        for line, wish in demands:
            found = self._promised(line, wish) if wish is not None else self._by_order(line)
            for part in found.parts:
                self._take_slots(found, part)
            placed.append(found)
        self.date(placed)
        return placed

    def place_as_planned(
        self, demands: Iterable[tuple[LineRequest, Wish | None]], planned: Iterable[list[PlacedPart]]
    ) -> list[PlacedLine]:
        """The same where a plan has decided already what comes from where and how it is shipped: slots and dates alone.

        PromiseTooLate, PromiseUnknown, CapacityExhausted.
        """
        placed = []
        for (line, wish), parts in zip(demands, planned, strict=True):
            found = PlacedLine(line, wish, parts)
            for part in parts:
                self._take_slots(found, part)
            placed.append(found)
        self.date(placed)
        return placed

    def check_known(self, lines: Iterable[LineRequest]) -> None:
        """UnknownSku where nothing of a line's SKU was ever recorded."""
        for line in lines:
            if not isinstance(line, KitRequest) and not self._shelf.knows(line.sku):
                raise UnknownSku(line.sku)

    def short_of(self, line: LineRequest) -> ShortLine:
        """What a refusal says of a line of which there is nothing."""
        return short_line(line, self._shelf)

    def lend_slots(self, sku: str, day: int, units: int) -> None:
        """Slots that are given back with what is placed: they can be taken again for it."""
        self._claim(sku, day, -units)

    def release_claims(self) -> None:
        """Ends what `place` claimed."""
        for sku, day in self._claims:
            self._slots.unclaim(sku, day, self._reservation_id)
        self._claims.clear()

    def date(self, lines: Sequence[PlacedLine]) -> None:
        """Gives lines their promises, by the slots that they have. PromiseTooLate."""
        promised = [line for line in lines if line.wish is not None and line.parts]
        found = [(line, part) for line in promised for part in line.parts]
        if not found:
            return
        asked = [self._asked(line, part) for line, part in found]
        dates = self._dating.redate(asked)
        rows = zip(
            dates.status.tolist(),
            dates.delivery_day.tolist(),
            dates.ship_day.tolist(),
            dates.slot_day.tolist(),
            dates.ready.tolist(),
            strict=True,
        )
        for (line, part), (status, day, ship_day, slot_day, ready) in zip(found, rows, strict=True):
            if status != DATED:
                raise PromiseUnknown(line.line.line_id, line.line.sku, f"no day within reach from {part.location}")
            assert line.wish is not None
            told = PromisePart(part.location, ship_day or slot_day, day)
            before = line.promise or LinePromise(
                part.service, 0, 0, line.wish.confidence_parts, (), line.wish.needed_by
            )
            line.promise = before._replace(
                delivery_day=max(before.delivery_day, day),
                ready_minute=max(before.ready_minute, 0 if line.line.fulfilment is Fulfilment.SHIP else ready),
                parts=(*before.parts, told),
            )
        late = [line for line in promised if line.promise and 0 < line.promise.needed_by < line.promise.delivery_day]
        if late:
            raise too_late(max(late, key=delivery_day_of))

    # --- where a line comes from ---

    def _by_order(self, line: LineRequest) -> PlacedLine:
        """A line without a date: where the store would take it from, so that its slots are known."""
        ways = [(one.location, way_at(line.fulfilment, line.destination, one.location)) for one in line.candidates]
        has_capacity = line.fulfilment in WAYS and any(key in self._network.capacities for key in ways)
        parts = self._parts(line, line.candidates) if has_capacity else None
        if parts is not None:
            self._shelf_take(line, parts)
            return PlacedLine(line, None, parts)
        missing = short_line(line, self._shelf)
        taken = self._shelf.take(line, line.candidates, best_effort=self._best_effort)
        if taken.units < line.quantity and not self._best_effort:
            raise InsufficientStock((replace(missing, available=taken.units),))
        if isinstance(line, KitRequest):
            by_name = {one.location: one for one in line.candidates}
            return PlacedLine(line, None, [PlacedPart(by_name[location], kits, NOW) for location, kits in taken.placed])
        return PlacedLine(line, None, [], left_to_store=True, there=taken.units)

    def _parts(self, line: LineRequest, candidates: Sequence[Candidate], wanted: int = 0) -> list[PlacedPart] | None:
        """Units from the candidates in their order: whole on hand, in parts on hand, whole from the future. None where
        the line does not get all (with best effort: where units wait that nobody knows a day of).
        """
        wanted = wanted or line.quantity
        offers = [(one, self._shelf.offer(line, one)) for one in candidates]
        for one, offer in offers:
            if offer >= wanted and not line.allow_split:
                return [PlacedPart(one, wanted, NOW)]
        parts = up_to(wanted, offers) if line.allow_split else []
        if sum(part.units for part in parts) == wanted:
            return parts
        for one in candidates:
            day = self._day_of(line, one, wanted)
            if day:
                return [PlacedPart(one, wanted, day)]
        if self._best_effort and line.future is None:
            best = max(offers, key=lambda offer: offer[1], default=None)
            return parts if line.allow_split else [PlacedPart(best[0], best[1], NOW)] if best and best[1] else []
        return None

    def _day_of(self, line: LineRequest, candidate: Candidate, wanted: int) -> int | None:
        """The day from which a candidate has so many units for the line, as the store would take them: NOW, that of a
        receipt, None for never.
        """
        there = self._shelf.offer(line, candidate)
        if there >= wanted:
            return NOW
        if line.future is not None and not isinstance(line, KitRequest):
            for receipt in self._shelf.coming(line.sku, (candidate.location,)):
                if line.future.needed_by and receipt.day > line.future.needed_by:
                    break
                there += receipt.left
                if there >= wanted:
                    return receipt.day
        return None

    def _promised(self, line: LineRequest, wish: Wish) -> PlacedLine:
        options = self._dating.expanded((line.fulfilment,), (wish.service,) if wish.service else ())
        if not options:
            raise PromiseUnknown(line.line_id, line.sku, "the network has no services")
        days = {one.location: self._day_of(line, one, line.quantity) for one in line.candidates}
        whole = [one for one in line.candidates if days[one.location] is not None]
        whole.sort(key=lambda one: days[one.location] != NOW)  # stable: those that have all on hand first
        refusals: list[InventoryError] = []
        if whole and not (line.allow_split and days[whole[0].location] != NOW):
            found = self._whole(line, wish, whole, days, options=options, refusals=refusals)
            if found is not None:
                return found
        if line.allow_split:
            found = self._split(line, wish, options, refusals)
            if found is None and whole:
                found = self._whole(line, wish, whole, days, options=options, refusals=refusals)
            if found is not None:
                return found
        if refusals:
            raise min(refusals, key=rank_of)
        return self._short(line, wish, options)

    def _whole(
        self,
        line: LineRequest,
        wish: Wish,
        candidates: Sequence[Candidate],
        days: Mapping[str, int | None],
        *,
        options: tuple[Option, ...],
        refusals: list[InventoryError],
    ) -> PlacedLine | None:
        """All units from the first of the candidates that can be there in time."""
        starts = {one.location: days[one.location] for one in candidates}
        dates = self._dates(line, line.quantity, starts, options, wish)
        for index, one in enumerate(candidates):
            ways = [
                (
                    int(dates.delivery_days[0, index, place]),
                    cost_of(self._network, line, one.location, option, line.quantity),
                    place,
                )
                for place, option in enumerate(options)
                if dates.status[0, index, place] == DATED
            ]
            chosen = best_of(ways, wish)
            if chosen is not None:
                part = PlacedPart(one, line.quantity, starts[one.location] or NOW, options[chosen].service)
                self._shelf_take(line, [part])
                return PlacedLine(line, wish, [part])
        refusals.append(why_not(line, wish, dates))
        return None

    def _split(
        self, line: LineRequest, wish: Wish, options: tuple[Option, ...], refusals: list[InventoryError]
    ) -> PlacedLine | None:
        """Units on hand at several candidates, all by one service."""
        offers = [(one, min(self._shelf.offer(line, one), line.quantity)) for one in line.candidates]
        offers = [(one, units) for one, units in offers if units]
        if sum(units for _, units in offers) < line.quantity:
            return None
        found = []
        earliest: list[tuple[int, int, int]] = []
        dates = [self._dates(line, units, {one.location: NOW}, options, wish) for one, units in offers]
        for place, option in enumerate(options):
            dated = [
                (int(of_one.delivery_days[0, 0, place]), one, units)
                for (one, units), of_one in zip(offers, dates, strict=True)
                if of_one.status[0, 0, place] == DATED
            ]
            in_time = [(one, units) for day, one, units in dated if not wish.needed_by or day <= wish.needed_by]
            parts = up_to(line.quantity, in_time)
            days = {one.location: day for day, one, _ in dated}
            if sum(part.units for part in parts) == line.quantity:
                last = max(days[part.location] for part in parts)
                cost = sum(cost_of(self._network, line, part.location, option, part.units) for part in parts)
                found.append((last, cost, place, parts))
            elif sum(units for _, _, units in dated) >= line.quantity:
                late = up_to(line.quantity, [(one, units) for _, one, units in sorted(dated, key=lambda it: it[0])])
                earliest.append((max(days[part.location] for part in late), 0, place))
        chosen = best_of([(day, cost, place) for day, cost, place, _ in found], wish)
        if chosen is not None:
            parts = next(parts for _, _, place, parts in found if place == chosen)
            for part in parts:
                part.service = options[chosen].service
            self._shelf_take(line, parts)
            return PlacedLine(line, wish, parts)
        if earliest:
            refusals.append(PromiseTooLate(line.line_id, line.sku, wish.needed_by, min(earliest)[0]))
        else:
            refusals.append(why_not(line, wish, *dates))
        return None

    def _short(self, line: LineRequest, wish: Wish, options: tuple[Option, ...]) -> PlacedLine:
        """A line that nobody has all units of."""
        missing = short_line(line, self._shelf)
        taken = self._shelf.take(line, line.candidates, best_effort=False)
        parts = self._parts(line, line.candidates) if self._best_effort else None
        if parts is None:
            raise InsufficientStock((replace(missing, available=taken.units),))
        for part in parts:
            dates = self._dates(line, part.units, {part.location: NOW}, options, wish)
            ways = [
                (int(dates.delivery_days[0, 0, place]), 0, place)
                for place in range(len(options))
                if dates.status[0, 0, place] == DATED
            ]
            chosen = best_of(ways, wish)
            if chosen is None:
                raise why_not(line, wish, dates)
            part.service = options[chosen].service
        self._shelf_take(line, parts)
        return PlacedLine(line, wish, parts)

    # --- dates and slots ---

    def _dates(
        self, line: LineRequest, units: int, days: Mapping[str, int | None], options: tuple[Option, ...], wish: Wish
    ) -> Dates:
        asked = DatedLine(units, days)
        services = [option.service for option in options if option.service]
        return self._dating.options(
            [asked], line.destination, (line.fulfilment,), services, confidence_parts=wish.confidence_parts
        )

    def _asked(self, line: PlacedLine, part: PlacedPart) -> Part:
        assert line.wish is not None
        option = Option(line.line.fulfilment, part.service)
        return Part(
            part.location,
            option,
            line.line.destination,
            part.units,
            part.start or self._start_of(part),
            self._held_day(line.line, part),
            line.wish.confidence_parts,
        )

    def _held_day(self, line: LineRequest, part: PlacedPart) -> int:
        """The day of the slot that the part has, 0 where it needs none."""
        if part.place is not None and part.place.by_order:
            return self.orders.get((part.location, part.place.fulfilment), part.slot_day)
        return part.slot_day

    def _start_of(self, part: PlacedPart) -> int:
        return self._minute if part.day == NOW else max(self._minute, self._dating.start_of(part.location, part.day))

    def slot_place(self, line: LineRequest, location: str) -> SlotPlace | None:
        """Where units of a line from a location take slots; None where nothing is limited."""
        way = way_at(line.fulfilment, line.destination, location)
        capacity = self._network.capacities.get((location, way))
        if capacity is None or line.fulfilment not in WAYS:
            return None
        return SlotPlace(location, way, capacity.units or capacity.orders, by_order=not capacity.units)

    def _take_slots(self, line: PlacedLine, part: PlacedPart) -> None:
        """Chooses the days on which the part is prepared, and claims them. CapacityExhausted."""
        place = part.place = self.slot_place(line.line, part.location)
        if place is None:
            return
        location = self._network.locations[part.location]
        part.start = self._start_of(part)
        first = done_day(location, place.fulfilment, part.service, part.start)
        key = part.location, place.fulfilment
        held = self.orders.get(key, 0) if place.by_order else 0
        if held and held >= first:
            part.slot_day = held
            return
        units = 1 if place.by_order else part.units
        taken = self._slots.taken(place.sku)
        days = days_with_room(location.calendar, first, units, place.capacity, taken) if first else []
        if not days:
            raise CapacityExhausted(line.line.line_id, line.line.sku, part.location)
        part.slot_day = days[-1][0]
        if place.by_order:
            if held:  # one order is prepared when all of it is there: the slot moves to the later day
                self._claim(place.sku, held, -1)
            self.orders[key] = part.slot_day
        else:
            part.slots = dict(days)
        for day, count in days:
            self._claim(place.sku, day, count)

    def _claim(self, sku: str, day: int, units: int) -> None:
        self._slots.claim(sku, day, units, self._reservation_id)
        self._claims.add((sku, day))

    def _shelf_take(self, line: LineRequest, parts: Sequence[PlacedPart]) -> None:
        """Takes from the shelf what was chosen, so that the next lines do not have it."""
        for part in parts:
            if part.units:
                wanted = replace(line, quantity=part.units, allow_split=False)
                self._shelf.take(wanted, (part.candidate,), best_effort=False)
